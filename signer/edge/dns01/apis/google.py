"""Google Cloud DNS: all values of a name are one record set, which a change replaces as a whole or not at all. Pure.

Sources: https://cloud.google.com/dns/docs/reference/rest/v1; https://developers.google.com/identity/protocols/oauth2/service-account;
cert-manager v1.20, pkg/issuer/acme/dns/clouddns.
"""

import base64
from collections.abc import Callable, Generator
from datetime import datetime
from urllib.parse import quote, urlencode

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from issuers.errors import InvalidAuthority
from issuers.private_key import load_key
from signer.edge.dns01.apis.steps import (
    Call,
    Changed,
    Refusal,
    Reply,
    Steps,
    TxtValue,
    credential,
    folded,
    no_zone,
    plain,
    read,
)

BASE = "https://dns.googleapis.com/dns/v1"
TOKEN = "https://oauth2.googleapis.com/token"  # noqa: S105 - where one is had
"""Google's own, whatever a service account's `token_uri` says: the Secret's author must not choose where we send it."""
_SCOPE = "https://www.googleapis.com/auth/ndev.clouddns.readwrite"
_TTL = 60
_HOUR = 3600


class _ServiceAccount(msgspec.Struct, frozen=True):
    client_email: str
    private_key: str
    type: str = "service_account"


class _Token(msgspec.Struct, frozen=True):
    access_token: str


class _Zone(msgspec.Struct, frozen=True):
    name: str
    visibility: str = "public"


class _Zones(msgspec.Struct, frozen=True, rename="camel"):
    managed_zones: tuple[_Zone, ...] = ()


class _Set(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    name: str
    type: str
    ttl: int = 0
    rrdatas: tuple[str, ...] = ()
    routing_policy: msgspec.Raw | None = None


class _Sets(msgspec.Struct, frozen=True):
    rrsets: tuple[_Set, ...] = ()


class CloudDns:
    """With a service account's key, as its JSON file has it. `zone`: the managed zone's name, "" to look it up."""

    def __init__(self, file: bytes, project: str, zone: str = "") -> None:
        """Made off the loop, as reading a key takes milliseconds. Raises ValueError, without a word of the key."""
        try:
            account = msgspec.json.decode(file, type=_ServiceAccount)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise ValueError("is not a service account's key in JSON") from None
        try:
            key = load_key(account.private_key.encode(), field="private_key")
        except InvalidAuthority as error:
            raise ValueError(f"has no private key that can be used ({error.reason})") from None
        if not isinstance(key, rsa.RSAPrivateKey) or not 2048 <= key.key_size <= 4096:
            raise ValueError("has a private key that is not RSA of 2048 to 4096 bits")
        self._key = key
        self._email = credential(account.client_email.encode())
        self._project = f"{BASE}/projects/{quote(project, safe='')}"
        self._managed_zone = zone

    def add(self, record: TxtValue, now: datetime, _nonce: Callable[[], str]) -> Steps:
        """Add the value to the record set, unless it is there."""
        headers = yield from self._authorized(now)
        url = yield from self._zone(record, headers)
        found = yield from _found(url, record, headers)
        values = found.rrdatas if found is not None else ()
        if record.value not in map(plain, values):
            yield from _change(url, record, headers, found, (*values, record.quoted))

    def remove(self, record: TxtValue, now: datetime, _nonce: Callable[[], str]) -> Steps:
        """Remove the value from the record set, and the set with its last one."""
        headers = yield from self._authorized(now)
        url = yield from self._zone(record, headers)
        found = yield from _found(url, record, headers)
        if found is not None and record.value in map(plain, found.rrdatas):
            left = tuple(one for one in found.rrdatas if plain(one) != record.value)
            yield from _change(url, record, headers, found, left)

    def _authorized(self, now: datetime) -> Generator[Call, Reply, dict[str, str]]:
        issued = int(now.timestamp())
        claims = {"iss": self._email, "scope": _SCOPE, "aud": TOKEN, "iat": issued, "exp": issued + _HOUR}
        parts = [_base64(msgspec.json.encode(one)) for one in ({"alg": "RS256", "typ": "JWT"}, claims)]
        signature = self._key.sign(".".join(parts).encode(), padding.PKCS1v15(), hashes.SHA256())
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "assertion": ".".join([*parts, _base64(signature)]),
        }
        reply = yield Call("POST", TOKEN, _FORM, urlencode(form).encode())
        return bearer(read(reply, _Token).access_token)

    def _zone(self, record: TxtValue, headers: dict[str, str]) -> Generator[Call, Reply, str]:
        name = self._managed_zone
        if not name:
            query = urlencode({"dnsName": f"{record.zone}."})
            reply = yield Call("GET", f"{self._project}/managedZones?{query}", headers)
            zones = read(reply, _Zones).managed_zones
            # A private one may be what a company's own CA looks at.
            found = next((one for one in zones if one.visibility == "public"), next(iter(zones), None))
            if found is None:
                raise no_zone(record)
            name = found.name
        return f"{self._project}/managedZones/{quote(name, safe='')}"


_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def bearer(token: str) -> dict[str, str]:
    """Return the headers with a token that a product gave. Raises Refusal for one that no header can have."""
    try:
        return {"Authorization": f"Bearer {credential(token.encode())}", "Content-Type": "application/json"}
    except ValueError:
        raise Refusal("gives an answer that cannot be read") from None


def _found(url: str, record: TxtValue, headers: dict[str, str]) -> Generator[Call, Reply, _Set | None]:
    query = urlencode({"name": f"{record.name}.", "type": "TXT"})
    reply = yield Call("GET", f"{url}/rrsets?{query}", headers)
    sets = read(reply, _Sets).rrsets
    found = next((one for one in sets if one.type == "TXT" and folded(one.name) == record.name), None)
    if found is not None and found.routing_policy is not None:
        raise Refusal(f"has a routing policy at TXT {record.name}, which is left alone")
    return found


def _change(url: str, record: TxtValue, headers: dict[str, str], found: _Set | None, values: tuple[str, ...]) -> Steps:
    wanted = (_Set(f"{record.name}.", "TXT", found.ttl if found is not None else _TTL, values),) if values else ()
    change = {"additions": wanted, "deletions": (found,) if found is not None else ()}
    # What is to be deleted must be what is there: so nobody's value is lost.
    reply = yield Call("POST", f"{url}/changes", headers, msgspec.json.encode(change), fine=(404, 409, 412))
    if reply.status >= 300:
        raise Changed


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
