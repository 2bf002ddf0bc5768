"""What an operator may set, from the command line or the environment. Pure: reads arguments and a mapping, nothing else.

Each option `--some-name` is also the environment variable MESH_SIGNER_SOME_NAME; the command line wins.
"""

import argparse
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeVar

from signer.api.duration import InvalidDuration, format_duration, parse_duration
from signer.api.meta import from_rfc3339
from signer.api.signername import CLUSTER_ISSUER_DOMAIN, ISSUER_DOMAIN
from signer.tenancy import world

T = TypeVar("T", bound=str)

PREFIX = "MESH_SIGNER_"

_NAMESPACE = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_DNS_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
# Any name that an authenticator may give, but no service account that is none.
_USER = re.compile(r"system:serviceaccount:[-a-z0-9]+:[-.a-z0-9]+|(?!system:serviceaccount:)[!-~]+")
_DAY = timedelta(days=1)
_MODES: tuple[world.TenancyMode, ...] = ("enforce", "audit", "off")
_UNBOUND: tuple[Literal["allow", "deny"], ...] = ("allow", "deny")
_ISSUER_KINDS: tuple[Literal["ClusterIssuer", "Issuer"], ...] = ("ClusterIssuer", "Issuer")
_AUDIT_FAILURE: tuple[Literal["stop", "continue"], ...] = ("continue", "stop")

CSR = "csr"
SLOW_CONTROLLERS = ("issuers", "certificates", "certificaterequests", "acmeissuers", "orders", "challenges", "gateways")
POLICIES = "policies"
CONTROLLERS = (CSR, *SLOW_CONTROLLERS, POLICIES)


@dataclass(frozen=True, slots=True)
class Settings:
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
    http01_check_dns: bool = True
    gateway_namespaces: frozenset[str] = frozenset()
    default_issuer_name: str = ""
    default_issuer_kind: Literal["ClusterIssuer", "Issuer"] = "ClusterIssuer"

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


class SettingsError(ValueError):
    """A setting cannot be used; the message names it."""


def add_arguments(parser: argparse.ArgumentParser, only: Collection[str] | None = None) -> None:
    """Add the options of `mesh-signer run` to a parser, or `only` some. None has a default there: see `settings_from`."""

    def option(name: str, text: str, **kwargs: Any) -> None:
        if only is not None and name not in only:
            return
        parser.add_argument(f"--{name}", default=None, help=text, **kwargs)

    option(
        "kubeconfig", "kubeconfig file; without it, the Pod's own ServiceAccount, or else KUBECONFIG and ~/.kube/config"
    )
    option("cluster-resource-namespace", "namespace of the CA Secrets of ClusterIssuers (default cert-manager)")
    option(
        "controllers",
        f"comma-separated: {', '.join(CONTROLLERS)}, or * for all. Without it: all, but only csr where the "
        "cert-manager.io CRDs are not ours, that is beside a real cert-manager",
    )
    option("namespace", "namespace of our own Leases (default: the Pod's, else the cluster resource namespace)")
    option("identity", "name of this replica (default: POD_NAME, else host name and process id)")
    option(
        "bind",
        "address and port of /metrics, /livez and /readyz (default 127.0.0.1:9402; port 0: any; none: not at all)",
    )
    option("log-format", "text or json (default text)", choices=("text", "json"))
    option("log-level", "debug, info, warning or error (default info)", choices=("debug", "info", "warning", "error"))
    option("audit-log", "file for audit lines, - for standard output, none for nowhere (default -)")
    option(
        "allow-ca-requests",
        "whether a CertificateSigningRequest may ask for a CA certificate (default true)",
        metavar="BOOL",
    )
    option(
        "auto-approve",
        "whether CertificateRequests are approved by us, and not by an approver (default true)",
        metavar="BOOL",
    )
    option(
        "enable-certificate-owner-ref",
        "whether a Certificate owns its Secret, which then goes with it (default false)",
        metavar="BOOL",
    )
    option("write-window", "how many status writes may be under way at once (default 64)", metavar="N")
    option("drain-seconds", "how long to work off what is there after SIGTERM (default 20)", metavar="SECONDS")
    option(
        "leader-elect", "whether the slow controllers work only while holding a Lease (default true)", metavar="BOOL"
    )
    option(
        "tenancy",
        "the wall between tenants: enforce; audit, which signs what it would refuse, until --audit-until; or off "
        "(default enforce)",
        choices=_MODES,
    )
    option("audit-until", "when --tenancy=audit ends and the wall enforces, as in 2026-12-31T00:00:00Z", metavar="TIME")
    option(
        "unbound",
        "what of signers that are none of the mesh's: allow, as cert-manager does, or deny (default allow)",
        choices=_UNBOUND,
    )
    option(
        "grace",
        "how long after its last certificate a namespace may renew from a signer that it no longer claims (default 24h)",
        metavar="DURATION",
    )
    option(
        "http01-check-dns",
        "whether a host must resolve here before an ACME server is told to look (default true)",
        metavar="BOOL",
    )
    option(
        "gateway-namespaces",
        "comma-separated namespaces in which administrators run gateways for others (default: Istio's namespace)",
        metavar="NAMES",
    )
    option("default-issuer-name", "the issuer of Gateways and Ingresses that name none (default: they get nothing)")
    option("default-issuer-kind", "ClusterIssuer or Issuer (default ClusterIssuer)", choices=_ISSUER_KINDS)
    option("istio-namespace", "istiod's namespace (default istio-system)")
    option(
        "istiod-accounts",
        "comma-separated user names that ask for workloads (default: the service accounts istiod and istiod-REVISION "
        "in Istio's namespace)",
        metavar="USERS",
    )
    option(
        "cert-signer-domain",
        f"istiod's CERT_SIGNER_DOMAIN (default {CLUSTER_ISSUER_DOMAIN})",
        choices=(CLUSTER_ISSUER_DOMAIN, ISSUER_DOMAIN),
    )
    option(
        "max-workload-lifetime",
        "longest lifetime of a workload's certificate where no SignerPolicy says another (default 24h)",
        metavar="DURATION",
    )
    option("istiod-dns-names", "comma-separated further names that istiod's own certificate may have", metavar="NAMES")
    option(
        "shared-mesh-config",
        "istiod's SHARED_MESH_CONFIG: a ConfigMap in Istio's namespace (default none)",
        metavar="NAME",
    )
    option(
        "audit-failure",
        "what to do when the audit log cannot be written: stop signing, or continue (default continue)",
        choices=_AUDIT_FAILURE,
    )
    option(
        "manage-mesh-config",
        "whether meshConfig.caCertificates is kept in step with the mesh signers' CAs (default false)",
        metavar="BOOL",
    )


def settings_from(
    arguments: Mapping[str, str | None], environment: Mapping[str, str], *, host: str, process: int
) -> Settings:
    """Put settings together from parsed arguments and the environment. Raises SettingsError.

    `host` and `process` make the identity of a replica that is given none.
    """
    defaults = Settings()

    def text(name: str, default: str) -> str:
        given = arguments.get(name.replace("-", "_"))
        return given if given is not None else environment.get(PREFIX + name.replace("-", "_").upper(), default)

    def boolean(name: str, *, default: bool) -> bool:
        value = text(name, "true" if default else "false").lower()
        if value not in {"true", "false", "1", "0", "yes", "no"}:
            raise SettingsError(f"--{name}: {value!r} is neither true nor false")
        return value in {"true", "1", "yes"}

    def number(name: str, default: float, low: float, high: float) -> float:
        value = text(name, str(default))
        try:
            parsed = float(value)
        except ValueError:
            raise SettingsError(f"--{name}: {value!r} is no number") from None
        if not low <= parsed <= high:
            raise SettingsError(f"--{name}: {value} is not between {low:g} and {high:g}")
        return parsed

    def choice(name: str, default: T, allowed: Sequence[T]) -> T:
        value = text(name, default)
        for one in allowed:
            if value == one:
                return one
        raise SettingsError(f"--{name}: {value!r} is none of {', '.join(allowed)}")

    def namespace(name: str, default: str) -> str:
        value = text(name, default)
        if not _NAMESPACE.fullmatch(value):
            raise SettingsError(f"--{name}: {value!r} can be no namespace")
        return value

    def duration(name: str, default: timedelta, low: timedelta, high: timedelta) -> timedelta:
        value = text(name, format_duration(default))
        try:
            parsed = parse_duration(value)
        except InvalidDuration:
            raise SettingsError(f"--{name}: {value!r} is no duration, as 24h or 90m are") from None
        if not low <= parsed <= high:
            raise SettingsError(f"--{name}: {value} is not between {format_duration(low)} and {format_duration(high)}")
        return parsed

    def names(name: str, shape: re.Pattern[str], what: str) -> frozenset[str]:
        found = frozenset(one.strip() for one in text(name, "").split(",") if one.strip())
        for one in sorted(found):
            if not shape.fullmatch(one):
                raise SettingsError(f"--{name}: {one!r} can be no {what}")
        return found

    resource_namespace = namespace("cluster-resource-namespace", defaults.cluster_resource_namespace)
    mode = choice("tenancy", defaults.tenancy_mode, _MODES)
    manage = boolean("manage-mesh-config", default=defaults.manage_mesh_config)
    if manage and mode == "off":
        raise SettingsError("--manage-mesh-config: with --tenancy=off nothing of the mesh is read")
    shared = text("shared-mesh-config", "")
    if shared and not _DNS_NAME.fullmatch(shared):
        raise SettingsError(f"--shared-mesh-config: {shared!r} can be no ConfigMap")
    istio_namespace = namespace("istio-namespace", defaults.istio_namespace)
    default_issuer = text("default-issuer-name", "")
    if default_issuer and not _DNS_NAME.fullmatch(default_issuer):
        raise SettingsError(f"--default-issuer-name: {default_issuer!r} can be no issuer")
    return Settings(
        kubeconfig=text("kubeconfig", "") or None,
        cluster_resource_namespace=resource_namespace,
        controllers=_controllers(text("controllers", "")),
        namespace=text("namespace", "") or environment.get("POD_NAMESPACE", "") or resource_namespace,
        identity=text("identity", "") or environment.get("POD_NAME", "") or f"{host}-{process}",
        bind=_bind(text("bind", defaults.bind)),
        log_format=choice("log-format", defaults.log_format, ("text", "json")),
        log_level=choice("log-level", defaults.log_level, ("debug", "info", "warning", "error")),
        audit_log=text("audit-log", defaults.audit_log),
        allow_ca_requests=boolean("allow-ca-requests", default=defaults.allow_ca_requests),
        auto_approve=boolean("auto-approve", default=defaults.auto_approve),
        enable_certificate_owner_ref=boolean(
            "enable-certificate-owner-ref", default=defaults.enable_certificate_owner_ref
        ),
        write_window=int(number("write-window", defaults.write_window, 1, 1024)),
        drain_seconds=number("drain-seconds", defaults.drain_seconds, 0, 3600),
        leader_elect=boolean("leader-elect", default=defaults.leader_elect),
        tenancy_mode=mode,
        audit_until=_audit_until(text("audit-until", ""), mode),
        unbound=choice("unbound", defaults.unbound, _UNBOUND),
        # 30 days is where grace ends in any case.
        grace=duration("grace", defaults.grace, timedelta(0), 30 * _DAY),
        istio_namespace=istio_namespace,
        istiod_accounts=names(
            "istiod-accounts", _USER, "user (a service account is system:serviceaccount:NAMESPACE:NAME)"
        ),
        cert_signer_domain=choice(
            "cert-signer-domain", defaults.cert_signer_domain, (CLUSTER_ISSUER_DOMAIN, ISSUER_DOMAIN)
        ),
        max_workload_lifetime=duration(
            "max-workload-lifetime", defaults.max_workload_lifetime, timedelta(minutes=1), 90 * _DAY
        ),
        istiod_dns_names=names("istiod-dns-names", _DNS_NAME, "DNS name"),
        shared_mesh_config=shared,
        audit_failure=choice("audit-failure", defaults.audit_failure, _AUDIT_FAILURE),
        manage_mesh_config=manage,
        gateway_namespaces=names("gateway-namespaces", _NAMESPACE, "namespace"),
        default_issuer_name=default_issuer,
        default_issuer_kind=choice("default-issuer-kind", defaults.default_issuer_kind, _ISSUER_KINDS),
        http01_check_dns=boolean("http01-check-dns", default=defaults.http01_check_dns),
    )


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
        raise SettingsError(f"--audit-until: {text!r} is no time, as 2026-12-31T00:00:00Z is")
    return until


def _bind(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if text != "none" and not (colon and port.isascii() and port.isdigit() and int(port) < 1 << 16):
        raise SettingsError(f"--bind: {text!r} is neither ADDRESS:PORT nor none")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise SettingsError(f"--bind: an IPv6 address stands in brackets, as in [{host}]:{port}")
    return text


def _controllers(text: str) -> tuple[str, ...] | None:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        return None
    if "*" in names:
        return CONTROLLERS
    for name in names:
        if name not in CONTROLLERS:
            raise SettingsError(f"--controllers: {name!r} is none of {', '.join(CONTROLLERS)}")
    return tuple(name for name in CONTROLLERS if name in names)
