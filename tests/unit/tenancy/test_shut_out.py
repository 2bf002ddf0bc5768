"""Limits of a SignerPolicy that no workload meets: a table over what it lists and what the mesh has, held against the wall."""

import itertools
from datetime import timedelta

import pytest

from signer.api.signerpolicy import SignerPolicyStatus
from signer.commands.checks.facts import field_in
from signer.commands.checks.mesh import check_policies
from signer.commands.explanations.advice import advise
from signer.commands.tenancies.holders import GRANTED, tenancies
from signer.tenancy.coverage import policy_status, read_coverage
from signer.tenancy.decide import decide
from signer.tenancy.policies import shut_out
from signer.tenancy.verdict import Grant, Limits, Refuse
from signer.tenancy.world import MeshConfig, Policy, RequestRules, World
from tests.pki import workload_csr
from tests.unit.commands.meshes import facts, mesh, state
from tests.unit.csr.crafted import ISTIOD, NOW
from tests.unit.tenancy.worlds import FOO, claim, world

CANARY = f"{ISTIOD}-canary"
JANE = "system:serviceaccount:shop:jane"
DOMAINS = [
    frozenset[str](),
    frozenset({"cluster.locl"}),
    frozenset({"cluster.local"}),
    frozenset({"other", "cluster.locl"}),
]
REQUESTERS = [frozenset[str](), frozenset({JANE}), frozenset({JANE, ISTIOD}), frozenset({CANARY})]
MESHES = [{"": "cluster.local"}, {"": "cluster.local", "canary": "other"}, {"": "elsewhere"}]


def there(policy: Policy, domains: dict[str, str]) -> World:
    by_revision = {name: frozenset({domain}) for name, domain in domains.items()}
    config = MeshConfig(
        trust_domains=frozenset(domains.values()), domains=by_revision, revisions=frozenset(filter(None, domains))
    )
    found = world(policies=(policy,), config=config)
    found.requesters = frozenset(f"{ISTIOD}-{name}" if name else ISTIOD for name in domains)
    found.domains = {f"{ISTIOD}-{name}" if name else ISTIOD: one for name, one in by_revision.items()}
    return found


def anybody(mesh_: World, domains: dict[str, str]) -> bool:
    """Whether the wall grants any workload of foo anything, as one of the mesh's istiods asks for it."""
    for name, domain in domains.items():
        requester = f"{ISTIOD}-{name}" if name else ISTIOD
        csr = workload_csr("foo", trust_domain=domain)
        verdict = decide(claim("foo", FOO, csr=csr, requester=requester), mesh_, Limits(), fresh=True, now=NOW)
        assert isinstance(verdict, Grant | Refuse)
        if isinstance(verdict, Grant):
            return True
    return False


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("domains", "requesters", "known"), list(itertools.product(DOMAINS, REQUESTERS, MESHES)), ids=str
)
def test_what_nobody_meets(domains: frozenset[str], requesters: frozenset[str], known: dict[str, str]) -> None:
    """What is told of as met by nobody gives no workload anything: in status, doctor, tenants, and by explain's advice."""
    policy = Policy("p", frozenset({FOO}), namespaces=frozenset({"foo"}), trust_domains=domains, requesters=requesters)
    here = there(policy, known)
    found = shut_out(policy, here.config.trust_domains, here.requesters)
    if found:
        assert not anybody(here, known)
    elif len(known) == 1:
        assert anybody(here, known)
    coverage = read_coverage(
        here.policies[FOO],
        here.namespaces,
        frozenset({FOO}),
        trust_domains=here.config.trust_domains,
        istiods=here.requesters,
    )["p"]
    ready = policy_status(SignerPolicyStatus(), policy, coverage, generation=1, now=NOW + timedelta(0)).conditions[0]
    told = [one for one in check_policies(facts(mesh(here))) if one.code == "PolicyRemark"]
    row = next(one for one in tenancies(mesh(here, [state(FOO)]), NOW) if (one.namespace, one.signer) == ("foo", FOO))
    assert row.status == (found[0].code if found else GRANTED)
    assert [one.what for one in told] == [one.message for one in found]
    for one, finding in zip(found, told, strict=True):
        assert one.message in ready.message
        assert finding.mend == f"correct {one.message.split()[0]} of SignerPolicy p, if that is not meant"
        if one.code == "TrustDomainMismatch":
            advice = advise(one.code, here, "foo", FOO, ISTIOD)
            assert advice.startswith("Correct spec.trustDomains of SignerPolicy p")


def test_what_is_not_certain() -> None:
    """A policy for CertificateRequests may be meant for others; of a mesh that was not read nothing is known."""
    policy = Policy("p", frozenset({FOO}), trust_domains=frozenset({"x"}), requesters=frozenset({JANE}))
    assert len(shut_out(policy, frozenset({"cluster.local"}), frozenset({ISTIOD}))) == 2
    assert shut_out(policy, frozenset(), frozenset()) == ()
    people = Policy("p", frozenset({FOO}), trust_domains=frozenset({"x"}), certificate_requests=RequestRules())
    assert shut_out(people, frozenset({"cluster.local"}), frozenset({ISTIOD})) == ()


def test_the_field_of_a_remark() -> None:
    """What a sentence about a field begins with is what to correct, not the whole of it."""
    assert field_in("spec.usages lacks client auth: proxies cannot call others") == "spec.usages"
    assert field_in("spec.namespaces.names[0]: 'A' is no name") == "spec.namespaces.names[0]"
