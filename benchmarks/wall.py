"""What the wall costs, and whether tenants hold each other up, on a real API server.

    .venv/bin/python -m benchmarks.wall

Each figure stands beside the same without the wall, or without the flood, from the same run, in alternating pairs.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import scenes
from benchmarks.observer import Observer, observing
from benchmarks.table import Table, machine
from tests.integration.tenants import define_proxy_configs
from tests.localmesh import LocalCluster
from tests.localmesh.istiod_requests import (
    Workload,
    create_requests,
    delete_requests,
    install_istiod,
    istiod_client,
    make_csr,
    make_key,
    make_object,
)
from tests.localmesh.signer import SignerProcess

TENANTS = 100
FLOODER = "ns-0"
FLOOD_SIGNER = "flood"
KIND = "p256"


def prepare(cluster: LocalCluster) -> Path:
    """As for the other benchmarks, and the wall: mesh signers, a hundred tenants, and who may have what."""
    scenes.prepare(cluster)
    define_proxy_configs(cluster)
    names = [Workload("", "", signer).signer_name for signer in (*scenes.CA_KINDS, FLOOD_SIGNER)]
    mesh = json.dumps({"caCertificates": [{"pem": "x", "certSigners": names}]})
    metadata = {"name": "istio", "namespace": "istio-system"}
    cluster.apply(json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"mesh": mesh}}))
    tenants = [f"ns-{n}" for n in range(TENANTS)]
    for tenant in tenants:
        cluster.create_namespace(tenant)
    policy = {
        "apiVersion": "mesh-signer.dev/v1alpha1",
        "kind": "SignerPolicy",
        "metadata": {"name": "tenants"},
        "spec": {"signers": names, "namespaces": {"names": tenants}},
    }
    cluster.apply(json.dumps(policy))
    return install_istiod(cluster, [*scenes.CA_KINDS, FLOOD_SIGNER, "absent"])


async def drains(
    cluster: LocalCluster, istiod: Path, kind: str, count: int, pairs: int
) -> tuple[list[scenes.Drain], list[scenes.Drain]]:
    """Drain the same kind of requests with the wall and without, in turns; who is first alternates."""
    found: dict[str, list[scenes.Drain]] = {"enforce": [], "off": []}
    async with observing(cluster.kubeconfig()) as observer:
        for number in range(pairs):
            for tenancy in ("enforce", "off") if number % 2 == 0 else ("off", "enforce"):
                made = await scenes.approved(istiod, kind, count)
                found[tenancy].append(await scenes.drain_ours(cluster, observer, count, tenancy=tenancy))
                await delete_requests(istiod, [one.name for one in made])
    return found["enforce"], found["off"]


async def others(istiod: Path, rate: float, seconds: float, begun: asyncio.Event) -> list[tuple[str, str]]:
    """All tenants but the flooder ask, `rate` times a second in all at random moments; (name, uid) of each request."""
    key, made = make_key("rsa"), list[tuple[str, str]]()
    chance = random.Random(7)

    async with istiod_client(istiod) as client, asyncio.TaskGroup() as tasks:

        async def one(tenant: str) -> None:
            workload = Workload(tenant, "default", KIND)
            created = await client.create(make_object(workload, make_csr(workload.spiffe_id, key)))
            await client.approve(created)
            made.append((created["metadata"]["name"], created["metadata"]["uid"]))

        for tenant in range(1, TENANTS):  # signing these takes long: not while it is measured
            make_csr(Workload(f"ns-{tenant}", "default", KIND).spiffe_id, key)
        loop = asyncio.get_running_loop()
        end, following = loop.time() + seconds, loop.time()
        begun.set()
        while following < end:
            tasks.create_task(one(f"ns-{chance.randrange(1, TENANTS)}"))
            following += chance.expovariate(rate)
            await asyncio.sleep(max(following - loop.time(), 0))
    return made


async def tenants_wait(
    cluster: LocalCluster, istiod: Path, observer: Observer, *, flood: int, rate: float, seconds: float
) -> tuple[list[float], float]:
    """How long the others' requests wait for their answer; with `flood`, so many of one tenant's become ready meanwhile.

    The second figure is the flood's own certificates a second, 0 without one.
    """
    storm = await create_requests(istiod, [Workload(FLOODER, "default", FLOOD_SIGNER)] * flood) if flood else []
    signer = SignerProcess(cluster, "--controllers=csr", f"--write-window={scenes.WINDOW}", tenancy="enforce")
    await asyncio.to_thread(signer.start)
    try:
        if flood:
            await asyncio.to_thread(signer.wait_for_metric, "mesh_signer_waiting_requests", flood, 60)
        observer.expect(1 << 60)
        begun = asyncio.Event()
        asking = asyncio.create_task(others(istiod, rate, seconds, begun))
        await begun.wait()
        if flood:
            await asyncio.sleep(1)
            issuer = {"apiVersion": "cert-manager.io/v1", "kind": "ClusterIssuer", "metadata": {"name": FLOOD_SIGNER}}
            spec = {"ca": {"secretName": f"ca-{KIND}"}}
            await asyncio.to_thread(cluster.apply, json.dumps({**issuer, "spec": spec}))
        made = await asking
        uids = [uid for _, uid in made] + [one.uid for one in storm]
        async with asyncio.timeout(scenes.PATIENCE):
            while len(observer.answered(uids)) < len(uids):  # noqa: ASYNC110 - two loops, one of them another kind
                await asyncio.sleep(0.2)
        answered = sorted(observer.answered(one.uid for one in storm))
        waits = observer.waits(uid for _, uid in made)
        pace = (len(answered) - 1) / (answered[-1] - answered[0]) if answered else 0.0
    finally:
        await asyncio.to_thread(signer.stop)  # killed, it would count as a live replica for a while
        await asyncio.to_thread(cluster.kubectl, "delete", "clusterissuer", FLOOD_SIGNER, "--ignore-not-found")
        await delete_requests(istiod, [*(name for name, _ in made), *(one.name for one in storm)])
    return waits, pace


def p99(waits: Sequence[float]) -> float:
    """The wait that one in a hundred is above, in ms."""
    return statistics.quantiles(waits, n=100)[98] * 1000


async def measure(cluster: LocalCluster, options: argparse.Namespace) -> bool:
    """Print the table; whether every figure reached its goal."""
    istiod = await asyncio.to_thread(prepare, cluster)
    table = Table("what", "with", "without", "ratio", "goal", "")
    if options.pairs:
        walled, bare = await drains(cluster, istiod, KIND, options.count, options.pairs)
        ratios = [a.rate / b.rate for a, b in zip(walled, bare, strict=True)]
        ratio = statistics.median(ratios)
        table.row(
            f"the wall: drain of {options.count:,} requests of 50 tenants, certificates/s",
            f"{statistics.median(one.rate for one in walled):.0f}",
            f"{statistics.median(one.rate for one in bare):.0f}",
            f"{ratio:.3f} ({', '.join(f'{one:.2f}' for one in ratios)})",
            "≥ 0.95",
            table.judge(reached=ratio >= 0.95),
        )
        cpu = [statistics.median(one.cpu for one in side) for side in (walled, bare)]
        table.row(
            "the wall: CPU per certificate, µs (start-up included)",
            f"{cpu[0]:.0f}",
            f"{cpu[1]:.0f}",
            f"{cpu[0] / cpu[1]:.2f}",
            "",
            "",
        )
    if options.floods:
        quiet: list[float] = []
        flooded: list[float] = []
        pace = 0.0
        async with observing(cluster.kubeconfig()) as observer:
            for number in range(options.floods):
                for flood in (0, options.flood) if number % 2 == 0 else (options.flood, 0):
                    waits, pace_now = await tenants_wait(
                        cluster, istiod, observer, flood=flood, rate=options.rate, seconds=options.seconds
                    )
                    (flooded if flood else quiet).append(p99(waits))
                    pace = max(pace, pace_now)
        ratios = [a / b for a, b in zip(flooded, quiet, strict=True)]
        ratio = statistics.median(ratios)
        table.row(
            f"a flood of {options.flood:,} of one tenant ({pace:.0f}/s): p99 of {TENANTS - 1} others at {options.rate:.0f}/s, ms",
            f"{statistics.median(flooded):.1f}",
            f"{statistics.median(quiet):.1f}",
            f"{ratio:.2f} ({', '.join(f'{one:.2f}' for one in ratios)})",
            "< 2",
            table.judge(reached=ratio < 2),
        )
    return table.good


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; exit status 1 when a goal was missed."""
    parser = argparse.ArgumentParser(prog="benchmarks.wall", description=__doc__)
    parser.add_argument("--count", type=int, default=3000, help="requests in a drain")
    parser.add_argument("--pairs", type=int, default=5, help="alternating pairs of drains, with the wall and without")
    parser.add_argument("--flood", type=int, default=3000, help="requests of the tenant that floods")
    parser.add_argument("--floods", type=int, default=3, help="alternating pairs with the flood and without")
    parser.add_argument("--rate", type=float, default=50, help="requests a second of the other tenants")
    parser.add_argument("--seconds", type=float, default=10, help="for how long they ask")
    options = parser.parse_args(arguments)
    print(f"{machine()}; API server and etcd on the same machine\n")
    with LocalCluster() as cluster:
        return 0 if asyncio.run(measure(cluster, options)) else 1


if __name__ == "__main__":
    sys.exit(main())
