"""Akamai Edge DNS, and how its requests are signed (EdgeGrid). All values of a name are one record set. Pure.

It has no way to write only what was read: two writers at once could undo each other. Ours are one after the other
(caller.py); what somebody else writes in the same second may be lost, as with Akamai's own programs.
Sources: https://techdocs.akamai.com/edge-dns/reference/api; https://techdocs.akamai.com/developer/docs/edgegrid; cert-manager
v1.20, pkg/issuer/acme/dns/akamai.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote, urlsplit

import msgspec

from signer.edge.dns01.apis.steps import Call, Changed, Reply, Steps, TxtValue, plain, read

_TTL = 300
_MOST_SIGNED = 131072


@dataclass(frozen=True, slots=True)
class Keys:
    """An API client's credentials."""

    client_token: str
    client_secret: str = field(repr=False)
    access_token: str = field(repr=False)


class _Set(msgspec.Struct, frozen=True):
    ttl: int = _TTL
    rdata: tuple[str, ...] = ()


def signed(call: Call, keys: Keys, now: datetime, nonce: str) -> Call:
    """Return the request with its signature."""
    time = now.strftime("%Y%m%dT%H:%M:%S+0000")
    head = f"EG1-HMAC-SHA256 client_token={keys.client_token};access_token={keys.access_token};timestamp={time};nonce={nonce};"
    parts = urlsplit(call.url)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    digest = _base64(hashlib.sha256(call.body[:_MOST_SIGNED]).digest()) if call.method == "POST" else ""
    text = f"{call.method}\t{parts.scheme}\t{parts.netloc}\t{target}\t\t{digest}\t{head}"
    key = _hmac(keys.client_secret, time)
    headers = {**call.headers, "Authorization": f"{head}signature={_hmac(key, text)}"}
    return Call(call.method, call.url, headers, call.body, call.fine)


class Akamai:
    """With an API client's credentials, at the host that they are for."""

    def __init__(self, host: str, keys: Keys) -> None:
        self._base = f"https://{host}/config-dns/v2/zones"
        self._keys = keys

    def add(self, record: TxtValue, now: datetime, nonce: Callable[[], str]) -> Steps:
        """Add the value to the record set, unless it is there."""
        found = yield from self._found(record, now, nonce)
        if found is None:
            yield from self._write("POST", record, _Set(_TTL, (record.quoted,)), now, nonce)
        elif record.value not in map(plain, found.rdata):
            yield from self._write("PUT", record, _Set(found.ttl, (*found.rdata, record.quoted)), now, nonce)

    def remove(self, record: TxtValue, now: datetime, nonce: Callable[[], str]) -> Steps:
        """Remove the value from the record set, and the set with its last one."""
        found = yield from self._found(record, now, nonce)
        if found is None or record.value not in map(plain, found.rdata):
            return
        left = tuple(one for one in found.rdata if plain(one) != record.value)
        if left:
            yield from self._write("PUT", record, _Set(found.ttl, left), now, nonce)
        else:
            yield signed(Call("DELETE", self._url(record), fine=(404,)), self._keys, now, nonce())

    def _found(self, record: TxtValue, now: datetime, nonce: Callable[[], str]) -> Generator[Call, Reply, _Set | None]:
        reply = yield signed(Call("GET", self._url(record), fine=(404,)), self._keys, now, nonce())
        return read(reply, _Set) if reply.status < 300 else None

    def _write(self, method: str, record: TxtValue, wanted: _Set, now: datetime, nonce: Callable[[], str]) -> Steps:
        body = msgspec.json.encode({"name": record.name, "type": "TXT", "ttl": wanted.ttl, "rdata": list(wanted.rdata)})
        # 409 to POST: it came meanwhile. To PUT 404: it went. A zone that is not there answers 404 to POST.
        fine = (409,) if method == "POST" else (404,)
        call = Call(method, self._url(record), {"Content-Type": "application/json"}, body, fine)
        if (yield signed(call, self._keys, now, nonce())).status >= 300:
            raise Changed

    def _url(self, record: TxtValue) -> str:
        zone, name = (quote(one, safe="") for one in (record.zone, record.name))
        return f"{self._base}/{zone}/names/{name}/types/TXT"


def _hmac(key: str, text: str) -> str:
    return _base64(hmac.new(key.encode(), text.encode(), hashlib.sha256).digest())


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
