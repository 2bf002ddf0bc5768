"""PodCertificateRequests as bytes: read without loss, answered without touching what we do not know."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.podcertificaterequest import read_pod_request, read_status_chain, with_denied, with_issued
from signer.kube.encoding import protobuf
from signer.kube.encoding.protobuf import ProtobufError
from tests.fakes.envelopes import unwrap, wrap
from tests.unit.csr.crafted import NOW
from tests.unit.pods.crafted import encoded, request

CHAIN = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SPECS = st.fixed_dictionaries(
    {
        "signer_name": texts,
        "pod_name": texts,
        "pod_uid": texts,
        "service_account": texts,
        "service_account_uid": texts,
        "node_name": texts,
        "node_uid": texts,
        "max_seconds": st.integers(0, 2**31 - 1),
        "stub": st.binary(max_size=200),
        "key": st.binary(max_size=100),
        "proof": st.binary(max_size=100),
        "annotations": st.lists(texts, max_size=5).map(tuple),
    }
)


@given(SPECS, texts, texts, texts, texts)
def test_any_object(spec: dict[str, Any], namespace: str, name: str, uid: str, version: str) -> None:
    """Whatever a request says is read as it was written."""
    found = request(namespace=namespace, name=name, uid=uid, version=version, **spec)
    assert (found.namespace, found.name, found.uid, found.resource_version) == (namespace, name, uid, version)
    assert {field: getattr(found, field) for field in spec} == spec
    assert found.requester == f"system:node:{spec['node_name']}"


@pytest.mark.parametrize(
    ("conditions", "answered"),
    [((), False), (("Issued",), True), (("Denied",), True), (("Failed",), True), (("New",), False)],
)
def test_what_ends_a_request(conditions: tuple[str, ...], answered: bool) -> None:
    """A request is answered once it was issued, denied, or has failed."""
    assert request(conditions=conditions).answered == answered


def test_many_annotations() -> None:
    """Of any number of annotations the first few keys are kept, each cut: they are only told."""
    found = request(annotations=tuple(f"{n}{'x' * 1000}" for n in range(1000)))
    assert len(found.annotations) == 5
    assert max(map(len, found.annotations)) <= 253


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    """Bytes that are no such object are refused with one kind of error."""
    try:
        read_pod_request(data, "v1")
    except ProtobufError:
        return


@pytest.mark.parametrize("conditions", [(), ("New",), ("Issued",), ("New", "Denied")])
def test_cut_short(conditions: tuple[str, ...]) -> None:
    """Wherever an answer is cut off, nothing of its object is read, so that an answered one is never open again."""
    whole = encoded(conditions=conditions)
    body = wrap("certificates.k8s.io/v1", "PodCertificateRequest", whole)
    before = len(body) - len(whole)
    for length in range(len(body)):
        try:
            found = read_pod_request(body[:length], "v1", *protobuf.raw_span(body[:length]))
        except ProtobufError:
            continue
        # An envelope may have no object at all: that is the empty one, which is about nothing.
        assert length <= before
        assert (found.uid, found.signer_name, found.stub) == ("", "", b"")


@pytest.mark.parametrize("conditions", [(), ("Issued",)])
def test_cut_within(conditions: tuple[str, ...]) -> None:
    """An object that ends within a field is not read; protobuf itself cannot tell one that ends behind a whole field."""
    whole = encoded(conditions=conditions)
    ends = {end for _, _, end in protobuf.scan(whole)} | {0}
    assert len(ends) == 4
    for length in sorted(set(range(len(whole))) - ends):
        with pytest.raises(ProtobufError):
            read_pod_request(whole[:length], "v1")


@given(st.sampled_from(["v1", "v1beta1"]), st.binary(max_size=300).map(lambda data: CHAIN + data.hex().encode()))
def test_one_write_has_all_of_it(version: str, chain: bytes) -> None:
    """The answer is the object as it was, with the condition, the chain and the three times behind it, in its own version."""
    asked = request(version)
    ends = NOW + timedelta(hours=1)
    body = with_issued(asked, chain, begins=NOW, refresh=NOW + timedelta(minutes=40), ends=ends, now=NOW)
    envelope = unwrap(body)
    assert (envelope.api_version, envelope.kind) == (f"certificates.k8s.io/{version}", "PodCertificateRequest")
    assert envelope.raw.startswith(asked.raw)
    after = read_pod_request(envelope.raw, version)
    assert read_status_chain(after) == chain
    assert after.conditions == {"Issued"}
    assert (after.uid, after.resource_version, after.stub) == (asked.uid, asked.resource_version, asked.stub)
    status = list(protobuf.fields(last_status(envelope.raw)))
    times = {one.number: _seconds(one.value) for one in status if one.number in (4, 5, 6)}
    assert times == {4: NOW, 5: NOW + timedelta(minutes=40), 6: ends}


def test_a_denial() -> None:
    """A denial has a condition with reason, message and time, and nothing else."""
    body = with_denied(request(), reason="UnsupportedKeyType", message="no", now=NOW)
    raw = unwrap(body).raw
    (condition,) = list(protobuf.fields(last_status(raw)))
    found = {one.number: one.value for one in protobuf.fields(_bytes(condition.value))}
    assert {1: b"Denied", 2: b"True", 5: b"UnsupportedKeyType", 6: b"no"}.items() <= found.items()
    assert _seconds(found[4]) == NOW
    assert read_pod_request(raw, "v1").answered


def last_status(raw: bytes) -> bytes:
    return [_bytes(one.value) for one in protobuf.fields(raw) if one.number == 3][-1]


def _bytes(value: int | bytes) -> bytes:
    assert isinstance(value, bytes)
    return value


def _seconds(value: int | bytes) -> datetime:
    ((_, seconds, _),) = protobuf.scan(_bytes(value))
    return datetime.fromtimestamp(seconds, UTC)
