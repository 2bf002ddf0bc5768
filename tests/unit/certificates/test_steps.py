"""The steps of an issuance: names, which request counts, what came of it."""

import base64
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from signer.api.certificate import WAITING
from signer.api.certificaterequest import CertificateRequest
from signer.api.meta import to_rfc3339
from signer.api.secret import Secret
from signer.certificates import steps
from signer.certificates.policies import Facts
from signer.certificates.requests import status as to_status
from signer.certificates.requests.signing import Signed
from signer.certificates.secrets.view import inspect, key_mismatches
from signer.certificates.spec.check import Defect, capped
from signer.certificates.spec.matching import view_request
from tests.unit.certificates import samples
from tests.unit.certificates.samples import Json


def answered(**changes: Any) -> CertificateRequest:
    """The sample request with other status conditions or fields."""
    body = samples.request_json(2)
    body["status"] |= changes
    return msgspec.convert(body, CertificateRequest)


def condition(type_: str, status: str = "True", reason: str = "", message: str = "", when: str | None = None) -> Json:
    found: Json = {"type": type_, "status": status, "reason": reason, "message": message}
    return found | ({"lastTransitionTime": when} if when else {})


APPROVED = condition("Approved")


@pytest.mark.parametrize(
    ("conditions", "state", "reason"),
    [
        ([], "pending", ""),
        ([APPROVED], "pending", ""),
        ([APPROVED, condition("Ready", "False", "Pending")], "pending", "Pending"),
        ([APPROVED, condition("Ready", "True", "Issued")], "issued", ""),
        ([APPROVED, condition("Ready", "False", "Failed")], "failed", "Failed"),
        ([condition("Ready", "False", "Denied")], "failed", "Denied"),
        ([condition("Denied", "True", "Policy")], "failed", "Policy"),
        ([condition("Denied")], "failed", "Denied"),
        ([condition("Denied", "False", "Policy")], "pending", ""),
        ([condition("InvalidRequest", "True", "Bad")], "failed", "Bad"),
        ([condition("Denied", "True", "Policy"), condition("Ready", "True", "Issued")], "failed", "Policy"),
    ],
)
def test_outcome(conditions: list[Json], state: str, reason: str) -> None:
    """Each final state of a request is told apart; a denial counts even beside a certificate."""
    found = steps.outcome(answered(conditions=conditions))
    assert (found.state, found.reason) == (state, reason)


def test_ready_without_a_certificate() -> None:
    """A request that says Ready and brings nothing is not finished."""
    ready = [condition("Ready", "True", "Issued")]
    assert steps.outcome(answered(conditions=ready, certificate="")).state == "pending"


def test_failed_without_a_condition() -> None:
    """A request that has failureTime alone is over, and is asked for anew when its Certificate is tried again."""
    failed = answered(conditions=[APPROVED], failureTime="2026-06-01T10:00:00Z")
    assert steps.outcome(failed).state == "failed"
    began = [condition("Issuing", when="2026-06-01T11:00:00Z")]
    certificate = samples.with_status(samples.certificate(), conditions=began)
    assert steps.obsolete(view_request(failed), certificate, samples.key_view())


@given(
    reason=st.sampled_from(["", "Pending", "Later"]),
    status=st.sampled_from([None, "True", "False", "Unknown"]),
    message=st.sampled_from(["", "in line"]),
    approval=st.none() | st.integers(0, 300),
    made=st.none() | st.integers(0, 300),
    group=st.sampled_from([None, "example.com"]),
)
def test_none_waits_without_a_word(
    reason: str, status: str | None, message: str, approval: int | None, made: int | None, group: str | None
) -> None:
    """Whatever a request that is under way says, after a minute it is known whom it waits for; before that, when to say it."""
    now = samples.NOW
    conditions = [condition("Ready", status, reason, message)] if status is not None else []
    if approval is not None:
        conditions.append(condition("Approved", when=to_rfc3339(now - timedelta(seconds=approval))))
    body = samples.request_json(2)
    body["status"] = {"conditions": conditions}
    body["metadata"]["creationTimestamp"] = to_rfc3339(now - timedelta(seconds=made)) if made is not None else None
    body["spec"]["issuerRef"] = {"name": "x", "kind": "Thing", "group": group} if group else {"name": "x"}
    said, left = steps.unanswered(msgspec.convert(body, CertificateRequest), now)
    assert bool(said) is (left <= timedelta(0))
    if message and status is not None:
        assert said == message
    ages = [age for age in (approval, made) if age is not None]
    assert left <= timedelta(seconds=60)
    assert not left or (ages and min(ages) < 60)
    if said and group and status is None and approval is not None:
        assert "no issuer of group 'example.com' has answered" in said
    assert not said.startswith(WAITING)


def test_which_request() -> None:
    """The present revision's request is current, the newest beyond it is next; those without a number are none."""
    certificate = samples.certificate()
    first, second, third = (samples.request(number) for number in (1, 2, 3))
    bare = msgspec.structs.replace(second, metadata=msgspec.structs.replace(second.metadata, annotations={}))
    assert steps.current_request(certificate, [second, first]) is first
    assert steps.current_request(certificate, [second]) is None
    assert steps.next_request(certificate, [first, third, second]) is third
    assert steps.next_request(certificate, [first, bare]) is None
    assert steps.current_request(samples.with_status(certificate, revision=None), [bare]) is None


@pytest.mark.parametrize("text", ["", "-1", "x", "٣", "1.5", "99999999999"])
def test_revision_is_a_number(text: str) -> None:
    """A revision that is not a number belongs to no issuance."""
    request = samples.request(1)
    notes = {"cert-manager.io/certificate-revision": text}
    changed = msgspec.structs.replace(request, metadata=msgspec.structs.replace(request.metadata, annotations=notes))
    assert steps.revision_of(changed) == 0


@pytest.mark.parametrize(
    ("limit", "present", "gone"),
    [(None, 4, [1, 2, 3]), (1, 4, [1, 2, 3]), (2, 4, [1, 2]), (4, 4, []), (9, 4, []), (1, 2, [1, 3])],
)
def test_history(limit: int | None, present: int, gone: list[int]) -> None:
    """The oldest beyond the limit go, one is the default, and the present one always stays."""
    certificate = samples.with_status(samples.certificate(revisionHistoryLimit=limit), revision=present)
    requests = [samples.request(number) for number in (3, 1, 4, 2)]
    found = steps.superfluous_requests(certificate, requests)
    assert [steps.revision_of(request) for request in found] == gone


ISSUING = condition("Issuing", when="2026-06-01T12:00:00Z")
FAILED = [condition("Ready", "False", "Failed")]


@pytest.mark.parametrize(
    ("status", "spec", "key", "said"),
    [
        ({}, {}, 0, ""),
        ({}, {"dnsNames": ["x.example"]}, 0, "spec.dnsNames"),
        ({}, {}, 1, "key"),
        ({"conditions": FAILED, "failureTime": "2026-06-01T11:59:59Z"}, {}, 0, "earlier attempt"),
        ({"conditions": FAILED, "failureTime": "2026-06-01T12:00:00Z"}, {}, 0, ""),
        ({"conditions": FAILED}, {}, 0, ""),
        ({"conditions": [condition("Denied", when="2026-06-01T11:00:00Z")]}, {}, 0, "earlier attempt"),
        ({"conditions": [condition("Denied", when="2026-06-01T12:30:00Z")]}, {}, 0, ""),
        ({"conditions": [condition("InvalidRequest", when="2026-06-01T11:00:00Z")]}, {}, 0, "earlier attempt"),
        (
            {"conditions": [condition("Ready", "False", "Failed", when="2026-06-01T11:00:00Z")]},
            {},
            0,
            "earlier attempt",
        ),
        ({"failureTime": "2026-06-01T11:00:00Z"}, {}, 0, ""),
    ],
)
def test_obsolete(status: Json, spec: Json, key: int, said: str) -> None:
    """A request is made anew when spec or key changed, or when it failed before this issuance began; else it is kept."""
    certificate = samples.with_status(samples.certificate(**spec), conditions=[ISSUING])
    found = steps.obsolete(view_request(answered(**status)), certificate, samples.key_view(key))
    assert said in found
    assert bool(found) == bool(said)


@pytest.mark.parametrize(("failed", "made_anew"), [("12:59:59", True), ("13:00:00", True), ("13:00:01", False)])
def test_counted_failure(failed: str, made_anew: bool) -> None:
    """What failed before, and is counted, is made anew, though by its clock who began this issuance began it before."""
    certificate = samples.with_status(
        samples.certificate(), conditions=[ISSUING], lastFailureTime="2026-06-01T13:00:00Z"
    )
    request = answered(conditions=FAILED, failureTime=f"2026-06-01T{failed}Z")
    assert bool(steps.obsolete(view_request(request), certificate, samples.key_view(0))) is made_anew


@pytest.mark.parametrize("conditions", [FAILED, [condition("Denied")], [condition("InvalidRequest")]])
@pytest.mark.parametrize(("made", "made_anew"), [("12:59:00", True), ("13:00:01", False)])
def test_counted_failure_without_a_time(conditions: list[Json], made: str, made_anew: bool) -> None:
    """One that was made before the last failure failed in that attempt, though nobody says when."""
    certificate = samples.with_status(
        samples.certificate(), conditions=[ISSUING], lastFailureTime="2026-06-01T13:00:00Z"
    )
    body = samples.request_json(2)
    body["status"] |= {"conditions": conditions}
    body["metadata"]["creationTimestamp"] = f"2026-06-01T{made}Z"
    request = msgspec.convert(body, CertificateRequest)
    assert bool(steps.obsolete(view_request(request), certificate, samples.key_view(0))) is made_anew


def test_unreadable_request_is_obsolete() -> None:
    """A next request that cannot be read is made anew."""
    body = samples.request_json(2)
    body["spec"]["request"] = base64.b64encode(b"junk").decode()
    view = view_request(msgspec.convert(body, CertificateRequest))
    assert steps.obsolete(view, samples.certificate(), samples.key_view())


def facts(now: datetime = samples.NOW, secret: Secret | None = None, **spec: Any) -> Facts:
    """What is there when an answer comes: nothing, or what is in this Secret."""
    view = inspect(secret) if secret is not None else None
    return Facts(samples.certificate(**spec), view, None, now)


def test_issued_leaf() -> None:
    """An answer is stored only when it is a certificate for our key, and valid now."""
    good = steps.issued_leaf(samples.request(), samples.key_view(), facts())
    assert isinstance(good, x509.Certificate)
    junk = answered(certificate=base64.b64encode(b"junk").decode())
    early, late = good.not_valid_before_utc - timedelta(hours=1), good.not_valid_after_utc
    for bad, words in (
        (steps.issued_leaf(samples.request(), samples.key_view(1), facts()), "another public key"),
        (steps.issued_leaf(junk, samples.key_view(), facts()), "invalid certificate"),
        (steps.issued_leaf(samples.request(), samples.key_view(), facts(isCA=True)), "no CA's, and spec.isCA asks"),
        (steps.issued_leaf(samples.request(), samples.key_view(), facts(early)), "not valid before"),
        (steps.issued_leaf(samples.request(), samples.key_view(), facts(late)), "expired on"),
    ):
        assert isinstance(bad, Defect)
        assert bad.reason == "InvalidCertificate"
        assert words in bad.message
    almost = facts(good.not_valid_before_utc - timedelta(minutes=5))
    assert isinstance(steps.issued_leaf(samples.request(), samples.key_view(), almost), x509.Certificate)


def test_an_answer_with_other_names_replaces_nothing_that_is_in_order() -> None:
    """What an issuer made of other names is taken where there is nothing better, and not where there is."""
    other = samples.leaf_pem(base64.b64decode(samples.request_json(dnsNames=["other.example"])["spec"]["request"]))
    request = answered(certificate=base64.b64encode(other).decode())
    assert isinstance(steps.issued_leaf(request, samples.key_view(), facts()), x509.Certificate)
    refused = steps.issued_leaf(request, samples.key_view(), facts(secret=samples.secret()))
    assert isinstance(refused, Defect)
    assert "spec.dnsNames" in refused.message
    gone = facts(samples.NOW + timedelta(days=200), samples.secret())
    late = answered(
        certificate=base64.b64encode(
            samples.leaf_pem(
                base64.b64decode(samples.request_json(dnsNames=["other.example"])["spec"]["request"]), days=400
            )
        ).decode()
    )
    assert isinstance(steps.issued_leaf(late, samples.key_view(), gone), x509.Certificate)


def test_names_are_stable_and_short() -> None:
    """Names follow from the Certificate alone, fit into 253 characters, and differ for long names that differ late."""
    certificate = samples.certificate()
    assert steps.request_name(certificate, 3) == "leaf-3"
    assert steps.key_secret_name(certificate) == steps.key_secret_name(samples.certificate())
    later = samples.with_status(certificate, revision=2)
    assert steps.key_secret_name(later) != steps.key_secret_name(certificate)
    named = samples.with_status(certificate, nextPrivateKeySecretName="given")
    assert steps.key_secret_name(named) == "given"
    found = set()
    for last in "ab":
        meta = msgspec.structs.replace(certificate.metadata, name="n" * 252 + last)
        long = msgspec.structs.replace(certificate, metadata=meta)
        found |= {steps.request_name(long, 123456), steps.key_secret_name(long)}
        assert all(len(name) <= 253 for name in found)
    assert len(found) == 4
    other = msgspec.structs.replace(certificate, metadata=msgspec.structs.replace(certificate.metadata, uid="another"))
    assert steps.key_secret_name(other) != steps.key_secret_name(certificate)


def test_request_body() -> None:
    """A request carries the wish, the notes that issuers and tools look for, and its owner."""
    body = steps.request_body(samples.certificate(isCA=True), 2, b"csr", "keys")
    assert body["metadata"]["annotations"] == {
        "cert-manager.io/certificate-name": "leaf",
        "cert-manager.io/certificate-revision": "2",
        "cert-manager.io/private-key-secret-name": "keys",
    }
    assert body["metadata"]["ownerReferences"][0]["uid"] == "uid-leaf"
    assert body["spec"] == {
        "request": b"csr",
        "issuerRef": samples.SPEC["issuerRef"],
        "duration": "2160h",
        "isCA": True,
        "usages": samples.SPEC["usages"],
    }


def test_key_secret_body() -> None:
    """The next key's Secret is labelled and owned, so that it is found again and never outlives its Certificate."""
    body = steps.key_secret_body(samples.certificate(), "keys", b"pem")
    assert body["metadata"]["labels"]["cert-manager.io/next-private-key"] == "true"
    assert body["metadata"]["labels"]["controller.cert-manager.io/fao"] == "true"
    assert body["metadata"]["ownerReferences"][0]["controller"] is True
    assert body["data"] == {"tls.key": b"pem"}


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"algorithm": "RSA"}, "spec.privateKey.algorithm"),
        ({"algorithm": "ECDSA", "size": 521}, "spec.privateKey.size"),
        ({"algorithm": "ECDSA"}, ""),
    ],
)
def test_key_mismatches(spec: Json, field: str) -> None:
    """A key is held against algorithm and size, with their defaults."""
    assert "".join(key_mismatches(samples.key_view(), samples.certificate(privateKey=spec).spec)) == field


@pytest.mark.parametrize(
    ("duration", "cut"),
    [
        (None, False),
        ("2160h", False),
        ("2160h30m", False),
        ("2159h", False),
        ("2162h", True),
        ("87600h", True),
        ("soon", False),
    ],
)
def test_a_lifetime_that_was_cut(duration: str | None, cut: bool) -> None:
    """A certificate of fewer days than its spec asks for is told with the field and its end; rounding is not."""
    leaf = inspect(samples.secret()).leaf
    assert leaf is not None
    found = steps.cut_short(samples.certificate(duration=duration), leaf)
    assert bool(found) == cut
    if cut:
        assert found.startswith(f"spec.duration: {duration} is asked for, and the certificate ends on 2026-08-20T")


@given(st.lists(st.text(max_size=300), max_size=8))
def test_what_was_warned_of_is_known_of_the_answer(warnings: list[str]) -> None:
    """Whatever was warned of when it was signed is in the status that is stored, and what the Certificate tells."""
    before = msgspec.convert(samples.request_json(2) | {"status": {"conditions": [APPROVED]}}, CertificateRequest)
    patch = to_status.issued(before, Signed(b"x", b"y", tuple(warnings)), samples.NOW)
    after = msgspec.convert(samples.request_json(2) | {"status": patch.body["status"]}, CertificateRequest)
    said = steps.warned(after)
    assert bool(said) is bool(capped("; ".join(warnings)))
    for one in said:
        assert (one.reason, one.message) == ("NotVerifiableByAll", capped("; ".join(warnings)))
    assert steps.outcome(answered(**patch.body["status"])).state == "issued"
