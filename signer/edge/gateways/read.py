"""Reads what a Gateway (Istio's or the Gateway API's) or an Ingress wants: hosts and Secrets, as the proxies read them.

Pure, and never fails: what cannot be had is passed over with its field and reason, and does not keep the rest.
Sources: Istio, pilot/pkg/model/gateway.go (merging of servers), pilot/pkg/credentials (names of Secrets), API reference
of Gateway (hosts with a namespace); https://gateway-api.sigs.k8s.io/reference/spec/#gatewaytlsconfig
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from signer.api.certificate import IssuerReference
from signer.api.gateway import APIGateway, Gateway, Server, ServerTLS
from signer.api.ingress import Ingress
from signer.api.meta import ObjectMeta
from signer.api.text import shown
from signer.edge.credential_name import INVALID_NAME, NOT_OURS, SecretName, secret_named
from signer.edge.gateways.opt_in import options_of
from signer.edge.gateways.wish import Passed, Source, SourceKind, Wish, Wishes
from signer.edge.host import MAX_NAMES, Host, read_host
from signer.edge.reserved import reserved_name
from signer.tenancy.verdict import Reason

MAX_SERVERS = 1000
_PASSED_SHOWN = 64

_TERMINATING = frozenset(("", "SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL"))
_TLS_PROTOCOLS = frozenset(("HTTPS", "TLS"))
_PAIR = ("ECDSA", "RSA")


@dataclass(slots=True)
class _Reading:
    """Gathers hosts by Secret, and what is passed over."""

    source: Source
    hosts: dict[str, set[Host]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    namespaces: dict[str, str] = field(default_factory=dict)
    passed: list[Passed] = field(default_factory=list)

    def skip(self, place: str, code: str, message: str, *, harmless: bool = False) -> None:
        if len(self.passed) < _PASSED_SHOWN:
            self.passed.append(Passed(place, Reason(code, message), harmless))

    def secret(self, place: str, credential: str, *, namespaced: bool = False) -> SecretName | None:
        """The Secret's name, or None with a note. `namespaced`: a namespace may stand before it."""
        name = secret_named(credential)
        if isinstance(name, Reason):
            self.skip(place, name.code, name.message, harmless=name.code == NOT_OURS)
            return None
        if name.namespace and not namespaced:
            message = f"{shown(credential)} names a Secret of another namespace; name one without a namespace"
            self.skip(place, INVALID_NAME, message)
            return None
        if (why := reserved_name(name.name)) is not None:
            self.skip(place, why.code, why.message)
            return None
        return name

    def add(self, place: str, secret: SecretName, hosts: Iterable[Host], key: str = "") -> None:
        """Want these hosts in this Secret; a second server may add to them, but not ask for another kind of key."""
        name = secret.name
        if self.keys.setdefault(name, key) != key:
            self.skip(place, "KeyConflict", f"{shown(name)} is wanted with two kinds of keys; name another Secret")
            return
        before = self.namespaces.get(name, "")
        if before and secret.namespace not in ("", before):
            message = f"{shown(name)} is wanted in two namespaces, {before} and {secret.namespace}; name another Secret"
            self.skip(place, "SecretConflict", message)
            return
        self.namespaces[name] = before or secret.namespace
        self.hosts.setdefault(name, set()).update(hosts)

    def wishes(self, issuer: IssuerReference, options: Mapping[str, str], max_names: int) -> Wishes:
        """What was gathered, by the Secrets' names."""
        found = []
        for name, hosts in sorted(self.hosts.items()):
            if not hosts:
                continue
            if len(hosts) > max_names:
                self.skip(
                    "",
                    "TooManyHosts",
                    f"Secret {shown(name)} is wanted for {len(hosts)} hosts; a certificate has {max_names} at most: "
                    "split them over several credential names",
                )
                continue
            where = self.namespaces[name]
            found.append(
                Wish((self.source,), name, tuple(sorted(hosts)), issuer, self.keys[name], dict(options), where)
            )
        return Wishes(self.source, tuple(found), tuple(self.passed))


def _reading(kind: SourceKind, meta: ObjectMeta, problem: str) -> _Reading:
    reading = _Reading(Source(kind, meta.namespace, meta.name, meta.uid))
    if problem:
        reading.skip(problem.partition(":")[0], "Unreadable", problem)
    return reading


def gateway_wishes(
    gateway: Gateway, issuer: IssuerReference, *, attached: Iterable[str] = (), max_names: int = MAX_NAMES
) -> Wishes:
    """Return what an Istio Gateway wants.

    `attached`: hosts of the VirtualServices on it, which narrow the host "*". Only those of the Gateway's own namespace:
    another tenant's, attached to a shared Gateway, would put names into its certificate, or more than one can have.
    """
    reading = _reading("Gateway", gateway.metadata, gateway.problem)
    narrowed = list(attached)
    for index, server in enumerate(gateway.spec.servers[:MAX_SERVERS]):
        place = f"spec.servers[{index}]"
        names = _credentials(reading, place, server)
        if names:
            hosts = _hosts(reading, f"{place}.hosts", server.hosts, narrowed)
            for name, key in names:
                reading.add(place, name, hosts, key)
    return reading.wishes(issuer, options_of(gateway.metadata.annotations), max_names)


def _credentials(reading: _Reading, place: str, server: Server) -> list[tuple[SecretName, str]]:
    """The Secrets of one server, each with the kind of key that it is for."""
    tls = server.tls or ServerTLS()
    listed = (tls.credential_name,) if tls.credential_name else tls.credential_names
    if not listed:
        if tls.server_certificate or tls.private_key or tls.tls_certificates:
            reading.skip(f"{place}.tls", "FileMounted", "certificates come from files of the proxy", harmless=True)
        return []
    if tls.credential_name and tls.credential_names:
        reading.skip(f"{place}.tls", "TwoCredentials", "credentialName and credentialNames cannot both be set")
        return []
    if tls.mode.upper() not in _TERMINATING:
        reading.skip(
            f"{place}.tls.mode", "NotTerminated", f"{shown(tls.mode)} needs no public certificate", harmless=True
        )
        return []
    if server.port.protocol.upper() not in _TLS_PROTOCOLS:
        message = f"{shown(server.port.protocol)} has no TLS; HTTPS or TLS is expected"
        reading.skip(f"{place}.port.protocol", "NoTLS", message)
        return []
    if len(listed) > len(_PAIR):
        message = "more than two names; one is for an ECDSA and one for an RSA certificate"
        reading.skip(f"{place}.tls.credentialNames", "TooManyCredentials", message)
        return []
    found = []
    for position, credential in enumerate(listed):
        where = f"{place}.tls.credentialName" + ("" if tls.credential_name else f"s[{position}]")
        name = reading.secret(where, credential, namespaced=True)
        if name is not None:
            found.append((name, _PAIR[position] if len(listed) > 1 else ""))
    return found


def _hosts(reading: _Reading, place: str, listed: Iterable[str], narrowed: Iterable[str]) -> set[Host]:
    """The hosts of one server. `ns/host` names who may attach routes: for the certificate only the host counts."""
    found: set[Host] = set()
    for index, text in enumerate(listed):
        name = text.partition("/")[2] if "/" in text else text
        candidates = list(dict.fromkeys(narrowed)) if name == "*" else [name]
        if not candidates:
            reading.skip(
                f"{place}[{index}]",
                "NoHost",
                "* names no host, and no VirtualService of the Gateway's own namespace on this Gateway does (those of other"
                " namespaces do not count, as anybody could write one); name the hosts",
            )
        for one in candidates:
            if name == "*" and one == "*":
                continue
            host = read_host(one)
            if isinstance(host, str):
                reading.skip(f"{place}[{index}]", "InvalidHost", host)
            else:
                found.add(host)
    return found


def api_gateway_wishes(gateway: APIGateway, issuer: IssuerReference, *, max_names: int = MAX_NAMES) -> Wishes:
    """Return what a Gateway of the Gateway API wants; its Secrets are those of its own namespace."""
    reading = _reading("APIGateway", gateway.metadata, gateway.problem)
    for index, listener in enumerate(gateway.spec.listeners[:MAX_SERVERS]):
        place = f"spec.listeners[{index}]"
        if listener.tls is None or not listener.tls.certificate_refs:
            continue
        if listener.protocol.upper() not in _TLS_PROTOCOLS:
            reading.skip(
                f"{place}.protocol", "NoTLS", f"{shown(listener.protocol)} has no TLS; HTTPS or TLS is expected"
            )
            continue
        if listener.tls.mode not in ("", "Terminate"):
            reading.skip(
                f"{place}.tls.mode", "NotTerminated", f"{shown(listener.tls.mode)} needs no certificate", harmless=True
            )
            continue
        if not listener.hostname:
            reading.skip(f"{place}.hostname", "NoHost", "is missing: a certificate is for a host")
            continue
        host = read_host(listener.hostname)
        if isinstance(host, str):
            reading.skip(f"{place}.hostname", "InvalidHost", host)
            continue
        refs = listener.tls.certificate_refs
        for number, ref in enumerate(refs):
            where = f"{place}.tls.certificateRefs[{number}]"
            if (ref.group, ref.kind or "Secret") != ("", "Secret"):
                reading.skip(where, NOT_OURS, f"{shown(f'{ref.group}/{ref.kind}')} is not a Secret", harmless=True)
            elif ref.namespace not in ("", gateway.metadata.namespace):
                reading.skip(
                    f"{where}.namespace",
                    "OtherNamespace",
                    f"{shown(ref.namespace)} is not the Gateway's namespace; certificates are written there only",
                )
            elif number >= len(_PAIR):
                reading.skip(where, "TooManyCredentials", "more than two: one for ECDSA and one for RSA")
            elif (name := reading.secret(f"{where}.name", ref.name)) is not None:
                reading.add(place, name, {host}, _PAIR[number] if len(refs) > 1 else "")
    return reading.wishes(issuer, options_of(gateway.metadata.annotations), max_names)


def ingress_wishes(ingress: Ingress, issuer: IssuerReference, *, max_names: int = MAX_NAMES) -> Wishes:
    """Return what an Ingress wants; an entry of spec.tls without hosts is for those of the rules, as Istio serves it."""
    reading = _reading("Ingress", ingress.metadata, ingress.problem)
    of_rules = [rule.host for rule in ingress.spec.rules if rule.host]
    for index, entry in enumerate(ingress.spec.tls[:MAX_SERVERS]):
        place = f"spec.tls[{index}]"
        if not entry.secret_name:
            reading.skip(f"{place}.secretName", "NoSecret", "is missing: the certificate has no place")
            continue
        name = reading.secret(f"{place}.secretName", entry.secret_name)
        if name is None:
            continue
        listed = entry.hosts or tuple(of_rules)
        if not listed:
            reading.skip(f"{place}.hosts", "NoHost", "neither this entry nor the rules name a host")
        reading.add(place, name, _hosts(reading, f"{place}.hosts", listed, ()))
    return reading.wishes(issuer, options_of(ingress.metadata.annotations), max_names)


def merge(
    wishes: Iterable[Wish], max_names: int = MAX_NAMES
) -> tuple[tuple[Wish, ...], tuple[tuple[Wish, Reason], ...]]:
    """Join the wishes of one namespace that name one Secret: one certificate for all of their hosts.

    Returns the joined wishes, and those that cannot be joined, each with the reason: another issuer, another kind of
    key, or too many hosts. The first in the sources' order stays.
    """
    joined: dict[str, Wish] = {}
    refused: list[tuple[Wish, Reason]] = []
    for wish in sorted(wishes, key=lambda one: (one.secret_name, one.sources)):
        first = joined.get(wish.secret_name)
        if first is None:
            joined[wish.secret_name] = wish
            continue
        hosts = tuple(sorted({*first.hosts, *wish.hosts}))
        if (first.issuer.normal(), first.key_algorithm) != (wish.issuer.normal(), wish.key_algorithm):
            what = "issuer" if first.issuer.normal() != wish.issuer.normal() else "kind of key"
            message = f"Secret {shown(wish.secret_name)} is wanted by {first.sources[0]} from another {what}"
            refused.append((wish, Reason("SecretConflict", f"{message}; name another Secret")))
        elif "" not in (first.secret_namespace, wish.secret_namespace) and (
            first.secret_namespace != wish.secret_namespace
        ):
            message = f"Secret {shown(wish.secret_name)} is wanted by {first.sources[0]} in another namespace"
            refused.append((wish, Reason("SecretConflict", f"{message}; name another Secret")))
        elif len(hosts) > max_names:
            message = (
                f"Secret {shown(wish.secret_name)} would be for {len(hosts)} hosts with those of {first.sources[0]}"
            )
            refused.append((wish, Reason("TooManyHosts", f"{message}; {max_names} is the most")))
        else:
            sources = tuple(sorted({*first.sources, *wish.sources}))
            options = {**wish.options, **first.options}
            where = first.secret_namespace or wish.secret_namespace
            joined[wish.secret_name] = Wish(
                sources, wish.secret_name, hosts, first.issuer, first.key_algorithm, options, where
            )
    return tuple(joined.values()), tuple(refused)
