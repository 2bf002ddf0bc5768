"""What a solver's `dns01` says: which provider writes the TXT record, and whether CNAMEs are followed. Pure.

cert-manager's fields and defaults, but for `externalDNS`, which is ours. All that is wrong is told at once, each with its
field. Sources: https://cert-manager.io/docs/configuration/acme/dns01/rfc2136/; cert-manager v1.20,
internal/apis/certmanager/validation/issuer.go and pkg/issuer/acme/dns/rfc2136.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from issuers.acme.errors import ForbiddenTarget
from issuers.acme.targets import origin
from signer.api.names import is_label, is_subdomain
from signer.api.text import shown
from signer.edge.issuers.dns01_apis import APIS, Api, read_api
from signer.edge.issuers.dns01_fields import secret_entry, unknown

PROVIDERS = ("rfc2136", "acmeDNS", "externalDNS", "webhook", "persistent", *APIS)
"""What we can prove names by."""
ALGORITHMS = {
    "HMACMD5": "hmac-md5.sig-alg.reg.int.",
    "HMACSHA1": "hmac-sha1.",
    "HMACSHA256": "hmac-sha256.",
    "HMACSHA512": "hmac-sha512.",
}
"""The issuer's words, and TSIG's names for them (RFC 8945, 6)."""
MAX_CONFIG = 64 * 1024
"""Bytes of a webhook's own settings."""
_OTHERS = ("cert-manager.io", "acme.cert-manager.io", "mesh-signer.dev")
_OTHERS_BELOW = ("k8s.io", "istio.io")
_DNS_PORT = 53
_HOST = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?(\.[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?)*", re.ASCII
)
_FIELDS = ("nameserver", "protocol", "tsigAlgorithm", "tsigKeyName", "tsigSecretSecretRef")


@dataclass(frozen=True, slots=True)
class Tsig:
    """How updates are signed. The secret lies where the issuer's Secrets lie, in base64 as name servers have it."""

    name: str
    algorithm: str
    secret_name: str
    secret_key: str


@dataclass(frozen=True, slots=True)
class Rfc2136:
    """Updates sent to one name server; unsigned without `tsig`."""

    host: str
    port: int = _DNS_PORT
    tcp: bool = False
    tsig: Tsig | None = None

    @property
    def shown(self) -> str:
        """The server, for messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class AcmeDns:
    """Accounts at an acme-dns server. `host` is its https URL without a slash at the end; the Secret lies where the issuer's do."""

    host: str
    secret_name: str
    secret_key: str


@dataclass(frozen=True, slots=True)
class ExternalDns:
    """DNSEndpoint objects for External-DNS, in `namespace`, or in the Challenge's own when that is ""."""

    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Webhook:
    """A solver of cert-manager's webhook API: its group, its name there, and its own settings as JSON, b"" for none."""

    group: str
    solver: str
    config: bytes = b""


@dataclass(frozen=True, slots=True)
class Persistent:
    """dns-persist-01: a record that somebody has written for good. `issuer`: the CA's domain name, as CAA records have it."""

    issuer: str


@dataclass(frozen=True, slots=True)
class Dns01:
    """One solver. `follow`: CNAMEs of the record's name are followed to where it is written."""

    provider: Rfc2136 | AcmeDns | ExternalDns | Webhook | Persistent | Api
    follow: bool = False


def read_dns01(settings: Any, place: str, *, cluster_wide: bool) -> Dns01 | tuple[str, ...]:
    """Read a solver's `dns01`, or return what is wrong with it. `place` is its path in the issuer.

    `cluster_wide`: only administrators write it.
    """
    if not isinstance(settings, dict):
        return (f"{place}: an object is expected",)
    names = [name for name in settings if name != "cnameStrategy"]
    if len(names) != 1:
        return (f"{place}: one provider is expected",)
    if names[0] not in PROVIDERS:
        known = f"{', '.join(PROVIDERS[:-1])} and {PROVIDERS[-1]}"
        return (f"{place}.{shown(names[0])[1:-1]}: not supported by this version of mesh-signer ({known} are)",)
    problems: list[str] = []
    strategy = settings.get("cnameStrategy") or "None"
    if strategy not in ("None", "Follow"):
        problems.append(f"{place}.cnameStrategy: {shown(str(strategy))} is neither None nor Follow")
    inside = settings[names[0]] if settings[names[0]] is not None else {}
    place = f"{place}.{names[0]}"
    if not isinstance(inside, dict):
        return (*problems, f"{place}: an object is expected")
    provider: Rfc2136 | AcmeDns | ExternalDns | Webhook | Persistent | Api | None
    match names[0]:
        case "rfc2136":
            provider = _rfc2136(inside, place, problems)
        case "acmeDNS":
            provider = _acme_dns(inside, place, problems)
        case "webhook":
            provider = _webhook(inside, place, problems)
        case "persistent":
            provider = _persistent(inside, place, problems)
        case name if name in APIS:
            provider = read_api(name, inside, place, problems)
        case _:
            provider = _external_dns(inside, place, problems, cluster_wide=cluster_wide)
    return tuple(problems) if problems or provider is None else Dns01(provider, strategy == "Follow")


def own_credentials(provider: Rfc2136 | AcmeDns | ExternalDns | Webhook | Persistent | Api) -> bool:
    """Tell whether a namespaced Issuer's provider writes by what lies in the Issuer's own namespace alone.

    External-DNS and webhooks have credentials of their own; an update without TSIG is taken for where it comes from.
    """
    return not isinstance(provider, ExternalDns | Webhook) and not (
        isinstance(provider, Rfc2136) and provider.tsig is None
    )


def _rfc2136(settings: Mapping[str, Any], place: str, problems: list[str]) -> Rfc2136 | None:
    problems += unknown(settings, _FIELDS, place)
    given = {name: settings.get(name) or "" for name in _FIELDS if name != "tsigSecretSecretRef"}
    wrong = [name for name, value in given.items() if not isinstance(value, str)]
    if wrong:
        problems += [f"{place}.{name}: text is expected" for name in wrong]
        return None
    server = _nameserver(given["nameserver"])
    if server is None:
        what = shown(given["nameserver"]) if given["nameserver"] else "nothing"
        problems.append(f"{place}.nameserver: host:port of a name server is expected, found {what}")
    if given["protocol"] not in ("", "UDP", "TCP"):
        problems.append(f"{place}.protocol: {shown(given['protocol'])} is neither UDP nor TCP")
    tsig = _tsig(
        settings.get("tsigSecretSecretRef") or {}, given["tsigKeyName"], given["tsigAlgorithm"], place, problems
    )
    if problems or server is None:
        return None
    return Rfc2136(*server, tcp=given["protocol"] == "TCP", tsig=tsig)


def _tsig(ref: Any, key_name: str, algorithm: str, place: str, problems: list[str]) -> Tsig | None:
    found = algorithm.upper() or "HMACMD5"
    if found not in ALGORITHMS:
        problems.append(f"{place}.tsigAlgorithm: {shown(algorithm)} is not one of {', '.join(ALGORITHMS)}")
    if not ref and not key_name:
        return None
    if isinstance(ref, dict) and not (ref and key_name):
        problems.append(f"{place}: tsigKeyName and tsigSecretSecretRef go together")
        return None
    secret = secret_entry(ref, f"{place}.tsigSecretSecretRef", problems)
    if not _HOST.fullmatch(key_name.lower().removesuffix(".")):
        problems.append(f"{place}.tsigKeyName: {shown(key_name)} is not a valid key name")
    return Tsig(key_name, ALGORITHMS.get(found, ""), *secret)


def _acme_dns(settings: Mapping[str, Any], place: str, problems: list[str]) -> AcmeDns:
    problems += unknown(settings, ("host", "accountSecretRef"), place)
    host = settings.get("host") or ""
    if not isinstance(host, str) or not host or "?" in host:
        problems.append(f"{place}.host: the https URL of an acme-dns server is expected, without a query")
        host = ""
    else:
        try:
            origin(host)
        except ForbiddenTarget as error:
            problems.append(f"{place}.host: {error}")
    secret = secret_entry(settings.get("accountSecretRef") or {}, f"{place}.accountSecretRef", problems)
    return AcmeDns(host.rstrip("/"), *secret)


def _webhook(settings: Mapping[str, Any], place: str, problems: list[str]) -> Webhook:
    problems += unknown(settings, ("groupName", "solverName", "config"), place)
    group, solver = settings.get("groupName") or "", settings.get("solverName") or ""
    if not isinstance(group, str) or not is_subdomain(group) or "." not in group:
        problems.append(
            f"{place}.groupName: {shown(str(group))} is not the name of an API group, such as acme.example.com"
        )
    elif not may_have_webhooks(group):
        problems.append(
            f"{place}.groupName: {shown(group)} is not a webhook's: Kubernetes, Istio or we ourselves have it"
        )
    if not isinstance(solver, str) or not is_subdomain(solver):
        problems.append(f"{place}.solverName: {shown(str(solver))} is not the name of a solver")
    config = settings.get("config")
    try:
        text = b"" if config is None else msgspec.json.encode(config)
    except (TypeError, ValueError, RecursionError):
        text = None
    if text is None or len(text) > MAX_CONFIG:
        problems.append(f"{place}.config: {MAX_CONFIG} bytes of JSON are the most that is sent to a webhook")
    return Webhook(str(group), str(solver), text or b"")


def _persistent(settings: Mapping[str, Any], place: str, problems: list[str]) -> Persistent:
    problems += unknown(settings, ("issuerDomainName",), place)
    issuer = settings.get("issuerDomainName") or ""
    if not isinstance(issuer, str) or "." not in issuer or not is_subdomain(issuer):
        problems.append(
            f"{place}.issuerDomainName: {shown(str(issuer))} is not a CA's domain name, such as letsencrypt.org"
        )
    return Persistent(str(issuer))


def may_have_webhooks(group: str) -> bool:
    """Tell whether an API group may be a webhook's: none in which objects lie that the controllers may write."""
    return group not in _OTHERS and not any(group == one or group.endswith(f".{one}") for one in _OTHERS_BELOW)


def _external_dns(settings: Mapping[str, Any], place: str, problems: list[str], *, cluster_wide: bool) -> ExternalDns:
    problems += unknown(settings, ("namespace",), place)
    namespace = settings.get("namespace") or ""
    if not isinstance(namespace, str) or (namespace and not is_label(namespace)):
        problems.append(f"{place}.namespace: {shown(str(namespace))} is not a valid namespace name")
        return ExternalDns()
    if namespace and not cluster_wide:
        problems.append(
            f"{place}.namespace: only a ClusterIssuer may name one; an Issuer's objects are in its own namespace"
        )
    return ExternalDns(namespace)


def _nameserver(text: str) -> tuple[str, int] | None:
    """Host and port: a name or an IPv4 address with or without a port, an IPv6 address, in brackets when it has a port."""
    host, port = text.strip().lower().removesuffix("."), str(_DNS_PORT)
    if host.startswith("["):
        host, closed, rest = host[1:].partition("]")
        if not closed or ":" not in host or (rest and not rest.startswith(":")):
            return None
        port = rest[1:] if rest else port
    elif host.count(":") == 1:
        host, _, port = host.partition(":")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536):
        return None
    if ":" in host:
        try:
            return str(ipaddress.IPv6Address(host)), int(port)
        except ValueError:
            return None
    return (host, int(port)) if _HOST.fullmatch(host) else None
