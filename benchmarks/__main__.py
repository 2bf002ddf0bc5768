"""`make bench`: the table of docs/performance.md, measured on this machine, now.

Every figure comes with its limit from the same run, since machines drift by a third within minutes.
"""

import argparse
import asyncio
import statistics
import sys
from collections.abc import Sequence

from benchmarks import scenes
from benchmarks.table import Table, machine
from tests.localmesh import LocalCluster


async def measure(cluster: LocalCluster, options: argparse.Namespace) -> bool:
    """Print the table; whether every figure reached its goal."""
    istiod = await asyncio.to_thread(scenes.prepare, cluster)
    table = Table("what", "mesh-signer", "bare client", "ratio", "goal", "")
    goals = {"rsa": 0.5, "p256": 0.7}
    for kind, label in scenes.CA_KINDS.items():
        pairs = await scenes.drains(cluster, istiod, kind, options.count, options.pairs)
        ours, bare = (statistics.median(one.rate for one in side) for side in (pairs.ours, pairs.bare))
        table.row(
            f"drain of {options.count:,} approved requests, {label} CA, certificates/s",
            f"{ours:.0f}",
            f"{bare:.0f}",
            f"{pairs.ratio:.2f} ({', '.join(f'{a.rate / b.rate:.2f}' for a, b in zip(pairs.ours, pairs.bare, strict=True))})",
            f"≥ {goals[kind]}",
            table.judge(reached=pairs.ratio >= goals[kind]),
        )
        cpu_ours, cpu_bare = (statistics.median(one.cpu for one in side) for side in (pairs.ours, pairs.bare))
        table.row(
            f"CPU per certificate, {label} CA, µs (start-up included)",
            f"{cpu_ours:.0f}",
            f"{cpu_bare:.0f}",
            f"{cpu_ours / cpu_bare:.2f}",
            "",
            "",
        )
    starts = await scenes.start_up(cluster, istiod, 5)
    slowest = max(starts)
    table.row(
        "start of the process to its first certificate, s (slowest of 5)",
        f"{slowest:.2f}",
        "",
        "",
        "< 2",
        table.judge(reached=slowest < 2),
    )
    now, highest = await scenes.pending_memory(cluster, istiod, options.pending)
    table.row(
        f"memory with {options.pending:,} pending requests, MB (highest)",
        f"{now:.0f} ({highest:.0f})",
        "",
        "",
        "< 150",
        table.judge(reached=highest < 150),
    )
    return table.good


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; exit status 1 when a goal was missed."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--count", type=int, default=3000, help="requests in a drain")
    parser.add_argument("--pairs", type=int, default=3, help="alternating pairs for each CA kind")
    parser.add_argument("--pending", type=int, default=10_000, help="pending requests for the memory")
    options = parser.parse_args(arguments)
    scenes.bare_client()
    print(f"{machine()}; API server and etcd on the same machine\n")
    with LocalCluster() as cluster:
        return 0 if asyncio.run(measure(cluster, options)) else 1


if __name__ == "__main__":
    sys.exit(main())
