"""mesh-signer explain on a real API server, as an operator who is not a cluster-admin runs it."""

import base64
from pathlib import Path

import pytest
import yaml

from tests import pki
from tests.integration.commands.operating import Run, World, authorities, istiods_rights, operators_roles
from tests.integration.hot_path import Place, signer_name
from tests.localmesh import Cluster

pytestmark = pytest.mark.integration


class TestExplain:
    """mesh-signer explain."""

    @pytest.fixture
    def tenants(self, world: World, mesh: Cluster) -> World:
        """Foo owns its signer, bar has one that nobody owns yet; a default for the others. istiod may approve."""
        cas = {world.name(word): pki.CA(world.name(word)) for word in ("foo", "bar", "default")}
        for word in ("foo", "bar"):
            world.tenant(word)
        for word in ("foo", "bar", "default"):
            world.signer(word, cas[world.name(word)])
        default = world.name("default")
        roots = {name: ca.pem.decode() for name, ca in cas.items()}
        world.mesh_config(authorities(*cas, default=default, roots=roots))
        mesh.apply(istiods_rights(world.istio))
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

    def test_a_secret_that_is_too_large(self, run: Run, tenants: World) -> None:
        """Of a Secret that the controllers do not read nothing is read here either: the same answer."""
        foo, api = tenants.name("foo"), tenants.place.api
        data = {name: base64.b64encode(b"x" * 150_000).decode() for name in ("a", "b")}
        api.apply(
            f"/api/v1/namespaces/{foo}/secrets/huge",
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "huge"}, "data": data},
        )
        spec = {"secretName": "huge", "dnsNames": ["foo.example"], "issuerRef": {"name": foo, "kind": "ClusterIssuer"}}
        api.apply(
            f"/apis/cert-manager.io/v1/namespaces/{foo}/certificates/web",
            {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "web"}, "spec": spec},
        )
        found = run("explain", "certificate", "web", "-n", foo, "-o", "json", user="root", groups=("system:masters",))
        assert (found.status, found.json["verdict"]) == (1, "refuse")
        assert [one["code"] for one in found.json["reasons"]] == ["SecretTooLarge"]

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
        assert "was never known" in known[f"namespace {nobody}"]
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

    def test_not_approved(self, run: Run, tenants: World, place: Place, mesh: Cluster) -> None:
        """What would be signed waits while nobody has approved it; a workload's, where istiod may not, names the right."""
        foo = tenants.name("foo")
        istiod = f"system:serviceaccount:{tenants.istio}:istiod"
        made = place.create(foo, pki.workload_csr(foo, "web"), user=istiod)
        found = run("explain", made["metadata"]["name"], "-o", "json")
        assert (found.status, found.json["verdict"]) == (1, "wait")
        assert [reason["code"] for reason in found.json["reasons"]] == ["WaitingApproval"]
        mesh.kubectl("delete", "clusterrolebinding", f"istiod-{tenants.istio}")
        found = run("explain", f"--namespace={foo}", "-o", "json")
        assert (found.status, found.json["verdict"]) == (1, "wait")
        (reason,) = found.json["reasons"]
        assert reason["code"] == "WaitingApproval"
        assert reason["message"].startswith(f"{istiod} may not approve signers.certificates.k8s.io ")
        assert "mesh-signer mesh-config" in found.json["advice"][0]

    def test_no_root(self, run: Run, tenants: World) -> None:
        """A workload whose signer has no root in the mesh config does not get what is signed: status 1, with the command."""
        foo = tenants.name("foo")
        tenants.mesh_config(authorities(foo))
        found = run("explain", f"--namespace={foo}")
        assert (found.status, "SIGNED, until" in found.out) == (1, True)
        assert f"BUT meshConfig.caCertificates: the entry of ClusterIssuer {foo} has no root" in found.out

    def test_nobody_works(self, run: Run, tenants: World) -> None:
        """Where no replica renews a Lease it says so, and what was not looked at."""
        found = run("explain", f"--namespace={tenants.name('foo')}", "-o", "json")
        assert any(note.startswith("nobody answers requests now: ") for note in found.json["notes"])
        assert any(note.startswith("not looked at: webhooks") for note in found.json["notes"])

    @pytest.mark.parametrize(("key", "status"), [("RSA-2048", 0), ("ECDSA-P256", 1)])
    def test_key(self, run: Run, tenants: World, key: str, status: int) -> None:
        """A policy for RSA alone takes what Istio's agents make by default, and names itself where it refuses the other."""
        foo = tenants.name("foo")
        tenants.policy(
            foo, {"signers": [signer_name(foo)], "namespaces": {"names": [foo]}, "keys": [{"algorithm": "RSA"}]}
        )
        tenants.record(foo, foo)
        try:
            found = run("explain", f"--namespace={foo}", f"--key={key}", "-o", "json")
            assert found.status == status
            for reason in found.json["reasons"]:
                assert reason["code"] == "KeyNotAllowed"
                assert f"accepted are RSA from 2048 bits (SignerPolicy {foo}, spec.keys)" in reason["message"]
        finally:
            tenants.place.api.delete(f"/apis/mesh-signer.dev/v1alpha1/signerpolicies/{foo}")

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
