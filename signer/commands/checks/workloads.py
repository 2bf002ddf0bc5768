"""What runs: Pods that ask for a signer that they may not have, and gateways that cannot reach tenants. Pure."""

from collections import defaultdict
from collections.abc import Iterator

from signer.api.issuer import IssuerRef
from signer.api.proxyconfig import CERT_SIGNER, meant_for_cert_signer
from signer.api.text import shown, some
from signer.commands.checks.facts import Facts, Finding, at, containers, environment, items, name_of, namespace_of
from signer.commands.checks.mesh import refusal
from signer.commands.live import Json
from signer.tenancy.claims import signer_of
from signer.tenancy.meshconfig.yaml import UnreadableYAML, read_yaml
from signer.tenancy.world import NO_CLAIMS

_ANNOTATION = "proxy.istio.io/config"
_GATEWAYS = {"ingressgateway", "egressgateway"}
_ENDED = {"Succeeded", "Failed"}


def asked_by(pod: Json, domain: str) -> frozenset[IssuerRef]:
    """Return the signers that a Pod (or a Pod template) asks for by itself, in its annotation or its environment."""
    values = set()
    for container in containers(pod):
        for entry in items(container, "env"):
            if entry.get("name") == CERT_SIGNER and isinstance(entry.get("value"), str):
                values.add(entry["value"])
    value = at(_metadata_of(pod), CERT_SIGNER)
    if isinstance(value, str):
        values.add(value)
    return frozenset(ref for value in values if (ref := signer_of(value, domain)) is not None)


def check_workloads(facts: Facts) -> Iterator[Finding]:
    """Pods that ask for a signer that their namespace may not have: they get no certificate."""
    if facts.pods.problem:
        yield Finding(
            "unknown", "workloads", f"Pods were not checked: {facts.pods.problem}", code="WorkloadsNotChecked"
        )
        return
    if facts.mesh.gaps:
        yield Finding(
            "unknown",
            "workloads",
            f"what Pods ask for was not checked: {some(facts.mesh.gaps)}",
            code="WorkloadsNotChecked",
        )
        return
    world = facts.mesh.world
    asking: dict[tuple[str, IssuerRef], list[str]] = defaultdict(list)
    for pod in facts.pods.items:
        if at(pod, "status", "phase") not in _ENDED:
            for ref in asked_by(pod, world.settings.signer_domain):
                asking[namespace_of(pod), ref].append(name_of(pod))
    for (namespace, ref), pods in sorted(asking.items()):
        if (why := refusal(facts, namespace, ref)) is None:
            continue
        count = f"{len(pods)} Pods ask" if len(pods) > 1 else "a Pod asks"
        yield Finding(
            why.severity,
            "workloads",
            f"{count} for {ref} and may not have it: {why.what}"
            if why.severity != "unknown"
            else f"whether {namespace} may have {ref} was not checked: {why.what}",
            f"namespace {namespace}: {some(sorted(pods), 3)}",
            f"remove {CERT_SIGNER} from them, or see mesh-signer explain --namespace={namespace} --signer={ref.name}",
            code="WorkloadRefused" if why.severity != "unknown" else "WorkloadsNotChecked",
        )


def check_variables(facts: Facts) -> Iterator[Finding]:
    """Variables that are nearly the one by which a workload asks for a signer: they say nothing, and the default is asked."""
    found: dict[str, list[str]] = defaultdict(list)
    for obj in facts.proxy_configs.items:
        for name in _names(at(obj, "spec", "environmentVariables")):
            found[name].append(f"ProxyConfig {namespace_of(obj)}/{name_of(obj)}")
    for pod in facts.pods.items:
        if at(pod, "status", "phase") not in _ENDED:
            for name in {*_names(environment(pod)), *_names(_metadata_of(pod))}:
                found[name].append(f"Pod {namespace_of(pod)}/{name_of(pod)}")
    for name, places in sorted(found.items()):
        text = f"the variable {shown(name)} asks for no signer, so these workloads ask for their namespace's or the mesh's default"
        yield Finding(
            "warning", "workloads", text, some(sorted(places)), f"is {CERT_SIGNER} meant?", code="VariableMisspelt"
        )


def _names(variables: object) -> list[str]:
    found = variables if isinstance(variables, dict) else {}
    return [name for name in found if isinstance(name, str) and meant_for_cert_signer(name)]


def _metadata_of(pod: Json) -> object:
    text = at(pod, "metadata", "annotations", _ANNOTATION)
    try:
        return at(read_yaml(text), "proxyMetadata") if isinstance(text, str) else None
    except UnreadableYAML:
        return None


def check_gateways(facts: Facts) -> Iterator[Finding]:
    """Gateways that several tenants share: one trusts its own signer's root only, and so cannot reach the others."""
    if facts.deployments.problem:
        return  # told by the checks of istiod
    world = facts.mesh.world
    tenants = {
        ref: namespace
        for namespace, claims in sorted(world.claims.items())
        for ref in claims.signers
        if ref in world.signers and namespace != world.settings.istio_namespace
    }
    for deployment in facts.deployments.items:
        if not _is_gateway(deployment):
            continue
        namespace = namespace_of(deployment)
        if namespace == world.settings.cluster_resource_namespace:
            yield Finding(
                "error",
                "gateways",
                "a gateway runs beside the Secrets of the CAs, and istiod gives it any Secret of its namespace by name",
                f"Deployment {namespace}/{name_of(deployment)}",
                "give the gateway's Deployment a namespace of its own",
                code="GatewayBesideCAs",
            )
        template = at(deployment, "spec", "template")
        own = _signer_of(facts, namespace, template)
        if own is None or own not in world.defaults:
            continue  # a tenant's own gateway: that it reaches nobody else is what the wall is for
        others = sorted(ref for ref in tenants if ref != own and not _one_root(facts, ref, own))
        if others:
            yield Finding(
                "warning",
                "gateways",
                f"the gateway has certificates of {own}, trusts its root only, and cannot reach workloads of "
                f"{some(map(str, others))}",
                f"Deployment {namespace}/{name_of(deployment)}",
                "run a gateway's Deployment in each tenant's namespace, so that it has that tenant's signer",
                code="GatewayOfDefault",
            )


def _is_gateway(deployment: Json) -> bool:
    labels = at(deployment, "spec", "template", "metadata", "labels")
    annotations = at(deployment, "spec", "template", "metadata", "annotations")
    if not isinstance(labels, dict):
        labels = {}
    return (
        labels.get("istio") in _GATEWAYS
        or "gateway.networking.k8s.io/gateway-name" in labels
        or at(annotations, "inject.istio.io/templates") == "gateway"
    )


def _signer_of(facts: Facts, namespace: str, template: Json) -> IssuerRef | None:
    world = facts.mesh.world
    if (value := environment(template).get(CERT_SIGNER)) is not None:
        return signer_of(value, world.settings.signer_domain)
    claimed = world.claims.get(namespace, NO_CLAIMS).whole
    return claimed if claimed is not None else next(iter(sorted(world.defaults)), None)


def _one_root(facts: Facts, one: IssuerRef, other: IssuerRef) -> bool:
    """Tell whether two signers' workloads trust the same root, as far as that is known."""
    first, second = facts.mesh.authority(one), facts.mesh.authority(other)
    return first is not None and second is not None and first.root_pem is not None and first.root_pem == second.root_pem
