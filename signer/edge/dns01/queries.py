"""Questions to the DNS for DNS-01: where a record belongs, and what each server of its zone says of it.

Two kinds of servers are asked. The recursive ones (the operator's) find aliases, zones and addresses; a zone's own ones
are asked for the record, since only what all of them give is what a CA will see. Whoever has a zone chose its servers'
names and addresses: an address is judged before it is asked, all is bounded, and no text of an answer is shown.
Used on the loop. Nothing is remembered between two questions.
"""

import asyncio
import secrets
from collections.abc import Iterable, Mapping, Sequence

import dns.asyncbackend
import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.nameserver
import dns.rcode
import dns.rdatatype
import dns.resolver
from dns.asyncresolver import Resolver

from issuers.acme.targets import AddressRule
from signer.edge.dns01.record import Answered, delegated, zone_of
from signer.edge.proxies.resolve import heeded, recursive_resolver
from signer.tenancy.verdict import Refuse

MAX_SERVERS = 16
"""A zone has 13 at most by custom: more are not asked, and the zone is refused."""
_MAX_ADDRESSES = 4
_MAX_LABELS = 40
_LONGEST_NAME = 253
_DNS_PORT = 53
_TRY_SECONDS = 2.5
_NOT_IMPLEMENTED = f" answers {dns.rcode.to_text(dns.rcode.NOTIMP)}"
# For all questions of this process at once: each has a socket.
_AT_ONCE = 64


class NoAnswer(Exception):
    """What could not be determined, in words for a person."""


class NotTold(NoAnswer):
    """The recursive servers answered, but with an error of theirs."""


class NoZone(NoAnswer):
    """The recursive servers answered, and know no zone of a name, or of none at all."""


class Questions:
    """Asks. `nameservers` are the recursive ones; none means the system's. `ports`: for name servers that are not at 53."""

    def __init__(self, nameservers: Sequence[tuple[str, int]] = (), ports: Mapping[str, int] | None = None) -> None:
        self._nameservers = tuple(nameservers)
        self._ports = dict(ports or {})
        self._resolver: Resolver | None = None
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def delegated(self, name: str) -> str | Refuse:
        """Follow CNAMEs from a record's name to their end, those alone that the names themselves have. Raises NoAnswer."""
        known: dict[str, str] = {}
        while not isinstance(end := delegated(name, known.get), Refuse):
            target = await self._alias(end)
            if target is None:
                return end
            known[end] = target
        return end

    async def addresses(self, name: str) -> tuple[str, ...]:
        """The addresses of a name, aliases followed; () when there are none. Raises NoAnswer."""
        found = await asyncio.gather(self._recursive(name, "A"), self._recursive(name, "AAAA"))
        texts = [
            str(record.address)
            for message in found
            for rrset in message.answer
            if rrset.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA)
            for record in rrset
        ]
        return tuple(dict.fromkeys(texts))

    async def zone(self, name: str) -> str:
        """The zone that a name is in, as the recursive servers see it. Raises NoAnswer."""
        failed: NotTold | None = None
        for below in itself_and_above(name):
            try:
                found = _zone_in(await self._recursive(below, "SOA"), below)
            except NotTold as error:
                # Some servers fail at names that they do not have; the name above may be answered for all that.
                failed = failed or error
                continue
            if found is not None:
                return found
        if failed is not None and str(failed).endswith(_NOT_IMPLEMENTED):
            raise NoZone(str(failed))  # a server that answers questions about zones nowhere has none
        raise failed or NoZone(f"no zone of {name} is known to the recursive name servers")

    async def starved_by(self, name: str) -> tuple[str, ...]:
        """The names above this one, within its zone, that a record here would take the addresses of a wildcard from.

        A name that does not exist has what a wildcard above gives it; with a record below it, it exists, and has nothing (RFC
        4592, 2.2.2). It exists already where a name that nobody has, below it, gets other addresses than one beside it. Where
        all three are alike that cannot be told, and counts as starved. Of a name without a zone nobody has a wildcard. Raises
        NoAnswer.
        """
        try:
            zone = await self.zone(name)
        except NoZone:
            return ()
        starved: list[str] = []
        for above in itself_and_above(name)[1:]:
            if not above.endswith(f".{zone}"):
                break
            found, label = frozenset(await self.addresses(above)), secrets.token_hex(8)
            if not found or len(label) + 1 + len(above) > _LONGEST_NAME:
                continue
            beside = f"{label}.{above.partition('.')[2]}"
            others = await asyncio.gather(self.addresses(beside), self.addresses(f"{label}.{above}"))
            if all(frozenset(one) == found for one in others):
                starved.append(above)
        return tuple(starved)

    async def servers(self, zone: str) -> tuple[str, ...]:
        """The names of a zone's servers. Raises NoAnswer."""
        message = await self._recursive(zone, "NS")
        found = sorted(
            {
                str(record.target).lower().rstrip(".")
                for rrset in message.answer
                if rrset.rdtype == dns.rdatatype.NS
                for record in rrset
            }
        )
        if not found or len(found) > MAX_SERVERS:
            raise NoAnswer(f"zone {zone} has {len(found) or 'no'} name servers ({MAX_SERVERS} at most are asked)")
        return tuple(found)

    async def at_all_servers(self, name: str, rule: AddressRule) -> tuple[Answered, ...]:
        """What every server of the name's zone says of its TXT records. `rule`: which of their addresses may be asked.

        Raises NoAnswer when the zone or its servers cannot be found.
        """
        zone = await self.zone(name)
        servers = await self.servers(zone)
        return tuple(await asyncio.gather(*(self._at_server(name, server, rule) for server in servers)))

    async def at_recursive_servers(self, name: str) -> tuple[Answered, ...]:
        """What each recursive server says of the name's TXT records: where the zone's own cannot be reached."""
        servers = self._nameservers or tuple((one, _DNS_PORT) for one in map(str, self._own().nameservers))
        return tuple(
            await asyncio.gather(*(self._txt(name, f"{host}:{port}", host, port, own=False) for host, port in servers))
        )

    async def _at_server(self, name: str, server: str, rule: AddressRule) -> Answered:
        """Ask a server at each of its addresses. One that another family cannot reach is no fault of the server."""
        try:
            addresses = await self.addresses(server)
        except NoAnswer as error:
            return Answered(server, problem=f"cannot be found: {error}")
        refused = {one: why for one in addresses if (why := rule.refusal(one)) is not None}
        asked = [one for one in addresses if one not in refused][:_MAX_ADDRESSES]
        if not asked:
            why = (
                f"has only addresses that are not asked ({next(iter(refused.values()))})"
                if refused
                else "has no address"
            )
            return Answered(server, problem=why)
        port = self._ports.get(server, _DNS_PORT)
        found = await asyncio.gather(*(self._txt(name, server, one, port, own=True) for one in asked))
        answered = [one for one in found if not one.problem]
        if not answered:
            return found[0]
        values = frozenset.intersection(*(one.values for one in answered))
        return Answered(server, values)

    async def _txt(self, name: str, server: str, address: str, port: int, *, own: bool) -> Answered:
        query = dns.message.make_query(name, dns.rdatatype.TXT, use_edns=0, flags=0 if own else dns.flags.RD)
        try:
            answer = await self.ask(query, address, port)
        except NoAnswer as error:
            return Answered(server, problem=str(error))
        if answer.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            return Answered(server, problem=f"answers {dns.rcode.to_text(answer.rcode())}")
        if own and not answer.flags & dns.flags.AA:
            return Answered(server, problem="does not have the zone (its answer is not authoritative)")
        values = frozenset(
            b"".join(record.strings).decode("ascii", "replace")
            for rrset in answer.answer
            if rrset.rdtype == dns.rdatatype.TXT and _text(rrset.name) == name
            for record in rrset
        )
        return Answered(server, values)

    async def ask(
        self, message: dns.message.Message, address: str, port: int, *, tcp: bool = False
    ) -> dns.message.Message:
        """Send one message and return the answer to it; by TCP where it did not fit, and once more if it was lost.

        Raises NoAnswer, and dns.tsig.PeerError for a signed message whose signature the server does not take.
        """
        return await heeded(self._ask(message, address, port, tcp=tcp))

    async def _ask(self, message: dns.message.Message, address: str, port: int, *, tcp: bool) -> dns.message.Message:
        backend = dns.asyncbackend.get_backend("asyncio")
        async with self._room:
            try:
                if tcp:
                    return await dns.asyncquery.tcp(message, address, 2 * _TRY_SECONDS, port, backend=backend)
                for last in (False, True):
                    try:
                        answer, _ = await dns.asyncquery.udp_with_fallback(
                            message,
                            address,
                            _TRY_SECONDS,
                            port,
                            ignore_unexpected=True,
                            # What does not fit the question may be forged; about a signature, the answer counts.
                            ignore_errors=message.keyring is None,
                            backend=backend,
                        )
                    except dns.exception.Timeout:
                        if last:
                            raise
                    else:
                        return answer
            except dns.tsig.PeerError:
                raise
            except dns.exception.Timeout:
                raise NoAnswer("gives no answer") from None
            except ConnectionRefusedError:
                raise NoAnswer("refuses connections") from None
            except OSError:
                raise NoAnswer("cannot be reached") from None
            except (dns.exception.DNSException, EOFError, ValueError):
                what = "cannot be read" if message.keyring is None else "is not signed, or cannot be read"
                raise NoAnswer(f"gives an answer that {what}") from None
        raise NoAnswer("gives no answer")

    async def _alias(self, name: str) -> str | None:
        """Where a CNAME leads that the name itself has; None too where a wildcard makes one up.

        A name that exists hides wildcards from all names below it (RFC 4592, 3.3.1). So where one that nobody has, below
        this name, leads to the same place, a wildcard above answers for both: this name has no record, and may get one. Or this
        name has a wildcard below it, which would lead there too: that one gives nothing to names below itself (2.3 and 3.3.1).
        """
        target = _target_in(await self._recursive(name, "CNAME"), name)
        label = secrets.token_hex(8)[: max(_LONGEST_NAME - len(".*.") - len(name), 0)]
        if target is None or not label:
            return target
        try:
            for below in (f"{label}.{name}", f"{label}.*.{name}"):
                if _target_in(await self._recursive(below, "CNAME"), below) != target:
                    return target
        except NoAnswer as error:
            raise NoAnswer(f"whether {name} is an alias of its own cannot be found out: {error}") from None
        return None

    async def _recursive(self, name: str, kind: str) -> dns.message.Message:
        """Ask the recursive servers, one after the other; that a name does not exist is an answer too."""
        try:
            answer = await heeded(self._own().resolve(f"{name}.", kind, raise_on_no_answer=False, search=False))
        except dns.resolver.NXDOMAIN as error:
            responses: dict[dns.name.Name, dns.message.Message] = error.kwargs.get("responses", {})
            if not responses:
                raise NoAnswer(f"{name} does not exist") from None
            return next(iter(responses.values()))
        except (dns.exception.DNSException, OSError, EOFError, ValueError) as error:
            if said := _said(error):
                raise NotTold(f"asked for {kind} of {name}, {said}") from None
            raise NoAnswer(f"the recursive name servers give no answer about {name} ({kind})") from None
        return answer.response

    def _own(self) -> Resolver:
        if self._resolver is None:
            try:
                self._resolver = recursive_resolver(self._nameservers) if self._nameservers else Resolver()
            except (dns.exception.DNSException, OSError):
                raise NoAnswer("this machine names no recursive name servers; set --recursive-nameservers") from None
            self._resolver.lifetime = 2 * _TRY_SECONDS
        return self._resolver


def _said(error: Exception) -> str:
    """What the servers answered that gave no records, each with its name; "" when none answered."""
    errors = getattr(error, "kwargs", {}).get("errors") or ()
    codes = {f"{one[0]}": dns.rcode.to_text(one[4].rcode()) for one in errors if one[4] is not None}
    return ", ".join(f"the recursive name server {server} answers {code}" for server, code in sorted(codes.items())[:8])


def itself_and_above(name: str) -> tuple[str, ...]:
    """The names at which the zone of a name may begin, the nearest first; no zone of anybody's begins at one label."""
    labels = name.split(".")
    return tuple(".".join(labels[index:]) for index in range(min(len(labels) - 1, _MAX_LABELS)))


def zone_at(message: dns.message.Message, name: str) -> str | None:
    """The zone of a name by the answer of a server that has it, None when it is not authoritative."""
    return _zone_in(message, name) if message.flags & dns.flags.AA else None


def is_alias(message: dns.message.Message, name: str) -> bool:
    """Tell whether an answer is about another name, to which a CNAME leads, be it of the name's own or a wildcard's."""
    return _target_in(message, name) is not None


def _target_in(message: dns.message.Message, name: str) -> str | None:
    """Where an answer says that a name leads, in lower case and without a trailing dot."""
    targets = (
        _text(record.target)
        for rrset in message.answer
        if rrset.rdtype == dns.rdatatype.CNAME and _text(rrset.name) == name
        for record in rrset
    )
    return next(targets, None)


def _zone_in(message: dns.message.Message, name: str) -> str | None:
    if is_alias(message, name):
        return None  # what stands beside it is the zone of where it leads; no zone begins at an alias
    sections: Iterable[dns.rrset.RRset] = (*message.answer, *message.authority)
    owners = (_text(rrset.name) for rrset in sections if rrset.rdtype == dns.rdatatype.SOA)
    return next((zone for one in owners if (zone := zone_of(name, one)) is not None), None)


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower()
