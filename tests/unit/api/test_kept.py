"""What is left out of an object when it is kept: what nobody reads; and what is read of it is the same as before."""

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from signer.api.certificaterequest import CertificateRequest, compact
from signer.api.gateway import APIGateway, Gateway
from signer.api.ingress import Ingress
from signer.api.meta import ObjectMeta
from signer.api.parts import only_what_is_read
from signer.api.virtualservice import VirtualService

Json = dict[str, Any]
NAMES = sorted(
    {
        *("hosts", "http", "match", "uri", "exact", "gateways", "servers", "port", "tls", "mode", "credentialName"),
        *("rules", "host", "ingressClassName", "listeners", "hostname", "certificateRefs", "name", "selector", "x"),
    }
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(0, 70_000), st.sampled_from(["", "a", "HTTPS"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)),
    max_leaves=12,
)


class TestSpecs:
    @given(VALUES, st.sampled_from((Gateway, APIGateway, Ingress, VirtualService)))
    @example({"servers": None, "selector": None}, Gateway)  # of two faults the first is told
    def test_the_same_is_read(self, spec: object, kind: type[Any]) -> None:
        """Whatever stands in a spec, what is read of it, or what is wrong with it, is the same when the rest is left out."""
        obj = kind(metadata=ObjectMeta(name="a"), raw_spec=spec)
        kept = only_what_is_read(obj)
        assert (kept.spec, kept.problem) == (obj.spec, obj.problem)

    def test_what_is_left_out(self) -> None:
        """Of a VirtualService the destinations go, of an Ingress its paths; what matches stays."""
        http = [{"match": [{"uri": {"exact": "/"}, "x": 1}], "route": [{"destination": {"host": "a"}}]}]
        route = VirtualService(metadata=ObjectMeta(), raw_spec={"hosts": ["a"], "http": http, "tls": []})
        assert only_what_is_read(route).raw_spec == {
            "hosts": ["a"],
            "http": [{"match": [{"uri": {"exact": "/"}}]}],
        }
        ingress = Ingress(metadata=ObjectMeta(), raw_spec={"rules": [{"host": "a", "http": {"paths": []}}]})
        assert only_what_is_read(ingress).raw_spec == {"rules": [{"host": "a"}]}


def test_kubectls_copy() -> None:
    """What kubectl notes of an object is not kept; other annotations are."""
    notes = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "a": "b"}
    meta = msgspec.json.decode(msgspec.json.encode({"annotations": notes}), type=ObjectMeta)
    assert meta.annotations == {"a": "b"}
    assert ObjectMeta().annotations == {}


class TestRequests:
    @pytest.mark.heavy
    @given(st.one_of(st.binary(max_size=40).map(lambda one: base64.b64encode(one).decode()), st.text(max_size=8)))
    def test_the_same_is_read(self, text: str) -> None:
        """A CertificateRequest whose PEM is kept as bytes reads as before, and is written as before."""
        body = {"metadata": {}, "spec": {"request": text}, "status": {"certificate": text, "ca": "YQ=="}}
        before = msgspec.convert(body, CertificateRequest)
        after = compact(msgspec.convert(msgspec.json.decode(msgspec.json.encode(body)), CertificateRequest))
        assert (after.spec, after.problem, after.status) == (before.spec, before.problem, before.status)
        if not before.problem:
            assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(after.raw_spec)), dict) == {
                "request": base64.b64encode(before.spec.request).decode()
            }
