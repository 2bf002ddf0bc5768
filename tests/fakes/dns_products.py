"""DNS products, small: each answers its documented API out of records in memory, and checks who asks. No network here.

`answer` takes what a request is made of; `Served` (dns_products_served.py) puts one behind https.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree as ET

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from signer.edge.dns01.apis import akamai, aws, azure, cloudflare, digitalocean, google
from signer.edge.dns01.apis.steps import Call, Client, Reply, folded

ZONE = "example.com"
SECRET = "s3cr3t-of-the-account"
_TOKEN = "t0k3n"
KEY = rsa.generate_private_key(65537, 2048)
_PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
ACCOUNT = json.dumps(
    {
        "type": "service_account",
        "client_email": "dns@p.example",
        "private_key": _PEM,
        "token_uri": "https://evil.example",
    }
).encode()


@dataclass
class Product:
    """What all have: the values of each name, in order. `served` are the calls that it was asked.

    `spelt` gives names as this product has them in its answers: letters' case and a dot at the end are as somebody wrote them.
    """

    values: dict[str, list[str]] = field(default_factory=dict)
    served: list[Call] = field(default_factory=list)
    zone: str = ZONE
    spelt: Callable[[str], str] = str

    def client(self) -> Client:
        """One with the right credentials."""
        raise NotImplementedError

    def origins(self) -> tuple[str, ...]:
        """Where it is for all the world."""
        raise NotImplementedError

    def handle(self, call: Call, path: str, query: Mapping[str, str]) -> tuple[int, Any]:
        """Status and JSON (or bytes) of an answer."""
        raise NotImplementedError

    def answer(self, call: Call) -> Reply:
        """Answer one request."""
        self.served.append(call)
        parts = urlsplit(call.url)
        query = {name: given[-1] for name, given in parse_qs(parts.query).items()}
        status, body = self.handle(call, unquote(parts.path), query)
        return Reply(status, body if isinstance(body, bytes) else json.dumps(body).encode())


def _lower(call: Call) -> dict[str, str]:
    return {name.lower(): value for name, value in call.headers.items()}


class OneByOne(Product):
    """Those that have a record for each value."""

    def rows(self) -> list[tuple[int, str, str]]:
        """Number, name and value of each record."""
        return [
            (int(hashlib.sha256(f"{name} {one}".encode()).hexdigest()[:8], 16), name, one)
            for name, listed in self.values.items()
            for one in listed
        ]

    def forget(self, number: int) -> bool:
        """Remove a record; whether there was one."""
        for found, name, one in self.rows():
            if found == number:
                self.values[name].remove(one)
                return True
        return False


class FakeCloudflare(OneByOne):
    """Cloudflare, as https://developers.cloudflare.com/api/resources/dns/subresources/records/ has it."""

    def client(self) -> Client:
        return cloudflare.Cloudflare(SECRET)

    def origins(self) -> tuple[str, ...]:
        return ("https://api.cloudflare.com",)

    def handle(self, call: Call, path: str, query: Mapping[str, str]) -> tuple[int, Any]:
        if _lower(call).get("authorization") != f"Bearer {SECRET}":
            return 403, {"success": False, "errors": [{"code": 9109, "message": f"Invalid access token {SECRET}"}]}
        if path == "/client/v4/zones":
            found = [{"id": "z" * 32, "name": self.spelt(self.zone)}] if query["name"] == self.zone else []
            return 200, {"success": True, "result": found}
        records = f"/client/v4/zones/{'z' * 32}/dns_records"
        if call.method == "GET" and path == records:
            rows = [
                {"id": f"{number:032x}", "type": "TXT", "name": self.spelt(name), "content": f'"{one}"'}
                for number, name, one in self.rows()
                if name == query["name"]
            ]
            return 200, {"success": True, "result": rows}
        if call.method == "POST" and path == records:
            body = json.loads(call.body)
            value = body["content"].strip('"')
            listed = self.values.setdefault(body["name"], [])
            if value in listed:
                return 400, {"success": False, "errors": [{"code": 81058, "message": "identical"}]}
            listed.append(value)
            return 200, {"success": True, "result": {"id": "x"}}
        if call.method == "DELETE" and path.startswith(f"{records}/"):
            gone = self.forget(int(path.rpartition("/")[2], 16))
            return (200, {"success": True}) if gone else (404, {"success": False})
        return 404, {"success": False}


class FakeDigitalOcean(OneByOne):
    """DigitalOcean, as https://docs.digitalocean.com/reference/api/ has it."""

    def client(self) -> Client:
        return digitalocean.DigitalOcean(SECRET)

    def origins(self) -> tuple[str, ...]:
        return ("https://api.digitalocean.com",)

    def handle(self, call: Call, path: str, query: Mapping[str, str]) -> tuple[int, Any]:
        if _lower(call).get("authorization") != f"Bearer {SECRET}":
            return 401, {"id": "unauthorized", "message": f"no {SECRET}"}
        records = f"/v2/domains/{self.zone}/records"
        if call.method == "GET" and path == records:
            rows = [
                {"id": number, "type": "TXT", "name": self._relative(name), "data": one}
                for number, name, one in self.rows()
                if name == query["name"]
            ]
            return 200, {"domain_records": rows}
        if call.method == "POST" and path == records:
            body = json.loads(call.body)
            name = self.zone if body["name"] == "@" else f"{body['name']}.{self.zone}"
            self.values.setdefault(name, []).append(body["data"])
            return 201, {"domain_record": {"id": 1}}
        if call.method == "DELETE" and path.startswith(f"{records}/"):
            return (204, b"") if self.forget(int(path.rpartition("/")[2])) else (404, {"id": "not_found"})
        return 404, {"id": "not_found"}

    def _relative(self, name: str) -> str:
        return "@" if name == self.zone else self.spelt(name).removesuffix(".")[: -len(self.zone) - 1]


class FakeRoute53(Product):
    """Route 53, as https://docs.aws.amazon.com/Route53/latest/APIReference/ has it."""

    def client(self) -> Client:
        return aws.Route53(aws.Keys("AKIDEXAMPLE", SECRET))

    def origins(self) -> tuple[str, ...]:
        return ("https://route53.amazonaws.com",)

    def handle(self, call: Call, path: str, _query: Mapping[str, str]) -> tuple[int, Any]:
        given = _lower(call)
        time = datetime.strptime(given.get("x-amz-date", "20000101T000000Z"), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        again = aws.signed(
            Call(call.method, call.url, {}, call.body), aws.Keys("AKIDEXAMPLE", SECRET), "us-east-1", "route53", time
        )
        if given.get("authorization") != again.headers["authorization"]:
            return 403, b"<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code></Error></ErrorResponse>"
        space = "https://route53.amazonaws.com/doc/2013-04-01/"
        if path == "/2013-04-01/hostedzonesbyname":
            rows = "".join(
                f"<HostedZone><Id>/hostedzone/{key}</Id><Name>{self.spelt(self.zone)}</Name><Config><PrivateZone>{private}"
                "</PrivateZone></Config></HostedZone>"
                for key, private in (("ZPRIVATE", "true"), ("ZPUBLIC", "false"))
            )
            text = f'<R xmlns="{space}"><HostedZones>{rows}</HostedZones></R>'
            return 200, text.encode()
        if path != "/2013-04-01/hostedzone/ZPUBLIC/rrset/":
            return 404, b"<ErrorResponse><Error><Code>NoSuchHostedZone</Code></Error></ErrorResponse>"
        asked = ET.fromstring(call.body)
        one = {
            tag: asked.findtext(f".//{{{space}}}{tag}") or "" for tag in ("Action", "Name", "Value", "SetIdentifier")
        }
        assert one["Value"] == one["SetIdentifier"]
        listed = self.values.setdefault(one["Name"].rstrip("."), [])
        value = one["Value"].strip('"')
        if one["Action"] == "DELETE":
            if value not in listed:
                return 400, b"<ErrorResponse><Error><Code>InvalidChangeBatch</Code></Error></ErrorResponse>"
            listed.remove(value)
        elif value not in listed:
            listed.append(value)
        return 200, b"<ChangeResourceRecordSetsResponse/>"


class FakeCloudDns(Product):
    """Cloud DNS, as https://cloud.google.com/dns/docs/reference/rest/v1 has it."""

    def client(self) -> Client:
        return google.CloudDns(ACCOUNT, "p")

    def origins(self) -> tuple[str, ...]:
        return ("https://dns.googleapis.com", "https://oauth2.googleapis.com")

    def handle(self, call: Call, path: str, query: Mapping[str, str]) -> tuple[int, Any]:
        if path == "/token":
            return self._token(call)
        if _lower(call).get("authorization") != f"Bearer {_TOKEN}":
            return 401, {"error": {"code": 401}}
        zones = "/dns/v1/projects/p/managedZones"
        if path == zones:
            listed = [{"name": "inside", "visibility": "private"}, {"name": "zone", "visibility": "public"}]
            return 200, {"managedZones": listed if query["dnsName"] == f"{self.zone}." else []}
        if path == f"{zones}/zone/rrsets":
            found = self._set(query["name"])
            return 200, {"rrsets": [found] if found else []}
        if path == f"{zones}/zone/changes":
            body = json.loads(call.body)
            for one in body.get("deletions", ()):
                if self._set(one["name"]) != one:
                    return 412, {"error": {"code": 412}}
            for one in body.get("additions", ()):
                if self._set(one["name"]) and not body.get("deletions"):
                    return 409, {"error": {"code": 409}}
            for one in body.get("deletions", ()):
                self.values[folded(one["name"])] = []
            for one in body.get("additions", ()):
                self.values[folded(one["name"])] = [value.strip('"') for value in one["rrdatas"]]
            return 200, {"status": "pending"}
        return 404, {"error": {"code": 404}}

    def _set(self, name: str) -> Any:
        listed = self.values.get(folded(name))
        return (
            {"name": self.spelt(name), "type": "TXT", "ttl": 60, "rrdatas": [f'"{one}"' for one in listed]}
            if listed
            else None
        )

    def _token(self, call: Call) -> tuple[int, Any]:
        form = parse_qs(call.body.decode())
        head, claims, signature = form["assertion"][0].split(".")
        data = base64.urlsafe_b64decode(signature + "==")
        KEY.public_key().verify(data, f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
        said = json.loads(base64.urlsafe_b64decode(claims + "=="))
        assert said["aud"] == "https://oauth2.googleapis.com/token"
        assert said["exp"] - said["iat"] <= 3600
        return 200, {"access_token": _TOKEN, "expires_in": 3599}


class FakeAzure(Product):
    """Azure DNS, as https://learn.microsoft.com/en-us/rest/api/dns/record-sets has it."""

    written = 0

    def client(self) -> Client:
        return azure.AzureDns(azure.Login("tenant", "client", SECRET), azure.Zone("sub", "group"))

    def origins(self) -> tuple[str, ...]:
        return ("https://management.azure.com", "https://login.microsoftonline.com")

    def handle(self, call: Call, path: str, query: Mapping[str, str]) -> tuple[int, Any]:
        given = _lower(call)
        if path == "/tenant/oauth2/v2.0/token":
            form = parse_qs(call.body.decode())
            if form["client_secret"] != [SECRET]:
                return 401, {"error": "invalid_client", "error_description": f"no {SECRET}"}
            return 200, {"access_token": _TOKEN}
        if given.get("authorization") != f"Bearer {_TOKEN}":
            return 401, {"error": {"code": "InvalidAuthenticationToken"}}
        head = f"/subscriptions/sub/resourceGroups/group/providers/Microsoft.Network/dnsZones/{self.zone}/TXT/"
        if not path.startswith(head) or query != {"api-version": "2018-05-01"}:
            return 404, {"error": {"code": "ParentResourceNotFound"}}
        relative = path.removeprefix(head)
        name = self.zone if relative == "@" else f"{relative}.{self.zone}"
        listed = self.values.get(name) or []
        etag = hashlib.sha256(f"{name} {listed} {self.written}".encode()).hexdigest()
        if call.method == "GET":
            properties = {"TTL": 60, "metadata": {"of": "somebody"}, "TXTRecords": [{"value": [one]} for one in listed]}
            return (200, {"etag": etag, "properties": properties}) if listed else (404, {"error": {"code": "NotFound"}})
        if ("if-match" in given and given["if-match"] != etag) or ("if-none-match" in given and listed):
            return 412, {"error": {"code": "PreconditionFailed"}}
        self.written += 1
        if call.method == "DELETE":
            self.values[name] = []
            return 200, b""
        properties = json.loads(call.body)["properties"]
        assert properties.get("metadata", {"of": "somebody"}) == {"of": "somebody"}
        self.values[name] = [one["value"][0] for one in properties["TXTRecords"]]
        return 200, {"etag": "new"}


class FakeAkamai(Product):
    """Edge DNS, as https://techdocs.akamai.com/edge-dns/reference/api has it."""

    host = "akab-example.luna.akamaiapis.net"

    def client(self) -> Client:
        return akamai.Akamai(self.host, akamai.Keys("client", SECRET, "access"))

    def origins(self) -> tuple[str, ...]:
        return (f"https://{self.host}",)

    def handle(self, call: Call, path: str, _query: Mapping[str, str]) -> tuple[int, Any]:
        head, _, signature = _lower(call).get("authorization", "").rpartition("signature=")
        digest = base64.b64encode(hashlib.sha256(call.body).digest()).decode() if call.method == "POST" else ""
        text = f"{call.method}\thttps\t{self.host}\t{urlsplit(call.url).path}\t\t{digest}\t{head}"
        time = (re.findall(r"timestamp=([^;]*);", head) or [""])[0]
        key = base64.b64encode(hmac.new(SECRET.encode(), time.encode(), hashlib.sha256).digest())
        if signature != base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode():
            return 401, {"type": "authentication", "title": "Not authorized", "detail": SECRET}
        found = re.fullmatch(r"/config-dns/v2/zones/([^/]+)/names/([^/]+)/types/TXT", path)
        if found is None or found[1] != self.zone:
            return 404, {"title": "Not Found"}
        listed = self.values.get(found[2]) or []
        if call.method == "GET":
            rows = {"name": found[2], "type": "TXT", "ttl": 300, "rdata": [f'"{one}"' for one in listed]}
            return (200, rows) if listed else (404, {"title": "Not Found"})
        if call.method == "POST" and listed:
            return 409, {"title": "Conflict"}
        if call.method in ("PUT", "DELETE") and not listed:
            return 404, {"title": "Not Found"}
        wanted = [] if call.method == "DELETE" else json.loads(call.body)["rdata"]
        self.values[found[2]] = [one.strip('"') for one in wanted]
        return 201, {}


PRODUCTS: tuple[Callable[[], Product], ...] = (
    FakeCloudflare,
    FakeDigitalOcean,
    FakeRoute53,
    FakeCloudDns,
    FakeAzure,
    FakeAkamai,
)
