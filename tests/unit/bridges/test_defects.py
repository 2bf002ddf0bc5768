"""What would make a bridge fail or leak: each kind is told with its remedy, and nothing is told where nothing is wrong."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as replace_meta

from signer.api.destinationrule import DestinationRule
from signer.bridges.defects import (
    Facts,
    Hosted,
    Protection,
    Sidecar,
    contained,
    in_front,
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


CLIENT = {"istio": "ingressgateway"}
selectors = st.sampled_from((None, CLIENT, {"app": "another"}, {}))
exports = st.sampled_from(((), ("*",), (".",), ("gateways",), ("bar",), (".", "bar")))


@st.composite
def theirs(draw: st.DrawFn) -> DestinationRule:
    meta = {
        "name": draw(st.sampled_from("az")),
        "namespace": "gateways",
        "labels": draw(st.sampled_from(({}, {"mesh-signer.dev/bridge-uid": "another bridge"}))),
        "creationTimestamp": draw(st.sampled_from("024")),
        "annotations": {"mesh-signer.dev/bridge": "foo/another"},
    }
    spec: dict[str, Any] = {"host": draw(st.sampled_from((*HOSTS, "*.svc.cluster.local")))}
    if (selector := draw(selectors)) is not None:
        spec["workloadSelector"] = {"matchLabels": selector}
    spec["exportTo"] = list(draw(exports))
    return msgspec.convert({"metadata": meta, "spec": spec}, DestinationRule)


def own_rules(hosts: tuple[str, ...]) -> list[DestinationRule]:
    meta = {"namespace": "gateways", "labels": {"mesh-signer.dev/bridge-uid": "bridge"}, "creationTimestamp": "2"}
    spec = {"workloadSelector": {"matchLabels": CLIENT}, "exportTo": ["."]}
    return [
        msgspec.convert({"metadata": {**meta, "name": f"m{index}"}, "spec": {**spec, "host": host}}, DestinationRule)
        for index, host in enumerate(hosts)
    ]


def istios_choice(rules: list[DestinationRule], service: str, *, at_root: bool) -> DestinationRule | None:
    """Which rule of its own namespace a proxy of the client's goes by for a service, as pilot/pkg/model does it, step by step."""
    pool = []
    for one in rules:
        exported = set(one.spec.export_to) if one.spec.workload_selector is None else {"."}
        private = len(exported) == 1 and exported <= {".", "gateways"}
        if private if at_root else not exported or exported & {"*", ".", "gateways"}:
            pool.append(one)
    hosts = {one.spec.host for one in pool}
    if service in hosts:
        matched = service
    else:
        wild = [one for one in hosts if one.startswith("*.") and service.endswith(one[1:])]
        if not wild:
            return None
        matched = max(wild, key=len)
    group = sorted(
        (one for one in pool if one.spec.host == matched),
        key=lambda one: (one.spec.workload_selector is None, one.metadata.creation_timestamp, one.metadata.name),
    )
    fallback = None
    for one in group:
        selector = one.spec.workload_selector
        if selector is None:
            fallback = fallback or one
        elif selector.match_labels.items() <= CLIENT.items():
            return one
    return fallback


@given(
    st.lists(st.sampled_from(HOSTS), min_size=1, max_size=2, unique=True).map(tuple),
    st.lists(theirs(), max_size=4),
    st.booleans(),
)
def test_in_front(hosts: tuple[str, ...], others: list[DestinationRule], at_root: bool) -> None:
    """A rule in front is told where Istio takes another than the bridge's for one of its hosts, and nowhere else."""
    mine = own_rules(hosts)
    root = "gateways" if at_root else "istio-system"
    found = in_front(wish(*hosts), [*others, *mine], root)
    hidden = False
    for host in hosts:
        # A "*." host is each service that has a rule of its own, and one that has none.
        below = [one for one in HOSTS[:3] if one not in hosts] if host.startswith("*.") else []
        for service in [host.replace("*", "some"), *below]:
            chosen = istios_choice([*others, *mine], service, at_root=at_root)
            hidden = hidden or chosen is None or chosen not in mine
    assert (found is not None) == hidden


def test_whose_rule_it_is() -> None:
    """Of a second bridge for one host the TenantBridge is named, not the rule, which would come back; of others the rule."""
    another = {"mesh-signer.dev/bridge-uid": "another"}
    theirs = rule(HOSTS[0], selector=CLIENT, labels=another)
    found = in_front(wish(), [theirs], "istio-system")
    assert found is not None
    assert "DestinationRule theirs" in found.message
    meta = replace_meta(theirs.metadata, annotations={"mesh-signer.dev/bridge": "foo/second"})
    found = in_front(wish(), [replace_meta(theirs, metadata=meta)], "istio-system")
    assert found is not None
    assert "TenantBridge 'foo/second'" in found.message
    assert "DestinationRule" not in found.message


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
