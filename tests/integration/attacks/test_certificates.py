"""What mallory tries by Certificates, and by the Secrets beside them, under the policy that is open to her."""

import base64
from dataclasses import dataclass, field

import pytest

from tests import pki
from tests.integration.attacks.conftest import Siege, harmless, leaf_of, objects, ready
from tests.integration.plain_api import Json, Refused

pytestmark = pytest.mark.integration

ME = pki.spiffe("bar")
CN = {"commonName": "x.bar.example"}
GROUP_IN_HEX = "#0c" + bytes([14]).hex() + b"system:masters".hex()


@dataclass(frozen=True)
class Try:
    """A Certificate, and its end: "refused", or "cut": issued, and no more in it than the policy allows."""

    spec: Json
    end: str = "refused"
    metadata: Json = field(default_factory=dict)


TRIES = {
    "a-group-in-a-literal-subject": Try({"literalSubject": "CN=x.bar.example,O=system:masters"}),
    "a-user-id-in-the-same-rdn": Try({"literalSubject": "CN=x.bar.example+UID=root"}),
    "a-group-by-its-oid": Try({"literalSubject": "CN=x.bar.example,2.5.4.10=system:masters"}),
    "a-group-in-hex": Try({"literalSubject": f"CN=x.bar.example,O={GROUP_IN_HEX}"}),
    "an-other-name": Try({"uris": [ME], "otherNames": [{"oid": "1.3.6.1.4.1.311.20.2.3", "utf8Value": "admin@foo"}]}),
    "a-ca": Try(CN | {"isCA": True}),
    "a-ca-with-name-constraints": Try(
        CN | {"isCA": True, "nameConstraints": {"permitted": {"dnsDomains": ["bar.example"]}}}
    ),
    "ten-years": Try({"uris": [ME], "duration": "87600h"}, end="cut"),
    "any-outside-the-request": Try({"uris": [ME], "usages": ["any"], "encodeUsagesInRequest": False}),
    "a-group-in-the-subject": Try(CN | {"subject": {"organizations": ["system:masters"]}}),
    "a-serial-number-in-the-subject": Try(CN | {"subject": {"serialNumber": "1"}}),
    "foos-identity": Try({"uris": [pki.spiffe("foo")]}),
    "foos-identity-of-foos-ca": Try(
        {"uris": [pki.spiffe("foo")], "issuerRef": {"name": "foo", "kind": "ClusterIssuer"}}
    ),
    "a-temporary-certificate-meanwhile": Try(
        {"uris": [pki.spiffe("foo")], "issuerRef": {"name": "foo", "kind": "ClusterIssuer"}},
        metadata={"annotations": {"cert-manager.io/issue-temporary-certificate": "true"}},
    ),
    "annotations-that-its-requests-get": Try(
        {"uris": [ME]},
        end="cut",
        metadata={
            "annotations": {
                "experimental.cert-manager.io/request-is-ca": "true",
                "experimental.cert-manager.io/request-duration": "9000h",
                "cert-manager.io/private-key-secret-name": "bar-own",
            }
        },
    ),
    "labels-as-if-a-gateway-of-administrators-wanted-it": Try(
        {"uris": [pki.spiffe("foo")], "issuerRef": {"name": "foo", "kind": "ClusterIssuer"}},
        metadata={"labels": {"mesh-signer.dev/edge": "true", "mesh-signer.dev/source-namespace": "cert-manager"}},
    ),
    "the-secret-of-a-ca": Try({"uris": [ME], "secretName": "bar-own"}),
    "its-requests-label-in-its-template": Try(
        {"uris": [ME], "secretTemplate": {"labels": {"cert-manager.io/next-private-key": "true"}}}, end="any"
    ),
    "another-certificates-name-in-its-template": Try(
        {"uris": [ME], "secretTemplate": {"annotations": {"cert-manager.io/certificate-name": "web"}}}, end="any"
    ),
    "unwatched-by-its-template": Try(
        {"uris": [ME], "secretTemplate": {"labels": {"controller.cert-manager.io/fao": "false"}}}, end="any"
    ),
    "another-secrets-uid-in-its-template": Try(
        {"uris": [ME], "secretTemplate": {"annotations": {"mesh-signer.dev/secret-uid": "x"}}}, end="any"
    ),
    "a-remote-cluster-by-its-template": Try(
        {"uris": [ME], "secretTemplate": {"labels": {"istio/multiCluster": "true"}}}
    ),
}


def ended(siege: Siege, name: str) -> Json:
    """Wait until a Certificate is Ready, or says what is wrong; returns it."""

    def ask() -> Json | None:
        found = siege.place.api.get(objects("bar", "certificates", name))
        reason = ready(found).get("reason", "")
        over = ready(found).get("status") == "True" or ready(found, "Issuing").get("status") == "False"
        stopped = reason in (
            "InvalidSpec",
            "UnsupportedField",
            "SecretNotOwned",
            "SecretTypeMismatch",
            "SecretWriteFailed",
        )
        told = "denied request" in ready(found, "Issuing").get("message", "")
        return found if over or stopped or told else None

    found: Json = siege.place.until(f"the end of Certificate {name}", ask)
    return found


@pytest.mark.parametrize("name", TRIES)
def test_no_certificate_gets_more(siege: Siege, name: str) -> None:
    """Nothing that mallory writes into a Certificate puts more into a Secret than the policy that is open to her says."""
    one = TRIES[name]
    before = siege.place.api.get(objects("bar", "secrets", "bar-own"))["data"]
    try:
        made = siege.certificate(one.metadata, **one.spec)
    except Refused as error:
        assert one.end != "cut", error  # noqa: PT017 - the API server may be the first to refuse it
        return
    try:
        found = ended(siege, made["metadata"]["name"])
        held = siege.place.api.find(objects("bar", "secrets", made["spec"]["secretName"]))
        issued = ready(found).get("status") == "True"
        assert issued == (one.end == "cut") or one.end == "any", (ready(found), ready(found, "Issuing"))
        if issued:
            assert held is not None
            harmless(leaf_of(held["data"]["tls.crt"]))
        elif held is not None and held["metadata"]["name"] != "bar-own" and held["data"].get("tls.crt"):
            # A temporary certificate is self-signed: nobody trusts it.
            leaf = leaf_of(held["data"]["tls.crt"])
            assert leaf.issuer == pki.name(common_name="cert-manager.local")
        assert siege.place.api.get(objects("bar", "secrets", "bar-own"))["data"] == before
    finally:
        siege.mallory.delete(objects("bar", "certificates", made["metadata"]["name"]))


SECRETS: dict[str, Json] = {
    "a-token-of-a-service-account": {
        "type": "kubernetes.io/service-account-token",
        "metadata": {"annotations": {"kubernetes.io/service-account.name": "default"}},
    },
    "one-with-a-password": {"type": "Opaque", "data": {"password": base64.b64encode(b"x").decode()}},
    "a-docker-config": {
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": base64.b64encode(b"{}").decode()},
    },
    "somebodys-pair": {
        "type": "kubernetes.io/tls",
        "data": {
            "tls.crt": base64.b64encode(pki.CA("theirs").pem).decode(),
            "tls.key": base64.b64encode(b"kept").decode(),
        },
    },
}


# One of these types is nobody's certificate even where it says that it is some Certificate's.
NEVER = ("a-token-of-a-service-account", "a-docker-config")


@pytest.mark.parametrize(("name", "noted"), [*((name, False) for name in SECRETS), *((name, True) for name in NEVER)])
def test_no_secret_is_made_into_another(siege: Siege, name: str, noted: bool) -> None:
    """A Secret of another type, or with somebody's data, stays as it is, whatever Certificate names it."""
    secret_name = f"s-{name}-{noted}".lower()
    body = SECRETS[name]
    meta: Json = {"name": secret_name, "annotations": dict(body.get("metadata", {}).get("annotations", {}))}
    if noted:
        meta["annotations"]["cert-manager.io/certificate-name"] = "any"
    siege.mallory.post(objects("bar", "secrets"), {"apiVersion": "v1", "kind": "Secret"} | body | {"metadata": meta})
    made = siege.certificate(uris=[ME], secretName=secret_name)
    try:
        found = ended(siege, made["metadata"]["name"])
        assert ready(found)["status"] == "False"
        assert secret_name in ready(found)["message"]
        after = siege.place.api.get(objects("bar", "secrets", secret_name))
        assert after["type"] == body["type"]
        # Kubernetes itself fills a ServiceAccount's token.
        assert after.get("data") == body.get("data") or name == NEVER[0]
        assert "tls.crt" not in after.get("data", {}) or name == "somebodys-pair"
    finally:
        siege.mallory.delete(objects("bar", "certificates", made["metadata"]["name"]))


def test_an_honest_certificate_is_issued(siege: Siege) -> None:
    """Beside all of these, what the policy opens is issued: so a refusal is one of the attack."""
    made = siege.certificate(uris=[ME], dnsNames=["x.bar.example"])
    found = ended(siege, made["metadata"]["name"])
    assert ready(found)["status"] == "True", ready(found)
