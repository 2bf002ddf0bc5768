"""The commands on a real API server, as an operator who is no cluster-admin runs them.

Istio's namespace is one of the module's own, so that no other test's mesh is seen.
"""

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from signer.cli import main
from tests import pki
from tests.integration.hot_path import Place, signer_name
from tests.localmesh import Cluster, istio_install

pytestmark = pytest.mark.integration

MANIFESTS = Path(__file__).parents[2] / "manifests"
OPERATORS = "mesh-operators"
SIGNER = "ISTIO_META_CERT_SIGNER"

ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: mesh-operators}
rules:
  - {apiGroups: [""], resources: [namespaces, pods, configmaps], verbs: [list]}
  - {apiGroups: [apps], resources: [deployments], verbs: [list]}
  - {apiGroups: [networking.istio.io], resources: [proxyconfigs], verbs: [list]}
  - {apiGroups: [cert-manager.io], resources: [issuers, clusterissuers], verbs: [list]}
  - {apiGroups: [mesh-signer.dev], resources: [signerpolicies, signerbindings], verbs: [get, list]}
  - {apiGroups: [mesh-signer.dev], resources: [signerbindings], verbs: [delete, release]}
  - {apiGroups: [certificates.k8s.io], resources: [certificatesigningrequests], verbs: [get]}
  - {apiGroups: [apiextensions.k8s.io], resources: [customresourcedefinitions], verbs: [list]}
  - {apiGroups: [rbac.authorization.k8s.io], resources: ["*"], verbs: [list]}
  - {apiGroups: [admissionregistration.k8s.io], resources: ["*"], verbs: [list]}
  - {apiGroups: [authorization.k8s.io], resources: [subjectaccessreviews], verbs: [create]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: mesh-operators}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: mesh-operators}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: mesh-operators}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: mesh-operators, namespace: cert-manager}
rules: [{apiGroups: [""], resources: [secrets], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: mesh-operators, namespace: cert-manager}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: mesh-operators}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: mesh-operators}]
"""
WRITER = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: mesh-operators, namespace: %(namespace)s}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [get, list, update]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: mesh-operators, namespace: %(namespace)s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: mesh-operators}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: mesh-operators}]
"""


@dataclass
class Result:
    """What a command printed and how it ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Result]


@pytest.fixture(scope="module")
def mesh(installed: Cluster) -> Cluster:
    """The cluster with ProxyConfigs, and the role of an operator."""
    rendered = istio_install.render({"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator"})
    (crd,) = [one for one in rendered.objects if one["metadata"]["name"] == "proxyconfigs.networking.istio.io"]
    installed.apply(json.dumps(crd))
    names = ["proxyconfigs.networking.istio.io", "signerbindings.mesh-signer.dev", "signerpolicies.mesh-signer.dev"]
    installed.kubectl("wait", "--for=condition=Established", "--timeout=30s", *(f"crd/{name}" for name in names))
    installed.apply(ROLE)
    return installed


@pytest.fixture
def istio(mesh: Cluster, namespace: str) -> str:
    """An Istio namespace of the test's own, whose ConfigMaps the operator may write."""
    mesh.apply(WRITER % {"namespace": namespace})
    return namespace


@pytest.fixture
def run(mesh: Cluster, istio: str, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command as the operator, or as another user."""

    def call(*arguments: str, user: str = "olga", groups: tuple[str, ...] = (OPERATORS,)) -> Result:
        config = mesh.kubeconfig(user, groups)
        status = main([*arguments, f"--kubeconfig={config}", f"--istio-namespace={istio}"])
        return Result(status, *capsys.readouterr())

    return call


class World:
    """A mesh of the test's own: tenants with names that nobody else has."""

    def __init__(self, place: Place, istio: str) -> None:
        self.place = place
        self.istio = istio
        self._mark = secrets.token_hex(3)
        self._namespaces: list[str] = []

    def name(self, word: str) -> str:
        return f"{word}-{self._mark}"

    def namespace(self, word: str) -> str:
        name = self.name(word)
        self.place.cluster.kubectl("create", "namespace", name)
        self._namespaces.append(name)
        return name

    def tenant(self, word: str, signer: str = "") -> str:
        """A namespace whose ProxyConfig claims a signer, that of its own name by default."""
        name = self.namespace(word)
        self.claim(name, signer or name)
        return name

    def claim(self, namespace: str, signer: str) -> None:
        self.place._apply(
            f"/apis/networking.istio.io/v1beta1/namespaces/{namespace}/proxyconfigs/pc",
            {
                "apiVersion": "networking.istio.io/v1beta1",
                "kind": "ProxyConfig",
                "metadata": {"name": "pc", "namespace": namespace},
                "spec": {"environmentVariables": {SIGNER: signer}},
            },
        )

    def signer(self, word: str, ca: pki.CA | None = None) -> str:
        name = self.name(word)
        self.place.ca_issuer(name, ca or pki.CA(name))
        return name

    def mesh_config(self, text: str, name: str = "istio") -> None:
        self.place._apply(
            f"/api/v1/namespaces/{self.istio}/configmaps/{name}",
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": name, "namespace": self.istio},
                "data": {"mesh": text, "meshNetworks": "networks: {}"},
            },
        )

    def read_mesh_config(self, name: str = "istio") -> Any:
        found = self.place.api.get(f"/api/v1/namespaces/{self.istio}/configmaps/{name}")["data"]
        assert found["meshNetworks"] == "networks: {}"
        return found["mesh"]

    def bind(self, signer: str, namespace: str) -> None:
        uid = self.place.api.get(f"/api/v1/namespaces/{namespace}")["metadata"]["uid"]
        self.place._apply(
            f"/apis/mesh-signer.dev/v1alpha1/signerbindings/{signer}",
            {
                "apiVersion": "mesh-signer.dev/v1alpha1",
                "kind": "SignerBinding",
                "metadata": {"name": signer},
                "spec": {"signerName": signer_name(signer), "namespace": namespace, "namespaceUID": uid},
            },
        )

    def policy(self, name: str, spec: dict[str, Any]) -> None:
        self.place._apply(
            f"/apis/mesh-signer.dev/v1alpha1/signerpolicies/{name}",
            {
                "apiVersion": "mesh-signer.dev/v1alpha1",
                "kind": "SignerPolicy",
                "metadata": {"name": name},
                "spec": spec,
            },
        )

    def close(self) -> None:
        for name in self._namespaces:
            self.place.cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def world(place: Place, istio: str) -> Iterator[World]:
    found = World(place, istio)
    yield found
    place.forget()
    found.close()


def roots(text: str) -> dict[str, str]:
    """The root of each signer in a mesh config."""
    return {name: one["pem"] for one in yaml.safe_load(text)["caCertificates"] for name in one["certSigners"]}


def authorities(*signers: str, default: str = "") -> str:
    """A mesh config in which these are signers, without their roots."""
    lines = ["# ours", "defaultConfig:", f"  proxyMetadata: {{{SIGNER}: {default}}}" if default else "  {}"]
    entries = [f"- pem: ''\n  certSigners: [{signer_name(name)}]" for name in signers]
    return "\n".join([*lines, "caCertificates:", *entries]) + "\n" if signers else "\n".join(lines) + "\n"


class TestMeshConfig:
    """mesh-signer mesh-config."""

    def test_prints_what_istio_needs(self, run: Run, world: World) -> None:
        """For signers that are named, the roots and istiod's rule come as YAML that can be pasted."""
        ca = pki.CA("one")
        one, two = world.signer("one", ca), world.signer("two", pki.CA("two").intermediate("two-sub"))
        found = run("mesh-config", one, signer_name(two))
        assert (found.status, found.err) == (0, "")
        mesh, role = yaml.safe_load_all(found.out)
        assert {tuple(entry["certSigners"]) for entry in mesh["caCertificates"]} == {
            (signer_name(one),),
            (signer_name(two),),
        }
        assert mesh["caCertificates"][0]["pem"] == ca.pem.decode()
        assert role["rules"][0]["resourceNames"] == sorted([signer_name(one), signer_name(two)])
        assert role["rules"][0]["verbs"] == ["approve"]

    def test_signers_of_the_mesh(self, run: Run, world: World) -> None:
        """Without names, the mesh's own signers are meant; one whose CA is missing is told on stderr, status 1."""
        one = world.signer("one")
        world.mesh_config(authorities(one, world.name("gone")))
        found = run("mesh-config", "-o", "json")
        assert found.status == 1
        assert [entry["certSigners"] for entry in found.json["caCertificates"]] == [[signer_name(one)]]
        assert found.json["problems"] == [f"ClusterIssuer {world.name('gone')} does not exist"]
        assert world.name("gone") in found.err

    def test_no_mesh_yet(self, run: Run) -> None:
        """Where nothing is a signer of the mesh, it says how to go on, and that nothing was found out."""
        found = run("mesh-config")
        assert found.status == 2
        assert "name the signers" in found.err

    def test_writes(self, run: Run, world: World) -> None:
        """--write changes the roots alone, once."""
        ca = pki.CA("one")
        one = world.signer("one", ca)
        world.mesh_config(authorities(one))
        found = run("mesh-config", "--write")
        assert (found.status, found.err) == (0, "")
        text = world.read_mesh_config()
        assert roots(text) == {signer_name(one): ca.pem.decode()}
        assert text.startswith("# ours\n")
        again = run("mesh-config", "--write")
        assert (again.status, again.out.strip().endswith("nothing to change")) == (0, True)
        assert world.read_mesh_config() == text

    def test_another_key_needs_force(self, run: Run, world: World) -> None:
        """A root with another key is refused (status 1), and replaced with --force, in the revision that is meant."""
        old, new = pki.CA("old"), pki.CA("new")
        one = world.signer("one", old)
        world.mesh_config(authorities(one), "istio-canary")
        assert run("mesh-config", one, "--write", "--revision=canary").status == 0
        world.signer("one", new)
        refused = run("mesh-config", one, "--write", "--revision=canary")
        assert refused.status == 1
        assert "another public key" in refused.err
        assert roots(world.read_mesh_config("istio-canary")) == {signer_name(one): old.pem.decode()}
        assert run("mesh-config", one, "--write", "--revision=canary", "--force").status == 0
        assert roots(world.read_mesh_config("istio-canary")) == {signer_name(one): new.pem.decode()}

    def test_may_not_write(self, run: Run, world: World, mesh: Cluster) -> None:
        """Who may not write the ConfigMap is told so by the API server's words, status 2."""
        one = world.signer("one")
        world.mesh_config(authorities(one))
        mesh.kubectl("delete", "role,rolebinding", OPERATORS, "-n", world.istio)
        found = run("mesh-config", one, "--write")
        assert found.status == 2
        assert "cannot get resource" in found.err


class TestTenants:
    """mesh-signer tenants."""

    def test_table(self, run: Run, world: World) -> None:
        """One line for each namespace and signer: granted, free, refused, and the default for the others."""
        foo, bar = world.tenant("foo"), world.tenant("bar")
        for name in (foo, bar):
            world.signer(name.partition("-")[0])
        default = world.signer("default")
        thief = world.tenant("thief", signer=foo)
        world.mesh_config(authorities(foo, bar, default, default=default))
        world.bind(foo, foo)
        found = run("tenants")
        assert found.status == 1
        lines = {tuple(line.split()[:3]): line for line in found.out.splitlines()}
        assert (foo, foo, "granted") in lines
        assert "at first request" in lines[bar, bar, "at"]
        assert (thief, foo, "SignerClaimed") in lines
        assert f"SignerBinding {foo}" in lines[foo, foo, "granted"]
        assert "in 89d" in lines[foo, foo, "granted"]
        rows = {(row["namespace"], row["signer"]): row for row in run("tenants", "-o", "json").json}
        assert rows[thief, signer_name(foo)]["refused"]
        assert rows["", signer_name(default)]["others"] > 0

    def test_propose(self, run: Run, world: World) -> None:
        """What several namespaces share becomes a SignerPolicy that can be applied and then grants it."""
        team = world.signer("team")
        one, two = world.tenant("one", team), world.tenant("two", team)
        world.mesh_config(authorities(team))

        def statuses() -> set[str]:
            return {row["status"] for row in run("tenants", "-o", "json").json if row["namespace"] in {one, two}}

        assert statuses() == {"SignerContested"}
        found = run("tenants", "--propose")
        assert found.status == 0
        (policy,) = [found for found in yaml.safe_load_all(found.out) if found["metadata"]["name"] == team]
        assert policy["spec"] == {"signers": [signer_name(team)], "namespaces": {"names": sorted([one, two])}}
        world.policy(policy["metadata"]["name"], policy["spec"])
        assert statuses() == {"granted"}

    def test_release(self, run: Run, world: World) -> None:
        """A signer is released with --yes only, where nobody can be asked."""
        foo = world.tenant("foo")
        world.signer("foo")
        world.mesh_config(authorities(foo))
        world.bind(foo, foo)
        refused = run("tenants", "release", foo)
        assert refused.status == 2
        assert "--yes" in refused.err
        assert world.place.api.find(f"/apis/mesh-signer.dev/v1alpha1/signerbindings/{foo}")
        assert run("tenants", "release", foo, "--yes").status == 0
        assert world.place.api.find(f"/apis/mesh-signer.dev/v1alpha1/signerbindings/{foo}") is None
        gone = run("tenants", "release", foo, "--yes")
        assert gone.status == 2
        assert "nobody owns it" in gone.err

    def test_no_rights(self, run: Run) -> None:
        """Somebody without rights gets no table that looks complete: what he may not read is named, status 2."""
        found = run("tenants", user="nobody", groups=())
        assert found.status == 2
        assert "proxyconfigs" in found.err
        assert found.out == ""
