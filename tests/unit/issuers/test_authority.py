"""CAs from Secrets: what is taken, in which order, and what is said of it."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from issuers import authority as module
from issuers.authority import expiry_warning
from issuers.errors import InvalidAuthority
from issuers.private_key import encode_key, load_key
from issuers.x509 import der, keys, pem
from issuers.x509.subject import name_text, read_name
from tests import pki
from tests.pki import CA, DAY
from tests.unit.issuers.cas import GOOD, NOW, Secret, Three, ca, chain_of_three, load, signed_by_nobody, spki


@pytest.mark.parametrize("kind", ["p256", "p384", "p521", "ed25519", "rsa"])
def test_a_self_signed_ca_is_loaded(kind: str) -> None:
    """All that signing needs is there; nothing follows a leaf; the root is known."""
    root = ca(private=pki.key(kind))
    loaded = load(root.secret())
    assert loaded.key_id == hashlib.sha256(spki(root)).hexdigest()
    assert loaded.spki == spki(root)
    assert loaded.certificate_pem == root.pem
    assert keys.public_bytes(loaded.key.public_key()) == spki(root)
    assert (loaded.chain_pem, loaded.root_pem) == (b"", root.pem)
    assert (loaded.not_before, loaded.not_after) == (NOW - DAY, NOW + 90 * DAY)
    assert (loaded.subject, loaded.subject_der) == ("CN=root", root.name.public_bytes())
    assert loaded.subject_key_id == x509.SubjectKeyIdentifier.from_public_key(root.private.public_key()).digest
    assert loaded.path_length is None
    algorithm = keys.algorithm_for(root.private)
    assert loaded.algorithm == algorithm.identifier
    assert algorithm.verify(keys.load_public_key(loaded.spki), loaded.signer(b"data"), b"data")


def test_no_key_shows_in_the_representation() -> None:
    """An Authority may be logged: neither key nor signer are part of its text."""
    text = repr(load(ca().secret()))
    assert "key=" not in text.replace("key_id=", "").replace("subject_key_id=", "")
    assert "signer" not in text
    assert "PRIVATE" not in text


def test_every_encoding_of_the_key_is_loaded() -> None:
    """PKCS#1 and SEC 1 as cert-manager writes them by default, PKCS#8 too."""
    for root in (ca(), ca(kind="rsa")):
        for encoding in ("PKCS1", "PKCS8"):
            loaded = load(root.secret() | {"tls.key": encode_key(root.private, encoding)})
            assert loaded.key_id == hashlib.sha256(spki(root)).hexdigest()


ORDERS: dict[str, Callable[[Three], Secret]] = {
    "as cert-manager writes it": lambda cas: cas.low.secret(),
    "the whole chain in tls.crt": lambda cas: {"tls.crt": cas.low.chain_pem},
    "an empty ca.crt": lambda cas: {"tls.crt": cas.low.chain_pem, "ca.crt": b""},
    "upper ones in another order": lambda cas: {"tls.crt": cas.low.pem + cas.root.pem + cas.middle.pem},
    "the root twice": lambda cas: {"tls.crt": cas.low.chain_pem + cas.root.pem, "ca.crt": cas.root.pem},
    "an intermediate twice": lambda cas: {
        "tls.crt": cas.low.pem + cas.middle.pem + cas.middle.pem,
        "ca.crt": cas.root.pem,
    },
    "with comments": lambda cas: {
        "tls.crt": b"# low\n" + cas.low.pem + b"# up\n" + cas.middle.pem,
        "ca.crt": cas.root.pem,
    },
}


@pytest.mark.parametrize("order", ORDERS)
def test_a_chain_is_put_in_order(order: str) -> None:
    """Leaf first goes the signing CA, then those above it, never the self-signed root."""
    root, middle, low = cas = chain_of_three()
    loaded = load({"tls.key": low.key_pem} | ORDERS[order](cas))
    assert (loaded.chain_pem, loaded.root_pem) == (low.pem + middle.pem, root.pem)
    assert (loaded.path_length, loaded.subject) == (0, "CN=low")


def test_the_chains_dates_bound_the_ca() -> None:
    """A CA lasts as long as the whole line above it: the latest start, the earliest end."""
    root = ca("root", not_after=NOW + 3 * DAY, not_before=NOW - 9 * DAY)
    middle = root.intermediate("middle", now=NOW, not_before=NOW - timedelta(hours=2))
    low = middle.intermediate("low", now=NOW, not_before=NOW - 5 * DAY)
    loaded = load(low.secret())
    assert (loaded.not_before, loaded.not_after) == (NOW - timedelta(hours=2), NOW + 3 * DAY)


def test_without_a_root_the_topmost_certificate_is_part_of_the_chain() -> None:
    """As in cert-manager: what is not self-signed is sent along, and no root is claimed."""
    _, middle, low = chain_of_three()
    loaded = load({"tls.crt": low.pem + middle.pem, "tls.key": low.key_pem})
    assert (loaded.chain_pem, loaded.root_pem) == (low.pem + middle.pem, None)
    loaded = load({"tls.crt": low.pem, "tls.key": low.key_pem, "ca.crt": middle.pem})
    assert (loaded.chain_pem, loaded.root_pem) == (low.pem + middle.pem, None)
    loaded = load({"tls.crt": low.pem, "tls.key": low.key_pem})
    assert (loaded.chain_pem, loaded.root_pem) == (low.pem, None)


def test_a_renewed_root_beside_the_old_one_is_no_intermediate() -> None:
    """Two self-signed certificates of one key verify each other; neither is sent along with leaves."""
    old, new = ca(), ca(not_after=NOW + 200 * DAY)
    loaded = load({"tls.crt": new.pem, "tls.key": new.key_pem, "ca.crt": old.pem})
    assert loaded.chain_pem == b""
    assert loaded.root_pem == old.pem


def test_a_renewed_root_does_not_count_as_a_ca_below() -> None:
    """A path length of 0 allows leaves of the old root and of the renewed one alike."""
    old, new = ca(path_length=0), ca(path_length=0, not_after=NOW + 200 * DAY)
    assert load({"tls.crt": new.pem, "tls.key": new.key_pem, "ca.crt": old.pem}).path_length == 0


def test_a_cross_certificate_leads_to_the_other_root() -> None:
    """A new root, certified by the old one too: leaves are followed by the cross certificate alone."""
    old = ca("old", path_length=1)
    new = ca("new", private=pki.key(n=80))
    cross = CA("new", now=NOW, parent=old, private=new.private, path_length=0)
    loaded = load({"tls.crt": new.pem + cross.pem, "tls.key": new.key_pem, "ca.crt": old.pem})
    assert (loaded.chain_pem, loaded.root_pem) == (cross.pem, old.pem)
    loaded = load({"tls.crt": cross.pem, "tls.key": new.key_pem, "ca.crt": old.pem})
    assert (loaded.chain_pem, loaded.root_pem) == (cross.pem, old.pem)


def test_the_optional_extensions_may_be_missing() -> None:
    """Without KeyUsage everything is allowed (RFC 5280, 4.2.1.3); without key identifier leaves name none."""
    loaded = load(ca(key_cert_sign=None, subject_key_id=False).secret())
    assert loaded.subject_key_id is None


def test_a_broken_self_signature_makes_no_root() -> None:
    """What looks self-signed and is not verifiably so is sent along like an intermediate, and no root is claimed."""
    loaded = load({"tls.crt": signed_by_nobody(), "tls.key": ca("root").key_pem})
    assert loaded.root_pem is None
    assert loaded.chain_pem == loaded.certificate_pem


def test_dates_are_judged_to_the_second() -> None:
    """Valid from the first second on; expired from the last one on."""
    secret = ca(not_before=NOW, not_after=NOW + DAY).secret()
    load(secret, NOW)
    load(secret, NOW + DAY - timedelta(seconds=1))
    for moment, reason in ((NOW - timedelta(seconds=1), "NotYetValid"), (NOW + DAY, "Expired")):
        with pytest.raises(InvalidAuthority) as refused:
            load(secret, moment)
        assert refused.value.reason == reason


def test_the_size_limit_of_a_chain_is_exact() -> None:
    """128 KiB of text are read (comments count), one byte more is not."""
    fill = b"#" * (131072 - len(GOOD["tls.crt"]) - 1) + b"\n"
    load(GOOD | {"tls.crt": fill + GOOD["tls.crt"]})
    with pytest.raises(InvalidAuthority, match="131073 bytes are too many"):
        load(GOOD | {"tls.crt": b"#" + fill + GOOD["tls.crt"]})


@pytest.mark.parametrize("year", [1950, 1999, 2000, 2026])
def test_two_digit_years_are_read_in_their_century(year: int) -> None:
    """50 is 1950 and 49 is 2049 (RFC 5280, 4.1.2.5.1)."""
    start = datetime(year, 1, 2, 3, 4, 5, tzinfo=UTC)
    for end in (datetime(2049, 12, 31, tzinfo=UTC), datetime(2050, 1, 1, tzinfo=UTC)):
        loaded = load(ca(not_before=start, not_after=end).secret())
        assert (loaded.not_before, loaded.not_after) == (start, end)


def test_a_chain_of_ten_is_taken() -> None:
    """The limit is ten certificates; the tenth is still taken."""
    made = ca("ca-0")
    for n in range(1, 10):
        made = made.intermediate(f"ca-{n}", now=NOW)
    loaded = load({"tls.crt": made.chain_pem, "tls.key": made.key_pem})
    assert loaded.chain_pem.count(b"BEGIN") == 9


def test_a_key_that_signs_wrongly_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial signature is verified when a CA is loaded, since later ones are not."""
    wrong = pki.key(n=79)
    assert isinstance(wrong, ec.EllipticCurvePrivateKey)

    def signer(algorithm: keys.SignatureAlgorithm, key: keys.PrivateKey) -> Callable[[bytes], bytes]:
        del algorithm, key
        return lambda data: wrong.sign(data, ec.ECDSA(hashes.SHA256()))

    monkeypatch.setattr(keys.SignatureAlgorithm, "signer", signer)
    with pytest.raises(InvalidAuthority) as refused:
        load(GOOD)
    assert (refused.value.reason, refused.value.field) == ("InvalidKey", "tls.key")


def test_a_key_that_does_not_sign_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that the library cannot sign with makes no CA."""

    def signer(algorithm: keys.SignatureAlgorithm, key: keys.PrivateKey) -> Callable[[bytes], bytes]:
        del algorithm, key

        def fail(data: bytes) -> bytes:
            raise ValueError(len(data))

        return fail

    monkeypatch.setattr(keys.SignatureAlgorithm, "signer", signer)
    with pytest.raises(InvalidAuthority) as refused:
        load(GOOD)
    assert (refused.value.reason, refused.value.field) == ("InvalidKey", "tls.key")


@pytest.mark.parametrize(
    ("life", "left", "warns"),
    [
        (90, 30.1, False),
        (90, 30, True),
        (9, 3.1, False),
        (9, 3, True),
        (3650, 31, False),
        (3650, 30, True),
        (3650, 0.5, True),
        (3650, -1, True),
    ],
)
def test_the_end_of_a_ca_is_announced(life: float, left: float, warns: bool) -> None:
    """Within the last third of its life or its last 30 days, whichever is shorter."""
    loaded = load(ca(not_before=NOW, not_after=NOW + life * DAY).secret())
    end = NOW + life * DAY
    expected = f"the CA 'CN=root' expires at {end:%Y-%m-%dT%H:%M:%SZ}" if warns else None
    assert expiry_warning(loaded, end - left * DAY) == expected


def test_a_ca_without_a_subject_has_a_name_in_messages() -> None:
    """A message must never point at an empty name."""
    with pytest.raises(InvalidAuthority, match="'the certificate without a subject' is not a CA"):
        load(ca(subject=pki.name(), is_ca=False).secret())


def test_the_reading_of_names_agrees_with_the_library() -> None:
    """For ordinary names our text is RFC 4514's, as pyca writes it."""
    name = pki.name("a,b", "x+y")
    der = name.public_bytes()
    assert name_text(read_name(der, 0, len(der))) == name.rfc4514_string()


def test_authorities_are_compared_by_identity() -> None:
    """Two loads of one Secret are two objects: nothing compares keys by accident."""
    assert load(GOOD) != load(GOOD)
    assert module.Authority.__hash__ is object.__hash__


def test_a_huge_rsa_key_is_refused_at_once() -> None:
    """A key's size is looked at before its numbers: a Secret with a key of 16384 bits stops nobody."""
    modulus, exponent = (1 << 16383) | 1, 65537
    numbers = [0, modulus, exponent, 3, 5, 7, 11, 13, 17]
    content = b"".join(der.tlv(0x02, n.to_bytes(n.bit_length() // 8 + 1, "big")) for n in numbers)
    text = pem.encode("RSA PRIVATE KEY", der.tlv(0x30, content))
    with pytest.raises(InvalidAuthority) as refused:
        load_key(text)
    assert refused.value.reason in {"WeakKey", "InvalidKey"}


def test_rsa_numbers_that_are_no_key() -> None:
    """An RSA key whose private numbers do not belong to its public ones makes no CA."""
    good, other = pki.key("rsa"), pki.key("rsa", n=7)
    assert isinstance(good, rsa.RSAPrivateKey)
    assert isinstance(other, rsa.RSAPrivateKey)
    mine, theirs = good.private_numbers(), other.private_numbers()
    public = mine.public_numbers
    numbers = [0, public.n, public.e, theirs.d, theirs.p, theirs.q, theirs.dmp1, theirs.dmq1, theirs.iqmp]
    content = b"".join(der.tlv(0x02, n.to_bytes(n.bit_length() // 8 + 1, "big")) for n in numbers)
    with pytest.raises(InvalidAuthority) as refused:
        load_key(pem.encode("RSA PRIVATE KEY", der.tlv(0x30, content)))
    assert refused.value.reason == "InvalidKey"
