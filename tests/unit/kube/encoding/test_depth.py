"""Objects that are nested as deep as the API server takes them: each is named and left out, and costs the others nothing."""

import ast
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import signer
from signer.api.casource import CASource
from signer.api.certificate import Certificate
from signer.api.certificaterequest import CertificateRequest
from signer.api.challenge import Challenge
from signer.api.clustertrustbundle import ClusterTrustBundle
from signer.api.configmap import ConfigMap
from signer.api.destinationrule import DestinationRule
from signer.api.edgepolicy import EdgePolicy
from signer.api.gateway import APIGateway, Gateway
from signer.api.hostclaim import HostClaim
from signer.api.httproute import HTTPRoute
from signer.api.ingress import Ingress
from signer.api.injectable import Injectable
from signer.api.issuer import Issuer
from signer.api.namespace import NamespaceObject
from signer.api.order import Order
from signer.api.proxyconfig import ProxyConfig
from signer.api.secret import Secret
from signer.api.serviceaccount import ServiceAccount
from signer.api.signerbinding import SignerBinding
from signer.api.signerpolicy import SignerPolicy
from signer.api.signerrecord import SignerRecord
from signer.api.tenantbridge import TenantBridge
from signer.api.tenantbridgepolicy import TenantBridgePolicy
from signer.api.virtualservice import VirtualService
from signer.authorities.state import CASecret
from signer.bridges.watched import Made
from signer.commands.page.seen import Warned
from signer.injector.sources.judge import SourceSecret
from signer.kube.encoding.codec import JsonCodec, Withheld
from signer.kube.encoding.depth import DEEPEST, TOO_DEEP, cut, deeper, reader
from signer.kube.errors import error_from_response, error_from_status
from signer.kube.leases.members import _Lease
from signer.kube.paging import COSTLY

READ: tuple[Any, ...] = (
    APIGateway, CASecret, CASource, Certificate, CertificateRequest, Challenge, ClusterTrustBundle, ConfigMap, DestinationRule,
    EdgePolicy, Gateway, HostClaim, HTTPRoute, Ingress, Injectable, Issuer, Made, NamespaceObject, Order, ProxyConfig, Secret,
    ServiceAccount, SignerBinding, SignerPolicy, SignerRecord, SourceSecret, TenantBridge, TenantBridgePolicy, VirtualService, Warned, _Lease,
)  # fmt: skip
DEPTHS = (DEEPEST + 1, DEEPEST + 2, DEEPEST + 3, 700, 2_000, 9_999)
# What an object may say to be taken for another one.
LIES = '"name":"other","namespace":"others"}},{"metadata":{"name":"other","namespace":"others"'
Shape = Callable[[int], str]


def lists(depth: int) -> str:
    return "[" * depth + "]" * depth


def mappings(depth: int) -> str:
    return '{"metadata":' * depth + '{"name":"other","namespace":"others"}' + "}" * depth


def obj(shape: Shape = lists, part: str = "", depth: int = 0, name: str = "a") -> bytes:
    """An object as the API server writes it, with so many levels in one of its parts."""

    def inner(one: str, around: int, usual: str) -> str:
        return shape(depth - around) if part == one else usual

    text = msgspec.json.encode(LIES + "[[{{\\").decode()
    return (
        f'{{"apiVersion":"v1","kind":"K","metadata":{{"annotations":{{"x":{text}}},'
        f'"managedFields":[{{"manager":"m","fieldsV1":{inner("managedFields", 4, "{}")}}}],'
        f'"name":"{name}","namespace":"ns","resourceVersion":"7","uid":"u","zzz":{inner("metadata", 2, "0")}}},'
        f'"data":{inner("data", 1, "{}")},"spec":{inner("spec", 1, "{}")},"status":{inner("status", 1, "{}")}}}'
    ).encode()


def event(one: bytes) -> bytes:
    return b'{"type":"MODIFIED","object":' + one + b"}"


def listed(*them: bytes, metadata: bytes = b'{"resourceVersion":"5","continue":"c"}') -> bytes:
    return b'{"kind":"L","metadata":' + metadata + b',"items":[' + b",".join(them) + b"]}"


SHAPES: tuple[Shape, ...] = (lists, mappings)
PARTS = ("managedFields", "metadata", "data", "spec", "status")


@pytest.mark.heavy
def test_every_codec_is_tried() -> None:
    """A type that a watch of ours reads is in the table above."""
    found: set[str] = set()
    for path in Path(signer.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("Codec"):
                found |= {one.id for one in node.args[:1] if isinstance(one, ast.Name)}
    # `kind` is Gateway, APIGateway or Ingress; `intake` is the one that reads protobuf.
    assert found - {"type_", "kind", "decode"} <= {one.__name__ for one in READ}


_DECODES = {("msgspec", "json", "decode"), ("msgspec", "json", "Decoder"), ("json", "loads")}
# What reads no stranger's text, and where `deeper` is asked right before, with the reason.
_GUARDED_ELSEWHERE = [
    "signer/certificates/steps.py: decode",  # what it has just encoded itself
    "signer/commands/checks/admission.py: loads",  # a file of the package
    "signer/commands/checks/fields.py: loads",  # a file of the package
    "signer/commands/checks/shipped.py: loads",  # a file of the package
    "signer/commands/live.py: Decoder",  # after deeper()
    "signer/kube/encoding/codec.py: Decoder",  # after deeper(), in JsonCodec
    "signer/kube/objects.py: Decoder",  # after deeper() or cut()
    "signer/mesh/reread.py: Decoder",  # after deeper()
    "signer/pods/requests.py: Decoder",  # Pods: after deeper()
]


def _dotted(node: ast.expr) -> tuple[str, ...]:
    if isinstance(node, ast.Attribute):
        return (*_dotted(node.value), node.attr)
    return (node.id,) if isinstance(node, ast.Name) else ()


def test_every_decoder_has_a_guard() -> None:
    """JSON that comes from outside is read by `reader`, or where RecursionError is caught, or after a look at its depth."""
    root, bare = Path(signer.__file__).parents[1], list[str]()
    for path in (*(root / "signer").rglob("*.py"), *(root / "issuers").rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        guarded = {
            inner
            for node in ast.walk(tree)
            if (
                isinstance(node, ast.Try)
                and any("RecursionError" in ast.unparse(one.type or node) for one in node.handlers)
            )
            or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "reader")
            for inner in ast.walk(node)
        }
        bare += [
            f"{path.relative_to(root)}: {node.attr}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and _dotted(node) in _DECODES and node not in guarded
        ]
    assert sorted(bare) == _GUARDED_ELSEWHERE


@pytest.mark.parametrize("type_", READ, ids=lambda one: one.__name__)
class TestCodecs:
    @pytest.mark.heavy
    def test_events(self, type_: Any) -> None:
        """Wherever it is deep, an event names the object, and nothing of it is kept but name and reason."""
        codec: JsonCodec[Any] = JsonCodec(type_)
        for part in PARTS:
            for shape in SHAPES:
                for depth in DEPTHS:
                    found = codec.decode_event(event(obj(shape, part, depth)))
                    assert (found.type, found.key, found.resource_version) == ("MODIFIED", ("ns", "a"), "7")
                    if found.object is None:
                        assert found.problem == TOO_DEEP
                    else:
                        assert isinstance(found.object.raw_spec, Withheld)
                        assert found.object.raw_spec == TOO_DEEP
                        assert codec.key(found.object) == ("ns", "a")

    @pytest.mark.heavy
    def test_lists(self, type_: Any) -> None:
        """In a list the others are read."""
        codec: JsonCodec[Any] = JsonCodec(type_)
        plain = codec.decode_event(event(obj(name="b"))).object
        for part in PARTS:
            for depth in DEPTHS:
                body = listed(obj(name="b"), obj(lists, part, depth), obj(mappings, part, depth, "c"), obj(name="b"))
                page = codec.decode_list(body)
                assert (page.resource_version, page.continue_token) == ("5", "c")
                items, problems = page.whole()
                assert [one for one in items if one.metadata.name == "b"] == [plain, plain]
                named = {one.metadata.name for one in items if getattr(one, "raw_spec", None) == TOO_DEEP}
                assert named | {one.key[1] for one in problems if one.key and one.message == TOO_DEEP} == {"a", "c"}

    def test_what_is_not_too_deep(self, type_: Any) -> None:
        """The limit is the same on every Python, and what is within is read."""
        codec: JsonCodec[Any] = JsonCodec(type_)
        for part in ("managedFields", "metadata"):
            found = codec.decode_event(event(obj(lists, part, DEEPEST)))
            assert TOO_DEEP not in (found.problem, getattr(found.object, "raw_spec", None))


def test_what_stands_in_the_place_of_a_secret() -> None:
    """Where a codec knows what to keep of an object, that is kept, with the reason."""
    codec = JsonCodec(CASecret, instead=lambda one, why: CASecret(metadata=one.metadata, withheld=why))
    found = codec.decode_event(event(obj(lists, "metadata", 5_000))).object
    assert found is not None
    assert (found.withheld, found.metadata.name) == (TOO_DEEP, "a")


def test_metadata_of_a_list() -> None:
    """A list whose own metadata is deep is read."""
    metadata = b'{"resourceVersion":"5","x":' + lists(9_000).encode() + b"}"
    page = JsonCodec(Certificate).decode_list(listed(obj(), metadata=metadata))
    assert page.resource_version == "5"
    assert [one.metadata.name for one in page.whole()[0]] == ["a"]


def test_other_events() -> None:
    """The same of bookmarks, and of errors, as of what the API server refuses."""
    codec = JsonCodec(Certificate)
    assert (
        codec.decode_event(event(obj(lists, "metadata", 9_000)).replace(b"MODIFIED", b"BOOKMARK")).resource_version
        == "7"
    )
    status = b'{"code":410,"reason":"Expired","message":"m","details":' + lists(9_000).encode() + b"}"
    wrong = b'{"code":410,"reason":"Expired","message":"m","x":' + lists(9_000).encode() + b"}"
    assert error_from_status(wrong).reason == "Expired"
    assert codec.decode_event(b'{"type":"ERROR","object":' + wrong + b"}").status is not None
    assert error_from_response(409, {}, status).status == 409


def test_no_depth_is_too_deep() -> None:
    """A hundred times what the API server takes is named as well."""
    found = JsonCodec(Certificate).decode_event(event(obj(mappings, "spec", 20_000))).object
    assert found is not None
    assert found.raw_spec == TOO_DEEP


values = st.recursive(
    st.none() | st.integers() | st.text(alphabet='[]{}"\\,:aé') | st.booleans(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='[]{}"\\,:a', max_size=3), inner, max_size=4)
    ),
    max_leaves=30,
)


def levels(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(levels, value.values()), default=0)
    return 1 + max(map(levels, value), default=0) if isinstance(value, list) else 0


class TestDepth:
    @given(values, st.integers(0, 12))
    def test_deeper(self, value: object, most: int) -> None:
        """Depth is counted as a parser counts it, whatever stands in texts."""
        assert deeper(msgspec.json.encode(value), most) == (levels(value) > most)

    @given(values)
    def test_what_is_flat_is_not_cut(self, value: object) -> None:
        """Nothing is taken from what is not too deep."""
        body = msgspec.json.encode(value)
        assert cut(body) == body

    @given(values, values, st.integers(DEEPEST - 4, DEEPEST + 40), st.booleans())
    def test_what_is_deep_is_cut(self, before: object, after: object, depth: int, mapping: bool) -> None:
        """What is around stays as it was, byte for byte; what is cut says that it was too deep, and is of the same kind."""
        head, tail = msgspec.json.encode(before), msgspec.json.encode(after)
        deep = ('{"x":' * depth + "0" + "}" * depth if mapping else lists(depth)).encode()
        found = cut(b'{"items":[{"metadata":{"a":' + head + b',"b":' + deep + b',"c":' + tail + b"}}]}")
        item = msgspec.json.decode(found)["items"][0]
        assert deeper(msgspec.json.encode(item)) == (depth + 2 > DEEPEST)
        meta = item["metadata"]
        assert (meta["a"], meta["c"]) == (before, after)
        assert isinstance(meta["b"], dict if mapping else list)

    @given(st.text(alphabet='[]{}",\\:0', max_size=400))
    def test_no_json(self, text: str) -> None:
        """Whatever comes, nothing but an answer comes of it."""
        body = text.encode()
        deeper(body, 3)
        cut(body * 40)

    def test_without_an_end(self) -> None:
        """What never ends is no JSON, and is refused as such."""
        with pytest.raises(msgspec.DecodeError):
            reader(msgspec.json.Decoder().decode)(b"[" * 20_000)

    @pytest.mark.parametrize("deep", [b"[" * 9000 + b"]" * 9000, b'{"x":' * 9000 + b"{}" + b"}" * 9000])
    def test_linear(self, deep: bytes) -> None:
        """Four times as much takes at most four times the steps in Python: everything else is done in C, once for each byte."""
        bodies = [b'{"a":{"b":{"c":[' + b",".join([deep] * n) + b"]}}}" for n in (1, 2, 4)]
        steps = [_steps(partial(cut, body)) for body in bodies]
        assert steps[2] - steps[1] <= 2 * (steps[1] - steps[0]) + 10


def _steps(work: Callable[[], object]) -> int:
    """How many lines of Python run."""
    count = 0

    def trace(_frame: Any, what: str, _arg: Any) -> Any:
        nonlocal count
        count += what == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def test_half_of_the_time_is_left() -> None:
    """What takes long to read is followed by a pause (signer/kube/paging.py); nothing usual takes so long."""
    assert COSTLY >= 0.005
