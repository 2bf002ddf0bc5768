"""istiod's own settings, and those that would dissolve the wall. Pure.

Source: security/pkg/pki/ra/k8s_ra.go, pilot/pkg/bootstrap/{certcontroller,istio_ca}.go, pilot/pkg/xds/pcds.go of Istio.
"""

from collections.abc import Iterator
from typing import Any

from signer.api.signername import parse_signer_name, signer_name_of
from signer.api.text import shown, some
from signer.commands.checks.facts import Facts, Finding, at, environment, items, name_of, namespace_of, or_near
from signer.commands.checks.mesh import refusal
from signer.commands.explanations.advice import with_account
from signer.commands.live import Json
from signer.tenancy.claims import is_ours
from signer.tenancy.grants import make_default
from signer.tenancy.meshconfig.read import config_map_of_revision, revision_of
from signer.tenancy.meshconfig.text import MeshConfigText, UneditableText
from signer.tenancy.world import NO_CLAIMS

_RA = "ISTIOD_RA_KUBERNETES_API"
_XDS_AGENT = "PROXY_CONFIG_XDS_AGENT"
_MULTIROOT = "ISTIO_MULTIROOT_MESH"
_READ = ("EXTERNAL_CA", "CERT_SIGNER_DOMAIN", "PILOT_CERT_PROVIDER", _MULTIROOT, "ENABLE_CA_SERVER", "K8S_SIGNER")
_TRUE = {"true", "1", "t"}


def istiods(facts: Facts) -> list[Json]:
    """Return istiod's Deployments in Istio's namespace, of all revisions."""
    return [
        one
        for one in facts.deployments.items
        if namespace_of(one) == facts.settings.istio_namespace
        and (
            name_of(one) == "istiod"
            or name_of(one).startswith("istiod-")
            or at(one, "metadata", "labels", "app") == "istiod"
        )
    ]


def check_istiod(facts: Facts) -> Iterator[Finding]:
    """Whether istiod asks us, and under the domain that we expect."""
    namespace = facts.settings.istio_namespace
    if facts.deployments.problem:
        yield Finding(
            "unknown", "istiod", f"istiod was not checked: {facts.deployments.problem}", code="IstiodNotChecked"
        )
        return
    found = istiods(facts)
    if not found:
        text = f"there is no istiod in namespace {namespace}"
        yield Finding(
            "warning",
            "istiod",
            text,
            f"namespace {namespace}",
            "set --istio-namespace if it is elsewhere",
            code="IstiodMissing",
        )
    for deployment in found:
        yield from _environment(facts, deployment)


def _environment(facts: Facts, deployment: Json) -> Iterator[Finding]:
    where = f"Deployment {namespace_of(deployment)}/{name_of(deployment)}"
    template = at(deployment, "spec", "template")
    env = environment(template)

    def error(code: str, text: str, mend: str) -> Finding:
        return Finding("error", "istiod", text, where, mend, code=code)

    for name in _READ:
        if name in env and env[name] is None:
            yield Finding(
                "unknown",
                "istiod",
                f"{name} is taken from elsewhere (valueFrom), and was not checked",
                where,
                code="IstiodSettingNotChecked",
            )
    if any(items(one, "envFrom") for one in items(template, "spec", "containers")):
        yield Finding(
            "unknown",
            "istiod",
            "some of its environment is taken from elsewhere (envFrom)",
            where,
            code="IstiodSettingNotChecked",
        )
    if env.get("EXTERNAL_CA", "") not in {_RA, None}:
        text = "EXTERNAL_CA is not ISTIOD_RA_KUBERNETES_API: istiod signs by itself, and no request reaches a signer"
        yield error("IstiodSigns", text, f"set EXTERNAL_CA={_RA} (values.pilot.env)")
    domain = env.get("CERT_SIGNER_DOMAIN", "")
    if domain not in {facts.settings.cert_signer_domain, None}:
        text = f"CERT_SIGNER_DOMAIN is {domain!r}, and this command expects {facts.settings.cert_signer_domain}"
        yield error("IstiodDomain", text, "set it, or run mesh-signer with the --cert-signer-domain of istiod")
    if (env.get("ENABLE_CA_SERVER") or "true").lower() not in _TRUE:
        yield error(
            "IstiodServesNobody",
            "ENABLE_CA_SERVER is off: no workload can ask for a certificate",
            "remove ENABLE_CA_SERVER",
        )
    if (env.get(_MULTIROOT) or "").lower() in _TRUE:
        text = f"{_MULTIROOT} is on: workloads that take part trust every tenant's root, and the wall is gone for them"
        yield error("MultiRoot", text, f"remove {_MULTIROOT}")
    if "external-ca-cert" in {one.get("name") for one in items(template, "spec", "volumes")} and _mounted(template):
        text = "external-ca-cert is mounted: if its root-cert.pem is there, all workloads are given that one root"
        yield Finding(
            "warning", "istiod", text, where, "remove the Secret external-ca-cert and the mount", code="OneRootForAll"
        )
    yield from _account(facts, deployment, where)
    if facts.mesh.gaps:
        if env.get("PILOT_CERT_PROVIDER") or env.get("K8S_SIGNER"):
            text = f"PILOT_CERT_PROVIDER and K8S_SIGNER were not checked: {some(facts.mesh.gaps)}"
            yield Finding("unknown", "istiod", text, where, code="IstiodSettingNotChecked")
        return
    yield from _provider(facts, config_map_of(deployment), where, env.get("PILOT_CERT_PROVIDER", ""))
    yield from _for_all(facts, where, env.get("K8S_SIGNER", ""))


def _account(facts: Facts, deployment: Json, where: str) -> Iterator[Finding]:
    """Whether the wall takes requests from the user that this istiod is."""
    user = user_of(deployment)
    known = facts.mesh.world.requesters
    if user and user not in known:
        text = (
            f"it is {user}, and requests for signers of the mesh are taken from {some(sorted(known)) or 'nobody'} only"
        )
        mend = _known_by(facts, deployment, user)
        yield Finding("error", "istiod", text, where, mend, code="IstiodAccount")


def user_of(deployment: Json) -> str:
    """Name the user that the Pods of a Deployment are, "" where it does not say it."""
    name = at(deployment, "spec", "template", "spec", "serviceAccountName")
    return f"system:serviceaccount:{namespace_of(deployment)}:{name}" if isinstance(name, str) and name else ""


def _known_by(facts: Facts, deployment: Json, user: str) -> str:
    """Say what makes an istiod known: its revision's ConfigMap where that is missing, else the whole list of accounts."""
    name = config_map_of(deployment)
    option = f"set mesh-signer's {with_account(facts.mesh.world, user)}"
    if facts.settings.istiod_accounts or name in facts.mesh.texts:
        return option
    where = f"{facts.settings.istio_namespace}/{name}"
    return f"ConfigMap {where} of its revision is missing: install that revision of Istio again; or {option}"


def config_map_of(deployment: Json) -> str:
    """Name the ConfigMap with the mesh config of an istiod, by the revision that its Deployment is."""
    revision = str(at(deployment, "metadata", "labels", "istio.io/rev") or "")
    return config_map_of_revision("" if revision == "default" else revision)


def revision_option(config_map: str) -> str:
    """The option by which `mesh-config` is told of a ConfigMap."""
    revision = revision_of(config_map)
    return f" --revision {revision}" if revision else ""


def _mounted(template: Any) -> bool:
    # The chart mounts it always, as optional: what counts is a volume that is not optional.
    return any(
        one.get("name") == "external-ca-cert" and at(one, "secret", "optional") is not True
        for one in items(template, "spec", "volumes")
    )


def _provider(facts: Facts, config_map: str, where: str, provider: str | None) -> Iterator[Finding]:
    """PILOT_CERT_PROVIDER: istiod's own certificate is of the signer that it names, by an entry of its own ConfigMap."""
    if not provider or not provider.startswith("k8s.io/"):
        return
    name = provider.removeprefix("k8s.io/")
    ref = parse_signer_name(name)
    if ref is None:
        domain = facts.settings.cert_signer_domain
        if "/" not in name:
            text = (
                f"PILOT_CERT_PROVIDER is {shown(provider)}, which names no signer, having no domain: istiod would exit"
            )
            mend = f"set PILOT_CERT_PROVIDER=k8s.io/{domain}/{name or 'NAME'} (values.pilot.env)"
            yield Finding("error", "istiod", text, where, mend, code="IstiodProvider")
        elif is_ours(name):
            text = f"PILOT_CERT_PROVIDER is {shown(provider)}, which can name no issuer: istiod does not start without its certificate"
            mend = f"set PILOT_CERT_PROVIDER=k8s.io/{domain}/NAME (values.pilot.env)"
            yield Finding("error", "istiod", text, where, mend, code="IstiodProvider")
        return
    config = facts.mesh.world.config
    listed = config.listed.get(config_map)
    known = config.signers if listed is None else {one for entry in listed for one in entry.signers}
    if facts.mesh.texts.get(config_map) is None and facts.mesh.texts:
        pass  # told by check_mesh_config
    elif ref not in known:
        text = f"PILOT_CERT_PROVIDER names {ref}, which has no entry in meshConfig.caCertificates of ConfigMap {config_map}: istiod would exit"
        yield Finding(
            "error",
            "istiod",
            text,
            where,
            or_near(facts, ref, f"mesh-signer mesh-config {name} --write{revision_option(config_map)}"),
            code="IstiodProvider",
        )
    if ref not in facts.mesh.issuers:
        text = f"PILOT_CERT_PROVIDER names {ref}, which does not exist: istiod does not start without its certificate"
        yield Finding("error", "istiod", text, where, or_near(facts, ref, f"make {ref}"), code="IstiodProvider")


def _for_all(facts: Facts, where: str, name: str | None) -> Iterator[Finding]:
    """K8S_SIGNER: the signer of all workloads that name none (all of them in ambient mode)."""
    routed = facts.mesh.world.routed
    if name is not None and routed and parse_signer_name(name) not in routed and not routed & facts.mesh.world.defaults:
        asked = signer_name_of(min(routed))
        text = f"a SignerPolicy routes {some(map(str, sorted(routed)))} by identity, and K8S_SIGNER is {name or 'not set'}: what names no signer is not asked there"
        mend = f"set K8S_SIGNER={asked} (docs: tenants by identity), or delete the policy's route"
        there = parse_signer_name(name) in facts.mesh.issuers
        yield Finding(
            "warning" if there or not name else "error", "istiod", text, where, mend, code="RoutedSignerNotAsked"
        )
        if not there:
            return  # the route's name is meant: what else is wrong with this one misleads
    if not name:
        return
    ref = parse_signer_name(name)
    if ref is None:
        text = f"K8S_SIGNER is {name!r}, which is no signer of ours: what asks without a signer is not signed by mesh-signer"
        yield Finding(
            "warning",
            "istiod",
            text,
            where,
            "name a ClusterIssuer or an Issuer, or remove K8S_SIGNER",
            code="DefaultSignerForeign",
        )
        return
    if ref not in facts.mesh.issuers and ref not in facts.mesh.world.routed:
        text = f"K8S_SIGNER names {ref}, which does not exist: workloads that name no signer get no certificate"
        yield Finding("error", "istiod", text, where, or_near(facts, ref, f"make {ref}"), code="DefaultSignerMissing")
    if ref not in facts.mesh.world.defaults and ref not in facts.mesh.world.policies:
        text = f"K8S_SIGNER names {ref}, which is not the mesh default: workloads that name no signer are refused"
        yield Finding("error", "istiod", text, where, make_default(ref), code="DefaultSignerNotDefault")
    elif ref in facts.mesh.world.policies:  # they speak about the mesh default, too
        world = facts.mesh.world
        unnamed = [name for name in sorted(world.namespaces) if world.claims.get(name, NO_CLAIMS).whole is None]
        if ref in world.routed:  # who has no signer of his own there is told by check_by_identity
            unnamed = [name for name in unnamed if not world.by_identity(name)]
        if refused := [name for name in unnamed if refusal(facts, name, ref) is not None]:
            text = f"K8S_SIGNER names {ref}, which SignerPolicies give out: namespaces that claim none do not get it: {some(refused)}"
            yield Finding(
                "warning",
                "istiod",
                text,
                where,
                "if their workloads are in the mesh, a SignerPolicy is to cover them",
                code="DefaultSignerNotForAll",
            )


def check_multiroot(facts: Facts) -> Iterator[Finding]:
    """Proxies that take part in trust bundles: with ISTIO_MULTIROOT_MESH they trust every tenant's root."""
    multiroot = any(
        (environment(at(one, "spec", "template")).get(_MULTIROOT) or "").lower() in _TRUE for one in istiods(facts)
    )
    places = [
        f"ConfigMap {facts.settings.istio_namespace}/{name}"
        for name, text in facts.mesh.texts.items()
        if _says_xds_agent(text)
    ]
    places += [
        f"ProxyConfig {namespace_of(one)}/{name_of(one)}"
        for one in facts.proxy_configs.items
        if str(at(one, "spec", "environmentVariables", _XDS_AGENT) or "").lower() in _TRUE
    ]
    if facts.proxy_configs.problem:
        yield Finding(
            "unknown",
            "multi-root",
            f"ProxyConfigs were not checked: {facts.proxy_configs.problem}",
            code="ProxyConfigsNotChecked",
        )
    if places:
        text = f"{_XDS_AGENT} is on: these proxies would take all tenants' roots as soon as {_MULTIROOT} is on"
        yield Finding(
            "error" if multiroot else "warning",
            "multi-root",
            text,
            some(places),
            f"remove {_XDS_AGENT}",
            code="ProxiesTakeAllRoots",
        )


def _says_xds_agent(text: str) -> bool:
    try:
        value = MeshConfigText(text).value
    except UneditableText:
        return False
    return str(at(value, "defaultConfig", "proxyMetadata", _XDS_AGENT) or "").lower() in _TRUE
