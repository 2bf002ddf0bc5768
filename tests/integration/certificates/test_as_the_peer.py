"""What cert-manager wrote is ours to go on with, and what we wrote is its; requests of common tools; broken keys."""

import base64
from typing import Any

import pytest

from issuers.private_key import encode_key, generate_key
from signer.api.secret import SECRETS
from tests.integration.certificates.asking import CSR, KEY, ask, certificate_of
from tests.integration.certificates.secrets_of import secret_of
from tests.integration.slow_controllers import Json, World, condition, openssl
from tests.pki import CA

pytestmark = pytest.mark.integration
PEER = "cert-manager-certificates-issuing"


async def apply(here: World, name: str, manager: str, *, data: Json | None = None, **metadata: Any) -> Json:
    """Apply to a Secret as a controller with this name does."""
    body: Json = {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "data": data or {}}
    body["metadata"] = {"name": name, "namespace": here.namespace, **metadata}
    return await here.client.patch(
        SECRETS, name, body, namespace=here.namespace, kind="apply", field_manager=manager, force=True
    )


def applied(secret: Json) -> Json:
    """What somebody else would apply to leave the Secret as it is."""
    meta = secret["metadata"]
    return {"data": secret["data"], "labels": meta["labels"], "annotations": meta["annotations"]}


@pytest.mark.parametrize("manager", [PEER, "cert-manager-certificates-secrets", "mesh-signer-certificates"])
async def test_what_left_the_template_goes_whoever_of_us_wrote_it(here: World, manager: str) -> None:
    """Labels, annotations and keystores that cert-manager applied go from the Secret when the Certificate wants them no more."""
    issuer = await here.ca()
    await here.certificate("leaf", issuer, secretTemplate={"labels": {"kept": "x"}})
    await here.ready("Certificate", "leaf")
    await here.stop()
    was = applied(await secret_of(here, "leaf"))
    was["labels"] = was["labels"] | {"gone": "x"}
    was["annotations"] = was["annotations"] | {"gone": "x"}
    was["data"] = was["data"] | {"keystore.p12": "YQ=="}
    await apply(here, "leaf", manager, **was)
    await apply(here, "leaf", "somebody", labels={"theirs": "x"}, data={"more": "YQ=="})
    await here.start()

    async def taken() -> Json | None:
        found = await secret_of(here, "leaf")
        return found if "gone" not in found["metadata"]["labels"] else None

    secret: Json = await here.until("the former label gone", taken)
    secret = await here.settled("Secret", "leaf")
    assert {"kept", "theirs"} <= set(secret["metadata"]["labels"])
    assert "gone" not in secret["metadata"]["annotations"]
    assert set(secret["data"]) == {"tls.key", "tls.crt", "ca.crt", "more"}
    assert {one["manager"] for one in secret["metadata"]["managedFields"]} == {PEER, "somebody"}
    assert (await here.ready("Certificate", "leaf"))["status"]["revision"] == 1


async def test_cert_manager_can_take_ours(here: World) -> None:
    """What it no longer applies goes, though it was we who had written it: the way back leaves nothing."""
    issuer = await here.ca()
    await here.certificate("leaf", issuer, secretTemplate={"labels": {"gone": "x"}})
    await here.ready("Certificate", "leaf")
    await here.stop()
    was = applied(await secret_of(here, "leaf"))
    del was["labels"]["gone"]
    await apply(here, "leaf", PEER, **was)
    assert "gone" not in (await secret_of(here, "leaf"))["metadata"]["labels"]


async def test_a_certificate_with_all_of_its_forms_stays_ready_when_we_take_over(here: World) -> None:
    """Keystores, formats and a literal subject that cert-manager made: Ready stays True, the pair and the revision too."""
    issuer = await here.ca()
    await here.certificate(
        "leaf",
        issuer,
        commonName=None,
        literalSubject="CN=leaf,OU=a",
        keystores={"jks": {"create": True, "password": "p"}, "pkcs12": {"create": True, "password": "p"}},
        additionalOutputFormats=[{"type": "DER"}, {"type": "CombinedPEM"}],
    )
    found = await here.ready("Certificate", "leaf")
    since = condition(found, "Ready")["lastTransitionTime"]  # type: ignore[index]
    await here.stop()
    secret = await secret_of(here, "leaf")
    was = applied(secret)
    del was["annotations"]["mesh-signer.dev/keystores"]
    await here.delete("Secret", "leaf")
    await apply(here, "leaf", PEER, **was)
    await here.restart()

    async def noted() -> bool:
        return "mesh-signer.dev/keystores" in (await secret_of(here, "leaf"))["metadata"]["annotations"]

    await here.until("our mark", noted)
    found = await here.settled("Certificate", "leaf")
    ready = condition(found, "Ready")
    assert ready is not None
    assert (ready["status"], ready["lastTransitionTime"]) == ("True", since)
    assert found["status"]["revision"] == 1
    same = (await secret_of(here, "leaf"))["data"]
    for name in ("tls.key", "tls.crt", "ca.crt", "key.der", "tls-combined.pem"):
        assert same[name] == secret["data"][name]


def with_label(text: bytes) -> bytes:
    return text.replace(b" CERTIFICATE REQUEST", b" NEW CERTIFICATE REQUEST")


FORMS = {
    "keytool": with_label(CSR),
    "openssl-text": b"Certificate Request:\n    Data:\n        Version: 1 (0x0)\n" + CSR,
    "crlf": CSR.replace(b"\n", b"\r\n"),
    "text-behind": CSR + b"made by hand\n",
    "blank-lines": b"\n\n" + CSR + b"\n\n",
    "headers": CSR.replace(b"REQUEST-----\n", b"REQUEST-----\nComment: x\n\n", 1),
    "no-last-line-end": CSR.rstrip(),
    "windows-1252-text": b"M\xfcller\n" + with_label(CSR),
}


@pytest.mark.parametrize("form", FORMS)
async def test_requests_as_common_tools_write_them_are_signed(here: World, form: str) -> None:
    """Outside the mesh a CSR is found as cert-manager finds it: another label, text around the block, other line ends."""
    issuer = await here.ca()
    await ask(here, issuer, request=base64.b64encode(FORMS[form]).decode())
    found = await here.ready("CertificateRequest", "asked")
    assert certificate_of(found).public_key() == KEY.public_key()


async def test_a_request_of_openssl_with_text(here: World, tmp_path: Any) -> None:
    """`openssl req -text` writes a text before the block."""
    (tmp_path / "key").write_bytes(encode_key(generate_key("RSA", 2048)))
    written = openssl("req", "-new", "-text", "-key", str(tmp_path / "key"), "-subj", "/CN=node.example.com")
    issuer = await here.ca()
    await ask(here, issuer, request=base64.b64encode(written.encode()).decode())
    await here.ready("CertificateRequest", "asked")


async def test_a_broken_key_is_told_and_the_request_signed_once_it_is_repaired(here: World) -> None:
    """A selfSigned request whose Secret has no usable key: Warning ErrorParsingKey; signed when the key is there."""
    issuer = await here.issuer("self", {"selfSigned": {}})
    labels = {"controller.cert-manager.io/fao": "true"}
    await here.create("Secret", "own", {"stringData": {"tls.key": "broken"}}, labels=labels)
    notes = {"cert-manager.io/private-key-secret-name": "own"}
    await ask(here, issuer, notes=notes)

    async def told() -> bool:
        return "ErrorParsingKey" in await here.events("asked")

    await here.until("an Event", told)
    pending = await here.condition("CertificateRequest", "asked", status="False", reason="Pending")
    assert 'Failed to get key "own"' in condition(pending, "Ready")["message"]  # type: ignore[index]
    await here.edit("Secret", "own", {"stringData": {"tls.key": encode_key(KEY).decode()}})
    await here.touch("CertificateRequest", "asked")
    await here.ready("CertificateRequest", "asked")


async def test_a_cas_secret_without_a_usable_key_looks_like_a_missing_one(here: World) -> None:
    """Nobody learns by asking where a CA is, whatever is wrong with its key."""
    issuer = await here.issuer("self", {"selfSigned": {}})
    text = {"tls.crt": CA("root").pem.decode(), "tls.key": "broken"}
    await here.create("Secret", "ca", {"stringData": text})
    for name in ("ca", "missing"):
        await ask(here, issuer, name, notes={"cert-manager.io/private-key-secret-name": name})
        found = await here.condition("CertificateRequest", name, status="False", reason="Pending")
        assert condition(found, "Ready")["message"] == (  # type: ignore[index]
            f"Referenced secret {here.namespace}/{name} not found, or it holds no key that may be used here"
        )

        async def told(name: str = name) -> bool:
            return "MissingSecret" in await here.events(name)

        await here.until("an Event", told)
        assert "ErrorParsingKey" not in await here.events(name)


async def test_annotations_of_a_certificate_are_on_its_requests(here: World) -> None:
    """All but those of kubectl, Flux and Argo CD, and our own notes: cert-manager's default."""
    issuer = await here.ca()
    kept = {"example.com/a": "1", "cert-manager.io/issue-temporary-certificate": "false", "plain": "2"}
    left = {
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        "fluxcd.io/x": "x",
        "argocd.argoproj.io/sync-wave": "1",
        "mesh-signer.dev/sources": "x",
    }
    spec = {
        "secretName": "leaf",
        "commonName": "leaf",
        "privateKey": {"algorithm": "ECDSA"},
        "issuerRef": {"name": issuer, "kind": "ClusterIssuer"},
    }
    await here.create("Certificate", "leaf", spec, annotations=kept | left)
    await here.ready("Certificate", "leaf")
    request = await here.get("CertificateRequest", "leaf-1") or {}
    notes = request["metadata"]["annotations"]
    assert kept.items() <= notes.items()
    assert not left.keys() & notes.keys()


async def test_nothing_is_asked_for_a_certificate_that_is_being_deleted(here: World) -> None:
    """While a finalizer holds a Certificate that is deleted, no CertificateRequest, key or Secret is made for it."""
    issuer = await here.issuer("root", {"ca": {"secretName": "missing"}})
    spec = {
        "secretName": "leaf",
        "commonName": "leaf",
        "privateKey": {"algorithm": "ECDSA"},
        "issuerRef": {"name": issuer, "kind": "ClusterIssuer"},
    }
    await here.create("Certificate", "leaf", spec, finalizers=["example.com/holds"])

    async def asked() -> bool:
        return await here.get("CertificateRequest", "leaf-1") is not None

    await here.until("the request", asked)
    await here.delete("Certificate", "leaf")
    await here.delete("CertificateRequest", "leaf-1")
    await here.edit("Certificate", "leaf", {"spec": {"dnsNames": ["new.example"]}})
    await here.touch("Certificate", "leaf")
    await here.settled("Certificate", "leaf")
    assert await here.list("CertificateRequest") == []
    assert await here.get("Secret", "leaf") is None
    await here.edit("Certificate", "leaf", {"metadata": {"finalizers": None}})
