"""What is installed: CRDs, mesh-signer's own Deployments and their settings. Pure."""

from collections.abc import Iterator
from datetime import timedelta

from signer.api.crd import CERTIFICATES_CRD, ours
from signer.api.duration import format_duration
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
)
from signer.commands.command import WALL_OPTIONS
from signer.commands.live import Json
from signer.settings.given import PREFIX, SettingsError
from signer.settings.values import Settings, settings_from

_OURS = ("signerpolicies.mesh-signer.dev", "signerbindings.mesh-signer.dev", "signerrecords.mesh-signer.dev")
_ISSUERS = ("issuers.cert-manager.io", "clusterissuers.cert-manager.io", CERTIFICATES_CRD)
# What the wall's answers hang on; those of one Deployment alone are in _OF_ONE.
_COMPARED = tuple(name for name in WALL_OPTIONS if name not in {"kubeconfig", "tenancy", "audit-until"})
_OF_ONE = {"allow-ca-requests": SIGNER, "auto-approve": CONTROLLERS}
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
        yield Finding("error", "mesh-signer", text, where, "remove --tenancy=off")
    elif mode == "audit":
        until = _option(deployment, "audit-until")[0] or "an unknown time"
        text = f"it runs with --tenancy=audit until {until}: what it would refuse is signed"
        yield Finding("warning", "mesh-signer", text, where, "remove --tenancy=audit when the audit log is clean")
    for name in _COMPARED:
        if name not in _OF_ONE or name_of(deployment) == _OF_ONE[name]:
            yield from _compared(facts.settings, deployment, name, where)


def _compared(settings: Settings, deployment: Json, name: str, where: str) -> Iterator[Finding]:
    """Hold one option of a Deployment against this command's, by what the two mean."""
    given, known = _option(deployment, name)
    field = name.replace("-", "_")
    if not known:
        text = f"its --{name} is taken from elsewhere, and was not compared with this command's"
        yield Finding("unknown", "mesh-signer", text, where)
        return
    try:
        there = getattr(settings_from({field: given}, {}, host="", process=0), field)
    except SettingsError as error:
        text = f"it has a setting that cannot be used, so that it does not start: {error}"
        yield Finding("error", "mesh-signer", text, where, "correct the option that is named")
        return
    here = getattr(settings, field)
    if there == here:
        return
    runs = given if given is not None else f"{_shown(there)}, the default"
    mend = (
        f"give this command --{name}={given} too" if given is not None else f"leave --{name} out here, or set it there"
    )
    text = f"it runs with --{name}={runs}, and this command with {_shown(here)}: they may answer differently"
    yield Finding("warning", "mesh-signer", text, where, mend)


def _shown(value: object) -> str:
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, frozenset):
        return ",".join(sorted(value)) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value or "none")


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
