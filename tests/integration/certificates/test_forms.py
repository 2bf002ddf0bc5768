"""Keystores, further formats and temporary certificates on the real API server: made, renewed, taken away."""

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from issuers.private_key import load_key
from tests.integration.certificates.secrets_of import data, secret_of
from tests.integration.slow_controllers import Json, World, chain, condition

pytestmark = pytest.mark.integration
STORES = {"keystore.p12", "truststore.p12", "keystore.jks", "truststore.jks"}
WATCHED = {"controller.cert-manager.io/fao": "true"}


def stores(**more: Any) -> Json:
    ref = {"create": True, "passwordSecretRef": {"name": "password", "key": "it"}} | more
    return {"pkcs12": ref, "jks": ref}


async def password(here: World, text: str = "first", **metadata: Any) -> None:
    await here.create("Secret", "password", {"stringData": {"it": text}}, **metadata)


def opened(secret: Json, text: str) -> tuple[bytes, bytes]:
    """The key of keystore.p12 as it stands in tls.key, and the certificate."""
    key, leaf, _ = pkcs12.load_key_and_certificates(data(secret, "keystore.p12"), text.encode())
    assert key is not None
    assert leaf is not None
    return (
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        ),
        leaf.public_bytes(serialization.Encoding.PEM),
    )


def pair(secret: Json) -> tuple[bytes, bytes]:
    leaf = chain(data(secret, "tls.crt"))[0]
    return data(secret, "tls.key"), leaf.public_bytes(serialization.Encoding.PEM)


async def holding(here: World, names: set[str], name: str = "leaf") -> Json:
    """Wait until the Secret has these keystores, of all that there are."""

    async def ask() -> Json | None:
        found = await here.get("Secret", name)
        return found if found is not None and STORES & set(found.get("data", {})) == names else None

    found: Json = await here.until(f"keystores {names}", ask)
    return found


async def test_keystores_of_the_key_pair(here: World) -> None:
    """keystore.p12 opens with the password and holds the pair of tls.key and tls.crt; truststores hold the CA."""
    issuer = await here.ca()
    await password(here)
    await here.certificate("leaf", issuer, keystores=stores())
    await here.ready("Certificate", "leaf")
    secret = await secret_of(here, "leaf")
    assert set(secret["data"]) > STORES
    assert opened(secret, "first") == pair(secret)
    _, _, trusted = pkcs12.load_key_and_certificates(data(secret, "truststore.p12"), b"first")
    assert trusted == chain(data(secret, "ca.crt"))
    assert data(secret, "keystore.jks").startswith(b"\xfe\xed\xfe\xed")
    before = secret["metadata"]["resourceVersion"]
    await here.restart()
    assert (await here.settled("Secret", "leaf"))["metadata"]["resourceVersion"] == before


async def test_added_to_a_certificate_and_taken_away(here: World) -> None:
    """Keystores and formats come and go with the field: the certificate stays the same, and so does the revision."""
    issuer = await here.ca()
    await password(here)
    await here.certificate("leaf", issuer)
    await here.ready("Certificate", "leaf")
    before = pair(await secret_of(here, "leaf"))
    formats = [{"type": "DER"}, {"type": "CombinedPEM"}]
    await here.edit("Certificate", "leaf", {"spec": {"keystores": stores(), "additionalOutputFormats": formats}})
    secret = await holding(here, STORES)
    assert pair(secret) == before
    assert data(secret, "tls-combined.pem") == data(secret, "tls.key") + b"\n" + data(secret, "tls.crt")
    key = serialization.load_der_private_key(data(secret, "key.der"), None)
    assert key.public_key() == load_key(data(secret, "tls.key")).public_key()
    await here.edit("Certificate", "leaf", {"spec": {"keystores": {"jks": {"create": False}}}})
    await holding(here, {"keystore.p12", "truststore.p12"})
    await here.edit("Certificate", "leaf", {"spec": {"keystores": None, "additionalOutputFormats": None}})
    secret = await holding(here, set())
    assert set(secret["data"]) == {"tls.key", "tls.crt", "ca.crt"}
    assert pair(secret) == before
    found = await here.ready("Certificate", "leaf")
    assert found["status"]["revision"] == 1


@pytest.mark.parametrize("labels", [WATCHED, {}], ids=["watched", "looked at again"])
async def test_a_new_password(here: World, labels: dict[str, str]) -> None:
    """When the password changes the keystores are made anew from the same pair, at once where its Secret is labelled."""
    issuer = await here.ca()
    await password(here, labels=labels)
    await here.certificate("leaf", issuer, keystores=stores())
    await here.ready("Certificate", "leaf")
    before = pair(await secret_of(here, "leaf"))
    await here.edit("Secret", "password", {"stringData": {"it": "second"}})
    if not labels:
        await here.touch("Certificate", "leaf")

    async def changed() -> bool:
        try:
            return opened(await secret_of(here, "leaf"), "second") == before
        except ValueError:
            return False

    await here.until("keystores with the new password", changed)
    assert pair(await secret_of(here, "leaf")) == before


async def test_the_password_comes_later(here: World) -> None:
    """Without the password nothing is written and the Certificate says which Secret is missing; then it goes on."""
    issuer = await here.ca()
    await here.certificate("leaf", issuer, keystores=stores())
    found = await here.condition("Certificate", "leaf", status="False", reason="KeystorePassword")
    assert "Secret password does not exist" in condition(found, "Ready")["message"]  # type: ignore[index]
    assert await here.get("Secret", "leaf") is None

    async def told() -> bool:
        return "KeystorePassword" in await here.events("leaf")

    await here.until("an Event", told)
    await password(here, labels=WATCHED)
    await here.ready("Certificate", "leaf")
    assert opened(await secret_of(here, "leaf"), "first")
    assert len([r for r in await here.list("CertificateRequest") if r["metadata"]["name"].startswith("leaf-")]) == 1


async def test_a_password_that_is_gone(here: World) -> None:
    """A password's Secret that was deleted takes nothing from a certificate that is in order: it is told, that is all."""
    issuer = await here.ca()
    await password(here, labels=WATCHED)
    await here.certificate("leaf", issuer, keystores=stores())
    await here.ready("Certificate", "leaf")
    before = (await secret_of(here, "leaf"))["data"]
    await here.delete("Secret", "password")

    async def told() -> bool:
        return "KeystorePassword" in await here.events("leaf")

    await here.until("an Event", told)
    await here.ready("Certificate", "leaf")
    assert (await secret_of(here, "leaf"))["data"] == before


async def test_a_keystore_of_somebody_elses(here: World) -> None:
    """What somebody puts in a keystore's place is replaced; it is never opened."""
    issuer = await here.ca()
    await here.certificate("leaf", issuer, keystores={"pkcs12": {"create": True, "password": "p"}})
    await here.ready("Certificate", "leaf")
    await here.edit("Secret", "leaf", {"data": {"keystore.p12": base64.b64encode(b"hostile").decode()}})

    async def back() -> bool:
        secret = await secret_of(here, "leaf")
        return data(secret, "keystore.p12") != b"hostile" and opened(secret, "p") == pair(secret)

    await here.until("our keystore", back)


async def test_renewed_with_the_certificate(here: World) -> None:
    """A new certificate has new keystores in the same write."""
    issuer = await here.ca()
    await here.certificate("leaf", issuer, keystores={"pkcs12": {"create": True, "password": "p"}})
    await here.ready("Certificate", "leaf")
    await here.edit("Certificate", "leaf", {"spec": {"dnsNames": ["new.example"]}})

    async def renewed() -> Json | None:
        found = await here.get("Certificate", "leaf") or {}
        return found if found["status"].get("revision") == 2 else None

    await here.until("the second revision", renewed)
    secret = await secret_of(here, "leaf")
    assert opened(secret, "p") == pair(secret)


async def test_a_new_encoding_of_the_same_key(here: World) -> None:
    """spec.privateKey.encoding changed: tls.key is written in the new form, key, certificate and revision stay."""
    issuer = await here.ca()
    key: Json = {"algorithm": "RSA", "rotationPolicy": "Never", "encoding": "PKCS1"}
    await here.certificate("leaf", issuer, privateKey=key, additionalOutputFormats=[{"type": "DER"}])
    await here.ready("Certificate", "leaf")
    first = await secret_of(here, "leaf")
    for encoding, begin in (("PKCS8", b"-----BEGIN PRIVATE KEY-----"), ("PKCS1", b"-----BEGIN RSA PRIVATE KEY-----")):
        await here.edit("Certificate", "leaf", {"spec": {"privateKey": {"encoding": encoding}}})

        async def written(begin: bytes = begin) -> bool:
            return data(await secret_of(here, "leaf"), "tls.key").startswith(begin)

        await here.until(encoding, written)
        secret = await secret_of(here, "leaf")
        assert secret["data"]["tls.crt"] == first["data"]["tls.crt"]
        same = load_key(data(secret, "tls.key")).public_key() == load_key(data(first, "tls.key")).public_key()
        assert same
        assert serialization.load_der_private_key(data(secret, "key.der"), None) is not None
    found = await here.ready("Certificate", "leaf")
    assert found["status"]["revision"] == 1
    assert (await secret_of(here, "leaf"))["data"] == first["data"]


async def test_a_temporary_certificate(here: World) -> None:
    """Where one is asked for, a certificate of nobody's stands in the Secret until the issuer has answered; not Ready."""
    selfsigned = await here.issuer("selfsigned-root", {"selfSigned": {}})
    issuer = await here.issuer("root", {"ca": {"secretName": "root-ca"}})
    spec = {
        "secretName": "leaf",
        "commonName": "leaf",
        "privateKey": {"algorithm": "ECDSA"},
        "issuerRef": {"name": issuer, "kind": "ClusterIssuer"},
    }
    note = {"cert-manager.io/issue-temporary-certificate": "true"}
    await here.create("Certificate", "leaf", spec, annotations=note)

    async def there() -> Json | None:
        return await here.get("Secret", "leaf")

    secret: Json = await here.until("a temporary certificate", there)
    temporary = chain(data(secret, "tls.crt"))[0]
    assert temporary.issuer == x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "cert-manager.local")])
    assert temporary.public_key() == load_key(data(secret, "tls.key")).public_key()
    await here.condition("Certificate", "leaf", status="False", reason="DoesNotExist")
    await here.restart()
    assert await here.settled("Secret", "leaf") == secret
    await here.certificate("root-ca", selfsigned, isCA=True)
    await here.ready("Certificate", "leaf")
    leaf = chain(data(await secret_of(here, "leaf"), "tls.crt"))[0]
    assert leaf.issuer != temporary.issuer
    assert leaf.public_key() == temporary.public_key()


async def test_a_literal_subject(here: World) -> None:
    """The subject is what the text says, last part first, with what no other field can say; it stays over looks."""
    issuer = await here.ca()
    text = "CN=leaf,OU=b+OU=a,DC=example,DC=com"
    await here.certificate("leaf", issuer, commonName=None, literalSubject=text, usages=["client auth"])
    await here.ready("Certificate", "leaf")
    leaf = chain(data(await secret_of(here, "leaf"), "tls.crt"))[0]
    assert [len(part) for part in leaf.subject.rdns] == [1, 1, 2, 1]
    assert leaf.subject.rfc4514_string() == "CN=leaf,OU=a+OU=b,DC=example,DC=com"
    await here.restart()
    assert (await here.settled("Certificate", "leaf"))["status"]["revision"] == 1
    await here.edit("Certificate", "leaf", {"spec": {"literalSubject": "CN=leaf,OU=c"}})

    async def renewed() -> bool:
        found = chain(data(await secret_of(here, "leaf"), "tls.crt"))[0]
        return found.subject.rfc4514_string() == "CN=leaf,OU=c"

    await here.until("the new subject", renewed)
