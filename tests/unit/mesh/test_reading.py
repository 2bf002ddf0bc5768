"""What is kept of objects says the same to the wall as they do."""

from typing import Any

import msgspec
import pytest

from signer.api.namespace import NamespaceObject
from signer.api.proxyconfig import ProxyConfig
from signer.kube.encoding.codec import LARGEST
from signer.mesh.reading import PROXY_CONFIG_CODEC, slim_namespace, slim_proxy_config
from signer.tenancy.claims import read_claims

SIGNER = "ISTIO_META_CERT_SIGNER"
METADATA: Any = {
    "name": "a",
    "namespace": "foo",
    "uid": "u",
    "creationTimestamp": "2026-01-01T00:00:00Z",
    "annotations": {"x": "y" * 1000},
    "resourceVersion": "7",
}
DEEP = msgspec.Raw(b"[" * 500 + b"]" * 500)


@pytest.mark.parametrize(
    "spec",
    [
        None,
        7,
        {},
        {"environmentVariables": {SIGNER: "foo", "OTHER": "z" * 1000}},
        {"environmentVariables": {SIGNER: "foo", "OTHER": [1], "MORE": {}}},
        {"environmentVariables": {"ISTIO_META_CERT_SIGNR": "foo", "OTHER": "z" * 1000}},
        {"environmentVariables": {"ISTIO_META_CERT_SIGNR": "foo", SIGNER: "bar"}},
        {"environmentVariables": {"ISTIO_META_CERT_SIGNR": 1}},
        {"environmentVariables": {SIGNER: 1}},
        {"environmentVariables": [1]},
        {
            "selector": {"matchLabels": {"app": "x"}},
            "environmentVariables": {SIGNER: "foo"},
            "image": {"imageType": "x"},
        },
        {"selector": {"matchLabels": {}}, "environmentVariables": {SIGNER: "foo"}},
        {"selector": 1},
    ],
    ids=str,
)
def test_proxy_configs(spec: Any) -> None:
    """A ProxyConfig claims the same, and has the same problems, after what does not count was left out."""
    obj = msgspec.convert({"metadata": METADATA, "spec": spec}, ProxyConfig)
    slim = slim_proxy_config(obj)
    domain = "clusterissuers.cert-manager.io"
    assert read_claims([slim], domain) == read_claims([obj], domain)
    assert len(msgspec.json.encode(slim)) < 600
    # By which a live read knows that nothing of it has to be read again.
    assert (slim.metadata.uid, slim.metadata.resource_version) == ("u", "7")


def test_namespaces() -> None:
    """A namespace keeps what names it, whether it ends, and the labels that admins guard; a status is not a change."""
    labels = {"mesh-signer.dev/team": "a", "app": "b"}
    ends = "2026-01-02T00:00:00Z"
    raw = {"metadata": METADATA | {"labels": labels, "deletionTimestamp": ends}}
    slim = slim_namespace(msgspec.convert(raw, NamespaceObject))
    assert (slim.metadata.name, slim.metadata.uid, slim.metadata.deletion_timestamp) == ("a", "u", ends)
    assert slim.metadata.labels == {"mesh-signer.dev/team": "a"}
    assert slim.metadata.resource_version == ""


@pytest.mark.parametrize("more", [{"spec": {"environmentVariables": {SIGNER: "x" * LARGEST}}}, {"spec": {"a": DEEP}}])
def test_what_is_withheld_has_its_version(more: dict[str, Any]) -> None:
    """Of a ProxyConfig that is not read, or for which there is no room, the version is kept, as of any other."""
    body = msgspec.json.encode({"items": [{"metadata": METADATA} | more], "metadata": {}})
    (obj,) = PROXY_CONFIG_CODEC.decode_list(body).whole()[0]
    assert obj.problem
    kept = PROXY_CONFIG_CODEC.withhold(obj, "no room")
    for one in (obj, kept):
        assert one is not None
        assert (one.metadata.uid, one.metadata.resource_version) == ("u", "7")


@pytest.mark.parametrize("length", [0, 253, 1024, 1025, 250_000])
def test_a_claims_value(length: int) -> None:
    """What claims is kept as far as a name may be long, and what is too long says the same to the wall, cut."""
    spec = {"environmentVariables": {SIGNER: "a" * length}}
    obj = msgspec.convert({"metadata": METADATA, "spec": spec}, ProxyConfig)
    slim = slim_proxy_config(obj)
    assert len(msgspec.json.encode(slim)) < 2000
    whole, cut = (read_claims((one,), "clusterissuers.cert-manager.io") for one in (obj, slim))
    assert whole.signers == cut.signers
    assert bool(whole.problems) == bool(cut.problems)
