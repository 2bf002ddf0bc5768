"""The status of a Certificate: what is composed, and what of it is written."""

from typing import Any

import msgspec
import pytest

from signer.api.certificate import Certificate, request_waits
from signer.api.meta import to_rfc3339
from signer.certificates.renewal import backoff_left
from signer.certificates.secrets.view import inspect
from signer.certificates.spec.check import Defect
from signer.certificates.status import Status
from tests.unit.certificates import samples
from tests.unit.certificates.samples import NOW

LEAF = inspect(samples.secret()).leaf
WHY = Defect("Renewing", "because")


def settled() -> Certificate:
    """The sample with the status that it has when all is well."""
    body = samples.certificate_json()
    body["status"] |= {
        "notBefore": "2026-05-22T12:00:00Z",
        "notAfter": "2026-08-20T12:00:00Z",
        "renewalTime": "2026-07-21T12:00:00Z",
    }
    return msgspec.convert(body, Certificate)


def patched(status: Status) -> dict[str, Any]:
    body = status.patch()
    assert body is not None
    assert body["metadata"] == {"resourceVersion": "100"}
    found: dict[str, Any] = body["status"]
    return found


def condition(status: dict[str, Any], type_: str) -> dict[str, Any] | None:
    return next((c for c in status["conditions"] if c["type"] == type_), None)


def test_nothing_to_write() -> None:
    """A status that says it already is not written again."""
    assert Status.of(settled()).readiness(None, LEAF, NOW).patch() is None


def test_dates_follow_the_certificate() -> None:
    """notBefore, notAfter and renewalTime are those of the certificate that is there; without one they go."""
    found = patched(Status.of(samples.certificate()).readiness(None, LEAF, NOW))
    assert found == {
        "notBefore": "2026-05-22T12:00:00Z",
        "notAfter": "2026-08-20T12:00:00Z",
        "renewalTime": "2026-07-21T12:00:00Z",
    }
    gone = patched(Status.of(settled()).readiness(WHY, None, NOW))
    assert {gone[name] for name in ("notBefore", "notAfter", "renewalTime")} == {None}


def test_transition_time() -> None:
    """LastTransitionTime moves when the status does, not when only reason or message do."""
    lost = patched(Status.of(settled()).readiness(WHY, LEAF, NOW))
    ready = condition(lost, "Ready")
    assert ready is not None
    assert (ready["status"], ready["reason"], ready["lastTransitionTime"]) == (
        "False",
        "Renewing",
        "2026-06-01T12:00:00Z",
    )
    body = samples.certificate_json()
    body["status"]["conditions"][0]["reason"] = "Other"
    same = patched(Status.of(msgspec.convert(body, Certificate)).readiness(None, LEAF, NOW))
    told = condition(same, "Ready")
    assert told is not None
    assert told["lastTransitionTime"] == "2026-05-22T12:00:00Z"


def test_an_issuance_that_ends_well() -> None:
    """Begun: condition and the key's Secret in one write. Ended: the revision, and nothing of the attempt is left."""
    began = patched(Status.of(settled()).issuing(WHY, "keys", NOW))
    assert began["nextPrivateKeySecretName"] == "keys"
    issuing = condition(began, "Issuing")
    assert issuing is not None
    assert (issuing["status"], issuing["reason"], issuing["observedGeneration"]) == ("True", "Renewing", 3)

    during = samples.with_status(
        settled(),
        **began,
        lastFailureTime="2026-05-30T12:00:00Z",
        failedIssuanceAttempts=2,
    )
    ended = patched(Status.of(during).issued(2).readiness(None, LEAF, NOW))
    assert condition(ended, "Issuing") is None
    assert ended["revision"] == 2
    for name in ("nextPrivateKeySecretName", "lastFailureTime", "failedIssuanceAttempts"):
        assert ended[name] is None


def test_an_issuance_that_fails() -> None:
    """Failed: the condition says why, the attempts are counted, the next key is given up."""
    during = samples.with_status(settled(), nextPrivateKeySecretName="keys", failedIssuanceAttempts=1)
    found = patched(Status.of(during).failed("Denied", "no", NOW))
    issuing = condition(found, "Issuing")
    assert issuing is not None
    assert (issuing["status"], issuing["reason"]) == ("False", "Denied")
    assert issuing["message"] == (
        "The certificate request has failed to complete and will be retried: no. The next try is at 2026-06-01T13:00:00Z"
    )
    assert found["failedIssuanceAttempts"] == 2
    assert found["lastFailureTime"] == "2026-06-01T12:00:00Z"
    assert found["nextPrivateKeySecretName"] is None
    assert patched(Status.of(settled()).failed("Denied", "no", NOW))["failedIssuanceAttempts"] == 1


@pytest.mark.parametrize("attempts", range(8))
def test_the_next_try(attempts: int) -> None:
    """Whenever it failed, the condition says when the next try is, and that is when it is; what can be mended says so too."""
    before = samples.with_status(settled(), failedIssuanceAttempts=attempts)
    found = patched(Status.of(before).failed("Failed", "no.", NOW, mendable=True))
    issuing = condition(found, "Issuing")
    assert issuing is not None
    after = samples.with_status(
        settled(), failedIssuanceAttempts=found["failedIssuanceAttempts"], lastFailureTime=found["lastFailureTime"]
    )
    left = backoff_left(after, NOW)
    assert issuing["message"].endswith(
        f"retried: no. It goes on within a minute when this is mended. The next try is at {to_rfc3339(NOW + left)} in any case"
    )


class TestWaiting:
    """What a request waits for stands in the conditions of its Certificate."""

    @pytest.mark.parametrize(("there", "said"), [(False, ("Issuing", "Ready")), (True, ("Issuing",))])
    def test_where_it_is_said(self, there: bool, said: tuple[str, ...]) -> None:
        """In Issuing, and in Ready while that is False; read back as it was said, and a new text replaces the former."""
        began = Status.of(settled()).issuing(WHY, "keys", NOW).readiness(None if there else WHY, LEAF, NOW)
        first = patched(began.waiting("web-1", 'no issuer "x"', NOW))
        after = samples.with_status(settled(), **first)
        assert request_waits(after) == ("web-1", 'no issuer "x"')
        told = [c["type"] for c in first["conditions"] if 'no issuer "x"' in c["message"]]
        assert sorted(told) == list(said)
        assert {c["reason"] for c in first["conditions"] if c["type"] in said} == {"Renewing"}
        second = patched(Status.of(after).waiting("web-1", "not ready", NOW))
        for one in second["conditions"]:
            assert 'no issuer "x"' not in one["message"]
            assert one["message"].endswith("; CertificateRequest web-1 is not answered: not ready") == (
                one["type"] in said
            )
        gone = patched(Status.of(after).waiting("web-1", "", NOW))
        assert request_waits(samples.with_status(settled(), **gone)) == ("", "")

    def test_nothing_is_written_twice(self) -> None:
        """A condition that says it already is not written again."""
        began = Status.of(settled()).issuing(WHY, "keys", NOW).waiting("web-1", "x", NOW)
        after = samples.with_status(settled(), **patched(began))
        assert Status.of(after).waiting("web-1", "x", NOW).patch() is None


def test_refused_keeps_the_rest() -> None:
    """A refusal changes the Ready condition and nothing else."""
    assert set(patched(Status.of(settled()).refused(Defect("UnsupportedField", "x"), NOW))) == {"conditions"}


def test_foreign_conditions_stay() -> None:
    """A condition of somebody else's is carried along."""
    body = samples.certificate_json()
    body["status"]["conditions"].append({"type": "Theirs", "status": "True"})
    found = patched(Status.of(msgspec.convert(body, Certificate)).readiness(WHY, LEAF, NOW))
    assert condition(found, "Theirs") == {"type": "Theirs", "status": "True"}
