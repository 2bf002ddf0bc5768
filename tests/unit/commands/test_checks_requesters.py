"""doctor's look at who vouches for the makers of CertificateRequests."""

from datetime import timedelta
from typing import Any

import pytest

from signer.commands.checks.facts import Facts
from signer.commands.checks.requesters import check_requesters
from signer.commands.live import Listing
from signer.settings.values import Settings
from signer.tenancy.world import Policy, RequestRules
from tests.unit.certificates.requests.test_requester import shipped
from tests.unit.commands.meshes import mesh
from tests.unit.csr.crafted import NOW
from tests.unit.tenancy.worlds import FOO, world

WRITER = {"metadata": {"name": "requester.mesh-signer.dev"}, "spec": {"policyName": "requester.mesh-signer.dev"}}


def facts(rules: RequestRules | None, **lists: Any) -> Facts:
    policy, binding = shipped()
    found: dict[str, Any] = {
        "admission_policies": Listing((policy,)),
        "admission_bindings": Listing((binding,)),
        "mutating_policies": Listing((WRITER,)),
        "mutating_bindings": Listing((WRITER,)),
    }
    here = world(policies=(Policy("p", frozenset({FOO}), frozenset({"shop"}), certificate_requests=rules),))
    return Facts(Settings(), mesh(here), NOW + timedelta(hours=1), **(found | lists))


LIMITED = RequestRules(frozenset({"alice"}))


@pytest.mark.parametrize(
    ("rules", "lists", "severities"),
    [
        (LIMITED, {}, []),
        (LIMITED, {"admission_policies": Listing()}, ["error"]),
        (LIMITED, {"admission_bindings": Listing()}, ["error"]),
        (LIMITED, {"admission_bindings": Listing(problem="no right")}, ["unknown"]),
        (LIMITED, {"mutating_policies": Listing(absent=True)}, ["warning"]),
        (LIMITED, {"mutating_bindings": Listing()}, ["warning"]),
        (RequestRules(), {"admission_policies": Listing()}, []),
        (None, {"admission_policies": Listing()}, []),
    ],
)
def test_findings(rules: RequestRules | None, lists: dict[str, Any], severities: list[str]) -> None:
    """Where a policy limits requesters: nobody vouches is an error, nothing writes them down a warning; else it is no matter."""
    found = list(check_requesters(facts(rules, **lists)))
    assert [one.severity for one in found] == severities
    assert all("SignerPolicy p" in one.where and one.check == "requesters" for one in found)
