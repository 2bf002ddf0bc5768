"""DigitalOcean: each value of a name is a record of its own. Pure.

Sources: https://docs.digitalocean.com/reference/api/reference/domain-records/; cert-manager v1.20,
pkg/issuer/acme/dns/digitalocean, which takes away all values of the name.
"""

from collections.abc import Callable, Generator
from datetime import datetime
from urllib.parse import quote, urlencode

import msgspec

from signer.edge.dns01.apis.steps import Call, Reply, Steps, TxtValue, folded, no_zone, plain, read

BASE = "https://api.digitalocean.com/v2"
_TTL = 60


class _Record(msgspec.Struct, frozen=True):
    id: int
    name: str
    data: str = ""


class _Records(msgspec.Struct, frozen=True):
    domain_records: tuple[_Record, ...] = ()


class DigitalOcean:
    """With an access token."""

    def __init__(self, token: str) -> None:
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def add(self, record: TxtValue, _now: datetime, _nonce: Callable[[], str]) -> Steps:
        """Add the value, unless it is there."""
        if (yield from self._found(record)) is None:
            wanted = {"type": "TXT", "name": record.relative, "data": record.value, "ttl": _TTL}
            yield Call("POST", _records(record), self._headers, msgspec.json.encode(wanted))

    def remove(self, record: TxtValue, _now: datetime, _nonce: Callable[[], str]) -> Steps:
        """Remove the record with this value."""
        found = yield from self._found(record)
        if found is not None:
            yield Call("DELETE", f"{_records(record)}/{found}", self._headers, fine=(404,))

    def _found(self, record: TxtValue) -> Generator[Call, Reply, int | None]:
        query = urlencode({"type": "TXT", "name": record.name, "per_page": 200})
        reply = yield Call("GET", f"{_records(record)}?{query}", self._headers, fine=(404,))
        if reply.status == 404:
            raise no_zone(record)
        names = (record.relative, record.name)
        for one in read(reply, _Records).domain_records:
            if folded(one.name) in names and plain(one.data) == record.value:
                return one.id
        return None


def _records(record: TxtValue) -> str:
    return f"{BASE}/domains/{quote(record.zone, safe='')}/records"
