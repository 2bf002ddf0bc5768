"""The mesh watcher on a real API server: what comes late, breaks, vanishes or is refused, and who owns a signer."""

import asyncio
import base64
import contextlib
import json
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from issuers.authority import Authority, load_authority
from signer.api.issuer import IssuerRef
from signer.authorities.registry import Registry
from signer.kube.access.config import load_config
from signer.kube.client import ApiClient
from signer.kube.clock import utc_now
from signer.kube.errors import Unreachable
from signer.mesh.reports import Reports
from signer.mesh.watcher import MeshWatcher
from signer.observe.events import EventRecorder
from signer.tenancy.verdict import Confirm
from signer.tenancy.world import Claims, ProxyConfigName, Settings, World
from tests import pki
from tests.faults.proxy import First, Proxy
from tests.localmesh import Cluster, LocalCluster
from tests.localmesh.errors import LocalMeshError
from tests.localmesh.install import install_crds

pytestmark = pytest.mark.integration

DOMAIN = "clusterissuers.cert-manager.io"
PATIENCE = 60.0  # a safety net for a busy machine
CRD = "crd/proxyconfigs.networking.istio.io"


def proxy_config_crd(*served: str) -> str:
    """Istio's definition, as far as the API server needs it here; the first version is the one that is stored."""
    versions = [
        {
            "name": name,
            "served": name in served,
            "storage": name == "v1beta1",
            "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
        }
        for name in ("v1beta1", "v1alpha9")
    ]
    names = {"kind": "ProxyConfig", "listKind": "ProxyConfigList", "plural": "proxyconfigs", "singular": "proxyconfig"}
    return json.dumps(
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "proxyconfigs.networking.istio.io"},
            "spec": {"group": "networking.istio.io", "names": names, "scope": "Namespaced", "versions": versions},
        }
    )


@pytest.fixture(scope="module")
def mesh() -> Iterator[Cluster]:
    """A cluster of its own, since definitions come and go here, with all that a mesh has."""
    with LocalCluster() as cluster:
        install_crds(cluster)
        cluster.create_namespace("cert-manager")
        yield cluster


@pytest.fixture
def claimed(mesh: Cluster) -> Cluster:
    """The cluster with Istio's definition of ProxyConfigs in the version of today."""
    mesh.apply(proxy_config_crd("v1beta1"))
    mesh.kubectl("wait", "--for=condition=Established", "--timeout=60s", CRD)
    mesh.wait_for(lambda: "proxyconfigs" in mesh.kubectl("api-resources", "--api-group=networking.istio.io"), CRD)
    return mesh


@dataclass
class Tenants:
    """One test's corner of the cluster: an Istio namespace, tenants and signers with names of their own."""

    cluster: Cluster
    token: str

    @property
    def istio(self) -> str:
        return f"istio-{self.token}"

    def name(self, tenant: str) -> str:
        return f"{tenant}-{self.token}"

    def ref(self, tenant: str) -> IssuerRef:
        return IssuerRef("ClusterIssuer", "", self.name(tenant))

    def namespace(self, tenant: str) -> str:
        self.cluster.create_namespace(self.name(tenant))
        return self.name(tenant)

    def mesh_config(self, *tenants: str, text: str = "") -> None:
        self.cluster.create_namespace(self.istio)
        signers = json.dumps([f"{DOMAIN}/{self.name(tenant)}" for tenant in tenants])
        self.config_map(text or f"caCertificates:\n- pem: x\n  certSigners: {signers}\n")

    def config_map(self, text: str, name: str = "istio") -> None:
        metadata = {"name": name, "namespace": self.istio}
        self._apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"mesh": text}})

    def claim(self, tenant: str, signer: str, name: str = "default", version: str = "v1beta1") -> None:
        spec = {"environmentVariables": {"ISTIO_META_CERT_SIGNER": self.name(signer)}}
        self.proxy_config(tenant, spec, name, version)

    def proxy_config(self, tenant: str, spec: Any, name: str = "default", version: str = "v1beta1") -> None:
        metadata = {"name": name, "namespace": self.name(tenant)}
        body = {"apiVersion": f"networking.istio.io/{version}", "kind": "ProxyConfig", "metadata": metadata}
        self._apply({**body, "spec": spec})

    def unclaim(self, tenant: str, name: str = "default") -> None:
        self.cluster.kubectl("delete", "proxyconfig", name, "-n", self.name(tenant))

    def policy(self, name: str, signer: IssuerRef) -> None:
        body = {"apiVersion": "mesh-signer.dev/v1alpha1", "kind": "SignerPolicy", "metadata": {"name": name}}
        self._apply(body | {"spec": {"signers": [f"{DOMAIN}/{signer.name}"]}})

    def issuer(self, name: str, made: pki.CA) -> None:
        name = self.name(name)
        data = {key: base64.b64encode(value).decode() for key, value in made.secret().items()}
        metadata = {"name": name, "namespace": "cert-manager"}
        self._apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data})
        body = {"apiVersion": "cert-manager.io/v1", "kind": "ClusterIssuer", "metadata": {"name": name}}
        self._apply(body | {"spec": {"ca": {"secretName": name}}})

    def binding(self, signer: str) -> Any:
        return self.cluster.get("signerbinding", self.name(signer))

    def uid(self, tenant: str) -> str:
        return str(self.cluster.get("namespace", self.name(tenant))["metadata"]["uid"])

    def events(self, namespace: str) -> list[Any]:
        found: list[Any] = self.cluster.get("events", "-n", namespace)["items"]
        return found

    def _apply(self, body: Any) -> None:
        self.cluster.apply(json.dumps(body))


@pytest.fixture
def tenants(claimed: Cluster) -> Iterator[Tenants]:
    made = Tenants(claimed, secrets.token_hex(4))
    yield made
    claimed.kubectl("delete", "signerbindings,signerpolicies", "--all")


@asynccontextmanager
async def watching(
    tenants: Tenants,
    *,
    kubeconfig: Path | None = None,
    speaks: bool = True,
    monotonic: Callable[[], float] = time.monotonic,
    **settings: Any,
) -> AsyncIterator[MeshWatcher]:
    config = await asyncio.to_thread(load_config, str(kubeconfig or tenants.cluster.kubeconfig()))
    async with ApiClient(config) as client, asyncio.TaskGroup() as tasks:
        registry = Registry(client, cluster_resource_namespace="cert-manager", clock=utc_now)
        recorder = EventRecorder(client, instance="test")
        watcher = MeshWatcher(
            client,
            registry,
            Reports(recorder, lambda: speaks),
            Settings(istio_namespace=tenants.istio, **settings),
            monotonic=monotonic,
        )
        parts = [tasks.create_task(part.run()) for part in (registry, recorder, watcher)]
        yield watcher
        for part in parts:
            part.cancel()
    # The loop ends with the test; TLS connections that were cancelled need a moment of it to close.
    await asyncio.sleep(0.5)


async def until(what: str, ask: Callable[[], Any]) -> Any:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE
    while not (found := ask()):
        assert loop.time() < deadline, f"{what}: not within {PATIENCE:.0f} s"
        await asyncio.sleep(0.05)
    return found


async def ready(watcher: MeshWatcher) -> World:
    await asyncio.wait_for(watcher.synced.wait(), PATIENCE)
    return watcher.world


class TestSources:
    async def test_all_of_it(self, tenants: Tenants) -> None:
        """Once everything was read the world has the mesh's signers, claims and requesters; later changes arrive too."""
        tenants.mesh_config("foo", "bar")
        tenants.namespace("foo")
        tenants.claim("foo", "foo")
        async with watching(tenants) as watcher:
            assert watcher.world.unsynced
            world = await ready(watcher)
            foo = tenants.name("foo")
            assert {tenants.ref("foo"), tenants.ref("bar")} <= world.signers
            assert world.claims[foo].whole == tenants.ref("foo")
            assert world.namespaces[foo].uid == tenants.uid("foo")
            account = f"system:serviceaccount:{tenants.istio}:istiod"
            assert world.requesters == {account}
            told: list[str] = []
            watcher.subscribe(lambda: told.append("changed"))
            tenants.config_map("{}", "istio-canary")
            await until("the revision", lambda: world.requesters == {account, f"{account}-canary"})
            assert told

    async def test_no_mesh_at_all(self, tenants: Tenants) -> None:
        """Without Istio's namespace and ConfigMaps there is a mesh without signers, and we are ready."""
        async with watching(tenants) as watcher:
            world = await ready(watcher)
            assert world.config.signers == frozenset()
            assert world.unsynced == ""

    async def test_the_definition_comes_and_goes(self, tenants: Tenants) -> None:
        """ProxyConfigs whose definition appears, changes its version or vanishes are followed without a restart."""
        cluster = tenants.cluster
        cluster.kubectl("delete", CRD)
        tenants.mesh_config("foo")
        tenants.namespace("foo")
        async with watching(tenants) as watcher:
            world = await ready(watcher)
            await until("no claims", lambda: world.claims == {})

            def soon(write: Callable[[], object]) -> None:
                """A definition that was just changed may be refused for a moment more, whatever discovery says."""

                def written() -> bool:
                    with contextlib.suppress(LocalMeshError):
                        write()
                        return True
                    return False

                cluster.wait_for(written, "the API server to take it", PATIENCE)

            def claims() -> bool:
                return tenants.name("foo") in world.claims

            def apply(*versions: str) -> None:
                cluster.apply(proxy_config_crd(*versions))
                cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", CRD)
                group = f"/apis/networking.istio.io/{versions[0]}"
                cluster.wait_for(lambda: "proxyconfigs" in cluster.kubectl("get", "--raw", group), group)

            await asyncio.to_thread(soon, lambda: apply("v1beta1"))
            await asyncio.to_thread(soon, lambda: tenants.claim("foo", "foo"))
            await until("the claim", claims)
            await asyncio.to_thread(soon, lambda: apply("v1alpha9"))
            await asyncio.to_thread(soon, lambda: tenants.proxy_config("foo", {}, "default", "v1alpha9"))
            await until("the claim's end in another version", lambda: claims() and not _signers(world, tenants, "foo"))
            await asyncio.to_thread(cluster.kubectl, "delete", CRD)
            await until("the definition's end", lambda: not claims() and world.unsynced == "")
            await asyncio.to_thread(apply, "v1beta1")
            await asyncio.to_thread(tenants.claim, "foo", "foo")
            await until("the claim in a new definition", claims)

    async def test_our_definitions_are_missing(self, tenants: Tenants) -> None:
        """Without our CRDs nothing is decided, and it says what to apply; with them it goes on by itself."""
        cluster = tenants.cluster
        tenants.mesh_config("foo")
        await asyncio.to_thread(
            cluster.kubectl, "delete", "crd/signerbindings.mesh-signer.dev", "crd/signerpolicies.mesh-signer.dev"
        )
        async with watching(tenants) as watcher:
            try:
                # The two are asked for one after the other: what is said of the first may come before the second is told.
                await until(
                    "what to do",
                    lambda: (
                        "kubectl apply -k manifests/crds" in watcher.world.unsynced
                        and "SignerPolicies" not in watcher.world.unsynced
                    ),
                )
            finally:
                await asyncio.to_thread(install_crds, cluster, again=True)
            assert (await ready(watcher)).unsynced == ""

    async def test_a_mesh_config_that_breaks(self, tenants: Tenants) -> None:
        """A mesh config that breaks is told by an Event on it; what it said before counts until it is mended."""
        tenants.mesh_config("foo")
        async with watching(tenants) as watcher:
            world = await ready(watcher)
            await asyncio.to_thread(tenants.config_map, "caCertificates: [")
            event = await asyncio.to_thread(
                tenants.cluster.wait_for,
                lambda: _event(tenants.events(tenants.istio), "ConfigMap"),
                "an Event",
                PATIENCE,
            )
            assert f"ConfigMap {tenants.istio}/istio: mesh: " in event["message"]
            assert tenants.ref("foo") in world.signers
            await asyncio.to_thread(tenants.mesh_config, "bar")
            await until("the mended one", lambda: world.config.signers == {tenants.ref("bar")})

    async def test_a_mesh_config_that_was_never_readable(self, tenants: Tenants) -> None:
        """A mesh config that cannot be read from the start is not an empty one: it is waited for, by its name."""
        tenants.mesh_config(text="- 1")
        async with watching(tenants) as watcher:
            where = f"ConfigMap {tenants.istio}/istio: mesh: "
            await until("the reason", lambda: where in watcher.world.unsynced)
            await asyncio.to_thread(tenants.mesh_config, "foo")
            assert tenants.ref("foo") in (await ready(watcher)).signers

    async def test_a_tenants_malformed_object(self, tenants: Tenants) -> None:
        """A ProxyConfig that cannot be read is told on itself, once for a version, and the others count all the same."""
        tenants.mesh_config("foo")
        for tenant in ("foo", "bar"):
            tenants.namespace(tenant)
        tenants.proxy_config("bar", {"environmentVariables": [1]}, "broken")
        tenants.claim("foo", "foo")
        async with watching(tenants) as watcher, watching(tenants, speaks=False) as silent:
            world = await ready(watcher)
            await ready(silent)
            assert world.claims[tenants.name("foo")].whole == tenants.ref("foo")
            event = await asyncio.to_thread(
                tenants.cluster.wait_for,
                lambda: _event(tenants.events(tenants.name("bar")), "ProxyConfig"),
                "an Event",
                PATIENCE,
            )
            assert (event["involvedObject"]["name"], event["reason"], event["count"]) == ("broken", "Malformed", 1)
            assert "spec.environmentVariables" in event["message"]

    async def test_silence(self, tenants: Tenants) -> None:
        """What was not heard of for five minutes is stale, and no longer so as soon as it is heard again."""
        late = 0.0
        async with watching(tenants, monotonic=lambda: time.monotonic() + late) as watcher:
            world = await ready(watcher)
            assert world.stale == frozenset()
            late = 200.0
            await asyncio.sleep(2)
            assert world.stale == frozenset()
            # A word may come in just when the clock jumps; it does not each time.
            for _ in range(20):
                late += 310.0
                await asyncio.sleep(2)
                if "Namespaces" in world.stale:
                    break
            assert "Namespaces" in world.stale
            assert world.unsynced == ""
            await asyncio.to_thread(tenants.namespace, "foo")
            await until("a word", lambda: "Namespaces" not in world.stale)

    async def test_rights_that_are_missing(self, tenants: Tenants) -> None:
        """A source that we may not read is not empty: we are not ready, and say which, until we may."""
        cluster = tenants.cluster
        tenants.mesh_config("foo")
        assert isinstance(cluster, LocalCluster)
        role = f"watcher-{tenants.token}"
        groups = ["cert-manager.io", "mesh-signer.dev", "networking.istio.io"]
        rules = [{"apiGroups": groups, "resources": ["*"], "verbs": ["*"]}]
        rules.append({"apiGroups": [""], "resources": ["secrets", "configmaps", "events"], "verbs": ["*"]})
        may: dict[str, Any] = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}
        may |= {"metadata": {"name": role}, "rules": rules}
        cluster.apply(json.dumps(may))
        cluster.kubectl("create", "clusterrolebinding", role, f"--clusterrole={role}", f"--user={role}")
        async with watching(tenants, kubeconfig=cluster.kubeconfig(role)) as watcher:
            await until("the refusal", lambda: "Namespaces (Forbidden" in watcher.world.unsynced)
            await until("the rest", lambda: watcher.world.unsynced.startswith("Namespaces"))
            assert not watcher.synced.is_set()
            rules.append({"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "watch"]})
            await asyncio.to_thread(cluster.apply, json.dumps(may))
            await ready(watcher)


class TestOwners:
    async def test_bound_as_soon_as_claimed(self, tenants: Tenants) -> None:
        """The namespace of the signer's name, else the only claimant, becomes the owner without any workload."""
        tenants.mesh_config("foo", "team")
        for tenant in ("foo", "bar"):
            tenants.namespace(tenant)
        tenants.claim("bar", "foo")
        async with watching(tenants) as watcher:
            world = await ready(watcher)
            await asyncio.to_thread(tenants.claim, "bar", "team", "other")
            await asyncio.to_thread(tenants.claim, "foo", "foo")
            await until("the owner of foo", lambda: tenants.ref("foo") in world.bindings)
            assert tenants.binding("foo")["spec"] == {
                "signerName": f"{DOMAIN}/{tenants.name('foo')}",
                "namespace": tenants.name("foo"),
                "namespaceUID": tenants.uid("foo"),
            }
            assert tenants.ref("team") not in world.bindings  # the older ProxyConfig without a selector counts
            await asyncio.to_thread(tenants.unclaim, "bar")
            await until("the owner of team", lambda: tenants.ref("team") in world.bindings)
            assert world.bindings[tenants.ref("team")].namespace == tenants.name("bar")

    async def test_several_claimants(self, tenants: Tenants) -> None:
        """A signer that several claim, and that has no namespace of its name, is nobody's until one is left."""
        tenants.mesh_config("team")
        for tenant in ("foo", "bar"):
            tenants.namespace(tenant)
            tenants.claim(tenant, "team")
        async with watching(tenants) as watcher:
            world = await ready(watcher)
            team = tenants.ref("team")
            await until("the claims", lambda: len(world.claimants.get(team, ())) == 2)
            await asyncio.sleep(2)
            assert team not in world.bindings
            await asyncio.to_thread(tenants.unclaim, "foo")
            await until("the last one", lambda: team in world.bindings)
            assert world.bindings[team].namespace == tenants.name("bar")

    async def test_two_replicas_at_once(self, tenants: Tenants, monkeypatch: pytest.MonkeyPatch) -> None:
        """Two replicas that bind one signer to two namespaces at once agree on one owner."""
        tenants.mesh_config("team")
        foo, bar = tenants.namespace("foo"), tenants.namespace("bar")
        team = tenants.ref("team")
        async with watching(tenants) as one, watching(tenants) as other:
            await ready(one)
            await ready(other)
            # Each has seen one claim, and not the other's yet, live neither.
            for watcher, namespace in ((one, foo), (other, bar)):
                monkeypatch.setattr(watcher.bindings, "_live", None)
                watcher.world.claims[namespace] = Claims(team, {team: ProxyConfigName("pc", "u")})
            await asyncio.gather(
                one.bind(team, foo, one.world.namespaces[foo].uid),
                other.bind(team, bar, other.world.namespaces[bar].uid),
            )
            owner = one.world.bindings[team].namespace
            assert other.world.bindings[team].namespace == owner
            assert tenants.binding("team")["spec"]["namespace"] == owner

    async def test_a_namespace_made_again(self, tenants: Tenants) -> None:
        """A namespace deleted and made again by someone else owns nothing of its forerunner, until an admin releases it."""
        tenants.mesh_config("foo")
        tenants.namespace("foo")
        tenants.claim("foo", "foo")
        foo = tenants.ref("foo")
        async with watching(tenants) as watcher:
            world = await ready(watcher)
            await until("the owner", lambda: foo in world.bindings)
            before = tenants.uid("foo")
            await asyncio.to_thread(tenants.cluster.kubectl, "delete", "namespace", tenants.name("foo"))
            await asyncio.to_thread(tenants.namespace, "foo")
            await asyncio.to_thread(tenants.claim, "foo", "foo")
            after = tenants.uid("foo")
            await until("the new namespace", lambda: world.namespaces[tenants.name("foo")].uid == after)
            await until("the claim's end", lambda: world.bindings[foo].claim_ended is not None)
            assert world.bindings[foo].namespace_uid == before != after
            await asyncio.to_thread(tenants.cluster.kubectl, "delete", "signerbinding", tenants.name("foo"))
            await until("the new owner", lambda: foo in world.bindings and world.bindings[foo].namespace_uid == after)

    async def test_the_end_of_a_claim(self, tenants: Tenants) -> None:
        """The end of a claim and the newest certificate are stored; a claim for a moment does not wipe out the end."""
        tenants.mesh_config("foo")
        tenants.namespace("foo")
        tenants.claim("foo", "foo")
        foo = tenants.ref("foo")
        async with watching(tenants) as watcher, watching(tenants) as second:
            world = await ready(watcher)
            await ready(second)
            await until("the owner", lambda: foo in world.bindings)
            now = datetime.now(UTC).replace(microsecond=0)
            watcher.issued(foo, tenants.name("foo"), now, "")

            def status(field: str) -> Any:
                return tenants.binding("foo").get("status", {}).get(field)

            async def stored(field: str) -> Any:
                return await asyncio.to_thread(
                    tenants.cluster.wait_for, lambda: status(field), f"status.{field}", PATIENCE
                )

            assert datetime.fromisoformat(await stored("lastIssuedTime")) == now
            await asyncio.to_thread(tenants.unclaim, "foo")
            ended = await stored("claimEndedTime")
            await asyncio.to_thread(tenants.claim, "foo", "foo")
            await until("the claim", lambda: tenants.name("foo") in world.claims)
            await asyncio.sleep(2)
            await asyncio.to_thread(tenants.unclaim, "foo")
            await until("its end", lambda: tenants.name("foo") not in world.claims)
            await asyncio.sleep(2)
            assert status("claimEndedTime") == ended
            assert world.bindings[foo].claim_ended == datetime.fromisoformat(ended)

    async def test_read_live(self, tenants: Tenants) -> None:
        """A live read brings what was applied just before, without waiting for a watch."""
        tenants.mesh_config("foo")
        tenants.namespace("foo")
        async with watching(tenants) as watcher:
            world = await ready(watcher)
            await asyncio.to_thread(tenants.claim, "foo", "foo")
            await asyncio.to_thread(tenants.mesh_config, "foo", "bar")
            await asyncio.gather(*(watcher.reread(tenants.name("foo")) for _ in range(20)))
            assert world.claims[tenants.name("foo")].whole == tenants.ref("foo")
            assert tenants.ref("bar") in world.signers


class TestHeldBack:
    """One watch brings nothing for a while, as behind a proxy that buffers, or an API server that is busy."""

    @asynccontextmanager
    async def _without(self, tenants: Tenants, plural: str) -> AsyncIterator[tuple[MeshWatcher, threading.Event]]:
        """A watcher that reads what there is of a resource, and hears nothing more of it until the event is set."""
        goes_on = threading.Event()

        def rule(_method: str, path: str) -> First | None:
            held = f"/{plural}?" in path and "watch=" in path and not goes_on.is_set()
            return First(lambda: goes_on.wait(PATIENCE)) if held else None

        cluster = tenants.cluster
        assert isinstance(cluster, LocalCluster)
        account = cluster.service_account_kubeconfig("cert-manager", "watcher")  # the proxy passes tokens on
        binding = cluster.kubectl(
            "create", "clusterrolebinding", "watcher", "--clusterrole=cluster-admin",
            "--serviceaccount=cert-manager:watcher", "--dry-run=client", "-o=yaml",
        )  # fmt: skip
        cluster.apply(binding)
        with Proxy(cluster) as proxy:
            proxy.rule = rule
            try:
                async with watching(tenants, kubeconfig=proxy.kubeconfig(account)) as watcher:
                    await ready(watcher)
                    yield watcher, goes_on
            finally:
                goes_on.set()

    async def test_the_namespace_of_the_name(self, tenants: Tenants) -> None:
        """Bar, which claims shop, does not become its owner while the watch has not told of namespace shop."""
        tenants.mesh_config("shop")
        bar, shop = tenants.namespace("bar"), tenants.ref("shop")
        async with self._without(tenants, "namespaces") as (watcher, goes_on):
            world = watcher.world
            await asyncio.to_thread(tenants.namespace, "shop")
            await asyncio.to_thread(tenants.claim, "bar", "shop")
            await until("bar's claim", lambda: bar in world.claims)
            assert tenants.name("shop") not in world.namespaces
            with pytest.raises(Unreachable, match="belongs to the namespace that has its name"):
                await watcher.bind(shop, bar, world.namespaces[bar].uid)
            await asyncio.to_thread(tenants.claim, "shop", "shop")
            goes_on.set()
            await until("the owner", lambda: shop in world.bindings)
            assert world.bindings[shop].namespace == tenants.name("shop")

    async def test_a_namespace_made_again(self, tenants: Tenants) -> None:
        """A namespace that was made again gets nothing of its forerunner's while the watch still shows that one."""
        tenants.mesh_config("foo")
        name, foo = tenants.namespace("foo"), tenants.ref("foo")
        tenants.claim("foo", "foo")
        before = tenants.uid("foo")
        async with self._without(tenants, "namespaces") as (watcher, goes_on):
            world = watcher.world
            await until("the owner", lambda: foo in world.bindings)
            await watcher.confirm(Confirm(foo, name, before))
            await asyncio.to_thread(tenants.cluster.kubectl, "delete", "namespace", name)
            await asyncio.to_thread(tenants.namespace, "foo")
            await asyncio.to_thread(tenants.claim, "foo", "foo")
            assert world.namespaces[name].uid == before
            with pytest.raises(Unreachable, match="was made again"):
                await watcher.confirm(Confirm(foo, name, before))
            assert world.confirmed == {}
            goes_on.set()
            await until("the new one", lambda: world.namespaces[name].uid != before)

    async def test_a_policy(self, tenants: Tenants) -> None:
        """A claimant does not become the owner of a signer that a SignerPolicy gives out, seen or not."""
        tenants.mesh_config("team")
        bar, team = tenants.namespace("bar"), tenants.ref("team")
        async with self._without(tenants, "signerpolicies") as (watcher, _goes_on):
            world = watcher.world
            await asyncio.to_thread(tenants.policy, tenants.name("team"), team)
            await asyncio.to_thread(tenants.claim, "bar", "team")
            await until("bar's claim", lambda: bar in world.claims)
            assert not world.policies
            with pytest.raises(Unreachable, match="is given out by SignerPolicies"):
                await watcher.bind(team, bar, world.namespaces[bar].uid)
            assert team not in world.bindings


class TestRemembered:
    """What keeps the wall up is stored, and a process that starts has it."""

    async def test_a_policy_deleted_between_two_processes(self, tenants: Tenants) -> None:
        """Nobody becomes the owner of a signer whose policy went while no process looked."""
        tenants.mesh_config("team")
        bar, team = tenants.namespace("bar"), tenants.ref("team")
        name = tenants.name("team")
        tenants.policy(name, team)
        async with watching(tenants) as watcher:
            await ready(watcher)
            await until("the record", lambda: team in watcher.index.records)
            await until("its status", lambda: watcher.index.records[team].status.given_out)
        tenants.cluster.kubectl("delete", "signerpolicy", name)
        tenants.claim("bar", "team")
        async with watching(tenants) as watcher:
            world = await ready(watcher)
            await until("bar's claim", lambda: bar in world.claims)
            await watcher.bind(team, bar, world.namespaces[bar].uid)
            assert team not in world.bindings
            await until("the end", lambda: watcher.index.records[team].status.given_out_until_time)

    async def test_a_key_that_was_changed_between_two_processes(self, tenants: Tenants) -> None:
        """A key that a mesh signer signed with is behind the wall, though no object but the record has it any more."""
        tenants.mesh_config("foo")
        namespace = tenants.namespace("foo")
        tenants.claim("foo", "foo")
        before, after = pki.CA("before"), pki.CA("after")
        foo, keys = tenants.ref("foo"), [load(one).key_id for one in (before, after)]
        tenants.issuer("foo", before)
        async with watching(tenants) as watcher:
            world = await ready(watcher)
            await until("its CA and its owner", lambda: keys[0] in world.keys and foo in world.bindings)
            await until("the record", lambda: foo in watcher.index.records)
            assert not watcher.index.records[foo].status.certificates  # it has not signed
            await watcher.confirm(Confirm(foo, namespace, world.namespaces[namespace].uid))
            assert len(watcher.index.records[foo].status.certificates) == 1
        tenants.issuer("foo", after)
        async with watching(tenants) as watcher:
            world = await ready(watcher)
            await until("both", lambda: all(foo in world.keys.get(key, ()) for key in keys))
            await until("its owner", lambda: foo in world.bindings)
            await watcher.confirm(Confirm(foo, namespace, world.namespaces[namespace].uid))
            await until("the other record", lambda: len(watcher.index.records[foo].status.certificates) == 2)


def load(made: pki.CA) -> Authority:
    return load_authority(made.pem, made.key_pem, None, now=datetime.now(UTC))


def _signers(world: World, tenants: Tenants, tenant: str) -> Any:
    return world.claims[tenants.name(tenant)].signers


def _event(events: list[Any], kind: str) -> Any:
    return next((event for event in events if event["involvedObject"]["kind"] == kind), None)
