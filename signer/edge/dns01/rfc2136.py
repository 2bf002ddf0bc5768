"""RFC 2136: one TXT value added to, or taken from, a zone at the name server of an issuer, signed by TSIG (RFC 8945).

The server says itself which of its zones a name is in, and is asked with the same key: a name server may have several
views of a zone, and choose between them by the key. Only the one value is ever touched: what else stands under the
name stays. An Issuer's author chose the server, so its address is judged where it is dialled. Used on the loop.
"""

import binascii
import socket

import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.update

from issuers.acme.targets import AddressRule
from signer.edge.dns01.queries import NoAnswer, Questions, is_alias, itself_and_above, zone_at
from signer.edge.dns01.record import FAILED, note_seal
from signer.edge.issuers.dns01_spec import Rfc2136
from signer.edge.proxies.resolve import addresses
from signer.tenancy.verdict import Reason

TTL = 1
"""Seconds: who has just proven the apex must not have that answer in a cache when the wildcard's value is looked for."""
_RESOLVE_SECONDS = 5.0
_MAX_ADDRESSES = 4


class Updates:
    """One issuer's name server. `secret` is TSIG's, base64 as in the Secret; b"" when updates are not signed."""

    def __init__(self, questions: Questions, server: Rfc2136, secret: bytes, rule: AddressRule) -> None:
        """Raises ValueError, without the secret in it, for one that is not base64."""
        self._questions = questions
        self._server = server
        self._rule = rule
        self._key: dns.tsig.Key | None = None
        self._secret = b""
        if server.tsig is not None:
            try:
                self._secret = binascii.a2b_base64(secret.strip(), strict_mode=True)
            except binascii.Error:
                raise ValueError("the TSIG secret is not base64, as name servers have it") from None
            if not self._secret:
                raise ValueError("the TSIG secret is empty")
            self._key = dns.tsig.Key(server.tsig.name, self._secret, server.tsig.algorithm)

    def seal(self, text: str) -> str:
        """What only the holder of the TSIG secret can say of a text: by it we know a note of ours again."""
        return note_seal(self._secret, text)

    async def add(self, name: str, value: str) -> Reason | None:
        """Add the value; again is no harm. A reason tells what is wrong."""
        return await self._change(name, value, add=True)

    async def remove(self, name: str, value: str) -> Reason | None:
        """Remove the value and no other."""
        return await self._change(name, value, add=False)

    async def _change(self, name: str, value: str, *, add: bool) -> Reason | None:
        shown = self._server.shown
        try:
            addresses = await self._addresses()
            last: NoAnswer | None = None
            for address in addresses:
                try:
                    zone = await self._zone(name, address)
                    update = dns.update.UpdateMessage(zone, keyring=self._key)
                    owner = dns.name.from_text(name)
                    if add:
                        update.add(owner, TTL, dns.rdatatype.TXT, f'"{value}"')
                    else:
                        update.delete(owner, dns.rdatatype.TXT, f'"{value}"')
                    answer = await self._questions.ask(update, address, self._server.port, tcp=self._server.tcp)
                except NoAnswer as error:
                    last = error
                    continue
                return self._judged(answer, zone)
            raise last or NoAnswer("has no address")
        except NoAnswer as error:
            return Reason(FAILED, f"name server {shown} {error}")
        except dns.tsig.PeerBadKey:
            return Reason(FAILED, f"name server {shown} does not know the TSIG key {self._key_name()} (BADKEY)")
        except dns.tsig.PeerBadSignature:
            why = "the secret or the algorithm differs there (BADSIG)"
            return Reason(
                FAILED, f"name server {shown} does not take the signature of TSIG key {self._key_name()}: {why}"
            )
        except dns.tsig.PeerBadTime:
            return Reason(FAILED, f"name server {shown} has a clock that differs from ours (BADTIME)")
        except dns.tsig.PeerError:
            return Reason(FAILED, f"name server {shown} refuses the TSIG signature")

    def _judged(self, answer: dns.message.Message, zone: str) -> Reason | None:
        shown, code = self._server.shown, answer.rcode()
        if self._key is not None and not answer.had_tsig and code == dns.rcode.NOERROR:
            return Reason(FAILED, f"name server {shown} gives an answer that is not signed: it could come from anybody")
        if code == dns.rcode.NOERROR:
            return None
        hint = {
            dns.rcode.REFUSED: ": it does not let this key change the zone",
            dns.rcode.NOTAUTH: ": it is not the zone's primary, or does not take the key",
        }.get(code, "")
        return Reason(
            FAILED, f"name server {shown} answers {dns.rcode.to_text(code)} to an update of zone {zone}{hint}"
        )

    async def _zone(self, name: str, address: str) -> str:
        """The zone in which the server has a name, in the view that the key shows: where an alias is, the name above tells."""
        code = ""
        for one in itself_and_above(name):
            query = dns.message.make_query(one, dns.rdatatype.SOA, flags=0)
            if self._key is not None:
                query.use_tsig(self._key)
            answer = await self._questions.ask(query, address, self._server.port, tcp=self._server.tcp)
            if self._key is not None and not answer.had_tsig:
                raise NoAnswer("gives an answer that is not signed: it could come from anybody")
            zone, code = zone_at(answer, one), dns.rcode.to_text(answer.rcode())
            if zone is not None:
                return zone
            if not is_alias(answer, one):
                break
        raise NoAnswer(f"does not have the zone of {name} (it answers {code})")

    async def _addresses(self) -> list[str]:
        """The server's addresses that may be dialled; found as any program here would."""
        try:
            found = await addresses(self._server.host, self._server.port, socket.SOCK_DGRAM, _RESOLVE_SECONDS)
        except (OSError, UnicodeError):
            raise NoAnswer("does not resolve") from None
        refused = {one: why for one in found if (why := self._rule.refusal(one)) is not None}
        asked = [one for one in found if one not in refused][:_MAX_ADDRESSES]
        if not asked:
            if not refused:
                raise NoAnswer("does not resolve")
            raise NoAnswer(f"has {next(iter(refused.values()))}, which an Issuer may not reach; a ClusterIssuer may")
        return asked

    def _key_name(self) -> str:
        return self._server.tsig.name if self._server.tsig is not None else ""
