"""Objects as large as the API server takes them, as many of each kind as a tenant likes: each process grows little, and honest work goes on.

The number is small enough for every run; MESH_SIGNER_TEST_LARGE_OBJECTS sets another one (`make soak` does).
"""

import base64
import os
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tests import pki
from tests.faults.conftest import Start
from tests.faults.test_listeners import GROWTH, resident
from tests.integration.hot_path import Place
from tests.localmesh import LocalCluster
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, NAMESPACE, SignerProcess

COUNT = int(os.environ.get("MESH_SIGNER_TEST_LARGE_OBJECTS", "4"))
SIZE = 1_000_000
"""Bytes of what fills an object; the API server takes up to 1.5 MB."""
TEXT = "x" * SIZE
Json = dict[str, Any]

KINDS: dict[str, Json] = {
    "Issuer": {
        "apiVersion": "cert-manager.io/v1",
        "spec": {"ca": {"secretName": "s", "crlDistributionPoints": [TEXT[:4000]] * 250}},
    },
    "Certificate": {
        "apiVersion": "cert-manager.io/v1",
        "spec": {"secretName": "s", "dnsNames": [f"{n}.{TEXT[:240]}" for n in range(4000)], "issuerRef": {"name": "i"}},
    },
    "CertificateRequest": {
        "apiVersion": "cert-manager.io/v1",
        "spec": {"request": base64.b64encode(TEXT.encode()).decode(), "issuerRef": {"name": "i"}},
    },
    "Secret": {
        "apiVersion": "v1",
        "type": "Opaque",
        "stringData": {"tls.crt": TEXT[: SIZE // 2], "other": TEXT[: SIZE // 4]},
        "labels": {"controller.cert-manager.io/fao": "true"},
    },
}


def body(kind: str, namespace: str, name: str) -> Json:
    """One such object."""
    made = {key: value for key, value in KINDS[kind].items() if key != "labels"}
    metadata = {"name": name, "namespace": namespace, "labels": KINDS[kind].get("labels", {})}
    return {"kind": kind, "metadata": metadata, **made}


def path(kind: str, namespace: str) -> str:
    """Where they are created."""
    version = KINDS[kind]["apiVersion"]
    return f"/{'apis' if '/' in version else 'api'}/{version}/namespaces/{namespace}/{kind.lower()}s"


@pytest.fixture
def tenant(breakable: LocalCluster, place: Place) -> Iterator[str]:
    """A namespace of somebody's, with an Issuer that has the signer watch its Secrets."""
    namespace = f"large-{secrets.token_hex(4)}"
    breakable.kubectl("create", "namespace", namespace)
    yield namespace
    for kind in KINDS:
        place.api.call("DELETE", path(kind, namespace))
    breakable.kubectl("delete", "namespace", namespace, "--wait=false")


def test_large_objects(start: Start, breakable: LocalCluster, place: Place, tenant: str, issuer: str) -> None:
    """Written while both processes run, and there when they start: neither process grows by much, and requests are signed."""
    account = breakable.service_account_kubeconfig(NAMESPACE, CONTROLLERS_ACCOUNT)
    place.ca_issuer("own", pki.CA("own"), tenant)

    def begin() -> tuple[SignerProcess, SignerProcess]:
        slow = start("--controllers=issuers,certificates,certificaterequests", kubeconfig=account)
        return start(), slow

    def write(count: int, prefix: str) -> None:
        for kind in KINDS:
            for number in range(count):
                place.api.call("POST", path(kind, tenant), body(kind, tenant, f"{prefix}-{number}"))

    processes = begin()
    # What the first object of each kind takes is the code's, and no part of what more of them take.
    write(1, "first")
    place.issue(issuer)
    before = [resident(one) for one in processes]
    write(COUNT, "more")
    place.issue(issuer)
    grown = [resident(one) - was for one, was in zip(processes, before, strict=True)]
    for one in processes:
        one.stop()
    again = begin()
    place.issue(issuer)
    grown += [resident(one) - was for one, was in zip(again, before, strict=True)]
    assert max(grown) < GROWTH, grown
