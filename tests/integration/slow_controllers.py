"""Runs the slow controllers in the test's own loop, against the real API server, and offers what tests ask of them.

Each test has its own namespace; it is the cluster resource namespace too. Names of ClusterIssuers carry it.
"""

import asyncio
import contextlib
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509

from signer.api.certificate import CERTIFICATES
from signer.api.certificaterequest import CERTIFICATE_REQUESTS
from signer.api.challenge import CHALLENGES
from signer.api.event import EVENTS
from signer.api.issuer import CLUSTER_ISSUERS, ISSUERS
from signer.api.order import ORDERS
from signer.api.secret import SECRETS
from signer.authorities.registry import Registry
from signer.certificates.run import ControllerOptions, Controllers
from signer.certificates.watched import watch_certificates
from signer.edge.challenges.presenter import Presenter
from signer.edge.gateways.controller import EdgeOptions
from signer.edge.gateways.run import GatewayRun
from signer.edge.hosts.permit import Permitting
from signer.edge.run import AcmeControllers, AcmeOptions
from signer.kube.access.config import load_config
from signer.kube.client import ApiClient
from signer.kube.errors import NotFound
from signer.kube.resource import Resource
from signer.observe.events import EventRecorder
from signer.observe.metrics import Metrics
from tests.localmesh import Cluster
from tests.localmesh.cluster import pause

Json = dict[str, Any]
EC_KEY = {"algorithm": "ECDSA", "size": 256}
# Long enough for a machine that is busy with something else; no test waits this long when it passes.
_PATIENCE = 300.0  # a CA that refuses nine of ten nonces may be given several growing pauses
_KINDS = (CERTIFICATES, CERTIFICATE_REQUESTS, CLUSTER_ISSUERS, ISSUERS, SECRETS, ORDERS, CHALLENGES)
_RESOURCES = {kind.kind: kind for kind in _KINDS}


@dataclass
class World:
    """One test's namespace, with the controllers running in it (and, unavoidably, in all others)."""

    client: ApiClient
    own: ApiClient  # the controllers'
    namespace: str
    metrics: Metrics
    options: ControllerOptions
    ahead: timedelta = timedelta(0)  # how far the controllers' clock is ahead
    presenter: Presenter | None = None  # with one, or `presenting`, ACME issuers are worked too
    presenting: Callable[[ApiClient, Registry], Presenter] | None = None  # makes one, anew for each start
    hosts: bool = False  # whether HostClaims are taken and kept, as for Gateways
    permitting: Permitting | None = None  # with `hosts`, once it runs: who is asked whose a host is
    _running: asyncio.Task[None] | None = field(default=None, repr=False)

    async def start(self) -> None:
        """Start the controllers, as a new process would."""
        self._running = asyncio.create_task(self._run())

    async def restart(self, ahead: timedelta = timedelta(0)) -> None:
        """Start them as a new process, with their clock ahead, and wait until they have looked at every Certificate."""
        await self.stop()
        self.ahead = ahead
        before = self._looks()
        await self.start()
        wanted = before + len(await self.client.list(CERTIFICATES))

        async def looked() -> bool:
            return self._looks() >= wanted

        await self.until("a look at every Certificate", looked)

    def _looks(self) -> float:
        labels = {"controller": "certificates"}
        return self.metrics.registry.get_sample_value("certmanager_controller_sync_call_count", labels) or 0

    async def stop(self) -> None:
        """End them where they are."""
        if self._running is not None:
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._running
            self._running = None

    async def _run(self) -> None:
        recorder = EventRecorder(self.own, instance="test")
        registry = Registry(self.own, cluster_resource_namespace=self.namespace, clock=self.now)
        options, acme = self.options, list[AcmeControllers]()
        edge = GatewayRun(self.own, registry, recorder, self.metrics, EdgeOptions(work=False), clock=self.now)
        claims = (lambda: edge.claims) if self.hosts else None
        self.permitting = permitting = Permitting(self.own, claims, ()) if claims is not None else None
        presenter = self.presenting(self.own, registry) if self.presenting is not None else self.presenter
        if presenter is not None:
            acme.append(
                AcmeControllers(
                    self.own,
                    registry,
                    recorder,
                    self.metrics,
                    AcmeOptions(
                        presenter,
                        cluster_resource_namespace=self.namespace,
                        permit=permitting.permit if permitting is not None else None,
                        would=permitting.would if permitting is not None else None,
                        claims=claims,
                    ),
                    clock=self.now,
                )
            )
            options = replace(options, ordering=acme[0].ordering)
        controllers = Controllers(self.own, registry, recorder, self.metrics, options, clock=self.now)
        watch = watch_certificates(self.own, self.metrics.watch_restarted)
        async with asyncio.TaskGroup() as tasks:
            for run in (recorder.run, registry.run, watch.run):
                tasks.create_task(run())
            tasks.create_task(controllers.run(watch))
            for one in acme:
                tasks.create_task(one.run(watch))
            if self.hosts:
                tasks.create_task(edge.run(watch))

    def now(self) -> datetime:
        """The time that the controllers see."""
        return datetime.now(UTC) + self.ahead

    async def touch(self, kind: str, name: str) -> None:
        """Have an object looked at again."""
        await self.edit(kind, name, {"metadata": {"annotations": {"test/touched": str(time.monotonic())}}})

    async def create(self, kind: str, name: str, spec: Json, **metadata: Any) -> Json:
        """Create an object in the test's namespace (or cluster-wide)."""
        resource = _RESOURCES[kind]
        meta: Json = {"name": name, **metadata}
        if resource.namespaced:
            meta["namespace"] = self.namespace
        body = {"metadata": meta, "spec": spec} if kind != "Secret" else {"metadata": meta, **spec}
        return await self.client.create(resource, body)

    async def certificate(self, name: str, issuer: str, **fields: Any) -> Json:
        """Create a Certificate; fields that are None are left out."""
        spec = {
            "secretName": name,
            "commonName": name,
            "privateKey": EC_KEY,
            "issuerRef": {"name": issuer, "kind": "ClusterIssuer"},
        } | fields
        return await self.create("Certificate", name, {k: v for k, v in spec.items() if v is not None})

    async def issuer(self, name: str, spec: Json) -> str:
        """Create a ClusterIssuer of this test and return its name."""
        full = f"{self.namespace}-{name}"
        await self.create("ClusterIssuer", full, spec)
        return full

    async def ca(self, name: str = "root", **fields: Any) -> str:
        """A self-signed issuer, a CA Certificate from it, and a CA issuer; returns the last one's name, once it is Ready."""
        selfsigned = await self.issuer(f"selfsigned-{name}", {"selfSigned": {}})
        await self.certificate(f"{name}-ca", selfsigned, isCA=True, **fields)
        issuer = await self.issuer(name, {"ca": {"secretName": fields.get("secretName", f"{name}-ca")}})
        await self.ready("ClusterIssuer", issuer)
        return issuer

    async def get(self, kind: str, name: str) -> Json | None:
        """Read an object, None when there is none."""
        resource = _RESOURCES[kind]
        try:
            return await self.client.get(resource, name, self.namespace if resource.namespaced else None)
        except NotFound:
            return None

    async def list(self, kind: str) -> list[Json]:
        """All objects of the namespace."""
        return await self.client.list(_RESOURCES[kind], self.namespace)

    async def edit(self, kind: str, name: str, patch: Json, subresource: str | None = None) -> Json:
        """Merge-patch an object as a user would."""
        resource: Resource = _RESOURCES[kind]
        namespace = self.namespace if resource.namespaced else None
        return await self.client.patch(resource, name, patch, namespace=namespace, subresource=subresource)

    async def delete(self, kind: str, name: str) -> None:
        """Delete an object."""
        resource = _RESOURCES[kind]
        await self.client.delete(resource, name, self.namespace if resource.namespaced else None)

    async def until(self, what: str, ask: Callable[[], Awaitable[Any]]) -> Any:
        """Ask until the answer is true, and return it."""
        begun = time.monotonic()
        while not (answer := await ask()):
            if self._running is not None and self._running.done():
                self._running.result()
            assert time.monotonic() < begun + _PATIENCE, f"{what}: not within {_PATIENCE:.0f} s"
            await asyncio.sleep(pause(begun))
        return answer

    async def condition(
        self, kind: str, name: str, type_: str = "Ready", status: str | None = None, reason: str | None = None
    ) -> Json:
        """Wait until an object's condition is as given for its present generation; returns the object."""
        seen: Json = {}

        async def ask() -> Json | None:
            obj = await self.get(kind, name) or {}
            found = condition(obj, type_)
            seen["last"] = found
            if found is None or (status or found["status"]) != found["status"]:
                return None
            if (reason or found.get("reason")) != found.get("reason"):
                return None
            current = found.get("observedGeneration", obj["metadata"].get("generation"))
            return obj if current == obj["metadata"].get("generation") else None

        try:
            found: Json = await self.until(f"{kind} {name}: {type_}={status} ({reason})", ask)
        except AssertionError as error:
            raise AssertionError(f"{error}; last seen: {seen.get('last')}") from None
        return found

    async def ready(self, kind: str, name: str) -> Json:
        """Wait until it is Ready."""
        return await self.condition(kind, name, status="True")

    async def events(self, name: str) -> set[str]:
        """The reasons of the Events about objects of this name."""
        found = await self.client.list(EVENTS, self.namespace)
        return {event["reason"] for event in found if event["involvedObject"]["name"] == name}

    async def settled(self, kind: str, name: str, moments: int = 20) -> Json:
        """Wait until an object stays the same for a while, so that "nothing more happens" can be asked; returns it."""
        last = await self.get(kind, name)
        quiet = 0
        while quiet < moments:
            await asyncio.sleep(0.05)
            now = await self.get(kind, name)
            quiet = quiet + 1 if now == last else 0
            last = now
        assert last is not None
        return last


def condition(obj: Json, type_: str) -> Json | None:
    """An object's condition of this type."""
    return next((c for c in obj.get("status", {}).get("conditions", []) if c["type"] == type_), None)


def chain(text: bytes) -> list[x509.Certificate]:
    """The certificates of a PEM text."""
    return x509.load_pem_x509_certificates(text)


def openssl(*args: str) -> str:
    """Ask OpenSSL, which shares no code with us; returns what it says, and raises when it refuses."""
    done = subprocess.run(["openssl", *args], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextlib.asynccontextmanager
async def world(
    cluster: Cluster,
    namespace: str,
    *,
    account: Path | None = None,
    presenter: Presenter | None = None,
    presenting: Callable[[ApiClient, Registry], Presenter] | None = None,
    hosts: bool = False,
    **options: Any,
) -> AsyncIterator[World]:
    """The controllers, running until the block ends; its ClusterIssuers are removed then.

    They act as cluster-admin, or with the kubeconfig `account`; what the test does itself is always the admin's.
    """
    async with (
        ApiClient(load_config(str(cluster.kubeconfig()))) as client,
        ApiClient(load_config(str(account or cluster.kubeconfig()))) as own,
    ):
        settings = ControllerOptions(cluster_resource_namespace=namespace, **options)
        found = World(
            client, own, namespace, Metrics(), settings, presenter=presenter, presenting=presenting, hosts=hosts
        )
        await found.start()
        try:
            yield found
        finally:
            await found.stop()
            for issuer in await client.list(CLUSTER_ISSUERS):
                if issuer["metadata"]["name"].startswith(f"{namespace}-"):
                    await client.delete(CLUSTER_ISSUERS, issuer["metadata"]["name"])
