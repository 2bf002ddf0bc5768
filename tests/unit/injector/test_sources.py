"""What the controllers answer to the CA injector: a CA only where all that must be so is so, else one reason, never a key."""

import base64
import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.casource import CASource, CASourceSpec, CASourceStatus
from signer.api.certificate import Certificate
from signer.injector.bundle import MAX_BYTES, MAX_CERTIFICATES, defect_of
from signer.injector.sources.judge import SourceSecret, answer, body, bound, secret_of, slim
from tests import pki

CA = pki.CA("ca", now=pki.ANY_TIME).pem
OTHER = pki.CA("other", now=pki.ANY_TIME).pem
KEY = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
OWNER = "cert-manager.io/certificate-name"
ALLOW = "cert-manager.io/allow-direct-injection"

FROM_CERTIFICATE = CASourceSpec(kind="Certificate", namespace="a", name="serving")
FROM_SECRET = CASourceSpec(kind="Secret", namespace="a", name="tls")


def certificate(ready: str | None, **spec: Any) -> Certificate:
    conditions = [{"type": "Ready", "status": ready, "reason": "R", "message": "because"}] if ready else []
    fields = {"secretName": "tls", "issuerRef": {"name": "i"}} | spec
    return msgspec.convert(
        {"metadata": {"name": "serving", "namespace": "a"}, "spec": fields, "status": {"conditions": conditions}},
        Certificate,
    )


def secret(text: bytes | None, **annotations: str) -> SourceSecret:
    data = {"tls.key": base64.b64encode(KEY).decode(), "tls.crt": base64.b64encode(OTHER).decode()}
    if text is not None:
        data["ca.crt"] = base64.b64encode(text).decode()
    raw = {"metadata": {"name": "tls", "namespace": "a", "annotations": {"other": "x"} | annotations}, "data": data}
    return slim(msgspec.json.decode(msgspec.json.encode(raw), type=SourceSecret))


CERTIFICATES = {
    "CertificateNotFound": None,
    "CertificateNotReady": certificate("False"),
    "CertificateNotReady ": certificate("Unknown"),
    "CertificateNotReady  ": certificate(None),
    "CertificateNotReady   ": certificate("True", secretName=5),
    "": certificate("True"),
}
OWNERS = {"SecretNotOwned": "another", "SecretNotOwned ": None, "": "serving"}
ALLOWED = {"InjectionNotAllowed": "false", "InjectionNotAllowed ": None, "InjectionNotAllowed  ": "True", "": "true"}
TEXTS = {"NoCA": None, "NoCA ": b"", "InvalidCA": b"someca", "InvalidCA ": CA + KEY, "": CA + OTHER}


def expected(*faults: str) -> str:
    """The first fault of those that there are, in the order of the checks; Available when there is none."""
    return next((fault.strip() for fault in faults if fault), "Available")


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("owner", OWNERS)
@pytest.mark.parametrize("state", CERTIFICATES)
def test_every_state_of_a_certificate(state: str, owner: str, text: str) -> None:
    """A Certificate's CA is given when it exists, is Ready, and its own Secret has certificates; else the first reason."""
    annotations = {} if OWNERS[owner] is None else {OWNER: str(OWNERS[owner])}
    for allowed in ({}, {ALLOW: "true"}):  # of no consequence here
        found = answer(FROM_CERTIFICATE, CERTIFICATES[state], secret(TEXTS[text], **annotations, **allowed))
        assert found.reason == expected(state, owner, text)
        assert (found.ca_bundle != b"") == (found.reason == "Available")
    missing = answer(FROM_CERTIFICATE, CERTIFICATES[state], None)
    assert missing.reason == expected(state, "SecretNotFound")


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("allowed", ALLOWED)
def test_every_state_of_a_secret(allowed: str, text: str) -> None:
    """A Secret's CA is given when the Secret says so, and has certificates; whose Certificate's it is counts for nothing."""
    annotations = {} if ALLOWED[allowed] is None else {ALLOW: str(ALLOWED[allowed])}
    for owner in ({}, {OWNER: "another"}):
        found = answer(FROM_SECRET, None, secret(TEXTS[text], **annotations, **owner))
        assert found.reason == expected(allowed, text)
        assert found.ca_bundle == (CA + OTHER if found.reason == "Available" else b"")
    assert answer(FROM_SECRET, None, None).reason == "SecretNotFound"


def test_no_key_is_kept_or_told() -> None:
    """Of a Secret only ca.crt is kept, and nothing of its data shows where objects are printed."""
    kept = secret(CA, **{OWNER: "serving"})
    assert set(kept.data) == {"ca.crt"}
    assert set(kept.metadata.annotations) == {OWNER}
    assert "CERTIFICATE" not in repr(kept)
    for spec, text in itertools.product((FROM_CERTIFICATE, FROM_SECRET), (KEY, CA + KEY, KEY + CA)):
        found = answer(spec, certificate("True"), secret(text, **{OWNER: "serving", ALLOW: "true"}))
        assert b"PRIVATE" not in found.ca_bundle
        assert "AAAA" not in found.message


def test_which_secret() -> None:
    """The Secret that counts is the Certificate's, or the one that is named."""
    assert secret_of(FROM_CERTIFICATE, certificate("True")) == "tls"
    assert secret_of(FROM_CERTIFICATE, certificate("True", secretName=5)) == ""
    assert secret_of(FROM_CERTIFICATE, None) == ""
    assert secret_of(FROM_SECRET, None) == "tls"


def test_an_answer_is_what_is_read_again() -> None:
    """What is written into a status is what the injector reads there; an answer that is gone leaves no bundle behind."""
    for status in (
        CASourceStatus(ca_bundle=CA, reason="Available", message="m"),
        CASourceStatus(ca_bundle=CA, reason="Available", message="m", namespace_uid="u"),
        CASourceStatus(reason="NoCA", message="m"),
    ):
        written = body(status, "7")["status"]
        stored = {key: value for key, value in written.items() if value is not None}
        assert msgspec.json.decode(msgspec.json.encode(stored), type=CASourceStatus) == status
        assert "caBundle" in written


@pytest.mark.parametrize("first", ["", "one", "two"])
@pytest.mark.parametrize("reason", ["Available", "SecretNotFound", "NamespaceRemade"])
@pytest.mark.parametrize("now", ["one", "two"])
def test_a_namespace_is_its_uid(first: str, reason: str, now: str) -> None:
    """The first namespace that gives a CA is the one; what it was is kept whatever happens, and no other gives any."""
    before = CASourceStatus(reason=reason, message="m", namespace_uid=first)
    raw = {"metadata": {"name": "s"}, "spec": msgspec.to_builtins(FROM_SECRET)}
    source = msgspec.convert(raw | {"status": body(before, "1")["status"] | {"caBundle": ""}}, CASource)
    gone = bound(answer(FROM_SECRET, None, None), source, now)
    assert (gone.reason, gone.namespace_uid) == ("SecretNotFound", first)
    found = bound(answer(FROM_SECRET, None, secret(CA, **{ALLOW: "true"})), source, now)
    if first in ("", now):
        assert (found.reason, found.ca_bundle, found.namespace_uid) == ("Available", CA, now)
    else:
        assert (found.reason, found.ca_bundle, found.namespace_uid) == ("NamespaceRemade", b"", first)
        assert "namespace a was deleted and made again" in found.message
        assert "delete CASource s" in found.message


GOOD = [CA, OTHER, CA + b"\n# a comment\n" + OTHER, CA.replace(b"\n", b"\r\n")]
BAD = {
    b"": "no PEM block",
    b"someca": "no PEM block",
    b"\xff\xfe": "no PEM block",
    CA[:-20]: "END line",
    CA + KEY: "private key",
    CA + b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n": "CERTIFICATE REQUEST",
    b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n": "cannot be read",
    CA * (MAX_CERTIFICATES + 1): "at most",
    b"#" * (MAX_BYTES + 1): "at most",
    b"# PRIVATE KEY\n" + CA: "private key",
}


@pytest.mark.parametrize("text", GOOD)
def test_bundles(text: bytes) -> None:
    """Certificates, with whatever tools write between them, are a bundle."""
    assert defect_of(text) == ""


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_bundle(text: bytes) -> None:
    """Anything else is none, and why is said in a line."""
    assert BAD[text] in defect_of(text)


@given(
    st.lists(
        st.sampled_from([CA, OTHER]) | st.binary(max_size=60) | st.sampled_from([KEY, b"-----BEGIN ", b"\n"]),
        max_size=5,
    )
)
def test_hostile_texts(parts: list[bytes]) -> None:
    """Whatever stands in ca.crt, it is taken or refused with a printable reason, and never has a key when it is taken."""
    text = b"".join(parts)
    defect = defect_of(text)
    assert defect.isprintable()
    if not defect:
        assert b"PRIVATE KEY" not in text
        assert b"BEGIN CERTIFICATE" in text
