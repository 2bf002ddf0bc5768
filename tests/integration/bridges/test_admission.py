"""The admission policies of bridges on a real API server: what a tenant, with all rights in its namespace, can't write."""

import json
from typing import Any

import pytest

from tests.integration.bridges.admission import (
    CONTROLLERS,
    CREDENTIAL,
    FOO,
    destination_rule,
    external_name,
    gateway,
    named,
    refusal,
    service_entry,
    virtual_service,
)
from tests.localmesh import LocalCluster, LocalMeshError

pytestmark = pytest.mark.integration

MIRROR = {"route": [{"destination": {"host": "own"}}], "mirror": {"host": FOO}}
MIRRORS = {"route": [{"destination": {"host": "own"}}], "mirrors": [{"destination": {"host": FOO}}]}
TCP = {"route": [{"destination": {"host": FOO}}]}
TLS = {"match": [{"port": 443, "sniHosts": ["a.example.com"]}], "route": [{"destination": {"host": FOO}}]}
ROUTES = {
    "a route": virtual_service(FOO),
    "in capitals": virtual_service("HTTPBIN.Foo.SVC.cluster.local"),
    "without a domain": virtual_service("httpbin.foo.svc"),
    "with a rewritten authority": virtual_service(
        http=[{"route": [{"destination": {"host": FOO}}], "rewrite": {"authority": "httpbin.foo"}}]
    ),
    "behind a good one": virtual_service(
        http=[{"route": [{"destination": {"host": "own"}}]}, {"route": [{"destination": {"host": FOO}}]}]
    ),
    "a second destination": virtual_service(
        http=[{"route": [{"destination": {"host": one}, "weight": 50} for one in ("own", FOO)]}]
    ),
    "a mirror": virtual_service(http=[MIRROR]),
    "one of several mirrors": virtual_service(http=[MIRRORS]),
    "in TCP": virtual_service(http=None, tcp=[TCP]),
    "in TLS": virtual_service(http=None, tls=[TLS]),
    "one to delegate to": virtual_service(FOO, hosts=None, gateways=None),
    "a delegation": virtual_service(http=[{"delegate": {"name": "theirs", "namespace": "foo"}}]),
    "beside the mesh": virtual_service(FOO, gateways=["mesh", "mine"]),
    "a name of foo's": service_entry("evil.foo.svc.cluster.local"),
    "all names of foo": service_entry("*.foo.svc.cluster.local"),
    "all names": service_entry("*.svc.cluster.local"),
    "a name beside an honest one": service_entry("a.example.com", "httpbin.foo.svc.cluster.local"),
    "an alias": external_name(FOO),
    "for the sidecars of others": virtual_service(FOO, gateways=["mesh"]),
    "for them, as it is by default": virtual_service(FOO, gateways=None),
    "for them and its own": virtual_service(FOO, gateways=None, exportTo=[".", "foo"]),
    "for a gateway of its own": virtual_service(FOO, exportTo=["."]),
    "one to delegate to at home": virtual_service(FOO, hosts=None, gateways=None, exportTo=["."]),
}
CREDENTIALS = {
    "a rule": destination_rule(CREDENTIAL),
    "with a scheme": destination_rule(f"kubernetes://{CREDENTIAL}"),
    "with a namespace": destination_rule(f"kubernetes://istio-system/{CREDENTIAL}"),
    "a port's": named(
        "DestinationRule",
        {
            "host": "a.example.com",
            "trafficPolicy": {
                "portLevelSettings": [{"port": {"number": 80}, "tls": {"mode": "MUTUAL", "credentialName": CREDENTIAL}}]
            },
        },
    ),
    "a subset's": named(
        "DestinationRule",
        {
            "host": "a.example.com",
            "subsets": [{"name": "a", "trafficPolicy": {"tls": {"mode": "MUTUAL", "credentialName": CREDENTIAL}}}],
        },
    ),
    "a Gateway's": gateway(credentialName=CREDENTIAL),
    "several of a Gateway": gateway(credentialNames=["own", CREDENTIAL]),
}
HONEST = {
    "a route to its own service": virtual_service("own"),
    "by its full name": virtual_service("own.bar.svc.cluster.local"),
    "to the world outside": virtual_service("api.example.com"),
    "to a short name elsewhere": virtual_service("example.com"),
    "for its own sidecars": virtual_service(FOO, gateways=["mesh"], exportTo=["."]),
    "for its own, by name": virtual_service(FOO, gateways=None, exportTo=["bar"]),
    "for sidecars, to its own service": virtual_service("own", gateways=["mesh"]),
    "an answer of the gateway's own": virtual_service(http=[{"directResponse": {"status": 200}}]),
    "a delegation at home": virtual_service(http=[{"delegate": {"name": "mine"}}]),
    "a service outside": service_entry("api.example.com", "*.example.com"),
    "a name of its own": service_entry("other.bar.svc.cluster.local"),
    "an alias of the world outside": external_name("db.example.com"),
    "a credential of its own": destination_rule("mine"),
    "a Gateway's own": gateway(credentialName="mine"),
}


class TestRoutes:
    @pytest.mark.parametrize("way", ROUTES)
    def test_refused(self, tenants: LocalCluster, way: str) -> None:
        """Whoever has all rights in bar alone leads no gateway to a service of foo's, in whatever form."""
        assert "lacks the verb route" in refusal(tenants, "bar-admin", ROUTES[way])

    def test_given_by_the_servers_tenant(self, tenants: LocalCluster) -> None:
        """The server's tenant lets somebody route to it, by a role in its own namespace."""
        where = ("-n", "foo", "--as=foo-admin")
        tenants.kubectl("create", "role", "route", "--verb=route", "--resource=tenantbridges.mesh-signer.dev", *where)
        tenants.kubectl("create", "rolebinding", "route", "--role=route", "--user=bar-admin", *where)
        try:
            tenants.wait_for(lambda: refusal(tenants, "bar-admin", ROUTES["a route"]) == "", "the right to route", 60)
            assert "lacks the verb route" in refusal(tenants, "bar-admin", service_entry("*.svc.cluster.local"))
        finally:
            tenants.kubectl("delete", "rolebinding/route", "role/route", "-n", "foo")

        def withdrawn() -> bool:
            return "lacks the verb route" in refusal(tenants, "bar-admin", ROUTES["a route"])

        tenants.wait_for(withdrawn, "the end of that right", 60)

    def test_an_admins_route(self, tenants: LocalCluster) -> None:
        """Who administers the cluster routes as he likes."""
        assert refusal(tenants, "admin", ROUTES["a route"] | {}) != "", "a made-up user has no rights at all"
        tenants.kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(ROUTES["a route"]))


class TestCredentials:
    @pytest.mark.parametrize("way", CREDENTIALS)
    def test_refused(self, tenants: LocalCluster, way: str) -> None:
        """Nobody but mesh-signer names a bridge's Secret, at whatever place."""
        assert "lacks the verb credential" in refusal(tenants, "bar-admin", CREDENTIALS[way])

    @pytest.mark.parametrize(
        "metadata", [{"name": "mesh-signer-bridge-mine"}, {"labels": {"mesh-signer.dev/bridge-uid": "x"}}]
    )
    def test_names_and_labels(self, tenants: LocalCluster, metadata: dict[str, Any]) -> None:
        """A rule that looks like a bridge's is written by mesh-signer alone."""
        one = destination_rule("mine")
        one["metadata"] |= metadata
        assert "are for what mesh-signer makes" in refusal(tenants, "bar-admin", one)


@pytest.mark.parametrize("cascade", ["foreground", "orphan"])
def test_a_rule_deleted_for_good(tenants: LocalCluster, cascade: str) -> None:
    """A bridge's rule that was deleted in any way goes: the garbage collector takes the finalizer, and changes nothing else."""
    rule = bridge_rule()
    rule["metadata"]["finalizers"] = ["a.example/hold"]
    which = ["destinationrule", rule["metadata"]["name"], "-n", "bar"]
    tenants.kubectl("create", f"--as={CONTROLLERS}", "-f", "-", input=json.dumps(rule))
    patch = ["patch", *which, "--type=merge", "--as=system:serviceaccount:kube-system:generic-garbage-collector", "-p"]
    collect: dict[str, Any] = {"metadata": {"finalizers": []}}
    with pytest.raises(LocalMeshError, match="bridge-credentials"):
        tenants.kubectl(*patch, json.dumps({"metadata": {"finalizers": []}}))
    tenants.kubectl("delete", *which, f"--cascade={cascade}", "--wait=false")
    left = ["get", *which, "-o", "jsonpath={.metadata.finalizers}"]
    tenants.wait_for(lambda: tenants.kubectl(*left) == '["a.example/hold"]', "the garbage collector's part", 60)
    for more in ({"spec": {"exportTo": ["*"]}}, {"metadata": {"finalizers": [], "labels": {"a": "b"}}}):
        with pytest.raises(LocalMeshError, match="bridge-credentials"):
            tenants.kubectl(*patch, json.dumps(collect | more))
    tenants.kubectl(*patch, json.dumps(collect))
    assert rule["metadata"]["name"] not in tenants.kubectl("get", "destinationrules", "-n", "bar", "-o", "name")


@pytest.mark.parametrize("way", HONEST)
def test_honest(tenants: LocalCluster, way: str) -> None:
    """What has nothing to do with other tenants is written as ever."""
    assert refusal(tenants, "bar-admin", HONEST[way]) == ""


class TestOurToken:
    def test_nothing_but_bridges(self, tenants: LocalCluster) -> None:
        """Whoever got hold of the controllers' token writes no other rule than a bridge's, and none that weakens TLS."""
        good = bridge_rule()
        assert refusal(tenants, CONTROLLERS, good) == ""
        renamed: list[dict[str, Any]] = [{"name": "other"}, {"labels": {}}]
        for wrong in renamed:
            assert "mesh-signer.dev" in refusal(tenants, CONTROLLERS, good | {"metadata": good["metadata"] | wrong})
        for path, value in (
            ("exportTo", ["*"]),
            ("exportTo", None),
            ("workloadSelector", None),
            ("trafficPolicy", {"tls": {"mode": "DISABLE"}}),
            ("trafficPolicy", None),
            ("subsets", [{"name": "a", "trafficPolicy": {"tls": {"mode": "DISABLE"}}}]),
        ):
            spec = {key: one for key, one in {**good["spec"], path: value}.items() if one is not None}
            assert "mesh-signer.dev" in refusal(tenants, CONTROLLERS, good | {"spec": spec}), (path, value)


def bridge_rule() -> dict[str, Any]:
    tls = {
        "mode": "MUTUAL",
        "credentialName": CREDENTIAL,
        "subjectAltNames": ["spiffe://cluster.local/ns/foo/sa/httpbin"],
        "sni": FOO,
    }
    spec = {
        "host": FOO,
        "exportTo": ["."],
        "workloadSelector": {"matchLabels": {"istio": "ingressgateway"}},
        "trafficPolicy": {"tls": tls},
    }
    return named("DestinationRule", spec, name=f"{CREDENTIAL}-0", labels={"mesh-signer.dev/bridge-uid": "u"})
