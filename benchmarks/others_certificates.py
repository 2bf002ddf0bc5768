"""How long one namespace's Certificate waits while another's are broken, or want the largest keys.

    .venv/bin/python -m benchmarks.others_certificates

One namespace holds 300 Certificates that cannot be issued and 16 that want RSA keys of 8192 bits; a Certificate of another one
is timed from its creation until it is Ready: alone, and while they are worked. Medians of some, one after the other.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.table import Table, machine
from signer.api.certificate import CERTIFICATES
from signer.api.issuer import CLUSTER_ISSUERS
from signer.api.namespace import NAMESPACES
from signer.kube.access.config import load_config
from signer.kube.client import ApiClient
from tests.localmesh import LocalCluster
from tests.localmesh.install import install
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, SignerProcess

CONTROLLERS = "issuers,certificates,certificaterequests"
# What cannot be issued, each in its own way; by turns.
BROKEN: tuple[dict[str, Any], ...] = (
    {"uris": ["spiffe://[::1]/a"]},
    {"subject": {"organizations": ["", ""]}},
    {"commonName": "with\ta tab"},
    {"dnsNames": ["a" * 300 + ".example.com"]},
    {"issuerRef": {"name": "nobody", "kind": "ClusterIssuer"}},
)
PATIENCE = 600.0


async def certificate(client: ApiClient, namespace: str, name: str, **fields: Any) -> None:
    """Create a Certificate of the ClusterIssuer `own`."""
    spec = {
        "secretName": name,
        "dnsNames": [f"{name}.example.com"],
        "issuerRef": {"name": "own", "kind": "ClusterIssuer"},
    } | fields
    await client.create(CERTIFICATES, {"metadata": {"name": name, "namespace": namespace}, "spec": spec})


async def until_ready(client: ApiClient, namespace: str, name: str) -> float:
    """Create a Certificate and return the seconds until it is Ready."""
    begun = time.monotonic()
    await certificate(client, namespace, name)
    while time.monotonic() - begun < PATIENCE:
        found = await client.get(CERTIFICATES, name, namespace)
        conditions = found.get("status", {}).get("conditions", [])
        if any(one["type"] == "Ready" and one["status"] == "True" for one in conditions):
            return time.monotonic() - begun
        await asyncio.sleep(0.02)
    raise TimeoutError(f"Certificate {namespace}/{name} was not Ready within {PATIENCE:.0f} s")


async def measure(client: ApiClient, options: argparse.Namespace) -> bool:
    """Time it alone, then beside the others; print the row."""
    for name in ("honest", "broken"):
        await client.create(NAMESPACES, {"metadata": {"name": name}})
    await client.create(CLUSTER_ISSUERS, {"metadata": {"name": "own"}, "spec": {"selfSigned": {}}})
    await until_ready(client, "honest", "first")
    alone = [await until_ready(client, "honest", f"alone-{n}") for n in range(options.times)]
    for n in range(options.large):
        await certificate(client, "broken", f"large-{n}", privateKey={"algorithm": "RSA", "size": 8192})
    for n in range(options.broken):
        await certificate(client, "broken", f"broken-{n}", **BROKEN[n % len(BROKEN)])
    beside = [await until_ready(client, "honest", f"beside-{n}") for n in range(options.times)]
    table = Table("another namespace's Certificate is Ready", "alone, s", "beside them, s", "ratio", "goal", "")
    before, after = statistics.median(alone), statistics.median(beside)
    ratio = after / before
    table.row(
        f"beside {options.broken} broken ones and {options.large} of RSA 8192",
        f"{before:.2f} (at most {max(alone):.2f})",
        f"{after:.2f} (at most {max(beside):.2f})",
        f"{ratio:.2f}",
        "<= 2",
        table.judge(reached=ratio <= 2),
    )
    return table.good


async def run(cluster: LocalCluster, options: argparse.Namespace) -> bool:
    """Measure with the controllers as a process of their own."""
    install(cluster)
    process = SignerProcess(cluster, f"--controllers={CONTROLLERS}", account=CONTROLLERS_ACCOUNT, name="controllers")
    with process:
        async with ApiClient(load_config(str(cluster.kubeconfig()))) as client:
            return await measure(client, options)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; exit status 1 when the goal was missed."""
    parser = argparse.ArgumentParser(prog="benchmarks.others_certificates", description=__doc__)
    parser.add_argument("--broken", type=int, default=300, help="Certificates that cannot be issued")
    parser.add_argument("--large", type=int, default=16, help="Certificates with RSA keys of 8192 bits")
    parser.add_argument("--times", type=int, default=7, help="Certificates that are timed, alone and beside")
    options = parser.parse_args(arguments)
    print(f"{machine()}; API server and etcd on the same machine\n")
    with LocalCluster() as cluster:
        return 0 if asyncio.run(run(cluster, options)) else 1


if __name__ == "__main__":
    sys.exit(main())
