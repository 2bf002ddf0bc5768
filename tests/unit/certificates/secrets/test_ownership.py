"""Whose Secret is it: what is not for a Certificate is never overwritten."""

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.certificate import Certificate
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
        ({"type": "Opaque"}, "SecretTypeMismatch"),
        ({"type": "Opaque", "data": {"password": "YQ=="}}, "SecretTypeMismatch"),
        ({"type": "Opaque", "data": {"tls.key": "YQ=="}}, "SecretTypeMismatch"),
        ({"type": "kubernetes.io/service-account-token", "data": {}}, "SecretTypeMismatch"),
        ({"type": "kubernetes.io/service-account-token", "note": "other"}, "SecretTypeMismatch"),
        ({"type": "bootstrap.kubernetes.io/token", "data": {}}, "SecretTypeMismatch"),
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


ENTRIES = st.sampled_from(["tls.crt", "tls.key", "ca.crt", "password", "x" * 200, "keystore.p12"])


@given(
    kind=st.sampled_from(["kubernetes.io/tls", "Opaque", "kubernetes.io/dockerconfigjson", "helm.sh/release.v1"]),
    data=st.dictionaries(ENTRIES, st.sampled_from([b"", b"x"])),
)
def test_what_is_refused_says_the_way_on(kind: str, data: dict[str, bytes]) -> None:
    """Of each Secret that is refused: where the annotation hands it over the message names it, and with it nothing is in the way."""
    certificate = samples.certificate()
    there = {name: base64.b64encode(value).decode() for name, value in data.items()}
    found = foreign_defect(certificate, secret(type=kind, data=there), own_key=False)
    handed = foreign_defect(certificate, secret(type=kind, data=there, note="other"), own_key=False)
    if kind in ("kubernetes.io/tls", "Opaque"):
        assert handed is None
        assert found is None or f"with the annotation {NAME}=leaf" in found.message
    else:
        assert handed is not None
        assert found is not None
        assert NAME not in found.message
    if kind == "Opaque" and any(data.values()):
        assert found is not None
        assert all(name[:80] in found.message for name, value in data.items() if value)


@pytest.mark.parametrize("kind", ["kubernetes.io/tls", "Opaque"])
def test_taken_over(kind: str) -> None:
    """An empty Secret and one of a Certificate that no longer uses it are taken over, also where the type is Opaque."""
    for data in ({}, {"tls.crt": "", "tls.key": ""}):
        empty = secret(data=data, type=kind)
        assert foreign_defect(samples.certificate(), empty, own_key=False) is None
    assert foreign_defect(samples.certificate(), secret(note="other", type=kind), own_key=False) is None


def test_brought_key() -> None:
    """A key alone may be brought along where the policy keeps keys, and only there."""
    never = samples.certificate(privateKey={"rotationPolicy": "Never"})
    for kind in ("kubernetes.io/tls", "Opaque"):
        key_only = secret(data={"tls.crt": "", "tls.key": "YQ=="}, type=kind)
        assert foreign_defect(never, key_only, own_key=False) is None
    assert foreign_defect(never, secret(), own_key=False) is not None


def named(name: str, made: str) -> Certificate:
    found = samples.certificate()
    return msgspec.structs.replace(
        found, metadata=msgspec.structs.replace(found.metadata, name=name, creation_timestamp=made)
    )


NAMES = st.sampled_from(["a", "b", "c", "d"])


@given(
    made=st.dictionaries(NAMES, st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]), min_size=1),
    note=st.none() | NAMES,
    there=st.booleans(),
)
def test_one_of_all_has_it(made: dict[str, str], note: str | None, there: bool) -> None:
    """Of all Certificates that name a Secret just one has it: whose name is on it, else the oldest; it is named to the rest."""
    everybody = [named(name, when) for name, when in made.items()]
    found = secret(note=note) if there else None
    defects = {
        one.metadata.name: duplicate_defect(one, [other for other in everybody if other is not one], found)
        for one in everybody
    }
    owner = note if there and note in made else min(made, key=lambda name: (made[name], name))
    assert [name for name, defect in defects.items() if defect is None] == [owner]
    for defect in filter(None, defects.values()):
        assert defect.reason == "DuplicateSecretName"
        assert f"Secret leaf is Certificate {owner}'s" in defect.message


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
