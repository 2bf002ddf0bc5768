"""What is installed: CRDs, admission policies, mesh-signer's own Deployments and their settings. Pure."""

from collections.abc import Iterator
from datetime import timedelta

from signer.api.crd import CERTIFICATES_CRD, ours
from signer.api.duration import InvalidDuration, format_duration, parse_duration
from signer.api.proxyconfig import PROXY_CONFIGS_CRD
from signer.commands.checks.access import CONTROLLERS, SIGNER
from signer.commands.checks.facts import (
    Facts,
    Finding,
    arguments,
    at,
    environment,
    items,
    name_of,
    namespace_of,
    some,
    texts,
)
from signer.commands.live import Json
from signer.settings.given import PREFIX

_OURS = ("signerpolicies.mesh-signer.dev", "signerbindings.mesh-signer.dev", "signerrecords.mesh-signer.dev")
_ISSUERS = ("issuers.cert-manager.io", "clusterissuers.cert-manager.io", CERTIFICATES_CRD)
_POLICIES = {
    "claims.mesh-signer.dev": "whoever may write a ProxyConfig may claim any signer that nobody owns yet",
    "certificates.mesh-signer.dev": "another signer in the cluster may sign what mesh-signer refuses",
    "bindings.mesh-signer.dev": "RBAC alone keeps people from writing SignerBindings",
    "namespace-labels.mesh-signer.dev": "whoever may label a namespace may put it under a SignerPolicy's matchLabels",
}
_CONTROLLERS = "mesh-signer-controllers"
_CONTROLLERS_POLICIES = {
    "controllers-secrets.mesh-signer.dev": "whoever gets hold of the controllers' token can make himself cluster-admin",
}
"""Of manifests/base, where the controllers run."""
_GATE = "ExperimentalCertificateSigningRequestControllers"
_CSR_CONTROLLER = "certificatesigningrequests-issuer-ca"


def check_crds(facts: Facts) -> Iterator[Finding]:
    """Whether the definitions are there and served."""
    if facts.crds.problem:
        yield Finding("unknown", "crds", f"the CRDs were not checked: {facts.crds.problem}")
        return
    found = {name_of(crd): crd for crd in facts.crds.items}
    for name in (*_OURS, *_ISSUERS, PROXY_CONFIGS_CRD):
        if name not in found:
            if name == PROXY_CONFIGS_CRD:
                text = "Istio's ProxyConfigs are not installed: no namespace can claim a signer"
                yield Finding("warning", "crds", text, f"CRD {name}", "install Istio")
            else:
                yield Finding("error", "crds", f"{name} is not installed", f"CRD {name}", "apply manifests/crds")
            continue
        established = any(
            one.get("type") == "Established" and one.get("status") == "True"
            for one in items(found[name], "status", "conditions")
        )
        if not established:
            yield Finding("error", "crds", f"{name} is not served", f"CRD {name}", "see its status.conditions")
    if CERTIFICATES_CRD in found and not ours(found[CERTIFICATES_CRD]):
        text = "the cert-manager.io CRDs are cert-manager's own: mesh-signer answers CertificateSigningRequests only"
        yield Finding("note", "crds", text, f"CRD {CERTIFICATES_CRD}")


def check_admission(facts: Facts) -> Iterator[Finding]:
    """Whether the admission policies beside the wall are in force."""
    for listing in (facts.admission_policies, facts.admission_bindings):
        if listing.problem:
            yield Finding("unknown", "admission", f"the admission policies were not checked: {listing.problem}")
            return
    there = {name_of(one) for one in facts.admission_policies.items}
    bound = {
        at(one, "spec", "policyName")
        for one in facts.admission_bindings.items
        if "Deny" in texts(one, "spec", "validationActions")
    }
    controllers = any(name_of(one) == _CONTROLLERS for one in facts.deployments.items)
    for name, open_ in (_POLICIES | (_CONTROLLERS_POLICIES if controllers else {})).items():
        if name in there and name in bound:
            continue
        lack = "is missing" if name not in there else "is not bound with the action Deny"
        yield Finding(
            "warning",
            "admission",
            f"the admission policy {name} {lack}: {open_}",
            f"ValidatingAdmissionPolicy {name}",
            "apply manifests/base again" if name in _CONTROLLERS_POLICIES else "apply manifests/overlays/istio",
        )


def check_ourselves(facts: Facts) -> Iterator[Finding]:
    """Whether mesh-signer runs, enforces, and has the settings that this command was given."""
    if facts.deployments.problem:
        yield Finding("unknown", "mesh-signer", f"our Deployments were not checked: {facts.deployments.problem}")
        return
    namespace = facts.settings.cluster_resource_namespace
    for name in (SIGNER, CONTROLLERS):
        where = f"Deployment {namespace}/{name}"
        deployment = next(
            (one for one in facts.deployments.items if (namespace_of(one), name_of(one)) == (namespace, name)), None
        )
        if deployment is None:
            if name == SIGNER:
                yield Finding("warning", "mesh-signer", f"there is no {where}", where, "apply manifests/overlays/istio")
            continue
        if not at(deployment, "status", "availableReplicas"):
            text = f"{where} has no available replica"
            yield Finding("error", "mesh-signer", text, where, f"kubectl -n {namespace} describe deployment {name}")
        yield from _settings(facts, deployment, where)


def _option(deployment: Json, name: str) -> str | None:
    """Return what an option was given, None where it was not, or where that cannot be told."""
    template = at(deployment, "spec", "template")
    given = None
    line = arguments(template)
    for index, one in enumerate(line):
        if one.startswith(f"--{name}="):
            given = one.partition("=")[2]
        elif one == f"--{name}" and index + 1 < len(line):
            given = line[index + 1]
    if given is None:
        return environment(template).get(PREFIX + name.replace("-", "_").upper())
    # $(NAME) is a variable of the container's; of those that stand elsewhere only the Pod's namespace can be told.
    variables = {"POD_NAMESPACE": namespace_of(deployment)} | environment(template)
    for variable, value in variables.items():
        if f"$({variable})" in given:
            if value is None and variable != "POD_NAMESPACE":
                return None
            given = given.replace(f"$({variable})", value if value is not None else namespace_of(deployment))
    return given


def _settings(facts: Facts, deployment: Json, where: str) -> Iterator[Finding]:
    mode = _option(deployment, "tenancy") or "enforce"
    if mode == "off":
        text = "it runs with --tenancy=off: there is no wall, every workload gets the signer that it asks for"
        yield Finding("error", "mesh-signer", text, where, "remove --tenancy=off")
    elif mode == "audit":
        until = _option(deployment, "audit-until") or "an unknown time"
        text = f"it runs with --tenancy=audit until {until}: what it would refuse is signed"
        yield Finding("warning", "mesh-signer", text, where, "remove --tenancy=audit when the audit log is clean")
    settings = facts.settings
    for name, here in (
        ("istio-namespace", settings.istio_namespace),
        ("cert-signer-domain", settings.cert_signer_domain),
        ("cluster-resource-namespace", settings.cluster_resource_namespace),
        ("shared-mesh-config", settings.shared_mesh_config),
        ("unbound", settings.unbound),
        ("allow-ca-requests", "true" if settings.allow_ca_requests else "false"),
        ("auto-approve", "true" if settings.auto_approve else "false"),
    ):
        there = _option(deployment, name)
        if there is not None and there != here:
            yield _differs(where, name, there, here)
    for name, expected in (("grace", settings.grace), ("max-workload-lifetime", settings.max_workload_lifetime)):
        there = _option(deployment, name)
        if there is not None and not _is_duration(there, expected):
            yield _differs(where, name, there, format_duration(expected))
    for name, names in (
        ("istiod-accounts", settings.istiod_accounts),
        ("istiod-dns-names", settings.istiod_dns_names),
    ):
        there = _option(deployment, name)
        if there is not None and {one.strip() for one in there.split(",") if one.strip()} != names:
            yield _differs(where, name, there, ",".join(sorted(names)))


def _is_duration(text: str, duration: timedelta) -> bool:
    try:
        return parse_duration(text) == duration
    except InvalidDuration:
        return False


def _differs(where: str, name: str, there: str, here: str) -> Finding:
    text = f"it runs with --{name}={there}, and this command with {here or 'none'}: they may answer differently"
    return Finding("warning", "mesh-signer", text, where, f"give this command --{name}={there} too")


def check_cert_manager(facts: Facts) -> Iterator[Finding]:
    """Whether a cert-manager beside us answers CertificateSigningRequests too."""
    if facts.deployments.problem:
        return  # told by check_ourselves
    for deployment in facts.deployments.items:
        line = arguments(at(deployment, "spec", "template"))
        gates = ",".join(one.partition("=")[2] for one in line if one.startswith("--feature-gates="))
        switched = [gate.strip().lower() for gate in gates.split(",")]
        if not ({f"{_GATE}=true".lower(), "allalpha=true"} & set(switched)):
            continue
        chosen = ",".join(one.partition("=")[2] for one in line if one.startswith("--controllers="))
        names = [name.strip() for name in chosen.split(",") if name.strip()]
        if f"-{_CSR_CONTROLLER}" in names or (names and not {"*", _CSR_CONTROLLER} & set(names)):
            continue
        where = f"Deployment {namespace_of(deployment)}/{name_of(deployment)}"
        yield Finding(
            "error",
            "cert-manager",
            "cert-manager answers CertificateSigningRequests too, and signs what mesh-signer refuses",
            where,
            f"remove the feature gate {_GATE}, or --controllers=*,-{_CSR_CONTROLLER}; then see "
            "manifests/overlays/beside-cert-manager",
        )


def check_gaps(facts: Facts) -> Iterator[Finding]:
    """What of the mesh could not be read: every other answer may lack it."""
    if facts.mesh.world.unsynced:
        text = f"mesh-signer decides nothing before this is there: {facts.mesh.world.unsynced}"
        yield Finding("error", "mesh", text, "", "apply manifests/crds")
    if facts.mesh.grace_unread:
        yield Finding("unknown", "mesh", facts.mesh.grace_unread)
    for gap in facts.mesh.gaps:
        yield Finding("unknown", "mesh", gap)
    for remark in facts.mesh.remarks:
        yield Finding("warning", "mesh", remark)
    if facts.mesh.unread:
        text = f"the CAs of {some(map(str, sorted(facts.mesh.unread)))} were not checked: their Secrets may not be read (get secrets)"
        yield Finding("unknown", "cas", text)
    for problem in facts.mesh.world.config.problems:
        yield Finding("warning", "mesh-config", problem, "Istio's ConfigMaps", "correct the field that is named")
