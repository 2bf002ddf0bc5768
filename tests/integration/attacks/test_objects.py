"""What mallory tries at the API server itself, with the rights of `edit` in her namespace and the policies that we ship."""

import base64
from collections.abc import Callable
from typing import Any

import pytest

from tests import pki
from tests.integration.attacks.conftest import DOMAIN, Siege, objects, proxy_config
from tests.integration.plain_api import Api, Json, Refused

pytestmark = pytest.mark.integration

OURS = "/apis/mesh-signer.dev/v1alpha1"
CSRS = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
MINE = objects("bar", "proxyconfigs")


def ours(kind: str, name: str, **spec: Any) -> Json:
    return {
        "apiVersion": "mesh-signer.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


def request(**spec: Any) -> Json:
    text = base64.b64encode(pki.csr(uris=[pki.spiffe("bar")])).decode()
    reference = {"name": "shop", "kind": "ClusterIssuer", "group": "cert-manager.io"}
    return {
        "apiVersion": "cert-manager.io/v1",
        "kind": "CertificateRequest",
        "metadata": {"generateName": "o-"},
        "spec": {"request": text, "issuerRef": reference, "usages": ["server auth"]} | spec,
    }


def csr(signer: str, namespace: str) -> Json:
    text = base64.b64encode(pki.workload_csr(namespace)).decode()
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"generateName": "o-"},
        "spec": {"request": text, "signerName": signer, "usages": ["client auth"]},
    }


def generated(signer: str) -> Json:
    body = proxy_config("", signer, generateName="g-")
    del body["metadata"]["name"]
    return body


def selecting(signer: str) -> Json:
    body = proxy_config("s", signer)
    body["spec"]["selector"] = {"matchLabels": {"a": "b"}}
    return body


CHANGE = {"spec": {"environmentVariables": {"ISTIO_META_CERT_SIGNER": "foo"}}}
TOKEN = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
ACTS: dict[str, Callable[[Api], object]] = {
    # Claiming foo.
    "claim-by-post": lambda api: api.post(MINE, proxy_config("x", "foo")),
    "claim-by-apply": lambda api: api.apply(f"{MINE}/x", proxy_config("x", "foo")),
    "claim-by-a-made-name": lambda api: api.post(MINE, generated("foo")),
    "claim-by-patch": lambda api: api.patch(f"{MINE}/barpc", CHANGE),
    "claim-by-a-json-patch": lambda api: api.call(
        "PATCH",
        f"{MINE}/barpc",
        [{"op": "replace", "path": "/spec/environmentVariables/ISTIO_META_CERT_SIGNER", "value": "foo"}],
        kind="application/json-patch+json",
    ),
    "claim-by-selector": lambda api: api.post(MINE, selecting("foo")),
    "claim-in-the-root-namespace": lambda api: api.post(
        objects("istio-system", "proxyconfigs"), proxy_config("x", "bar")
    ),
    "claim-in-foos-namespace": lambda api: api.post(objects("foo", "proxyconfigs"), proxy_config("x", "bar")),
    "foos-claim-deleted": lambda api: api.delete(objects("foo", "proxyconfigs", "foopc")),
    **{
        f"claim-of-{name}": lambda api, signer=signer: api.post(MINE, proxy_config("y", signer))  # type: ignore[misc]
        for name, signer in (
            ("foo-and-a-space", "foo "),
            ("foo-in-capitals", "FOO"),
            ("foo-by-a-path", "./foo"),
            ("foo-and-nothing-visible", "foo\u200b"),
            ("foo-by-another-path", "bar/../foo"),
            ("foo-by-its-full-name", f"{DOMAIN}/foo"),
            ("the-default", "istio-system"),
        )
    },
    # What only mesh-signer or an administrator writes.
    "a-binding": lambda api: api.post(
        f"{OURS}/signerbindings",
        ours("SignerBinding", "team", signerName=f"{DOMAIN}/team", namespace="bar", namespaceUID="x"),
    ),
    "foos-binding-deleted": lambda api: api.delete(f"{OURS}/signerbindings/foo"),
    "ones-own-binding-deleted": lambda api: api.delete(f"{OURS}/signerbindings/bar"),
    "foos-binding-given-to-bar": lambda api: api.patch(f"{OURS}/signerbindings/foo", {"spec": {"namespace": "bar"}}),
    "a-record-deleted": lambda api: api.delete(f"{OURS}/signerrecords/clusterissuers.foo"),
    "a-policy": lambda api: api.post(
        f"{OURS}/signerpolicies",
        ours("SignerPolicy", "m", signers=[f"{DOMAIN}/foo"], namespaces={"names": ["bar"]}),
    ),
    "the-policys-limits": lambda api: api.patch(f"{OURS}/signerpolicies/shop", {"spec": {"allowCA": True}}),
    "the-policys-record": lambda api: api.patch(
        f"{OURS}/signerpolicies/shop/status", {"status": {"namespaceUIDs": {}}}
    ),
    "a-host-claim": lambda api: api.post(
        f"{OURS}/hostclaims", ours("HostClaim", "shop.example", host="shop.example", namespace="bar", namespaceUID="x")
    ),
    "an-edge-policy": lambda api: api.post(
        f"{OURS}/edgepolicies", ours("EdgePolicy", "m", hostSuffixes=["shop.example"], namespaces={"names": ["bar"]})
    ),
    "a-cluster-issuer": lambda api: api.post(
        "/apis/cert-manager.io/v1/clusterissuers",
        {
            "apiVersion": "cert-manager.io/v1",
            "kind": "ClusterIssuer",
            "metadata": {"name": "m"},
            "spec": {"selfSigned": {}},
        },
    ),
    "an-order": lambda api: api.post(
        objects("bar", "orders"),
        {
            "apiVersion": "acme.cert-manager.io/v1",
            "kind": "Order",
            "metadata": {"name": "o"},
            "spec": {"request": "eA==", "issuerRef": {"name": "x"}},
        },
    ),
    # What only administrators read.
    **{
        f"all-{plural}-read": lambda api, plural=plural: api.get(f"{OURS}/{plural}")  # type: ignore[misc]
        for plural in ("signerbindings", "signerpolicies", "signerrecords", "hostclaims", "edgepolicies")
    },
    "all-cluster-issuers-read": lambda api: api.get("/apis/cert-manager.io/v1/clusterissuers"),
    "foos-ca-read": lambda api: api.get(objects("cert-manager", "secrets", "foo")),
    "shops-secrets-read": lambda api: api.get(objects("shop", "secrets")),
    "shops-requests-read": lambda api: api.get(objects("shop", "certificaterequests")),
    "a-token-of-the-controllers": lambda api: api.post(
        "/api/v1/namespaces/cert-manager/serviceaccounts/mesh-signer-controllers/token", TOKEN
    ),
    "a-token-of-istiod": lambda api: api.post("/api/v1/namespaces/istio-system/serviceaccounts/istiod/token", TOKEN),
    # Being somebody else, or past one's own rights.
    "a-csr-of-foos": lambda api: api.post(CSRS, csr(f"{DOMAIN}/foo", "foo")),
    "a-csr-of-ones-own": lambda api: api.post(CSRS, csr(f"{DOMAIN}/bar", "bar")),
    "a-label-of-the-policies-on-ones-namespace": lambda api: api.patch(
        "/api/v1/namespaces/bar", {"metadata": {"labels": {"mesh-signer.dev/tenant": "shop"}}}
    ),
    "an-issuers-status": lambda api: api.patch(
        objects("bar", "issuers", "ca", "status"), {"status": {"conditions": []}}
    ),
    "a-certificate-in-shop": lambda api: api.post(
        objects("shop", "certificates"), {"metadata": {"name": "m"}, "spec": {}}
    ),
    "a-request-in-cert-managers-namespace": lambda api: api.post(
        objects("cert-manager", "certificaterequests"), request()
    ),
}


@pytest.mark.parametrize("name", ACTS)
def test_what_the_api_server_refuses(siege: Siege, name: str) -> None:
    """Whatever would make mallory more than she is, the API server refuses by our roles and policies."""
    with pytest.raises(Refused) as found:
        ACTS[name](siege.mallory)
    assert found.value.code in (403, 422), found.value


MAKERS = {
    "username": "system:serviceaccount:istio-system:istiod",
    "uid": "1",
    "groups": ["system:masters"],
    "extra": {"a": ["b"]},
}


@pytest.mark.parametrize("field", MAKERS)
def test_nobody_says_who_he_is(siege: Siege, field: str) -> None:
    """What a request says of its maker is what the API server knows, whatever mallory writes."""
    try:
        made = siege.mallory.post(objects("bar", "certificaterequests"), request(**{field: MAKERS[field]}))
    except Refused as error:
        assert error.code in (403, 422)  # noqa: PT017 - refused is as good as put right
        return
    assert made["spec"].get("username") == "mallory"
    assert made["spec"].get(field) != MAKERS[field]


AFTER: dict[str, Callable[[Api, str], object]] = {
    "a-ca-afterwards": lambda api, path: api.patch(path, {"spec": {"isCA": True}}),
    "another-issuer-afterwards": lambda api, path: api.patch(path, {"spec": {"issuerRef": {"name": "foo"}}}),
    "another-maker-afterwards": lambda api, path: api.patch(path, {"spec": {"username": "istiod"}}),
    "a-key-by-annotation-afterwards": lambda api, path: api.patch(
        path, {"metadata": {"annotations": {"cert-manager.io/private-key-secret-name": "bar-own"}}}
    ),
    "ones-own-approval": lambda api, path: api.patch(
        f"{path}/status", {"status": {"conditions": [{"type": "Approved", "status": "True"}]}}
    ),
    "a-certificate-of-ones-own-making": lambda api, path: api.patch(
        f"{path}/status", {"status": {"certificate": "eA=="}}
    ),
}


@pytest.mark.parametrize("name", AFTER)
def test_a_request_stays_as_it_was_made(siege: Siege, name: str) -> None:
    """What was decided on is what was made: neither the spec nor what counts of a request changes afterwards."""
    made = siege.mallory.post(objects("bar", "certificaterequests"), request())
    path = objects("bar", "certificaterequests", made["metadata"]["name"])
    with pytest.raises(Refused) as found:
        AFTER[name](siege.mallory, path)
    assert found.value.code in (403, 422), found.value
