"""Whether it is known who makes CertificateRequests, where a SignerPolicy says who may. Pure."""

from collections.abc import Iterator

from signer.api.text import some
from signer.certificates.requests.requester import GUARD, vouched_since
from signer.commands.checks.facts import DEFINITIONS, Facts, Finding, at, name_of

_WRITER = "requester.mesh-signer.dev"


def check_requesters(facts: Facts) -> Iterator[Finding]:
    """Whether the API server vouches for requesters, and writes them down, where a policy asks for them."""
    limited = {
        policy.name
        for policies in facts.mesh.world.policies.values()
        for policy in policies
        if policy.certificate_requests is not None and policy.request_requesters
    }
    if not limited:
        return
    where = f"SignerPolicy {some(sorted(limited))}"
    lists = (facts.admission_policies, facts.admission_bindings)
    if problem := next((one.problem for one in lists if one.problem), ""):
        text = f"whether anybody vouches for requesters of CertificateRequests was not checked: {problem}"
        yield Finding("unknown", "requesters", text, where, code="RequestersNotChecked")
        return
    policy, binding = (next((one for one in listing.items if name_of(one) == GUARD), None) for listing in lists)
    if vouched_since(policy, binding) is None:
        text = (
            f"it says who may make CertificateRequests, and the admission policy {GUARD} that refuses a false requester "
            "is missing, not bound, or not as we ship it: requesters are unknown, so its CertificateRequests are refused"
        )
        yield Finding("error", "requesters", text, where, DEFINITIONS, code="RequestersUnguarded")
        return
    writers = (facts.mutating_policies, facts.mutating_bindings)
    if problem := next((one.problem for one in writers if one.problem), ""):
        text = f"whether the API server writes down who makes CertificateRequests was not checked: {problem}"
        yield Finding("unknown", "requesters", text, where, code="RequestersNotChecked")
        return
    written = any(name_of(one) == _WRITER for one in facts.mutating_policies.items) and any(
        at(one, "spec", "policyName") == _WRITER for one in facts.mutating_bindings.items
    )
    if not written:
        text = (
            "it says who may make CertificateRequests, and the API server does not write down who does: those whose "
            "author leaves spec.username out are refused, Certificates' among them"
        )
        yield Finding(
            "warning",
            "requesters",
            text,
            where,
            "add manifests/components/requester (Kubernetes 1.36 or newer), or set spec.username and spec.groups yourself",
            code="RequestersUnwritten",
        )
