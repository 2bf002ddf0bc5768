"""Tenants by identity: the CA of the namespace in the SPIFFE ID signs, or the request is refused with the reason."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from issuers.authority import load_authority
from issuers.request import read_request
from signer.api.certificatesigningrequest import read_content
from signer.api.issuer import IssuerRef
from signer.api.signername import signer_name_of
from signer.authorities.state import IssuerState
from signer.csr.answers.compose import issue
from signer.csr.evaluate import Circumstances, case_by_identity, case_of, evaluate
from signer.csr.outcome import Answers, Issue, Verdict
from signer.tenancy.decide import decide
from signer.tenancy.index import Index
from signer.tenancy.live import LiveConfig, LiveView, against_grant
from signer.tenancy.routes import route
from signer.tenancy.verdict import Bind, Claim, Confirm, Limits, Refuse, Reread, Route, Unready, Wait
from signer.tenancy.world import Settings, World
from tests.pki import CA, csr, spiffe, workload_csr
from tests.unit.csr.crafted import DAY, ISTIOD, NOW, USAGES, authority, ready, request, self_signed
from tests.unit.csr.test_mesh_requests import ISTIOD_DNS, dns_request
from tests.unit.tenancy.indexed import DOMAIN, binding, mesh, namespace_object, policy, proxy_config

MESH, FOO, BAR, SHOP, ISTIO = (
    IssuerRef("ClusterIssuer", "", name) for name in ("mesh", "foo", "bar", "shop", "istio-system")
)
SPACES = ("istio-system", "foo", "bar", "shop")


def recorded(name: str, *signers: str, uids: dict[str, str] | None = None, **spec: Any) -> Any:
    """A policy as it stands once its status says which namespace each of its names is."""
    names = spec.get("namespaces", {}).get("names", ())
    found = policy(name, *signers, **spec)
    known = {one: f"uid-{one}" for one in names} if uids is None else uids
    return type(found)(metadata=found.metadata, raw_spec=found.raw_spec, raw_status={"namespaceUIDs": known})


def covering(name: str, *namespaces: str) -> Any:
    """The policy that gives a tenant its signer."""
    return recorded(name, name, namespaces={"names": list(namespaces or (name,))})


DOOR = policy("door", "mesh", route="Identity")
TENANTS = (covering("foo"), covering("bar"))


def indexed(
    policies: Iterable[Any] = (DOOR, *TENANTS),
    proxy_configs: Iterable[Any] = (),
    bindings: Iterable[Any] = (),
    *,
    listed: tuple[str, ...] = (),
    default: str = "",
    spaces: Iterable[Any] = (),
    settings: Settings | None = None,
    issuers: Iterable[IssuerState] = (),
) -> Index:
    """The mesh with K8S_SIGNER alone: two tenants, and nothing about signers in the mesh config."""
    index = Index(settings or Settings())
    index.world.unsynced = ""
    extra = f"defaultConfig: {{proxyMetadata: {{ISTIO_META_CERT_SIGNER: {default}}}}}\n" if default else ""
    index.config_maps.put("istio", mesh(*listed, extra=extra))
    for space in spaces or map(namespace_object, SPACES):
        index.put_namespace(space)
    for one in policies:
        index.put_policy(one)
    for one in proxy_configs:
        index.proxy_configs.put(one)
    for one in bindings:
        index.put_binding(one)
    for state in issuers or map(ready, (FOO, BAR, SHOP, ISTIO)):
        if state.authority is not None:
            index.put_key(state.ref, state.authority.key_id, state.authority.chain)
    index.settle(NOW)
    return index


def judge(
    world: World,
    namespace: str = "foo",
    *,
    text: bytes | None = None,
    states: Iterable[IssuerState] = (),
    fresh: bool = True,
    known: str = "",
    asked: IssuerRef = MESH,
    **fields: Any,
) -> Verdict:
    """The verdict on what istiod asks of the one signer name for a workload of a namespace."""
    found = {state.ref: state for state in (*map(ready, (FOO, BAR, SHOP, ISTIO)), *states)}
    made = request(request=text or workload_csr(namespace), signer=signer_name_of(asked), created=NOW, **fields)
    answers, around = Answers(fresh=fresh), Circumstances(Limits(), world, "cert-manager", NOW)
    content = read_content(made)
    if asked in world.routed:
        case = case_by_identity(content, asked, found.get, answers, world, now=NOW, namespace=known)
    else:
        case = case_of(content, asked, found.get(asked), answers, world)
    return evaluate(case, around)


def code(verdict: Verdict) -> str:
    if isinstance(verdict, Refuse):
        return verdict.code
    assert isinstance(verdict, Wait | Unready), verdict
    return verdict.reason.code


def answer(verdict: Verdict) -> list[x509.Certificate]:
    assert isinstance(verdict, Issue), verdict
    return x509.load_pem_x509_certificates(issue(request(), verdict, serial=7).pem)


def root_of(name: str) -> x509.Certificate:
    text = authority(name).root_pem
    assert text is not None
    return x509.load_pem_x509_certificate(text)


@pytest.mark.parametrize("namespace", ["foo", "bar"])
def test_the_namespace_chooses_the_ca(namespace: str) -> None:
    """One signer name, no certSigners, no claim: each tenant has a leaf of its own CA, and its own root last."""
    verdict = judge(indexed().world, namespace)
    leaf, root = answer(verdict)
    assert root == root_of(namespace)
    leaf.verify_directly_issued_by(root)
    assert isinstance(verdict, Issue)
    line = issue(request(signer=f"{DOMAIN}/mesh"), verdict, serial=7).line
    assert (line.signer, line.signed_by, line.namespace) == (f"{DOMAIN}/mesh", f"{DOMAIN}/{namespace}", namespace)
    assert line.source == f"SignerPolicy {namespace}; by identity: SignerPolicy door"


def test_istios_own_namespace_has_istios_signer() -> None:
    """A gateway in Istio's own namespace has the mesh's default, or the signer of that namespace's name."""
    by_name = indexed(listed=("istio-system",)).world
    by_default = indexed(default="istio-system").world
    for world in (by_name, by_default):
        assert answer(judge(world, "istio-system"))[-1] == root_of("istio-system")


def test_a_claim_is_the_namespaces_own_word() -> None:
    """What the namespace claims, and may have, counts before what policies give it; for the claimant of a mesh signer too."""
    named = [proxy_config("shop", "shop")]
    owned = indexed([DOOR], named, [binding("shop", "shop")], listed=("shop",)).world
    assert answer(judge(owned, "shop"))[-1] == root_of("shop")
    unowned = judge(indexed([DOOR], named, listed=("shop",)).world, "shop")
    assert unowned == Bind(SHOP, "shop", "uid-shop")


def test_several_signers_need_a_word() -> None:
    """Which of two CAs is meant is not guessed; the namespace's claim of one of them says it."""
    both = (DOOR, covering("foo"), recorded("two", "bar", namespaces={"names": ["foo"]}))
    assert code(judge(indexed(both).world)) == "RouteAmbiguous"
    said = judge(indexed(both, [proxy_config("foo", "bar")]).world)
    assert isinstance(said, Issue)
    assert said.route == Route(MESH, BAR, "foo", "door")


REMADE = [namespace_object("foo", "another"), *map(namespace_object, ("bar", "istio-system"))]
THEFT = [proxy_config("bar", "foo")]
CASES: dict[str, tuple[Index, str, str]] = {
    "no such namespace": (indexed(), "nowhere", "NamespaceNotFound"),
    "no signer of its own": (indexed(), "shop", "RouteMissing"),
    "made again, by policy": (indexed(spaces=REMADE), "foo", "NamespaceRemade"),
    "made again, by binding": (
        indexed([DOOR], [proxy_config("foo", "foo")], [binding("foo", "foo")], listed=("foo",), spaces=REMADE),
        "foo",
        "SignerClaimed",
    ),
    "claims another tenant's": (indexed(proxy_configs=THEFT), "bar", "TenantMismatch"),
    "claims another owner's": (
        indexed([DOOR], THEFT, [binding("foo", "foo")], listed=("foo",)),
        "bar",
        "SignerClaimed",
    ),
    "claims what no admin named": (indexed(proxy_configs=[proxy_config("shop", "shop")]), "shop", "NotAMeshSigner"),
    "claims two by selectors": (
        indexed(proxy_configs=[proxy_config("shop", one, one, selector=one) for one in ("foo", "bar")]),
        "shop",
        "RouteAmbiguous",
    ),
    "claims no issuer's name": (indexed(proxy_configs=[proxy_config("foo", "no issuer!")]), "foo", "RouteMissing"),
    "claims the door itself": (indexed(proxy_configs=[proxy_config("shop", "mesh")]), "shop", "RouteMissing"),
    "a door to a door": (
        indexed([DOOR, policy("second", "foo", route="Identity"), *TENANTS]),
        "foo",
        "RouteMissing",
    ),
    "both routed and given": (
        indexed([DOOR, recorded("plain", "mesh", namespaces={"names": ["foo"]}), *TENANTS]),
        "foo",
        "RouteAmbiguous",
    ),
    "not one of the door's": (
        indexed([recorded("door", "mesh", route="Identity", namespaces={"names": ["foo"]}), *TENANTS]),
        "bar",
        "TenantMismatch",
    ),
    "the door was given to an earlier namespace": (
        indexed(
            [recorded("door", "mesh", route="Identity", namespaces={"names": ["foo"]}), *TENANTS],
            spaces=REMADE,
        ),
        "foo",
        "NamespaceRemade",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_not_one_tenants_is_refused(case: str) -> None:
    """A namespace that is unknown, remade, of no tenant or of several gets nothing, and the reason says which."""
    index, namespace, reason = CASES[case]
    assert code(judge(index.world, namespace)) == reason
    # Before a refusal for want of a grant the namespace is read live.
    assert isinstance(judge(index.world, namespace, fresh=False), Reread)


@pytest.mark.parametrize("case", CASES)
def test_audit_mode_signs_nothing_of_it(case: str) -> None:
    """Where refusals are only told, a CA that identity did not choose still signs nothing: cert-manager would not either."""
    index, namespace, _ = CASES[case]
    index.world.settings = Settings(mode="audit", audit_until=NOW + DAY)
    assert not index.world.settings.enforces(NOW)
    assert not isinstance(judge(index.world, namespace), Issue)


def test_audit_mode_signs_nothing_by_a_self_signed_issuer() -> None:
    """An issuer without a CA is refused as it is where the wall is enforced, not asked for a key as cert-manager's would be."""
    index = indexed([DOOR, covering("foo")])
    verdicts = []
    for settings in (Settings(), Settings(mode="audit", audit_until=NOW + DAY)):
        index.world.settings = settings
        verdicts.append(code(judge(index.world, "foo", states=[self_signed(FOO)])))
    assert verdicts == ["SignerTypeNotAllowed"] * 2


def test_a_policy_that_is_not_recorded_yet_waits() -> None:
    """What the next moment brings is not refused: the policy's status does not say yet which namespace is meant."""
    young = recorded("foo", "foo", uids={}, namespaces={"names": ["foo"]})
    assert code(judge(indexed([DOOR, young]).world)) == "NamespaceNotRecorded"


def test_istiod_itself_is_not_routed() -> None:
    """Istiod's own request has no SPIFFE ID: nothing says which CA, so it names its own signer."""
    verdict = judge(indexed(listed=("istio-system",)).world, text=dns_request(*ISTIOD_DNS), usages=USAGES[:3])
    assert code(verdict) == "UnexpectedContents"


HOSTILE = {
    "no name": csr(),
    "two tenants": csr(uris=[spiffe("foo"), spiffe("bar")]),
    "no workload's": csr(uris=["spiffe://cluster.local/ns/foo"]),
    "another form": csr(uris=[spiffe("foo")], dns=["foo.example"]),
    "not a CSR": b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("known", ["", "foo", "bar"])
def test_a_request_without_one_identity_is_refused(case: str, known: str) -> None:
    """What has no SPIFFE ID, two, or one in another form gets nothing, whatever a cheap look took it for."""
    verdict = judge(indexed().world, text=HOSTILE[case], known=known)
    assert code(verdict) == "UnexpectedContents"


def test_the_cheap_look_decides_nothing() -> None:
    """The namespace by which the CA was chosen is held against the identity that the wall reads itself."""
    verdict = judge(indexed().world, "foo", known="bar")
    assert code(verdict) == "UnexpectedContents"
    assert "not in namespace bar" in str(verdict)


def test_only_istiod_may_ask() -> None:
    """Whoever else may create requests gets nothing from the one name."""
    verdict = judge(indexed().world, username="system:serviceaccount:bar:thief")
    assert code(verdict) == "RequesterNotAllowed"


def below(name: str, above: CA) -> IssuerState:
    """An issuer whose CA is an intermediate."""
    made = above.intermediate(name)
    data = made.secret()
    found = load_authority(data["tls.crt"], data["tls.key"], data["ca.crt"], now=NOW)
    return replace(ready(IssuerRef("ClusterIssuer", "", name)), authority=found)


def test_a_root_of_two_tenants_is_nobodys() -> None:
    """Below one root tenants trust each other: neither gets an answer that ends with it, and only admins read whose it is."""
    root = CA("org", now=NOW)
    states = [below("foo", root), below("bar", root)]
    world = indexed(issuers=states).world
    for namespace in ("foo", "bar"):
        verdict = judge(world, namespace, states=states)
        assert code(verdict) == "SharedRoot"
        assert isinstance(verdict, Refuse)
        other = "bar" if namespace == "foo" else "foo"
        assert other not in verdict.message.replace(f"ns/{namespace}", "").replace("another", "").replace("both", "")
        assert other in verdict.others
    alone = [below("foo", root), ready(BAR)]
    assert len(answer(judge(indexed(issuers=alone).world, "foo", states=alone))) == 3


def test_a_ca_below_another_tenants_is_refused() -> None:
    """Where bar's CA was signed by foo's, bar's workloads would trust foo's: bar gets nothing, and foo goes on."""
    foo = CA("foo", now=NOW)
    data = foo.secret()
    owner = replace(ready(FOO), authority=load_authority(data["tls.crt"], data["tls.key"], data["ca.crt"], now=NOW))
    states = [owner, below("bar", foo)]
    world = indexed(issuers=states).world
    assert code(judge(world, "bar", states=states)) == "SharedRoot"
    assert len(answer(judge(world, "foo", states=states))) == 2


def test_an_issuer_that_is_not_there_or_not_ready_is_waited_for() -> None:
    """The tenant's own issuer is named, and what it waits for is that issuer."""
    lost = recorded("foo", "lost", namespaces={"names": ["foo"]})
    verdict = judge(indexed([DOOR, lost]).world)
    assert isinstance(verdict, Wait)
    assert verdict.issuer == IssuerRef("ClusterIssuer", "", "lost")
    pending = replace(ready(FOO), ready=False, reason="ErrGetKeyPair", message="no such Secret")
    verdict = judge(indexed().world, states=[pending])
    assert isinstance(verdict, Wait)
    assert (verdict.reason.code, verdict.issuer) == ("IssuerNotReady", FOO)


@pytest.mark.parametrize("namespace", ["foo", "shop"])
def test_the_routed_signers_own_ca_signs_nothing(namespace: str) -> None:
    """Where an issuer has the routed name, whoever trusted its CA before is given nothing by it, on no path."""
    states = [ready(MESH), *map(ready, (FOO, BAR))]
    world = indexed(issuers=states).world
    verdict = judge(world, namespace, states=states)
    assert (answer(verdict)[-1] == root_of("foo")) if namespace == "foo" else (code(verdict) == "RouteMissing")
    found = authority("mesh")
    for resource in ("CertificateSigningRequest", "CertificateRequest"):
        claim = Claim(
            ISTIOD,
            MESH,
            found.key_id,
            read_request(workload_csr(namespace)),
            USAGES,
            is_ca=False,
            lifetime=None,
            resource=resource,
            namespace=namespace,
            chain=found.chain,
        )
        assert isinstance(decide(claim, world, Limits(), fresh=True, now=NOW), Refuse)


def test_a_root_that_is_not_known_is_waited_for() -> None:
    """Without its root the answer would end with a CA that workloads would take for one: ca.crt is asked for."""
    sub = CA("org", now=NOW).intermediate("foo")
    data = sub.secret()
    found = load_authority(
        data["tls.crt"].split(b"-----END CERTIFICATE-----\n")[0] + b"-----END CERTIFICATE-----\n",
        data["tls.key"],
        None,
        now=NOW,
    )
    state = replace(ready(FOO), authority=found)
    verdict = judge(indexed(issuers=[state, ready(BAR)]).world, states=[state])
    assert isinstance(verdict, Wait)
    assert (verdict.reason.code, verdict.issuer) == ("RootNotKnown", FOO)


def test_without_the_policy_the_name_is_as_ever() -> None:
    """A signer that nothing routes is its own: routing begins with the policy, and ends with it."""
    index = indexed([DOOR, *TENANTS])
    index.remove_policy("door")
    index.settle(NOW)
    assert not index.world.routed
    assert code(judge(index.world)) == "IssuerNotFound"


# What a live read says of it.


def view(index: Index, policies: Iterable[Any], spaces: Iterable[Any] = ()) -> LiveView:
    config = LiveConfig(index.world.config, index.config_maps.signers)
    return LiveView(Settings(), config, tuple(spaces or map(namespace_object, SPACES)), policies=tuple(policies))


def test_the_route_is_read_live_too() -> None:
    """Before a namespace's first certificate the route and the grant are read live: a watch may be behind with either."""
    index = indexed()
    confirm = Confirm(FOO, "foo", "uid-foo", asked=MESH)
    index.world.confirmed = {}
    assert judge(index.world) == confirm
    index.world.confirmed = {confirm.key: NOW.replace(second=5)}
    assert isinstance(judge(index.world), Issue)
    assert not against_grant(view(index, (DOOR, *TENANTS)), confirm, NOW)
    behind = {
        "is not signed by": TENANTS,
        "several signers": (DOOR, *TENANTS, recorded("two", "bar", namespaces={"names": ["foo"]})),
        "no signer of its own": (DOOR,),
    }
    for text, policies in behind.items():
        assert text in against_grant(view(index, policies), confirm, NOW)
    assert "made again" in against_grant(view(index, (DOOR, *TENANTS), REMADE), confirm, NOW)


# The kind: any mesh.

NAMES = st.sampled_from(["foo", "bar", "shop"])
LABELS = {"mesh-signer.dev/team": "a"}


@st.composite
def meshes(draw: st.DrawFn) -> Index:
    """A mesh of drawn policies, claims, owners and namespaces, each of them maybe another by now."""
    spaces = [namespace_object("istio-system")]
    for name in draw(st.sets(NAMES)):
        labels = LABELS if draw(st.booleans()) else {}
        spaces.append(namespace_object(name, "another" if draw(st.integers(0, 4)) == 0 else "", **labels))
    policies = (
        [DOOR]
        if draw(st.booleans())
        else [
            recorded(
                "door", "mesh", route="Identity", namespaces={"names": draw(st.lists(NAMES, min_size=1, unique=True))}
            )
        ]
    )
    for number in range(draw(st.integers(0, 3))):
        signers = draw(st.lists(st.sampled_from(["foo", "bar", "shop", "mesh"]), min_size=1, max_size=2, unique=True))
        among: dict[str, Any] = {"names": draw(st.lists(NAMES, min_size=1, unique=True))}
        if draw(st.booleans()):
            among = {"matchLabels": LABELS}
        policies.append(recorded(f"p{number}", *signers, namespaces=among))
    claims = [
        proxy_config(space, signer, str(number), selector=draw(st.sampled_from(["", "app"])))
        for number, (space, signer) in enumerate(draw(st.lists(st.tuples(NAMES, NAMES), max_size=3)))
    ]
    owners = [binding(signer, owner) for signer, owner in draw(st.dictionaries(NAMES, NAMES, max_size=3)).items()]
    listed = tuple(draw(st.sets(NAMES)))
    return indexed(policies, claims, owners, listed=listed, spaces=spaces)


@given(meshes(), NAMES)
def test_the_one_name_gives_nobody_anything_new(index: Index, namespace: str) -> None:
    """In any mesh: what the name gives is what the wall gives that namespace by its signer's own name, and is its only one."""
    verdict = judge(index.world, namespace)
    if not isinstance(verdict, Issue):
        if isinstance(verdict, Wait):  # a policy gives the namespace the door itself, and no issuer has its name
            assert route(index.world, MESH, namespace, now=NOW) is None
        else:
            assert isinstance(verdict, Refuse | Unready | Bind)
        return
    assert verdict.route is not None
    chosen = verdict.route.signer
    direct = judge(index.world, namespace, asked=chosen)
    assert isinstance(direct, Issue)
    assert direct.template == verdict.template
    assert answer(verdict)[-1] == root_of(chosen.name)
    assert verdict.grant.namespace == namespace
    # Nobody else's name in the request leads there.
    assert route(index.world, MESH, namespace, now=NOW) == verdict.route
    assert ISTIOD in index.world.requesters
