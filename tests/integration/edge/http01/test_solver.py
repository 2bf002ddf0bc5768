"""The shared solver as the controllers run it: in every replica, under their own account, for what is presented."""

import contextlib
import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.localmesh import Cluster
from tests.localmesh.processes import free_port
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, SignerProcess
from tests.unit.edge.http01.test_routes import KEY, TOKEN
from tests.unit.edge.issuance import challenge

pytestmark = pytest.mark.integration

CONTROLLERS = "issuers,acmeissuers,orders,challenges"
CHALLENGES = "challenges.acme.cert-manager.io"
PATH = f"/.well-known/acme-challenge/{TOKEN}"


@pytest.fixture(scope="module")
def replicas(installed: Cluster) -> Iterator[tuple[int, ...]]:
    """Two replicas of the controllers, of which one leads; the ports of their solvers."""
    ports = (free_port(), free_port())
    with contextlib.ExitStack() as stack:
        started = [
            SignerProcess(
                installed,
                f"--controllers={CONTROLLERS}",
                f"--http01-solver-bind=127.0.0.1:{port}",
                account=CONTROLLERS_ACCOUNT,
            )
            for port in ports
        ]
        for one in started:
            stack.enter_context(one)
        installed.wait_for(lambda: sum(one.metric("mesh_signer_leader") for one in started) == 1, "one leader")
        yield ports


def ask(port: int, host: str = "a.example.com", path: str = PATH) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def set_status(cluster: Cluster, namespace: str, name: str, **status: Any) -> None:
    patch = json.dumps({"status": status})
    cluster.kubectl(
        "patch", CHALLENGES, name, "-n", namespace, "--subresource=status", "--type=merge", f"--patch={patch}"
    )


def test_every_replica_answers(installed: Cluster, replicas: tuple[int, ...], namespace: str) -> None:
    """What is presented is answered by all, led or not, for its own host and token; before and afterwards by none."""
    one = challenge()
    body = {
        "apiVersion": "acme.cert-manager.io/v1",
        "kind": "Challenge",
        "metadata": {"name": "c", "namespace": namespace},
        "spec": one.raw_spec,
    }
    installed.kubectl("create", "-f", "-", input=json.dumps(body))
    set_status(installed, namespace, "c", processing=True)
    assert [ask(port) for port in replicas] == [(404, ""), (404, "")]
    set_status(installed, namespace, "c", presented=True)
    for port in replicas:
        installed.wait_for(lambda port=port: ask(port) == (200, KEY), "the answer")  # type: ignore[misc] # bound now
        assert ask(port, host="b.example.com") == (404, "")
        assert ask(port, path=PATH + "x") == (404, "")
        assert ask(port, path="/metrics") == (404, "")
    set_status(installed, namespace, "c", presented=False)
    for port in replicas:
        installed.wait_for(lambda port=port: ask(port) == (404, ""), "no answer")  # type: ignore[misc] # bound now
