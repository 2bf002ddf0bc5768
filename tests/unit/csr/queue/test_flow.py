"""A request's flow: the namespace that it asks for, when that exists, and never what nobody has verified."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from issuers.compose import compose_request
from issuers.errors import MalformedRequest
from issuers.private_key import generate_key
from issuers.request import read_request
from signer.csr.queue.flow import Flow, claimed_identity, flow_of
from tests.pki import key, workload_csr
from tests.unit.csr.crafted import ISTIOD, request, workload
from tests.unit.pods.crafted import request as pod_request
from tests.vectors import craft

VECTORS = Path(__file__).parents[3] / "vectors" / "requests"
HERE = frozenset({"foo", "istio-system"})


@pytest.mark.heavy
@pytest.mark.parametrize("kind", ["p256", "rsa2048", "rsa4096"])
def test_a_workload(kind: str) -> None:
    """The SPIFFE ID of an honest request is found, whatever its key."""
    identity = claimed_identity(workload_csr("foo", private=key(kind)))
    assert str(identity) == "spiffe://cluster.local/ns/foo/sa/default"


@pytest.mark.parametrize("length", [100, 127, 128, 253])
def test_long_names(length: int) -> None:
    """Lengths of one byte and of more are read alike."""
    account = "a" * length
    text = compose_request(
        generate_key("ECDSA", 256), uris=[f"spiffe://cluster.local/ns/foo/sa/{account}"], encode_usages=False
    )
    found = claimed_identity(text)
    assert found is not None
    assert found.service_account == account


def test_the_flow() -> None:
    """A flow is who asks and the namespace, if that exists; a name that does not is as good as none."""
    assert flow_of(request(), HERE) == Flow(ISTIOD, "foo")
    assert flow_of(request(request=workload("nowhere")), HERE) == Flow(ISTIOD, "")
    assert flow_of(request(username="eve"), HERE) == Flow("eve", "foo")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"no PEM",
        b"-----BEGIN CERTIFICATE REQUEST-----\nabc\n-----END CERTIFICATE REQUEST-----\n",
        b"-----BEGIN CERTIFICATE REQUEST-----\nabcd\n",
        b" " + workload(),
        workload() + b"\n" * 20_000,
    ],
    ids=["empty", "no PEM", "no base64", "no end", "space before", "huge"],
)
def test_no_identity(text: bytes) -> None:
    """What is not a CSR of a workload has no namespace; it waits with its requester's others."""
    assert claimed_identity(text) is None
    assert flow_of(request(request=text), HERE) == Flow(ISTIOD, "")


def test_two_identities() -> None:
    """A request that names two tenants stands in neither one's queue, wherever the second name is hidden."""
    private = generate_key("ECDSA", 256)
    uris = ["spiffe://cluster.local/ns/foo/sa/default", "spiffe://cluster.local/ns/istio-system/sa/default"]
    assert claimed_identity(compose_request(private, uris=uris, encode_usages=False)) is None


HIDDEN = craft.san(craft.uri(craft.FOO))
EMPTY = craft.ext_request(craft.san())
PKCS9_WITHOUT_VALUES = craft.seq(craft.oid(craft.PKCS9), craft.tlv(0x31), craft.seq(HIDDEN))


@pytest.mark.parametrize(
    "attributes",
    [
        [EMPTY, craft.attribute(craft.MICROSOFT, craft.seq(HIDDEN))],
        [craft.attribute(craft.MICROSOFT, craft.seq(HIDDEN)), EMPTY],
        [EMPTY, craft.attribute("1.2.840.113549.1.9.7", craft.seq(HIDDEN))],
        [EMPTY, craft.ext_request(HIDDEN)],
        [PKCS9_WITHOUT_VALUES],
        [PKCS9_WITHOUT_VALUES, EMPTY],
    ],
    ids=[
        "Microsoft's behind",
        "Microsoft's before",
        "another attribute",
        "a second one",
        "left over",
        "left over, more",
    ],
)
def test_a_hidden_identity(attributes: list[bytes]) -> None:
    """Another tenant's name where istiod does not look puts nothing into his queue; in the one place it does."""
    assert str(claimed_identity(craft.Csr(attributes=[craft.ext_request(HIDDEN)]).pem())) == craft.FOO
    assert claimed_identity(craft.Csr(attributes=attributes).pem()) is None


@pytest.mark.parametrize("kind", ["a block that Go skips", "a header"])
def test_another_reading_of_pem(kind: str) -> None:
    """Bytes that Go takes for no base64 name nobody."""
    foo = craft.Csr(attributes=[craft.ext_request(HIDDEN)]).pem()
    begin, rest = foo.split(b"\n", 1)
    if kind == "a header":
        text = begin + b"\n" + b"".join(rest.split(b"-----END")[0].split()) + b":\n\n" + rest
    else:
        text = begin + b"\n!" + rest + workload("istio-system")
    assert claimed_identity(foo) is not None
    assert claimed_identity(text) is None


def test_unreadable_bytes() -> None:
    """A request whose CSR makes no sense stands in the queue of its requester, for no namespace."""
    assert flow_of(request(request=b"\xff\xff"), HERE) == Flow(ISTIOD, "")


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    """No bytes make it fail."""
    assert claimed_identity(data) is None


@pytest.mark.heavy
@pytest.mark.parametrize("vector", sorted(path.name for path in VECTORS.glob("*.pem")))
def test_never_another_identity(vector: str) -> None:
    """Where the strict reader reads one SPIFFE ID, the queue's is that one or none."""
    text = (VECTORS / vector).read_bytes()
    found = claimed_identity(text)
    try:
        read = read_request(text)
    except MalformedRequest:
        return
    assert found is None or (str(found),) == read.uris


def test_requests_of_pods() -> None:
    """What kubelets ask for a namespace's Pods is one queue, wherever they run, and none of another's or of istiod's."""
    nodes = [flow_of(pod_request(node_name=f"node-{n}"), {"foo"}) for n in range(5)]
    assert len(set(nodes)) == 1
    assert nodes[0].namespace == "foo"
    assert flow_of(pod_request(namespace="bar"), {"foo", "bar"}) != nodes[0]
    assert flow_of(pod_request(namespace="bar"), {"foo"}).namespace == ""
    assert flow_of(request(), {"foo"}) not in nodes
