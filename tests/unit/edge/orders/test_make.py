"""The Order for a request: the same each time, and known again; any other is not worked on."""

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from signer.api.certificaterequest import CertificateRequest
from signer.api.issuer import IssuerRef
from signer.api.names import is_subdomain, shortened
from signer.api.order import Authorization, Order
from signer.edge.issuers.choice import Alternatives, reference
from signer.edge.orders.make import genuine_order, is_rehearsal, order_body, order_name
from signer.edge.orders.step import challenge_name
from tests.unit.edge.objects import host


def request(**changes: Any) -> CertificateRequest:
    spec = {"request": base64.b64encode(b"csr").decode(), "issuerRef": {"name": "le", "kind": "ClusterIssuer"}}
    metadata = {"namespace": "istio-system", "name": "tls-1", "uid": "request-uid"}
    return msgspec.convert({"metadata": metadata | changes, "spec": spec}, CertificateRequest)


NAMES = (host("a.example.com"), host("*.example.com"))


def ordered(body: dict[str, Any]) -> Order:
    return msgspec.json.decode(msgspec.json.encode(body | {"metadata": body["metadata"] | {"uid": "o"}}), type=Order)


class TestOrder:
    def test_our_own(self) -> None:
        """The Order that we made is known again, with whatever profile and predecessor it was made."""
        for profile, replaces in (("", ""), ("shortlived", ""), ("", "a.b")):
            one = ordered(order_body(request(), NAMES, profile=profile, replaces=replaces))
            assert one.spec.request == b"csr"
            assert one.spec.dns_names == ("a.example.com", "*.example.com")
            assert genuine_order(one, request(), NAMES)

    def test_the_same_request_has_the_same_order(self) -> None:
        """A restart finds the Order by its name; a request made again under the same name has another."""
        assert order_body(request(), NAMES) == order_body(request(), NAMES)
        names = {order_body(request(uid=uid), NAMES)["metadata"]["name"] for uid in ("1", "2")}
        assert len(names) == 2

    @pytest.mark.parametrize(
        "change",
        [
            {"dnsNames": ["victim.example"]},
            {"dnsNames": ["a.example.com", "*.example.com", "victim.example"]},
            {"issuerRef": {"name": "other", "kind": "ClusterIssuer", "group": "cert-manager.io"}},
            {"request": "aGk="},
            {"commonName": "victim.example"},
            {"ipAddresses": ["10.0.0.1"]},
            {"duration": "9000h"},
        ],
        ids=str,
    )
    def test_one_that_a_user_made(self, change: dict[str, Any]) -> None:
        """An Order that differs from what follows from the request is not worked on, though it names it as owner."""
        body = order_body(request(), NAMES)
        assert not genuine_order(ordered(body | {"spec": body["spec"] | change}), request(), NAMES)

    @pytest.mark.parametrize("change", [{"name": "other"}, {"namespace": "foo"}, {"ownerReferences": []}], ids=str)
    def test_another_place(self, change: dict[str, Any]) -> None:
        """A copy elsewhere, or without its owner, is not worked on."""
        body = order_body(request(), NAMES)
        assert not genuine_order(ordered(body | {"metadata": body["metadata"] | change}), request(), NAMES)

    def test_the_issuers_that_may_stand_in(self) -> None:
        """An Order at another issuer is ours only where the request's issuer names that one, now."""
        other, staging = IssuerRef("ClusterIssuer", "", "other"), IssuerRef("ClusterIssuer", "", "staging")
        named = Alternatives((other,), staging)
        elsewhere = ordered(order_body(request(), NAMES, issuer=reference(other)))
        assert genuine_order(elsewhere, request(), NAMES, named)
        assert not genuine_order(elsewhere, request(), NAMES)
        assert not is_rehearsal(elsewhere)

    def test_a_rehearsal(self) -> None:
        """A rehearsal has a name of its own, and is never at the issuer that counts, nor a real order at the rehearsal's."""
        other, staging = IssuerRef("ClusterIssuer", "", "other"), IssuerRef("ClusterIssuer", "", "staging")
        named = Alternatives((other,), staging)
        before = ordered(order_body(request(), NAMES, issuer=reference(staging), rehearsal=True))
        assert is_rehearsal(before)
        assert before.metadata.name != order_body(request(), NAMES)["metadata"]["name"]
        assert genuine_order(before, request(), NAMES, named)
        assert not genuine_order(ordered(order_body(request(), NAMES, rehearsal=True)), request(), NAMES, named)
        assert not genuine_order(
            ordered(order_body(request(), NAMES, issuer=reference(staging))), request(), NAMES, named
        )


LABELS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)
OBJECT_NAMES = st.lists(LABELS, min_size=1, max_size=80).map(lambda labels: ".".join(labels)[:253].rstrip(".-"))


@given(OBJECT_NAMES, OBJECT_NAMES)
@example("a" * 239 + "." + "b" * 10, "a" * 239 + ".c" + "b" * 9)
@example("a" * 229 + "." + "b" * 20, "a" * 253)
def test_names_that_are_made_of_others(name: str, other: str) -> None:
    """What is composed of any object's name is a name too, and another one for another object."""
    proof = Authorization(url="https://ca.example/authz/1")
    orders = [msgspec.convert({"metadata": {"name": text, "uid": "u"}}, Order) for text in (name, other)]
    for made in (
        [order_name(text, "u") for text in (name, other)],
        [challenge_name(one, proof) for one in orders],
        [f"{shortened(text, 230)}.0123456789abcdef" for text in (name, other)],  # an Event
    ):
        assert all(is_subdomain(one) for one in made)
        assert (made[0] == made[1]) == (name == other)
