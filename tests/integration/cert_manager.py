"""cert-manager's own code as a peer, and what it is asked: CSRs, CAs and usages of every kind that is taken."""

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests import pki
from tests.localmesh.certmanagerpki import Peer, build_peer
from tests.vectors import craft
from tests.vectors.craft import Csr, children

TESTS = Path(__file__).parents[1]


def start_peer(config: pytest.Config) -> Peer:
    """Build the Go program if need be, and start it."""
    # The first build takes a minute or two: its progress must be seen.
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        return build_peer()


PARTS = ("version", "serial", "signature algorithm", "issuer", "validity", "subject", "public key", "extensions")


KEY_IDS = ("2.5.29.14", "2.5.29.35")


def compare(ours: bytes, theirs: bytes, *, names_keys: bool = False) -> None:
    """Two chains are equal but for the leaf's serial number, times and signature; its lifetime is the same.

    `names_keys`: ours names its CA's key, and its own where it needs to, which theirs leaves out (ADR 37).
    """
    our_chain, their_chain = x509.load_pem_x509_certificates(ours), x509.load_pem_x509_certificates(theirs)
    assert our_chain[1:] == their_chain[1:]
    for chain, text in ((our_chain, ours), (their_chain, theirs)):
        assert b"".join(map(pki.cert_pem, chain)) == text  # the same form of PEM
    left, right = our_chain[0], their_chain[0]
    tbs = [dict(zip(PARTS, children(c.tbs_certificate_bytes), strict=True)) for c in (left, right)]
    for part in PARTS:
        if part == "extensions" and names_keys:
            listed = [[one for one in extensions_of(found[part]) if not is_key_id(one)] for found in tbs]
            assert listed[0] == listed[1]
            assert len(extensions_of(tbs[0][part])) > len(extensions_of(tbs[1][part]))
        elif part not in ("serial", "validity"):
            assert tbs[0][part].hex() == tbs[1][part].hex(), part
    assert (
        children(left.public_bytes(serialization.Encoding.DER))[1]
        == children(right.public_bytes(serialization.Encoding.DER))[1]
    )
    # Our clock was read some milliseconds before theirs.
    assert abs(left.not_valid_before_utc - right.not_valid_before_utc) <= timedelta(seconds=5)
    life = left.not_valid_after_utc - left.not_valid_before_utc
    assert life == right.not_valid_after_utc - right.not_valid_before_utc


def extensions_of(part: bytes) -> list[bytes]:
    """The extensions of a certificate, from [3]."""
    return children(children(part)[0])


def is_key_id(extension: bytes) -> bool:
    """Whether an extension is one of the two key identifiers."""
    return children(extension)[0] in {craft.oid(one) for one in KEY_IDS}


USAGES: dict[str, tuple[str, ...]] = {
    "none": (),
    "istio": pki.WORKLOAD_USAGES,
    "istiod-dns": ("digital signature", "key encipherment", "server auth"),
    "signing": ("signing", "client auth", "server auth"),
    "only-extended": ("client auth",),
    "only-key": ("key agreement",),
    "all-key": (
        "digital signature",
        "content commitment",
        "key encipherment",
        "key agreement",
        "data encipherment",
        "cert sign",
        "crl sign",
        "encipher only",
        "decipher only",
    ),
    "all-extended": (
        "any",
        "server auth",
        "client auth",
        "code signing",
        "email protection",
        "s/mime",
        "ipsec end system",
        "ipsec tunnel",
        "ipsec user",
        "timestamping",
        "ocsp signing",
        "microsoft sgc",
        "netscape sgc",
    ),
    "repeated": ("server auth", "server auth", "digital signature", "signing"),
}


def general(*names: bytes) -> tuple[bytes, ...]:
    return (craft.ext_request(craft.san(*names)),)


CONSTRAINTS = craft.extension(
    craft.NC,
    craft.seq(
        craft.tlv(
            0xA0, *[craft.seq(n) for n in (craft.uri("x.example"), craft.ip(bytes([10, 9, 8, 7, 255, 0, 0, 0])))]
        ),
        craft.tlv(0xA1, *[craft.seq(n) for n in (craft.email("a@b.example"), craft.dns(".evil.example"))]),
    ),
)


def requests() -> dict[str, bytes]:
    """Honest CSRs of every kind that is taken."""
    other = craft.tlv(0xA0, craft.oid("1.3.6.1.4.1.311.20.2.3"), craft.tlv(0xA0, craft.utf8("ü@example")))
    subject = craft.seq(
        craft.rdn((craft.ORGANIZATION, craft.utf8("b")), (craft.ORGANIZATION, craft.printable("a"))),
        craft.rdn((craft.CN, craft.utf8("ünïcode"))),
    )
    made = {f"key-{kind}": Csr(key=pki.key(kind)) for kind in ("rsa", "rsa3072", "rsa4096", "p256", "p384", "ed25519")}
    made["key-p521"] = Csr(key=ec.derive_private_key(77, ec.SECP521R1()))
    made |= {
        "no-subject": Csr(subject=craft.seq()),
        "no-names": Csr(subject=subject, attributes=()),
        "nothing": Csr(subject=craft.seq(), attributes=()),
        "subject": Csr(subject=subject),
        "subject-teletex": Csr(subject=craft.seq(craft.rdn((craft.CN, craft.tlv(0x14, b"M\xfcller"))))),
        "subject-bmp": Csr(subject=craft.seq(craft.rdn((craft.CN, craft.tlv(0x1E, "Mü".encode("utf-16-be")))))),
        "subject-long": Csr(subject=craft.seq(craft.rdn((craft.CN, craft.utf8("x" * 120))))),
        "names": Csr(
            attributes=general(
                craft.uri("https://a.example:8443/b?c=d#e"),
                craft.ip(bytes([10, 0, 0, 1])),
                craft.dns("*.a.example"),
                craft.email("a@b.example"),
                craft.ip(bytes(range(16))),
                other,
                b"\x88" + craft.oid("1.2.3")[1:],
                craft.tlv(0xA4, subject),
            ),
        ),
        "mapped-address": Csr(attributes=general(craft.ip(bytes(10) + b"\xff\xff" + bytes([1, 2, 3, 4])))),
        "names-not-critical": Csr(attributes=[craft.ext_request(craft.san(craft.dns("a"), critical=b""))]),
        "unknown-extension": Csr(
            attributes=[craft.ext_request(craft.extension("1.2.3.4", b"x", craft.TRUE), craft.san(craft.dns("a")))],
        ),
        "name-constraints": Csr(attributes=[craft.ext_request(CONSTRAINTS, craft.san(craft.dns("a")))]),
        "name-constraints-critical": Csr(
            attributes=[
                craft.ext_request(
                    craft.extension(craft.NC, craft.seq(craft.tlv(0xA0, craft.seq(craft.dns("a")))), craft.TRUE),
                ),
            ],
        ),
        "unknown-usage": Csr(
            attributes=[
                craft.ext_request(
                    craft.extension(craft.EKU, craft.seq(craft.oid("1.3.6.1.5.5.7.3.2"), craft.oid("1.2.3.4.5"))),
                ),
            ],
        ),
        "names-1000": Csr(attributes=general(*[craft.dns(f"{n:03x}") for n in range(1000)])),
    }
    return {name: request.pem() for name, request in made.items()}


REQUESTS = requests()


def authorities() -> dict[str, dict[str, str]]:
    """CAs of every kind: each is the data of its Secret."""
    made = {
        f"root-{kind}": pki.CA(f"root-{kind}", private=pki.key(kind, n=9))
        for kind in ("rsa", "rsa3072", "rsa4096", "p256", "p384", "p521", "ed25519")
    }
    root = pki.CA("top")
    made["intermediate"] = root.intermediate("middle", private=pki.key("rsa", n=8))
    made["two-intermediates"] = made["intermediate"].intermediate("low", path_length=0)
    made["no-key-id"] = pki.CA("no-key-id", subject_key_id=False)
    made["no-subject"] = pki.CA("no-subject", subject=pki.name())
    made["no-key-usage"] = pki.CA("no-key-usage", key_cert_sign=None)
    secrets = {name: {key: value.decode() for key, value in ca.secret().items()} for name, ca in made.items()}
    secrets["root-in-tls-crt"] = secrets["two-intermediates"] | {
        "tls.crt": made["two-intermediates"].chain_pem.decode(),
        "ca.crt": "",
    }
    secrets["no-root"] = secrets["two-intermediates"] | {"ca.crt": ""}
    low, middle, top = (ca.pem.decode() for ca in (made["two-intermediates"], made["intermediate"], root))
    secrets["other-order"] = secrets["two-intermediates"] | {"tls.crt": low + top + middle}
    secrets["middle-as-ca-crt"] = secrets["two-intermediates"] | {"tls.crt": low, "ca.crt": middle}
    return secrets


AUTHORITIES = authorities()
