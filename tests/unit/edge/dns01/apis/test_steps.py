"""What each DNS product ends up with, whatever was there before, and whoever else writes in between."""

import base64
import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.edge.dns01.apis import akamai, aws, azure, google
from signer.edge.dns01.apis.steps import Call, Changed, Refusal, Reply, Steps, TxtValue, credential, folded, plain
from tests.fakes.dns_products import ACCOUNT, PRODUCTS, SECRET, ZONE, FakeAkamai, FakeAzure, FakeRoute53, Product

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
NAMES = st.sampled_from([f"_acme-challenge.{ZONE}", f"_acme-challenge.www.{ZONE}", f"_x.{ZONE}"])
VALUES = st.sampled_from(["a" * 43, "b" * 43, "-_" * 21 + "c"])
CHANGES = st.lists(st.tuples(st.booleans(), NAMES, VALUES), max_size=12)
MADE = pytest.mark.parametrize("made", PRODUCTS, ids=lambda one: one.__name__)


def nonce() -> str:
    return "nonce"


def steps_of(product: Product, record: TxtValue, *, add: bool) -> Steps:
    client = product.client()
    return (client.add if add else client.remove)(record, NOW, nonce)


def taken(product: Product, record: TxtValue, *, add: bool) -> int:
    """Take all steps; returns how many requests there were."""
    count = 0
    steps = steps_of(product, record, add=add)
    try:
        call = next(steps)
        while True:
            count += 1
            reply = product.answer(call)
            assert reply.status < 300 or reply.status in call.fine, (call.method, call.url, reply.status)
            call = steps.send(reply)
    except StopIteration:
        return count


@MADE
@given(CHANGES, st.dictionaries(NAMES, st.lists(st.just("v=spf1 -all"), min_size=1, max_size=1)))
def test_what_is_there_afterwards(
    made: Callable[[], Product], changes: list[tuple[bool, str, str]], before: dict[str, list[str]]
) -> None:
    """After any changes there are the values that were added and not removed, each once, and what others had stays."""
    product = made()
    product.values = {name: list(listed) for name, listed in before.items()}
    model = {name: set(listed) for name, listed in before.items()}
    for add, name, value in changes:
        taken(product, TxtValue(ZONE, name, value), add=add)
        (model.setdefault(name, set()).add if add else model.setdefault(name, set()).discard)(value)
    for name, wanted in model.items():
        assert sorted(product.values.get(name, [])) == sorted(wanted)


SPELLINGS: dict[str, Callable[[str], str]] = {
    "capitals": str.upper,
    "a dot": lambda name: f"{name.removesuffix('.')}.",
    "no dot": lambda name: name.removesuffix("."),
    "both": lambda name: f"{name.removesuffix('.').title()}.",
}


@MADE
@pytest.mark.parametrize("spelt", SPELLINGS.values(), ids=SPELLINGS)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from([f"_acme-challenge.{ZONE}", ZONE]), VALUES), max_size=8))
def test_names_as_the_dns_has_them(
    made: Callable[[], Product], spelt: Callable[[str], str], changes: list[tuple[bool, str, str]]
) -> None:
    """However a product spells its zones and names, they are the same ones: nothing is written twice, and nothing is left behind."""
    product = made()
    product.spelt = spelt
    model: dict[str, set[str]] = {}
    for add, name, value in changes:
        taken(product, TxtValue(ZONE, name, value), add=add)
        (model.setdefault(name, set()).add if add else model.setdefault(name, set()).discard)(value)
    for name, wanted in model.items():
        assert sorted(product.values.get(name, [])) == sorted(wanted)


@given(st.text(max_size=12))
def test_folding_is_the_dns_own(name: str) -> None:
    """Of letters only ASCII's have another case in the DNS: a name that Unicode alone calls the same is another."""
    assert folded(f"{name}.") == folded(name) or name.endswith(".")
    assert len(folded(name)) in (len(name), len(name) - 1)
    assert folded("\N{KELVIN SIGN}.example") != folded("k.example")


@pytest.mark.parametrize("written", [ZONE, f"{ZONE}.", ZONE.upper(), f"{ZONE.title()}."])
@pytest.mark.parametrize("name", [f"_acme-challenge.www.{ZONE}", ZONE])
def test_azures_zone_as_it_is_written(written: str, name: str) -> None:
    """The zone that an issuer names is one in any letters and with a dot at its end; a name of another zone is told, not written."""
    product = FakeAzure()
    zone = azure.Zone("sub", "group", written)
    client = azure.AzureDns(azure.Login("tenant", "client", SECRET), zone)
    product.client = lambda: client  # type: ignore[method-assign]  # the issuer's
    taken(product, TxtValue("www." + ZONE, name, "v" * 43), add=True)
    assert product.values[name] == ["v" * 43]
    for other in ("_acme-challenge.example.org", f"_acme-challenge.not{ZONE}"):
        with pytest.raises(Refusal, match="in which"):
            zone.url(TxtValue("example.org", other, "v"))


@pytest.mark.parametrize("made", [one for one in PRODUCTS if one is not FakeAkamai], ids=lambda one: one.__name__)
@given(st.lists(st.tuples(st.booleans(), VALUES), min_size=2, max_size=4, unique_by=lambda one: one[1]), st.data())
def test_two_at_once(made: Callable[[], Product], changes: list[tuple[bool, str]], data: st.DataObject) -> None:
    """Whoever else writes the same name between any two requests: nobody's value is lost. Akamai's are one after the other."""
    product, name = made(), f"_acme-challenge.{ZONE}"
    for add, value in changes:
        if not add:
            product.values.setdefault(name, []).append(value)
    records = [(TxtValue(ZONE, name, value), add) for add, value in changes]
    under_way = {number: steps_of(product, record, add=add) for number, (record, add) in enumerate(records)}
    waiting: dict[int, Call | None] = dict.fromkeys(under_way)
    while under_way:
        number = data.draw(st.sampled_from(sorted(under_way)))
        steps, call = under_way[number], waiting[number]
        try:
            waiting[number] = next(steps) if call is None else steps.send(product.answer(call))
        except StopIteration:
            del under_way[number]
        except Changed:
            record, add = records[number]
            under_way[number], waiting[number] = steps_of(product, record, add=add), None
    assert sorted(product.values.get(name, [])) == sorted(value for add, value in changes if add)


@MADE
def test_another_zone(made: Callable[[], Product]) -> None:
    """A zone that the account does not have is told, or refused by its status; nothing is written elsewhere."""
    product = made()
    record = TxtValue("other.example", "_acme-challenge.other.example", "v" * 43)
    steps = steps_of(product, record, add=True)
    refused = False
    try:
        call = next(steps)
        while not refused:
            reply = product.answer(call)
            refused = reply.status >= 300 and reply.status not in call.fine
            call = call if refused else steps.send(reply)
    except Refusal as error:
        refused = "other.example" in str(error)
    assert refused
    assert not any(product.values.values())


@pytest.mark.heavy
@MADE
@given(st.data())
def test_any_answer(made: Callable[[], Product], data: st.DataObject) -> None:
    """Whatever a product answers: the steps end, or say that they cannot be taken, without a word of a secret."""
    product = made()
    record = TxtValue(ZONE, f"_acme-challenge.{ZONE}", "v" * 43)
    steps = steps_of(product, record, add=data.draw(st.booleans()))
    broken = st.one_of(
        st.binary(max_size=40),
        st.recursive(
            st.none() | st.integers() | st.text(max_size=5), lambda one: st.lists(one) | st.dictionaries(st.text(), one)
        ).map(lambda one: json.dumps(one).encode()),
        st.just(b"[" * 100_000),
        st.just(b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'),
        st.sampled_from(
            ["result", "domain_records", "rrsets", "managedZones", "properties", "rdata", "etag", "access_token"]
        ).map(lambda name: json.dumps({name: [{"id": "../x", "name": ZONE, "value": 7}]}).encode()),
    )
    try:
        call = next(steps)
        for _ in itertools.count():
            reply = product.answer(call)
            if data.draw(st.booleans()):
                reply = Reply(data.draw(st.sampled_from([200, *call.fine])), data.draw(broken))
            call = steps.send(reply)
            assert "/../" not in call.url
    except (StopIteration, Changed):
        return
    except Refusal as error:
        said = str(error)
    assert SECRET not in said
    assert len(said) < 200


def test_amazons_signature() -> None:
    """The signature is Amazon's own: its published example (get-vanilla of its test suite)."""
    keys = aws.Keys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    when = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
    call = aws.signed(Call("GET", "https://example.amazonaws.com/"), keys, "us-east-1", "service", when)
    assert call.headers["authorization"].endswith(
        "SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    )


@pytest.mark.parametrize(
    ("method", "path", "body", "signature"),
    [
        ("GET", "/", b"", "tL+y4hxyHxgWVD30X3pWnGKHcPzmrIF+LThiAOhMxYU="),
        ("POST", "/testapi/v1/t3", b"data" * 8, "hXm4iCxtpN22m4cbZb4lVLW5rhX8Ca82vCFqXzSTPe4="),
    ],
)
def test_akamais_signature(method: str, path: str, body: bytes, signature: str) -> None:
    """The signature is Akamai's own: two of the examples that all its libraries are tested with."""
    host = "https://akaa-baseurl-xxxxxxxxxxx-xxxxxxxxxxxxx.luna.akamaiapis.net"
    keys = akamai.Keys(
        "akab-client-token-xxx-xxxxxxxxxxxxxxxx", "x" * 43 + "=", "akab-access-token-xxx-xxxxxxxxxxxxxxxx"
    )
    when = datetime(2014, 3, 21, 19, 34, 21, tzinfo=UTC)
    call = akamai.signed(Call(method, f"{host}{path}", {}, body), keys, when, "nonce-xx-xxxx-xxxx-xxxx-xxxxxxxxxxxx")
    assert call.headers["Authorization"].endswith(f";signature={signature}")


@pytest.mark.parametrize(
    ("region", "hosts"),
    [
        ("", {"https://sts.us-east-1.amazonaws.com/", "https://route53.amazonaws.com/"}),
        ("eu-west-1", {"https://sts.eu-west-1.amazonaws.com/", "https://route53.amazonaws.com/"}),
        ("cn-north-1", {"https://sts.cn-north-1.amazonaws.com.cn/", "https://route53.amazonaws.com.cn/"}),
        ("us-gov-east-1", {"https://sts.us-gov-east-1.amazonaws.com/", "https://route53.us-gov.amazonaws.com/"}),
    ],
)
def test_a_role(region: str, hosts: set[str]) -> None:
    """A role is assumed first, where its region is, and its keys sign what follows, with their token."""
    keys = aws.Keys("AKIDEXAMPLE", SECRET)
    client = aws.Route53(keys, region, "arn:aws:iam::123456789012:role/dns", "Z1")
    steps = client.add(TxtValue(ZONE, f"_x.{ZONE}", "v"), NOW, nonce)
    first = next(steps)
    assert b"Action=AssumeRole" in first.body
    given = "<Credentials><AccessKeyId>A2</AccessKeyId><SecretAccessKey>S2</SecretAccessKey><SessionToken>T2</SessionToken></Credentials>"
    body = f'<R xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>{given}</AssumeRoleResult></R>'
    second = steps.send(Reply(200, body.encode()))
    assert second.headers["x-amz-security-token"] == "T2"
    assert "Credential=A2/" in second.headers["authorization"]
    assert "/hostedzone/Z1/" in second.url
    assert {"/".join(one.url.split("/")[:3]) + "/" for one in (first, second)} == hosts


def test_route53_of_two_makers() -> None:
    """What cert-manager wrote (a set of its own for each value) is taken away like ours: the same identifier, the same TTL."""
    product = FakeRoute53()
    taken(product, TxtValue(ZONE, f"_x.{ZONE}", "v"), add=True)
    body = product.served[-1].body
    for text in (b"<SetIdentifier>", b"<MultiValueAnswer>true</MultiValueAnswer>", b"<TTL>10</TTL>"):
        assert text in body


@pytest.mark.parametrize(
    ("file", "told"),
    [
        (b"", "is not a service account's key"),
        (b'{"client_email": "a"}', "is not a service account's key"),
        (json.dumps({"client_email": "a", "private_key": "nothing"}).encode(), "has no private key that can be used"),
        (json.dumps(json.loads(ACCOUNT) | {"client_email": "a\nb"}).encode(), "is not one line of ASCII"),
    ],
)
def test_service_accounts(file: bytes, told: str) -> None:
    """A key file that is none is told, without a word of it."""
    with pytest.raises(ValueError, match=told) as error:
        google.CloudDns(file, "p")
    assert "nothing" not in str(error.value)


def test_googles_token_is_had_from_google() -> None:
    """Where a service account's file says that tokens are had counts for nothing: the Secret's author would get a signed word."""
    assert b"evil.example" in ACCOUNT
    steps = google.CloudDns(ACCOUNT, "p").add(TxtValue(ZONE, f"_x.{ZONE}", "v"), NOW, nonce)
    call = next(steps)
    assert call.url == "https://oauth2.googleapis.com/token"
    claims = call.body.decode().partition("assertion=")[2].split(".")[1]
    assert "evil" not in base64.urlsafe_b64decode(claims + "==").decode()


@given(st.binary(max_size=60))
def test_credentials(data: bytes) -> None:
    """What becomes part of a header is one line of ASCII; a newline at its end, which people often leave there, is none of it."""
    try:
        text = credential(data)
    except ValueError:
        return
    assert text.isascii()
    assert text.isprintable()
    assert " " not in text
    assert credential(data + b"\n") == text


@given(st.text(max_size=20))
def test_quotes(text: str) -> None:
    """A value is the same with quotes around it and without."""
    assert plain(f'"{text}"') == text


def test_no_secret_is_shown() -> None:
    """A request shown in a trace has neither headers nor body."""
    product = FakeRoute53()
    taken(product, TxtValue(ZONE, f"_x.{ZONE}", "v"), add=True)
    assert all(SECRET not in repr(one) and "Credential" not in repr(one) for one in product.served)
