"""What a Secret must hold, and when it must be written again."""

import base64
import copy
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from issuers.private_key import encode_key
from signer.api.certificate import Certificate, IssuerReference
from signer.api.secret import Secret
from signer.certificates.secrets.content import (
    Content,
    IssuedData,
    annotations_for,
    former_managers,
    issuer_of,
    secret_content,
)
from signer.certificates.secrets.view import read_leaf
from tests.unit.certificates import samples

CHAIN = base64.b64decode(samples.request_json()["status"]["certificate"])
ISSUER = IssuerReference(name="root", kind="ClusterIssuer")
TEMPLATE = {"labels": {"team": "a"}, "annotations": {"note": "n"}}


def content(certificate: Certificate | None = None, *, ca: bytes = b"root", owner_ref: bool = False) -> Content:
    leaf, _ = read_leaf(CHAIN)
    assert leaf is not None
    issued = IssuedData(b"key", CHAIN, ca, ISSUER)
    chosen = certificate or samples.certificate(secretTemplate=TEMPLATE)
    return secret_content(chosen, issued, leaf, existing=None, owner_ref=owner_ref)


def stored(made: Content, manager: str = "cert-manager-certificates-issuing") -> dict[str, Any]:
    """The Secret as the API server would hand it back."""
    body = copy.deepcopy(made.apply_body("shop", "leaf", resource_version=None))
    fields: dict[str, Any] = {
        "f:metadata": {
            part: {f"f:{key}": {} for key in body["metadata"][name]} | {".": {}}
            for part, name in (("f:labels", "labels"), ("f:annotations", "annotations"))
        },
        "f:data": {f"f:{key}": {} for key in body["data"]} | {".": {}},
    }
    body["metadata"]["managedFields"] = [{"manager": manager, "operation": "Apply", "fieldsV1": fields}]
    return body


def read(body: dict[str, Any]) -> Secret:
    return msgspec.convert(body, Secret)


def test_whole() -> None:
    """Key, chain and root, our label, the template and cert-manager's annotations are one write."""
    made = content()
    assert made.data == {"tls.key": b"key", "tls.crt": CHAIN, "ca.crt": b"root"}
    assert made.labels == {"team": "a", "controller.cert-manager.io/fao": "true"}
    assert made.type == "kubernetes.io/tls"
    assert made.annotations == {
        "note": "n",
        "cert-manager.io/alt-names": "leaf.example,www.leaf.example",
        "cert-manager.io/certificate-name": "leaf",
        "cert-manager.io/common-name": "leaf.example",
        "cert-manager.io/email-sans": "a@leaf.example",
        "cert-manager.io/ip-sans": "10.0.0.1,fd00::1",
        "cert-manager.io/issuer-group": "",
        "cert-manager.io/issuer-kind": "ClusterIssuer",
        "cert-manager.io/issuer-name": "root",
        "cert-manager.io/subject-countries": "DE",
        "cert-manager.io/subject-organizations": "Org",
        "cert-manager.io/subject-serialnumber": "7",
        "cert-manager.io/uri-sans": "spiffe://td/ns/a/sa/b",
    }


def test_no_root() -> None:
    """Without a known root there is no ca.crt at all."""
    assert "ca.crt" not in content(ca=b"").data


def test_body() -> None:
    """The body carries base64, the version that was read, and an owner only if asked for."""
    body = content(owner_ref=True).apply_body("shop", "leaf", resource_version="7")
    assert body["metadata"]["resourceVersion"] == "7"
    assert body["metadata"]["ownerReferences"][0]["uid"] == "uid-leaf"
    assert body["metadata"]["ownerReferences"][0]["controller"] is True
    assert base64.b64decode(body["data"]["tls.key"]) == b"key"
    plain = content().apply_body("shop", "leaf", resource_version=None)
    assert "resourceVersion" not in plain["metadata"]
    assert "ownerReferences" not in plain["metadata"]


def test_existing_type_stays() -> None:
    """The type of a Secret that is there cannot be changed, so it is kept."""
    leaf, _ = read_leaf(CHAIN)
    assert leaf is not None
    opaque = samples.secret(type="Opaque")
    made = secret_content(
        samples.certificate(), IssuedData(b"k", CHAIN, b"", ISSUER), leaf, existing=opaque, owner_ref=False
    )
    assert made.type == "Opaque"


def test_nothing_to_write() -> None:
    """A Secret as it must be is left alone, also with what others added to it."""
    made = content()
    body = stored(made)
    assert not made.differences(read(body))
    body["metadata"]["labels"] = body["metadata"]["labels"] | {"theirs": "x"}
    body["data"] = body["data"] | {"more": "YQ=="}
    assert not made.differences(read(body))


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("data", "tls.key", "YQ=="),
        ("data", "tls.crt", "YQ=="),
        ("data", "ca.crt", "YQ=="),
        ("data", "ca.crt", None),
        ("labels", "controller.cert-manager.io/fao", "false"),
        ("labels", "team", "b"),
        ("labels", "team", None),
        ("annotations", "note", "m"),
        ("annotations", "cert-manager.io/alt-names", ""),
        ("annotations", "cert-manager.io/certificate-name", None),
    ],
)
def test_changed_by_somebody(part: str, key: str, value: str | None) -> None:
    """Every value of ours that was changed or removed is noticed."""
    made = content()
    body = stored(made)
    place = body["data"] if part == "data" else body["metadata"][part]
    if value is None:
        del place[key]
    else:
        place[key] = value
    assert made.differences(read(body))


@pytest.mark.parametrize("part", ["labels", "annotations"])
def test_template_entry_removed(part: str) -> None:
    """An entry that left the template is taken back, if it was ours; one of another manager's is not."""
    full = content(samples.certificate(secretTemplate={part: {"old": "x"}}))
    bare = content(samples.certificate())
    assert bare.differences(read(stored(full)))
    assert not bare.differences(read(stored(full, manager="somebody")))


def test_root_removed() -> None:
    """A ca.crt that the issuer no longer gives goes."""
    assert content(ca=b"").differences(read(stored(content())))


def test_owner_missing() -> None:
    """With the setting a Secret without the owner is written again."""
    assert content(owner_ref=True).differences(read(stored(content())))
    assert not content(owner_ref=True).differences(read(stored(content(owner_ref=True))))


def test_lists_in_annotations() -> None:
    """A value with a comma is quoted as CSV is, so that the list can be read back."""
    csr = samples.request_json(subject={"organizations": ["Org, Inc.", "Two"]})
    leaf, _ = read_leaf(base64.b64decode(csr["status"]["certificate"]))
    assert leaf is not None
    # DER orders a SET by its encodings, so the shorter value comes first.
    assert annotations_for(leaf)["cert-manager.io/subject-organizations"] == 'Two,"Org, Inc."'


def test_issuer_of() -> None:
    """The Secret's own note says who issued it; without one the spec does."""
    assert issuer_of(samples.secret(), samples.certificate()).name == "root"
    bare = samples.secret_json()
    bare["metadata"]["annotations"] = {}
    assert issuer_of(read(bare), samples.certificate(issuerRef={"name": "spec"})).name == "spec"


def test_no_key_in_a_repr() -> None:
    """Nothing that holds a key shows it."""
    assert "key'" not in repr(content()).replace("tls.key'", "")
    assert "YQ" not in repr(IssuedData(b"secret-bytes", b"", b"", ISSUER))
    assert "secret-bytes" not in repr(IssuedData(b"secret-bytes", b"", b"", ISSUER))
    assert samples.key_pem().decode().splitlines()[1] not in repr(samples.secret())


@pytest.mark.parametrize("manager", ["mesh-signer-certificates", "cert-manager-certificates-readiness"])
def test_former_managers(manager: str) -> None:
    """What we applied under our former name, or cert-manager under another of its own, is taken over; nobody else's."""
    made = content()
    body = stored(made)
    body["metadata"]["managedFields"].append({"manager": manager, "operation": "Apply", "fieldsV1": {}})
    assert former_managers(read(body)) == {manager}
    assert made.differences(read(body))
    for other in ("somebody", "controller", "cert-manager-cainjector"):
        body["metadata"]["managedFields"][1]["manager"] = other
        assert not made.differences(read(body))


def test_entries_of_the_past() -> None:
    """A keystore or format that the spec no longer asks for is taken back, if it was ours; one of others is not."""
    made = content()
    body = stored(made)
    body["data"]["keystore.p12"] = "YQ=="
    assert not made.differences(read(body))
    body["metadata"]["managedFields"][0]["fieldsV1"]["f:data"]["f:keystore.p12"] = {}
    assert made.differences(read(body))


def test_formats() -> None:
    """additionalOutputFormats: the key as DER in the form of tls.key, and key and chain in one, as cert-manager has them."""
    leaf, _ = read_leaf(CHAIN)
    assert leaf is not None
    wish = samples.certificate(additionalOutputFormats=[{"type": "DER"}, {"type": "CombinedPEM"}])
    for encoding, form in (("PKCS1", PrivateFormat.TraditionalOpenSSL), ("PKCS8", PrivateFormat.PKCS8)):
        pem = encode_key(samples.key(0), encoding)
        data = secret_content(wish, IssuedData(pem, CHAIN, b"", ISSUER), leaf, existing=None, owner_ref=False).data
        key = samples.key(0).private_bytes(Encoding.DER, form, NoEncryption())
        assert data["key.der"] == key
        assert data["tls-combined.pem"] == pem + b"\n" + CHAIN
