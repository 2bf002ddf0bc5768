"""The admission policies of manifests/components/edge on a real API server: what the controllers' own token can do."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from signer.edge.challenge_routes import virtual_service
from signer.edge.hosts import Take, new_claim
from tests.localmesh import Cluster, LocalMeshError, istio_install
from tests.localmesh.signer import CONTROLLERS_ACCOUNT
from tests.unit.edge.objects import host
from tests.unit.edge.test_challenge_routes import answer

pytestmark = pytest.mark.integration

FOLDER = Path(__file__).parents[2] / "manifests" / "components" / "edge"
CONTROLLERS = f"system:serviceaccount:cert-manager:{CONTROLLERS_ACCOUNT}"
ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: edge-admission}
rules:
- {apiGroups: [networking.istio.io], resources: [virtualservices], verbs: [create, update]}
- {apiGroups: [mesh-signer.dev], resources: [hostclaims], verbs: [create, delete, get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: edge-admission}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edge-admission}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: %s}, {apiGroup: rbac.authorization.k8s.io, kind: User, name: someone}]
"""
ROUTE = virtual_service(answer(), ("default", "shop"), ["istio-system"], redirect=True)
ROUTE["metadata"]["namespace"] = "default"


def policies() -> str:
    documents = [yaml.safe_load_all((FOLDER / name).read_text()) for name in ("hostclaims.yaml", "routes.yaml")]
    return yaml.safe_dump_all([one for listed in documents for one in listed])


@pytest.fixture(scope="module")
def guarded(installed: Cluster) -> Iterator[Cluster]:
    """The cluster with these policies in force, and Istio's own definition of VirtualServices."""
    rendered = istio_install.render({"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator"})
    name = "virtualservices.networking.istio.io"
    (crd,) = [one for one in rendered.objects if one["metadata"]["name"] == name]
    there = f"customresourcedefinition.apiextensions.k8s.io/{name}" in installed.kubectl("get", "crd", "-o", "name")
    installed.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=json.dumps(crd))
    # `kubectl wait` ends with an error while a new definition has no conditions at all.
    installed.wait_for(lambda: "Established" in installed.kubectl("get", "crd", name, "-o", "json"), "the definition")
    installed.kubectl("wait", "--for=condition=Established", "--timeout=60s", f"crd/{name}")
    installed.apply(ROLE % CONTROLLERS)
    installed.apply(policies())

    def in_force() -> bool:
        try:
            write(installed, claim("in-force.example.com"), "someone")
        except LocalMeshError as error:
            return "only mesh-signer writes HostClaims" in str(error)
        return False

    def routes_in_force() -> bool:
        try:
            write(installed, changed(lambda one: one["metadata"].update(name="x")))
        except LocalMeshError as error:
            return "mesh-signer-acme-" in str(error)
        return False

    installed.wait_for(in_force, "the policy of HostClaims")
    installed.wait_for(routes_in_force, "the policy of routes")
    yield installed
    installed.kubectl("delete", "-f", "-", input=policies())
    installed.kubectl("delete", "-f", "-", input=ROLE % CONTROLLERS)
    if not there:
        installed.kubectl("delete", "crd", name, "--wait=false")


def write(cluster: Cluster, one: dict[str, Any], user: str = CONTROLLERS, *more: str) -> None:
    options = more or ("--dry-run=server",)
    cluster.kubectl("create", *options, f"--as={user}", "-f", "-", input=json.dumps(one))


def claim(name: str) -> dict[str, Any]:
    return new_claim(Take(host(name), "default", "u"))


def changed(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    one = copy.deepcopy(ROUTE)
    change(one)
    return one


def test_our_routes_pass(guarded: Cluster) -> None:
    """What the controllers write for a challenge is let through, with and without the redirect."""
    write(guarded, ROUTE)
    write(guarded, changed(lambda one: one["spec"]["http"].pop()))


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one["metadata"].update(name="shop"),
        lambda one: one["spec"]["http"][0].pop("match"),
        lambda one: one["spec"]["http"][0].update(match=[{"uri": {"prefix": "/"}}]),
        lambda one: one["spec"]["http"][0].update(match=[{"uri": {"exact": "/login"}}]),
        lambda one: one["spec"]["http"][0].update(match=[*one["spec"]["http"][0]["match"], {"uri": {"prefix": "/"}}]),
        lambda one: one["spec"]["http"][0].update(match=[{"uri": {"exact": "/.well-known/acme-challenge/../../x"}}]),
        lambda one: one["spec"]["http"][0].update(headers={"response": {"set": {"set-cookie": "x"}}}),
        lambda one: one["spec"]["http"][1].update(redirect={"scheme": "https", "authority": "evil.example"}),
        lambda one: one["spec"]["http"][1].update(redirect={"uri": "/elsewhere"}),
        lambda one: one["spec"]["http"][1].update(redirect={"scheme": "https", "port": 8443}),
        lambda one: one["spec"]["http"].append({"route": [{"destination": {"host": "evil"}}]}),
        lambda one: one["spec"]["http"].__setitem__(1, {"route": [{"destination": {"host": "evil"}}]}),
        lambda one: one["spec"]["http"][0].update(delegate={"name": "evil"}),
        lambda one: one["spec"].update(tcp=[{"route": [{"destination": {"host": "evil"}}]}]),
        lambda one: one["spec"].update(gateways=["mesh"]),
        lambda one: one["spec"].pop("gateways"),
        lambda one: one["spec"].pop("http"),
    ],
)
def test_nothing_else_passes(guarded: Cluster, change: Callable[[dict[str, Any]], Any]) -> None:
    """With the controllers' token no traffic can be led elsewhere, and no page be changed."""
    with pytest.raises(LocalMeshError, match=r"challenge-routes\.mesh-signer\.dev"):
        write(guarded, changed(change))


def test_others_are_not_bound(guarded: Cluster) -> None:
    """What users write is none of this policy's business."""
    write(guarded, changed(lambda one: one["metadata"].update(name="shop")), "someone")


def test_claims(guarded: Cluster, name: str) -> None:
    """Nobody but the controllers makes a claim, and to delete one needs the verb release."""
    one = claim(f"{name}.example.com")
    with pytest.raises(LocalMeshError, match="write an EdgePolicy"):
        write(guarded, one, "someone")
    write(guarded, one, CONTROLLERS, "-o", "name")
    delete = ["delete", "hostclaim", one["metadata"]["name"]]
    with pytest.raises(LocalMeshError, match="needs the verb release"):
        guarded.kubectl(*delete, "--as=someone")
    guarded.kubectl(*delete)


def test_the_component_has_them() -> None:
    """The component lists each file of its folder."""
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == sorted(path.name for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")
