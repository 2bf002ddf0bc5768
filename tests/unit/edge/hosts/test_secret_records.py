"""Which Secret a record means: a UID, or a key pair where the UID could not be noted."""

import msgspec
import pytest

from signer.api.certificaterequest import CertificateRequest
from signer.api.hostclaim import SecretRecord
from signer.api.secret import Secret
from signer.api.tls_secret import key_pair, public_key_hash
from signer.edge.hosts.secret_records import answers, proves
from tests import pki

CA = pki.CA("issued", now=pki.ANY_TIME)
PAIR = {"tls.crt": CA.pem, "tls.key": CA.key_pem}
HASH = public_key_hash(CA.certificate)


def secret(uid: str = "u", data: dict[str, bytes] | None = None) -> Secret:
    found: Secret = msgspec.convert({"metadata": {"name": "tls", "namespace": "foo", "uid": uid}}, Secret)
    return msgspec.structs.replace(found, data=data or {})


def record(**fields: str) -> SecretRecord:
    return SecretRecord(namespace="foo", name="tls", **fields)


@pytest.mark.parametrize(
    ("noted", "found", "expected"),
    [
        (record(uid="u"), secret("u"), True),
        (record(uid="u"), secret("other", PAIR), False),
        (record(uid="u", public_key=HASH), secret("other", PAIR), False),
        (record(public_key=HASH), secret("any", PAIR), True),
        (record(public_key=HASH), secret("any", (PAIR | {"tls.key": b""})), False),
        (record(public_key=HASH), secret("any", (PAIR | {"tls.key": pki.key_pem(pki.key("p256", 7))})), False),
        (record(public_key="0" * 64), secret("any", PAIR), False),
        (record(), secret("", PAIR), False),
        (record(), secret(""), False),
    ],
)
def test_proves(noted: SecretRecord, found: Secret, *, expected: bool) -> None:
    """A noted UID is all that counts; before it is noted, the announced key and its private key do; nothing proves nothing."""
    assert proves(noted, found) == expected


@pytest.mark.parametrize("data", [{}, {"tls.crt": b"x", "tls.key": b"y"}, {"tls.crt": CA.pem}])
def test_no_key_pair(data: dict[str, bytes]) -> None:
    """What is not a key pair names none, and raises nothing."""
    assert key_pair(secret(data=data)) is None


def test_answers() -> None:
    """A request answers for a key when its certificate is for it; one without a certificate for none."""
    metadata = {"metadata": {"name": "tls-1", "namespace": "foo"}, "spec": {}}
    request: CertificateRequest = msgspec.convert(metadata, CertificateRequest)
    issued = msgspec.structs.replace(request.status, certificate=CA.pem)
    assert not answers(request, HASH)
    filled: CertificateRequest = msgspec.convert(metadata | {"status": msgspec.to_builtins(issued)}, CertificateRequest)
    assert answers(filled, HASH)
    assert not answers(filled, "0" * 64)
