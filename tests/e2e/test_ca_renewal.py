"""A CA is renewed under traffic, on cert-manager's own CRDs, and --manage-mesh-config brings its root to the mesh."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import pytest

from tests.e2e.conftest import SHORT, refusals_of, wait_for_rotations
from tests.integration.certmanager_crds import definitions
from tests.localmesh import istio_install
from tests.localmesh.install import COMPONENTS
from tests.localmesh.mesh import Mesh, Options
from tests.localmesh.signer import NAMESPACE
from tests.localmesh.traffic import Traffic

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def managed(built: None) -> Iterator[Mesh]:  # noqa: ARG001 - only to come after it
    """A mesh on the CRDs of cert-manager, whose mesh config is kept in step."""
    options = Options(
        definitions=list(definitions().values()),
        controllers_options=["--manage-mesh-config=true"],
        manifests=[COMPONENTS / "manage-mesh-config" / "rbac.yaml"],
    )
    with Mesh(options) as made:
        yield made


def test_theft(managed: Mesh) -> None:
    """The wall is the same on these CRDs: a workload of bar gets nothing from foo, one of foo does."""
    thief, honest = (
        managed.place("thief", "bar", "foo", envoy=False),
        managed.place("honest", "foo", "foo", envoy=False),
    )
    try:
        honest.wait_ready()
        (line, *_) = managed.cluster.wait_for(partial(refusals_of, managed, thief), "the refusal of the thief")
        assert any("TenantMismatch" in reason for reason in line["reasons"])
        assert thief.certificate() is None
    finally:
        managed.remove(thief, honest)


def test_twice_under_traffic(managed: Mesh) -> None:
    """Over two renewals of foo's CA no request fails, and what is issued afterwards has the newest root."""
    placed = [
        managed.place("lasting-server", "foo", "foo", server=True, environment=SHORT),
        managed.place("lasting-client", "foo", "foo", environment=SHORT),
    ]
    managed.wait_ready(*placed)
    managed.cluster.kubectl(
        "patch", "certificate", "foo-ca", "-n", NAMESPACE, "--type=merge", "--patch", '{"spec": {"duration": "1h"}}'
    )
    try:
        with Traffic((placed[1], placed[0])) as traffic:
            for _ in range(2):
                before = managed.root("foo")
                renew(managed, "foo-ca")
                after = managed.cluster.wait_for(partial(changed_root, managed, before), "a renewed root")
                managed.cluster.wait_for(partial(in_mesh_config, managed, after), "the root in the mesh config")
                wait_for_rotations(managed, placed, 1)
        assert traffic.failures == []
        for workload in placed:
            assert workload.chain().strip().endswith(after.strip().encode())
    finally:
        managed.remove(*placed)


def renew(mesh: Mesh, certificate: str) -> None:
    """Renew a Certificate now, as `cmctl renew` does: its condition Issuing becomes True."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    status = mesh.cluster.get("certificate", certificate, "-n", NAMESPACE)["status"]
    conditions = [one for one in status["conditions"] if one["type"] != "Issuing"]
    conditions.append(
        {"type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": "", "lastTransitionTime": now}
    )
    mesh.cluster.kubectl(
        "patch",
        "certificate",
        certificate,
        "-n",
        NAMESPACE,
        "--subresource=status",
        "--type=merge",
        "--patch",
        json.dumps({"status": {"conditions": conditions}}),
    )


def changed_root(mesh: Mesh, before: str) -> str:
    """Foo's root, once it is another."""
    now = mesh.root("foo")
    return now if now != before else ""


def in_mesh_config(mesh: Mesh, root: str) -> bool:
    """Whether the mesh config has a root."""
    return any(one["pem"].strip() == root.strip() for one in istio_install.mesh_config(mesh.cluster)["caCertificates"])
