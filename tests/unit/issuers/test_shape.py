"""Istio's form of CSR by its bytes: what is taken the short way is what the strict reader reads, to the last field."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from issuers import request as strict
from issuers.errors import MalformedRequest
from issuers.istio_request import unexpected_contents, uri_name
from issuers.shape import _RSA, _by_shape, _is_key, read_request
from issuers.x509 import pem
from tests import pki

VECTORS = sorted((Path(__file__).parents[2] / "vectors").glob("*/*.pem"))
KINDS = ("rsa", "p256")
HONEST = {kind: pki.workload_csr("foo", private=pki.key(kind)) for kind in KINDS}


def same(text: bytes) -> bool:
    """Whether the short way takes a text; then it must say what the strict reader says."""
    found = _by_shape(text)
    if found is None:
        return False
    read = strict.read_request(text)
    assert found == read
    assert (found.der, found.spki) == (read.der, read.spki)
    san = uri_name(read.uris[0])
    assert unexpected_contents(read, san) == unexpected_contents(found, san) == ""
    return True


@pytest.mark.parametrize("kind", KINDS)
@given(
    namespace=st.from_regex(r"[a-z0-9]{1,63}", fullmatch=True),
    account=st.from_regex(r"[a-z0-9]{1,200}", fullmatch=True),
    domain=st.sampled_from(["cluster.local", "a", "td." * 60 + "example"]),
)
def test_istios_own(kind: str, namespace: str, account: str, domain: str) -> None:
    """Whatever a workload is called, however long, its CSR is taken the short way and read as the strict reader does."""
    text = pki.workload_csr(namespace, account, trust_domain=domain, private=pki.key(kind))
    assert same(text)
    assert read_request(text).by_shape


def test_vectors() -> None:
    """No recorded request, honest or hostile, is read otherwise than by the strict reader."""
    assert len(VECTORS) > 300
    taken, wrong = 0, {}
    for file in VECTORS:
        try:
            taken += same(file.read_bytes())
        except (AssertionError, MalformedRequest) as error:
            wrong[f"{file.parent.name}/{file.name}"] = str(error)
    assert wrong == {}
    assert taken > 0


@pytest.mark.parametrize("kind", KINDS)
def test_one_byte(kind: str) -> None:
    """Of each byte of the DER changed in turn, none is read otherwise; what is changed is not taken at all: the signature holds."""
    data = pem.read_request(HONEST[kind])
    for place in range(len(data)):
        for change in (0x01, 0x80, 0xFF):
            other = bytes((*data[:place], data[place] ^ change, *data[place + 1 :]))
            assert not same(pem.encode("CERTIFICATE REQUEST", other)), place


@pytest.mark.parametrize("kind", KINDS)
@given(st.data())
def test_another_spelling(kind: str, data: st.DataObject) -> None:
    """A text that is changed in some bytes is taken only if the strict reader takes it, and reads the same."""
    text = bytearray(HONEST[kind])
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(text) - 1))
        text[place : place + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from([b"", b"\n", b" ", b"\r\n", b"A", b"="])
        )
    same(bytes(text))


@pytest.mark.parametrize("kind", ["rsa3072", "p384", "ed25519"])
def test_other_keys(kind: str) -> None:
    """Keys of other kinds and sizes are read by the strict reader."""
    text = pki.workload_csr("foo", private=pki.key(kind))
    assert _by_shape(text) is None
    assert read_request(text) == strict.read_request(text)


@pytest.mark.parametrize(
    "asked",
    [
        {"uris": ["spiffe://cluster.local/ns/foo/sa/default"], "critical": False},
        {"uris": ["spiffe://cluster.local/ns/foo/sa/default"] * 2, "critical": True},
        {"uris": ["spiffe://cluster.local/ns/Foo/sa/default"], "critical": True},
        {"uris": ["https://cluster.local/ns/foo/sa/default"], "critical": True},
        {"dns": ["istiod.istio-system.svc"], "critical": True},
        {},
    ],
)
def test_other_contents(asked: dict[str, object]) -> None:
    """What names something else, or more, or in another way, is read by the strict reader."""
    text = pki.csr(pki.key("p256"), **asked)  # type: ignore[arg-type]
    assert _by_shape(text) is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_signature(kind: str) -> None:
    """Istio's form with another's signature is refused as ever, with the field."""
    ours, others = (pem.read_request(pki.workload_csr("foo", name, private=pki.key(kind))) for name in ("a", "b"))
    with pytest.raises(MalformedRequest, match="signature"):
        read_request(pem.encode("CERTIFICATE REQUEST", ours[:-20] + others[-20:]))


def test_weak_moduli() -> None:
    """An even modulus, and one of 2047 bits, are refused as ever, with Istio's form around them."""
    data = pem.read_request(HONEST["rsa"])
    first = data.index(_RSA.head) + len(_RSA.head)
    for place, bit in ((first, 0x80), (first + 255, 0x01)):
        spki = bytearray(data[first - len(_RSA.head) :][: _RSA.size])
        spki[place - first + len(_RSA.head)] &= ~bit
        assert not _is_key(bytes(spki), _RSA)
    assert _is_key(data[first - len(_RSA.head) :][: _RSA.size], _RSA)


@given(st.binary(max_size=600))
def test_any_bytes(data: bytes) -> None:
    """No bytes make it fail."""
    assert not same(data)
    assert not same(pem.encode("CERTIFICATE REQUEST", data))
