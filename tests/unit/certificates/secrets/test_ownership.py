"""Whose Secret is it: what is not for a Certificate is never overwritten."""

from typing import Any

import msgspec
import pytest

from signer.api.secret import Secret
from signer.certificates.secrets.ownership import duplicate_defect, foreign_defect, holds, keeps_key
from tests.unit.certificates import samples

NAME = "cert-manager.io/certificate-name"


def secret(**changes: Any) -> Secret:
    """The sample, without the note whose it is unless `note` gives one."""
    base = samples.secret_json()
    note = changes.pop("note", None)
    base["metadata"]["annotations"] = {NAME: note} if note else {}
    return msgspec.convert(base | changes, Secret)


def test_ours() -> None:
    """A Secret that names the Certificate is its own, of whatever type; a missing one is not an obstacle."""
    certificate = samples.certificate()
    assert holds(certificate, secret(note="leaf"))
    assert foreign_defect(certificate, secret(note="leaf"), own_key=False) is None
    assert foreign_defect(certificate, secret(note="leaf", type="Opaque"), own_key=False) is None
    assert foreign_defect(certificate, None, own_key=False) is None
    assert not holds(certificate, None)
    assert not holds(certificate, secret(note="other"))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "SecretNotOwned"),
        ({"data": {"tls.crt": "YQ==", "tls.key": ""}}, "SecretNotOwned"),
        ({"data": {"tls.crt": "", "tls.key": "YQ=="}}, "SecretNotOwned"),
        ({"type": "Opaque", "data": {}}, "SecretTypeMismatch"),
        ({"type": "Opaque", "note": "other"}, "SecretTypeMismatch"),
    ],
)
def test_foreign(changes: dict[str, Any], reason: str) -> None:
    """Data that nobody says is ours, and another type, stop the Certificate."""
    found = foreign_defect(samples.certificate(), secret(**changes), own_key=False)
    assert found is not None
    assert found.reason == reason


def test_pinned() -> None:
    """Where the Certificate names its Secret's UID, no other is written, whatever that says; one with our key is ours."""
    found = samples.certificate()
    meta = msgspec.structs.replace(found.metadata, annotations={"mesh-signer.dev/secret-uid": "one"})
    pinned = msgspec.structs.replace(found, metadata=meta)
    for uid, expected in (("one", True), ("two", False)):
        there = msgspec.convert(
            samples.secret_json() | {"metadata": {"name": "leaf", "uid": uid, "annotations": {NAME: "leaf"}}}, Secret
        )
        assert holds(pinned, there) == expected
        assert (foreign_defect(pinned, there, own_key=False) is None) == expected
        assert foreign_defect(pinned, there, own_key=True) is None


def test_own_key() -> None:
    """A Secret with the key that we asked with is ours even when its annotations were removed."""
    assert foreign_defect(samples.certificate(), secret(), own_key=True) is None


def test_taken_over() -> None:
    """An empty Secret and one of a Certificate that no longer uses it are taken over."""
    empty = secret(data={"tls.crt": "", "tls.key": ""})
    assert foreign_defect(samples.certificate(), empty, own_key=False) is None
    assert foreign_defect(samples.certificate(), secret(note="other"), own_key=False) is None


def test_brought_key() -> None:
    """A key alone may be brought along where the policy keeps keys, and only there."""
    key_only = secret(data={"tls.crt": "", "tls.key": "YQ=="})
    never = samples.certificate(privateKey={"rotationPolicy": "Never"})
    assert foreign_defect(never, key_only, own_key=False) is None
    assert foreign_defect(never, secret(), own_key=False) is not None


def test_duplicates() -> None:
    """Rivals are named; none is not a defect."""
    assert duplicate_defect(samples.certificate(), set()) is None
    found = duplicate_defect(samples.certificate(), {"b", "a"})
    assert found is not None
    assert "a, b" in found.message
    assert found.reason == "DuplicateSecretName"


def test_many_duplicates() -> None:
    """Three rivals are all named; of more, the first three are, and the text is the same however many there are."""
    three, four, many = (
        duplicate_defect(samples.certificate(), {f"c{number:04}" for number in range(count)}) for count in (3, 4, 1000)
    )
    assert three is not None
    assert "Certificate c0000, c0001, c0002;" in three.message
    assert four is not None
    assert "Certificate c0000, c0001, c0002 and others;" in four.message
    assert many == four


@pytest.mark.parametrize(
    ("is_ca", "policy", "kept"),
    [
        (True, "", True),
        (True, "Always", False),
        (True, "Never", True),
        (False, "", False),
        (False, "Always", False),
        (False, "Never", True),
    ],
)
def test_keeps_key(is_ca: bool, policy: str, kept: bool) -> None:
    """Unset means Never for a CA and Always for all others; what is set counts."""
    assert keeps_key(samples.certificate(isCA=is_ca, privateKey={"rotationPolicy": policy})) is kept
    if not policy:
        assert keeps_key(samples.certificate(isCA=is_ca, privateKey=None)) is kept
