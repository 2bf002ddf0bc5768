"""The admission policies of manifests/components/edge on a real API server: what the controllers' own token can do."""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from signer.edge.hosts.decide import Take, new_claim
from signer.edge.http01.mode import ALLOW_REDIRECT_CHANGE
from signer.edge.http01.redirect import giving_back, taking
from tests.integration.edge_policies import (
    CONTROLLERS,
    FOLDER,
    GRANT,
    HOST,
    HTTP_ROUTE,
    INGRESS,
    OWN_GATEWAY,
    RECORD,
    ROLE,
    ROUTE,
    USERS_GATEWAY,
    definitions,
    policies,
)
from tests.localmesh import Cluster, LocalMeshError
from tests.unit.edge.objects import host, http, https

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def guarded(installed: Cluster) -> Iterator[Cluster]:
    """The cluster with these policies in force, and Istio's and the Gateway API's own definitions."""
    there = installed.kubectl("get", "crd", "-o", "name")
    made = []
    for crd in definitions():
        name = crd["metadata"]["name"]
        if f"customresourcedefinition.apiextensions.k8s.io/{name}" not in there:
            made.append(name)
        installed.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=json.dumps(crd))
        # `kubectl wait` ends with an error while a new definition has no conditions at all.
        installed.wait_for(
            lambda name=name: "Established" in installed.kubectl("get", "crd", name, "-o", "json"),  # type: ignore[misc] # bound now
            "the definition",
        )
        installed.kubectl("wait", "--for=condition=Established", "--timeout=60s", f"crd/{name}")
    installed.apply(ROLE % CONTROLLERS)
    installed.apply(policies())

    def in_force() -> bool:
        try:
            write(installed, claim("in-force.example.com"), "someone")
        except LocalMeshError as error:
            return "only mesh-signer writes HostClaims" in str(error)
        return False

    def all_in_force() -> bool:
        for one in [ROUTE, OWN_GATEWAY, HTTP_ROUTE, GRANT, INGRESS, RECORD]:
            try:
                write(installed, changed(lambda one: one["metadata"].update(name="x"), one))
            except LocalMeshError as error:
                if "mesh-signer.dev" in str(error) and "denied" in str(error):
                    continue
            return False
        return True

    installed.wait_for(in_force, "the policy of HostClaims")
    installed.wait_for(all_in_force, "the policies of routes")
    yield installed
    installed.kubectl("delete", "-f", "-", input=policies())
    installed.kubectl("delete", "-f", "-", input=ROLE % CONTROLLERS)
    for name in made:
        installed.kubectl("delete", "crd", name, "--wait=false")


def write(cluster: Cluster, one: dict[str, Any], user: str = CONTROLLERS, *more: str) -> None:
    options = more or ("--dry-run=server",)
    cluster.kubectl("create", *options, f"--as={user}", "-f", "-", input=json.dumps(one))


def claim(name: str) -> dict[str, Any]:
    return new_claim(Take(host(name), "default", "u"))


def changed(change: Callable[[dict[str, Any]], Any], of: dict[str, Any] = ROUTE) -> dict[str, Any]:
    one = copy.deepcopy(of)
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


@pytest.mark.parametrize("one", [OWN_GATEWAY, HTTP_ROUTE, GRANT, INGRESS, RECORD], ids=lambda one: one["kind"])
def test_what_we_make_passes(guarded: Cluster, one: dict[str, Any]) -> None:
    """Our own Gateway, what leads to the solver, and a record for External-DNS are let through."""
    write(guarded, one)


@pytest.mark.parametrize(
    ("one", "change"),
    [
        (OWN_GATEWAY, lambda one: one["metadata"].update(name="shop")),
        (OWN_GATEWAY, lambda one: one["spec"].pop("selector")),
        (OWN_GATEWAY, lambda one: one["spec"]["servers"].append(one["spec"]["servers"][0])),
        (OWN_GATEWAY, lambda one: one["spec"]["servers"][0].update(hosts=["*"])),
        (OWN_GATEWAY, lambda one: one["spec"]["servers"][0].update(hosts=["./*.example.com"])),
        (OWN_GATEWAY, lambda one: one["spec"]["servers"][0].update(tls={"mode": "PASSTHROUGH"})),
        (HTTP_ROUTE, lambda one: one["metadata"].update(name="shop")),
        (HTTP_ROUTE, lambda one: one["spec"].pop("hostnames")),
        (HTTP_ROUTE, lambda one: one["spec"]["parentRefs"][0].update(namespace="other")),
        (HTTP_ROUTE, lambda one: one["spec"]["rules"][0]["matches"][0]["path"].update(value="/")),
        (HTTP_ROUTE, lambda one: one["spec"]["rules"][0]["matches"][0]["path"].update(type="PathPrefix")),
        (HTTP_ROUTE, lambda one: one["spec"]["rules"][0].pop("matches")),
        (HTTP_ROUTE, lambda one: one["spec"]["rules"][0]["backendRefs"][0].update(name="evil")),
        (HTTP_ROUTE, lambda one: one["spec"]["rules"][0]["backendRefs"][0].update(namespace="default")),
        (HTTP_ROUTE, lambda one: one["spec"]["rules"].append(one["spec"]["rules"][0])),
        (GRANT, lambda one: one["metadata"].update(namespace="default")),
        (GRANT, lambda one: one["spec"]["to"][0].update(name="mesh-signer")),
        (GRANT, lambda one: one["spec"]["to"][0].pop("name")),
        (GRANT, lambda one: one["spec"]["to"].append({"group": "", "kind": "Secret"})),
        (INGRESS, lambda one: one["metadata"].update(namespace="default")),
        (INGRESS, lambda one: one["spec"]["rules"][0]["http"]["paths"][0].update(path="/")),
        (INGRESS, lambda one: one["spec"]["rules"][0]["http"]["paths"][0].update(pathType="Prefix")),
        (INGRESS, lambda one: one["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"].update(name="evil")),
        (INGRESS, lambda one: one["spec"].update(tls=[{"hosts": [HOST], "secretName": "ca"}])),
        (INGRESS, lambda one: one["spec"]["rules"][0].pop("host")),
        (RECORD, lambda one: one["metadata"].update(name="shop")),
        (RECORD, lambda one: one["spec"].pop("endpoints")),
        (RECORD, lambda one: one["spec"]["endpoints"].append(one["spec"]["endpoints"][0])),
        (RECORD, lambda one: one["spec"]["endpoints"][0].update(recordType="CNAME")),
        (RECORD, lambda one: one["spec"]["endpoints"][0].update(targets=["v=spf1 +all"])),
        (RECORD, lambda one: one["spec"]["endpoints"][0]["targets"].append("192.0.2.1")),
        (RECORD, lambda one: one["spec"]["endpoints"][0].update(targets=[])),
        (RECORD, lambda one: one["spec"]["endpoints"][0].update(setIdentifier="x")),
        (RECORD, lambda one: one["spec"]["endpoints"][0].update(providerSpecific=[{"name": "alias", "value": "true"}])),
    ],
)
def test_nothing_else_leads_anywhere(
    guarded: Cluster, one: dict[str, Any], change: Callable[[dict[str, Any]], Any]
) -> None:
    """With the controllers' token no Gateway opens a port for more than one host, and nothing else reaches anything."""
    with pytest.raises(LocalMeshError, match=r"challenge-[a-z]+\.mesh-signer\.dev"):
        write(guarded, changed(change, one))


def patch(cluster: Cluster, body: dict[str, Any], *more: str) -> None:
    cluster.kubectl(
        "patch", "gateways.networking.istio.io", "users", "-n", "default", "--type=merge",
        f"--patch={json.dumps(body)}", f"--as={CONTROLLERS}", *more,
    )  # fmt: skip


def users(cluster: Cluster) -> dict[str, Any]:
    found: dict[str, Any] = cluster.get("gateways.networking.istio.io", "users", "-n", "default")
    return found


def test_the_redirect_of_users(guarded: Cluster) -> None:
    """Of a Gateway whose owner allows it the redirect of port 80 is taken and given back; nothing else is changed."""
    with pytest.raises(LocalMeshError, match="challenge-gateways"):
        write(guarded, USERS_GATEWAY)
    try:
        write(guarded, USERS_GATEWAY, "someone", "-o", "name")
        taken = taking(users(guarded), "u", host(HOST))
        assert isinstance(taken, dict)
        patch(guarded, taken)
        more = users(guarded)["spec"]["servers"]
        for change in (
            {"metadata": {"labels": {"a": "b"}}},
            {"metadata": {"annotations": {"note": "y"}}},
            {"metadata": {"annotations": {"note": None}}},
            {"spec": {"selector": {"istio": "other"}}},
            {"spec": {"servers": [*more, http("evil.example.com")]}},
            {"spec": {"servers": [*more, http(HOST, port=8080)]}},
            {"spec": {"servers": [*more[:-1]]}},
            {"spec": {"servers": more[1:]}},
            {"spec": {"servers": [https(HOST, "b.example.com"), *more[1:]]}},
        ):
            with pytest.raises(LocalMeshError, match="challenge-gateways"):
                patch(guarded, change, "--dry-run=server")
        back = giving_back(users(guarded), "u")
        assert back is not None
        patch(guarded, back)
        assert users(guarded)["spec"] == USERS_GATEWAY["spec"]
        patch(guarded, {"metadata": {"annotations": {ALLOW_REDIRECT_CHANGE: "false"}}}, "--as=someone")
        with pytest.raises(LocalMeshError, match="http01-replace-redirect"):
            patch(guarded, {"spec": {"servers": more}}, "--dry-run=server")
        with pytest.raises(LocalMeshError, match="challenge-deletions"):
            guarded.kubectl("delete", "gateways.networking.istio.io", "users", "-n", "default", f"--as={CONTROLLERS}")
    finally:
        guarded.kubectl("delete", "--ignore-not-found", "gateways.networking.istio.io", "users", "-n", "default")


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
