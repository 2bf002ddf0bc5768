"""Rights: whether ours and istiod's suffice, and who else could go round the wall. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from signer.api.crd import CERTIFICATES_CRD, ours
from signer.api.signername import CLUSTER_ISSUER_DOMAIN, ISSUER_DOMAIN, signer_name_of
from signer.api.text import some
from signer.commands.checks import shipped
from signer.commands.checks.facts import AGAIN, Access, Facts, Finding, Severity, name_of, runs
from signer.commands.checks.rbac import Right, Roles, Subject
from signer.mesh.roots import asked_by_istiod
from signer.settings.values import POD_CERTIFICATES, Settings

SIGNER, CONTROLLERS = "mesh-signer", "mesh-signer-controllers"
_WRITE = frozenset({"create", "update", "patch", "delete", "deletecollection"})
_CHANGE = frozenset({"update", "patch"})
_READ = frozenset({"get", "list", "watch"})
_EVERYBODY = {"system:authenticated", "system:unauthenticated", "system:serviceaccounts"}
_ADMINS = {"cluster-admin", "mesh-signer-admin", "mesh-signer-tenancy"}
_MOST = 40
# Certificates of this signer are users of the API server.
_USERS_SIGNER = "kubernetes.io/kube-apiserver-client"


def account(settings: Settings, name: str) -> str:
    """Return the user name of one of our service accounts."""
    return f"system:serviceaccount:{settings.cluster_resource_namespace}:{name}"


def needed(facts: Facts) -> list[Access]:
    """List the rights without which the signer or istiod cannot work; to be asked of the API server."""
    settings = facts.settings
    us = account(settings, SIGNER)
    own, istio = settings.cluster_resource_namespace, settings.istio_namespace
    csrs, group = "certificatesigningrequests", "certificates.k8s.io"
    rights = [
        *(Access(us, verb, csrs, group, need="see requests") for verb in ("list", "watch")),
        Access(us, "update", csrs, group, subresource="status", need="answer requests"),
        *(
            Access(us, "list", resource, "cert-manager.io", need="see issuers")
            for resource in ("issuers", "clusterissuers")
        ),
        Access(us, "list", "proxyconfigs", "networking.istio.io", need="see claims"),
        Access(us, "list", "namespaces", need="see which namespaces exist"),
        Access(us, "list", "signerpolicies", "mesh-signer.dev", need="see SignerPolicies"),
        *(
            Access(us, verb, "signerbindings", "mesh-signer.dev", need="store who owns a signer")
            for verb in ("list", "create")
        ),
        *(
            Access(us, verb, "signerrecords", "mesh-signer.dev", need="remember what is known of a signer")
            for verb in ("list", "create")
        ),
        *(Access(us, verb, "configmaps", namespace=istio, need="see the mesh config") for verb in ("get", "list")),
        Access(us, "list", "secrets", namespace=own, need="read the CAs"),
        Access(us, "sign", "signers", group, name=f"{CLUSTER_ISSUER_DOMAIN}/*", need="sign for ClusterIssuers"),
    ]
    places = {
        ref.namespace for ref, one in facts.mesh.issuers.items() if ref.namespace and one.issuer.spec.ca is not None
    }
    rights += [
        Access(us, "list", "secrets", namespace=place, need="read the CAs of Issuers there")
        for place in sorted(places - {own})[:_MOST]
    ]
    if any(name_of(crd) == CERTIFICATES_CRD and ours(crd) for crd in facts.crds.items):
        rights += _of_controllers(settings)
    if any(runs(one, POD_CERTIFICATES) for one in facts.deployments.items):
        rights += _of_pods(us)
    names = sorted(map(signer_name_of, asked_by_istiod(facts.mesh.world)))[:_MOST]
    for user in sorted(facts.mesh.world.requesters):
        if facts.settings.istiod_accounts or user.endswith(":istiod"):
            rights += [Access(user, "approve", "signers", group, name=name, need="approve requests") for name in names]
    # What is told of those by what it is needed for is not asked for twice.
    asked = {replace(one, need="") for one in rights}
    return rights + [one for one in shipped.rights(facts) if replace(one, role="") not in asked]


def _of_controllers(settings: Settings) -> list[Access]:
    """List what the controllers need where Certificates are theirs to keep, and no cert-manager's."""
    them, group = account(settings, CONTROLLERS), "cert-manager.io"
    return [
        *(
            Access(them, "patch", resource, group, subresource="status", need="say how an object is")
            for resource in ("clusterissuers", "issuers", "certificates", "certificaterequests")
        ),
        Access(them, "list", "certificates", group, need="see Certificates"),
        Access(them, "create", "certificaterequests", group, need="ask for certificates"),
        *(Access(them, verb, "secrets", need="keep certificates") for verb in ("list", "create", "patch")),
        Access(them, "list", "proxyconfigs", "networking.istio.io", need="see claims"),
        Access(them, "list", "configmaps", namespace=settings.istio_namespace, need="see the mesh config"),
    ]


def _of_pods(us: str) -> list[Access]:
    """List what the signer needs where it answers Pods' requests and publishes roots for them."""
    group, requests = "certificates.k8s.io", "podcertificaterequests"
    return [
        *(Access(us, verb, requests, group, need="see Pods' requests") for verb in ("list", "watch")),
        Access(us, "update", requests, group, subresource="status", need="answer Pods' requests"),
        *(
            Access(us, "get", resource, need="look at the Pod that asks")
            for resource in ("pods", "serviceaccounts", "nodes")
        ),
        *(
            Access(us, verb, "clustertrustbundles", group, need="publish roots for Pods")
            for verb in ("list", "create", "patch", "delete")
        ),
        Access(us, "attest", "signers", group, name=f"{CLUSTER_ISSUER_DOMAIN}/*", need="publish roots for Pods"),
    ]


_ISTIO_READER = "istio-reader-service-account"
"""Of Istio's chart base, for istiods of other clusters: its ClusterRole has every Secret."""


def check_needed(facts: Facts) -> Iterator[Finding]:
    """Whether ours and istiod's rights suffice, as the API server answered."""
    if facts.access_problem:
        yield Finding(
            "unknown", "rights", f"our rights could not be checked: {facts.access_problem}", code="RightsNotChecked"
        )
    missing = [one for one in facts.accesses if one.allowed is False]
    yield from shipped.check_roles(one for one in missing if one.role)
    missing = [one for one in missing if not one.role]
    for one in missing:
        if one.verb != "approve":
            text = f"{one.user} may not {one}: it cannot {one.need}"
            yield Finding("error", "rights", text, "RBAC", AGAIN, code="RightMissing")
    for user in sorted({one.user for one in missing if one.verb == "approve"}):
        names = some(one.name for one in missing if one.verb == "approve" and one.user == user)
        yield Finding(
            "error",
            "rights",
            f"{user} may not approve requests for {names}: workloads of these signers get no certificate",
            "istiod's ClusterRole",
            "`mesh-signer mesh-config` prints the rule",
            code="IstiodMayNotApprove",
        )


def check_others(facts: Facts) -> Iterator[Finding]:
    """Everybody who could go round the wall."""
    listings = (facts.cluster_roles, facts.cluster_role_bindings, facts.roles, facts.role_bindings)
    problems = [listing.problem for listing in listings if listing.problem]
    if problems:
        yield Finding(
            "unknown",
            "rights",
            f"who else could bypass the wall was not checked: {some(problems)}",
            code="OthersNotChecked",
        )
        return
    roles = Roles(facts)
    admins: set[Subject] = set()
    for check in (
        _signers,
        _approvers,
        _istiod_approves_all,
        _approves_tenants,
        _mesh_config,
        _policies,
        _secrets,
        _istiods,
    ):
        yield from check(facts, roles, admins)
    if admins:
        yield Finding(
            "note",
            "rights",
            f"as admins can do anything: {some(map(str, sorted(admins)))}",
            "ClusterRoles cluster-admin and mesh-signer-admin",
            code="Admins",
        )


def _names(facts: Facts) -> frozenset[str]:
    mesh = map(signer_name_of, facts.mesh.world.signers)
    return frozenset({f"{CLUSTER_ISSUER_DOMAIN}/*", f"{ISSUER_DOMAIN}/*", "*", *mesh})


def _strangers(
    facts: Facts,
    found: dict[Subject, frozenset[str]],
    admins: set[Subject],
    known: Iterable[str] = (SIGNER, CONTROLLERS),
) -> dict[Subject, frozenset[str]]:
    """Leave out whoever must have a right: Kubernetes' own parts, ours, istiod; admins are told once."""
    own = facts.settings.cluster_resource_namespace
    left = {}
    for subject, roles in found.items():
        if subject.name == "system:masters" or (roles == {"cluster-admin"} and subject.namespace == "kube-system"):
            continue
        if all(role.startswith("system:") for role in roles) and (
            subject.namespace == "kube-system"
            or (subject.name.startswith("system:") and subject.name not in _EVERYBODY)
        ):
            continue
        if subject.kind == "ServiceAccount" and subject.namespace == own and subject.name in known:
            continue
        if _is_istiod(facts, subject):
            continue
        if roles & _ADMINS and subject.name not in _EVERYBODY:
            admins.add(subject)
            continue
        left[subject] = roles
    return left


def _is_istiod(facts: Facts, subject: Subject) -> bool:
    user = f"system:serviceaccount:{subject.namespace}:{subject.name}"
    named = subject.namespace == facts.settings.istio_namespace and subject.name.startswith("istiod")
    return named or user in facts.mesh.world.requesters


def _told(
    strangers: dict[Subject, frozenset[str]], code: str, text: str, mend: str, severity: Severity = "warning"
) -> Iterator[Finding]:
    if not strangers:
        return
    worst: Severity = "error" if any(_is_everybody(one) for one in strangers) and severity == "warning" else severity
    who = some(f"{subject} (by {', '.join(sorted(roles))})" for subject, roles in sorted(strangers.items()))
    yield Finding(worst, "rights", f"{text}: {who}", "RBAC", mend, code=code)


def _is_everybody(subject: Subject) -> bool:
    return subject.kind == "Group" and (
        subject.name in _EVERYBODY or subject.name.startswith("system:serviceaccounts:")
    )


def _signers(facts: Facts, roles: Roles, admins: set[Subject]) -> Iterator[Finding]:
    group = "certificates.k8s.io"
    may_sign = roles.who(Right(frozenset({"sign"}), group, "signers", _names(facts)))
    may_write = roles.who(Right(_CHANGE, group, "certificatesigningrequests/status"))
    both = {subject: may_sign[subject] | may_write[subject] for subject in may_sign.keys() & may_write.keys()}
    strangers = _strangers(facts, both, admins, known=(SIGNER,))
    if any(name_of(one) == "certificates.mesh-signer.dev" for one in facts.admission_policies.items):
        # The admission policy asks for a verb of its own.
        passed = roles.who(Right(frozenset({"sign"}), "mesh-signer.dev", "signers", _names(facts)))
        strangers = {subject: by for subject, by in strangers.items() if subject in passed}
    yield from _told(
        strangers,
        "OthersSign",
        "who may sign for our signers beside mesh-signer, and so issue what it refuses",
        "revoke their verb `sign` on signers.certificates.k8s.io of ours, or add manifests/components/admission to what mesh-signer is installed with",
    )


def _approvers(facts: Facts, roles: Roles, admins: set[Subject]) -> Iterator[Finding]:
    group = "certificates.k8s.io"
    approve = roles.who(Right(frozenset({"approve"}), group, "signers", _names(facts)))
    write = roles.who(Right(_CHANGE, group, "certificatesigningrequests/approval"))
    both = {subject: approve[subject] | write[subject] for subject in approve.keys() & write.keys()}
    yield from _told(
        _strangers(facts, both, admins),
        "OthersApprove",
        "who may approve requests for our signers beside istiod (what they approve is judged like any other request)",
        "revoke their verb `approve` on our signers if they no longer need it",
        "note",
    )


def _istiod_approves_all(facts: Facts, roles: Roles, _admins: set[Subject]) -> Iterator[Finding]:
    """Tell of an istiod that may approve for foreign signers: a rule without names means all of them.

    Istio's chart writes `resourceNames:` with nothing below it where values.global.certSigners is empty (istio-discovery,
    templates/clusterrole.yaml); Kubernetes reads that as every name.
    """
    group = "certificates.k8s.io"
    approve = roles.who(
        Right(frozenset({"approve"}), group, "signers", frozenset({_USERS_SIGNER, "kubernetes.io/*", "*"}))
    )
    write = roles.who(Right(_CHANGE, group, "certificatesigningrequests/approval"))
    for subject in sorted(approve.keys() & write.keys()):
        if not _is_istiod(facts, subject) or approve[subject] <= _ADMINS:
            continue
        by = ", ".join(sorted(approve[subject] - _ADMINS))
        yield Finding(
            "note",
            "rights",
            f"{subject} may approve requests of every signer, also of {_USERS_SIGNER}, whose certificates are users of the "
            f"API server (by {by}): Istio's chart leaves resourceNames empty where values.global.certSigners is",
            f"ClusterRole {by}",
            "set values.global.certSigners, or write the rule that `mesh-signer mesh-config` prints in its place",
            code="IstiodApprovesAll",
        )


def _approves_tenants(facts: Facts, roles: Roles, _admins: set[Subject]) -> Iterator[Finding]:
    """Tell of an istiod that may approve for signers which only identity leads to: who names one is refused late, not at once."""
    world, group = facts.mesh.world, "certificates.k8s.io"
    if not world.routed or facts.mesh.gaps:
        return
    tenants = frozenset(map(signer_name_of, world.policies.keys() - set(asked_by_istiod(world))))
    named = tenants | {f"{name.partition('/')[0]}/*" for name in tenants}
    approve = roles.who(Right(frozenset({"approve"}), group, "signers", named)) if tenants else {}
    write = roles.who(Right(_CHANGE, group, "certificatesigningrequests/approval"))
    for subject in sorted(approve.keys() & write.keys()):
        if not _is_istiod(facts, subject) or approve[subject] <= _ADMINS:
            continue
        by = ", ".join(sorted(approve[subject] - _ADMINS))
        yield Finding(
            "warning",
            "rights",
            f"{subject} may approve requests for {some(sorted(tenants))} (by {by}), which no workload has to name, as identity "
            "leads there: one that names another tenant's is refused after a minute, and not by istiod at once",
            f"ClusterRole {by}",
            "write the rule that `mesh-signer mesh-config` prints in the place of that one",
            code="IstiodApprovesTenants",
        )


def _mesh_config(facts: Facts, roles: Roles, admins: set[Subject]) -> Iterator[Finding]:
    namespace = facts.settings.istio_namespace
    names = frozenset(facts.mesh.texts) or frozenset({"istio"})
    found = roles.who(Right(_WRITE, "", "configmaps", names, namespace))
    yield from _told(
        _strangers(facts, found, admins),
        "OthersWriteMeshConfig",
        "who may write Istio's mesh config, which says what the mesh's signers and their roots are",
        f"revoke the right to write ConfigMaps in namespace {namespace} from whoever is not a mesh admin",
    )


def _policies(facts: Facts, roles: Roles, admins: set[Subject]) -> Iterator[Finding]:
    ours = (("signerbindings", "SignerBindings"), ("signerrecords", "SignerRecords"))
    for resource, what in (("signerpolicies", "SignerPolicies"), *ours):
        found = roles.who(Right(_WRITE, "mesh-signer.dev", resource))
        known = (SIGNER, CONTROLLERS) if resource != "signerpolicies" else ()
        yield from _told(
            _strangers(facts, found, admins, known),
            "OthersWriteOwners",
            f"who may write {what}, which say who may have which signer",
            f"revoke the right to write {resource}.mesh-signer.dev from whoever is not a mesh admin",
        )


def _secrets(facts: Facts, roles: Roles, admins: set[Subject]) -> Iterator[Finding]:
    namespace = facts.settings.cluster_resource_namespace
    issuers = (state.issuer.spec.ca for ref, state in facts.mesh.issuers.items() if ref.kind == "ClusterIssuer")
    names = frozenset(ca.secret_name for ca in issuers if ca is not None)
    found = roles.who(Right(_READ | _WRITE, "", "secrets", names, namespace))
    strangers = _strangers(facts, found, admins)
    beside = {one: by for one, by in strangers.items() if one.namespace == namespace}
    readers = {
        one: by
        for one, by in strangers.items()
        if one.kind == "ServiceAccount"
        and one.namespace == facts.settings.istio_namespace
        and one.name.startswith(_ISTIO_READER)
    }
    yield from _told(
        {one: by for one, by in strangers.items() if one not in beside and one not in readers},
        "OthersReadCAs",
        f"who may read or write the Secrets of the CAs, in namespace {namespace}",
        "revoke that right, or move the CAs to another namespace (--cluster-resource-namespace)",
    )
    yield from _told(
        readers,
        "IstioReadsCAs",
        f"who comes with Istio and may read every Secret, those of the CAs in namespace {namespace} too",
        "keep its tokens (those of remote Secrets) as CAs are kept, or take `secrets` out of its ClusterRole",
        "note",
    )
    yield from _told(
        beside, "NeighboursReadCAs", "who lives beside the CAs and may read or write their Secrets", "", "note"
    )


def _istiods(facts: Facts, roles: Roles, admins: set[Subject]) -> Iterator[Finding]:
    namespace = facts.settings.istio_namespace
    names = frozenset(user.rpartition(":")[2] for user in facts.mesh.world.requesters)
    tokens = roles.who(Right(frozenset({"create"}), "", "serviceaccounts/token", names, namespace))
    acting = roles.who(Right(frozenset({"impersonate"}), "", "serviceaccounts", names, namespace))
    users = roles.who(Right(frozenset({"impersonate"}), "", "users", facts.mesh.world.requesters))
    found = {one: tokens.get(one, frozenset()) | acting.get(one, frozenset()) | users.get(one, frozenset())
             for one in tokens.keys() | acting.keys() | users.keys()}  # fmt: skip
    yield from _told(
        _strangers(facts, found, admins),
        "OthersActAsIstiod",
        "who may act as istiod, and so ask for any workload's certificate",
        f"revoke `impersonate`, and `create` on serviceaccounts/token in namespace {namespace}, from them",
    )
