"""A tenant who fills his namespace with ProxyConfigs, in whatever way, keeps nobody else from becoming the owner of a signer.

The number of large ones is small enough for every run; MESH_SIGNER_TEST_CROWD sets another (`make soak` does).
"""

import contextlib
import json
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from signer.mesh.proxy_configs import OTHERS
from tests import pki
from tests.faults.conftest import Start
from tests.faults.proxy import Proxy
from tests.integration.hot_path import ASKERS_ROLE, Place
from tests.integration.plain_api import Api, Json, Refused
from tests.integration.tenants import ISTIO, ISTIOD, PROXY_CONFIGS, define_proxy_configs
from tests.localmesh import LocalCluster, kubeconfig
from tests.localmesh.signer import SignerProcess

COUNT = int(os.environ.get("MESH_SIGNER_TEST_CROWD", "30"))
BYTES, ANNOTATION = 1_400_000, 250_000
BINDINGS = "/apis/mesh-signer.dev/v1alpha1/signerbindings"


def path(namespace: str) -> str:
    return f"/apis/{PROXY_CONFIGS}/namespaces/{namespace}/proxyconfigs"


def body(name: str, spec: Json, **metadata: Any) -> Json:
    return {"apiVersion": PROXY_CONFIGS, "kind": "ProxyConfig", "metadata": {"name": name, **metadata}, "spec": spec}


def in_the_spec(name: str) -> Json:
    """One that is large by what it says."""
    return body(name, {"environmentVariables": {"A": "x" * BYTES}})


def in_the_metadata(name: str) -> Json:
    """One that is as large by an annotation as that may be, which comes with every answer that tells of it."""
    return body(name, {}, annotations={"a.example/note": "x" * ANNOTATION})


def small(name: str) -> Json:
    """One of very many."""
    return body(name, {"environmentVariables": {"A": "x"}})


SHAPES: dict[str, tuple[Callable[[str], Json], int, bool]] = {
    "large in what they say": (in_the_spec, COUNT, False),
    "large in their metadata": (in_the_metadata, COUNT, True),
    "very many": (small, OTHERS.listed.objects + 50, True),
}
"""How one looks, how many there are, and whether the namespace has more than is read of one."""


@dataclass
class Crowd:
    """A tenant's namespace, and what he writes there, in four connections at once."""

    cluster: LocalCluster
    namespace: str
    count: int = 0

    def write(self, make: Callable[[str], Json], count: int) -> None:
        self.count = count
        self._each(lambda api, name: api.post(path(self.namespace), make(name)))

    def clear(self) -> None:
        """One by one: all at once would be answered with all of it."""

        def delete(api: Api, name: str) -> None:
            with contextlib.suppress(Refused):
                api.delete(f"{path(self.namespace)}/{name}")

        self._each(delete)

    def _each(self, act: Callable[[Api, str], object]) -> None:
        def some(part: int) -> None:
            with contextlib.closing(Api(kubeconfig.read(self.cluster.kubeconfig()))) as api:
                for number in range(part, self.count, 4):
                    act(api, f"a-{number:05}")

        with ThreadPoolExecutor(4) as threads:
            for _ in threads.map(some, range(4)):
                pass

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """He goes on writing meanwhile: what was there is another version each time."""
        end = threading.Event()

        def again() -> None:
            with contextlib.closing(Api(kubeconfig.read(self.cluster.kubeconfig()))) as api:
                number = 0
                while not end.is_set():
                    number += 1
                    notes = {"metadata": {"annotations": {"a.example/number": str(number)}}}
                    api.patch(f"{path(self.namespace)}/a-{number % COUNT:05}", notes)

        writer = threading.Thread(target=again)
        writer.start()
        try:
            yield
        finally:
            end.set()
            writer.join()


@pytest.fixture
def crowd(breakable: LocalCluster) -> Iterator[Crowd]:
    """His namespace, which is empty so far."""
    define_proxy_configs(breakable)
    breakable.apply(ASKERS_ROLE)
    with contextlib.suppress(Exception):
        breakable.kubectl("create", "namespace", ISTIO)
    found = Crowd(breakable, f"crowd-{secrets.token_hex(4)}")
    breakable.kubectl("create", "namespace", found.namespace)
    yield found
    found.clear()
    breakable.kubectl("delete", "namespace", found.namespace, "--wait=false")


class Newcomers:
    """Tenants who claim a signer that has nobody's name, so that everybody's claims count before it is theirs."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._signers: list[tuple[str, pki.CA]] = []
        self.namespaces: list[str] = []

    def come(self) -> tuple[str, str]:
        """One more; his namespace and his signer."""
        token = secrets.token_hex(4)
        namespace, signer = f"new-{token}", f"team-{token}"
        self._place.cluster.kubectl("create", "namespace", namespace)
        self.namespaces.append(namespace)
        ca = pki.CA(signer)
        full = self._place.ca_issuer(signer, ca)
        self._signers.append((full, ca))
        entries = [{"pem": ca.pem.decode(), "certSigners": [full]} for full, ca in self._signers]
        metadata = {"name": "istio", "namespace": ISTIO}
        mesh = {"mesh": json.dumps({"caCertificates": entries})}
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": mesh}
        self._place.api.apply(f"/api/v1/namespaces/{ISTIO}/configmaps/istio", config)
        claim = body("claim", {"environmentVariables": {"ISTIO_META_CERT_SIGNER": signer}})
        self._place.api.post(path(namespace), claim)
        return namespace, signer

    def become_owners(self) -> None:
        """One more comes, is the owner soon, and has a certificate."""
        namespace, signer = self.come()

        def owner() -> str:
            with contextlib.suppress(Refused):
                return str(self._place.api.get(f"{BINDINGS}/{signer}")["spec"]["namespace"])
            return ""

        assert self._place.until(f"an owner of {signer}", owner) == namespace
        self._place.issue(signer, pki.workload_csr(namespace, "default"), user=ISTIOD)

    def go(self) -> None:
        """Take away what a later test could stumble over."""
        with contextlib.suppress(Refused):
            self._place.api.delete(f"/api/v1/namespaces/{ISTIO}/configmaps/istio")
        for full, _ in self._signers:
            with contextlib.suppress(Refused):
                self._place.api.delete(f"{BINDINGS}/{full.partition('/')[2]}")
        for namespace in self.namespaces:
            self._place.cluster.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture
def newcomers(place: Place) -> Iterator[Newcomers]:
    """Nobody has come so far."""
    found = Newcomers(place)
    yield found
    found.go()
    place.forget()


def says(signer: SignerProcess, namespace: str) -> bool:
    return f"namespace {namespace} has more ProxyConfigs" in signer.log


@pytest.mark.parametrize("shape", SHAPES)
def test_others_become_owners(
    start: Start, account: Path, proxy: Proxy, crowd: Crowd, newcomers: Newcomers, place: Place, shape: str
) -> None:
    """While he writes, when it is there, and after a restart; where he has more than is read of one namespace, he is told."""
    make, count, over = SHAPES[shape]
    through = proxy.kubeconfig(account)

    def lists() -> int:
        return sum("/proxyconfigs?" in path and "watch=" not in path for _, path in proxy.seen)

    signer = start("--tenancy=enforce", kubeconfig=through)
    newcomers.become_owners()
    crowd.write(make, count)
    place.api.close()  # its connection was idle for so long that it may have ended
    before = lists()
    newcomers.become_owners()
    asked = lists() - before
    print(f"{asked} lists of ProxyConfigs")
    assert asked < COUNT, "what the watch has shown is not read again"
    with crowd.writing():
        newcomers.become_owners()
    signer.stop()
    signer = start("--tenancy=enforce", kubeconfig=through)
    newcomers.become_owners()
    assert says(signer, crowd.namespace) == over
    if over:
        events = f"/api/v1/namespaces/{crowd.namespace}/events"
        place.until(
            "an Event", lambda: any(one["reason"] == "TooManyProxyConfigs" for one in place.api.get(events)["items"])
        )
