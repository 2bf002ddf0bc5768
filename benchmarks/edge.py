"""What the edge promises about time and rest, with real Gateways.

    .venv/bin/python -m benchmarks.edge

A hundred hosts from nothing to served: real istiod, Envoy as the gateway, Pebble (which waits nowhere on purpose) as the CA. And
a thousand Gateways whose certificates are valid, at rest: CPU of the controllers' process over a minute. Their certificates are a
CA issuer's, as a thousand ACME orders are no part of what is measured; what is done at rest is the same.
"""

import argparse
import base64
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import yaml
from cryptography import x509

from benchmarks import scenes
from benchmarks.table import Table, machine
from signer.api.tls_secret import is_placeholder
from tests import pki
from tests.localmesh.build import find_program
from tests.localmesh.edge import CONTROLLERS, EDGE_PROGRAMS, Edge
from tests.localmesh.mesh import Mesh, build_everything

ISSUER, COMPANY = "letsencrypt", "company"
GATEWAYS = "gateways.networking.istio.io"
_PATIENCE = 900.0
_EACH_APPLY = 50


def apply(edge: Edge, documents: Iterable[dict[str, Any]]) -> None:
    """Apply objects, some at a time, as kubectl holds all of them in memory."""
    waiting = list(documents)
    for start in range(0, len(waiting), _EACH_APPLY):
        edge.cluster.apply(yaml.safe_dump_all(waiting[start : start + _EACH_APPLY]))


def from_nothing(edge: Edge, gateways: int, hosts_each: int) -> float:
    """Seconds from before the first Gateway is written until a client trusts each host."""
    apply(edge, [edge.issuer(ISSUER)])

    def ready() -> bool:
        found = edge.cluster.get("clusterissuer", ISSUER).get("status", {}).get("conditions", [])
        return any(one["type"] == "Ready" and one["status"] == "True" for one in found)

    edge.cluster.wait_for(ready, "a Ready issuer", _PATIENCE)
    hosts = {n: [f"h{n}-{m}.example.com" for m in range(hosts_each)] for n in range(gateways)}
    begun = time.monotonic()
    apply(edge, (edge.istio_gateway(f"bench-{n}", *mine, issuer=ISSUER) for n, mine in hosts.items()))
    left = [host for mine in hosts.values() for host in mine]
    while left:
        # Each look costs the gateway a handshake: one at a time, the oldest first.
        if edge.visit(left[0]).trusted:
            left.pop(0)
        else:
            time.sleep(0.2)
        if time.monotonic() - begun > _PATIENCE:
            raise TimeoutError(f"{len(left)} hosts are not served after {_PATIENCE:.0f} s, first {left[0]}")
    taken = time.monotonic() - begun
    edge.cluster.kubectl("delete", GATEWAYS, "--all", "-n", "istio-system")
    return taken


def secrets_issued(edge: Edge, prefix: str) -> int:
    """How many Secrets whose names begin like this hold an issued certificate."""
    found = edge.cluster.get("secrets", "-n", "istio-system", "--field-selector=type=kubernetes.io/tls")["items"]
    mine = (one["data"]["tls.crt"] for one in found if one["metadata"]["name"].startswith(prefix))
    return sum(not is_placeholder(x509.load_pem_x509_certificate(base64.b64decode(text))) for text in mine)


def settled(cpu: Callable[[], float], seconds: float) -> None:
    """Wait, so many seconds at most, until the process has come to rest: what is left over are Events, some each second.

    At rest is who used no less in each of three windows of twenty seconds than in the best window before.
    """
    best, same, end = float("inf"), 0, time.monotonic() + seconds
    while same < 3 and time.monotonic() < end:
        start = cpu()
        time.sleep(20)
        used = cpu() - start
        same = same + 1 if used >= 0.9 * best else 0
        best = min(best, used)


def at_rest(edge: Edge, gateways: int, seconds: float) -> tuple[float, float]:
    """Make so many Gateways; CPU seconds that each second at rest costs, and the process' memory in MB."""
    metadata = {"name": f"ca-{COMPANY}", "namespace": "cert-manager"}
    data = {name: base64.b64encode(content).decode() for name, content in pki.CA(COMPANY).secret().items()}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "kubernetes.io/tls", "data": data}
    spec = {"ca": {"secretName": f"ca-{COMPANY}"}}
    issuer = {"apiVersion": "cert-manager.io/v1", "kind": "ClusterIssuer", "metadata": {"name": COMPANY}, "spec": spec}
    apply(edge, [secret, issuer])
    apply(edge, (edge.istio_gateway(f"rest-{n}", f"r{n}.example.com", issuer=COMPANY) for n in range(gateways)))
    edge.cluster.wait_for(lambda: secrets_issued(edge, "rest-") == gateways, f"{gateways} certificates", _PATIENCE)
    process = edge.mesh.controllers
    pid = process.pid or 0
    settled(lambda: scenes.cpu_seconds(pid), 600)
    start, begun = scenes.cpu_seconds(pid), time.monotonic()
    time.sleep(seconds)
    used = scenes.cpu_seconds(pid) - start
    return used / (time.monotonic() - begun), scenes.memory(pid)[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure; exit status 1 when a goal was missed."""
    parser = argparse.ArgumentParser(prog="benchmarks.edge", description=__doc__)
    parser.add_argument("--gateways", type=int, default=50, help="Gateways from nothing, 0 for none")
    parser.add_argument("--hosts", type=int, default=2, help="hosts of each of them")
    parser.add_argument("--rest", type=int, default=1000, help="Gateways at rest, 0 for none")
    parser.add_argument("--seconds", type=float, default=60, help="of rest")
    options = parser.parse_args(arguments)
    build_everything()
    for program in EDGE_PROGRAMS:
        find_program(program)
    print(f"{machine()}; API server, etcd, istiod and Envoy on the same machine\n")
    mesh = Mesh()
    with mesh, Edge(mesh, controllers=CONTROLLERS) as edge:
        table = Table("what", "found", "goal", "ratio", "")
        if options.gateways:
            taken = from_nothing(edge, options.gateways, options.hosts)
            count = options.gateways * options.hosts
            table.row(
                f"{count} hosts on {options.gateways} Gateways from nothing to served, s",
                f"{taken:.1f}",
                "< 60",
                f"{taken / 60:.2f}",
                table.judge(reached=taken < 60),
            )
        if options.rest:
            share, megabytes = at_rest(edge, options.rest, options.seconds)
            table.row(
                f"{options.rest:,} Gateways at rest, % of a core ({megabytes:.0f} MB)",
                f"{share * 100:.2f}",
                "< 1",
                f"{share * 100:.2f}",
                table.judge(reached=share < 0.01),
            )
    return 0 if table.good else 1


if __name__ == "__main__":
    sys.exit(main())
