"""Explanations of Certificates: the controller's own checks, in its order."""

from datetime import timedelta
from typing import Any

import pytest

from signer.api.certificate import Certificate
from signer.certificates.policies import Facts, issuance_needed
from signer.certificates.secrets.view import inspect
from signer.certificates.spec.matching import view_request
from signer.commands.explanations.certificate import CertificateExplanation, Seen, explain_certificate
from tests.unit.certificates.samples import NOW, certificate, request, secret, with_status

BROKEN: dict[str, Any] = {"secretName": ""}


def explained(
    found: Certificate, *, there: bool = True, owned: tuple[Any, ...] = (), **more: Any
) -> CertificateExplanation:
    seen = Seen(found, inspect(secret()) if there else None, owned, more.pop("rivals", ()))
    return explain_certificate(seen, title="Certificate ns/leaf", now=more.pop("now", NOW))


def test_ready() -> None:
    """One that is in order is ready, and until when is said."""
    found = explained(with_status(certificate(), revision=1), owned=(request(),))
    assert (found.verdict, found.reason) == ("ready", None)
    assert found.ends is not None
    assert found.document()["verdict"] == "ready"


def test_spec() -> None:
    """What the controller refuses to work on is refused with its reason, whatever there is."""
    found = explained(certificate(**BROKEN))
    assert found.verdict == "refuse"
    assert found.reason is not None
    assert "secretName" in found.reason.message


@pytest.mark.heavy
@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"dnsNames": ["other.example"]},
        {"issuerRef": {"name": "other", "kind": "ClusterIssuer"}},
        {"duration": "48h"},
    ],
    ids=str,
)
@pytest.mark.parametrize("later", [timedelta(0), timedelta(days=70), timedelta(days=200)])
def test_the_same_reason(there: bool, spec: dict[str, Any], later: timedelta) -> None:
    """Why an issuance is needed is the controller's own reason; where none is, nothing is said to be missing."""
    found = with_status(certificate(**spec), revision=1)
    told = explained(found, there=there, owned=(request(),), now=NOW + later)
    why = issuance_needed(Facts(found, inspect(secret()) if there else None, view_request(request()), NOW + later))
    if why is None:
        assert told.verdict == "ready"
    else:
        assert (told.verdict, told.reason) == ("wait", why)


def test_waits_for_its_request() -> None:
    """While an issuance is under way its request is named, so that it can be explained."""
    conditions = [{"type": "Issuing", "status": "True", "reason": "x", "message": "y"}]
    following = request(revision=2)
    found = explained(with_status(certificate(), revision=1, conditions=conditions), owned=(request(), following))
    assert (found.verdict, found.request) == ("wait", following)
