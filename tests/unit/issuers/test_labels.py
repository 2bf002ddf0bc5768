"""Certificates under the other labels of RFC 7468 (5.1): whoever reads the bytes of a Secret or a root finds the same ones."""

import base64
import itertools

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from issuers.authority import load_authority
from issuers.errors import InvalidAuthority
from issuers.x509 import loading
from issuers.x509.pem import usual_labels
from signer.api.tls_secret import leaf_of
from signer.csr import questions
from signer.injector.bundle import defect_of
from signer.tenancy import ca_keys
from signer.tenancy.meshconfig import edit
from tests import pki

LABELS = (b"CERTIFICATE", b"X509 CERTIFICATE", b"X.509 CERTIFICATE")
ROOT = pki.CA("root", now=pki.ANY_TIME)
LOW = ROOT.intermediate("low")


def labelled(pem: bytes, label: bytes) -> bytes:
    return pem.replace(b" CERTIFICATE-----", b" " + label + b"-----")


def ders(found: list[x509.Certificate]) -> list[bytes]:
    return [one.public_bytes(Encoding.DER) for one in found]


@pytest.mark.heavy
@pytest.mark.parametrize("labels", list(itertools.product(LABELS, repeat=3)), ids=str)
@pytest.mark.parametrize("before", [b"", b"# tools write comments\n"])
def test_all_readers_find_the_same(labels: tuple[bytes, bytes, bytes], before: bytes) -> None:
    """Under whatever labels chain and root stand: the CA is the same, and so is what the wall and the mesh config read of it."""
    low, middle, root = labels
    plain, text = LOW.pem + ROOT.pem, before + labelled(LOW.pem, low) + labelled(ROOT.pem, middle)
    wanted = ders(x509.load_pem_x509_certificates(plain))
    loaded = load_authority(text, LOW.key_pem, labelled(ROOT.pem, root), now=LOW.now)
    usual = load_authority(plain, LOW.key_pem, ROOT.pem, now=LOW.now)
    assert (loaded.chain_pem, loaded.root_pem) == (usual.chain_pem, usual.root_pem)
    assert ders(loading.certificates(text)) == wanted
    assert ders(list(loading.readable_certificates(text))) == wanted
    assert leaf_of(text) == LOW.certificate
    assert questions._is_ca(base64.b64encode(text).decode())
    assert ca_keys._read(text.decode()).keys() == ca_keys._read(plain.decode()).keys() != set()
    assert [one.der for one in edit._read_roots(text.decode())] == wanted
    assert usual_labels(text) == before + plain


@pytest.mark.parametrize("label", LABELS[1:])
def test_what_go_does_not_read_is_not_injected(label: bytes) -> None:
    """What is handed on as it stands is read by the API server, which passes over such a block: it is refused."""
    assert "PEM block" in defect_of(labelled(ROOT.pem, label))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (labelled(ROOT.pem, b"TRUSTED CERTIFICATE"), "openssl x509 -in FILE"),
        (b"\xef\xbb\xbf" + ROOT.pem, "byte order mark"),
    ],
)
def test_what_is_refused_says_what_to_do(text: bytes, says: str) -> None:
    """OpenSSL's form with trust settings, and a byte order mark, are refused with the remedy."""
    for tls_crt, ca_crt in ((text, None), (ROOT.pem, text)):
        with pytest.raises(InvalidAuthority) as caught:
            load_authority(tls_crt, ROOT.key_pem, ca_crt, now=ROOT.now)
        assert says in str(caught.value)
