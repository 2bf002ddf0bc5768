"""The objects that answer a challenge: the one path, on the one Gateway, and nothing a CA could smuggle in."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.edge.http01.routes import (
    CHALLENGE_UID,
    Answer,
    SolverService,
    http_route,
    ingress,
    own_gateway,
    reference_grant,
    virtual_service,
)
from tests.unit.edge.objects import host

TOKEN = "fbosTcirMUkf2ZGbD7E6HGgWM2aXchRvBKiJvbuLWDc"
KEY = f"{TOKEN}.gsu3fJ7fFYXPjtJbN45VPBcP5URGdzSzO2Wmy37EFG0"
SOLVER = SolverService("mesh-signer", "mesh-signer-solver", 8089)


def answer(namespace: str = "istio-system", uid: str = "u", **changes: Any) -> Answer:
    fields = {"host": host("a.example.com"), "token": TOKEN, "key": KEY, "challenge": (namespace, "c", uid)}
    return Answer(**(fields | changes))  # type: ignore[arg-type] # a table of wrong values too


class TestAnswer:
    @pytest.mark.parametrize(
        "changes",
        [
            {"token": "short"},
            {"token": "a" * 129, "key": "a" * 129 + KEY[43:]},
            {"token": TOKEN[:-1] + "/"},
            {"token": TOKEN + "\n"},
            {"token": "../" + TOKEN},
            {"key": TOKEN},
            {"key": KEY + "\n"},
            {"key": "x" + KEY[1:]},
            {"key": f"{TOKEN}.<script>"},
            {"host": host("*.example.com")},
        ],
        ids=str,
    )
    def test_hostile(self, changes: dict[str, Any]) -> None:
        """A token or key that is none is never written into a route; the message has no byte of it."""
        with pytest.raises(ValueError, match=r".") as caught:
            answer(**changes)
        assert TOKEN not in str(caught.value)

    @given(st.text(max_size=150))
    def test_only_base64url(self, token: str) -> None:
        """Whatever passes is base64url of the right length."""
        try:
            found = answer(token=token, key=f"{token}.{'a' * 43}")
        except ValueError:
            return
        assert found.path.startswith("/.well-known/acme-challenge/")
        assert "/" not in found.token
        assert found.token.isascii()

    def test_names_follow_from_the_challenge(self) -> None:
        """After a restart the same names are found; two Challenges never share one."""
        assert answer().object_name == answer().object_name
        assert answer(uid="v").object_name != answer().object_name


class TestVirtualService:
    def test_mode_a(self) -> None:
        """One host, one exact path, one Gateway, one answer; seen by the proxies' namespaces only."""
        one = virtual_service(answer(), ("foo", "shop"), ["istio-system", "istio-system"])
        assert one["metadata"]["namespace"] == "foo"
        assert one["spec"] == {
            "hosts": ["a.example.com"],
            "gateways": ["foo/shop"],
            "exportTo": ["istio-system"],
            "http": [
                {
                    "name": "acme-challenge",
                    "match": [{"uri": {"exact": f"/.well-known/acme-challenge/{TOKEN}"}}],
                    "directResponse": {"status": 200, "body": {"string": KEY}},
                }
            ],
        }

    def test_a_redirect_beside_it(self) -> None:
        """B and C send everything else on port 80 to https."""
        one = virtual_service(answer(), ("foo", "shop"), ["istio-system"], redirect=True, http_port=8080)
        assert one["spec"]["http"][1] == {
            "name": "to-https",
            "match": [{"port": 8080, "uri": {"regex": "/.*"}}],
            "redirect": {"scheme": "https"},
        }

    @pytest.mark.parametrize(("namespace", "owned"), [("foo", True), ("istio-system", False)])
    def test_owner(self, namespace: str, owned: bool) -> None:
        """The Challenge owns what is in its own namespace; everywhere labels lead from one to the other."""
        one = virtual_service(answer(namespace), ("foo", "shop"), ["istio-system"])
        assert ("ownerReferences" in one["metadata"]) == owned
        assert one["metadata"]["labels"][CHALLENGE_UID] == "u"


class TestOtherModes:
    def test_own_gateway(self) -> None:
        """Mode B takes port 80 of exactly this host, for routes of its own namespace, on the user's proxies."""
        one = own_gateway(answer(), "foo", {"istio": "ingressgateway"})
        assert one["spec"] == {
            "selector": {"istio": "ingressgateway"},
            "servers": [
                {"port": {"number": 80, "name": "http-acme", "protocol": "HTTP"}, "hosts": ["./a.example.com"]}
            ],
        }
        with pytest.raises(ValueError, match="every proxy"):
            own_gateway(answer(), "foo", {})

    def test_ingress(self) -> None:
        """Mode D is an exact path in an Ingress of the class, beside the solver's Service."""
        one = ingress(answer(), "mesh-signer", "istio", SOLVER)
        assert one["metadata"]["annotations"]["kubernetes.io/ingress.class"] == "istio"
        (rule,) = one["spec"]["rules"]
        (path,) = rule["http"]["paths"]
        assert (rule["host"], path["path"], path["pathType"]) == ("a.example.com", answer().path, "Exact")
        with pytest.raises(ValueError, match="own namespace"):
            ingress(answer(), "foo", "istio", SOLVER)

    def test_http_route(self) -> None:
        """Mode E attaches to the listeners by name, and reaches the solver elsewhere by a grant."""
        one = http_route(answer(), ("foo", "shop"), ["http"], SOLVER)
        (parent,) = one["spec"]["parentRefs"]
        assert (parent["name"], parent["namespace"], parent["sectionName"]) == ("shop", "foo", "http")
        (rule,) = one["spec"]["rules"]
        assert rule["matches"] == [{"path": {"type": "Exact", "value": answer().path}, "method": "GET"}]
        assert rule["backendRefs"][0]["namespace"] == "mesh-signer"
        grant = reference_grant(answer(), "foo", SOLVER)
        assert grant["metadata"]["namespace"] == "mesh-signer"
        assert grant["spec"]["to"] == [{"group": "", "kind": "Service", "name": "mesh-signer-solver"}]
        near = http_route(answer(), ("mesh-signer", "shop"), ["http"], SOLVER)
        assert "namespace" not in near["spec"]["rules"][0]["backendRefs"][0]
