"""What an operator may set, from the command line or the environment. Pure: reads arguments and a mapping, nothing else.

The options that a person sees are in `options`, how one value is read in `given`, and what the edge needs in
`edge`.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal

import msgspec
from msgspec.structs import replace

from signer.api.meta import from_rfc3339
from signer.api.signername import CLUSTER_ISSUER_DOMAIN, ISSUER_DOMAIN
from signer.kube.room import BUDGET
from signer.settings.edge import EdgeSettings, edge_settings
from signer.settings.given import HOST, NAMESPACE, Given, SettingsError
from signer.tenancy import world

_DAY = timedelta(days=1)
_MIB = 1024 * 1024
TENANCY_MODES: tuple[world.TenancyMode, ...] = ("enforce", "audit", "off")
UNBOUND: tuple[Literal["allow", "deny"], ...] = ("allow", "deny")
AUDIT_FAILURE: tuple[Literal["stop", "continue"], ...] = ("continue", "stop")

CSR = "csr"
POD_CERTIFICATES = "podcertificates"
ISSUERS = "issuers"
SLOW_CONTROLLERS = (
    ISSUERS,
    "certificates",
    "certificaterequests",
    "acmeissuers",
    "orders",
    "challenges",
    "gateways",
    "casources",
)
POLICIES = "policies"
TRUST_BUNDLES = "trustbundles"
CA_INJECTOR = "cainjector"
CONTROLLERS = (CSR, POD_CERTIFICATES, *SLOW_CONTROLLERS, POLICIES, TRUST_BUNDLES, CA_INJECTOR)


class Settings(msgspec.Struct, frozen=True):
    """One process's settings. `controllers` is None for "what fits the cluster" (see `--controllers`)."""

    kubeconfig: str | None = None
    cluster_resource_namespace: str = "cert-manager"
    controllers: tuple[str, ...] | None = None
    namespace: str = "cert-manager"
    identity: str = ""
    bind: str = "127.0.0.1:9402"
    log_format: str = "text"
    log_level: str = "info"
    audit_log: str = "-"
    allow_ca_requests: bool = True
    auto_approve: bool = True
    enable_certificate_owner_ref: bool = False
    write_window: int = 64
    namespace_memory: int = BUDGET // _MIB
    drain_seconds: float = 20.0
    leader_elect: bool = True
    tenancy_mode: world.TenancyMode = "enforce"
    audit_until: datetime | None = None
    unbound: Literal["allow", "deny"] = "allow"
    grace: timedelta = _DAY
    istio_namespace: str = "istio-system"
    istiod_accounts: frozenset[str] = frozenset()
    cert_signer_domain: str = CLUSTER_ISSUER_DOMAIN
    max_workload_lifetime: timedelta = _DAY
    istiod_dns_names: frozenset[str] = frozenset()
    shared_mesh_config: str = ""
    audit_failure: Literal["stop", "continue"] = "continue"
    manage_mesh_config: bool = False
    tenant_bridges: bool = False
    ca_injector_namespaces: frozenset[str] = frozenset()
    edge: EdgeSettings = msgspec.field(default_factory=EdgeSettings)
    changed: tuple[tuple[str, str], ...] = ()
    """The options that are not at their defaults, as they were given."""

    @property
    def only_injects(self) -> bool:
        """Whether this process is the CA injector and nothing else: then it needs to know no issuer, and may not."""
        return self.controllers == (CA_INJECTOR,)

    @property
    def component(self) -> str:
        """What this process does, in a word: for metrics, whose alerts ask which part is not there."""
        if self.controllers is None or self.controllers == CONTROLLERS:
            return "all"
        if self.only_injects:
            return "ca-injector"
        return "signer" if CSR in self.controllers else "controllers"

    def tenancy(self) -> world.Settings:
        """What the wall needs of these."""
        return world.Settings(
            mode=self.tenancy_mode,
            audit_until=self.audit_until,
            unbound=self.unbound,
            grace=self.grace,
            istio_namespace=self.istio_namespace,
            istiod_accounts=self.istiod_accounts,
            signer_domain=self.cert_signer_domain,
            cluster_resource_namespace=self.cluster_resource_namespace,
            max_workload_lifetime=self.max_workload_lifetime,
            istiod_dns_names=self.istiod_dns_names,
        )


def settings_from(
    arguments: Mapping[str, str | None], environment: Mapping[str, str], *, host: str, process: int
) -> Settings:
    """Put settings together from parsed arguments and the environment. Raises SettingsError.

    `host` and `process` make the identity of a replica that is given none.
    """
    defaults = Settings()
    given = Given(arguments, environment)
    resource_namespace = given.namespace("cluster-resource-namespace", defaults.cluster_resource_namespace)
    mode = given.choice("tenancy", defaults.tenancy_mode, TENANCY_MODES)
    manage = given.boolean("manage-mesh-config", default=defaults.manage_mesh_config)
    if manage and mode == "off":
        raise SettingsError("--manage-mesh-config: with --tenancy=off nothing of the mesh is read")
    bridges = given.boolean("tenant-bridges", default=defaults.tenant_bridges)
    if bridges and mode == "off":
        raise SettingsError("--tenant-bridges: with --tenancy=off there are no tenants to be joined")
    found = Settings(
        kubeconfig=given.text("kubeconfig", "") or None,
        cluster_resource_namespace=resource_namespace,
        controllers=_controllers(given.text("controllers", "")),
        namespace=(
            given.namespace("namespace", "")
            if given.text("namespace", "")
            else environment.get("POD_NAMESPACE", "") or resource_namespace
        ),
        identity=given.word("identity", "") or environment.get("POD_NAME", "") or f"{host}-{process}",
        bind=given.address("bind", defaults.bind),
        log_format=given.choice("log-format", defaults.log_format, ("text", "json")),
        log_level=given.choice("log-level", defaults.log_level, ("debug", "info", "warning", "error")),
        audit_log=given.text("audit-log", defaults.audit_log),
        allow_ca_requests=given.boolean("allow-ca-requests", default=defaults.allow_ca_requests),
        auto_approve=given.boolean("auto-approve", default=defaults.auto_approve),
        enable_certificate_owner_ref=given.boolean(
            "enable-certificate-owner-ref", default=defaults.enable_certificate_owner_ref
        ),
        write_window=int(given.number("write-window", defaults.write_window, 1, 1024)),
        namespace_memory=int(given.number("namespace-memory", defaults.namespace_memory, 1, 1024)),
        drain_seconds=given.number("drain-seconds", defaults.drain_seconds, 0, 3600),
        leader_elect=given.boolean("leader-elect", default=defaults.leader_elect),
        tenancy_mode=mode,
        audit_until=_audit_until(given.text("audit-until", ""), mode),
        unbound=given.choice("unbound", defaults.unbound, UNBOUND),
        # 30 days is where grace ends in any case.
        grace=given.duration("grace", defaults.grace, timedelta(0), 30 * _DAY),
        istio_namespace=given.namespace("istio-namespace", defaults.istio_namespace),
        istiod_accounts=given.users("istiod-accounts"),
        cert_signer_domain=given.choice(
            "cert-signer-domain", defaults.cert_signer_domain, (CLUSTER_ISSUER_DOMAIN, ISSUER_DOMAIN)
        ),
        max_workload_lifetime=given.duration(
            "max-workload-lifetime", defaults.max_workload_lifetime, timedelta(minutes=1), 90 * _DAY
        ),
        istiod_dns_names=given.names("istiod-dns-names", HOST, "DNS name"),
        shared_mesh_config=given.object_name("shared-mesh-config", "ConfigMap"),
        audit_failure=given.choice("audit-failure", defaults.audit_failure, AUDIT_FAILURE),
        manage_mesh_config=manage,
        tenant_bridges=bridges,
        ca_injector_namespaces=given.names("ca-injector-namespaces", NAMESPACE, "namespace"),
        edge=edge_settings(given),
    )
    given.check_environment()
    return replace(found, changed=given.changed)


def _audit_until(text: str, mode: str) -> datetime | None:
    """Read when audit mode ends.

    An end that is past is taken: a Pod that starts again weeks later, with the arguments that it always had, must
    enforce, and not leave the mesh without certificates.
    """
    if not text:
        if mode == "audit":
            raise SettingsError("--audit-until: --tenancy=audit needs it: when the wall begins to enforce")
        return None
    until = from_rfc3339(text)
    if until is None:
        raise SettingsError(f"--audit-until: {text!r} is not a time, as 2026-12-31T00:00:00Z is")
    return until


def _controllers(text: str) -> tuple[str, ...] | None:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        return None
    if "*" in names:
        return CONTROLLERS
    for name in names:
        if name not in CONTROLLERS:
            raise SettingsError(f"--controllers: {name!r} is not one of {', '.join(CONTROLLERS)}")
    if POD_CERTIFICATES in names and CSR not in names:
        raise SettingsError(f"--controllers: {POD_CERTIFICATES} shares queue and replicas with {CSR}: name both")
    return tuple(name for name in CONTROLLERS if name in names)
