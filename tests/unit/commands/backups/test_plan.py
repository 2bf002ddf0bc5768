"""What a restore would do, from an archive and a cluster."""

import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.signerbinding import SIGNER_BINDINGS
from signer.commands.backups.archive import KINDS, Archive, Json, Key, Need, key_of
from signer.commands.backups.plan import Cluster, Plan, Step, here, plan, uids
from signer.commands.restore import hinders, status, text

THEN, NOW = {"foo": "uid-foo-then", "bar": "uid-bar-then"}, {"foo": "uid-foo-now", "bar": "uid-bar-now"}


def obj(kind: str, name: str, *, namespace: str = "", uid: str = "", **fields: Any) -> Json:
    (resource,) = [one for one in KINDS if one.kind == kind]
    meta = {"name": name, "uid": uid or f"uid-{kind}-{name}"} | ({"namespace": namespace} if namespace else {})
    meta |= fields.pop("metadata", {})
    return {"apiVersion": resource.api_version, "kind": kind, "metadata": meta, **fields}


def binding(namespace: str = "foo", uid: str = THEN["foo"], name: str = "foo") -> Json:
    spec = {"signerName": f"clusterissuers.cert-manager.io/{name}", "namespace": namespace, "namespaceUID": uid}
    return obj("SignerBinding", name, spec=spec)


def archive(*objects: Json, needs: tuple[Need, ...] = ()) -> Archive:
    return Archive(
        "then", "us", secrets=True, namespaces=THEN, needs=needs, objects={key_of(one): one for one in objects}
    )


def cluster(*objects: Json, namespaces: dict[str, str] | None = None) -> Cluster:
    return Cluster(NOW if namespaces is None else namespaces, {key_of(one): one for one in objects})


BINDING = Key("SignerBinding", "", "foo")


def test_what_is_not_there_is_created() -> None:
    """In a fresh cluster everything is made, in an order in which what an owner rests on is there before him."""
    objects = [
        obj("Certificate", "c", namespace="foo", spec={}),
        binding(),
        obj("HostClaim", "x.example.com", spec={"namespace": "bar", "namespaceUID": THEN["bar"]}),
        obj("Secret", "s", namespace="foo", data={}),
        obj("ClusterIssuer", "foo", spec={}),
    ]
    found = plan(archive(*objects), cluster())
    assert [(one.deed, one.key.kind) for one in found.steps] == [
        ("create", kind) for kind in ("ClusterIssuer", "Secret", "SignerBinding", "HostClaim", "Certificate")
    ]
    assert found.problems == found.notes == ()


@pytest.mark.parametrize(
    ("there", "deed", "problem"),
    [
        (binding(uid=NOW["foo"]), None, ""),
        (binding(uid=THEN["foo"]), "adopt", ""),
        (binding("bar", NOW["bar"]), None, "belongs to namespace bar here, and in the backup to foo"),
        (binding(uid="a-third"), None, "belongs to namespace foo here, and in the backup to foo"),
    ],
    ids=["as it should be", "of the other cluster", "another owner's", "of a third namespace of this name"],
)
def test_owners(there: Json, deed: str | None, problem: str) -> None:
    """An owner of the other cluster is adopted; one who is neither that nor the one of now is left to a person."""
    found = plan(archive(binding()), cluster(there))
    assert [one.deed for one in found.steps] == ([deed] if deed else [])
    assert [problem in one for one in found.problems] == ([True] if problem else [])


def test_a_namespace_that_is_not_there() -> None:
    """What belongs to it comes back with the uid that it had, so that nobody else gets it; what lies in it is left out."""
    stored = archive(binding(), obj("Secret", "s", namespace="foo", data={}))
    there = cluster(namespaces={"bar": NOW["bar"]})
    found = plan(stored, there)
    assert [one.key for one in found.steps] == [BINDING]
    assert "kept for namespace foo, which is not there" in str(found.steps[0])
    assert [one for one in found.problems if "Secret foo/s is left out" in one]
    assert here(binding(), uids(stored, there), set())["spec"]["namespaceUID"] == THEN["foo"]


def test_secrets() -> None:
    """A key that is missing is a problem, as is another one in its place, which is never written over."""
    secret = obj("Secret", "ca", namespace="foo", data={"tls.key": "b25l"})
    need = Need("foo", "ca", "the CA of ClusterIssuer foo")
    assert "bring it back before mesh-signer starts" in plan(archive(needs=(need,)), cluster()).problems[0]
    assert plan(archive(secret, needs=(need,)), cluster()).problems == ()
    assert plan(archive(needs=(need,)), cluster(secret)).problems == ()
    other = obj("Secret", "ca", namespace="foo", data={"tls.key": "dHdv"})
    found = plan(archive(secret, needs=(need,)), cluster(other))
    assert found.steps == ()
    assert "holds other data here" in found.problems[0]


def test_what_people_wrote_otherwise_stays() -> None:
    """An issuer that says something else here is told, and is no problem: it may be newer."""
    stored, there = (obj("ClusterIssuer", "foo", spec={"ca": {"secretName": name}}) for name in "ab")
    found = plan(archive(stored), cluster(there))
    assert (found.steps, found.problems, len(found.notes)) == ((), (), 1)


def test_a_policys_record() -> None:
    """Which namespaces a SignerPolicy means is remembered, as those of now; what is recorded here already stays."""
    stored = obj("SignerPolicy", "p", spec={}, status={"namespaceUIDs": {"foo": THEN["foo"]}})
    there = obj("SignerPolicy", "p", spec={})
    assert [one.deed for one in plan(archive(stored), cluster(there)).steps] == ["remember"]
    there["status"] = {"namespaceUIDs": {"foo": NOW["foo"]}}
    assert plan(archive(stored), cluster(there)).steps == ()


def test_secret_records() -> None:
    """Which Secret is ours is known by its uid here, once it is there; a Certificate names it, and its Gateway."""
    secret = obj("Secret", "tls", namespace="foo", uid="secret-then", data={})
    gateway = {"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "name": "shop", "uid": "gateway-then"}
    gone = gateway | {"name": "gone", "uid": "gone-then"}
    notes = {"mesh-signer.dev/secret-uid": "secret-then", "mesh-signer.dev/source-namespace-uid": THEN["foo"]}
    certificate = obj(
        "Certificate",
        "tls",
        namespace="foo",
        spec={},
        metadata={"annotations": notes, "ownerReferences": [gateway, gone]},
    )
    claim = obj(
        "HostClaim", "x", spec={}, status={"secrets": [{"namespace": "foo", "name": "tls", "uid": "secret-then"}]}
    )
    stored = archive(secret, certificate, claim)
    made = copy.deepcopy(secret) | {"metadata": secret["metadata"] | {"uid": "secret-now"}}
    there = replace(cluster(made), owners={("networking.istio.io", "Gateway", "foo", "shop"): "gateway-now"})
    known = uids(stored, there)
    found = here(certificate, known, {"gateway-now", "secret-now"})["metadata"]
    assert found["annotations"] == {
        "mesh-signer.dev/secret-uid": "secret-now",
        "mesh-signer.dev/source-namespace-uid": NOW["foo"],
    }
    # Of what is not here nothing is owned: the garbage collector would remove it.
    assert [one["uid"] for one in found["ownerReferences"]] == ["gateway-now"]
    assert here(claim, known, set())["status"]["secrets"][0]["uid"] == "secret-now"


def test_secret_records_without_secrets() -> None:
    """A Secret that came back by another way is known too: by its name, beside the uid that a record has of it."""
    notes = {"mesh-signer.dev/secret-uid": "of-the-certificate"}
    certificate = obj("Certificate", "c", namespace="foo", spec={"secretName": "a"}, metadata={"annotations": notes})
    records = [
        {"namespace": "foo", "name": "b", "uid": "of-the-claim"},
        {"namespace": "foo", "name": "gone", "uid": "x"},
    ]
    claim = obj("HostClaim", "x", spec={}, status={"secrets": records})
    there = cluster(*(obj("Secret", name, namespace="foo", uid=f"{name}-now", data={}) for name in "ab"))
    found = uids(archive(certificate, claim), there)
    assert {found["of-the-certificate"], found["of-the-claim"]} == {"a-now", "b-now"}
    assert "x" not in found


def test_what_is_no_uid_stands_for_nothing() -> None:
    """An object without a uid, as somebody took it out of the archive, leaves every other text as it is."""
    bare = obj("ClusterIssuer", "foo", spec={"a": "", "b": "None"})
    del bare["metadata"]["uid"]
    stored = replace(archive(bare), namespaces={"foo": ""})
    known = uids(stored, cluster(obj("ClusterIssuer", "foo", spec={})))
    assert known == {}
    assert here(bare, known, set())["spec"] == bare["spec"]


@pytest.mark.parametrize("there", [NOW, {"foo": NOW["foo"]}], ids=["bar is there", "bar is not there"])
def test_what_tenants_write_speaks_for_itself_alone(there: dict[str, str]) -> None:
    """A tenant who names a uid of somebody else's, as his Secret's or an owner's, changes nothing about whose it is."""
    others = obj("Secret", "tls", namespace="bar", uid="secret-of-bar", data={})
    record = {"namespace": "bar", "name": "unread", "uid": "unread-of-bar"}
    claim = obj("HostClaim", "x", spec={"namespace": "bar", "namespaceUID": THEN["bar"]}, status={"secrets": [record]})
    gateway = {"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "name": "mine"}
    for stolen in (THEN["bar"], "secret-of-bar", "unread-of-bar"):
        thief = obj(
            "Certificate",
            "c",
            namespace="foo",
            spec={"secretName": "mine"},
            metadata={
                "annotations": {"mesh-signer.dev/secret-uid": stolen},
                "ownerReferences": [gateway | {"uid": stolen}],
            },
        )
        stored = archive(binding("bar", THEN["bar"], name="bar"), claim, others, thief)
        mine = obj("Secret", "mine", namespace="foo", uid="mine-now", data={})
        now = replace(
            cluster(mine, namespaces=there), owners={("networking.istio.io", "Gateway", "foo", "mine"): "mine-now"}
        )
        assert uids(stored, now).get(stolen) == (there.get("bar") if stolen == THEN["bar"] else None)
        expected = there.get("bar", THEN["bar"])
        assert (
            here(stored.objects[Key("SignerBinding", "", "bar")], uids(stored, now), set())["spec"]["namespaceUID"]
            == expected
        )


_KIND_NAMES = st.sampled_from([one.kind for one in KINDS])


@given(st.lists(st.tuples(_KIND_NAMES, st.sampled_from("abc"), st.sampled_from(["foo", "bar"])), max_size=6))
def test_a_second_run_has_nothing_to_do(chosen: list[tuple[str, str, str]]) -> None:
    """A cluster in which all was done as planned needs nothing more, whatever the objects are."""
    objects = []
    for kind, name, namespace in chosen:
        namespaced = next(one for one in KINDS if one.kind == kind).namespaced
        spec = {"namespace": namespace, "namespaceUID": THEN[namespace]}
        fields: dict[str, Any] = {"data": {}} if kind == "Secret" else {"spec": spec}
        objects.append(obj(kind, name, namespace=namespace if namespaced else "", **fields))
    stored = archive(*objects)
    fresh = cluster()
    known = uids(stored, fresh)
    done = []
    for step in plan(stored, fresh).steps:
        made = here(stored.objects[step.key], known, set())
        made["metadata"]["uid"] = f"now-{step.key}"
        done.append(made)
    again = plan(stored, cluster(*done))
    assert (again.steps, again.problems, again.same) == ((), (), len(stored.objects))


def test_a_step_says_what_it_means() -> None:
    """A person reads a step as a sentence."""
    (step,) = plan(archive(binding()), cluster()).steps
    assert str(step) == "create SignerBinding foo: it belongs to namespace foo"
    assert step == Step("create", Key(SIGNER_BINDINGS.kind, "", "foo"), "it belongs to namespace foo")


@pytest.mark.parametrize("steps", [(), (Step("create", BINDING),)])
@pytest.mark.parametrize("problems", [(), ("a Secret is missing",)])
@pytest.mark.parametrize("running", ["", "mesh-signer runs here"])
def test_the_status_is_what_is_printed(steps: tuple[Step, ...], problems: tuple[str, ...], running: str) -> None:
    """No PROBLEM is printed with status 0; that mesh-signer runs is one only while something is to be written."""
    planned = Plan(steps, problems, (), 0)
    left = hinders(planned, running)
    printed = text(archive(binding()), planned, left)
    assert ("PROBLEM" in printed) == bool(problems or (running and steps))
    assert status(planned, left) == (1 if "PROBLEM" in printed or steps else 0)
