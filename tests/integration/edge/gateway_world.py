"""Runs the controller of Gateways beside the slow controllers, and offers what its tests ask of them."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509

from signer.api.certificate import IssuerReference
from signer.api.edgepolicy import EDGE_POLICIES
from signer.api.event import EVENTS
from signer.api.gateway import GATEWAYS
from signer.api.hostclaim import HOST_CLAIMS
from signer.api.issuer import CLUSTER_ISSUERS
from signer.api.namespace import NAMESPACES
from signer.api.pod import PODS
from signer.api.secret import SECRETS
from signer.authorities.registry import Registry
from signer.certificates.run import ControllerOptions, Controllers
from signer.certificates.watched import watch_certificates
from signer.edge.gateways.controller import EdgeOptions
from signer.edge.gateways.run import GatewayRun
from signer.kube.access.config import load_config
from signer.kube.client import ApiClient
from signer.kube.errors import NotFound
from signer.kube.resource import Resource
from signer.observe.events import EventRecorder
from signer.observe.metrics import Metrics
from tests.integration.slow_controllers import Json, World
from tests.integration.test_edge_objects import module
from tests.localmesh import Cluster
from tests.localmesh.install import wait_established

INGRESS_LABELS = {"istio": "ingressgateway"}


def https(*hosts: str, credential: str = "shop-tls") -> Json:
    """A server on 443."""
    return {
        "port": {"number": 443, "name": f"https-{credential}", "protocol": "HTTPS"},
        "hosts": list(hosts),
        "tls": {"mode": "SIMPLE", "credentialName": credential},
    }


@dataclass
class EdgeWorld(World):
    """A tenant's namespace (`namespace`), one of gateways (`gateways`), and a self-signed issuer (`issuer_name`)."""

    gateways: str = ""
    issuer_name: str = ""
    default: IssuerReference | None = None
    made: list[tuple[Resource, str, str | None]] = field(default_factory=list)

    async def _run(self) -> None:
        recorder = EventRecorder(self.own, instance="test")
        registry = Registry(self.own, cluster_resource_namespace=self.namespace, clock=self.now)
        controllers = Controllers(self.own, registry, recorder, self.metrics, self.options, clock=self.now)
        options = EdgeOptions(gateway_namespaces=frozenset({self.gateways}), default=self.default)
        edge = GatewayRun(self.own, registry, recorder, self.metrics, options, clock=self.now)
        watch = watch_certificates(self.own, self.metrics.watch_restarted)
        async with asyncio.TaskGroup() as tasks:
            for run in (recorder.run, registry.run, watch.run):
                tasks.create_task(run())
            for sharing in (controllers, edge):
                tasks.create_task(sharing.run(watch))

    async def make(self, resource: Resource, name: str, body: Json, namespace: str | None = None, **meta: Any) -> Json:
        """Create any object; cluster-scoped ones go when the test ends."""
        metadata = {"name": name, **meta} | ({"namespace": namespace or self.namespace} if resource.namespaced else {})
        self.made.append((resource, name, metadata.get("namespace")))
        return await self.client.create(resource, {"metadata": metadata, **body})

    async def gateway(
        self, *servers: Json, name: str = "shop", namespace: str | None = None, annotations: Json | None = None
    ) -> Json:
        """An Istio Gateway that names the test's issuer."""
        notes = {"cert-manager.io/cluster-issuer": self.issuer_name} if annotations is None else annotations
        spec = {"selector": INGRESS_LABELS, "servers": list(servers)}
        return await self.make(GATEWAYS, name, {"spec": spec}, namespace, annotations=notes)

    async def pod(self, namespace: str) -> None:
        """A Pod of an ingress gateway; no kubelet will run it."""
        spec = {"containers": [{"name": "istio-proxy", "image": "none"}], "automountServiceAccountToken": False}
        with contextlib.suppress(NotFound):
            await self.client.create(
                Resource("", "v1", "serviceaccounts", "ServiceAccount", namespaced=True),
                {"metadata": {"name": "none", "namespace": namespace}},
            )
        await self.make(
            PODS, "gateway", {"spec": spec | {"serviceAccountName": "none"}}, namespace, labels=INGRESS_LABELS
        )

    async def other(self, suffix: str, **labels: str) -> str:
        """Another namespace."""
        name = f"{self.namespace}-{suffix}"
        await self.make(NAMESPACES, name, {}, labels=labels)
        return name

    async def policy(self, name: str, *suffixes: str, namespaces: list[str], **spec: Any) -> str:
        """An EdgePolicy."""
        full = f"{self.namespace}-{name}"
        body = {"hostSuffixes": list(suffixes), "namespaces": {"names": namespaces}, **spec}
        await self.make(EDGE_POLICIES, full, {"spec": body})
        return full

    async def find(self, resource: Resource, name: str, namespace: str | None = None) -> Json | None:
        """Read an object; None when there is none."""
        try:
            return await self.client.get(resource, name, (namespace or self.namespace) if resource.namespaced else None)
        except NotFound:
            return None

    async def leaf(self, name: str, namespace: str | None = None) -> x509.Certificate | None:
        """The certificate in a Secret."""
        secret = await self.find(SECRETS, name, namespace)
        if secret is None:
            return None
        return x509.load_pem_x509_certificates(base64.b64decode(secret["data"]["tls.crt"]))[0]

    async def served(self, name: str, *hosts: str, namespace: str | None = None) -> x509.Certificate:
        """Wait until a Secret holds an issued certificate, which no placeholder is, for exactly these hosts."""

        async def ask() -> x509.Certificate | None:
            leaf = await self.leaf(name, namespace)
            if leaf is None or is_placeholder(leaf):
                return None
            return leaf if names(leaf) == set(hosts) else None

        found: x509.Certificate = await self.until(f"Secret {name} for {hosts}", ask)
        return found

    async def claim(self, host: str) -> Json | None:
        """The HostClaim of a host."""
        return await self.find(HOST_CLAIMS, host)

    async def told(self, reason: str, name: str = "shop", namespace: str | None = None) -> str:
        """Wait for an Event with this reason about an object; returns its message."""

        async def ask() -> str | None:
            for event in await self.client.list(EVENTS, namespace or self.namespace):
                if event["involvedObject"]["name"] == name and event["reason"] == reason:
                    return str(event["message"])
            return None

        found: str = await self.until(f"Event {reason} about {name}", ask)
        return found


def names(leaf: x509.Certificate) -> set[str]:
    """The DNS names of a certificate."""
    extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return set(extension.value.get_values_for_type(x509.DNSName))


def is_placeholder(leaf: x509.Certificate) -> bool:
    """Whether a certificate names itself a placeholder."""
    return "placeholder" in leaf.subject.rfc4514_string()


def crds() -> Iterator[Json]:
    """Istio's Gateways and VirtualServices, and the Gateway API's Gateways and HTTPRoutes."""
    istio = module("istio.io/istio") / "manifests" / "charts" / "base" / "files" / "crd-all.gen.yaml"
    wanted = ("gateways.networking.istio.io", "virtualservices.networking.istio.io")
    for one in yaml.load_all(istio.read_text("utf-8"), yaml.CSafeLoader):
        if one["metadata"]["name"] in wanted:
            yield one
    api = module("sigs.k8s.io/gateway-api") / "config" / "crd" / "standard"
    for plural in ("gateways", "httproutes"):
        yield yaml.load((api / f"gateway.networking.k8s.io_{plural}.yaml").read_text("utf-8"), yaml.CSafeLoader)


def install(cluster: Cluster) -> None:
    """Apply those CRDs and wait until they are served, once for each cluster: other tests on it know them too."""
    if (ours := Path(__file__)) in cluster.installed:
        return
    found = list(crds())
    cluster.kubectl("apply", "--server-side", "-f", "-", input=yaml.safe_dump_all(found))
    wait_established(cluster, *(one["metadata"]["name"] for one in found))
    cluster.installed.add(ours)


@contextlib.asynccontextmanager
async def edge_world(cluster: Cluster, namespace: str, account: Path | None = None) -> AsyncIterator[EdgeWorld]:
    """The controllers and a gateway's Pod, until the block ends."""
    async with (
        ApiClient(load_config(str(cluster.kubeconfig()))) as client,
        ApiClient(load_config(str(account or cluster.kubeconfig()))) as own,
    ):
        found = EdgeWorld(client, own, namespace, Metrics(), ControllerOptions(cluster_resource_namespace=namespace))
        found.gateways = await found.other("gateways")
        await found.pod(found.gateways)
        await found.start()
        found.issuer_name = await found.issuer("selfsigned", {"selfSigned": {}})
        try:
            yield found
        finally:
            await found.stop()
            for issuer in await client.list(CLUSTER_ISSUERS):
                if issuer["metadata"]["name"].startswith(f"{namespace}-"):
                    await client.delete(CLUSTER_ISSUERS, issuer["metadata"]["name"])
            for claim in await client.list(HOST_CLAIMS):
                if claim["spec"]["namespace"].startswith(namespace):
                    await client.delete(HOST_CLAIMS, claim["metadata"]["name"])
            for resource, name, where in found.made:
                with contextlib.suppress(NotFound):
                    await client.delete(resource, name, where)


def host(here: EdgeWorld, label: str) -> str:
    """A host that no other test has."""
    return f"{label}.{here.namespace}.example.com"


async def gone(here: EdgeWorld, resource: Resource, name: str) -> bool:
    """Whether there is no such object in the test's namespace."""
    return await here.find(resource, name) is None
