"""Where a Secret is written, and which names it must not have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.edge.credential_name import SecretName, secret_named
from signer.edge.gateways.placement import NoGateway, Placement, only_in, place
from signer.edge.proxies.values import GatewayPod, selects
from signer.edge.reserved import Existing, in_the_way, reserved_name
from signer.tenancy.verdict import Reason, Refuse

SELECTOR = {"istio": "ingressgateway"}


def pods(*namespaces: str) -> list[GatewayPod]:
    return [GatewayPod(one, {"istio": "ingressgateway", "app": "x"}) for one in namespaces]


def placed(
    running: list[GatewayPod], *, namespace: str = "foo", granted: bool = True
) -> Placement | NoGateway | Refuse:
    return place(namespace, SELECTOR, running, gateway_namespaces=("istio-system",), granted=granted)


def test_own_gateway() -> None:
    """Where the proxy runs in the Gateway's own namespace, the Secret goes there, without any policy."""
    assert placed(pods("foo", "foo"), granted=False) == Placement(("foo",))
    assert placed(pods("istio-system"), namespace="istio-system", granted=False) == Placement(("istio-system",))


NAMESPACES = st.sampled_from(("foo", "istio-system", "bar"))


@given(st.lists(NAMESPACES, max_size=3), NAMESPACES | st.just(""), st.booleans())
def test_a_namespace_that_is_named(running: list[str], named: str, granted: bool) -> None:
    """A namespace before the Secret's name changes nothing where the proxies run there alone; elsewhere it never writes."""
    without = placed(pods(*running), granted=granted)
    reading = only_in(named, SELECTOR, pods(*running), running)
    found = reading if isinstance(reading, Refuse) else placed(reading, granted=granted)
    if not running or not named or set(running) == {named}:
        assert found == without
    elif named not in running:
        assert isinstance(found, Refuse)
        assert found.code == "OtherNamespace"
        assert named in found.message
    elif isinstance(found, Placement):
        assert found.namespaces == (named,)
        assert isinstance(without, Placement)
        assert named in without.namespaces


def test_shared_gateway() -> None:
    """Into a gateway's namespace only what an admin granted is written."""
    assert placed(pods("istio-system")) == Placement(("istio-system",))
    refused = placed(pods("istio-system"), granted=False)
    assert isinstance(refused, Refuse)
    assert refused.code == "HostNotGranted"
    assert "EdgePolicy" in refused.message


def test_both() -> None:
    """With proxies in both, it goes to both if granted, else to the own one with a note."""
    assert placed(pods("foo", "istio-system")) == Placement(("foo", "istio-system"))
    found = placed(pods("foo", "istio-system"), granted=False)
    assert isinstance(found, Placement)
    assert (found.namespaces, [one.code for one in found.passed]) == (("foo",), ["HostNotGranted"])


def test_a_pod_that_looks_like_a_gateway() -> None:
    """A Pod labelled like a gateway in another tenant's namespace draws no key there."""
    refused = placed(pods("evil"))
    assert isinstance(refused, Refuse)
    assert refused.code == "NotAGatewayNamespace"
    assert "evil" not in refused.message
    assert placed(pods("evil", "istio-system")) == Placement(("istio-system",))
    assert placed(pods("evil", "foo")) == Placement(("foo",))


def test_no_gateway_yet() -> None:
    """Without a Pod it waits, and names the selector."""
    found = placed([GatewayPod("istio-system", {"istio": "other"})])
    assert isinstance(found, NoGateway)
    assert "istio=ingressgateway" in found.reason.message


@pytest.mark.parametrize(
    ("selector", "labels", "fits"),
    [
        ({}, {"a": "b"}, True),
        ({"a": "b"}, {"a": "b", "c": "d"}, True),
        ({"a": "b"}, {}, False),
        ({"a": "b"}, {"a": "c"}, False),
    ],
)
def test_selectors(selector: dict[str, str], labels: dict[str, str], fits: bool) -> None:
    """A selector asks for all of its labels; an empty one for none, as in Istio."""
    assert selects(selector, labels) == fits


@pytest.mark.parametrize(
    "name",
    [
        "cacerts",
        "istiod-tls",
        "istio-kubeconfig",
        "istio-ca-secret",
        "istio-ca-root-cert",
        "shop-cacert",
        "-cacert",
        "istio-remote-secret-east",
        "mesh-signer-account",
        "bootstrap-token-abcdef",
        "sh.helm.release.v1.istiod.v1",
    ],
)
def test_reserved_names(name: str) -> None:
    """Names that Istio or Kubernetes reads are refused, whoever asks."""
    assert reserved_name(name) is not None


@pytest.mark.parametrize(
    "name", ["istio-ingress-certs", "istio-ingressgateway-certs", "application.sample.com", "cacert"]
)
def test_usual_names(name: str) -> None:
    """Names that guides use are no reserved ones."""
    assert reserved_name(name) is None


@pytest.mark.parametrize(
    ("credential", "found"),
    [
        ("a", SecretName("a")),
        ("kubernetes://a", SecretName("a")),
        ("a/b", SecretName("b", "a")),
        ("kubernetes://a/b", SecretName("b", "a")),
        ("", None),
        ("/b", None),
        ("a/", None),
        ("a.b/c", None),
        ("a/b/c", None),
        ("A", None),
        ("x://a", None),
    ],
)
def test_names_of_secrets(credential: str, found: SecretName | None) -> None:
    """A credentialName is a Secret's name, perhaps with its namespace before it, or a reason."""
    name = secret_named(credential)
    assert name == found if found else isinstance(name, Reason)


@pytest.mark.parametrize(
    ("existing", "our_uid", "issuers_ca", "code"),
    [
        (None, None, False, None),
        (None, "u", False, None),
        (None, None, True, "CASecret"),
        (Existing("u", "kubernetes.io/tls"), "u", False, None),
        (Existing("u", "kubernetes.io/tls"), "other", False, "ForeignSecret"),
        (Existing("u", "kubernetes.io/tls"), None, False, "ForeignSecret"),
        (Existing("u", "Opaque"), None, False, "ForeignSecret"),
        (Existing("u", "kubernetes.io/tls", is_ca=True), "u", False, "CASecret"),
        (Existing("u", "kubernetes.io/tls"), "u", True, "CASecret"),
        (Existing("u", "kubernetes.io/tls", labels={"istio/multiCluster": "true"}), "u", False, "ForeignSecret"),
    ],
)
def test_what_is_in_the_way(existing: Existing | None, our_uid: str | None, issuers_ca: bool, code: str | None) -> None:
    """Only a Secret that we made, by our own record of its uid, is written again; a CA's never."""
    why = in_the_way("tls", existing, our_uid, issuers_ca=issuers_ca)
    assert (why.code if why else None) == code


@given(st.lists(st.sampled_from(("foo", "istio-system", "bar", "secret-project")), max_size=4), st.booleans())
def test_where_others_run_is_not_told(running: list[str], granted: bool) -> None:
    """Whatever Pods a selector takes: no message names a namespace but the tenant's own and those of the gateways."""
    found = [
        placed(pods(*running), granted=granted),
        only_in("foo", SELECTOR, pods(*running), ("foo", "istio-system")),
    ]
    assert "secret-project" not in str([one for one in found if not isinstance(one, list)])
