"""Objects as large as the API server takes them, or hundreds of which none is large: each process grows little, and honest work goes on.

The numbers are small enough for every run; MESH_SIGNER_TEST_LARGE_OBJECTS and MESH_SIGNER_TEST_MANY_OBJECTS set others (`make
soak` does). The largest are written kind by kind then, since each takes the API server long; what is kept of a namespace is
bounded for all kinds together (signer/kube/room.py), so the many are of all kinds at once.
"""

import contextlib
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import pki
from tests.faults.conftest import Start
from tests.faults.large import KINDS, MANY, SHAPES, Filling, Json, Kind
from tests.faults.test_listeners import GROWTH, resident
from tests.integration.edge.gateway_world import install
from tests.integration.hot_path import Place
from tests.integration.plain_api import Refused
from tests.integration.tenants import define_proxy_configs
from tests.localmesh import LocalCluster
from tests.localmesh.errors import LocalMeshError
from tests.localmesh.processes import free_port
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, NAMESPACE, SignerProcess

FEW = 10
COUNT = int(os.environ.get("MESH_SIGNER_TEST_LARGE_OBJECTS", FEW))
MANY_COUNT = int(os.environ.get("MESH_SIGNER_TEST_MANY_OBJECTS", "25"))
TOGETHER = [tuple(KINDS)[half::2] for half in (0, 1)] if COUNT <= FEW else [(name,) for name in KINDS]
SLOW = "issuers,certificates,certificaterequests,acmeissuers,orders,challenges,gateways,policies"


class Writer:
    """Writes and removes what fills a tenant's namespace."""

    def __init__(self, place: Place, tenant: str, kinds: tuple[str, ...], shapes: tuple[Filling, ...] = SHAPES) -> None:
        self._api = place.api
        self._shapes = shapes
        self._tenant = tenant
        self._kinds = {name: KINDS[name] for name in kinds}
        self.taken: dict[str, set[int]] = {name: set() for name in kinds}
        self.written: list[str] = []

    def write(self, count: int, prefix: str) -> None:
        """So many of each kind, the shapes in turn; what the API server does not take is none of our affair.

        The youngest come first by name.
        """
        for number in range(count):
            for name, kind in self._kinds.items():
                shape = number % len(self._shapes)
                body = kind.body(self._shapes[shape], self._tenant, f"{self._tenant}-{prefix}-{99_999 - number}")
                try:
                    self._api.post(kind.where(self._tenant), body)
                except Refused as error:
                    if error.code not in (400, 413, 422) and "too large" not in error.message:
                        raise
                else:
                    self.taken[name].add(shape)
                    self.written.append(f"{kind.where(self._tenant)}/{body['metadata']['name']}")

    def clear(self) -> None:
        """Remove all of it."""
        for path in self.written:
            with contextlib.suppress(Refused):
                self._api.patch(path, {"metadata": {"finalizers": None}})
            with contextlib.suppress(Refused):
                self._api.delete(path)

    def told(self, kind: Kind) -> bool:
        """Whether an object of this kind says that it is too large, or one of too many, by a condition or an Event."""
        return any(_says_so(one) for one in self._api.get(f"{kind.where(self._tenant)}?limit={FEW}")["items"]) or any(
            _speaks(event.get("message", ""))
            for event in self._api.get(f"/api/v1/namespaces/{self._tenant}/events")["items"]
            if event["involvedObject"]["kind"] == kind.kind
            and event["involvedObject"].get("apiVersion", "").partition("/")[0] == kind.api_version.partition("/")[0]
        )


def _speaks(text: str) -> bool:
    return "make it smaller" in text or "make them smaller" in text


def _says_so(obj: Json) -> bool:
    status = obj.get("status") or {}
    return _speaks(status.get("reason", "")) or any(
        _speaks(one.get("message", "")) for one in status.get("conditions", ())
    )


@pytest.fixture(scope="module")
def definitions(breakable: LocalCluster) -> None:
    """The kinds of Istio and of the Gateway API are served."""
    install(breakable)
    define_proxy_configs(breakable)
    with contextlib.suppress(Exception):
        breakable.kubectl("create", "namespace", "istio-system")


@pytest.fixture
def tenant(breakable: LocalCluster) -> Iterator[str]:
    """A namespace of somebody's."""
    namespace = f"large-{secrets.token_hex(4)}"
    breakable.kubectl("create", "namespace", namespace)
    breakable.kubectl("create", "serviceaccount", "none", "-n", namespace)
    yield namespace
    breakable.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture
def honest(place: Place, breakable: LocalCluster) -> Iterator[Callable[[], None]]:
    """Somebody else's work: a Certificate that becomes ready."""
    namespace = f"honest-{secrets.token_hex(4)}"
    breakable.kubectl("create", "namespace", namespace)
    place.ca_issuer("own", pki.CA("own"), namespace)
    path = f"/apis/cert-manager.io/v1/namespaces/{namespace}/certificates"

    def work() -> None:
        name = f"c-{secrets.token_hex(4)}"
        spec = {"secretName": name, "dnsNames": ["a.example.com"], "issuerRef": {"name": "own"}}
        meta = {"name": name, "namespace": namespace}
        body = {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": meta, "spec": spec}
        place.api.post(path, body)

        def ready() -> bool:
            conditions = place.api.get(f"{path}/{name}").get("status", {}).get("conditions", [])
            return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

        place.until(f"Certificate {name}", ready)

    yield work
    breakable.kubectl("delete", "namespace", namespace, "--wait=false")


def both(start: Start, cluster: LocalCluster) -> tuple[SignerProcess, SignerProcess]:
    """The signer and the controllers, each under its own account."""
    account = cluster.service_account_kubeconfig(NAMESPACE, CONTROLLERS_ACCOUNT)
    options = ("--tenancy=enforce", "--leader-elect=false", "--http01-check-dns=false")
    slow = start(f"--controllers={SLOW}", *options, f"--http01-solver-bind=127.0.0.1:{free_port()}", kubeconfig=account)
    return start("--tenancy=enforce"), slow


def until_told(place: Place, writer: Writer, kinds: tuple[str, ...]) -> None:
    """Wait until an object of each kind says that it is over a bound."""
    silent = {name for name in kinds if KINDS[name].told}

    def all_told() -> bool:
        silent.difference_update([name for name in silent if writer.told(KINDS[name])])
        if silent:
            time.sleep(0.5)  # each look reads megabytes
        return not silent

    with contextlib.suppress(LocalMeshError):
        place.until("what is too large says so", all_told, 30)
    assert not silent, f"over a bound, and silent about it: {sorted(silent)}"


@pytest.mark.usefixtures("definitions")
@pytest.mark.parametrize("kinds", TOGETHER, ids=lambda kinds: kinds[0])
def test_large_objects(
    start: Start,
    breakable: LocalCluster,
    place: Place,
    tenant: str,
    honest: Callable[[], None],
    issuer: str,
    kinds: tuple[str, ...],
) -> None:
    """Written while both processes run, and there when they start: neither grows by much, both work, and the objects say why they are not read."""
    place.ca_issuer("own", pki.CA("own"), tenant)
    writer = Writer(place, tenant, kinds)

    def works() -> None:
        place.issue(issuer)
        honest()

    try:
        processes = both(start, breakable)
        # What the first object of each kind and shape takes is the code's, and no part of what more of them take.
        writer.write(len(SHAPES), "first")
        works()
        before = [resident(one) for one in processes]
        began = time.monotonic()
        writer.write(COUNT, "more")
        works()
        print(f"{COUNT} of each of {', '.join(kinds)}: written in {time.monotonic() - began:.0f} s")
        grown = [resident(one) - was for one, was in zip(processes, before, strict=True)]
        for name in kinds:
            assert writer.taken[name], f"the API server took no {name}"
        until_told(place, writer, kinds)
        for one in processes:
            one.stop()
        again = both(start, breakable)
        works()
        grown += [resident(one) - was for one, was in zip(again, before, strict=True)]
        shown = [f"{bytes_ / 1e6:.1f}" for bytes_ in grown]
        print(f"grown, in MB: signer {shown[0]}, controllers {shown[1]}; after a restart {shown[2]}, {shown[3]}")
        assert max(grown) < GROWTH, shown
    finally:
        writer.clear()


WARM = 20
BY_CONDITION = ("Issuer", "Certificate", "CertificateRequest")
BY_EVENT = ("gateways", "virtualservices", "ingresses")
"""A tenant has a share of Events: of what is said of hundreds of objects some waits long, so the log is looked at."""


@pytest.mark.usefixtures("definitions")
def test_many_objects(
    start: Start, breakable: LocalCluster, place: Place, tenant: str, honest: Callable[[], None], issuer: str
) -> None:
    """Hundreds of each kind, of 15 KB each, in one namespace: the youngest are not kept and say so, after a restart the same."""
    kinds = tuple(KINDS)
    place.ca_issuer("own", pki.CA("own"), tenant)
    writer, small = Writer(place, tenant, kinds, MANY), Writer(place, tenant, kinds, (Filling(text="x"),))

    def works() -> None:
        place.issue(issuer)
        honest()

    try:
        processes = both(start, breakable)
        # A process at work, or one that starts with as many kinds, has threads and connections that an idle one has not.
        small.write(WARM, "small")
        writer.write(len(MANY), "first")
        works()
        for one in processes:
            one.stop()
        processes = both(start, breakable)
        works()
        before = [resident(one) for one in processes]
        began = time.monotonic()
        writer.write(MANY_COUNT, "more")
        print(f"{MANY_COUNT} of each of {len(kinds)} kinds: written in {time.monotonic() - began:.0f} s")
        works()
        grown = [resident(one) - was for one, was in zip(processes, before, strict=True)]
        print("grown, in MB:", [round(one / 1e6, 1) for one in grown], "from", [round(one / 1e6, 1) for one in before])
        until_told(place, writer, BY_CONDITION)
        for plural in BY_EVENT:
            said = rf"{plural}\S* {tenant}/\S+ is not kept, and more may follow: namespace {tenant} has more objects"
            assert re.search(said, processes[1].log), plural
        for one in processes:
            one.stop()
        again = both(start, breakable)
        works()
        grown += [resident(one) - was for one, was in zip(again, before, strict=True)]
        shown = [f"{bytes_ / 1e6:.1f}" for bytes_ in grown]
        print(f"grown, in MB: signer {shown[0]}, controllers {shown[1]}; after a restart {shown[2]}, {shown[3]}")
        print("highest, in MB:", [_highest(one) // 1000 for one in again], "before", [was // 10**6 for was in before])
        assert max(grown) < GROWTH, shown
    finally:
        writer.clear()
        small.clear()


def _highest(process: SignerProcess) -> int:
    """The most memory that a process ever held, in kB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))
