"""Route 53, and how Amazon's requests are signed (Signature Version 4). Pure.

Each value is a record set of its own, by the routing policy "multivalue answer" with the value for its identifier, as
cert-manager has it: so nothing is read before it is written, and two that write at once do not undo each other.
Sources: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html;
https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html; cert-manager v1.20,
pkg/issuer/acme/dns/route53.
"""

import hashlib
import hmac
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote, urlencode, urlsplit
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

from signer.edge.dns01.apis.steps import Call, Refusal, Reply, Steps, TxtValue, credential, folded, identifier, no_zone

_TTL = 10
_API = "2013-04-01"
_SPACE = f"https://route53.amazonaws.com/doc/{_API}/"
_STS = "https://sts.amazonaws.com/doc/2011-06-15/"
_SESSION = "mesh-signer"
_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class Keys:
    """An access key; `token` with one for a time only."""

    access: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class _Place:
    """A partition of Amazon's: Route 53's host and region there, the end of all hosts, the region of STS when none is named."""

    route53: str
    region: str
    domain: str

    def sts(self, region: str) -> str:
        return f"https://sts.{region or self.region}.{self.domain}"


def _place(region: str) -> _Place:
    if region.startswith("cn-"):
        return _Place("https://route53.amazonaws.com.cn", "cn-northwest-1", "amazonaws.com.cn")
    if region.startswith("us-gov-"):
        return _Place("https://route53.us-gov.amazonaws.com", "us-gov-west-1", "amazonaws.com")
    return _Place("https://route53.amazonaws.com", "us-east-1", "amazonaws.com")


def signed(call: Call, keys: Keys, region: str, service: str, now: datetime) -> Call:
    """Return the request with its signature. Its URL is in the form that is signed: sorted parameters, all escaped."""
    parts = urlsplit(call.url)
    time = now.strftime("%Y%m%dT%H%M%SZ")
    headers = {"host": parts.netloc, "x-amz-date": time}
    if keys.token:
        headers["x-amz-security-token"] = keys.token
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    digest = hashlib.sha256(call.body).hexdigest()
    asked = f"{call.method}\n{parts.path or '/'}\n{parts.query}\n{lines}\n{names}\n{digest}"
    scope = f"{time[:8]}/{region}/{service}/aws4_request"
    text = f"{_ALGORITHM}\n{time}\n{scope}\n{hashlib.sha256(asked.encode()).hexdigest()}"
    key = f"AWS4{keys.secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    headers["authorization"] = (
        f"{_ALGORITHM} Credential={keys.access}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    del headers["host"]  # whoever sends it says the same
    return Call(call.method, call.url, {**call.headers, **headers}, call.body, call.fine)


class Route53:
    """With an access key, and with the role that it may assume, if one is given. `zone`: the hosted zone's id, "" to look it up."""

    def __init__(self, keys: Keys, region: str = "", role: str = "", zone: str = "") -> None:
        self._keys = keys
        self._place = _place(region)
        self._region = region
        self._role = role
        self._hosted_zone = zone

    def add(self, record: TxtValue, now: datetime, _nonce: Callable[[], str]) -> Steps:
        """Add the value; again changes nothing."""
        keys = yield from self._assumed(now)
        zone = yield from self._zone(record, keys, now)
        yield self._change("UPSERT", zone, record, keys, now)

    def remove(self, record: TxtValue, now: datetime, _nonce: Callable[[], str]) -> Steps:
        """Remove the record set of this value."""
        keys = yield from self._assumed(now)
        zone = yield from self._zone(record, keys, now)
        reply = yield self._change("DELETE", zone, record, keys, now, fine=(400,))
        if reply.status == 400 and b"InvalidChangeBatch" not in reply.body:
            raise Refusal("refuses to take the record away (400)")

    def _assumed(self, now: datetime) -> Generator[Call, Reply, Keys]:
        if not self._role:
            return self._keys
        query = {"Action": "AssumeRole", "RoleArn": self._role, "RoleSessionName": _SESSION, "Version": "2011-06-15"}
        call = Call(
            "POST",
            f"{self._place.sts(self._region)}/",
            {"Content-Type": "application/x-www-form-urlencoded"},
            urlencode(query).encode(),
        )
        reply = yield signed(call, self._keys, self._region or self._place.region, "sts", now)
        found = _xml(reply).find(f".//{{{_STS}}}Credentials")
        texts = [found.findtext(f"{{{_STS}}}{name}", "") for name in _CREDENTIALS] if found is not None else []
        try:
            return Keys(*(credential(text.encode()) for text in texts))
        except (TypeError, ValueError):
            raise Refusal("gives an answer that cannot be read") from None

    def _zone(self, record: TxtValue, keys: Keys, now: datetime) -> Generator[Call, Reply, str]:
        if self._hosted_zone:
            return self._hosted_zone
        url = f"{self._place.route53}/{_API}/hostedzonesbyname?{_query({'dnsname': record.zone, 'maxitems': '100'})}"
        reply = yield signed(Call("GET", url), keys, self._place.region, "route53", now)
        for one in _xml(reply).iter(f"{{{_SPACE}}}HostedZone"):
            name = folded(one.findtext(f"{{{_SPACE}}}Name", ""))
            private = one.findtext(f"{{{_SPACE}}}Config/{{{_SPACE}}}PrivateZone", "false")
            if name == record.zone and private != "true":
                return identifier(one.findtext(f"{{{_SPACE}}}Id", "").removeprefix("/hostedzone/"))
        raise no_zone(record)

    def _change(
        self, action: str, zone: str, record: TxtValue, keys: Keys, now: datetime, fine: tuple[int, ...] = ()
    ) -> Call:
        value = escape(record.quoted)
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<ChangeResourceRecordSetsRequest xmlns="{_SPACE}"><ChangeBatch>'
            f"<Changes><Change><Action>{action}</Action><ResourceRecordSet><Name>{escape(record.name)}.</Name>"
            f"<Type>TXT</Type><SetIdentifier>{value}</SetIdentifier><MultiValueAnswer>true</MultiValueAnswer>"
            f"<TTL>{_TTL}</TTL><ResourceRecords><ResourceRecord><Value>{value}</Value></ResourceRecord></ResourceRecords>"
            "</ResourceRecordSet></Change></Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"
        )
        url = f"{self._place.route53}/{_API}/hostedzone/{quote(zone, safe='')}/rrset/"
        call = Call("POST", url, {"Content-Type": "text/xml"}, body.encode(), fine)
        return signed(call, keys, self._place.region, "route53", now)


_CREDENTIALS = ("AccessKeyId", "SecretAccessKey", "SessionToken")


def _query(given: Mapping[str, str]) -> str:
    """Parameters in the form that is signed."""
    return "&".join(f"{quote(name, safe='-_.~')}={quote(given[name], safe='-_.~')}" for name in sorted(given))


def _xml(reply: Reply) -> ET.Element:
    """An answer's XML. No definitions are read: entities could make a small answer a large one."""
    if b"<!" in reply.body:
        raise Refusal("gives an answer that cannot be read")
    try:
        return ET.fromstring(reply.body)  # noqa: S314 - see above
    except (ET.ParseError, ValueError, LookupError, RecursionError):
        raise Refusal("gives an answer that cannot be read") from None
