"""Keystores: what is in them, when they are made anew, and that a password is never told."""

import base64
import hashlib
import itertools
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat, pkcs12
from cryptography.hazmat.primitives.serialization import NoEncryption as Plain
from hypothesis import given
from hypothesis import strategies as st

from issuers.private_key import encode_key, generate_key
from issuers.x509 import der
from issuers.x509.keys import PrivateKey
from signer.api.certificate import CertificateSpec
from signer.api.secret import Secret, read_secret
from signer.certificates.secrets.jks import SALT_BYTES, write_jks
from signer.certificates.secrets.keystores import (
    Material,
    NoKeystore,
    Passwords,
    mark,
    password_problem,
    read_passwords,
    store_names,
    write_keystores,
)
from tests import pki
from tests.unit.certificates import samples

PASSWORD = "geheim €"
SALT = bytes(range(SALT_BYTES))
CA = pki.CA("root", now=pki.ANY_TIME)
OTHER = pki.CA("other root", now=pki.ANY_TIME)
RSA = generate_key("RSA", 2048)
ED = generate_key("Ed25519")
KEYS = {"ECDSA": samples.key(0), "RSA": RSA, "Ed25519": ED}
KEYTOOL, OPENSSL = shutil.which("keytool"), shutil.which("openssl")


def spec(*, p12: dict[str, Any] | None = None, jks: dict[str, Any] | None = None, **more: Any) -> CertificateSpec:
    stores = {
        name: {"create": True, "password": PASSWORD} | found
        for name, found in (("pkcs12", p12), ("jks", jks))
        if found is not None
    }
    return samples.certificate(keystores=stores, **more).spec


def material(key: PrivateKey | None = None, *, roots: int = 1) -> Material:
    chosen = key or samples.key(0)
    leaf = pki.CA("leaf", parent=CA, private=chosen, is_ca=False, key_cert_sign=None).pem
    ca = b"".join((CA.pem, OTHER.pem)[:roots])
    return Material(chosen, encode_key(chosen), leaf + CA.pem, ca)


def made(wish: CertificateSpec, stuff: Material, password: str = PASSWORD) -> dict[str, bytes]:
    return write_keystores(wish, Passwords(password, password), stuff, SALT)


def certificates(pem: bytes) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(pem)


@pytest.mark.heavy
@pytest.mark.parametrize("profile", ["", "LegacyRC2", "LegacyDES", "Modern2023"])
@pytest.mark.parametrize("kind", KEYS)
def test_pkcs12(profile: str, kind: str) -> None:
    """keystore.p12 has the key, the leaf and the CAs once each; truststore.p12 every root of ca.crt."""
    stuff = material(KEYS[kind], roots=2)
    stores = made(spec(p12={"profile": profile}), stuff)
    assert set(stores) == {"keystore.p12", "truststore.p12"}
    key, leaf, others = pkcs12.load_key_and_certificates(stores["keystore.p12"], PASSWORD.encode())
    assert key is not None
    assert encode_key(key) == stuff.key_pem  # type: ignore[arg-type]
    assert leaf == certificates(stuff.chain)[0]
    assert sorted(others, key=hash) == sorted(certificates(CA.pem + OTHER.pem), key=hash)
    none, _, trusted = pkcs12.load_key_and_certificates(stores["truststore.p12"], PASSWORD.encode())
    assert none is None
    assert {one.subject for one in trusted} == {one.subject for one in certificates(stuff.ca)}


@pytest.mark.skipif(OPENSSL is None, reason="openssl is not on this machine")
@pytest.mark.parametrize(
    ("profile", "said"),
    [
        ("LegacyRC2", "pbeWithSHA1And3-KeyTripleDES-CBC"),
        ("LegacyDES", "pbeWithSHA1And3-KeyTripleDES-CBC"),
        ("Modern2023", "PBES2, PBKDF2, AES-256-CBC, Iteration 2048, PRF hmacWithSHA256"),
    ],
)
def test_pkcs12_read_by_openssl(profile: str, said: str, tmp_path: Path) -> None:
    """Openssl reads keystore and truststore, and finds the algorithms of the profile."""
    for name, data in made(spec(p12={"profile": profile}), material()).items():
        (tmp_path / name).write_bytes(data)
        command = [OPENSSL, "pkcs12", "-in", name, "-info", "-nodes", "-passin", f"pass:{PASSWORD}"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)  # type: ignore[arg-type]
        assert said in done.stderr
        assert "BEGIN CERTIFICATE" in done.stdout
        assert ("BEGIN PRIVATE KEY" in done.stdout) == (name == "keystore.p12")


def keytool(folder: Path, store: str, kind: str, password: str, *more: str) -> str:
    command = [KEYTOOL or "", *more, "-keystore", store, "-storetype", kind, "-storepass:env", "STOREPASS"]
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        env={"STOREPASS": password, "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.heavy
@pytest.mark.skipif(KEYTOOL is None, reason="Java's keytool is not on this machine")
@pytest.mark.parametrize("kind", ["RSA", "ECDSA"])
def test_read_by_java(kind: str, tmp_path: Path) -> None:
    """Java reads all four stores: chain and key under the alias, roots as trusted; it takes the key out of the JKS."""
    wish = spec(jks={"alias": "Mine"}, p12={"profile": "Modern2023"})
    stores = made(wish, material(KEYS[kind], roots=2), "changeit")
    for name, data in stores.items():
        (tmp_path / name).write_bytes(data)
    listed = keytool(tmp_path, "keystore.jks", "JKS", "changeit", "-list", "-v")
    assert "Alias name: mine" in listed
    assert "Certificate chain length: 2" in listed
    assert listed.count("trustedCertEntry") == 2
    for store, form in (("truststore.jks", "JKS"), ("truststore.p12", "PKCS12")):
        assert keytool(tmp_path, store, form, "changeit", "-list").count("trustedCertEntry") == 2
    assert "PrivateKeyEntry" in keytool(tmp_path, "keystore.p12", "PKCS12", "changeit", "-list")
    taken = ["-importkeystore", "-srckeystore", "keystore.jks", "-srcstoretype", "JKS", "-srcstorepass", "changeit"]
    keytool(tmp_path, "taken.p12", "PKCS12", "changeit", *taken, "-srcalias", "mine", "-noprompt")
    key, _, _ = pkcs12.load_key_and_certificates((tmp_path / "taken.p12").read_bytes(), b"changeit")
    assert key is not None
    assert encode_key(key) == encode_key(KEYS[kind])  # type: ignore[arg-type]


@pytest.mark.heavy
@given(
    alias=st.text(max_size=20),
    password=st.text(st.characters(codec="utf-16", exclude_categories=["Cs"]), min_size=1, max_size=20),
    private=st.binary(min_size=1, max_size=200),
    chain=st.lists(st.binary(max_size=50), max_size=3),
    trusted=st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=50)), max_size=3),
)
def test_a_jks_says_what_was_put_in(
    alias: str, password: str, private: bytes, chain: list[bytes], trusted: list[tuple[str, bytes]]
) -> None:
    """Whatever aliases, password and bytes: a reader of the format finds them again, and no other password opens it."""
    stamp = samples.NOW
    data = write_jks(password, key=(alias, private, chain), trusted=trusted, made=stamp, salt=SALT)
    assert read_jks(data, password) == [
        (alias.lower(), private, chain),
        *[(name.lower(), None, [one]) for name, one in trusted],
    ]
    with pytest.raises(AssertionError):
        read_jks(data, password + "x")


def read_jks(data: bytes, password: str) -> list[tuple[str, bytes | None, list[bytes]]]:
    """A reader of the format, by OpenJDK's sources and apart from the writer."""
    secret = password.encode("utf-16-be")
    assert hashlib.sha1(secret + b"Mighty Aphrodite" + data[:-20]).digest() == data[-20:]
    place = 0

    def take(count: int) -> bytes:
        nonlocal place
        place += count
        return data[place - count : place]

    def number() -> int:
        return int(struct.unpack(">I", take(4))[0])

    def text() -> str:
        raw = take(struct.unpack(">H", take(2))[0]).replace(b"\xc0\x80", b"\0")
        return raw.decode("utf-8", "surrogatepass").encode("utf-16", "surrogatepass").decode("utf-16")

    def certificate() -> bytes:
        assert text() == "X.509"
        return take(number())

    assert (number(), number()) == (0xFEEDFEED, 2)
    found: list[tuple[str, bytes | None, list[bytes]]] = []
    for _ in range(number()):
        tag, name = number(), text()
        take(8)
        if tag == 2:
            found.append((name, None, [certificate()]))
            continue
        protected = take(number())
        chain = [certificate() for _ in range(number())]
        _, start, stop = der.element(protected, 0, len(protected))
        _, _, start = der.element(protected, start, stop)
        start, _ = der.expect(protected, start, stop, der.OCTET_STRING)
        sealed = protected[start:]
        salt, hidden, check = sealed[:20], sealed[20:-20], sealed[-20:]
        stream, last = b"", salt
        while len(stream) < len(hidden):
            last = hashlib.sha1(secret + last).digest()
            stream += last
        plain = bytes(one ^ other for one, other in zip(hidden, stream, strict=False))
        assert hashlib.sha1(secret + plain).digest() == check
        found.append((name, plain, chain))
    assert place == len(data) - 20
    return found


def test_jks_holds_the_key() -> None:
    """keystore.jks has the key as PKCS#8 under "certificate", in small letters, and the roots as ca, ca-1."""
    stuff = material(roots=2)
    key = samples.key(0).private_bytes(Encoding.DER, PrivateFormat.PKCS8, Plain())
    chain = [one.public_bytes(Encoding.DER) for one in certificates(stuff.chain)]
    roots = [one.public_bytes(Encoding.DER) for one in certificates(stuff.ca)]
    parts = read_jks(made(spec(jks={}), stuff)["keystore.jks"], PASSWORD)
    assert parts == [("certificate", key, chain), ("ca", None, roots[:1]), ("ca-1", None, roots[1:])]
    clash = read_jks(made(spec(jks={"alias": "CA"}), stuff)["keystore.jks"], PASSWORD)
    assert [name for name, *_ in clash] == ["ca", "ca-trusted", "ca-1"]


def test_no_root() -> None:
    """Where no CA is known there are no truststores; where nothing is to be created there is nothing."""
    stuff = material(roots=0)
    assert set(made(spec(jks={}, p12={}), stuff)) == {"keystore.jks", "keystore.p12"}
    for with_ca in (True, False):
        wish = spec(jks={}, p12={})
        expected = set(made(wish, material(roots=int(with_ca))))
        assert set(store_names(wish, with_ca=with_ca)) == expected
    assert store_names(samples.certificate().spec, with_ca=True) == ()
    assert made(spec(jks={"create": False}), stuff) == {}


def test_a_self_signed_certificate_is_its_own_ca() -> None:
    """A certificate that is in tls.crt and ca.crt is once in the keystore."""
    key = CA.private
    stuff = Material(key, encode_key(key), CA.pem, CA.pem)
    _, leaf, others = pkcs12.load_key_and_certificates(made(spec(p12={}), stuff)["keystore.p12"], PASSWORD.encode())
    assert leaf is not None
    assert others == []


def password_secret(data: dict[str, bytes]) -> dict[str, Secret]:
    raw = {"metadata": {"name": "p"}, "data": {key: base64.b64encode(value).decode() for key, value in data.items()}}
    return {"p": msgspec.convert(raw, Secret)}


def large_secret(size: int) -> dict[str, Secret]:
    """One that was read live."""
    data = {"k": base64.b64encode(b"s" * size).decode()}
    return {"p": read_secret({"metadata": {"name": "p", "namespace": "foo"}, "type": "Opaque", "data": data})}


REF = {"password": None, "passwordSecretRef": {"name": "p", "key": "k"}}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({}, "Secret p does not exist; create it with the password under 'k'"),
        (password_secret({}), "Secret p has nothing under 'k'; put the password there"),
        (password_secret({"k": b""}), "has nothing under 'k'"),
        (password_secret({"other": b"secret"}), "has nothing under 'k'"),
        (password_secret({"k": b"\xff\xfe"}), "the password is not UTF-8 text"),
        (password_secret({"k": base64.b64decode("password")}), "which is base64, write it under stringData"),
        (large_secret(200_000), "Secret p is too large to be read: it has "),
        (password_secret({"k": b"s" * 1025}), "a password of 1025 bytes; at most 1024"),
        (password_secret({"k": "\U0001f600".encode()}), "characters beyond 16 bits"),
    ],
)
@pytest.mark.parametrize("store", ["p12", "jks"])
def test_no_password(found: dict[str, Secret], said: str, store: str) -> None:
    """A password that is not there, or is none, is told with field, Secret and remedy, without a byte of it."""
    wish = spec(**{store: REF})
    with pytest.raises(NoKeystore) as caught:
        read_passwords(wish, found)
    field = "pkcs12" if store == "p12" else "jks"
    assert str(caught.value).startswith(f"spec.keystores.{field}.passwordSecretRef: ")
    assert said in str(caught.value)
    assert "sss" not in str(caught.value)


def test_passwords_are_found() -> None:
    """From the spec or from the Secret, byte for byte: a line end in it counts."""
    wish = spec(p12=REF, jks={})
    found = read_passwords(wish, password_secret({"k": b"word\n"}))
    assert (found.pkcs12, found.jks) == ("word\n", PASSWORD)
    assert password_problem(b"word\n") == ""


def test_nothing_shows_a_password() -> None:
    """No repr of what holds a password shows it."""
    certificate = samples.certificate(
        keystores={"jks": {"create": True, "password": "s3cret"}, "pkcs12": {"create": True, "password": "s3cret"}}
    )
    for shown in (certificate, certificate.spec, Passwords("s3cret", "s3cret"), material()):
        assert "s3cret" not in repr(shown)
        assert "PRIVATE" not in repr(shown)


def test_what_makes_a_keystore_old() -> None:
    """Each thing that a keystore is made of, and each byte of it, is in its mark; the same things give the same mark."""
    wish, stuff = spec(p12={"profile": "Modern2023"}, jks={}), material()
    stores = made(wish, stuff)
    other = material(samples.key(1))
    passwords = Passwords(PASSWORD, PASSWORD)
    variants = [
        (wish, passwords, stuff, stores),
        (wish, Passwords("x", PASSWORD), stuff, stores),
        (wish, Passwords(PASSWORD, "x"), stuff, stores),
        (spec(p12={"profile": "LegacyDES"}, jks={}), passwords, stuff, stores),
        (spec(p12={"profile": "Modern2023"}, jks={"alias": "x"}), passwords, stuff, stores),
        (spec(p12={"profile": "Modern2023"}), passwords, stuff, stores),
        (wish, passwords, other, stores),
        (wish, passwords, material(roots=2), stores),
        *(
            (wish, passwords, stuff, stores | {name: stores[name][:-1] + bytes([stores[name][-1] ^ 1])})
            for name in stores
        ),
        *((wish, passwords, stuff, {key: stores[key] for key in stores if key != name}) for name in stores),
    ]
    marks = [mark(*one) for one in variants]
    assert len(set(marks)) == len(marks)
    assert mark(wish, passwords, stuff, dict(reversed(stores.items()))) == marks[0]
    assert mark(spec(p12={"profile": ""}), passwords, stuff, {}) == mark(
        spec(p12={"profile": "LegacyRC2"}), passwords, stuff, {}
    )


def test_a_chain_that_is_none() -> None:
    """What is no certificate in tls.crt or ca.crt makes no keystore, and is told; so is what is too large."""
    good = material()
    for chain, ca in (
        (b"x", b""),
        (b"", b""),
        (good.chain, b"x"),
        (good.chain * 1000, b""),
        (good.chain, good.ca * 1000),
    ):
        stuff = Material(good.key, good.key_pem, chain, ca)
        for wish in (spec(p12={}), spec(jks={})):
            with pytest.raises(NoKeystore, match=r"spec\.keystores: (tls\.crt|ca\.crt)") as caught:
                made(wish, stuff)
            assert caught.value.reason == "KeystoreFailed"


def test_all_that_may_be_wanted_is_made() -> None:
    """Whatever of the two is asked for, in whatever form, what is made is what is named."""
    wishes: tuple[dict[str, Any] | None, ...] = (None, {})
    for p12, jks, roots in itertools.product(wishes, wishes, (0, 1, 2)):
        wish = spec(p12=p12, jks=jks)
        assert set(made(wish, material(roots=roots))) == set(store_names(wish, with_ca=roots > 0))
