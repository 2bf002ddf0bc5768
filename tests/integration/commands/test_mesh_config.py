"""mesh-signer mesh-config on a real API server, as an operator who is not a cluster-admin runs it."""

from typing import Any

import pytest
import yaml

from signer.commands import mesh_config
from signer.tenancy.meshconfig.edit import edit_mesh_config
from tests import pki
from tests.integration.commands.operating import Run, World, authorities
from tests.integration.hot_path import signer_name
from tests.localmesh import Cluster

pytestmark = pytest.mark.integration


def roots(text: str) -> dict[str, str]:
    """The root of each signer in a mesh config."""
    return {name: one["pem"] for one in yaml.safe_load(text)["caCertificates"] for name in one["certSigners"]}


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
