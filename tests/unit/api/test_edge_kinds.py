"""Orders, Challenges, EdgePolicies, HostClaims, Gateways, VirtualServices, Ingresses: read as far as needed, never failing."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.challenge import Challenge
from signer.api.edgepolicy import EdgePolicy
from signer.api.gateway import APIGateway, Gateway
from signer.api.hostclaim import HostClaim
from signer.api.ingress import Ingress
from signer.api.order import Order
from signer.api.virtualservice import VirtualService

META = {"name": "n", "namespace": "ns", "uid": "u"}
KINDS = (Order, Challenge, EdgePolicy, HostClaim, Gateway, APIGateway, VirtualService, Ingress)


def read(kind: Any, spec: Any = None, status: Any = None) -> Any:
    return msgspec.convert({"metadata": META, "spec": spec, "status": status}, kind)


FIELDS = [
    *("servers", "hosts", "tls", "port", "listeners", "rules", "request", "dnsNames", "status", "state"),
    *("authorizations", "hostSuffixes", "namespaces", "host", "http", "match", "uri", "certificateRefs"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(FIELDS),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@pytest.mark.heavy
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(spec=JSON, status=JSON)
def test_reading_never_fails(kind: Any, spec: Any, status: Any) -> None:
    """Whatever stands in spec and status, reading ends, and a problem means an empty spec."""
    one = read(kind, spec, status)
    assert isinstance(one.problem, str)
    if one.problem.startswith("spec"):
        assert one.spec == type(one.spec)()
    if hasattr(one, "status"):
        assert one.status is not None


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_problem_names_the_field(kind: Any) -> None:
    """A spec that is not an object is told with its place."""
    assert read(kind, []).problem.startswith("spec: ")
    assert read(kind).problem == ""


def test_a_gateway() -> None:
    """An Istio Gateway as guides write it is read with its ports, hosts and credentials."""
    spec = {
        "selector": {"istio": "ingressgateway"},
        "servers": [
            {
                "port": {"number": 443, "name": "https", "protocol": "HTTPS"},
                "hosts": ["shop/a.example", "*"],
                "tls": {"mode": "SIMPLE", "credentialName": "a", "credentialNames": ["b"], "minProtocolVersion": "x"},
            },
            {"port": {"number": 80, "protocol": "HTTP"}, "hosts": ["a.example"], "tls": {"httpsRedirect": True}},
        ],
    }
    one = read(Gateway, spec)
    assert one.problem == ""
    https, http = one.spec.servers
    assert (https.port.number, https.hosts, https.tls.credential_name) == (443, ("shop/a.example", "*"), "a")
    assert http.tls.https_redirect
    assert one.spec.selector == {"istio": "ingressgateway"}


def test_an_order_with_an_unreadable_status_is_a_problem() -> None:
    """A status that cannot be read must not look like an order that was never made."""
    one = read(Order, {"request": "aGk=", "issuerRef": {"name": "le"}}, {"url": 7})
    assert one.problem.startswith("status.url: ")
    assert one.status.url == ""
    assert one.spec.request == b"hi"


def test_a_policy_that_cannot_be_read_still_speaks() -> None:
    """The suffixes of a broken EdgePolicy are known all the same."""
    one = read(EdgePolicy, {"hostSuffixes": ["a.example", 7], "maxHosts": "x"})
    assert one.problem
    assert one.named_suffixes == ("a.example",)


@pytest.mark.parametrize(
    ("spec", "annotations", "name"),
    [
        ({"ingressClassName": "istio"}, {}, "istio"),
        ({}, {"kubernetes.io/ingress.class": "istio"}, "istio"),
        ({}, {}, ""),
    ],
)
def test_the_class_of_an_ingress(spec: Any, annotations: dict[str, str], name: str) -> None:
    """The class of an Ingress is found in both of its places."""
    one = msgspec.convert({"metadata": META | {"annotations": annotations}, "spec": spec}, Ingress)
    assert one.class_name == name
