"""Whether the cluster's CRDs are ours decides whether we work on more than requests."""

from pathlib import Path
from typing import Any

import pytest

from signer.api.crd import CERTIFICATES_CRD, CUSTOM_RESOURCE_DEFINITIONS, OURS_ANNOTATION, ours, read_crd
from signer.kube.resource import Resource
from tests.unit.manifests.kustomize import read_all

MANIFEST = Path(__file__).parents[3] / "manifests" / "crds" / "cert-manager.io_certificates.yaml"

NOT_OURS: list[dict[str, Any]] = [
    {},
    {"metadata": None},
    {"metadata": {}},
    {"metadata": {"annotations": None}},
    {"metadata": {"annotations": {"helm.sh/resource-policy": "keep"}}},
    {"metadata": {"labels": {OURS_ANNOTATION: "true"}}},
]


def test_the_shipped_manifest_is_ours() -> None:
    """The CRD that manifests/crds installs is known again."""
    (crd,) = read_all(MANIFEST.read_text())
    assert crd["metadata"]["name"] == CERTIFICATES_CRD
    assert ours(crd)


@pytest.mark.parametrize("crd", NOT_OURS, ids=str)
def test_all_others_are_not(crd: dict[str, Any]) -> None:
    """A CRD without our annotation, whatever its shape, is cert-manager's: a real one works on it."""
    assert not ours(crd)


async def test_reads_one_object_by_name() -> None:
    """Only the CRD of Certificates is read, so that RBAC need not grant the list of all."""
    asked: list[tuple[Resource, str, str | None]] = []

    class Reader:
        async def get(self, resource: Resource, name: str, namespace: str | None = None) -> dict[str, Any]:
            asked.append((resource, name, namespace))
            return {"metadata": {"annotations": {OURS_ANNOTATION: "v1"}}}

    assert ours(await read_crd(Reader()))
    assert asked == [(CUSTOM_RESOURCE_DEFINITIONS, "certificates.cert-manager.io", None)]
