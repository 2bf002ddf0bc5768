"""The four measurements: drain, CPU, memory, start-up. Each starts its own processes and leaves none behind.

Everything runs on loopback and on this machine's cores, the API server and etcd included: whatever the signer burns
is taken from them, for the bare client just as for us.
"""

import asyncio
import json
import os
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.observer import Observer, observing
from tests import pki
from tests.localmesh import LocalCluster
from tests.localmesh.build import build_module
from tests.localmesh.install import install
from tests.localmesh.istiod_requests import Created, Workload, create_requests, delete_requests, install_istiod
from tests.localmesh.processes import Process
from tests.localmesh.signer import NAMESPACE, SIGNER_ACCOUNT, SignerProcess

WINDOW = 64
PATIENCE = 60.0
CA_KINDS = {"rsa": "RSA 2048", "p256": "P-256"}


@dataclass(frozen=True)
class Drain:
    """One drain: certificates per second between the first and the last write, and CPU per certificate in µs."""

    rate: float
    cpu: float


@dataclass
class Pairs:
    """The drains of one CA kind: pairs of ours and the bare client's, one after the other."""

    ours: list[Drain] = field(default_factory=list)
    bare: list[Drain] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """The median of the pairs' ratios."""
        return statistics.median(a.rate / b.rate for a, b in zip(self.ours, self.bare, strict=True))


def prepare(cluster: LocalCluster) -> Path:
    """Install what a cluster has, and a ClusterIssuer for each CA kind; returns istiod's kubeconfig."""
    install(cluster)
    for kind in CA_KINDS:
        files = []
        for name, content in pki.CA(kind, kind=kind).secret().items():
            path = cluster.folder / f"{kind}.{name}"
            path.write_bytes(content)
            files.append(f"--from-file={name}={path}")
        cluster.kubectl("create", "secret", "generic", f"ca-{kind}", "-n", NAMESPACE, *files)
        issuer = {
            "apiVersion": "cert-manager.io/v1",
            "kind": "ClusterIssuer",
            "metadata": {"name": kind},
            "spec": {"ca": {"secretName": f"ca-{kind}"}},
        }
        cluster.apply(json.dumps(issuer))
    return install_istiod(cluster, [*CA_KINDS, "absent"])


def bare_client() -> Path:
    """The bare client's program, built when it is not there yet."""
    return build_module(Path(__file__).with_name("barewriter"), ".", "barewriter")


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> tuple[float, float]:
    """Resident memory of a process now, and at its highest, in MB."""
    found = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in {"VmRSS", "VmHWM"}:
            found[name] = int(value.split()[0]) / 1000
    return found["VmRSS"], found["VmHWM"]


async def drain_ours(cluster: LocalCluster, observer: Observer, count: int, *, tenancy: str = "off") -> Drain:
    """Our signer, started anew, under its own ServiceAccount."""
    signer = SignerProcess(cluster, "--controllers=csr", f"--write-window={WINDOW}", tenancy=tenancy)
    observer.expect(count)
    await asyncio.to_thread(signer.start, wait=False)
    try:
        first, last = await observer.all_answered(PATIENCE)
        cpu = cpu_seconds(signer.pid or 0)
    finally:
        await asyncio.to_thread(signer.stop)  # killed, it would count as a live replica for a while
    return Drain((count - 1) / (last - first), cpu / count * 1e6)


async def drain_bare(cluster: LocalCluster, observer: Observer, count: int, kind: str) -> Drain:
    """The bare client: writes one fixed certificate, signs and checks nothing."""
    process = Process("barewriter", cluster.folder)
    certificate = cluster.folder / "fixed.pem"
    if not certificate.exists():
        certificate.write_bytes(pki.cert_pem(pki.CA("fixed").certificate))
    observer.expect(count)
    program = await asyncio.to_thread(bare_client)
    config = await asyncio.to_thread(cluster.service_account_kubeconfig, NAMESPACE, SIGNER_ACCOUNT)
    command: list[str | Path] = [
        program,
        f"--kubeconfig={config}",
        f"--signer={Workload('', '', kind).signer_name}",
        f"--writers={WINDOW}",
        f"--certificate-file={certificate}",
    ]
    await asyncio.to_thread(process.start, command)
    try:
        first, last = await observer.all_answered(PATIENCE)
        cpu = cpu_seconds(process.pid or 0)
    finally:
        await asyncio.to_thread(process.kill)
    return Drain((count - 1) / (last - first), cpu / count * 1e6)


async def approved(istiod: Path, signer: str, count: int) -> list[Created]:
    """Make approved requests as istiod does: RSA 2048 workload keys, Istio's default."""
    return await create_requests(istiod, [Workload(f"ns-{n % 50}", "default", signer) for n in range(count)])


async def drains(cluster: LocalCluster, istiod: Path, kind: str, count: int, pairs: int) -> Pairs:
    """Alternating pairs; which of the two comes first alternates too."""
    found = Pairs()
    async with observing(cluster.kubeconfig()) as observer:
        for number in range(pairs):
            for ours in (True, False) if number % 2 == 0 else (False, True):
                made = await approved(istiod, kind, count)
                if ours:
                    found.ours.append(await drain_ours(cluster, observer, count))
                else:
                    found.bare.append(await drain_bare(cluster, observer, count, kind))
                await delete_requests(istiod, [one.name for one in made])
    return found


async def pending_memory(cluster: LocalCluster, istiod: Path, count: int) -> tuple[float, float]:
    """Memory (MB, now and highest) with `count` approved requests that wait for an issuer that does not exist."""
    made = await approved(istiod, "absent", count)
    signer = SignerProcess(cluster, "--controllers=csr")
    await asyncio.to_thread(signer.start)
    try:
        await asyncio.to_thread(signer.wait_for_metric, "mesh_signer_waiting_requests", count, 120)
        result = memory(signer.pid or 0)
    finally:
        await asyncio.to_thread(signer.kill)
    await delete_requests(istiod, [one.name for one in made])
    return result


async def start_up(cluster: LocalCluster, istiod: Path, times: int) -> list[float]:
    """Seconds from the start of the process to its first certificate, for a request that waits already."""
    found = []
    async with observing(cluster.kubeconfig()) as observer:
        for _ in range(times):
            made = await approved(istiod, "p256", 1)
            signer = SignerProcess(cluster, "--controllers=csr")
            command = await asyncio.to_thread(signer.prepare)
            observer.expect(1)
            started = time.perf_counter()
            await asyncio.to_thread(command)
            try:
                first, _ = await observer.all_answered(60)
                found.append(first - started)
            finally:
                await asyncio.to_thread(signer.kill)
            await delete_requests(istiod, [one.name for one in made])
    return found
