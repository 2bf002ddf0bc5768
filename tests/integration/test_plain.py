"""The local mesh applies without kubectl what is plain: it comes out as kubectl's own, and what is not is left to kubectl."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.localmesh import Cluster, LocalMeshError, plain
from tests.localmesh.api import Api

pytestmark = pytest.mark.integration

MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one, namespace: %s, labels: {a: b}}\ndata: {a: '1', b: '2'}\n"
ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: role, namespace: %s}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
"""
SAMPLES = {
    "one": MAP,
    "several": f"---\n---\n{MAP}---\n{ROLE}---\n",
    "list": "{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Secret, metadata: {name: one, namespace: %s}}]}",
    "json": json.dumps(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "one", "namespace": "%s"},
            "data": {"a": "\U0001f600"},
        }
    ),
}


@pytest.fixture
def other(cluster: Cluster, namespace: str) -> Iterator[str]:
    name = f"{namespace}-other"
    cluster.create_namespace(name)
    yield name
    cluster.delete_namespace(name)


def by_kubectl(cluster: Cluster, text: str) -> None:
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=text)


def plainly(cluster: Cluster, text: str | Path) -> None:
    with Api(cluster.access()) as api:
        plain.apply(api, text, plain.Kinds())


def found(cluster: Cluster, namespace: str) -> list[Any]:
    """What is in a namespace, without what tells two of one kind apart."""
    items = cluster.get("configmaps,secrets,roles", "-n", namespace, "--show-managed-fields")["items"]
    for one in items:
        for field in ("uid", "resourceVersion", "creationTimestamp", "namespace"):
            del one["metadata"][field]
        for entry in one["metadata"].get("managedFields", []):
            del entry["time"]
    return [one for one in items if one["metadata"]["name"] != "kube-root-ca.crt"]


@pytest.mark.parametrize("sample", SAMPLES)
def test_as_kubectl_does(cluster: Cluster, namespace: str, other: str, sample: str, tmp_path: Path) -> None:
    """Text, file and folder make the same objects, managers included; so does a change that leaves fields out."""
    for change in ((), ("a: '1', b", "b")):
        text = SAMPLES[sample].replace(*change) if change else SAMPLES[sample]
        by_kubectl(cluster, text.replace("%s", namespace))
        ours = text.replace("%s", other)
        plainly(cluster, ours)
        expected = found(cluster, namespace)
        assert expected
        assert found(cluster, other) == expected
    file = tmp_path / "file.yaml"
    file.write_text(ours)
    (tmp_path / "notes.txt").write_text("not: [applied")
    for path in (file, tmp_path):
        cluster.kubectl("delete", "configmaps,secrets,roles", "--all", "-n", other)
        plainly(cluster, path)
        assert {one["metadata"]["name"] for one in found(cluster, other)} == {
            one["metadata"]["name"] for one in expected
        }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (MAP + "unknown: 1\n", "field not declared"),
        (MAP.replace("ConfigMap", "Absent"), "no matches for kind"),
        (MAP.replace("name: one", "name: Not A Name"), "a lowercase RFC 1123 subdomain"),
        (MAP.replace("apiVersion: v1\n", ""), "apiVersion not set"),
        (MAP + "  - [", "error converting YAML to JSON"),
    ],
)
def test_a_refusal_is_kubectls(cluster: Cluster, namespace: str, text: str, said: str) -> None:
    """What cannot be applied is told in kubectl's words."""
    with pytest.raises(plain.NotPlain):
        plainly(cluster, text % namespace)
    with pytest.raises(LocalMeshError, match=said):
        cluster.apply(text % namespace)


def test_what_was_applied_the_other_way(cluster: Cluster, namespace: str) -> None:
    """An object of `kubectl apply` without --server-side is kubectl's to take over, so that what is left out goes."""
    cluster.kubectl("apply", "-f", "-", input=MAP % namespace)
    cluster.apply((MAP % namespace).replace("a: '1', b", "b"))
    assert cluster.get("configmap", "one", "-n", namespace)["data"] == {"b": "2"}


def test_a_kind_that_comes_later(cluster: Cluster, namespace: str) -> None:
    """Kinds that are known are not asked for again; one that is not known yet is."""
    kinds = plain.Kinds()
    with Api(cluster.access()) as api:
        plain.apply(api, MAP % namespace, kinds)
        del kinds.by_kind["rbac.authorization.k8s.io/v1", "Role"], kinds.by_name["roles"]
        plain.apply(api, ROLE % namespace, kinds)
        assert kinds.by_kind["rbac.authorization.k8s.io/v1", "Role"].plural == "roles"
        del kinds.by_name["roles"]
        assert len(plain.get(api, ["roles", "-n", namespace], kinds)["items"]) == 1


@pytest.mark.parametrize(
    "args",
    [
        "namespace default",
        "ns",
        "ns kube-system -n default",
        "configmaps,secrets -A",
        "configmap,role -n %s",
        "cm one -n %s",
        "roles.rbac.authorization.k8s.io role -n %s",
        "Role role -n %s",
        "configmaps",
        "clusterroles view",
    ],
)
def test_what_kubectl_gets(cluster: Cluster, namespace: str, args: str) -> None:
    """What is got is what kubectl prints."""
    cluster.apply(SAMPLES["several"].replace("%s", namespace))
    words = args.replace("%s", namespace).split()
    with Api(cluster.access()) as api:
        ours = plain.get(api, words, plain.Kinds())
    theirs = json.loads(cluster.kubectl("get", *words, "-o", "json"))
    if "items" in theirs:  # other tests' namespaces come and go
        for found in (ours, theirs):
            found["items"] = [
                one
                for one in found["items"]
                if not one["metadata"].get("namespace", "x").startswith("test-")
                and not one["metadata"]["name"].startswith("test-")
            ]
    assert ours == theirs


@pytest.mark.parametrize("args", ["absents", "secret/one", "secrets -l a=b", "events", "ns -o name", "ns a b"])
def test_what_kubectl_must_get(cluster: Cluster, args: str) -> None:
    """Other flags, names of several kinds, and kinds that nobody serves are left to kubectl."""
    with Api(cluster.access()) as api, pytest.raises(plain.NotPlain):
        plain.get(api, args.split(), plain.Kinds())


def test_what_is_not_there(cluster: Cluster) -> None:
    """An object that is missing is told as kubectl tells it."""
    args = ("secret", "absent", "-n", "default")
    with pytest.raises(LocalMeshError) as theirs:
        cluster.kubectl("get", *args)
    with pytest.raises(LocalMeshError) as ours:
        cluster.get(*args)
    assert str(ours.value) == str(theirs.value)
