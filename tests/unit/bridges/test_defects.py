"""What would make a bridge fail or leak: each kind is told with its remedy, and nothing is told where nothing is wrong."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.destinationrule import DestinationRule
from signer.bridges.defects import (
    Facts,
    Hosted,
    Protection,
    Sidecar,
    contained,
    protection_of,
    sidecar_of,
    working,
)
from tests.unit.bridges.drawn import HOSTS, wish

HTTP = Hosted("Service", (), ("http",))
FINE = Facts(Protection("STRICT", ()), {HOSTS[0]: HTTP}, (), lists_own=True, lists_all=False)
MODES = ("STRICT", "PERMISSIVE", "DISABLE", "UNSET", "")


def peer(mode: str = "", *, name: str = "default", created: str = "1", **spec: Any) -> dict[str, Any]:
    body = {**({"mtls": {"mode": mode}} if mode else {}), **spec}
    return {"metadata": {"name": name, "creationTimestamp": created}, "spec": body}


def rule(host: str, *, selector: dict[str, str] | None = None, labels: dict[str, str] | None = None) -> DestinationRule:
    meta = {"name": "theirs", "namespace": "gateways", "labels": labels or {}}
    spec: dict[str, Any] = {"host": host, **({"workloadSelector": {"matchLabels": selector}} if selector else {})}
    return msgspec.convert({"metadata": meta, "spec": spec}, DestinationRule)


def codes(facts: Facts, *rules: DestinationRule, hosts: tuple[str, ...] = HOSTS[:1]) -> list[str]:
    return [one.code for one in working(wish(*hosts), facts, rules)]


def test_nothing() -> None:
    """Where all is well nothing is told."""
    assert working(wish(), FINE, [rule("other.foo.svc.cluster.local")]) == ()
    assert contained(wish(), FINE) == ()


def test_nothing_known() -> None:
    """What could not be read is no defect."""
    assert working(wish(), Facts(), ()) == ()
    assert contained(wish(), Facts()) == ()


@given(st.sampled_from(MODES), st.sampled_from(MODES), st.booleans(), st.sampled_from(MODES), st.sampled_from(MODES))
def test_protection(own: str, root: str, selects: bool, second: str, port: str) -> None:
    """STRICT it is by the namespace's own policy, else the mesh's, the oldest of each; one for some workloads is told apart."""
    selector: dict[str, Any] = {"selector": {"matchLabels": {"app": "x"}}} if selects else {}
    found = protection_of(
        [
            peer(second, name="later", created="2"),
            peer(own, **selector),
            peer(name="port", created="3", portLevelMtls={"80": {"mode": port}}),
        ],
        [peer(root)],
    )
    known = [one for one in ((second if selects else own), root) if one not in ("", "UNSET")]
    assert found.mode == (known[0] if known else "PERMISSIVE")
    weak = {"PERMISSIVE", "DISABLE"}
    assert ("default" in found.weaker) == (selects and own in weak)
    assert ("port" in found.weaker) == (port in weak)


@pytest.mark.parametrize("protection", [Protection("PERMISSIVE", ()), Protection("STRICT", ("some",))])
def test_not_strict(protection: Protection) -> None:
    """A server that isn't STRICT is told."""
    assert codes(_with(protection=protection)) == ["ServerNotStrict"]


def _with(**changes: object) -> Facts:
    return replace(FINE, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("hosted", "code"),
    [
        (Hosted("", (), ()), "HostNotFound"),
        (Hosted("Service", (".",), ("http",)), "HostHidden"),
        (Hosted("ServiceEntry", ("other", "foo"), ("HTTP",)), "HostHidden"),
    ],
)
def test_unseen(hosted: Hosted, code: str) -> None:
    """A host that is not there, or that the client's proxies do not see, is told."""
    assert codes(_with(hosted={HOSTS[0]: hosted})) == [code]


@pytest.mark.parametrize("export_to", [(), ("*",), ("gateways",), (".", "gateways")])
def test_seen(export_to: tuple[str, ...]) -> None:
    """One that they see is not."""
    assert codes(_with(hosted={HOSTS[0]: Hosted("Service", export_to, ("http",))})) == []


@pytest.mark.parametrize(
    ("hosts", "cut"),
    [
        (("./*",), True),
        (("bar/*", "istio-system/*"), True),
        (("foo/other.foo.svc.cluster.local",), True),
        (("foo/*",), False),
        (("*/*",), False),
        ((f"foo/{HOSTS[0]}",), False),
        (("*/*.foo.svc.cluster.local",), False),
        ((), False),
    ],
)
def test_sidecars(hosts: tuple[str, ...], cut: bool) -> None:
    """A Sidecar of the client that leaves the server out is told; one for other Pods is not."""
    whole = sidecar_of({"metadata": {"name": "s"}, "spec": {"egress": [{"hosts": list(hosts)}]}})
    assert codes(_with(sidecars=(whole,))) == (["HostHidden"] if cut else [])
    others = Sidecar("o", {"app": "other"}, ("./*",))
    assert codes(_with(sidecars=(others,))) == []
    own = Sidecar("mine", {"istio": "ingressgateway"}, ("*/*",))
    assert codes(_with(sidecars=(whole, own))) == []


@pytest.mark.parametrize(
    ("host", "ours", "front"),
    [
        (HOSTS[0], HOSTS[0], True),
        (HOSTS[0], "*.foo.svc.cluster.local", True),
        ("*.foo.svc.cluster.local", HOSTS[0], False),
        ("*.svc.cluster.local", "*.foo.svc.cluster.local", False),
        (HOSTS[1], HOSTS[0], False),
    ],
)
def test_in_front(host: str, ours: str, front: bool) -> None:
    """A rule of the client's namespace with the same or a longer name is told; a bridge's own rule is not."""
    assert codes(FINE, rule(host), hosts=(ours,)) == (["RuleInFront"] if front else [])
    assert codes(FINE, rule(host, labels={"mesh-signer.dev/bridge-uid": "bridge"}), hosts=(ours,)) == []
    theirs = rule(host, labels={"mesh-signer.dev/bridge-uid": "another bridge"})
    assert codes(FINE, theirs, hosts=(ours,)) == (["RuleInFront"] if front else [])
    assert codes(FINE, rule(host, selector={"app": "another"}), hosts=(ours,)) == []
    own = rule(host, selector={"istio": "ingressgateway"})
    assert codes(FINE, own, hosts=(ours,)) == (["RuleInFront"] if front else [])


def test_rights() -> None:
    """An account without the right to its Secrets is told, and one with the right to all."""
    assert codes(_with(lists_own=False)) == ["NoRightToSecrets"]
    assert [one.code for one in contained(wish(), _with(lists_all=True))] == ["WideRightToSecrets"]


@pytest.mark.parametrize(
    ("protocols", "tcp"),
    [(("http", "grpc"), False), (("HTTP2",), False), (("tcp",), True), (("",), True), (("http", "mongo"), True)],
)
def test_open_connections(protocols: tuple[str, ...], tcp: bool) -> None:
    """Ports that are not HTTP outlive the end."""
    found = contained(wish(), _with(hosted={HOSTS[0]: Hosted("Service", (), protocols)}))
    assert [one.code for one in found] == (["OpenConnections"] if tcp else [])


def test_all_services() -> None:
    """A bridge to everything says so."""
    assert [one.code for one in contained(wish(HOSTS[3]), FINE)] == ["AllServices"]


@given(
    st.recursive(
        st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_what_others_wrote(text: object) -> None:
    """Whatever stands in such objects, reading them does not fail."""
    obj = {"metadata": text, "spec": text}
    protection_of([obj], [obj])
    sidecar_of(obj)
