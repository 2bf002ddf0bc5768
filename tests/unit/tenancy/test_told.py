"""What a refusal tells: its reader is the tenant who asked, so it names nothing of another tenant's that he did not name."""

import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signer.api.issuer import IssuerRef
from signer.tenancy.decide import decide
from signer.tenancy.verdict import Claim, Limits, Refuse, Unready
from signer.tenancy.world import Binding, Claims, Namespace, Policy, ProxyConfigName, RequestRules, Roots, Settings
from tests.examples import examples
from tests.pki import csr, name, spiffe, workload_csr
from tests.unit.csr.crafted import ISTIOD, NOW, USAGES, authority
from tests.unit.tenancy.worlds import DEFAULT, claim, claims, world

# Words that occur in no message by chance. A is `mine`; all that is the other tenant's has `theirs` in its name.
MINE = IssuerRef("ClusterIssuer", "", "mineca")
THEIRS = IssuerRef("ClusterIssuer", "", "theirsca")
SECRET = IssuerRef("Issuer", "theirsns", "theirsissuer")
MINE_ISSUER = IssuerRef("Issuer", "minens", "mineissuer")
SIGNERS = (MINE, THEIRS, SECRET, MINE_ISSUER, DEFAULT)
KEYS = ("key-1", "key-2", "key-3", "root")
NAMES = ("minens", "theirsns", "theirsother")
PROBLEMS = ("", "", "spec.namespaces.names[0]: 'theirsns!' is not a namespace's name")

sets = st.frozensets
# Most requests must be Istio's own in most respects: a message that is told last is hidden by those before it.
FORMS = (workload_csr("minens"), csr(uris=[spiffe("minens")], dns=["web.minens.svc"], subject=name("web", "minens")))


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    names = draw(sets(st.sampled_from(NAMES)))
    covers = "minens" in names
    return Policy(
        # A policy that covers A is A's own, whatever else it covers.
        f"{'mine' if covers else 'theirs'}policy{draw(st.integers(0, 2))}",
        draw(sets(st.sampled_from(SIGNERS), min_size=1)),
        namespaces=names,
        requesters=draw(st.sampled_from([frozenset[str](), frozenset({"theirsuser"}), frozenset({ISTIOD})])),
        trust_domains=frozenset(draw(st.sampled_from([[], ["cluster.local"], ["mine.example"]]))),
        service_accounts=frozenset(draw(st.sampled_from([[], ["web"]]))),
        dns_names=draw(st.sampled_from([(), ("web.theirsns.svc",)])),
        usages=frozenset(draw(st.sampled_from([[], ["server auth"], ["code signing"]]))),
        certificate_requests=draw(st.sampled_from([None, RequestRules(), RequestRules(frozenset({"theirsuser"}))])),
        namespace_uids={one: draw(st.sampled_from([f"uid-{one}", "uid-theirs-before"])) for one in names},
        problem="" if covers else draw(st.sampled_from(PROBLEMS)),
    )


@st.composite
def bindings(draw: st.DrawFn) -> dict[IssuerRef, Binding]:
    found = {}
    for signer in draw(sets(st.sampled_from([MINE, THEIRS]))):
        owner = draw(st.sampled_from(NAMES))
        uid = draw(st.sampled_from([f"uid-{owner}", "gone"]))
        found[signer] = Binding(
            signer,
            owner,
            uid,
            NOW - timedelta(days=9),
            problem=draw(st.sampled_from(["", "spec.namespace: theirsns!"])),
        )
    return found


@st.composite
def asks(draw: st.DrawFn) -> Claim:
    signer = draw(st.sampled_from(SIGNERS))
    if draw(st.booleans()):
        return claim("minens", signer, csr=FORMS[0], ca_key_id=draw(st.sampled_from(KEYS[:2])))
    other = (workload_csr("minens", trust_domain="other.example"), csr(dns=["web.minens.svc"]), csr(ips=["10.0.0.1"]))
    changes: dict[str, Any] = {
        "requester": draw(st.sampled_from([ISTIOD, "mineuser", ""])),
        "usages": draw(st.sampled_from([USAGES, (), ("any", "cert sign")])),
        "is_ca": draw(st.booleans()),
        "ca_key_id": draw(st.sampled_from(["", *KEYS])),
        "root_key_id": draw(st.sampled_from(["", *KEYS])),
        "chain": draw(st.sampled_from([None, authority("foo").chain])),
    }
    found = claim("minens", signer, csr=draw(st.sampled_from((*FORMS, *other))), **changes)
    if draw(st.booleans()):
        return found
    return Claim(
        **{one: getattr(found, one) for one in found.__struct_fields__}
        | {"resource": "CertificateRequest", "namespace": "minens"}
    )


def claimed(*signers: IssuerRef) -> Claims:
    found = claims(*signers)
    return Claims(found.whole, found.signers, ProxyConfigName("pc", "u"), since=NOW - timedelta(hours=1))


@pytest.mark.heavy
@settings(max_examples=examples(600))
@given(
    ask=asks(),
    given_out=st.just([]) | st.lists(policies(), max_size=3, unique_by=lambda one: one.name),
    owned=bindings(),
    mine=st.sampled_from([(), (MINE,), (THEIRS,), (DEFAULT,), (MINE, THEIRS)]),
    theirs=st.sampled_from([(), (MINE,), (THEIRS,)]),
    keys=st.dictionaries(st.sampled_from(KEYS), sets(st.sampled_from(SIGNERS), min_size=1)),
    roots=st.just({}) | st.dictionaries(st.sampled_from(SIGNERS), sets(st.sampled_from(KEYS), min_size=1)),
    settling=st.just(frozenset()) | sets(st.sampled_from(SIGNERS)),
    unbound=st.sampled_from(["allow", "deny"]),
    fresh=st.booleans(),
)
def test_nothing_of_others(
    ask: Claim,
    given_out: list[Policy],
    owned: dict[IssuerRef, Binding],
    mine: tuple[IssuerRef, ...],
    theirs: tuple[IssuerRef, ...],
    keys: dict[str, frozenset[IssuerRef]],
    roots: dict[IssuerRef, frozenset[str]],
    settling: frozenset[IssuerRef],
    unbound: Any,
    fresh: bool,
) -> None:
    """Whatever the mesh looks like and whatever A asks: its refusal names no policy, issuer, namespace or user of B."""
    by_namespace = {"minens": claimed(*mine), "theirsns": claimed(*theirs)}
    mesh = world(
        claimed={namespace: one for namespace, one in by_namespace.items() if one.signers},
        policies=tuple(given_out),
        namespaces=("istio-system", "cert-manager", *NAMES),
        signers=frozenset({MINE, THEIRS, SECRET, DEFAULT}),
        keys=keys,
        roots={signer: Roots(keys, frozenset(map(str.encode, keys)), keys) for signer, keys in roots.items()},
        root_keys=frozenset().union(*roots.values()) if roots else frozenset(),
        bindings=(),
        settling=dict.fromkeys(settling, NOW + timedelta(minutes=1)),
        settings=Settings(unbound=unbound),
    )
    mesh.bindings.update(owned)
    mesh.namespaces["minens"] = Namespace("uid-minens")
    verdict = decide(ask, mesh, Limits(), fresh=fresh, now=NOW)
    if isinstance(verdict, Refuse):
        told = [reason.message for reason in verdict.reasons]
    elif isinstance(verdict, Unready):
        told = [verdict.reason.message]
    else:
        return
    # What A said itself may be said to it: the signer that it asks for, and those that its ProxyConfigs name.
    named = {str(one) for one in (ask.signer, *mine)} | {one.name for one in (ask.signer, *mine)}
    named |= {one.namespace for one in (ask.signer, *mine) if one.namespace}
    for text in told:
        for word in re.findall(r"theirs[a-z0-9]*", text):
            assert word in " ".join(named), text
