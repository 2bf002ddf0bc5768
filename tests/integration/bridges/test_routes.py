"""Who leads others to another namespace's service, by routes of the Gateway API and by wildcards: all forms that there are."""

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.integration.bridges.admission import FOO, NETWORKING, external_name, refused, service_entry, virtual_service
from tests.localmesh import LocalCluster

pytestmark = pytest.mark.integration

GROUP = "gateway.networking.k8s.io"
VERSIONS = {
    "HTTPRoute": ("v1", "v1beta1"),
    "GRPCRoute": ("v1",),
    "TCPRoute": ("v1", "v1alpha2"),
    "TLSRoute": ("v1", "v1alpha2", "v1alpha3"),
}
HOST = {"group": "networking.istio.io", "kind": "Hostname", "port": 8000}
ON_GATEWAY = [{"name": "shared", "namespace": "istio-system"}]
ON_SERVICE = [{"group": "", "kind": "Service", "name": "shop"}]
ITS_OWN = {"name": "own", "port": 8000}
OVER_THERE = {"name": "httpbin", "namespace": "foo", "port": 8000}
HOSTS = (FOO, "HTTPBIN.Foo.SVC.cluster.local", f"{FOO}.", "httpbin.foo.svc", "deep.httpbin.foo.svc.cluster.local")
OWN_HOSTS = ("own.bar.svc.cluster.local", "api.example.com", "own")


def route(kind: str, refs: list[Any], parents: list[Any], **rule: Any) -> dict[str, Any]:
    """A route of bar's."""
    spec = {"parentRefs": parents, "rules": [{"backendRefs": refs, **rule}]}
    if kind == "TLSRoute":
        spec["hostnames"] = ["a.example.com"]
    return {"kind": kind, "metadata": {"name": "mine", "namespace": "bar"}, "spec": spec}


def mirror(ref: dict[str, Any]) -> dict[str, Any]:
    return {"filters": [{"type": "RequestMirror", "requestMirror": {"backendRef": ref}}]}


def asked(kind: str, ref: dict[str, Any], parents: list[Any]) -> list[dict[str, Any]]:
    """Every place of a route where a backend may stand."""
    places = [route(kind, [ref], parents), route(kind, [ITS_OWN, ref], parents)]
    if kind in {"HTTPRoute", "GRPCRoute"}:
        places += [
            route(kind, [ITS_OWN], parents, **mirror(ref)),
            route(kind, [{**ITS_OWN, **mirror(ref)}], parents),
        ]
    if kind == "HTTPRoute":
        door = {"type": "ExternalAuth", "externalAuth": {"protocol": "HTTP", "http": {}, "backendRef": ref}}
        places.append(route(kind, [ITS_OWN], parents, filters=[door]))
    return places


def written(cluster: LocalCluster, kind: str, objects: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """What is said against each, in each version that there is."""
    found = []
    for version in VERSIONS[kind]:
        path = f"/apis/{GROUP}/{version}/namespaces/bar/{kind.lower()}s"
        made = [{"apiVersion": f"{GROUP}/{version}", **one} for one in objects]
        found += [
            (f"{version} {one['spec']}", said)
            for one, said in zip(made, refused(cluster, "bar-admin", path, *made), strict=True)
        ]
    return found


@pytest.mark.parametrize("kind", VERSIONS)
def test_led_elsewhere(tenants: LocalCluster, kind: str) -> None:
    """No route of the Gateway API leads others to foo by a host's name, in whatever place, version and letters.

    Nor does one for sidecars by foo's namespace, for which Istio asks no ReferenceGrant.
    """
    objects = [
        one
        for host, parents in itertools.product(HOSTS, (ON_GATEWAY, ON_SERVICE))
        if host == host.lower().rstrip(".") or kind == "HTTPRoute"
        for one in asked(kind, {**HOST, "name": host}, parents)
    ]
    objects += [one for parents in (ON_SERVICE, ON_GATEWAY + ON_SERVICE) for one in asked(kind, OVER_THERE, parents)]
    assert [one for one in written(tenants, kind, objects) if "lacks the verb route" not in one[1]] == []


@pytest.mark.parametrize("kind", VERSIONS)
def test_honest_routes(tenants: LocalCluster, kind: str) -> None:
    """What leads to its own services, outside, or where a ReferenceGrant of foo's is asked for, is written as ever."""
    refs = [ITS_OWN, {**OVER_THERE, "namespace": "bar"}, *({**HOST, "name": host} for host in OWN_HOSTS)]
    objects = [one for ref in refs for parents in (ON_GATEWAY, ON_SERVICE) for one in asked(kind, ref, parents)]
    objects += asked(kind, OVER_THERE, ON_GATEWAY)
    assert [one for one in written(tenants, kind, objects) if one[1]] == []


LABELS = st.sampled_from(("foo", "bar", "oo", "svc", "cluster", "local", "example", "com", "x"))
ENDS = [FOO[start:] for start in range(len(FOO) + 1)]


def reaches(host: str) -> bool:
    """Whether a host stands for a service of another namespace than bar's, as DNS compares them. Of the domains cluster.local."""
    host = host.lower().removesuffix(".")
    others = [f"x.{namespace}.svc.cluster.local" for namespace in ("foo", "oo", "svc", "cluster", "x", "other")]
    if host.startswith("*"):
        return any(one.endswith(host[1:]) for one in others)
    return host.endswith(".svc.cluster.local") and len(parts := host.split(".")) > 4 and parts[-4] != "bar"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.sampled_from(("", "*.", "*", "*-", "a.")), st.lists(LABELS, max_size=5)), min_size=1, max_size=8
    )
)
@example([("*", [end]) for end in ENDS if end and not end.startswith(".")])
def test_as_dns_compares(tenants: LocalCluster, drawn: list[tuple[str, list[str]]]) -> None:
    """Whatever ends as a service of another namespace's does is asked about, wherever a label begins."""
    hosts = ["".join((start, ".".join(labels))) for start, labels in drawn]
    asked = [host for host in hosts if host.strip(".-*") and reaches(host)]
    found = refused(
        tenants,
        "bar-admin",
        f"/apis/{NETWORKING}/namespaces/bar/serviceentries",
        *(service_entry(one) for one in asked),
    )
    assert [host for host, said in zip(asked, found, strict=True) if "lacks the verb route" not in said] == []


def test_every_end(tenants: LocalCluster) -> None:
    """A wildcard that ends as a name of foo's does, however short, is a name of foo's, for each kind that has names.

    A ServiceEntry for "*" alone is refused by Istio's own definition.
    """
    ends = [f"*{end}" for end in ENDS if end]
    entries = refused(
        tenants, "bar-admin", f"/apis/{NETWORKING}/namespaces/bar/serviceentries", *(service_entry(one) for one in ends)
    )
    routes = refused(
        tenants,
        "bar-admin",
        f"/apis/{NETWORKING}/namespaces/bar/virtualservices",
        *(virtual_service(one) for one in ends),
    )
    said = [(end, one) for end, one in zip([*ends, *ends], [*entries, *routes], strict=True)]
    assert [end for end, one in said if "lacks the verb route" not in one] == []
    alias = refused(tenants, "bar-admin", "/api/v1/namespaces/bar/services", external_name(f"{FOO}."))
    assert "lacks the verb route" in alias[0]
