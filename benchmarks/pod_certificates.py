"""What a Pod's certificate costs, beside one of istiod's, and how long 250 Pods at once wait for theirs.

    .venv/bin/python -m benchmarks.pod_certificates

Requests of either kind come as quickly as the API server takes them, by turns; the keys are P-256, the CA too.
"""

import argparse
import asyncio
import base64
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import scenes
from benchmarks.start import cpu_now
from benchmarks.table import Table, machine
from signer.api.meta import Condition, ObjectMeta
from signer.api.podcertificaterequest import POD_CERTIFICATE_REQUESTS
from signer.kube.access.config import load_config
from signer.kube.client import ApiClient
from signer.kube.encoding.codec import JsonCodec
from signer.kube.reflector import Change, Reflector
from tests import pki
from tests.integration.hot_path import Place
from tests.integration.pods.kubelet import FLAGS, NODES, Kubelet
from tests.integration.tenants import Tenants, define_proxy_configs
from tests.localmesh import LocalCluster
from tests.localmesh.install import COMPONENTS, install
from tests.localmesh.istiod_requests import Workload, create_requests, delete_requests, install_istiod
from tests.localmesh.signer import SignerProcess

CONTROLLERS = "--controllers=csr,podcertificates,trustbundles"
PODS = 100
REQUESTS = POD_CERTIFICATE_REQUESTS.at("v1beta1")
ISSUED = "mesh_signer_requests_total"


class Answered(msgspec.Struct, frozen=True):
    """When a request has its condition."""

    class Status(msgspec.Struct, frozen=True):
        """Its status."""

        conditions: tuple[Condition, ...] = ()

    metadata: ObjectMeta = msgspec.field(default_factory=ObjectMeta)
    status: Status = msgspec.field(default_factory=Status)


class Setup:
    """A tenant, a node with Pods of the tenant, and istiod."""

    def __init__(self, cluster: LocalCluster) -> None:
        install(cluster, more=[COMPONENTS / "pod-certificates" / name for name in ("rbac.yaml", "admission.yaml")])
        define_proxy_configs(cluster)
        self.cluster = cluster
        self.tenants = Tenants(Place.of(cluster))
        self.tenants.add("foo")
        self.kubelet = Kubelet.of(self.tenants)
        self.namespace = self.tenants.name("foo")
        self.pods = [self.kubelet.pod(self.namespace) for _ in range(PODS)]
        self.istiod: Path = install_istiod(cluster, [self.namespace])
        self.node = cluster.kubeconfig(self.kubelet.user, (NODES,))
        self._stub = base64.b64encode(pki.stub(pki.key())).decode()

    def bodies(self, count: int) -> list[dict[str, Any]]:
        """Requests of the node, by turns for each Pod. One key is enough: nobody compares."""
        signer = self.tenants.signer("foo")
        first = self.kubelet.request(self.pods[0], signer)
        found = []
        for number in range(count):
            pod = self.pods[number % PODS]["metadata"]
            spec = first["spec"] | {"podName": pod["name"], "podUID": pod["uid"], "stubPKCS10Request": self._stub}
            found.append(
                first
                | {"metadata": {"name": f"b-{time.time_ns():x}-{number}", "namespace": self.namespace}, "spec": spec}
            )
        return found

    async def create(self, bodies: list[dict[str, Any]]) -> dict[str, float]:
        """Make them all, 32 at a time; when each was there."""
        made: dict[str, float] = {}
        async with ApiClient(load_config(str(self.node))) as client:
            slots = asyncio.Semaphore(32)

            async def one(body: dict[str, Any]) -> None:
                async with slots:
                    await client.create(REQUESTS, body)
                made[body["metadata"]["name"]] = time.monotonic()

            async with asyncio.TaskGroup() as tasks:
                for body in bodies:
                    tasks.create_task(one(body))
        return made

    def forget(self) -> None:
        """Delete all requests of Pods."""
        path = REQUESTS.path(self.namespace)
        self.kubelet.api.delete(path)


async def pairs(setup: Setup, count: int, times: int) -> tuple[list[float], list[float]]:
    """Microseconds of CPU for each certificate of either kind, as requests come, by turns; what it costs to wait is taken off."""
    workload = Workload(setup.namespace, "default", setup.namespace)
    signer = SignerProcess(setup.cluster, CONTROLLERS, f"--write-window={scenes.WINDOW}", tenancy="enforce")
    await asyncio.to_thread(signer.start)
    of_csr, of_pod = list[float](), list[float]()
    try:
        for number in range(2 * times):
            await asyncio.sleep(2)
            idle = await _idle(signer)
            begun, before = time.monotonic(), cpu_now(signer.pid or 0)
            if number % 2 == 0:
                made = await create_requests(setup.istiod, [workload] * count, key="ec")
            else:
                await setup.create(setup.bodies(count))
            told = {"outcome": "issued", "signer": setup.tenants.signer("foo")}
            await asyncio.to_thread(signer.wait_for_metric, ISSUED, count * (number + 1), 120, **told)
            used = cpu_now(signer.pid or 0) - before - idle * (time.monotonic() - begun)
            (of_pod if number % 2 else of_csr).append(used / count * 1e6)
            if number % 2:
                setup.forget()
            else:
                await delete_requests(setup.istiod, [one.name for one in made])
    finally:
        await asyncio.to_thread(signer.stop)
    return of_csr, of_pod


async def _idle(signer: SignerProcess) -> float:
    """The part of a core that it takes when nothing comes."""
    before = cpu_now(signer.pid or 0)
    await asyncio.sleep(2)
    return (cpu_now(signer.pid or 0) - before) / 2


async def at_once(setup: Setup, count: int) -> list[float]:
    """Seconds from when each of so many requests, made at once, was there until its answer was."""
    signer = SignerProcess(setup.cluster, CONTROLLERS, f"--write-window={scenes.WINDOW}", tenancy="enforce")
    await asyncio.to_thread(signer.start)
    answered: dict[str, float] = {}
    everything = asyncio.Event()

    def seen(change: Change[Answered]) -> None:
        if change.new is not None and change.new.status.conditions:
            answered.setdefault(change.new.metadata.name, time.monotonic())
            if len(answered) == count:
                everything.set()

    try:
        async with ApiClient(load_config(str(setup.cluster.kubeconfig()))) as client:
            reflector = Reflector(client, REQUESTS, JsonCodec(Answered))
            reflector.subscribe(seen)
            watching = asyncio.create_task(reflector.run())
            await reflector.synced.wait()
            made = await setup.create(setup.bodies(count))
            async with asyncio.timeout(60):
                await everything.wait()
            watching.cancel()
    finally:
        await asyncio.to_thread(signer.stop)
    return sorted(max(answered[name] - at, 0.0) for name, at in made.items())


async def measure(setup: Setup, options: argparse.Namespace) -> bool:
    """Print the rows."""
    table = Table("Pod certificates", "a Pod's", "istiod's", "ratio", "goal", "")
    of_csr, of_pod = await pairs(setup, options.count, options.pairs)
    ratio = statistics.median(pod / csr for pod, csr in zip(of_pod, of_csr, strict=True))
    table.row(
        "own CPU per certificate, µs",
        f"{statistics.median(of_pod):.0f}",
        f"{statistics.median(of_csr):.0f}",
        f"{ratio:.2f}",
        "≤ 1.2",
        table.judge(reached=ratio <= 1.2),
    )
    waits = await at_once(setup, 250)
    p99 = waits[int(len(waits) * 0.99)]
    table.row("250 at once, p99, s", f"{p99:.2f}", "", "", "< 1", table.judge(reached=p99 < 1))
    return table.good


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; exit status 1 when a goal was missed."""
    parser = argparse.ArgumentParser(prog="benchmarks.pod_certificates", description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="requests of each round")
    parser.add_argument("--pairs", type=int, default=3, help="rounds of each kind")
    options = parser.parse_args(arguments)
    print(f"{machine()}; API server and etcd on the same machine\n")
    with LocalCluster(api_flags=FLAGS) as cluster:
        return 0 if asyncio.run(measure(Setup(cluster), options)) else 1


if __name__ == "__main__":
    sys.exit(main())
