"""What a self check saw, in words that tell what to change."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.virtualservice import VirtualService
from signer.edge.challenges.presenter import Cause, Found
from signer.edge.http01.check import (
    Public,
    classify,
    classify_public,
    shadows,
    trouble_of_gateway,
    trouble_of_route,
    unresolved,
)
from signer.edge.proxies.values import Seen, may_follow
from tests.unit.edge.objects import host

HOST = host("application.sample.com")
PATH = "/.well-known/acme-challenge/token"
GATEWAY = ("203.0.113.7", "10.96.0.9")
OLD = "198.51.100.1"


def seen(**changes: Any) -> Seen:
    return Seen(**({"status": 200, "matches": True} | changes))


def found(**changes: Any) -> Found:
    shadowing = changes.pop("shadows", ())
    return classify(HOST, PATH, seen(**changes), shadowing, gateway="Gateway foo/shop")


@pytest.mark.parametrize(
    ("changes", "cause", "word"),
    [
        ({}, Cause.PASSED, "is there"),
        ({"error": "refused"}, Cause.NOT_REACHED, "refused"),
        ({"error": "timeout"}, Cause.NOT_REACHED, "timeout"),
        ({"error": "reset", "through_https": True}, Cause.NO_CERTIFICATE, "no certificate yet"),
        ({"error": "tls", "through_https": True}, Cause.NO_CERTIFICATE, "no certificate yet"),
        ({"error": "reset"}, Cause.NOT_REACHED, "reset"),
        ({"redirect": "https://elsewhere.example:8443/"}, Cause.REDIRECTED_AWAY, "ports 80 and 443"),
        ({"status": 404, "matches": False}, Cause.NOT_ROUTED, "status 404: Gateway foo/shop does not know"),
        ({"status": 503, "matches": False}, Cause.NOT_ROUTED, "does not reach Service mesh-signer-http01-solver"),
        ({"status": 404}, Cause.NOT_ROUTED, "status 404"),
        ({"status": 404, "matches": False, "shadows": ["foo/old"]}, Cause.SHADOWED, "VirtualService foo/old"),
        ({"status": 401, "matches": False}, Cause.NOT_ADMITTED, "Gateway foo/shop refuses the path, by a RequestAuth"),
        (
            {"status": 403, "matches": False},
            Cause.NOT_ADMITTED,
            "Gateway foo/shop refuses the path, by an Authorization",
        ),
        ({"status": 429, "matches": False}, Cause.NOT_ADMITTED, "a rate limit"),
        ({"matches": False}, Cause.WRONG_ANSWER, "not the one that we put in place"),
        ({"overlong": True}, Cause.WRONG_ANSWER, "not the one"),
    ],
)
def test_causes(changes: dict[str, Any], cause: Cause, word: str) -> None:
    """Each thing that can go wrong at a Pod has a cause of its own, and a line that says it."""
    one = found(**changes)
    assert one.cause is cause
    assert word in one.message
    assert one.passed == (cause is Cause.PASSED)


LOOKS = st.builds(
    Public,
    address=st.sampled_from((OLD, "2001:db8::1", *GATEWAY)),
    own=st.booleans(),
    seen=st.none()
    | st.builds(
        Seen,
        error=st.sampled_from(("", "", "refused", "timeout", "unreachable", "reset", "tls")),
        status=st.sampled_from((200, 200, 301, 403, 404, 503)),
        redirect=st.sampled_from(("", "", "elsewhere")),
        matches=st.booleans(),
        overlong=st.booleans(),
    ),
)


class TestPublicPath:
    @given(st.lists(LOOKS, max_size=6))
    def test_no_validation_is_spent(self, looks: list[Public]) -> None:
        """The CA is told if each address gives the answer, or is the gateway's own and cannot be asked from here."""
        one = classify_public(HOST, PATH, looks, GATEWAY)

        def good(look: Public) -> bool:
            silent = look.seen is None or bool(look.seen.error)
            return look.own if silent else look.seen == Seen(status=200, matches=True, error="")

        assert one.passed == all(good(look) for look in looks)
        if not one.passed:
            first = next(look for look in looks if not good(look))
            assert f"{HOST} leads to {first.address}" in one.message
            assert ("none of the gateway's addresses" in one.message) == (not first.own)

    @pytest.mark.parametrize(
        ("look", "words"),
        [
            (Public(OLD, seen=Seen(error="timeout")), ("no answer from here: timeout", "selfCheck")),
            (Public("10.1.2.3", refused="a private address is not asked"), ("a private address is not asked",)),
            (Public(OLD, seen=Seen(status=404)), ("gives status 404",)),
            (Public(OLD, seen=Seen(status=200)), ("another answer",)),
            (Public(GATEWAY[0], own=True, seen=Seen(status=404)), ("gives status 404",)),
            (Public(OLD, seen=Seen(status=301, redirect="elsewhere")), ("redirects to where no CA follows",)),
        ],
        ids=["silent", "inside", "somebody else's", "another page", "its own", "a redirect"],
    )
    def test_what_is_said(self, look: Public, words: tuple[str, ...]) -> None:
        """The address is named, whether it is the gateway's, and what it does."""
        message = classify_public(HOST, PATH, [look], GATEWAY).message
        for word in (look.address, *words):
            assert word in message


def test_as_people_know_it() -> None:
    """The line names the address that was asked, as those who wait for External-DNS look for."""
    assert unresolved(HOST, PATH).message == (
        "Waiting for HTTP-01 challenge propagation: self check of http://application.sample.com/.well-known/"
        "acme-challenge/token: lookup application.sample.com: no such host"
    )


def condition(kind: str, status: str, reason: str = "", message: str = "") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def route(*parents: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "foo", "name": "r"}, "status": {"parents": list(parents)}}


def parent(*conditions: Any) -> dict[str, Any]:
    return {"parentRef": {"name": "sel", "sectionName": "http"}, "conditions": list(conditions)}


TAKEN = (condition("Accepted", "True"), condition("ResolvedRefs", "True"))
NOT_ALLOWED = condition("Accepted", "False", "NotAllowedByListeners", "hostnames matched parent, but no namespace")


class TestWordsOfOthers:
    @pytest.mark.parametrize(
        ("one", "words"),
        [
            (route(parent(*TAKEN)), ()),
            (
                route(parent(NOT_ALLOWED)),
                ("HTTPRoute foo/r", "'sel'", "listener 'http'", "NotAllowedByListeners", "no namespace"),
            ),
            (route(parent(*TAKEN), parent(NOT_ALLOWED)), ("NotAllowedByListeners",)),
            (route(parent(TAKEN[0], condition("ResolvedRefs", "False", "RefNotPermitted"))), ("RefNotPermitted",)),
            (route(parent(condition("Accepted", "Unknown"))), ()),
            (route(), ("nobody has taken up HTTPRoute foo/r",)),
            ({"metadata": {"namespace": "foo", "name": "r"}}, ("nobody has taken up",)),
            ({"metadata": {}, "status": {"parents": ["x", {"conditions": "y"}, {"conditions": [1]}]}}, ()),
        ],
    )
    def test_routes(self, one: dict[str, Any], words: tuple[str, ...]) -> None:
        """What a Gateway says against our HTTPRoute is told in its own words, and what it does not say is not."""
        said = trouble_of_route(one)
        assert all(word in said for word in words)
        assert bool(said) == bool(words)

    @pytest.mark.parametrize(
        ("status", "words"),
        [
            ({"conditions": [condition("Programmed", "True")]}, ()),
            (
                {"conditions": [condition("Accepted", "False", "Invalid", "x")]},
                ("Gateway foo/g", "Accepted=False", "'x'"),
            ),
            (
                {
                    "listeners": [
                        {"name": "https", "conditions": [condition("ResolvedRefs", "False", "InvalidCertificateRef")]}
                    ]
                },
                ("listener 'https'", "InvalidCertificateRef"),
            ),
            ({"listeners": 3, "conditions": [None]}, ()),
        ],
    )
    def test_gateways(self, status: dict[str, Any], words: tuple[str, ...]) -> None:
        """So is what is said against the Gateway and its listeners."""
        said = trouble_of_gateway({"metadata": {"namespace": "foo", "name": "g"}, "status": status})
        assert all(word in said for word in words)
        assert bool(said) == bool(words)

    def test_it_is_bounded(self) -> None:
        """Whoever writes a status may write much, and what no terminal should see."""
        said = trouble_of_route(route(parent(condition("Accepted", "False", "R", "\x1b[31m" + "x" * 30_000))))
        assert len(said) < 1000
        assert said.isprintable()


def test_no_location_is_repeated() -> None:
    """Where a stranger's redirect leads is not shown."""
    assert "secret" not in found(redirect="https://x.example/secret").message


class TestDialling:
    @pytest.mark.parametrize(
        ("scheme", "port", "followed", "may"),
        [
            ("https", None, 0, True),
            ("http", 80, 0, True),
            ("https", 443, 9, True),
            ("https", 443, 10, False),
            ("https", 8443, 0, False),
            ("http", 6443, 0, False),
            ("file", None, 0, False),
            ("", None, 0, False),
        ],
    )
    def test_redirects(self, scheme: str, port: int | None, followed: int, may: bool) -> None:
        """Redirects are followed as CAs do, and no further."""
        assert may_follow(scheme, port, followed) == may


def service(
    name: str, *matches: Any, export: Any = (), created: str = "2026-01-01T00:00:00Z", **more: Any
) -> VirtualService:
    metadata = {"namespace": more.pop("namespace", "foo"), "name": name, "uid": name, "creationTimestamp": created}
    rules = [{"match": [match]} if match else {} for match in matches]
    spec = {"hosts": more.pop("hosts", [str(HOST)]), "exportTo": list(export), "http": rules}
    return msgspec.convert({"metadata": metadata, "spec": spec}, VirtualService)


OURS = service("ours", {"uri": {"exact": PATH}}, export=["istio-system"], created="2026-06-01T00:00:00Z")
PUBLIC = service("ours", {"uri": {"exact": PATH}}, created="2026-06-01T00:00:00Z")
NAMED: Any = {"export": ["istio-system"]}
EVERYTHING = {"uri": {"prefix": "/"}}


@pytest.mark.parametrize(
    ("ours", "other", "stands"),
    [
        (OURS, service("public", EVERYTHING), False),
        (OURS, service("public", {"uri": {"regex": "/.*"}}), False),
        (OURS, service("named", {"uri": {"regex": "/.*"}}, **NAMED), True),
        (OURS, service("named", {"uri": {"prefix": "/.well-known"}}, **NAMED), True),
        (OURS, service("named", {"uri": {"exact": PATH}}, **NAMED), True),
        (OURS, service("named", {"uri": {"prefix": "/shop"}}, **NAMED), False),
        (OURS, service("named", {"uri": {"prefix": "/.WELL-KNOWN"}, "ignoreUriCase": True}, **NAMED), True),
        (OURS, service("named", EVERYTHING, **NAMED), False),
        (OURS, service("named", {"uri": {"regex": ".*"}}, **NAMED), False),
        (OURS, service("named", None, **NAMED), False),
        (OURS, service("named", {**EVERYTHING, "headers": {"a": {"exact": "b"}}}, **NAMED), True),
        (OURS, service("named", {"headers": {"a": {"exact": "b"}}}, **NAMED), True),
        (OURS, service("named", {"uri": {"regex": "/.*"}}, created="2026-07-01T00:00:00Z", **NAMED), False),
        (
            OURS,
            service(
                "private",
                {"uri": {"regex": "/.*"}},
                namespace="istio-system",
                export=["."],
                created="2026-07-01T00:00:00Z",
            ),
            True,
        ),
        (OURS, service("private", {"uri": {"regex": "/.*"}}, namespace="bar", export=["."]), False),
        (OURS, service("other", {"uri": {"regex": "/.*"}}, hosts=["other.example"], **NAMED), False),
        (PUBLIC, service("public", {"uri": {"regex": "/.*"}}), True),
        (PUBLIC, service("public", EVERYTHING), False),
    ],
)
def test_shadows(ours: VirtualService, other: VirtualService, stands: bool) -> None:
    """Only a route that Istio places before ours, and that could take the path, is named."""
    assert bool(shadows(ours, [other, ours], HOST, PATH, "istio-system")) == stands


@given(st.text(max_size=60))
def test_no_expression_is_run(expression: str) -> None:
    """A tenant's regular expression is never run: it may take as long as it likes."""
    other = service("named", {"uri": {"regex": expression}}, **NAMED)
    assert isinstance(shadows(OURS, [other], HOST, PATH, "istio-system"), tuple)
