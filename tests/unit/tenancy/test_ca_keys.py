"""Which CA keys belong to which signers."""

from signer.api.issuer import IssuerRef
from signer.tenancy.ca_keys import CAKeys
from signer.tenancy.world import CertificateAuthorityEntry, Roots
from tests.unit.csr.crafted import authority, ca
from tests.unit.tenancy.worlds import BAR, FOO


def entry(*signers: object, pem: str) -> CertificateAuthorityEntry:
    return CertificateAuthorityEntry(pem, frozenset(signers))  # type: ignore[arg-type]


def test_roots() -> None:
    """The mesh config's roots are known by their keys: of all entries of a signer, and of all certificates of a text."""
    both = (ca("foo").pem + ca("bar").pem).decode()
    entries = [entry(FOO, pem=ca("foo").pem.decode()), entry(FOO, BAR, pem=both)]
    keys = frozenset({authority("foo").root_key_id, authority("bar").root_key_id})
    assert {signer: found.key_ids for signer, found in CAKeys().roots(entries).items()} == {FOO: keys, BAR: keys}


def test_a_text_that_cannot_be_read() -> None:
    """A root that cannot be read gives no key, and does not hide the others."""
    entries = [entry(FOO, pem="-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"), entry(BAR, pem="")]
    assert CAKeys().roots(entries) == {FOO: Roots(), BAR: Roots()}
    assert CAKeys().of([FOO, BAR], entries) == {}


def test_an_issuer_that_changes_all_the_time() -> None:
    """A tenant who changes his Issuer's key again and again fills no memory; what admins change stays known."""
    known, own = CAKeys(), IssuerRef("Issuer", "bar", "ca")
    for number in range(100):
        known.put(own, f"bar{number}")
        known.put(FOO, f"foo{number}")
    keys = known.of([own, FOO], [])
    assert "bar99" in keys
    assert sum(own in signers for signers in keys.values()) == 16
    assert sum(FOO in signers for signers in keys.values()) == 100


def test_a_root_is_its_own() -> None:
    """The root of a self-signed CA is that CA; of an intermediate the one above it."""
    own = authority("foo")
    assert own.root_key_id == own.key_id
