"""Uninstalling leaves what docs/install.md says, and nothing else; the rest goes by the commands that it names.

Runs after the tests of what is installed, by its name: pytest goes by the alphabet. Whoever comes later installs anew.
"""

import re

import pytest

from tests.realnode.installation import MANIFESTS, NAMESPACE, TENANT, Installation
from tests.realnode.inventory import inventory

PAGE = (MANIFESTS.parent / "docs" / "install.md").read_text()
SECTION = PAGE.partition("\n## Uninstall\n")[2].partition("\n## ")[0]
_OF_A_NAMESPACE = {("serviceaccounts", "default"), ("configmaps", "kube-root-ca.crt")}

Objects = set[tuple[str, str, str]]


def documented() -> set[str]:
    """The resources in the first column of the section's table."""
    rows = re.findall(r"^\| (`.+?) \|", SECTION, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def commands() -> list[list[str]]:
    """The commands of the section that take all away, in their order."""
    blocks = re.findall(r"```console\n(.*?)```", SECTION, re.DOTALL)
    return [line.partition("#")[0].split()[1:] for line in blocks[-1].splitlines() if line.startswith("kubectl")]


@pytest.fixture(scope="module")
def left(installed: Installation, bare: Objects) -> Objects:
    """What the first command leaves of all that came with us, without the tenant's and istiod's own."""
    installed.settle()
    installed.kubectl("delete", "-k", str(MANIFESTS / "overlays" / "istio"))
    installed.node.wait_for(
        lambda: not installed.node.cluster.get("pods", "-n", NAMESPACE)["items"], "the Pods to be gone"
    )
    return inventory(installed.node.cluster) - bare


def of_others(one: tuple[str, str, str]) -> bool:
    """The tenant's namespace, what is Istio's, and what every namespace has."""
    resource, namespace, name = one
    if resource == "namespaces":
        return name == TENANT
    return namespace == TENANT or "istio" in f"{resource} {name}" or (resource, name) in _OF_A_NAMESPACE


def test_what_is_left(left: Objects) -> None:
    """Each kind that the docs name is left and no other one is, so nothing that runs, and no right."""
    assert {one[0] for one in left if not of_others(one)} == documented()
    policies = {one[2] for one in left if one[0].startswith("validatingadmissionpolicies.")}
    assert policies == {"approval.mesh-signer.dev", "certificaterequests.mesh-signer.dev"}
    assert all(f"`{one}`" in SECTION for one in policies)


def test_every_ca_is_left(left: Objects) -> None:
    """No CA goes with an uninstall, nor an issuer, nor the record of who owns which signer."""
    assert ("secrets", NAMESPACE, f"{TENANT}-ca-selfsigned") in left
    assert ("clusterissuers.cert-manager.io", "", TENANT) in left
    assert [one for one in left if one[0] == "signerbindings.mesh-signer.dev"]


@pytest.mark.usefixtures("left")
def test_installed_again_it_goes_on(installed: Installation) -> None:
    """What was left is found again: the tenant's workloads get certificates of the CA that they had."""
    before = installed.node.cluster.get("secret", f"{TENANT}-ca-selfsigned", "-n", NAMESPACE)
    installed.by_kustomize()
    with installed.steady() as load:
        load.go_on()
        load.end()
    assert load.lost == []
    after = installed.node.cluster.get("secret", f"{TENANT}-ca-selfsigned", "-n", NAMESPACE)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]


@pytest.mark.usefixtures("left")
def test_everything_goes_by_the_documented_commands(installed: Installation, bare: Objects) -> None:
    """The commands of the docs end without an error, in their order, and then nothing of ours is there."""
    wanted = commands()
    assert [one[0] for one in wanted] == ["get", "delete", "delete", "delete"]
    for command in wanted:
        installed.kubectl(*(str(MANIFESTS.parent / one) if one.startswith("manifests") else one for one in command))
    rest = {one for one in inventory(installed.node.cluster) - bare if not of_others(one)}
    assert rest == set()
