"""What a backup holds, and that it is read as it was written, or not at all."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from signer.api.certificate import CERTIFICATES
from signer.api.hostclaim import HOST_CLAIMS
from signer.api.issuer import CLUSTER_ISSUERS, ISSUERS
from signer.api.secret import SECRETS
from signer.commands.backups.archive import (
    KINDS,
    Archive,
    Need,
    UnreadableArchive,
    kept,
    key_of,
    needs_of,
    read_archive,
    write_archive,
)

_TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=20)
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | _TEXTS
    | st.sampled_from(["10:30", "1e3", "no", "~", "2026-01-01"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=8,
)
_NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,6}[a-z0-9])?", fullmatch=True)


@st.composite
def _objects(draw: st.DrawFn) -> dict[str, Any]:
    resource = draw(st.sampled_from(KINDS))
    meta = {"name": draw(_NAMES)} | ({"namespace": draw(_NAMES)} if resource.namespaced else {})
    body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta | {"uid": draw(_TEXTS)}}
    return body | {"spec": draw(st.dictionaries(_TEXTS, _VALUES, max_size=3))}


@pytest.mark.heavy
@given(st.lists(_objects(), max_size=5), st.dictionaries(_NAMES, _NAMES, max_size=3))
def test_read_as_written(objects: list[dict[str, Any]], namespaces: dict[str, str]) -> None:
    """Whatever people wrote into their objects comes back as it was: no text becomes a number, a time or nothing."""
    archive = Archive(
        "2026-11-29T12:00:00Z",
        "mesh-signer 0.1.0",
        secrets=True,
        namespaces=namespaces,
        needs=(Need("a", "b", "c"),),
        objects={key_of(one): one for one in objects},
    )
    assert read_archive(write_archive(archive)) == archive


HEAD = "apiVersion: backup.mesh-signer.dev/v1\nkind: Backup\nneeds: []\nnamespaces: {}\n"
CLAIM = "apiVersion: mesh-signer.dev/v1alpha1\nkind: HostClaim\nmetadata: {name: x}\n"
BROKEN = {
    "": "it is no backup",
    "a: [\n": "line 2: it is not valid YAML",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n": "it is no backup",
    "apiVersion: backup.mesh-signer.dev/v9\nkind: Backup\n": "apiVersion: 'backup.mesh-signer.dev/v9' is not",
    HEAD.replace("{}", "[a]"): "namespaces: it must give the uid of each by its name",
    HEAD.replace("[]", "3"): "needs: it must be a list of Secrets",
    HEAD.replace("[]", "[{name: x}]"): "needs: each must have namespace, name and use",
    f"{HEAD}---\nkind: Pod\nmetadata: {{name: x}}\n": "document 2: 'None Pod' is none of the kinds",
    f"{HEAD}---\n{CLAIM.replace('v1alpha1', 'v1')}": "document 2: 'mesh-signer.dev/v1 HostClaim' is none of the kinds",
    f"{HEAD}---\n- 1\n": "document 2: it is no object of Kubernetes",
    f"{HEAD}---\n{CLAIM.replace('name: x', 'name: ../x')}": "document 2: name '../x' cannot stand in a URL path",
    f"{HEAD}---\n{CLAIM.replace('name: x', 'name: x, namespace: y')}": "document 2: metadata.namespace is not for it",
    f"{HEAD}---\n{CLAIM}spec: 3\n": "document 2: spec is not an object",
    f"{HEAD}---\n{CLAIM}---\n{CLAIM}": "document 3: HostClaim x is there twice",
    "a: &a [x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\n"
    + "".join(f"{chr(98 + n + 1)}: &{chr(98 + n + 1)} [{', '.join([f'*{chr(98 + n)}'] * 10)}]\n" for n in range(8)): "each alias counted as what it stands for",
    "[" * 100 + "]" * 100: "it is nested more than 64 deep",
}  # fmt: skip


@pytest.mark.parametrize("text", BROKEN, ids=range(len(BROKEN)))
def test_no_archive(text: str) -> None:
    """What is no backup is refused as a whole, with the place, before anything is done by it."""
    with pytest.raises(UnreadableArchive) as refused:
        read_archive(text)
    assert BROKEN[text] in str(refused.value)
    assert "\n" not in str(refused.value)


def test_not_for_kubectl() -> None:
    """An archive begins with what no API server knows, so that `kubectl apply -f` refuses it."""
    text = write_archive(Archive("t", "m", secrets=False, namespaces={}))
    assert next(yaml.safe_load_all(text))["apiVersion"].partition("/")[0] == "backup.mesh-signer.dev"


def test_kept() -> None:
    """Of an object stays what people wrote, its uid, and what of its status cannot be found out again."""
    meta = {
        "name": "x.example.com",
        "uid": "u",
        "resourceVersion": "7",
        "generation": 2,
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [{}],
        "labels": {"a": "b"},
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "c": "d"},
        "finalizers": ["f"],
    }
    status = {"conditions": [{}], "contenders": ["x"], "issuances": [{"names": "n"}], "secrets": []}
    found = kept(HOST_CLAIMS, {"metadata": meta, "spec": {"host": "x.example.com"}, "status": status})
    assert found == {
        "apiVersion": "mesh-signer.dev/v1alpha1",
        "kind": "HostClaim",
        "metadata": {"name": "x.example.com", "uid": "u", "labels": {"a": "b"}, "annotations": {"c": "d"}},
        "spec": {"host": "x.example.com"},
        "status": {"issuances": [{"names": "n"}]},
    }
    secret = {"metadata": {"name": "s", "namespace": "n"}, "type": "kubernetes.io/tls", "data": {"tls.key": "aw=="}}
    assert kept(SECRETS, secret)["type"] == "kubernetes.io/tls"


def test_needs() -> None:
    """Every Secret that an issuer or a Certificate names is a need of the namespace that it is read from."""

    def made(resource: Any, spec: dict[str, Any], namespace: str = "") -> dict[str, Any]:
        meta = {"name": "x"} | ({"namespace": namespace} if namespace else {})
        return {"kind": resource.kind, "metadata": meta, "spec": spec}

    acme = {
        "privateKeySecretRef": {"name": "account"},
        "externalAccountBinding": {"keyID": "k", "keySecretRef": {"name": "eab"}},
        "solvers": [{"dns01": {"rfc2136": {"tsigSecretSecretRef": {"name": "tsig", "key": "k"}}}}],
    }
    objects = [
        made(CLUSTER_ISSUERS, {"ca": {"secretName": "root"}}),
        made(ISSUERS, {"ca": {"secretName": "own"}}, "shop"),
        made(CLUSTER_ISSUERS, {"acme": acme}),
        made(CERTIFICATES, {"secretName": "tls", "keystores": {"jks": {"passwordSecretRef": {"name": "pw"}}}}, "shop"),
        made(CERTIFICATES, {"secretName": "root"}, "pki"),
    ]
    found = {(one.namespace, one.name): one.use for one in needs_of(objects, "pki")}
    assert set(found) == {("pki", name) for name in ("root", "account", "eab", "tsig")} | {
        ("shop", name) for name in ("own", "tls", "pw")
    }
    assert found["pki", "root"] == "the CA of ClusterIssuer x"
