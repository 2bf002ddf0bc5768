"""One shared gateway for all tenants, on a real mesh: by bridges alone, as long as both hands hold, and for nobody else."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.crossings import Crossing, gateway_of, public, route
from tests.localmesh.asking import Answer
from tests.localmesh.bridges import FILES, bridge, policy
from tests.localmesh.demo import command
from tests.localmesh.gateway import SELECTOR
from tests.localmesh.istio_install import NAMESPACE
from tests.localmesh.mesh import Mesh
from tests.localmesh.workload import Workload

pytestmark = pytest.mark.e2e

TENANTS = ("foo", "bar")


@pytest.fixture(scope="module")
def crossing(mesh: Mesh, task: dict[str, Workload]) -> Iterator[Crossing]:  # noqa: ARG001 - the tenants' workloads
    """The shared gateway with both tenants' public hosts on it, and no bridge."""
    gateway = mesh.place_gateway()
    found = Crossing(mesh, gateway)
    written = [
        gateway_of(NAMESPACE, "public", *map(public, TENANTS)),
        *(
            route(NAMESPACE, tenant, public(tenant), f"httpbin.{tenant}.svc.cluster.local", f"{NAMESPACE}/public")
            for tenant in TENANTS
        ),
    ]
    try:
        mesh.wait_ready(gateway)
        found.apply(*written)
        yield found
    finally:
        found.delete(*(bridge(tenant) for tenant in TENANTS), policy(*TENANTS), *written)
        mesh.remove(gateway)


class TestSharedGateway:
    def test_closed_before(self, crossing: Crossing) -> None:
        """Without a bridge no tenant takes the gateway's certificate."""
        for tenant in TENANTS:
            crossing.shut(public(tenant))

    def test_open(self, crossing: Crossing, task: dict[str, Workload]) -> None:
        """With both hands each tenant's workload answers on its public host, and one tenant still can't reach the other."""
        crossing.apply(policy(*TENANTS), *map(bridge, TENANTS))
        for tenant in TENANTS:
            crossing.open(tenant)
        for source, target in (("foo", "bar"), ("bar", "foo")):
            assert task[f"curl.{source}"].ask(f"httpbin.{target}").refused_by_tls

    def test_the_matrix(self, crossing: Crossing) -> None:
        """`tenants --matrix` says who can reach whom, and by what: within a tenant by its root, from the gateway by bridges."""
        crossing.apply(policy(*TENANTS), *map(bridge, TENANTS))
        for tenant in TENANTS:
            crossing.open(tenant)
        rows = json.loads(command(crossing.mesh, "tenants", "--matrix", "-o", "json"))
        found = {(tuple(row["from"]), tuple(row["to"]), row["kind"]) for row in rows if row["status"] == "open"}
        for tenant in TENANTS:
            assert ((tenant,), (tenant,), "one root") in found
            assert (("istio-system/istio-ingressgateway",), (tenant,), "bridge") in found
        assert not [one for one in found if "foo" in "".join(one[0]) and "bar" in "".join(one[1])]

    def test_rotation(self, crossing: Crossing) -> None:
        """While the client's certificate is renewed twice no request over the bridge fails."""
        crossing.apply(policy(*TENANTS), bridge("foo", lifetime="1m"))
        crossing.open("foo")
        serials = {crossing.serial("foo")}
        answers: list[Answer] = []

        def renewed() -> bool:
            answers.append(crossing.visit(public("foo")))
            serials.add(crossing.serial("foo"))
            return len(serials) > 2

        crossing.cluster.wait_for(renewed, "two new certificates", 240)
        assert [str(one) for one in answers if one.status != 200] == []
        assert len(answers) > 50

    def test_one_end(self, crossing: Crossing) -> None:
        """The server's tenant ends its bridge: its host is shut, and the other tenant's stays open."""
        crossing.apply(policy(*TENANTS), *map(bridge, TENANTS))
        for tenant in TENANTS:
            crossing.open(tenant)
        crossing.delete(bridge("foo"))
        crossing.shut(public("foo"))
        assert crossing.visit(public("bar")).status == 200

    def test_the_admins_end(self, crossing: Crossing) -> None:
        """An admin takes the policy away, and every host is shut."""
        crossing.apply(policy(*TENANTS), *map(bridge, TENANTS))
        for tenant in TENANTS:
            crossing.open(tenant)
        crossing.delete(policy(*TENANTS))
        for tenant in TENANTS:
            crossing.shut(public(tenant))


class TestSidecar:
    def test_another_tenants_service(self, mesh: Mesh, crossing: Crossing, task: dict[str, Workload]) -> None:
        """A sidecar of bar's reaches foo's service over a bridge for its account; bar's other workloads don't."""
        secrets = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": "guest", "namespace": "bar"},
            "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "watch", "list"]}],
        }
        may = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "guest", "namespace": "bar"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "guest"},
            "subjects": [{"kind": "ServiceAccount", "name": "guest", "namespace": "bar"}],
        }
        made = bridge("foo", name="guest", client=("bar", "guest"))
        made["spec"]["client"]["matchLabels"] = {"app": "guest"}
        opening = policy("foo", name="guest", client=("bar", "guest"))
        guest = mesh.place("guest", "bar", "bar")
        try:
            mesh.wait_ready(guest)
            assert guest.ask("httpbin.foo").refused_by_tls
            crossing.apply(secrets, may, opening, made)
            mesh.cluster.wait_for(lambda: guest.ask("httpbin.foo").status == 200, "foo's service for bar's guest", 60)
            assert guest.ask("httpbin.bar").status == 200
            assert task["curl.bar"].ask("httpbin.foo").refused_by_tls
            crossing.delete(made)
            mesh.cluster.wait_for(lambda: guest.ask("httpbin.foo").refused_by_tls, "the end of the bridge", 60)
        finally:
            crossing.delete(made, opening, may, secrets)
            mesh.remove(guest)


THIEF = "thief.example.com"
THIEVES = "bar-admin"
FOO = "httpbin.foo.svc.cluster.local"
CREDENTIAL = "mesh-signer-bridge-foo.ingress"
POLICIES = FILES[2:]


def entry(task: dict[str, Workload]) -> dict[str, Any]:
    """A ServiceEntry of bar's with the address of foo's server behind a name of bar's own."""
    spec = {
        "hosts": ["stolen.bar.svc.cluster.local"],
        "location": "MESH_INTERNAL",
        "resolution": "STATIC",
        "ports": [{"number": 8000, "protocol": "HTTP", "name": "http"}],
        "endpoints": [{"address": task["httpbin.foo"].address, "labels": {"security.istio.io/tlsMode": "istio"}}],
    }
    return istio("ServiceEntry", "stolen", spec)


def istio(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """An object of bar's."""
    meta = {"name": name, "namespace": "bar"}
    return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": meta, "spec": spec}


def ways(task: dict[str, Workload]) -> dict[str, list[dict[str, Any]]]:
    """What bar writes in its own namespace to reach foo by the gateway's hand: each way as the object that counts, last."""
    door = gateway_of("bar", "thief", THIEF)
    tls = {
        "mode": "MUTUAL",
        "credentialName": CREDENTIAL,
        "subjectAltNames": [task["httpbin.foo"].spiffe_id],
        "sni": FOO,
    }
    alias = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "alias", "namespace": "bar"},
        "spec": {"type": "ExternalName", "externalName": FOO, "ports": [{"name": "http", "port": 8000}]},
    }
    stolen = "stolen.bar.svc.cluster.local"
    return {
        "a route": [door, route("bar", "thief", THIEF, FOO)],
        "a rewritten authority": [door, route("bar", "thief", THIEF, FOO, rewrite={"authority": public("foo")})],
        "the credential": [
            door,
            entry(task),
            route("bar", "thief", THIEF, stolen),
            istio("DestinationRule", "stolen", {"host": stolen, "trafficPolicy": {"tls": tls}}),
        ],
        "an alias": [door, route("bar", "thief", THIEF, "alias.bar.svc.cluster.local"), alias],
    }


WAYS = ("a route", "a rewritten authority", "the credential", "an alias")


@pytest.fixture(scope="module")
def bridged(crossing: Crossing) -> Crossing:
    """A bridge to foo alone; bar has an admin of its own namespace, who has no other rights."""
    crossing.delete(bridge("bar"))
    crossing.apply(policy(*TENANTS), bridge("foo"))
    crossing.open("foo")
    crossing.cluster.kubectl(
        "create", "rolebinding", "thief", "-n", "bar", "--clusterrole=cluster-admin", f"--user={THIEVES}"
    )
    return crossing


class TestConfusedDeputy:
    """Bar has the gateway reach foo for it: each way works without our policies, and none with them."""

    @pytest.mark.parametrize("way", WAYS)
    def test_without_our_policies(self, bridged: Crossing, task: dict[str, Workload], way: str) -> None:
        """The control: istiod and RBAC alone stop none of it, so the policies are not there for nothing."""
        written = ways(task)[way]
        assert bridged.write_as(THIEVES, *written) == ""
        try:
            found = bridged.until(f"foo's page by {way}", lambda one: one.status == 200, THIEF)
            assert found.text.splitlines()[-1] == "httpbin.foo"
        finally:
            bridged.delete(*written)
            # The next way begins where none is open.
            bridged.until(f"the end of {way}", lambda one: one.status != 200, THIEF)

    @pytest.mark.parametrize("way", WAYS)
    def test_with_them(self, bridged: Crossing, guarded: None, task: dict[str, Workload], way: str) -> None:  # noqa: ARG002 - the policies
        """With them the API server does not take it, and the gateway does not go there; foo's own host stays open."""
        written = ways(task)[way]
        try:
            assert "lacks the verb" in bridged.write_as(THIEVES, *written)
            assert bridged.visit(THIEF).status != 200
            assert bridged.visit(public("foo")).status == 200
        finally:
            bridged.delete(*written)

    def test_an_account_and_label_of_its_own(self, bridged: Crossing) -> None:
        """A Pod of bar's with the gateway's label and account name is not the gateway: the rule is not there, nor the Secret."""
        mesh = bridged.mesh
        other = mesh.place("disguised", "bar", "bar", service_account="istio-ingressgateway", labels=SELECTOR)
        try:
            mesh.wait_ready(other)
            assert other.ask("httpbin.foo").refused_by_tls
        finally:
            mesh.remove(other)

    def test_foos_own_word(self, bridged: Crossing) -> None:
        """Foo sees the gateway's own identity, and its AuthorizationPolicy decides."""
        allow = {
            "apiVersion": "security.istio.io/v1",
            "kind": "AuthorizationPolicy",
            "metadata": {"name": "guests", "namespace": "foo"},
        }
        rules = {"foo": "cluster.local/ns/foo/*", "gateway": "cluster.local/ns/istio-system/sa/istio-ingressgateway"}

        def permit(*who: str) -> None:
            source = {"source": {"principals": [rules[one] for one in who]}}
            bridged.apply(allow | {"spec": {"action": "ALLOW", "rules": [{"from": [source]}]}})

        try:
            permit("foo")
            bridged.until("a refusal by foo's policy", lambda one: one.status == 403, public("foo"))
            permit("foo", "gateway")
            bridged.open("foo")
        finally:
            bridged.delete(allow)


@pytest.fixture(scope="module")
def guarded(bridged: Crossing, task: dict[str, Workload]) -> Iterator[None]:
    """Our policies, in force."""
    for path in POLICIES:
        bridged.cluster.apply(path)
    probes = ways(task)

    def in_force() -> bool:
        found = [bridged.write_as(THIEVES, probes[way][-1]) for way in ("a route", "the credential")]
        bridged.delete(*(probes[way][-1] for way in ("a route", "the credential")))
        return all("lacks the verb" in one for one in found)

    bridged.cluster.wait_for(in_force, "the policies of bridges", 60)
    yield
    for path in POLICIES:
        bridged.cluster.kubectl("delete", "-f", path)
