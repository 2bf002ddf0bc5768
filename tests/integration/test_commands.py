"""The commands on a real API server, as an operator who is no cluster-admin runs them.

Istio's namespace is one of the module's own, so that no other test's mesh is seen.
"""

import base64
import io
import json
import re
import secrets
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from signer.cli import main
from signer.commands import mesh_config
from signer.tenancy.meshconfig_edit import edit_mesh_config
from tests import pki
from tests.integration.hot_path import Place, signer_name
from tests.localmesh import Cluster, LocalCluster, istio_install
from tests.localmesh.build import find_program

pytestmark = pytest.mark.integration

MANIFESTS = Path(__file__).parents[2] / "manifests"
OPERATORS = "mesh-operators"
SIGNER = "ISTIO_META_CERT_SIGNER"

PAPER = Path(__file__).parents[2] / "docs" / "commands.md"
GROUP = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": OPERATORS}


def operators_roles(istio: str) -> list[dict[str, Any]]:
    """The roles that the paper gives operators, and their bindings; Istio's namespace is the test's own."""
    (text,) = re.findall(r"^```yaml\n(.*?)^```", PAPER.read_text(), re.MULTILINE | re.DOTALL)
    found = list(yaml.safe_load_all(text))
    assert [one["kind"] for one in found] == ["ClusterRole", "Role", "Role"]
    found[2]["metadata"]["namespace"] = istio
    bindings = [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": f"{one['kind']}Binding",
            "metadata": one["metadata"],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": one["kind"], "name": one["metadata"]["name"]},
            "subjects": [GROUP],
        }
        for one in found
    ]
    return [*found, *bindings]


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


class Terminal(io.StringIO):
    """Standard input with a person in front of it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(scope="module")
def mesh(installed: Cluster) -> Cluster:
    """The cluster with ProxyConfigs."""
    rendered = istio_install.render({"apiVersion": "install.istio.io/v1alpha1", "kind": "IstioOperator"})
    (crd,) = [one for one in rendered.objects if one["metadata"]["name"] == "proxyconfigs.networking.istio.io"]
    installed.apply(json.dumps(crd))
    names = ["proxyconfigs.networking.istio.io", "signerbindings.mesh-signer.dev", "signerpolicies.mesh-signer.dev"]
    installed.kubectl("wait", "--for=condition=Established", "--timeout=30s", *(f"crd/{name}" for name in names))
    return installed


@pytest.fixture
def istio(mesh: Cluster, namespace: str) -> str:
    """An Istio namespace of the test's own, whose ConfigMaps the operator may write."""
    mesh.apply(yaml.safe_dump_all(operators_roles(namespace)))
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

    def deployment(self, name: str, namespace: str, **container: Any) -> None:
        labels = {"app": name}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "x"} | container]}}
        self.place._apply(
            f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}",
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
            },
        )

    def pod(self, name: str, namespace: str, environment: dict[str, str]) -> None:
        env = [{"name": key, "value": value} for key, value in environment.items()]
        spec = {"containers": [{"name": "c", "image": "x", "env": env}]}
        self.place._apply(
            f"/api/v1/namespaces/{namespace}/pods/{name}",
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": spec},
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

    def test_somebody_else_writes(self, run: Run, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """What another person writes between reading and writing is kept: the edit is made again on top of it."""
        ca = pki.CA("one")
        one = world.signer("one", ca)
        world.mesh_config(authorities(one))
        texts: list[str] = []

        def interrupted(text: str, *arguments: Any, **options: Any) -> Any:
            texts.append(text)
            if len(texts) == 1:
                world.mesh_config(text + "trustDomain: theirs\n")
            return edit_mesh_config(text, *arguments, **options)

        monkeypatch.setattr(mesh_config, "edit_mesh_config", interrupted)
        assert run("mesh-config", "--write").status == 0
        assert len(texts) == 2
        text = world.read_mesh_config()
        assert roots(text) == {signer_name(one): ca.pem.decode()}
        assert text.endswith("trustDomain: theirs\n")

    def test_may_not_write(self, run: Run, world: World, mesh: Cluster) -> None:
        """Who may not write the ConfigMap is told so by the API server's words, status 2."""
        one = world.signer("one")
        world.mesh_config(authorities(one))
        mesh.kubectl("delete", "rolebinding", "mesh-operator", "-n", world.istio)
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

    def test_release_asks(self, run: Run, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """A person is told what a release means, and only a yes releases."""
        foo = world.tenant("foo")
        world.signer("foo")
        world.bind(foo, foo)
        questions: list[str] = []
        answers = iter(["", "no", "y"])

        def ask(question: str) -> str:
            questions.append(question)
            return next(answers)

        monkeypatch.setattr("sys.stdin", Terminal())
        monkeypatch.setattr("builtins.input", ask)
        assert [run("tenants", "release", foo).status for _ in range(3)] == [1, 1, 0]
        assert f"belongs to namespace {foo}" in questions[0]
        assert world.place.api.find(f"/apis/mesh-signer.dev/v1alpha1/signerbindings/{foo}") is None

    def test_no_rights(self, run: Run) -> None:
        """Somebody without rights gets no table that looks complete: what he may not read is named, status 2."""
        found = run("tenants", user="nobody", groups=())
        assert found.status == 2
        assert "proxyconfigs" in found.err
        assert found.out == ""


class TestExplain:
    """mesh-signer explain."""

    @pytest.fixture
    def tenants(self, world: World) -> World:
        """Foo owns its signer, bar has one that nobody owns yet; a default for the others."""
        for word in ("foo", "bar"):
            world.tenant(word)
            world.signer(word)
        default = world.signer("default")
        world.mesh_config(authorities(world.name("foo"), world.name("bar"), default, default=default))
        world.bind(world.name("foo"), world.name("foo"))
        return world

    def test_owner(self, run: Run, tenants: World) -> None:
        """An owner's workload is signed for; where the grant comes from is told."""
        foo = tenants.name("foo")
        found = run("explain", f"--namespace={foo}", "--service-account=web", f"--signer={foo}")
        assert (found.status, found.err) == (0, "")
        assert "SIGNED, until" in found.out
        assert f"SignerBinding {foo}" in found.out
        assert f"spiffe://cluster.local/ns/{foo}/sa/web" in found.out

    def test_certificate_request(self, run: Run, tenants: World) -> None:
        """A CertificateRequest of the cluster is explained by its namespace and name, by the wall's own reason."""
        foo = tenants.name("foo")
        where = f"/apis/cert-manager.io/v1/namespaces/{foo}/certificaterequests"
        reference = {"name": foo, "kind": "ClusterIssuer", "group": "cert-manager.io"}
        spec = {"request": base64.b64encode(pki.csr(dns=["foo.example"])).decode(), "issuerRef": reference}
        body = {"apiVersion": "cert-manager.io/v1", "kind": "CertificateRequest", "metadata": {"name": "web-1"}}
        tenants.place.api.apply(f"{where}/web-1", body | {"spec": spec})
        found = run("explain", f"{foo}/web-1", "-o", "json")
        assert (found.status, found.json["verdict"]) == (1, "refuse")
        assert [one["code"] for one in found.json["reasons"]] == ["RequestNotAllowed"]
        absent = run("explain", f"{foo}/absent")
        assert (absent.status, "there is no CertificateRequest" in absent.err) == (2, True)

    def test_future_owner(self, run: Run, tenants: World) -> None:
        """Who would become the owner by asking is told so, and nothing is written."""
        bar = tenants.name("bar")
        found = run("explain", f"--namespace={bar}", "-o", "json")
        assert found.status == 0
        assert f"a SignerBinding {bar} is stored first" in found.json["notes"][0]
        assert tenants.place.api.find(f"/apis/mesh-signer.dev/v1alpha1/signerbindings/{bar}") is None

    def test_thief(self, run: Run, tenants: World) -> None:
        """A workload that asks for another's signer is refused, with what it may have and what to do."""
        foo, bar = tenants.name("foo"), tenants.name("bar")
        found = run("explain", f"--namespace={bar}", f"--signer={foo}")
        assert found.status == 1
        assert "REFUSED" in found.out
        assert "TenantMismatch" in found.out
        assert f"which may have ClusterIssuer {bar}" in found.out
        assert "ProxyConfig pc" in found.out
        assert "A Pod's annotation, label or environment grants nothing" in found.out

    def test_never_heard_of(self, run: Run, tenants: World) -> None:
        """A namespace and a signer that do not exist are told as such, not as a refusal of tenants."""
        nobody = tenants.name("nobody")
        found = run("explain", f"--namespace={nobody}", f"--signer={nobody}", "-o", "json")
        assert found.status == 1
        assert found.json["verdict"] == "wait"
        assert found.json["reasons"][0]["code"] == "IssuerNotFound"
        known = {one["about"]: one["is"] for one in found.json["known"]}
        assert "nothing was ever heard of it" in known[f"namespace {nobody}"]
        assert known[f"ClusterIssuer {nobody}"].startswith("does not exist; there are: ")
        assert known["mesh signer"].startswith("no: ")

    def test_request(self, run: Run, tenants: World, place: Place) -> None:
        """A request of the cluster is judged by who made it: not everybody is istiod."""
        foo = tenants.name("foo")
        made = place.create(foo, pki.workload_csr(foo, "web"), user="mallory")
        found = run("explain", made["metadata"]["name"], "-o", "json")
        assert found.status == 1
        assert [reason["code"] for reason in found.json["reasons"]] == ["RequesterNotAllowed"]
        assert found.json["requester"] == "mallory"
        text = run("explain", made["metadata"]["name"]).out
        assert "nobody approved it" in text

    def test_gone(self, run: Run) -> None:
        """A request that istiod has deleted is told with where to look instead."""
        found = run("explain", "csr-workload-x")
        assert found.status == 2
        assert "audit log" in found.err

    def test_file(self, run: Run, tenants: World, tmp_path: Path) -> None:
        """A manifest and a CSR in PEM can be explained before they are made; other content in the CSR is refused."""
        foo = tenants.name("foo")
        pem = tmp_path / "csr.pem"
        pem.write_bytes(pki.workload_csr(foo, "web"))
        assert run("explain", "-f", str(pem), f"--signer={foo}").status == 0
        pem.write_bytes(pki.csr(uris=[pki.spiffe(foo, "web"), pki.spiffe(foo, "other")]))
        found = run("explain", "-f", str(pem), f"--signer={foo}", "-o", "json")
        assert (found.status, found.json["reasons"][0]["code"]) == (1, "UnexpectedContents")
        assert run("explain", "-f", str(pem)).status == 2
        pem.write_text("kind: Pod\n")
        assert run("explain", "-f", str(pem)).status == 2

    def test_without_secrets(self, run: Run, tenants: World, mesh: Cluster) -> None:
        """Who may not read CA Secrets is told what the wall says, and that the CA itself was not looked at."""
        foo, bar = tenants.name("foo"), tenants.name("bar")
        for name in (foo, bar):
            mesh.kubectl(
                "patch", "clusterissuer", name, "--subresource=status", "--type=merge", "-p",
                '{"status":{"conditions":[{"type":"Ready","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}',
            )  # fmt: skip
        mesh.kubectl("delete", "rolebinding", "mesh-operator", "-n", "cert-manager")
        try:
            fine = run("explain", f"--namespace={foo}", "-o", "json")
            assert (fine.status, fine.json["verdict"]) == (0, "issue")
            assert "may not be read by you" in fine.json["notes"][0]
            assert run("explain", f"--namespace={bar}", "-o", "json").status == 0
            thief = run("explain", f"--namespace={bar}", f"--signer={foo}", "-o", "json")
            assert (thief.status, thief.json["reasons"][0]["code"]) == (1, "TenantMismatch")
        finally:
            mesh.apply(yaml.safe_dump_all(operators_roles(tenants.istio)))

    @pytest.mark.parametrize(
        "arguments", [(), ("a", "-f", "b"), ("--namespace=UPPER", "--signer=foo"), ("-f", "/nowhere")]
    )
    def test_usage(self, run: Run, arguments: tuple[str, ...]) -> None:
        """What cannot be asked is status 2 and one line on stderr."""
        found = run("explain", *arguments)
        assert (found.status, found.out) == (2, "")
        assert len(found.err.splitlines()) == 1


class TestDoctor:
    """mesh-signer doctor."""

    @staticmethod
    def findings(found: Result) -> dict[tuple[str, str], str]:
        return {(one["check"], one["where"]): one["what"] for one in found.json["findings"]}

    def test_a_mesh_with_faults(self, run: Run, world: World, mesh: Cluster) -> None:
        """Faults of every kind are found in one run, each with its place; nothing of a healthy part is told."""
        foo, bar = world.tenant("foo"), world.tenant("bar", signer=world.name("gone"))
        world.signer("foo", pki.CA("foo"))
        world.mesh_config(
            f"caCertificates:\n- pem: {json.dumps(pki.CA('other').pem.decode())}\n  certSigners: [{signer_name(foo)}]\n"
        )
        env = [
            {"name": "CERT_SIGNER_DOMAIN", "value": "example.com"},
            {"name": "ISTIO_MULTIROOT_MESH", "value": "true"},
        ]
        world.deployment("istiod", world.istio, env=env)
        gates = "--feature-gates=ExperimentalCertificateSigningRequestControllers=true"
        world.deployment("cert-manager", foo, args=[gates])
        world.pod("thief", bar, {SIGNER: foo})
        mesh.apply(
            "{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, "
            f"metadata: {{name: everybody, namespace: {world.istio}}}, "
            "roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}, "
            "subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: 'system:authenticated'}]}"
        )
        found = run("doctor", "-o", "json")
        assert found.status == 1
        told = self.findings(found)
        istiod = f"Deployment {world.istio}/istiod"
        whats = [one["what"] for one in found.json["findings"] if one["where"] == istiod]
        assert any("EXTERNAL_CA" in what for what in whats)
        assert any("CERT_SIGNER_DOMAIN is 'example.com'" in what for what in whats)
        assert any("ISTIO_MULTIROOT_MESH is on" in what for what in whats)
        assert "another CA's" in told["roots", "meshConfig.caCertificates"]
        assert "does not exist" in told["claims", f"ProxyConfig {bar}/pc"]
        assert "may not have it: TenantMismatch" in told["workloads", f"namespace {bar}: thief"]
        assert ("cert-manager", f"Deployment {foo}/cert-manager") in told
        rights = [one for one in found.json["findings"] if one["check"] == "rights"]
        (open_,) = [one for one in rights if "write Istio's mesh config" in one["what"]]
        assert open_["severity"] == "error"
        assert "Group system:authenticated (by admin)" in open_["what"]
        assert any("may not approve requests" in one["what"] for one in rights)
        assert not any(f"{world.name('foo')} is not ready" in what for what in told.values())
        text = run("doctor").out
        assert text.splitlines()[0].startswith("ERROR ")
        assert " errors, " in text.splitlines()[-1]

    def test_rights_of_the_signer(self, run: Run, mesh: Cluster) -> None:
        """The rights in manifests/base suffice for all that the doctor asks about; one that is gone is found."""

        def missing() -> list[str]:
            found = run("doctor", "-o", "json").json["findings"]
            return [one["what"] for one in found if "serviceaccount:cert-manager:mesh-signer may not" in one["what"]]

        # The role for the mesh config is bound in istio-system, and this test's Istio is elsewhere.
        assert [what for what in missing() if "configmaps" not in what] == []
        mesh.kubectl("delete", "clusterrolebinding", "mesh-signer")
        try:
            found = missing()
            assert any("update certificatesigningrequests.certificates.k8s.io/status" in what for what in found)
            assert any("create signerbindings.mesh-signer.dev" in what for what in found)
        finally:
            mesh.apply_kustomize(MANIFESTS / "base")

    def test_no_rights(self, run: Run) -> None:
        """Somebody without rights is told of each source that could not be checked, and gets no clean bill."""
        found = run("doctor", "-o", "json", user="nobody", groups=())
        unknown = [one["what"] for one in found.json["findings"] if one["severity"] == "unknown"]
        for source in ("proxyconfigs", "configmaps", "pods", "deployments", "customresourcedefinitions", "our rights"):
            assert any(source in what for what in unknown), source
        assert found.status == 2

    def test_a_healthy_mesh(
        self, private_cluster: Callable[[], LocalCluster], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Of the Istio task as istioctl installs it, with our overlay, it tells what is true of it and nothing else."""
        cluster = private_cluster()
        cluster.apply_kustomize(MANIFESTS / "crds")
        cluster.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd/clusterissuers.cert-manager.io")
        place = Place.of(cluster)
        cluster.create_namespace("cert-manager")
        cas = {name: pki.CA(name) for name in ("istio-system", "foo", "bar")}
        for name, ca in cas.items():
            place.ca_issuer(name, ca)
        place.api.close()
        document = yaml.safe_load((MANIFESTS / "examples" / "istio-task" / "istio.yaml").read_text())
        given = {signer_name(name): ca.pem.decode() for name, ca in cas.items()}
        istio_install.apply(cluster, istio_install.render(istio_install.operator(document, given)))
        rendered = subprocess.run(
            [find_program("istioctl"), "manifest", "generate", "-f", "-"],
            input=yaml.safe_dump(document), capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        for one in yaml.load_all(rendered, Loader=yaml.CSafeLoader):
            if one and one["kind"] == "Deployment":
                cluster.apply(json.dumps(one))
        cluster.apply_kustomize(MANIFESTS / "overlays" / "istio")
        for name in ("mesh-signer", "mesh-signer-controllers"):
            ready = '{"status":{"availableReplicas":1,"readyReplicas":1,"replicas":1}}'
            cluster.kubectl(
                "patch", "deployment", name, "-n", "cert-manager", "--subresource=status", "--type=merge", "-p", ready
            )
        cluster.kubectl("create", "namespace", "foo")
        status = main(["doctor", f"--kubeconfig={cluster.kubeconfig()}", "-o", "json"])
        found = json.loads(capsys.readouterr().out)["findings"]
        told = [one for one in found if one["severity"] != "note"]
        assert [one["check"] for one in told if "istio-reader-service-account" in one["what"]] == ["rights"]
        # values.global.certSigners is not set in the task, so the chart's rule names no signer, which means all.
        all_signers = "ServiceAccount istio-system/istiod may approve requests of every signer"
        assert [one["check"] for one in told if one["what"].startswith(all_signers)] == ["rights"]
        known = ("istio-reader-service-account", all_signers)
        assert [one["what"] for one in told if not any(text in one["what"] for text in known)] == []
        assert status == 1
