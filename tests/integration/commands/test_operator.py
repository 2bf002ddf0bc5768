"""The role that docs/commands.md gives operators: every command runs under it, and it has no right that none of them uses."""

import json
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from signer.cli import COMMANDS, main
from signer.commands.page.board import Board
from signer.commands.page.seen import Seen
from signer.commands.page.view import view
from signer.kube.client import ApiClient
from signer.kube.errors import ApiError
from signer.kube.objects import Response
from tests import pki
from tests.integration.bridges.tenancies import istio_definitions
from tests.integration.commands.operating import OPERATORS, World, authorities, operators_roles
from tests.integration.edge.gateway_world import install
from tests.integration.hot_path import signer_name
from tests.localmesh import Cluster

pytestmark = pytest.mark.integration

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
# No object of the cluster's: what is served, and its version.
_DISCOVERY = ("/version", "/apis", "/api")
Right = tuple[str, str, str]
"""Verb, group, resource with its subresource."""


def right(method: str, path: str) -> Right | None:
    """The right that a request needs, as RBAC names it; None for what needs none of its own."""
    parts = path.strip("/").split("/")
    group = parts.pop(0) and "" if parts[0] == "api" else parts[1]
    parts = parts[1:] if group == "" else parts[3:]
    if not parts:
        return None  # what a group serves
    if parts[0] == "namespaces" and len(parts) > 2:
        parts = parts[2:]
    verb = _VERBS.get(method) or ("list" if len(parts) == 1 else "get")
    return verb, group, "/".join((parts[0], *parts[2:]))


def granted(roles: list[dict[str, Any]]) -> set[Right]:
    """What the paper's roles allow, of whatever names."""
    return {
        (verb, group, resource)
        for role in roles
        for rule in role.get("rules", ())
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> dict[Right, set[int]]:
    """The rights that were used, with what the API server answered."""
    found: dict[Right, set[int]] = {}
    original = ApiClient.request

    async def request(self: ApiClient, method: str, path: str, **options: Any) -> Response:
        asked = None if path in _DISCOVERY else right(method, path)
        try:
            answer = await original(self, method, path, **options)
        except ApiError as error:
            if asked is not None:
                found.setdefault(asked, set()).add(error.status)
            raise
        if asked is not None:
            found.setdefault(asked, set()).add(answer.status)
        return answer

    monkeypatch.setattr(ApiClient, "request", request)
    return found


def webhook(name: str) -> dict[str, Any]:
    """A webhook that would have to answer before a Secret is stored, for labels that no object of this cluster has."""
    hook = {
        "name": "check.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": {"service": {"namespace": "cert-manager", "name": name}},
        "objectSelector": {"matchLabels": {"nobody.example.com/has": name}},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["secrets"]}],
    }
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}
    return kind | {"metadata": {"name": name}, "webhooks": [hook]}


@pytest.fixture
def one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page is read twice, as its second look differs from its first, and then the command ends."""

    async def keep(_board: Board, look: Callable[[], Awaitable[Seen]], _say: Callable[[str], None]) -> None:
        for _ in range(2):
            assert view(await look()).gaps == ()

    monkeypatch.setattr(Board, "keep", keep)


@pytest.mark.usefixtures("one_look")
def test_the_role(
    world: World, mesh: Cluster, istio: str, used: dict[Right, set[int]], capsys: pytest.CaptureFixture[str]
) -> None:
    """An operator with this role alone runs every command; nothing is refused, and no right is left over."""
    install(mesh)
    foo = world.tenant("foo")
    world.signer("foo", pki.CA("foo"))
    world.mesh_config(authorities(foo))
    world.bind(foo, foo)
    api = world.place.api
    policy = {"signers": [signer_name(world.name("p"))], "namespaces": {"names": [foo]}}
    world.policy(world.name("p"), policy)
    api.patch(
        f"/apis/mesh-signer.dev/v1alpha1/signerpolicies/{world.name('p')}/status",
        {"status": {"namespaceUIDs": {foo: "an-earlier-one"}}},
    )
    uid = api.get(f"/api/v1/namespaces/{foo}")["metadata"]["uid"]
    host = f"{foo}.example.com"
    claim = {"apiVersion": "mesh-signer.dev/v1alpha1", "kind": "HostClaim", "metadata": {"name": host}}
    mesh.apply(json.dumps(claim | {"spec": {"host": host, "namespace": foo, "namespaceUID": uid}}))
    edge = {"apiVersion": "mesh-signer.dev/v1alpha1", "kind": "EdgePolicy", "metadata": {"name": foo}}
    mesh.apply(json.dumps(edge | {"spec": {"hostSuffixes": [host], "namespaces": {"names": [foo]}}}))
    earlier = {"status": {"namespaceUIDs": {foo: "an-earlier-one"}}}
    api.patch(f"/apis/mesh-signer.dev/v1alpha1/edgepolicies/{foo}/status", earlier)
    name = f"web-{secrets.token_hex(3)}"
    certificate = {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"name": name, "namespace": "cert-manager"},
        "spec": {"secretName": name, "dnsNames": ["web"], "issuerRef": {"name": foo, "kind": "ClusterIssuer"}},
    }
    mesh.apply(json.dumps(certificate))
    defined = istio_definitions(mesh)  # explain looks at the DestinationRules beside a bridge's
    client = {"namespace": istio, "serviceAccount": "gateway", "matchLabels": {"istio": "ingressgateway"}}
    meta = {"name": "ingress", "namespace": foo}
    bridge = {"apiVersion": "mesh-signer.dev/v1alpha1", "kind": "TenantBridge", "metadata": meta}
    mesh.apply(json.dumps(bridge | {"spec": {"client": client, "hosts": [f"web.{foo}.svc.cluster.local"]}}))
    mesh.apply(json.dumps(webhook(name)))
    asked = world.place.create(signer_name(foo))["metadata"]["name"]
    config = f"--kubeconfig={mesh.kubeconfig('olga', (OPERATORS,))}"
    wall = f"--istio-namespace={istio}"
    lines = [
        ("status", wall),
        ("version",),
        ("tenants", wall),
        ("tenants", "--propose", wall),
        ("tenants", "readmit", foo, "--yes", wall),
        ("explain", asked, wall),
        ("explain", f"cert-manager/{name}-1", wall),
        ("explain", "certificate", name, "-n", "cert-manager", wall),
        ("explain", "-n", foo, wall),
        ("explain", "tenantbridge", "ingress", "-n", foo, wall),
        ("mesh-config", foo, "--write", wall),
        ("doctor", wall),
        ("edge", wall),
        ("ui", wall),
        ("renew", name, "-n", "cert-manager"),
        ("renew", "--all", "-n", foo),
        ("retry", name, "-n", "cert-manager"),
        ("backup", "-"),
        ("release", "host", host, "--yes"),
        ("release", "signer", foo, "--yes"),
    ]
    # `restore` and `leave` need the roles of docs/setups, and test_backup.py and test_moving.py run them under these; the others
    # ask no cluster.
    assert {one[0] for one in lines} | {"run", "convert", "completion", "restore", "leave"} == set(COMMANDS)
    for line in lines:
        status = main([*line, config])
        said = capsys.readouterr()
        assert "may not" not in said.err, (line, said.err)
        assert "forbidden" not in said.err.lower(), (line, said.err)
        assert status in {0, 1} or line[:2] == ("explain", f"cert-manager/{name}-1"), (line, said.err)
    mesh.kubectl("delete", "certificate", name, "-n", "cert-manager")
    mesh.kubectl("delete", "validatingwebhookconfiguration", name)
    mesh.kubectl("delete", "crds", *defined)
    assert {one: codes for one, codes in used.items() if 403 in codes} == {}
    rights = granted(operators_roles(istio))
    # Asked for by the admission policies, which this cluster does not have.
    rights -= {("release", "mesh-signer.dev", one) for one in ("signerbindings", "hostclaims")}
    assert rights - used.keys() == set(), "rights that no command uses"
    assert used.keys() - rights == set()
