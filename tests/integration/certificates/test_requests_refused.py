"""CertificateRequests on the real API server: refused, waiting, and signed with their own keys."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from issuers.compose import compose_request
from issuers.private_key import encode_key, generate_key, load_key
from issuers.x509.subject import Subject
from tests.integration.certificates.asking import CSR, KEY, ask, certificate_of
from tests.integration.slow_controllers import Json, World, condition

pytestmark = pytest.mark.integration


class TestRefused:
    @pytest.mark.parametrize(
        ("request_bytes", "said"),
        [
            (b"junk", "spec.request"),
            (CSR[:200], "spec.request"),
            (b"x" + CSR, "spec.request"),
            (CSR.replace(b"CERTIFICATE REQUEST", b"CERTIFICATE"), "spec.request"),
        ],
        ids=["junk", "cut", "text-on-the-line", "another-block"],
    )
    async def test_malformed(self, here: World, request_bytes: bytes, said: str) -> None:
        """A CSR that cannot be read as one is settled as invalid, with a message that names the field."""
        issuer = await here.ca()
        await ask(here, issuer, request=base64.b64encode(request_bytes).decode())
        found = await here.condition("CertificateRequest", "asked", "InvalidRequest", status="True")
        ready = condition(found, "Ready")
        assert ready is not None
        assert (ready["status"], ready["reason"]) == ("False", "Failed")
        assert said in ready["message"]
        assert found["status"]["failureTime"]
        assert "certificate" not in found["status"]

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"usages": ["code signing"]}, "usages"),
            ({"duration": "-1h"}, "spec.duration"),
            ({"duration": "99999999h"}, "spec.duration"),
        ],
    )
    async def test_impossible_wish(self, here: World, fields: Json, said: str) -> None:
        """Usages that differ from the CSR's and lifetimes that are none are refused for good."""
        issuer = await here.ca()
        await ask(here, issuer, **fields)
        found = await here.condition("CertificateRequest", "asked", status="False", reason="Failed")
        assert said in condition(found, "Ready")["message"]  # type: ignore[index]

    async def test_another_group(self, here: World) -> None:
        """A request to another group's issuer is left to that group's signer."""
        await ask(here, "x", issuerRef={"name": "x", "kind": "Thing", "group": "example.com"})
        found = await here.settled("CertificateRequest", "asked")
        assert condition(found, "Ready") is None

    async def test_settled_stays(self, here: World) -> None:
        """An issued request is not signed again."""
        issuer = await here.ca()
        await ask(here, issuer)
        first = await here.condition("CertificateRequest", "asked", status="True")
        await here.stop()
        await here.start()
        await here.touch("CertificateRequest", "asked")
        again = await here.settled("CertificateRequest", "asked")
        assert again["status"] == first["status"]


class TestWaiting:
    async def test_issuer_comes_later(self, here: World) -> None:
        """A request waits for an issuer that is not there yet, and is signed as soon as it is."""
        await ask(here, f"{here.namespace}-root")
        await here.condition("CertificateRequest", "asked", status="False", reason="Pending")
        await here.ca()
        await here.condition("CertificateRequest", "asked", status="True")

    async def test_secret_repaired(self, here: World) -> None:
        """A request waits while the CA's Secret is broken, and is signed as soon as it is repaired."""
        issuer = await here.issuer("late", {"ca": {"secretName": "late-ca"}})
        await here.condition("ClusterIssuer", issuer, status="False", reason="ErrGetKeyPair")
        await ask(here, issuer)
        await here.condition("CertificateRequest", "asked", status="False", reason="Pending")
        selfsigned = await here.issuer("selfsigned", {"selfSigned": {}})
        await here.certificate("late-ca", selfsigned, isCA=True)
        await here.condition("CertificateRequest", "asked", status="True")

    async def test_namespaced_issuer(self, here: World) -> None:
        """An Issuer signs with a CA of its own namespace; a kind left out means Issuer."""
        selfsigned = await here.issuer("selfsigned", {"selfSigned": {}})
        await here.certificate("local-ca", selfsigned, isCA=True)
        await here.create("Issuer", "local", {"ca": {"secretName": "local-ca"}})
        await ask(here, "local", issuerRef={"name": "local"})
        await here.condition("CertificateRequest", "asked", status="True")


class TestSelfSigned:
    async def test_with_its_key(self, here: World) -> None:
        """A self-signed request is signed with the key that its annotation names; certificate and CA are one."""
        issuer = await here.issuer("selfsigned", {"selfSigned": {}})
        key = encode_key(KEY, "PKCS8").decode()
        await here.create("Secret", "mine", {"type": "Opaque", "stringData": {"tls.key": key}})
        await ask(here, issuer, notes={"cert-manager.io/private-key-secret-name": "mine"})
        found = await here.condition("CertificateRequest", "asked", status="True")
        assert found["status"]["ca"] == found["status"]["certificate"]
        leaf = certificate_of(found)
        leaf.verify_directly_issued_by(leaf)

    async def test_no_annotation(self, here: World) -> None:
        """Without the annotation there is no key to sign with: refused."""
        issuer = await here.issuer("selfsigned", {"selfSigned": {}})
        await ask(here, issuer)
        found = await here.condition("CertificateRequest", "asked", status="False", reason="Failed")
        assert "private-key-secret-name" in condition(found, "Ready")["message"]  # type: ignore[index]

    async def test_another_key(self, here: World) -> None:
        """A key that is not the request's own signs nothing."""
        issuer = await here.issuer("selfsigned", {"selfSigned": {}})
        key = encode_key(generate_key("ECDSA", 256), "PKCS8").decode()
        await here.create("Secret", "mine", {"type": "Opaque", "stringData": {"tls.key": key}})
        await ask(here, issuer, notes={"cert-manager.io/private-key-secret-name": "mine"})
        await here.condition("CertificateRequest", "asked", status="False", reason="Failed")

    async def test_secret_comes_later(self, here: World) -> None:
        """A request waits for the Secret that its annotation names."""
        issuer = await here.issuer("selfsigned", {"selfSigned": {}})
        await ask(here, issuer, notes={"cert-manager.io/private-key-secret-name": "mine"})
        await here.condition("CertificateRequest", "asked", status="False", reason="Pending")
        key = encode_key(KEY, "PKCS8").decode()
        labels = {"controller.cert-manager.io/fao": "true"}
        await here.create("Secret", "mine", {"type": "Opaque", "stringData": {"tls.key": key}}, labels=labels)
        await here.condition("CertificateRequest", "asked", status="True")

    async def test_never_a_cas_key(self, here: World) -> None:
        """A CA's key signs no self-signed certificate on request, and the answer looks as if there were no Secret."""
        await here.ca()
        secret = await here.get("Secret", "root-ca")
        assert secret is not None
        key = load_key(base64.b64decode(secret["data"]["tls.key"]))
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        csr = compose_request(key, subject=Subject(common_name="root-ca"))
        missing = {"cert-manager.io/private-key-secret-name": "nowhere"}
        notes = {"cert-manager.io/private-key-secret-name": "root-ca"}
        issuer = f"{here.namespace}-selfsigned-root"
        request = base64.b64encode(csr).decode()
        await ask(here, issuer, notes=notes, request=request)
        await ask(here, issuer, "other", notes=missing, request=request)
        found = await here.condition("CertificateRequest", "asked", status="False", reason="Pending")
        other = await here.condition("CertificateRequest", "other", status="False", reason="Pending")
        messages = [condition(one, "Ready")["message"] for one in (found, other)]  # type: ignore[index]
        assert messages[0].replace("root-ca", "nowhere") == messages[1]
