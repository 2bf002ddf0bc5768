"""Chains of certificates as CAs hand them out."""

import datetime as dt
import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from issuers.acme.chain import Chain, choose_chain, not_preferred, read_chain, read_chains
from issuers.acme.errors import MalformedAnswer
from issuers.acme.identifiers import identifiers
from issuers.acme.order import Wish
from issuers.private_key import generate_key

NOW = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
NAMES = ("shop.example.com", "*.shop.example.com", "192.0.2.1")
WISH = Wish(identifiers(NAMES))


class Certifier:
    """Somebody who signs: a root when `by` is None."""

    def __init__(self, name: str, by: "Certifier | None" = None) -> None:
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.key = ec.generate_private_key(ec.SECP256R1())
        signer = by or self
        self.certificate = certificate(self.name, self.key, signer, [], ca=True)


def certificate(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    by: Certifier,
    names: list[x509.GeneralName],
    *,
    ca: bool = False,
    end: dt.datetime = NOW + dt.timedelta(days=90),
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - dt.timedelta(days=90))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    return builder.sign(by.key, hashes.SHA256())


ROOT = Certifier("Root")
MIDDLE = Certifier("Middle", ROOT)
SAN: list[x509.GeneralName] = [
    x509.DNSName("*.shop.example.com"),
    x509.DNSName("Shop.example.com"),
    x509.IPAddress(ipaddress.ip_address("192.0.2.1")),
]
LEAF = certificate(x509.Name([]), KEY, MIDDLE, SAN)


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def test_a_chain() -> None:
    """A chain for our key and names is taken, and written anew without what stood between."""
    sent = b"# from the CA\n" + pem(LEAF, MIDDLE.certificate).replace(b"\n", b"\r\n")
    found = read_chain(sent, WISH, KEY, NOW)
    assert found.leaf == LEAF
    assert found.pem == pem(LEAF, MIDDLE.certificate)
    assert found.issuer_name == "Root"
    assert read_chain(pem(LEAF), WISH, KEY, NOW).issuer_name == "Middle"


OTHER = generate_key("ECDSA")
assert isinstance(OTHER, ec.EllipticCurvePrivateKey)
LOOKALIKE = Certifier("Middle", ROOT)


@pytest.mark.parametrize(
    ("sent", "match"),
    [
        (b"", "cut off"),
        (b"-----", "not a chain"),
        (pem(LEAF, MIDDLE.certificate)[:-40], "cut off"),
        (pem(LEAF)[:200], "cut off"),
        (pem(LEAF).replace(b"MII", b"MIJ", 1), "not a chain"),
        (pem(MIDDLE.certificate, LEAF), "a different key"),
        (pem(LEAF, ROOT.certificate), "chain"),
        (pem(LEAF, LOOKALIKE.certificate), "not signed by the next"),
        (pem(LEAF, *[MIDDLE.certificate] * 10), "11 certificates"),
        (pem(certificate(x509.Name([]), OTHER, MIDDLE, SAN)), "a different key"),
        (pem(certificate(x509.Name([]), KEY, MIDDLE, SAN[:2])), "different names"),
        (pem(certificate(x509.Name([]), KEY, MIDDLE, [*SAN, x509.DNSName("bank.example")])), "different names"),
        (pem(certificate(x509.Name([]), KEY, MIDDLE, [])), "different names"),
        (pem(certificate(x509.Name([]), KEY, MIDDLE, SAN, ca=True)), "a CA's"),
        (pem(certificate(x509.Name([]), KEY, MIDDLE, SAN, end=NOW)), "expired"),
    ],
)
def test_chains_that_are_none(sent: bytes, match: str) -> None:
    """What is cut off, unsigned, for another key or other names, ended, or a CA's, gets into no Secret."""
    with pytest.raises(MalformedAnswer, match=match):
        read_chain(sent, WISH, KEY, NOW)


def test_choice() -> None:
    """The preferred issuer next to the root wins; else the CA's own choice."""
    short, long = Chain((LEAF,)), Chain((LEAF, MIDDLE.certificate))
    assert choose_chain([short, long], "Root") is long
    assert choose_chain([short, long], "Middle") is short
    assert choose_chain([long, short], "Nobody") is long
    assert choose_chain([long, short], None) is long


@given(st.lists(st.sampled_from(["good", "cut", "stranger", "empty"]), max_size=6), st.booleans())
def test_alternatives_stop_nothing(kinds: list[str], wished: bool) -> None:
    """Whatever a CA's alternatives are, its own chain is had; the preferred one where it is among the good ones, else it is told."""
    good = pem(LEAF, MIDDLE.certificate)
    sent = {"good": good, "cut": good[:-9], "stranger": pem(LEAF, LOOKALIKE.certificate), "empty": b""}
    pems = [pem(LEAF), *(sent[kind] for kind in kinds)]
    chains, missed = read_chains(pems, WISH, KEY, NOW)
    assert len(chains) + len(missed) == len(pems)
    assert chains[0].pem == pem(LEAF)
    preferred = "Root" if wished else ""
    chosen = choose_chain(chains, preferred or None)
    told = not_preferred(chains, chosen, preferred, missed)
    assert bool(told) == (wished and "good" not in kinds)
    if told and kinds:
        assert "not had: certificate" in told
