"""What a self check saw, in words that tell what to change."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.virtualservice import VirtualService
from signer.edge.challenges.presenter import Cause, Found
from signer.edge.http01.check import classify, shadows
from signer.edge.proxies.values import Seen, may_follow
from tests.unit.edge.objects import host

HOST = host("application.sample.com")
PATH = "/.well-known/acme-challenge/token"
GATEWAY = ("203.0.113.7",)


def seen(**changes: Any) -> Seen:
    fields: dict[str, Any] = {"resolved": GATEWAY, "gateways": GATEWAY, "status": 200, "matches": True}
    return Seen(**(fields | changes))


def found(**changes: Any) -> Found:
    shadowing = changes.pop("shadows", ())
    return classify(HOST, PATH, seen(**changes), shadowing)


@pytest.mark.parametrize(
    ("changes", "cause", "word"),
    [
        ({}, Cause.PASSED, "is there"),
        ({"resolved": None}, Cause.PASSED, "is there"),
        ({"resolved": ()}, Cause.NOT_RESOLVED, "lookup application.sample.com: no such host"),
        (
            {"resolved": ("198.51.100.1",), "matches": False},
            Cause.WRONG_ADDRESS,
            "198.51.100.1, which is not one of the",
        ),
        ({"resolved": ("198.51.100.1",)}, Cause.PASSED, "is there"),
        ({"error": "refused"}, Cause.NOT_REACHED, "refused"),
        ({"error": "timeout"}, Cause.NOT_REACHED, "timeout"),
        ({"error": "reset", "through_https": True}, Cause.NO_CERTIFICATE, "no certificate yet"),
        ({"error": "tls", "through_https": True}, Cause.NO_CERTIFICATE, "no certificate yet"),
        ({"error": "reset"}, Cause.NOT_REACHED, "reset"),
        ({"redirect": "https://elsewhere.example:8443/"}, Cause.REDIRECTED_AWAY, "ports 80 and 443"),
        ({"status": 404, "matches": False}, Cause.NOT_ROUTED, "status 404"),
        ({"status": 503, "matches": False}, Cause.NOT_ROUTED, "does not reach Service mesh-signer-http01-solver"),
        ({"status": 404}, Cause.NOT_ROUTED, "status 404"),
        ({"status": 404, "matches": False, "shadows": ["foo/old"]}, Cause.SHADOWED, "VirtualService foo/old"),
        ({"matches": False}, Cause.WRONG_ANSWER, "not the one that we put in place"),
        ({"overlong": True}, Cause.WRONG_ANSWER, "not the one"),
    ],
)
def test_causes(changes: dict[str, Any], cause: Cause, word: str) -> None:
    """Each thing that can go wrong has a cause of its own, and a line that says it."""
    one = found(**changes)
    assert one.cause is cause
    assert word in one.message
    assert one.passed == (cause is Cause.PASSED)


def test_as_people_know_it() -> None:
    """The line names the address that was asked, as those who wait for External-DNS look for."""
    assert found(resolved=()).message == (
        "Waiting for HTTP-01 challenge propagation: self check of http://application.sample.com/.well-known/"
        "acme-challenge/token: lookup application.sample.com: no such host"
    )


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
