"""What each certificate, event, replica, issuer and tenant costs, and how well such costs foretell a larger load.

    .venv/bin/python -m benchmarks.scaling

Costs are measured on small loads: CPU of the signer, of the API server and of etcd, bytes of the audit log and of etcd, memory. From
these, larger loads are foretold, and then measured. docs/scaling.md reckons with them. CPU stands beside the bare client's of the same
run, since other work on the machine makes all of it dearer.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks import scenes, wall
from benchmarks.observer import Observer, observing
from benchmarks.table import Table, machine
from tests import pki
from tests.integration.hot_path import Place
from tests.integration.tenants import PROXY_CONFIGS
from tests.localmesh import LocalCluster
from tests.localmesh.istiod_requests import Workload as Asker
from tests.localmesh.istiod_requests import create_requests, delete_requests
from tests.localmesh.processes import Process
from tests.localmesh.signer import SignerProcess

KIND = "p256"
SETTLED = 3.0
"""Seconds after which what follows the last answer is done: events of deletions, audit lines, metrics."""


@dataclass(frozen=True)
class Costs:
    """What one certificate cost: CPU of each signer, of API server and etcd (µs), and bytes that were written."""

    signers: tuple[float, ...]
    api: float
    etcd: float
    audit_bytes: float
    etcd_bytes: float


def cpu(process: Process | SignerProcess) -> float:
    """Seconds of CPU so far."""
    return scenes.cpu_seconds(process.pid or 0)


def etcd_size(cluster: LocalCluster) -> int:
    """Bytes of etcd's file."""
    return (cluster.folder / "etcd" / "member" / "snap" / "db").stat().st_size


async def certificates(
    cluster: LocalCluster, istiod: Path, observer: Observer, count: int, replicas: int, rest: float = 0.0
) -> Costs:
    """Let so many replicas answer so many requests, from their creation to their deletion.

    `rest` is what a replica uses in a second anyway (seconds of CPU), which is taken off. A few requests go before those that count:
    what a process does once is part of its start.
    """
    signers = [SignerProcess(cluster, "--controllers=csr", tenancy="enforce") for _ in range(replicas)]
    for signer in signers:
        await asyncio.to_thread(signer.start)
    for signer in signers:
        await asyncio.to_thread(signer.wait_for_metric, "mesh_signer_replicas", replicas)

    async def answered(number: int) -> None:
        observer.expect(number)
        made = await create_requests(istiod, [Asker(f"ns-{n % 50}", "default", KIND) for n in range(number)])
        await observer.all_answered(scenes.PATIENCE)
        await delete_requests(istiod, [one.name for one in made])
        await asyncio.sleep(SETTLED)

    def so_far() -> list[float]:
        return [*map(cpu, signers), cpu(cluster.api), cpu(cluster.etcd), etcd_size(cluster), audit()]

    def audit() -> int:
        return sum(signer.audit_file.stat().st_size for signer in signers)

    try:
        await answered(count // 4)
        before, began = so_far(), time.monotonic()
        await answered(count)
        *used, size, told = (now - was for now, was in zip(so_far(), before, strict=True))
        idle = rest * (time.monotonic() - began)
        busy = [(one - idle) / count * 1e6 for one in used[:replicas]]
        return Costs(tuple(busy), used[-2] / count * 1e6, used[-1] / count * 1e6, told / count, size / count)
    finally:
        for signer in signers:
            await asyncio.to_thread(signer.stop)


async def bare(cluster: LocalCluster, istiod: Path, observer: Observer, count: int) -> float:
    """CPU per certificate (µs) of the bare client, which only writes."""
    made = await scenes.approved(istiod, KIND, count)
    found = await scenes.drain_bare(cluster, observer, count, KIND)
    await delete_requests(istiod, [one.name for one in made])
    return found.cpu


async def at_rest(cluster: LocalCluster) -> tuple[float, float]:
    """Memory (MB) of a signer that has nothing to do, and the CPU of its start (s)."""
    signer = SignerProcess(cluster, "--controllers=csr", tenancy="enforce")
    await asyncio.to_thread(signer.start)
    try:
        await asyncio.sleep(SETTLED)
        return scenes.memory(signer.pid or 0)[0], cpu(signer)
    finally:
        await asyncio.to_thread(signer.stop)


async def work_at_rest(cluster: LocalCluster, seconds: float) -> tuple[float, float]:
    """Calls to the API server in a minute by a signer that has nothing to do, its watches left out; and CPU in a second (s)."""
    signer = SignerProcess(cluster, "--controllers=csr", tenancy="enforce")
    await asyncio.to_thread(signer.start)
    try:
        await asyncio.sleep(SETTLED)
        name = "mesh_signer_api_request_duration_seconds_count"
        before = await asyncio.to_thread(signer.metric, name)
        began, used = time.monotonic(), cpu(signer)
        await asyncio.sleep(seconds)
        used, lasted = cpu(signer) - used, time.monotonic() - began
        after = await asyncio.to_thread(signer.metric, name)
        return (after - before) / lasted * 60, used / lasted
    finally:
        await asyncio.to_thread(signer.stop)


def add_issuers(place: Place, first: int, count: int) -> None:
    """Make ClusterIssuers, each with a CA of its own."""
    for number in range(first, first + count):
        name = f"scale-{number}"
        place.ca_issuer(name, pki.CA(name, private=ec.generate_private_key(ec.SECP256R1())))


def add_tenants(place: Place, first: int, count: int) -> None:
    """Make namespaces, each with a ProxyConfig that names a signer."""
    for number in range(first, first + count):
        name = f"scale-{number}"
        place.api.post("/api/v1/namespaces", {"metadata": {"name": name}})
        spec = {"environmentVariables": {"ISTIO_META_CERT_SIGNER": name}}
        body = {"apiVersion": PROXY_CONFIGS, "kind": "ProxyConfig", "metadata": {"name": "claim"}, "spec": spec}
        place.api.post(f"/apis/{PROXY_CONFIGS}/namespaces/{name}/proxyconfigs", body)


def foretold(table: Table, what: str, expected: float, found: float, unit: str, within: float) -> None:
    """One row: what was expected, what was found."""
    reached = abs(found / expected - 1) <= within
    table.row(
        what,
        f"{expected:.0f} {unit}",
        f"{found:.0f} {unit}",
        f"{found / expected:.2f}",
        f"within {within:.0%}",
        table.judge(reached=reached),
    )


async def measure(cluster: LocalCluster, options: argparse.Namespace) -> bool:
    """Print costs, and predictions with what was found; whether all were near enough."""
    istiod = await asyncio.to_thread(wall.prepare, cluster)
    place = Place.of(cluster)
    small, large = options.count, options.count * 5
    async with AsyncExitStack() as stack:
        observer = await stack.enter_async_context(observing(cluster.kubeconfig()))
        calls, rest = await work_at_rest(cluster, options.rest)
        await certificates(cluster, istiod, observer, small, 1)  # etcd's file and the API server's caches are warm then
        yardstick = await bare(cluster, istiod, observer, small)
        one = await certificates(cluster, istiod, observer, small, 1, rest)
        two = await certificates(cluster, istiod, observer, small, 2, rest)
        many = await certificates(cluster, istiod, observer, large, 1, rest)
        three = await certificates(cluster, istiod, observer, small, 3, rest)
    here = one.signers[0]
    beside = sum(two.signers) - here
    nothing, start = await at_rest(cluster)
    await asyncio.to_thread(add_issuers, place, 0, options.issuers)
    issuers, start_issuers = await at_rest(cluster)
    await asyncio.to_thread(add_tenants, place, 0, options.tenants)
    tenants, start_tenants = await at_rest(cluster)
    await asyncio.to_thread(add_issuers, place, options.issuers, 2 * options.issuers)
    await asyncio.to_thread(add_tenants, place, options.tenants, 2 * options.tenants)
    more, start_more = await at_rest(cluster)
    issuer, tenant = (issuers - nothing) / options.issuers * 1000, (tenants - issuers) / options.tenants * 1000
    start_issuer, start_tenant = (
        (start_issuers - start) / options.issuers,
        (start_tenants - start_issuers) / options.tenants,
    )
    print(f"\nMeasured with {small} requests, {options.issuers} issuers, {options.tenants} tenants:\n")
    costs = Table("what", "cost")
    for what, cost in (
        ("a certificate: CPU of the signer that answers, µs", f"{here:.0f}"),
        ("the bare client's, of the same run, µs", f"{yardstick:.0f}"),
        ("the same for each other replica, µs", f"{beside:.0f}"),
        ("a certificate: CPU of the API server, creation to deletion, µs", f"{one.api:.0f}"),
        ("a certificate: CPU of etcd, µs", f"{one.etcd:.0f}"),
        ("a further replica: CPU of the API server for each certificate, µs", f"{two.api - one.api:.0f}"),
        ("a certificate: audit log, bytes", f"{one.audit_bytes:.0f}"),
        ("a certificate: etcd until its next compaction, bytes", f"{one.etcd_bytes:.0f}"),
        ("a replica at rest: calls to the API server in a minute, without watches", f"{calls:.0f}"),
        ("a replica at rest: CPU, % of a core", f"{rest * 100:.2f}"),
        ("a replica at rest: memory, MB; CPU of its start, s", f"{nothing:.0f}; {start:.2f}"),
        ("an issuer: memory, kB; CPU of a start, ms", f"{issuer:.1f}; {start_issuer * 1000:.2f}"),
        (
            "a tenant (namespace and ProxyConfig): memory, kB; CPU of a start, ms",
            f"{tenant:.1f}; {start_tenant * 1000:.2f}",
        ),
    ):
        costs.row(what, cost)
    print("\nForetold from these, and then measured:\n")
    table = Table("what", "foretold", "found", "ratio", "", "")
    memory = nothing + 3 * (issuer * options.issuers + tenant * options.tenants) / 1000
    foretold(
        table, f"memory with {3 * options.issuers} issuers, {3 * options.tenants} tenants", memory, more, "MB", 0.1
    )
    starts = start + 3 * (start_issuer * options.issuers + start_tenant * options.tenants)
    foretold(table, "CPU of a start with these", starts * 1000, start_more * 1000, "ms", 0.25)
    foretold(
        table,
        f"audit log of {large} certificates",
        one.audit_bytes * large / 1000,
        many.audit_bytes * large / 1000,
        "kB",
        0.05,
    )
    foretold(
        table,
        f"etcd's growth by {large} certificates",
        one.etcd_bytes * large / 1e6,
        many.etcd_bytes * large / 1e6,
        "MB",
        0.25,
    )
    foretold(
        table,
        f"CPU of one signer for {large} certificates",
        here * large / 1000,
        many.signers[0] * large / 1000,
        "ms",
        0.25,
    )
    foretold(table, "CPU of three replicas for each certificate", here + 2 * beside, sum(three.signers), "µs", 0.25)
    return table.good


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; exit status 1 when a prediction was wrong."""
    parser = argparse.ArgumentParser(prog="benchmarks.scaling", description=__doc__)
    parser.add_argument(
        "--count", type=int, default=600, help="requests of a small load; the large one has five times as many"
    )
    parser.add_argument("--issuers", type=int, default=200, help="issuers that are added at first")
    parser.add_argument("--tenants", type=int, default=500, help="tenants that are added at first")
    parser.add_argument("--rest", type=float, default=60, help="seconds at rest, for the calls")
    options = parser.parse_args(arguments)
    print(f"{machine()}; API server and etcd on the same machine")
    with LocalCluster() as cluster:
        return 0 if asyncio.run(measure(cluster, options)) else 1


if __name__ == "__main__":
    sys.exit(main())
