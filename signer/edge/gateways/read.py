"""Reads what a Gateway (Istio's or the Gateway API's) or an Ingress wants: hosts and Secrets, as the proxies read them.

Pure, and never fails: what cannot be had is passed over with its field and reason, and does not keep the rest.
Sources: Istio, pilot/pkg/model/gateway.go (merging of servers), pilot/pkg/credentials (names of Secrets), API reference
of Gateway (hosts with a namespace); https://gateway-api.sigs.k8s.io/reference/spec/#gatewaytlsconfig
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from signer.api.certificate import IssuerReference
from signer.api.gateway import APIGateway, Gateway, Server, ServerTLS, server_host
from signer.api.ingress import Ingress
from signer.api.meta import ObjectMeta
from signer.api.text import shown
from signer.edge.credential_name import INVALID_NAME, NOT_OURS, SecretName, secret_named
from signer.edge.gateways.budget import STEPS, Budget, Named, read_hosts
from signer.edge.gateways.opt_in import options_of
from signer.edge.gateways.routed import NOTHING, Routed
from signer.edge.gateways.wish import Passed, Source, SourceKind, Wish, Wishes
from signer.edge.host import MAX_NAMES, Host
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
    budget: Budget
    max_names: int
    unread: dict[str, None] = field(default_factory=dict)
    let_in: dict[str, tuple[Host, ...]] = field(default_factory=dict)
    """Hosts of others' routes, by Secret. They have the room that the Gateway's own leave: who writes many takes nothing away."""
    told: bool = False
    """What is wrong with the hosts that "*" stands for; they are the same everywhere."""
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

    def add(self, place: str, secret: SecretName, named: Named, key: str = "") -> None:
        """Want these hosts in this Secret; a second server may add to them, but not ask for another kind of key."""
        name = secret.name
        if name in self.unread:
            return
        if self.keys.setdefault(name, key) != key:
            self.skip(place, "KeyConflict", f"{shown(name)} is wanted with two kinds of keys; name another Secret")
            return
        before = self.namespaces.get(name, "")
        if before and secret.namespace not in ("", before):
            message = f"{shown(name)} is wanted in two namespaces, {before} and {secret.namespace}; name another Secret"
            self.skip(place, "SecretConflict", message)
            return
        self.namespaces[name] = before or secret.namespace
        found = self.hosts.setdefault(name, set())
        if len(found) > self.max_names:
            return
        if named.whole:
            found.update(named.hosts)
        else:
            # With a part of its hosts it would take the others' certificate away.
            self.unread[name] = None

    def again(self, named: Named) -> Named:
        """Hosts that were read before and are wanted once more, which costs as much as if they were listed."""
        return named if self.budget.take(1 + len(named.hosts)) else Named(whole=False)

    def wishes(self, issuer: IssuerReference, options: Mapping[str, str]) -> Wishes:
        """What was gathered, by the Secrets' names."""
        found = []
        over = sorted(name for name, hosts in self.hosts.items() if len(hosts) > self.max_names)
        if over:
            self.skip(
                "",
                "TooManyHosts",
                f"Secret {_first(over)} is wanted for more than {self.max_names} hosts, which a certificate has at most:"
                " split them over several credential names",
            )
        for name, own in sorted(self.hosts.items()):
            hosts = own | self._in_the_room(name, own)
            if not hosts or name in self.unread or len(hosts) > self.max_names:
                continue
            where = self.namespaces[name]
            found.append(
                Wish((self.source,), name, tuple(sorted(hosts)), issuer, self.keys[name], dict(options), where)
            )
        return Wishes(self.source, tuple(found), (*self._over(), *self.passed), frozenset(self.unread))

    def admit(self, name: str, hosts: Iterable[Host]) -> None:
        """Want hosts of others' routes in this Secret too, as far as there is room."""
        self.let_in[name] = tuple(dict.fromkeys((*self.let_in.get(name, ()), *hosts)))

    def _in_the_room(self, name: str, own: Collection[Host]) -> set[Host]:
        others = [host for host in self.let_in.get(name, ()) if host not in own]
        room = max(self.max_names - len(own), 0)
        if len(others) > room:
            message = (
                f"routes of other namespaces name {len(others)} hosts for Secret {shown(name)}, and there is room for {room}: a"
                f" certificate has {self.max_names} at most; those of later claims are left out, as {others[room]}"
            )
            self.skip("", "TooManyHosts", message)
        return set(others[:room])

    def _over(self) -> Iterable[Passed]:
        """Say once for the object that the budget did not last for it."""
        if self.unread:
            message = (
                f"the objects of namespace {self.source.namespace} name more hosts than are read at one look ({STEPS}, each"
                f" as often as a server, an entry or a route has it), so Secret {_first(list(self.unread))}"
                " stays as it is: name fewer hosts, name them instead of *, or use"
                " another namespace"
            )
            yield Passed("spec", Reason("TooManyHosts", message))


def _first(names: list[str]) -> str:
    return shown(names[0]) + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _reading(kind: SourceKind, meta: ObjectMeta, problem: str, budget: Budget | None, max_names: int) -> _Reading:
    source = Source(kind, meta.namespace, meta.name, meta.uid)
    reading = _Reading(source, budget if budget is not None else Budget(), max_names)
    if problem:
        reading.skip(problem.partition(":")[0], "Unreadable", problem)
    return reading


def gateway_wishes(
    gateway: Gateway,
    issuer: IssuerReference,
    *,
    attached: Named | None = None,
    budget: Budget | None = None,
    others: Routed = NOTHING,
    max_names: int = MAX_NAMES,
) -> Wishes:
    """Return what an Istio Gateway wants, as far as the `budget` lasts.

    `attached`: hosts of the VirtualServices on it, which narrow the host "*". Only those of the Gateway's own namespace:
    another tenant's, attached to a shared Gateway, would put names into its certificate, or more than one can have.
    `others`: those of other namespaces that EdgePolicies let in.
    """
    reading = _reading("Gateway", gateway.metadata, gateway.problem, budget, max_names)
    narrowed = attached if attached is not None else Named()
    for index, server in enumerate(gateway.spec.servers[:MAX_SERVERS]):
        place = f"spec.servers[{index}]"
        names = _credentials(reading, place, server)
        if names:
            let_in = others.on(gateway.metadata.name, gateway.metadata.namespace, server.hosts)
            hosts = _hosts(reading, f"{place}.hosts", server.hosts, narrowed, let_in)
            for name, key in names:
                reading.add(place, name, hosts, key)
                reading.admit(name.name, let_in)
    return reading.wishes(issuer, options_of(gateway.metadata.annotations))


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


def _hosts(
    reading: _Reading, place: str, listed: Iterable[str], narrowed: Named, let_in: tuple[Host, ...] = ()
) -> Named:
    """The hosts of one server. `ns/host` names who may attach routes: for the certificate only the host counts."""
    found: dict[Host, None] = {}
    for index, text in enumerate(listed):
        if len(found) > reading.max_names:
            break
        name = server_host(text).name
        one = reading.again(narrowed) if name == "*" else read_hosts((name,), reading.budget)
        if name == "*" and one == Named() and not let_in:
            reading.skip(
                f"{place}[{index}]",
                "NoHost",
                "* names no host, and no VirtualService of the Gateway's own namespace on this Gateway does (those of other"
                " namespaces do not count, as anybody could write one, but for hosts of an EdgePolicy that covers this"
                " namespace and has theirs in routesFrom); name the hosts",
            )
        if not one.whole:
            return one
        if one is not narrowed or not reading.told:
            reading.told = reading.told or one is narrowed
            for wrong in one.wrong:
                reading.skip(f"{place}[{index}]", "InvalidHost", wrong)
        found.update(dict.fromkeys(one.hosts))
    return Named(tuple(found))


def _hostname(reading: _Reading, place: str, text: str) -> Named | None:
    if not text:
        reading.skip(
            place,
            "NoHost",
            "is missing: a certificate is for a host, and no HTTPRoute names one that counts (those of other namespaces count for"
            " hosts of an EdgePolicy that covers this namespace and has theirs in routesFrom)",
        )
        return None
    named = read_hosts((text,), reading.budget)
    for wrong in named.wrong:
        reading.skip(place, "InvalidHost", wrong)
    return None if named.wrong else named


def api_gateway_wishes(
    gateway: APIGateway,
    issuer: IssuerReference,
    *,
    budget: Budget | None = None,
    others: Routed = NOTHING,
    max_names: int = MAX_NAMES,
) -> Wishes:
    """Return what a Gateway of the Gateway API wants; its Secrets are those of its own namespace.

    A listener without a hostname is for the hosts of the HTTPRoutes on it (`others`).
    """
    reading = _reading("APIGateway", gateway.metadata, gateway.problem, budget, max_names)
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
        let_in = others.on_listener(gateway.metadata, listener) if not listener.hostname else ()
        named = _hostname(reading, f"{place}.hostname", listener.hostname) if not let_in else Named()
        if named is None:
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
                reading.add(place, name, named, _PAIR[number] if len(refs) > 1 else "")
                reading.admit(name.name, let_in)
    return reading.wishes(issuer, options_of(gateway.metadata.annotations))


def ingress_wishes(
    ingress: Ingress, issuer: IssuerReference, *, budget: Budget | None = None, max_names: int = MAX_NAMES
) -> Wishes:
    """Return what an Ingress wants; an entry of spec.tls without hosts is for those of the rules, as Istio serves it."""
    reading = _reading("Ingress", ingress.metadata, ingress.problem, budget, max_names)
    of_rules: Named | None = None
    for index, entry in enumerate(ingress.spec.tls[:MAX_SERVERS]):
        place = f"spec.tls[{index}]"
        if not entry.secret_name:
            reading.skip(f"{place}.secretName", "NoSecret", "is missing: the certificate has no place")
            continue
        name = reading.secret(f"{place}.secretName", entry.secret_name)
        if name is None:
            continue
        if entry.hosts:
            reading.add(place, name, _hosts(reading, f"{place}.hosts", entry.hosts, Named()))
            continue
        if of_rules is None:
            named = (rule.host for rule in ingress.spec.rules if rule.host)
            of_rules = read_hosts(named, reading.budget, max_names)
            for wrong in of_rules.wrong:
                reading.skip("spec.rules", "InvalidHost", wrong)
        if of_rules == Named():
            reading.skip(f"{place}.hosts", "NoHost", "neither this entry nor the rules name a host")
        reading.add(place, name, reading.again(of_rules))
    return reading.wishes(issuer, options_of(ingress.metadata.annotations))


@dataclass(slots=True)
class _Joining:
    """The wishes for one Secret, as far as they are joined: `first` has its say before the others."""

    first: Wish
    hosts: set[Host]
    sources: list[Source]
    options: dict[str, str]
    where: str

    def refuses(self, wish: Wish, max_names: int) -> Reason | None:
        """Tell why this wish cannot join."""
        name, first = shown(wish.secret_name), self.first
        if (first.issuer.normal(), first.key_algorithm) != (wish.issuer.normal(), wish.key_algorithm):
            what = "issuer" if first.issuer.normal() != wish.issuer.normal() else "kind of key"
            message = f"Secret {name} is wanted by {self.oldest} from another {what}"
            return Reason("SecretConflict", f"{message}; name another Secret")
        if "" not in (self.where, wish.secret_namespace) and self.where != wish.secret_namespace:
            message = f"Secret {name} is wanted by {self.oldest} in another namespace"
            return Reason("SecretConflict", f"{message}; name another Secret")
        count = len(self.hosts) + sum(host not in self.hosts for host in wish.hosts)
        if count > max_names:
            message = f"Secret {name} would be for {count} hosts with those of {self.oldest}"
            return Reason("TooManyHosts", f"{message}; {max_names} is the most")
        return None

    @property
    def oldest(self) -> Source:
        return self.first.sources[0]

    def join(self, wish: Wish) -> None:
        self.hosts.update(wish.hosts)
        self.sources += wish.sources
        self.options = {**wish.options, **self.options}
        self.where = self.where or wish.secret_namespace

    def joined(self) -> Wish:
        first = self.first
        sources, hosts = tuple(sorted({*self.sources})), tuple(sorted(self.hosts))
        return Wish(sources, first.secret_name, hosts, first.issuer, first.key_algorithm, self.options, self.where)


def merge(
    wishes: Iterable[Wish], max_names: int = MAX_NAMES
) -> tuple[tuple[Wish, ...], tuple[tuple[Wish, Reason], ...]]:
    """Join the wishes of one namespace that name one Secret: one certificate for all of their hosts.

    Returns the joined wishes, and those that cannot be joined, each with the reason: another issuer, another kind of
    key, or too many hosts. The first in the sources' order stays.
    """
    joined: dict[str, _Joining] = {}
    refused: list[tuple[Wish, Reason]] = []
    for wish in sorted(wishes, key=lambda one: (one.secret_name, one.sources)):
        before = joined.get(wish.secret_name)
        if before is None:
            found = _Joining(wish, set(wish.hosts), list(wish.sources), dict(wish.options), wish.secret_namespace)
            joined[wish.secret_name] = found
        elif (why := before.refuses(wish, max_names)) is not None:
            refused.append((wish, why))
        else:
            before.join(wish)
    return tuple(one.joined() for one in joined.values()), tuple(refused)
