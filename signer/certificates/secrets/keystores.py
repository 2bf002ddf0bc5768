"""Further forms of a Certificate's key and chain in its Secret: PKCS#12, JKS, and what additionalOutputFormats asks for.

All in a Secret is written in one go, so all forms hold the same key pair. Salts make each keystore different, so a Secret
carries a mark of what its keystores were made of (`mark`): they are written again when key, certificates, password or the
wish change, and left alone otherwise. The mark is keyed with the private key, so it tells a password to nobody who does
not hold what the password is for. Keystores that are stored are never opened: anybody may have written them, and how
long opening takes is said in them.

Pure but for the salts that the library draws; a keystore takes milliseconds: call `write_keystores` off the loop. Names, order and passwords are
cert-manager's (pkg/controller/certificates/issuing/internal/keystore.go).
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from issuers.x509 import loading, pem
from issuers.x509.keys import PrivateKey
from signer.api.certificate import CertificateSpec, JksKeystore, KeystorePassword, Keystores, Pkcs12Keystore
from signer.api.secret import Secret
from signer.certificates.secrets.jks import write_jks

KEYSTORE_P12 = "keystore.p12"
TRUSTSTORE_P12 = "truststore.p12"
KEYSTORE_JKS = "keystore.jks"
TRUSTSTORE_JKS = "truststore.jks"
KEY_DER = "key.der"
COMBINED_PEM = "tls-combined.pem"

DEFAULT_ALIAS = "certificate"
MAX_ALIAS_BYTES = 256
MAX_PASSWORD_BYTES = 1024
"""More than anybody types; what is hashed many times over must not be large."""

# go-pkcs12's, of all profiles: more would make each reader slower, and tools write the password beside the file.
_ROUNDS = 2048
_DES = (pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC, hashes.SHA1())  # noqa: S303 - what readers of the profile know
# RC2 with 40 bits, LegacyRC2's cipher for certificates, protects nothing, and the library has none; all that read it
# read Triple DES, by which the profile hides the key (docs/adr/0038).
PROFILES: Mapping[str, tuple[pkcs12.PBES, hashes.HashAlgorithm]] = {
    "": _DES,
    "LegacyRC2": _DES,
    "LegacyDES": _DES,
    "Modern2023": (pkcs12.PBES.PBESv2SHA256AndAES256CBC, hashes.SHA256()),
}


NO_PASSWORD = "KeystorePassword"  # noqa: S105 - a condition's reason
NO_KEYSTORE = "KeystoreFailed"


class NoKeystore(Exception):
    """A keystore that the spec asks for can't be made; the message names the field and the remedy, never a password.

    `reason` says whether it is for want of a password, or for what is to go into it.
    """

    def __init__(self, message: str, reason: str = NO_PASSWORD) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Passwords:
    """The passwords of the keystores that a spec asks for; None for one that is not asked for."""

    pkcs12: str | None = field(default=None, repr=False)
    jks: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Material:
    """What goes into keystores: the key, and PEM as it stands in tls.key, tls.crt and ca.crt."""

    key: PrivateKey = field(repr=False)
    key_pem: bytes = field(repr=False)
    chain: bytes
    ca: bytes


def wanted_stores(spec: CertificateSpec) -> tuple[Pkcs12Keystore | None, JksKeystore | None]:
    """The keystores that are to be made, with their settings."""
    stores = spec.keystores or Keystores()
    p12, jks = stores.pkcs12, stores.jks
    return (p12 if p12 is not None and p12.create else None), (jks if jks is not None and jks.create else None)


def store_names(spec: CertificateSpec, *, with_ca: bool) -> tuple[str, ...]:
    """Name the entries of the Secret that hold keystores; truststores only where a CA is known."""
    p12, jks = wanted_stores(spec)
    names = ((KEYSTORE_P12, TRUSTSTORE_P12) if p12 else (), (KEYSTORE_JKS, TRUSTSTORE_JKS) if jks else ())
    return tuple(name for key_store, *trust in filter(None, names) for name in (key_store, *(trust if with_ca else ())))


def password_secrets(spec: CertificateSpec) -> tuple[str, ...]:
    """Name the Secrets that hold passwords."""
    refs = [store.password_secret_ref for store in wanted_stores(spec) if store is not None]
    return tuple(sorted({ref.name for ref in refs if ref is not None and ref.name}))


def read_passwords(spec: CertificateSpec, found: Mapping[str, Secret]) -> Passwords:
    """Find the passwords of the keystores that are asked for. Raises NoKeystore."""
    p12, jks = wanted_stores(spec)
    return Passwords(
        _password("spec.keystores.pkcs12", p12.password_secret_ref, p12.password, found) if p12 else None,
        _password("spec.keystores.jks", jks.password_secret_ref, jks.password, found) if jks else None,
    )


def _password(where: str, ref: KeystorePassword | None, literal: str | None, found: Mapping[str, Secret]) -> str:
    if ref is None or not ref.name:
        return literal or ""
    where = f"{where}.passwordSecretRef"
    if ref.name not in found:
        raise NoKeystore(f"{where}: Secret {ref.name} does not exist; create it with the password under {ref.key!r}")
    if too_large := found[ref.name].too_large:
        raise NoKeystore(f"{where}: Secret {ref.name} {too_large}; make it smaller")
    data = found[ref.name].data.get(ref.key, b"")
    if not data:
        raise NoKeystore(f"{where}: Secret {ref.name} has nothing under {ref.key!r}; put the password there")
    if why := password_problem(data):
        raise NoKeystore(f"{where}: Secret {ref.name}, entry {ref.key!r}: {why}")
    return data.decode()


def password_problem(data: bytes) -> str:
    """Say why this can be no keystore's password; "" when it can. Never a byte of it."""
    if len(data) > MAX_PASSWORD_BYTES:
        return f"a password of {len(data)} bytes; at most {MAX_PASSWORD_BYTES} are accepted"
    try:
        text = data.decode()
    except UnicodeDecodeError:
        # Plain letters that were written under `data` decode to such bytes.
        plain = base64.b64encode(data).isalnum()
        hint = ": if it was written under data, which is base64, write it under stringData" if plain else ""
        return f"the password is not UTF-8 text{hint}"
    # PKCS#12 writes it in 16 bits a character, where this has none.
    return "the password has characters beyond 16 bits or NUL" if any(not 0 < ord(c) <= 0xFFFF for c in text) else ""


def mark(spec: CertificateSpec, passwords: Passwords, material: Material, stores: Mapping[str, bytes]) -> str:
    """Name what these keystores hold, and that they are those: the same name means that nothing is to be written."""
    p12, jks = wanted_stores(spec)
    parts = [
        material.chain,
        material.ca,
        b"" if p12 is None else f"p12 {p12.profile or 'LegacyRC2'}".encode(),
        b"" if jks is None else f"jks {_alias(jks)}".encode(errors="replace"),
        (passwords.pkcs12 or "").encode(),
        (passwords.jks or "").encode(),
        *(part for name in sorted(stores) for part in (name.encode(), stores[name])),
    ]
    found = hmac.new(material.key_pem, digestmod=hashlib.sha256)
    for part in parts:
        found.update(len(part).to_bytes(8, "big") + part)
    return found.hexdigest()


def write_keystores(spec: CertificateSpec, passwords: Passwords, material: Material, salt: bytes) -> dict[str, bytes]:
    """Make the keystores that are asked for, by the name of their entry; `salt` has SALT_BYTES of chance. Raises NoKeystore for a chain that is none."""
    chain, cas = _certificates("tls.crt", material.chain), _certificates("ca.crt", material.ca)
    if not chain:
        raise NoKeystore("spec.keystores: tls.crt is empty", NO_KEYSTORE)
    p12, jks = wanted_stores(spec)
    stores: dict[str, bytes] = {}
    try:
        if p12 is not None:
            _pkcs12(stores, p12, passwords.pkcs12 or "", material.key, chain, cas)
        if jks is not None:
            _jks(stores, jks, (passwords.jks or "", salt), material.key, chain, cas)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The library's words are left out: they may quote what it was given.
        raise NoKeystore(
            "spec.keystores: no keystore can be made of this key and these certificates", NO_KEYSTORE
        ) from None
    return stores


def _certificates(name: str, text: bytes) -> list[x509.Certificate]:
    if not text:
        return []
    if len(text) > loading.MAX_TEXT:
        raise NoKeystore(f"spec.keystores: {name} has {len(text)} bytes, too many for a keystore", NO_KEYSTORE)
    try:
        return loading.certificates(text)
    except loading.Unreadable:
        raise NoKeystore(f"spec.keystores: {name} holds what is no certificate", NO_KEYSTORE) from None


def _pkcs12(
    stores: dict[str, bytes],
    store: Pkcs12Keystore,
    password: str,
    key: PrivateKey,
    chain: Sequence[x509.Certificate],
    cas: Sequence[x509.Certificate],
) -> None:
    cipher, digest = PROFILES[store.profile]

    def protection() -> serialization.KeySerializationEncryption:
        builder = serialization.PrivateFormat.PKCS12.encryption_builder()
        return builder.kdf_rounds(_ROUNDS).key_cert_algorithm(cipher).hmac_hash(digest).build(password.encode())

    others = _once([*chain[1:], *cas], without=chain[0])
    stores[KEYSTORE_P12] = pkcs12.serialize_key_and_certificates(None, key, chain[0], others or None, protection())
    if cas:
        trusted = [pkcs12.PKCS12Certificate(one, name.encode()) for name, one in _aliases(cas, taken="")]
        stores[TRUSTSTORE_P12] = pkcs12.serialize_java_truststore(trusted, protection())


def _jks(
    stores: dict[str, bytes],
    store: JksKeystore,
    secret: tuple[str, bytes],
    key: PrivateKey,
    chain: Sequence[x509.Certificate],
    cas: Sequence[x509.Certificate],
) -> None:
    private = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    password, salt = secret
    made, alias = chain[0].not_valid_before_utc, _alias(store)
    entry = (alias, private, [_der(one) for one in chain])
    trusted = [(name, _der(one)) for name, one in _aliases(cas, taken=alias.lower())]
    stores[KEYSTORE_JKS] = write_jks(password, key=entry, trusted=trusted, made=made, salt=salt)
    if cas:
        trusted = [(name, _der(one)) for name, one in _aliases(cas, taken="")]
        stores[TRUSTSTORE_JKS] = write_jks(password, key=None, trusted=trusted, made=made, salt=salt)


def _alias(store: JksKeystore) -> str:
    return DEFAULT_ALIAS if store.alias is None else store.alias


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def _once(found: Sequence[x509.Certificate], without: x509.Certificate) -> list[x509.Certificate]:
    """Each certificate once: a self-signed one is its own CA."""
    kept: list[x509.Certificate] = []
    for one in found:
        if one != without and one not in kept:
            kept.append(one)
    return kept


def _aliases(cas: Sequence[x509.Certificate], *, taken: str) -> list[tuple[str, x509.Certificate]]:
    """Name CAs as cert-manager does in a JKS: ca, ca-1, ca-2. The key's own name stays the key's."""
    named = [("ca" if index == 0 else f"ca-{index}", one) for index, one in enumerate(cas)]
    return [(f"{name}-trusted" if name == taken else name, one) for name, one in named]


def output_formats(spec: CertificateSpec, key_pem: bytes, chain: bytes) -> dict[str, bytes]:
    """Write what additionalOutputFormats asks for: the key in DER as it is encoded in tls.key, or key and chain in one."""
    makers: dict[str, tuple[str, Callable[[], bytes]]] = {
        "DER": (KEY_DER, lambda: pem.read_blocks(key_pem)[0][1]),
        "CombinedPEM": (COMBINED_PEM, lambda: key_pem + b"\n" + chain),
    }
    return {name: make() for name, make in (makers[one.type] for one in spec.additional_output_formats)}
