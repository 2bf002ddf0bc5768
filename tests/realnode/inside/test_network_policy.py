"""The component `network-policy`, where something enforces it: what it lets through, and what not."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.realnode.images import IMAGE
from tests.realnode.installation import DEPLOYMENTS, MANIFESTS, NAMESPACE, Installation, name

CLIENTS = "clients"
_SERVER = f"""
apiVersion: v1
kind: Pod
metadata: {{name: outsider, namespace: {CLIENTS}}}
spec:
  terminationGracePeriodSeconds: 1  # Python as the first process takes no SIGTERM
  containers:
    - name: server
      image: {IMAGE}
      imagePullPolicy: Never
      command: [python, -m, http.server, "9000"]
      readinessProbe: {{tcpSocket: {{port: 9000}}, periodSeconds: 1}}
"""
_CONNECT = """
import socket
try: socket.create_connection(({!r}, {}), timeout=5).close()
except OSError as error: print(error)
else: print("connected")
"""
_LISTEN = """
import os, socket
listening = socket.create_server(("0.0.0.0", 9999))
if os.fork() == 0:
    os.setsid()
    for one in range(3): os.dup2(os.open(os.devnull, os.O_RDWR), one)  # or whoever ran this waits for it
    while True: listening.accept()[0].close()
"""


@pytest.fixture(scope="module")
def outsider(installed: Installation) -> Iterator[str]:
    """The address of a Pod in a namespace of others, which listens on port 9000."""
    installed.node.cluster.create_namespace(CLIENTS)
    installed.node.cluster.apply(_SERVER)
    installed.kubectl("wait", "-n", CLIENTS, "--for=condition=Ready", "--timeout=120s", "pod/outsider")
    yield installed.node.cluster.get("pod", "outsider", "-n", CLIENTS)["status"]["podIP"]
    installed.kubectl("delete", "namespace", CLIENTS)


def connects(installed: Installation, pod: str, namespace: str, address: str, port: int) -> bool:
    """Whether a Pod's own process can connect to an address."""
    return installed.run(pod, _CONNECT.format(address, port), namespace) == "connected"


def test_what_is_let_through(installed: Installation, outsider: str, tmp_path: Path) -> None:
    """With the component, metrics and challenges come in and nothing else, nothing leaves for other Pods, and it still signs."""
    targets = {one: installed.pods(one)[0] for one in DEPLOYMENTS}
    for pod in targets.values():
        installed.run(name(pod), _LISTEN)

    def seen() -> dict[str, bool]:
        found = {}
        for one, pod in targets.items():
            address = pod["status"]["podIP"]
            found[f"{one} metrics"] = connects(installed, "outsider", CLIENTS, address, 9402)
            found[f"{one} another port"] = connects(installed, "outsider", CLIENTS, address, 9999)
            found[f"{one} out"] = connects(installed, name(pod), NAMESPACE, outsider, 9000)
        address = targets["mesh-signer-controllers"]["status"]["podIP"]
        found["challenges"] = connects(installed, "outsider", CLIENTS, address, 8089)
        return found

    before = seen()
    assert set(before.values()) == {True}, f"without it everything is open: {before}"
    # As an operator adds it: a kustomization of his own, on top of what is installed.
    kustomization = tmp_path / "kustomization.yaml"
    above = "/".join([".."] * (len(tmp_path.parts) - 1))
    kustomization.write_text(
        "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
        f"resources: [{above}{MANIFESTS}/overlays/istio]\ncomponents: [{above}{MANIFESTS}/components/network-policy]\n"
    )
    installed.node.cluster.apply_kustomize(tmp_path)
    closed = {f"{one} {what}" for one in DEPLOYMENTS for what in ("another port", "out")}
    try:

        def held() -> dict[str, bool] | None:
            found = seen()
            return None if any(found[one] for one in closed) else found

        after = installed.node.wait_for(held, "the policy to hold")
        assert {one for one, there in after.items() if not there} == closed
        # Pods that start under the policy find the API server and DNS, and sign.
        installed.kubectl("rollout", "restart", "-n", NAMESPACE, *(f"deployment/{one}" for one in DEPLOYMENTS))
        installed.settle()
        with installed.steady() as load:
            load.go_on()
            count = load.end()
        assert (load.lost, count.refused, count.open) == ([], 0, 0)
    finally:
        installed.kubectl("delete", "networkpolicy", "-n", NAMESPACE, "mesh-signer", "--ignore-not-found")
