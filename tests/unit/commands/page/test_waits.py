"""What the page says is refused or waits: the words of the objects themselves, the gravest first."""

import pytest

from signer.authorities.state import IssuerState
from signer.commands.page.waits import Wait, waits
from signer.commands.summary import certificate_ready
from signer.commands.tenancies.holders import tenancies
from tests.unit.commands.meshes import state
from tests.unit.commands.page.samples import (
    certificate,
    certificate_request,
    cluster,
    condition,
    csr,
    issuers,
    seen,
    signer,
    warned,
)
from tests.unit.csr.crafted import NOW

APPROVED = condition("Approved", "True")


def found(**given: object) -> list[Wait]:
    """All of it but for the thief, who is always refused."""
    here = seen(**given)  # type: ignore[arg-type]
    return [one for one in waits(here, tenancies(here.facts.mesh, NOW)) if one.name != "thief"]


def unready(name: str = "foo") -> list[IssuerState]:
    refused = state(signer(name), ready=False, authority=None, reason="ErrGetKeyPair", message="no such Secret")
    return [refused if one.ref.name == name else one for one in issuers()]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ((), ("waits", "", "nobody has approved it yet")),
        ((APPROVED,), ("waits", "", "it is approved, and not answered yet")),
        (
            (APPROVED, condition("Failed", "True", "TenantMismatch", "no grant")),
            ("refused", "TenantMismatch", "no grant"),
        ),
        ((condition("Denied", "True", "Policy", "by jane"),), ("refused", "Policy", "by jane")),
    ],
)
def test_requests(conditions: tuple[dict[str, object], ...], expected: tuple[str, str, str]) -> None:
    """A CertificateSigningRequest is refused with the reason that was written, or waits for the one who must act."""
    (one,) = found(requests=[csr("r", *conditions)])
    assert (one.state, one.reason) == expected[:2]
    assert one.why.startswith(expected[2])
    assert "istiod" in one.why
    assert one.ask == "mesh-signer explain r"


def test_requests_of_others() -> None:
    """What is answered, and what goes to somebody else's signer, is not shown."""
    answered = csr("a", APPROVED)
    answered["status"]["certificate"] = "eA=="
    assert found(requests=[answered, csr("b", of="kubernetes.io/kubelet-serving")]) == []


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ((), ("waits", "", "nobody has answered it yet")),
        ((condition("Ready", "True", "Issued", "fetched"),), None),
        ((condition("Ready", "False", "Pending", "Waiting: no CA"),), ("waits", "Pending", "Waiting: no CA")),
        ((condition("Ready", "False", "Failed", "not yours"),), ("refused", "Failed", "not yours")),
        ((condition("Denied", "True", "Policy", "by jane"),), ("refused", "Policy", "by jane")),
    ],
)
def test_certificate_requests(conditions: tuple[dict[str, object], ...], expected: tuple[str, str, str] | None) -> None:
    """A CertificateRequest that is ready is not shown; of each other its own words."""
    here = found(certificate_requests=[certificate_request("r", *conditions)])
    assert [(one.state, one.reason, one.why) for one in here] == ([expected] if expected else [])
    assert [one.ask for one in here] == ["mesh-signer explain shop/r"] * len(here)


def test_certificates() -> None:
    """One that failed is told as failing, with what the last try said; one that never was tried waits."""
    ready = condition("Ready", "False", "DoesNotExist", "no Secret")
    issuing = condition("Issuing", "False", "Failed", "the CA refused", lastTransitionTime="2026-11-22T11:00:00Z")
    failed = certificate("b", ready, issuing, failedIssuanceAttempts=2)
    good = certificate("c", condition("Ready", "True"))
    one, two = found(certificates=[certificate("a", ready), failed, good])
    assert (one.state, one.name, one.why, one.since) == ("failing", "b", "the CA refused", "2026-11-22T11:00:00Z")
    assert (two.state, two.name, two.why) == ("waits", "a", "no Secret")
    assert one.ask == "mesh-signer explain certificate b -n shop"
    assert certificate_ready(good)


def test_issuers() -> None:
    """An issuer that is not ready says why; one whose Secret this user may not read is no failing one."""
    here = seen(cluster(unready()))
    told = [one for one in waits(here, []) if one.kind == "ClusterIssuer"]
    assert [(one.state, one.name, one.reason, one.why) for one in told] == [
        ("failing", "foo", "ErrGetKeyPair", "no such Secret")
    ]


def test_tenants() -> None:
    """A claim that is refused is told with the refusal's code, and the command that explains it."""
    here = seen()
    (one,) = waits(here, tenancies(here.facts.mesh, NOW))
    assert (one.state, one.kind, one.name, one.reason) == ("refused", "Namespace", "thief", "SignerClaimed")
    assert one.ask == "mesh-signer explain -n thief --signer clusterissuers.cert-manager.io/foo"


def test_order() -> None:
    """Refusals come first, then what waits, then Events; the newest first among equals."""
    older = certificate_request("old", condition("Ready", "False", "Failed", lastTransitionTime="2026-11-20T00:00:00Z"))
    newer = certificate_request("new", condition("Ready", "False", "Failed", lastTransitionTime="2026-11-22T00:00:00Z"))
    event = warned(reason="R", message="m", lastTimestamp="2026-11-23T00:00:00Z", count=7)
    here = found(certificate_requests=[older, newer], requests=[csr("r", APPROVED)], events=[event])
    assert [(one.state, one.name) for one in here] == [
        ("refused", "new"),
        ("refused", "old"),
        ("waits", "r"),
        ("told", "foo"),
    ]
    assert (here[-1].why, here[-1].count) == ("m", 7)


def test_a_name_is_one_word() -> None:
    """A command that is shown can be pasted into a shell, whatever the object is called."""
    (one,) = found(requests=[csr("a; rm -rf ~")])
    assert one.ask == "mesh-signer explain 'a; rm -rf ~'"
