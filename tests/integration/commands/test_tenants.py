"""mesh-signer tenants on a real API server, as an operator who is not a cluster-admin runs it."""

import io
from datetime import UTC, datetime

import pytest
import yaml

from tests.integration.commands.operating import Run, World, authorities
from tests.integration.hot_path import signer_name

pytestmark = pytest.mark.integration


class Terminal(io.StringIO):
    """Standard input with a person in front of it."""

    def isatty(self) -> bool:
        return True


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
        assert statuses() == {"NamespaceNotRecorded"}, "the signer grants nothing before it has written who is meant"
        world.record(policy["metadata"]["name"], one, two)
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

    def test_release_while_nobody_may_own(self, run: Run, world: World) -> None:
        """A signer that a SignerPolicy gave out a moment ago is released, and until when nobody gets it is said."""
        foo = world.tenant("foo")
        world.signer("foo")
        world.bind(foo, foo)
        path = f"/apis/mesh-signer.dev/v1alpha1/signerrecords/clusterissuers.{foo}"
        body = {"apiVersion": "mesh-signer.dev/v1alpha1", "kind": "SignerRecord"}
        spec = {"signerName": f"clusterissuers.cert-manager.io/{foo}"}
        world.place.api.apply(path, body | {"metadata": {"name": f"clusterissuers.{foo}"}, "spec": spec})
        world.place.made.append(path)
        ended = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        stored = world.place.api.get(path)
        world.place.api.put(f"{path}/status", stored | {"status": {"givenOutUntilTime": ended}})
        released = run("tenants", "release", foo, "--yes")
        assert released.status == 0
        assert "nobody becomes its owner before" in released.out

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

    def test_readmit(self, run: Run, world: World) -> None:
        """A namespace that was made again is let in by --yes only, in every policy that named the earlier one, and once."""
        foo = world.namespace("foo")
        world.signer("foo")
        world.mesh_config("")
        api = world.place.api
        paths = [f"/apis/mesh-signer.dev/v1alpha1/signerpolicies/{foo}-{one}" for one in "ab"]
        for path in paths:
            world.policy(path.rpartition("/")[2], {"signers": [signer_name(foo)], "namespaces": {"names": [foo]}})
            api.patch(f"{path}/status", {"status": {"namespaceUIDs": {foo: "an-earlier-one"}}})
        assert [row["status"] for row in run("tenants", "-o", "json").json if row["namespace"] == foo] == [
            "NamespaceRemade"
        ]
        refused = run("tenants", "readmit", foo)
        assert refused.status == 2
        assert "--yes" in refused.err
        assert run("tenants", "readmit", foo, "--yes").status == 0
        uid = api.get(f"/api/v1/namespaces/{foo}")["metadata"]["uid"]
        assert [api.get(path)["status"]["namespaceUIDs"] for path in paths] == [{foo: uid}] * 2
        assert [row["status"] for row in run("tenants", "-o", "json").json if row["namespace"] == foo] == ["granted"]
        again = run("tenants", "readmit", foo, "--yes")
        assert again.status == 2
        assert "gave anything to an earlier namespace" in again.err
        assert "there is no namespace" in run("tenants", "readmit", f"{foo}-absent", "--yes").err

    def test_no_rights(self, run: Run) -> None:
        """Somebody without rights gets no table that looks complete: what he may not read is named, status 2."""
        found = run("tenants", user="nobody", groups=())
        assert found.status == 2
        assert "proxyconfigs" in found.err
        assert found.out == ""
