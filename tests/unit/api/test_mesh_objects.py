"""ConfigMaps, Namespaces, SignerPolicies and SignerBindings as they come from the API server."""

from typing import Any

import msgspec
import pytest

from signer.api.configmap import CONFIG_MAPS, ConfigMap
from signer.api.namespace import NAMESPACES, NamespaceObject
from signer.api.signerbinding import SIGNER_BINDINGS, SignerBinding
from signer.api.signerpolicy import SIGNER_POLICIES, SignerPolicy


def read(kind: Any, **parts: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode({"metadata": {"name": "a"}} | parts), type=kind)


def test_paths() -> None:
    """Each kind has the path that the API server serves it under."""
    assert (
        SIGNER_POLICIES.path(name="a", subresource="status") == "/apis/mesh-signer.dev/v1alpha1/signerpolicies/a/status"
    )
    assert SIGNER_BINDINGS.path() == "/apis/mesh-signer.dev/v1alpha1/signerbindings"
    assert CONFIG_MAPS.path("istio-system", "istio") == "/api/v1/namespaces/istio-system/configmaps/istio"
    assert NAMESPACES.path(name="foo") == "/api/v1/namespaces/foo"


@pytest.mark.parametrize(
    ("data", "expected"), [(None, {}), ("x", {}), ({"mesh": "a"}, {"mesh": "a"}), ({"mesh": 1, "b": "c"}, {"b": "c"})]
)
def test_config_map(data: Any, expected: dict[str, str]) -> None:
    """Only text is data; what is none does not stop the rest."""
    assert read(ConfigMap, data=data).data == expected


def test_namespace_labels() -> None:
    """Of a namespace's labels only those under the guarded prefix are taken."""
    labels = {"mesh-signer.dev/tenant": "a", "tenant": "b", "x-mesh-signer.dev/tenant": "c"}
    found = read(NamespaceObject, metadata={"name": "foo", "uid": "u", "labels": labels}, spec={"finalizers": []})
    assert found.labels_under("mesh-signer.dev/") == {"mesh-signer.dev/tenant": "a"}


def test_policy() -> None:
    """The fields are those of the schema, by their names there."""
    spec = {
        "signers": ["s"],
        "namespaces": {"names": ["n"], "matchLabels": {"k": "v"}},
        "allowCA": True,
        "maxLifetime": "1h",
        "keys": [{"algorithm": "RSA", "minSize": 2048}],
        "rate": {"certificates": 2},
    }
    found = read(SignerPolicy, spec=spec, status={"namespaceCount": 1, "conditions": []})
    assert found.problem == ""
    assert found.spec.namespaces.match_labels == {"k": "v"}
    assert found.spec.allow_ca
    assert found.spec.keys[0].min_size == 2048
    assert found.spec.rate.per == "1m"
    assert found.status.namespace_count == 1


@pytest.mark.parametrize(
    ("spec", "signers", "field"),
    [
        ({"signers": ["s", 1]}, ("s",), "spec.signers"),
        ({"signers": "s"}, (), "spec.signers"),
        ({"signers": ["s"], "keys": {}}, ("s",), "spec.keys"),
        ({"signers": ["s"], "allowCA": "yes"}, ("s",), "spec.allowCA"),
        (["s"], (), "spec"),
    ],
)
def test_a_policy_that_cannot_be_read(spec: Any, signers: tuple[str, ...], field: str) -> None:
    """It names the wrong field, and what it says about signers is kept as far as it goes."""
    found = read(SignerPolicy, spec=spec)
    assert found.problem.startswith(field)
    assert found.named_signers == signers


def test_binding() -> None:
    """Owner and times by their names in the schema; a status that cannot be read is empty."""
    spec = {"signerName": "s", "namespace": "n", "namespaceUID": "u"}
    found = read(SignerBinding, spec=spec, status={"claimEndedTime": "t", "lastIssuedTime": "v"})
    assert (found.spec.signer_name, found.spec.namespace, found.spec.namespace_uid) == ("s", "n", "u")
    assert (found.status.claim_ended_time, found.status.last_issued_time) == ("t", "v")
    assert read(SignerBinding, spec=spec, status=7).status.claim_ended_time is None
    assert read(SignerBinding, spec={"namespace": 1}).problem.startswith("spec.namespace:")
