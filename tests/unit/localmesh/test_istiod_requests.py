"""The demo's and the tests' requests are those that istiod makes."""

import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from issuers.request import read_request
from tests.localmesh.istiod_requests import USAGES, Workload, make_csr, make_key, make_object
from tests.pki import spiffe, workload_csr

KEY = make_key("ec")
FOO = Workload("foo", "default", "foo")


def test_the_csr() -> None:
    """Subject, names and their bytes are a pilot-agent's: one empty PrintableString, one critical SPIFFE ID."""
    assert isinstance(KEY, ec.EllipticCurvePrivateKey)
    made = x509.load_pem_x509_csr(make_csr(FOO.spiffe_id, KEY))
    other = x509.load_pem_x509_csr(workload_csr("foo", private=KEY))
    assert made.tbs_certrequest_bytes == other.tbs_certrequest_bytes
    assert made.subject.public_bytes().hex() == "300b31093007060355040a1300"


def test_the_csr_is_read_strictly() -> None:
    """Our own strict reader takes it."""
    found = read_request(make_csr(FOO.spiffe_id, KEY))
    assert found.uris == (spiffe("foo"),)
    assert found.san_critical


@pytest.mark.parametrize(("seconds", "there"), [(86400, True), (None, False)])
def test_the_object(seconds: int | None, there: bool) -> None:
    """The object names the signer, the usages and the lifetime as submitCSR does."""
    made = make_object(FOO, b"pem", seconds)
    spec = made["spec"]
    assert spec["signerName"] == "clusterissuers.cert-manager.io/foo"
    assert tuple(spec["usages"]) == USAGES
    assert base64.b64decode(spec["request"]) == b"pem"
    assert ("expirationSeconds" in spec) is there


def test_other_signers() -> None:
    """A signer with a slash is taken whole."""
    assert Workload("a", "b", "issuers.cert-manager.io/shop.ca").signer_name == "issuers.cert-manager.io/shop.ca"
