"""What is installed: CRDs, mesh-signer's own Deployments and their settings. Pure."""

from collections.abc import Iterator
from datetime import timedelta

from signer.api.crd import CERTIFICATES_CRD, ours
from signer.api.duration import format_duration
from signer.api.proxyconfig import PROXY_CONFIGS_CRD
from signer.api.text import some
from signer.commands.checks.access import CONTROLLERS, SIGNER
from signer.commands.checks.facts import (
    DEFINITIONS,
    Facts,
    Finding,
    arguments,
    at,
    environment,
    field_in,
    items,
    name_of,
    namespace_of,
)
from signer.commands.checks.fields import lacking
from signer.commands.checks.istiod import istiods, user_of
from signer.commands.command import WALL_OPTIONS
from signer.commands.live import Json
from signer.settings.given import PREFIX, SettingsError
from signer.settings.values import settings_from

NEEDED_CRDS = (
    "signerpolicies.mesh-signer.dev",
    "signerbindings.mesh-signer.dev",
    "signerrecords.mesh-signer.dev",
    "issuers.cert-manager.io",
    "clusterissuers.cert-manager.io",
    CERTIFICATES_CRD,
)
"""Those without which no request is answered."""
CONTROLLERS_CRDS = (
    "certificaterequests.cert-manager.io",
    "orders.acme.cert-manager.io",
    "challenges.acme.cert-manager.io",
    "hostclaims.mesh-signer.dev",
    "edgepolicies.mesh-signer.dev",
    "casources.mesh-signer.dev",
    "tenantbridges.mesh-signer.dev",
    "tenantbridgepolicies.mesh-signer.dev",
)
"""Those that the controllers rest on besides: together they are all that we ship."""
# What the wall's answers hang on; those of one Deployment alone are in _OF_ONE.
_COMPARED = tuple(name for name in WALL_OPTIONS if name not in {"kubeconfig", "tenancy", "audit-until"})
_OF_ONE = {"allow-ca-requests": SIGNER, "auto-approve": CONTROLLERS}
_GATE = "ExperimentalCertificateSigningRequestControllers"
_CSR_CONTROLLER = "certificatesigningrequests-issuer-ca"


def check_crds(facts: Facts) -> Iterator[Finding]:
    """Whether the definitions are there and served."""
    if facts.crds.problem:
        yield Finding("unknown", "crds", f"the CRDs were not checked: {facts.crds.problem}", code="CRDsNotChecked")
        return
    found = {name_of(crd): crd for crd in facts.crds.items}
    controllers = any(name_of(one) == CONTROLLERS for one in facts.deployments.items)
    for name in (*NEEDED_CRDS, *CONTROLLERS_CRDS, PROXY_CONFIGS_CRD):
        if name not in found:
            if name == PROXY_CONFIGS_CRD:
                text = "Istio's ProxyConfigs are not installed: no namespace can claim a signer"
                yield Finding("warning", "crds", text, f"CRD {name}", "install Istio", code="ProxyConfigsMissing")
            else:
                yield Finding(
                    "error" if controllers or name in NEEDED_CRDS else "warning",
                    "crds",
                    f"{name} is not installed",
                    f"CRD {name}",
                    DEFINITIONS,
                    code="CRDMissing",
                )
            continue
        established = any(
            one.get("type") == "Established" and one.get("status") == "True"
            for one in items(found[name], "status", "conditions")
        )
        if not established:
            yield Finding(
                "error",
                "crds",
                f"{name} is not served",
                f"CRD {name}",
                f"mend what its status.conditions say: kubectl describe crd {name}",
                code="CRDNotServed",
            )
    for name, fields in sorted(lacking(facts.crds).items()):
        text = f"{name} is an older one, and does not know {some(fields)}: what is written there is not kept"
        yield Finding("error", "crds", text, f"CRD {name}", DEFINITIONS, code="CRDOlder")
    if CERTIFICATES_CRD in found and not ours(found[CERTIFICATES_CRD]):
        text = "the cert-manager.io CRDs are cert-manager's own: mesh-signer answers CertificateSigningRequests only"
        yield Finding("note", "crds", text, f"CRD {CERTIFICATES_CRD}", code="CRDsOfCertManager")


def check_ourselves(facts: Facts) -> Iterator[Finding]:
    """Whether mesh-signer runs, enforces, and has the settings that this command was given."""
    if facts.deployments.problem:
        yield Finding(
            "unknown",
            "mesh-signer",
            f"our Deployments were not checked: {facts.deployments.problem}",
            code="DeploymentsNotChecked",
        )
        return
    namespace = facts.settings.cluster_resource_namespace
    for name in (SIGNER, CONTROLLERS):
        where = f"Deployment {namespace}/{name}"
        deployment = next(
            (one for one in facts.deployments.items if (namespace_of(one), name_of(one)) == (namespace, name)), None
        )
        if deployment is None:
            if name == SIGNER:
                yield Finding(
                    "warning",
                    "mesh-signer",
                    f"there is no {where}",
                    where,
                    "kubectl apply -k manifests/overlays/istio, or helm install (docs/install.md); --cluster-resource-namespace if it runs elsewhere",
                    code="SignerMissing",
                )
            continue
        if not at(deployment, "status", "availableReplicas"):
            text = f"{where} has no available replica"
            yield Finding(
                "error",
                "mesh-signer",
                text,
                where,
                f"kubectl -n {namespace} describe deployment {name}",
                code="SignerUnavailable",
            )
        yield from _settings(facts, deployment, where)


def _option(deployment: Json, name: str) -> tuple[str | None, bool]:
    """Return what an option was given, None where it was not, and whether that can be told."""
    template = at(deployment, "spec", "template")
    given = None
    line = arguments(template)
    for index, one in enumerate(line):
        if one.startswith(f"--{name}="):
            given = one.partition("=")[2]
        elif one == f"--{name}" and index + 1 < len(line):
            given = line[index + 1]
    found = environment(template)
    if given is None:
        variable = PREFIX + name.replace("-", "_").upper()
        return found.get(variable), found.get(variable, "") is not None
    # $(NAME) is a variable of the container's; of those that stand elsewhere only the Pod's namespace can be told.
    variables = {"POD_NAMESPACE": namespace_of(deployment)} | found
    for variable, value in variables.items():
        if f"$({variable})" in given:
            if value is None and variable != "POD_NAMESPACE":
                return None, False
            given = given.replace(f"$({variable})", value if value is not None else namespace_of(deployment))
    return given, True


def _settings(facts: Facts, deployment: Json, where: str) -> Iterator[Finding]:
    mode = _option(deployment, "tenancy")[0] or "enforce"
    if mode == "off":
        text = "it runs with --tenancy=off: there is no wall, every workload gets the signer that it asks for"
        yield Finding("error", "mesh-signer", text, where, "remove --tenancy=off", code="TenancyOff")
    elif mode == "audit":
        until = _option(deployment, "audit-until")[0] or "an unknown time"
        text = f"it runs with --tenancy=audit until {until}: what it would refuse is signed"
        yield Finding(
            "warning",
            "mesh-signer",
            text,
            where,
            "remove --tenancy=audit when the audit log is clean",
            code="TenancyAudit",
        )
    for name in _COMPARED:
        if name not in _OF_ONE or name_of(deployment) == _OF_ONE[name]:
            yield from _compared(facts, deployment, name, where)


def _istiods_domains(facts: Facts) -> set[str]:
    """The CERT_SIGNER_DOMAIN of each istiod, as far as its Deployment says it."""
    found = (environment(at(one, "spec", "template")).get("CERT_SIGNER_DOMAIN") for one in istiods(facts))
    return {domain for domain in found if domain}


def _compared(facts: Facts, deployment: Json, name: str, where: str) -> Iterator[Finding]:
    """Hold one option of a Deployment against this command's, by what the two mean."""
    given, known = _option(deployment, name)
    field = name.replace("-", "_")
    if not known:
        text = f"its --{name} is taken from elsewhere, and was not compared with this command's"
        yield Finding("unknown", "mesh-signer", text, where, code="SettingNotChecked")
        return
    try:
        there = getattr(settings_from({field: given}, {}, host="", process=0), field)
    except SettingsError as error:
        text = f"it has a setting that cannot be used, so that it does not start: {error}"
        yield Finding(
            "error",
            "mesh-signer",
            text,
            where,
            f"correct --{name} in its arguments, or {PREFIX}{field.upper()}",
            code="SettingInvalid",
        )
        return
    here = getattr(facts.settings, field)
    if there == here:
        return
    runs = given if given is not None else f"{_shown(there)}, the default"
    mend = (
        f"give this command --{name}={given} too" if given is not None else f"leave --{name} out here, or set it there"
    )
    if name == "cert-signer-domain" and (told := _istiods_domains(facts)) and told != {there}:
        mend = f"istiod asks for {', '.join(sorted(told))} (CERT_SIGNER_DOMAIN): set --cert-signer-domain of {where} to that"
    wrong = _mistyped(facts, name, there)
    if wrong:
        mend = f"correct --{name} of {where}, or {PREFIX}{field.upper()} there"
    text = (
        f"it runs with --{name}={runs}, and this command with {_shown(here)}: {wrong or 'they may answer differently'}"
    )
    yield Finding("error" if wrong else "warning", "mesh-signer", text, where, mend, code="SettingDiffers")


def _mistyped(facts: Facts, name: str, value: object) -> str:
    """Say why what a Deployment was given can be nothing of this cluster, so that it is not this command's to be changed."""
    known = facts.mesh.world.namespaces
    if name in {"istio-namespace", "cluster-resource-namespace"} and known and value not in known:
        return f"there is no namespace {value}"
    if name == "istiod-accounts" and isinstance(value, frozenset) and value:
        users = {user for one in istiods(facts) if (user := user_of(one))}
        if users and users.isdisjoint(value):
            return f"istiod is {some(sorted(users))}, which is not among them, so nothing that it asks for is signed"
    return ""


def _shown(value: object) -> str:
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, frozenset):
        return ",".join(sorted(value)) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value or "none")


def check_namespaces(facts: Facts) -> Iterator[Finding]:
    """Whether the namespaces are there: nothing else of an installation can be, and it cannot be applied without them."""
    known = facts.mesh.world.namespaces
    if not known:
        return  # they were not read, which check_gaps tells: there is no cluster without any
    settings = facts.settings
    for name, option in (
        (settings.cluster_resource_namespace, "cluster-resource-namespace"),
        (settings.istio_namespace, "istio-namespace"),
    ):
        if name not in known:
            yield Finding(
                "error",
                "mesh-signer",
                f"namespace {name} does not exist (--{option})",
                f"namespace {name}",
                f"kubectl apply -k manifests/namespaces, and after it what is installed there; or --{option} if it is elsewhere, here and of mesh-signer's Deployments",
                code="NamespaceMissing",
            )


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
            code="CertManagerSigns",
        )


def check_gaps(facts: Facts) -> Iterator[Finding]:
    """What of the mesh could not be read: every other answer may lack it."""
    if facts.mesh.world.unsynced:
        text = f"mesh-signer decides nothing before this is there: {facts.mesh.world.unsynced}"
        yield Finding("error", "mesh", text, "", DEFINITIONS, code="SourceMissing")
    if facts.mesh.grace_unread:
        yield Finding("unknown", "mesh", facts.mesh.grace_unread, code="GraceNotChecked")
    for gap in facts.mesh.gaps:
        yield Finding("unknown", "mesh", gap, code="SourceNotChecked")
    for remark in facts.mesh.remarks:
        yield Finding("warning", "mesh", remark, code="ObjectUnreadable")
    if facts.mesh.unread:
        text = f"the CAs of {some(map(str, sorted(facts.mesh.unread)))} were not checked: their Secrets may not be read (get secrets)"
        yield Finding("unknown", "cas", text, code="CAsNotChecked")
    for problem in facts.mesh.world.config.problems:
        yield Finding(
            # A revision whose trust domain cannot be read has none, and its workloads no certificate.
            "error" if ": mesh.trustDomain: " in problem else "warning",
            "mesh-config",
            problem,
            "Istio's ConfigMaps",
            f"correct {field_in(problem)}",
            code="MeshConfigField",
        )
