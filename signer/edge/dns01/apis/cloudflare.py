"""Cloudflare: each value of a name is a record of its own. Pure.

Sources: https://developers.cloudflare.com/api/resources/dns/subresources/records/; cert-manager v1.20,
pkg/issuer/acme/dns/cloudflare.
"""

from collections.abc import Callable, Generator
from datetime import datetime
from urllib.parse import urlencode

import msgspec

from signer.edge.dns01.apis.steps import Call, Refusal, Reply, Steps, TxtValue, folded, identifier, no_zone, plain, read

BASE = "https://api.cloudflare.com/client/v4"
_TTL = 120
_EXISTS = frozenset({81057, 81058})
"""The same record is there already."""


class _Zone(msgspec.Struct, frozen=True):
    id: str
    name: str


class _Zones(msgspec.Struct, frozen=True):
    result: tuple[_Zone, ...] | None = None


class _Record(msgspec.Struct, frozen=True):
    id: str
    name: str
    content: str


class _Records(msgspec.Struct, frozen=True):
    result: tuple[_Record, ...] | None = None


class _Error(msgspec.Struct, frozen=True):
    code: int = 0


class _Answer(msgspec.Struct, frozen=True):
    success: bool = False
    errors: tuple[_Error, ...] | None = None


class Cloudflare:
    """With an API token, or with an account's e-mail address and its key."""

    def __init__(self, secret: str, email: str = "") -> None:
        auth = {"X-Auth-Email": email, "X-Auth-Key": secret} if email else {"Authorization": f"Bearer {secret}"}
        self._headers = {**auth, "Content-Type": "application/json"}

    def add(self, record: TxtValue, _now: datetime, _nonce: Callable[[], str]) -> Steps:
        """Add the value, unless it is there."""
        zone = yield from self._zone(record)
        if (yield from self._found(zone, record)) is not None:
            return
        wanted = {"type": "TXT", "name": record.name, "content": record.quoted, "ttl": _TTL}
        url = f"{BASE}/zones/{zone}/dns_records"
        reply = yield Call("POST", url, self._headers, msgspec.json.encode(wanted), fine=(400, 409))
        answer = read(reply, _Answer)
        codes = {one.code for one in answer.errors or ()}
        if not answer.success and not codes & _EXISTS:
            raise Refusal(f"refuses the record ({', '.join(map(str, sorted(codes))) or reply.status})")

    def remove(self, record: TxtValue, _now: datetime, _nonce: Callable[[], str]) -> Steps:
        """Remove the record with this value."""
        zone = yield from self._zone(record)
        found = yield from self._found(zone, record)
        if found is not None:
            yield Call("DELETE", f"{BASE}/zones/{zone}/dns_records/{identifier(found)}", self._headers, fine=(404,))

    def _zone(self, record: TxtValue) -> Generator[Call, Reply, str]:
        reply = yield Call("GET", f"{BASE}/zones?{urlencode({'name': record.zone})}", self._headers)
        found = next((one.id for one in read(reply, _Zones).result or () if folded(one.name) == record.zone), None)
        if found is None:
            raise no_zone(record)
        return identifier(found)

    def _found(self, zone: str, record: TxtValue) -> Generator[Call, Reply, str | None]:
        query = urlencode({"type": "TXT", "name": record.name, "per_page": 100})
        reply = yield Call("GET", f"{BASE}/zones/{zone}/dns_records?{query}", self._headers)
        for one in read(reply, _Records).result or ():
            if folded(one.name) == record.name and plain(one.content) == record.value:
                return one.id
        return None
