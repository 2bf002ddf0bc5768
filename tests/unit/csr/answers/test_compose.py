"""An answer is the bytes that are written and the audit lines that tell of it."""

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509

from issuers.errors import SigningFailed
from signer.api.certificatesigningrequest import CertificateSigningRequest, read_certificate, read_content, read_object
from signer.csr.answers.compose import Answer, audit_line, issue, refuse
from signer.csr.evaluate import Circumstances, case_of, evaluate
from signer.csr.outcome import NOTHING_ASKED, Issue
from signer.observe.audit import AuditLine
from signer.observe.printable import printable
from signer.tenancy.verdict import Limits, Reason, Refuse
from signer.tenancy.world import without_wall
from tests.fakes.envelopes import unwrap
from tests.pki import csr, key, name, spiffe
from tests.unit.csr.crafted import FOO, FOO_SIGNER, ISTIOD, NOW, authority, ca, ready, request

SERIAL = 0xC0FFEE
REFUSAL = Refuse((Reason("InvalidDuration", "too short"), Reason("Other", "and\x1b[31m odd")))


def verdict(asked: CertificateSigningRequest | None = None) -> Issue:
    world = without_wall()
    case = case_of(read_content(asked or request()), FOO, ready(), NOTHING_ASKED, world)
    found = evaluate(case, Circumstances(Limits(), world, "cert-manager", NOW))
    assert isinstance(found, Issue)
    return found


def answer() -> Answer:
    return issue(request(), verdict(), serial=SERIAL)


class TestIssue:
    def test_what_is_stored(self) -> None:
        """The body stores exactly the chain that was signed: leaf first, without the self-signed root."""
        made = answer()
        after = read_object(unwrap(made.body).raw)
        assert read_certificate(after) == made.pem
        (leaf,) = x509.load_pem_x509_certificates(made.pem)
        assert leaf.serial_number == SERIAL == made.serial
        leaf.verify_directly_issued_by(ca().certificate)
        assert leaf.not_valid_before_utc == NOW
        assert leaf.not_valid_after_utc == NOW + timedelta(days=1)
        assert made.lifetime == 86400
        assert made.requester == ISTIOD
        assert not made.refused

    def test_self_signed(self) -> None:
        """Without a CA the request's own key signs."""
        own = key("p256", n=79)
        asked = request(request=csr(own, subject=name("own"), dns=["own.example"]))
        found = verdict(asked)
        made = issue(asked, Issue(found.template, None, found.grant, key=own), serial=SERIAL)
        (leaf,) = x509.load_pem_x509_certificates(made.pem)
        leaf.verify_directly_issued_by(leaf)
        assert made.requester == ""

    def test_a_ca_that_signs_wrongly(self) -> None:
        """What was signed but is not what was decided raises, and nothing is stored."""
        broken = replace(authority(), algorithm=b"\x30\x80")
        with pytest.raises(SigningFailed, match="what was signed"):
            issue(request(), replace(verdict(), authority=broken), serial=SERIAL)


class TestRefuse:
    def test_what_is_stored(self) -> None:
        """The body stores the condition Failed; there is no certificate and no serial number."""
        made = refuse(request(), REFUSAL, requester=ISTIOD, now=NOW)
        after = read_object(unwrap(made.body).raw)
        assert after.conditions == {"Approved", "Failed"}
        assert b"too short; and\xef\xbf\xbd[31m odd" in after.raw
        assert (made.pem, made.serial, made.lifetime) == (b"", 0, 0)
        assert made.refused

    def test_a_message_without_end(self) -> None:
        """A message that a requester made long is cut, so that it does not fill etcd."""
        long = Refuse((Reason("SigningError", "x" * 1_000_000),))
        assert len(refuse(request(), long, requester="", now=NOW).body) < 4000


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a\nb\tc\x00d\x7f", "a�b�c�d�"),
        ("\u202egnp.exe", "�gnp.exe"),
        ("\ud800", "�"),
        ("é ¶ 中", "é ¶ 中"),
        ("x" * 1024, "x" * 1024),
        ("x" * 1025, "x" * 1023 + "…"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    """Control, bidirectional and broken characters are replaced, and more than 1024 characters are cut."""
    assert printable(text) == shown


class TestAudit:
    def test_intent_of_a_certificate(self) -> None:
        """The intent tells who gets what from which key, for how long."""
        made = answer()
        assert audit_line(made, now=NOW) == AuditLine(
            time="2026-11-22T12:00:00.000Z",
            audit="intent",
            uid="uid-1",
            name="request-1",
            verdict="issue",
            signer=FOO_SIGNER,
            requester=ISTIOD,
            identity=spiffe("foo"),
            names=("subject:O=", f"uri:{spiffe('foo')}"),
            serial="c0ffee",
            lifetime=86400,
            ca_key=authority().key_id,
        )

    def test_outcome_of_a_certificate(self) -> None:
        """The outcome is the same line with what became of it."""
        line = audit_line(answer(), now=NOW, outcome="conflict", message="changed")
        assert (line.audit, line.outcome, line.message, line.serial) == ("outcome", "conflict", "changed", "c0ffee")

    def test_refusal(self) -> None:
        """A refusal tells all its reasons, in printable characters."""
        made = refuse(request(), REFUSAL, requester=ISTIOD, now=NOW)
        line = audit_line(made, now=NOW, outcome="refused", message="m")
        assert line == AuditLine(
            time="2026-11-22T12:00:00.000Z",
            audit="outcome",
            uid="uid-1",
            name="request-1",
            verdict="refuse",
            signer=FOO_SIGNER,
            requester=ISTIOD,
            reasons=["InvalidDuration: too short", "Other: and�[31m odd"],
            outcome="refused",
            message="m",
        )
        assert audit_line(made, now=NOW).audit == "intent"
