"""What a start costs: of a command, of the controllers until they ask the API server, and until the first certificate.

    .venv/bin/python -m benchmarks.start           # without a cluster, in a minute
    .venv/bin/python -m benchmarks.start --whole   # with one: the first certificate, and memory at rest

Seconds of CPU (user and system, all threads), medians. One process first for each, which writes Python's compiled files. What is
imported is promised in tests/unit/commands/test_start.py; here is what it takes.
"""

import argparse
import asyncio
import json
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import scenes
from benchmarks.observer import observing
from benchmarks.table import Table, machine
from tests import pki
from tests.localmesh import LocalCluster
from tests.localmesh.istiod_requests import delete_requests
from tests.localmesh.signer import SignerProcess

PROCESSES = 10
STARTS = 5
REST = 20.0
"""Seconds after which a process that was started is at rest."""
CLI = "import sys; from signer.cli import main; sys.exit(main())"
CASES: tuple[tuple[str, tuple[str, ...], float | None], ...] = (
    ("Python itself", ("pass",), None),
    ("mesh-signer --version", (CLI, "--version"), 0.15),
    ("mesh-signer --help", (CLI, "--help"), 0.15),
    ("what mesh-signer run imports", ("import gc; gc.disable(); import signer.commands.run, signer.app",), None),
)
STARTED, CERTIFICATE, MEMORY = 0.35, 0.5, 70.0


def cpu(*arguments: str) -> float:
    """User and system time of one process of Python with this code and these arguments, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", *arguments], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def cpu_now(pid: int) -> float:
    """What a process has used until now, in seconds, to the nanosecond: schedstat of each of its threads that still runs."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(one.read_text().split()[0]) for one in threads) / 1e9


def until_it_asks(folder: Path) -> float:
    """CPU of `mesh-signer run` with a plain kubeconfig from its start to its first connection to the API server, in seconds."""
    ca = folder / "ca.pem"
    ca.write_bytes(pki.CA("API server").pem)
    with socket.create_server(("127.0.0.1", 0)) as server:
        cluster = {"server": f"https://127.0.0.1:{server.getsockname()[1]}", "certificate-authority": str(ca)}
        document = {
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": {"token": "t"}}],
        }
        path = folder / "kubeconfig"
        path.write_text(json.dumps(document))
        command = ("run", "--controllers=csr", f"--kubeconfig={path}", "--audit-log=none", "--bind=none")
        process = subprocess.Popen([sys.executable, "-c", CLI, *command], stderr=subprocess.DEVNULL)
        try:
            server.settimeout(60)
            connection, _ = server.accept()
            took = cpu_now(process.pid)
            connection.close()
        finally:
            process.kill()
            process.wait()
    return took


async def whole(cluster: LocalCluster) -> tuple[float, float]:
    """CPU from the start to the first certificate, in seconds, for a request that waits already; memory at rest, in MB."""
    istiod = await asyncio.to_thread(scenes.prepare, cluster)
    took, memory = [], []
    async with observing(cluster.kubeconfig()) as observer:
        for _ in range(STARTS):
            made = await scenes.approved(istiod, "p256", 1)
            signer = SignerProcess(cluster, "--controllers=csr")
            command = await asyncio.to_thread(signer.prepare)
            observer.expect(1)
            await asyncio.to_thread(command)
            try:
                await observer.all_answered(60)
                took.append(cpu_now(signer.pid or 0))
                await asyncio.to_thread(time.sleep, REST)
                memory.append(scenes.memory(signer.pid or 0)[0])
            finally:
                await asyncio.to_thread(signer.kill)
            await delete_requests(istiod, [one.name for one in made])
    return statistics.median(took), statistics.median(memory)


def judged(table: Table, what: str, found: float, most: float | None, form: Callable[[float], str]) -> None:
    """Print a row."""
    if most is None:
        table.row(what, form(found), "", "")
    else:
        table.row(what, form(found), f"≤ {most:g}", table.judge(reached=found <= most))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; exit status 1 when a start costs more than it may."""
    parser = argparse.ArgumentParser(prog="benchmarks.start", description=__doc__)
    parser.add_argument(
        "--whole", action="store_true", help="with a local cluster: the first certificate, memory at rest"
    )
    options = parser.parse_args(arguments)
    print(f"{machine()}\n")
    table = Table("start", "found", "goal", "")

    def seconds(found: float) -> str:
        return f"{found:.3f}"

    for what, code, goal in CASES:
        cpu(*code)
        judged(table, f"{what}, CPU, s", statistics.median(cpu(*code) for _ in range(PROCESSES)), goal, seconds)
    with tempfile.TemporaryDirectory() as folder:
        asked = statistics.median(until_it_asks(Path(folder)) for _ in range(PROCESSES))
    judged(table, "mesh-signer run, until it asks the API server, CPU, s", asked, STARTED, seconds)
    if options.whole:
        with LocalCluster() as cluster:
            first, rest = asyncio.run(whole(cluster))
        judged(table, "mesh-signer run, until its first certificate, CPU, s", first, CERTIFICATE, seconds)
        judged(table, f"memory {REST:g} s after that, MB", rest, MEMORY, lambda found: f"{found:.0f}")
    return 0 if table.good else 1


if __name__ == "__main__":
    sys.exit(main())
