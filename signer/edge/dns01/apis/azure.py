"""Azure DNS: all values of a name are one record set, written with the ETag that it was read with. Pure.

Sources: https://learn.microsoft.com/en-us/rest/api/dns/record-sets;
https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow; cert-manager v1.20,
pkg/issuer/acme/dns/azuredns.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from signer.edge.dns01.apis.google import bearer
from signer.edge.dns01.apis.steps import Call, Changed, Refusal, Reply, Steps, TxtValue, folded, read

CLOUDS = {
    "AzurePublicCloud": ("https://login.microsoftonline.com", "https://management.azure.com"),
    "AzureUSGovernmentCloud": ("https://login.microsoftonline.us", "https://management.usgovcloudapi.net"),
    "AzureChinaCloud": ("https://login.chinacloudapi.cn", "https://management.chinacloudapi.cn"),
}
"""Where tokens are had, and where zones are kept. The German cloud is closed."""
_TTL = 60


class _Token(msgspec.Struct, frozen=True):
    access_token: str


class _Set(msgspec.Struct, frozen=True):
    etag: str = ""
    properties: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Login:
    """An application that may change the zone."""

    tenant: str
    client: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Zone:
    """Where a zone is: its subscription, resource group and cloud. `name`: "" for the zone in which a record's name is."""

    subscription: str
    group: str
    name: str = ""
    cloud: str = "AzurePublicCloud"
    private: bool = False

    def url(self, record: TxtValue) -> str:
        """Return the URL of a record set. Raises Refusal where the name is in another zone."""
        kind, version = ("privateDnsZones", "2020-06-01") if self.private else ("dnsZones", "2018-05-01")
        zone = folded(self.name) or record.zone
        if record.name != zone and not record.name.endswith(f".{zone}"):
            raise Refusal(f"is told to write to the zone {zone}, in which {record.name} is not")
        parts = ("subscriptions", self.subscription, "resourceGroups", self.group, "providers", "Microsoft.Network")
        relative = TxtValue(zone, record.name, record.value).relative
        path = "/".join(quote(one, safe="") for one in (*parts, kind, zone, "TXT", relative))
        return f"{CLOUDS[self.cloud][1]}/{path}?api-version={version}"


class AzureDns:
    """With an application's secret."""

    def __init__(self, login: Login, zone: Zone) -> None:
        self._login = login
        self._zone = zone

    def add(self, record: TxtValue, _now: datetime, _nonce: Callable[[], str]) -> Steps:
        """Add the value to the record set, unless it is there."""
        headers = yield from self._authorized()
        found = yield from self._found(record, headers)
        values = _values(found)
        if [record.value] not in values:
            yield from self._write(record, headers, found, [*values, [record.value]])

    def remove(self, record: TxtValue, _now: datetime, _nonce: Callable[[], str]) -> Steps:
        """Remove the value from the record set, and the set with its last one."""
        headers = yield from self._authorized()
        found = yield from self._found(record, headers)
        values = _values(found)
        if [record.value] in values:
            yield from self._write(record, headers, found, [one for one in values if one != [record.value]])

    def _authorized(self) -> Generator[Call, Reply, dict[str, str]]:
        login, (authority, management) = self._login, CLOUDS[self._zone.cloud]
        form = {
            "grant_type": "client_credentials",
            "client_id": login.client,
            "client_secret": login.secret,
            "scope": f"{management}/.default",
        }
        url = f"{authority}/{quote(login.tenant, safe='')}/oauth2/v2.0/token"
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        reply = yield Call("POST", url, headers, urlencode(form).encode(), fine=(400,))
        if reply.status == 400:  # what Entra answers for an unknown tenant, application or secret
            raise Refusal("does not take the tenant, the client or its secret (400)")
        return bearer(read(reply, _Token).access_token)

    def _found(self, record: TxtValue, headers: Mapping[str, str]) -> Generator[Call, Reply, _Set | None]:
        reply = yield Call("GET", self._zone.url(record), headers, fine=(404,))
        if reply.status == 404:
            return None
        found = read(reply, _Set)
        if not found.etag:
            raise Refusal("gives an answer that cannot be read")
        return found

    def _write(
        self, record: TxtValue, headers: Mapping[str, str], found: _Set | None, values: list[list[str]]
    ) -> Steps:
        same = {"If-None-Match": "*"} if found is None else {"If-Match": found.etag}
        if not values:
            reply = yield Call("DELETE", self._zone.url(record), {**headers, **same}, fine=(404, 412))
        else:
            before = found.properties if found is not None else {}
            kept = {name: before[name] for name in ("TTL", "ttl", "metadata") if before.get(name) is not None}
            ttl, texts = ("ttl", "txtRecords") if self._zone.private else ("TTL", "TXTRecords")
            properties = {ttl: _TTL, **kept, texts: [{"value": one} for one in values]}
            body = msgspec.json.encode({"properties": properties})
            reply = yield Call("PUT", self._zone.url(record), {**headers, **same}, body, fine=(409, 412))
        if reply.status in (409, 412):
            raise Changed


def _values(found: _Set | None) -> list[list[str]]:
    """The values of a record set, each in its parts. Raises Refusal."""
    properties = found.properties if found is not None else {}
    listed = properties.get("TXTRecords") or properties.get("txtRecords") or []
    try:
        return [list(map(str, one["value"])) for one in listed]
    except (TypeError, KeyError):
        raise Refusal("gives an answer that cannot be read") from None
