"""A CA's answers, read as a stranger's."""

import datetime as dt
import json
from collections.abc import Callable
from operator import attrgetter
from typing import Any
from urllib.parse import urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from issuers.acme import answers
from issuers.acme.errors import AcmeError, ForbiddenTarget, MalformedAnswer, Problem
from issuers.acme.identifiers import identifiers
from issuers.acme.order import AuthorizationStatus, Challenge, ChallengeStatus, OrderStatus, Wish
from issuers.acme.targets import Origins, origin

CA = origin("https://ca.example/dir")
URL = "https://ca.example/x"
WISH = Wish(identifiers(["a.example", "*.b.example", "192.0.2.1"]), replaces="AA.BB")
ORDER: dict[str, Any] = {
    "status": "pending",
    "identifiers": [
        {"type": "dns", "value": "*.B.example"},
        {"type": "ip", "value": "192.0.2.1"},
        {"type": "dns", "value": "a.example"},
    ],
    "authorizations": [URL + "1", URL + "2"],
    "finalize": URL + "f",
    "expires": "2026-11-24T01:02:03.123456789+01:00",
    "notBefore": "ignored",
}
TOKEN = "t" * 22
PROOF: dict[str, Any] = {
    "status": "pending",
    "identifier": {"type": "dns", "value": "b.example"},
    "wildcard": True,
    "challenges": [
        {"type": "dns-01", "url": URL, "token": TOKEN, "status": "pending"},
        {"type": "dns-persist-01", "url": URL, "status": "pending", "issuer-domain-names": ["x"]},
        {"type": "tls-alpn-01", "url": "http://elsewhere/", "token": "/../"},
    ],
}
DIRECTORY = {"newNonce": URL, "newAccount": URL, "newOrder": URL}


def as_bytes(value: object) -> bytes:
    return json.dumps(value).encode()


def test_directory() -> None:
    """A directory needs three URLs; what it lacks is None."""
    found = answers.read_directory(as_bytes(DIRECTORY | {"renewalInfo": URL}), CA)
    assert (found.new_order, found.renewal_info, found.key_change) == (URL, URL, None)
    meta = {"termsOfService": "https://x/\n", "externalAccountRequired": True, "profiles": {"short\x07": "six\ndays"}}
    found = answers.read_directory(as_bytes(DIRECTORY | {"meta": meta}), CA)
    assert dict(found.profiles) == {"short": "six days"}


@pytest.mark.parametrize("field", ["newNonce", "newAccount", "newOrder"])
def test_every_url_of_the_directory(field: str) -> None:
    """A directory names its servers by https, at few other origins; what it need not have, and all other answers, are at these alone."""
    for wrong in ("http://api.example/", "https://a@api.example/", "ftp://api.example/", "https:///x", "/relative", ""):
        with pytest.raises(ForbiddenTarget, match=field):
            answers.read_directory(as_bytes(DIRECTORY | {field: wrong}), CA)
    there = "https://api.example:8443/x"
    more = {"renewalInfo": there, "revokeCert": "https://api.example/x", "keyChange": "https://evil.example/"}
    found = answers.read_directory(as_bytes(DIRECTORY | {field: there} | more), CA)
    assert (found.renewal_info, found.revoke_cert, found.key_change) == (there, None, None)
    assert found.origins == Origins(CA, frozenset({origin(there)}))
    assert answers.read_account(b'{"status": "valid"}', there, found.origins).url == there
    with pytest.raises(ForbiddenTarget):
        answers.read_account(b'{"status": "valid"}', "https://evil.example/", found.origins)
    assert answers.read_directory(as_bytes(DIRECTORY), CA).origins == Origins(CA)


def test_order() -> None:
    """An order is read whole, whatever the order of its names, its times in UTC."""
    found = answers.read_order(as_bytes(ORDER), URL, WISH, CA)
    assert found.status is OrderStatus.PENDING
    assert found.identifiers == WISH.identifiers
    assert found.expires == dt.datetime(2026, 11, 24, 0, 2, 3, 123457, tzinfo=dt.UTC)
    assert found.error is None
    assert found.replaces is None
    assert answers.read_order(as_bytes(ORDER | {"replaces": "AA.BB"}), URL, WISH, CA).replaces == "AA.BB"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"status": "great"}, "status"),
        ({"identifiers": []}, "identifiers"),
        ({"identifiers": [{"type": "dns", "value": "a.example"}]}, "identifiers"),
        ({"identifiers": [*ORDER["identifiers"], {"type": "dns", "value": "c.example"}]}, "identifiers"),
        ({"authorizations": ["https://evil.example/"]}, "authorizations"),
        ({"authorizations": [URL] * 201}, "too many"),
        ({"authorizations": "x"}, "authorizations"),
        ({"finalize": "http://ca.example/"}, "finalize"),
        ({"status": "valid", "certificate": "https://10.0.0.1/"}, "certificate"),
        ({"status": "valid", "certificate": 7}, "certificate"),
    ],
)
def test_orders_that_are_none(change: dict[str, object], match: str) -> None:
    """An order for other names, of an unknown status, or with URLs elsewhere is refused, with the field's name."""
    with pytest.raises(AcmeError, match=match):
        answers.read_order(as_bytes(ORDER | change), URL, WISH, CA)


@pytest.mark.parametrize("url", [None, "https://evil.example/o", "/relative"])
def test_where_an_order_is(url: str | None) -> None:
    """An order without an address of its own cannot be resumed, and is refused."""
    with pytest.raises(AcmeError, match="Location"):
        answers.read_order(as_bytes(ORDER), url, WISH, CA)


def test_authorization() -> None:
    """A proof is for an ordered name; types that we do not know have no URL and no token, and dns-persist-01 has none either."""
    found = answers.read_authorization(as_bytes(PROOF), URL, WISH, CA)
    assert found.identifier.value == "*.b.example"
    assert [(one.type, one.token) for one in found.challenges] == [
        ("dns-01", TOKEN),
        ("dns-persist-01", ""),
        ("tls-alpn-01", ""),
    ]
    assert [one.url for one in found.challenges] == [URL, URL, ""]


@pytest.mark.parametrize("status", AuthorizationStatus)
def test_all_statuses(status: AuthorizationStatus) -> None:
    """Every status of RFC 8555 is read, `expired` among them."""
    found = answers.read_authorization(as_bytes(PROOF | {"status": status}), URL, WISH, CA)
    assert found.status is status


@pytest.mark.parametrize(
    "change",
    [
        {"identifier": {"type": "dns", "value": "evil.example"}},
        {"identifier": {"type": "dns", "value": "a.example"}},
        {"identifier": {"type": "dns", "value": "*.a.example"}, "wildcard": False},
        {"status": "unknown"},
        {"challenges": [{"type": "http-01", "url": URL, "token": TOKEN, "status": "odd"}]},
    ],
)
def test_proofs_that_are_none(change: dict[str, object]) -> None:
    """Another name, a token that is none and a URL elsewhere are refused."""
    with pytest.raises(AcmeError):
        answers.read_authorization(as_bytes(PROOF | change), URL, WISH, CA)


@pytest.mark.parametrize("token", ["short", "t" * 129, "../../../../etc/passwd00", TOKEN + "\n", None, 7, ["x"]])
@pytest.mark.parametrize("url", ["https://evil.example/", None, "http://ca.example/x"])
def test_challenges_that_cannot_be_answered(token: object, url: object) -> None:
    """A token that is none and a URL elsewhere get nowhere, and spoil nothing but their own challenge."""
    bad = {"type": "http-01", "url": url, "token": token}
    found = answers.read_authorization(as_bytes(PROOF | {"challenges": [*PROOF["challenges"], bad]}), URL, WISH, CA)
    assert [(one.url, one.token) for one in found.challenges] == [(URL, TOKEN), (URL, ""), ("", ""), ("", "")]


@pytest.mark.parametrize(
    ("value", "wildcard", "ordered", "meant"),
    [
        ("x.example", True, ["*.x.example"], "*.x.example"),
        ("x.example", None, ["*.x.example"], "*.x.example"),
        ("*.x.example", True, ["*.x.example"], "*.x.example"),
        ("*.x.example", False, ["*.x.example", "x.example"], "*.x.example"),
        ("x.example", False, ["*.x.example", "x.example"], "x.example"),
        ("x.example", True, ["x.example"], None),
        ("*.x.example", True, ["x.example"], None),
        ("*.x.example", None, ["x.example"], None),
    ],
)
def test_how_a_wildcard_is_shown(value: str, wildcard: object, ordered: list[str], meant: str | None) -> None:
    """A CA that writes a wildcard in another way is understood, but never so that more is proven than was ordered."""
    body = as_bytes(PROOF | {"identifier": {"type": "dns", "value": value}, "wildcard": wildcard})
    wish = Wish(identifiers(ordered))
    if meant is None:
        with pytest.raises(MalformedAnswer, match=r"7\.1\.4"):
            answers.read_authorization(body, URL, wish, CA)
    else:
        assert answers.read_authorization(body, URL, wish, CA).identifier.value == meant


BROKEN: st.SearchStrategy[object] = st.sampled_from(
    [None, "", 7, [], {}, {"x": None}, True, "http://localhost/", "https://evil.example/", "x" * 3000]
)


@given(st.dictionaries(st.sampled_from(["revokeCert", "keyChange", "renewalInfo", "meta", "unheardOf"]), BROKEN))
def test_what_nobody_uses_spoils_nothing(change: dict[str, object]) -> None:
    """What a directory need not have and what is broken counts as absent, whatever stands in it, and is not followed."""
    found = answers.read_directory(as_bytes(DIRECTORY | change), CA)
    assert (found.new_order, found.revoke_cert, found.key_change, found.renewal_info) == (URL, None, None, None)
    assert not found.profiles
    meta = answers.read_directory(as_bytes(DIRECTORY | {"meta": {"profiles": change, "termsOfService": 7}}), CA)
    assert set(meta.profiles) <= set(change)


@given(st.dictionaries(st.sampled_from(["expires", "profile", "replaces", "certificate", "error", "notAfter"]), BROKEN))
def test_an_orders_other_fields(change: dict[str, object]) -> None:
    """An order that the CA has made is not lost for a field that it need not have."""
    found = answers.read_order(as_bytes(ORDER | {"expires": None} | change), URL, WISH, CA)
    assert (found.finalize, found.certificate, found.expires) == (URL + "f", None, None)


# As they stand in JSON: numbers that no float has, and more digits than Python reads, too.
ODD = st.sampled_from(
    [
        *(
            "null",
            "true",
            "-1",
            "1e999",
            "0.1e-999",
            "7" * 5000,
            '""',
            '"x"',
            f'"{"x" * 3000}"',
            "[]",
            '[["x"], 1e999]',
            "{}",
        ),
        *(
            '{"type": [1e999]}',
            '"2026-11-23T00:00:00"',
            '"9999-12-31T23:59:59-23:59"',
            '"0001-01-01T00:00:00Z"',
            '"\\u0000"',
        ),
    ]
)
_WINDOW = {"suggestedWindow": {"start": "2026-11-23T00:00:00Z", "end": "2026-11-24T00:00:00Z"}}
_OFFERED = {"type": "http-01", "url": URL, "token": TOKEN, "status": "valid"}
_OTHERS = {"type": "tls-alpn-01"}


DECIDES: list[tuple[str, dict[str, Any], tuple[str, ...], Callable[[bytes], object]]] = [
    (
        "the directory",
        DIRECTORY,
        ("revokeCert", "keyChange", "renewalInfo", "meta", "new", "newAuthz"),
        lambda body: answers.read_directory(body, CA).new_order,
    ),
    (
        "an account",
        {"status": "valid"},
        ("contact", "orders", "new"),
        lambda body: answers.read_account(body, URL, CA).valid,
    ),
    (
        "an order",
        ORDER,
        ("expires", "profile", "replaces", "certificate", "error", "notBefore", "notAfter", "new"),
        lambda body: attrgetter("status", "finalize", "certificate")(answers.read_order(body, URL, WISH, CA)),
    ),
    (
        "an authorization",
        PROOF,
        ("expires", "new"),
        lambda body: attrgetter("status", "identifier")(answers.read_authorization(body, URL, WISH, CA)),
    ),
    (
        "a challenge that is answered",
        _OFFERED,
        ("validated", "error", "new"),
        lambda body: attrgetter("type", "status", "token", "url")(_only(body)),
    ),
    (
        "a challenge of another type",
        _OTHERS,
        ("url", "token", "status", "validated", "error", "new"),
        lambda body: _only(body).type,
    ),
    (
        "renewalInfo",
        _WINDOW,
        ("explanationURL", "new"),
        lambda body: attrgetter("start", "end")(answers.read_window(body)),
    ),
]


def _only(body: bytes) -> Challenge:
    proof = as_bytes(PROOF | {"challenges": []}).replace(b'"challenges": []', b'"challenges": [' + body + b"]")
    return answers.read_authorization(proof, URL, WISH, CA).challenges[0]


@pytest.mark.parametrize(("whole", "optional", "read"), [one[1:] for one in DECIDES], ids=[one[0] for one in DECIDES])
@given(data=st.data())
def test_what_does_not_decide(
    whole: dict[str, Any], optional: tuple[str, ...], read: Callable[[bytes], object], data: st.DataObject
) -> None:
    """Whatever stands in a field that need not be there: what decides is read as without it, and no order is stopped."""
    changed = data.draw(st.dictionaries(st.sampled_from(optional), ODD, min_size=1))
    plain = {name: value for name, value in whole.items() if name not in changed}
    odd = as_bytes(plain)[:-1] + b"".join(f', "{name}": {text}'.encode() for name, text in changed.items()) + b"}"
    assert read(odd) == read(as_bytes(plain))


@given(st.sampled_from(["/o/1", "1", "../o", "?id=1", "//ca.example/o", URL]))
def test_relative_urls(where: str) -> None:
    """Every URL of an answer may be relative to what was asked (RFC 9110, 10.2.2); one that leads elsewhere then is refused."""
    asked = "https://ca.example/acme/new"
    absolute = urljoin(asked, where)
    body = ORDER | {"finalize": where, "authorizations": [where], "status": "valid", "certificate": where}
    found = answers.read_order(as_bytes(body), where, WISH, CA, base=asked)
    assert (found.url, found.finalize, found.certificate, found.authorizations) == (absolute,) * 3 + ((absolute,),)
    assert answers.read_account(b'{"status": "valid"}', where, CA, asked).url == absolute
    assert answers.read_directory(as_bytes(dict.fromkeys(DIRECTORY, where)), CA, asked).new_order == absolute
    for elsewhere in ("//evil.example/o", "http:/o", "javascript:1", "/\\evil.example", "", "\n/o"):
        with pytest.raises(ForbiddenTarget):
            answers.read_account(b'{"status": "valid"}', elsewhere, CA, asked)


def test_errors_inside() -> None:
    """The reason inside a challenge is kept, cleaned; one that is not a problem document is an empty one."""
    problem = {"type": "urn:ietf:params:acme:error:dns", "detail": "no\x1b[31m host\n" + "x" * 600}
    challenge = {"type": "http-01", "url": URL, "token": TOKEN, "status": "invalid", "error": problem}

    def read(challenge: dict[str, Any]) -> Challenge:
        return answers.read_authorization(as_bytes(PROOF | {"challenges": [challenge]}), URL, WISH, CA).challenges[0]

    found = read(challenge)
    assert found.status is ChallengeStatus.INVALID
    assert found.error is not None
    assert found.error.code == "dns"
    assert found.error.detail.startswith("no [31m host xxx")
    assert len(found.error.detail) == 512
    assert read(challenge | {"error": 5}).error == Problem("", "")
    assert read(challenge | {"error": None}).error is None


def test_problem() -> None:
    """The type counts in any JSON; text is shown from problem+json only."""
    body = as_bytes({"type": "urn:ietf:params:acme:error:rateLimited", "detail": "slow down", "status": 5})
    assert answers.read_problem(body, 429, "application/problem+json") == Problem("rateLimited", "slow down", 429)
    assert answers.read_problem(body, 429, "text/html") == Problem("rateLimited", "", 429)
    assert answers.read_problem(b"<html>secret</html>", 502, "text/html") == Problem("", "", 502)
    other = as_bytes({"type": "https://evil.example/x", "detail": 7, "subproblems": 3})
    assert answers.read_problem(other, 400, "application/problem+json") == Problem("", "", 400)


def test_subproblems() -> None:
    """Each name's own problem is kept, and problems within those are not followed down."""
    deep: dict[str, Any] = {
        "type": "urn:ietf:params:acme:error:caa",
        "identifier": {"type": "dns", "value": "a.example"},
    }
    body: dict[str, Any] = {
        "type": "urn:ietf:params:acme:error:compound",
        "subproblems": [deep | {"subproblems": [deep]}],
    }
    found = answers.read_problem(as_bytes(body), 403, "application/problem+json")
    assert found.subproblems == (Problem("caa", "", 0, "a.example"),)
    assert found.codes() == {"compound", "caa"}


def test_window() -> None:
    """A window ends after it starts, in absolute times."""
    found = answers.read_window(
        as_bytes(
            {
                "suggestedWindow": {"start": "2026-11-23T00:00:00Z", "end": "2026-11-23T02:00:00+01:00"},
                "explanationURL": "javascript:x",
            }
        )
    )
    assert found.end - found.start == dt.timedelta(hours=1)
    assert found.explanation is None


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-11-23T00:00:00Z", "2026-11-23T00:00:00Z"),
        ("2026-11-24T00:00:00Z", "2026-11-23T00:00:00Z"),
        ("2026-11-23T00:00:00", "2026-11-24T00:00:00"),
        ("0001-01-01T00:00:00+23:00", "2026-11-24T00:00:00Z"),
        ("soon", "later"),
    ],
)
def test_windows_that_are_none(start: str, end: str) -> None:
    """A window that is empty, backwards or without a zone is none (RFC 9773, section 4.2)."""
    with pytest.raises(MalformedAnswer, match="suggestedWindow"):
        answers.read_window(as_bytes({"suggestedWindow": {"start": start, "end": end}}))


def test_account() -> None:
    """An account has a URL of the CA's own."""
    assert answers.read_account(b'{"status": "valid"}', URL, CA).valid
    assert not answers.read_account(b'{"status": "deactivated", "contact": null}', URL, CA).valid
    for body, url in (
        (b'{"status": "valid"}', None),
        (b'{"status": "good"}', URL),
        (b'{"status": "valid"}', "https://x/"),
    ):
        with pytest.raises(AcmeError):
            answers.read_account(body, url, CA)


READERS: list[Callable[[bytes], object]] = [
    lambda body: answers.read_directory(body, CA),
    lambda body: answers.read_account(body, URL, CA),
    lambda body: answers.read_order(body, URL, WISH, CA),
    lambda body: answers.read_authorization(body, URL, WISH, CA),
    answers.read_window,
    lambda body: answers.read_problem(body, 400, "application/problem+json"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *ORDER,
                    *PROOF,
                    *DIRECTORY,
                    "type",
                    "token",
                    "url",
                    "error",
                    "meta",
                    "subproblems",
                    "detail",
                    "suggestedWindow",
                ]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


def refusal(read: Callable[[bytes], object], body: bytes) -> str:
    try:
        read(body)
    except AcmeError as error:
        return str(error)
    return ""


@given(st.binary(max_size=200) | JSON.map(as_bytes))
def test_anything(body: bytes) -> None:
    """Whatever a CA sends, a reader gives a value or one of our errors, and quotes nothing of it."""
    for read in READERS:
        assert len(refusal(read, body)) < 400


def test_deep_nesting() -> None:
    """A body that is nested without end is refused, not recursed into."""
    for read in READERS[:-1]:
        for body in (b"[" * 500_000, b'{"x":' * 100_000, b'{"error":' + b"[" * 500_000):
            with pytest.raises(MalformedAnswer):
                read(body)
    assert READERS[-1](b"[" * 500_000) == Problem("", "", 400)
