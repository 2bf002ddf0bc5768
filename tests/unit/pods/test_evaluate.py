"""What becomes of a Pod's request: issued for what is really there, denied for good only where nobody can mend it."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from signer.api.issuer import IssuerRef
from signer.api.pod import Pod, Surroundings
from signer.csr.answers.compose import issue, refresh_at
from signer.csr.evaluate import Circumstances
from signer.csr.outcome import Answers, AskPod, Issue
from signer.pods.evaluate import LOOK_COUNTS_FOR, SHORTEST, PodVerdict, evaluate_pod
from signer.tenancy.verdict import Bind, Limits, Refuse, Reread, Unready, Wait
from signer.tenancy.world import MeshConfig, Policy, Settings, World
from tests import pki
from tests.unit.csr.crafted import NOW, ready
from tests.unit.pods.crafted import KEY, SPEC, pod, request, seen
from tests.unit.tenancy.worlds import BAR, FOO, binding, world

OWNED = (binding(FOO, "foo"), binding(BAR, "bar"))
OTHER_TEXTS = st.text(st.characters(codec="utf-8"), max_size=30)


def judged(
    around: Surroundings | None = None,
    mesh: World | None = None,
    *,
    ref: IssuerRef = FOO,
    now: datetime = NOW,
    state: Any = None,
    fresh: bool = True,
    **fields: Any,
) -> PodVerdict:
    """The verdict on a request of namespace foo for foo's signer, its Pod being as it says."""
    mesh = mesh if mesh is not None else world(bindings=OWNED)
    circumstances = Circumstances(Limits(), mesh, "cert-manager", now)
    answers = Answers(fresh=fresh, pod=around or replace(seen(), at=now))
    return evaluate_pod(request(**fields), ref, state or ready(ref), answers, circumstances)


def code(verdict: PodVerdict) -> str:
    assert isinstance(verdict, Refuse | Unready | Wait), verdict
    return verdict.code if isinstance(verdict, Refuse) else verdict.reason.code


class TestIssued:
    def test_a_certificate_for_its_pod(self) -> None:
        """A workload's own request, of its own signer, becomes a certificate of its namespace and account, and no other names."""
        verdict = judged()
        assert isinstance(verdict, Issue), verdict
        (leaf,) = x509.load_pem_x509_certificates(issue(request(), verdict, serial=7).pem)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        assert names.critical
        assert [one.value for one in names.value] == ["spiffe://cluster.local/ns/foo/sa/web"]
        assert leaf.public_key() == KEY.public_key()
        assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert verdict.identity == "spiffe://cluster.local/ns/foo/sa/web"
        assert verdict.requester == "system:node:node-1"

    @given(
        st.integers(3600, 7_862_400),
        st.integers(60, 90 * 86_400),
        st.none() | st.integers(60, 90 * 86_400),
        st.integers(-86_400, 200 * 86_400),
        st.integers(0, 999_999),
    )
    def test_whatever_life_is_asked_for_and_allowed(
        self, asked: int, most: int, policy_most: int | None, ca_left: int, microsecond: int
    ) -> None:
        """What is issued lasts as long as the API server takes, within what was asked, the policy and the CA; else it waits."""
        now = NOW.replace(microsecond=microsecond)
        rules = [] if policy_most is None else [policy(max_lifetime=timedelta(seconds=policy_most))]
        mesh = world(
            bindings=OWNED,
            policies=tuple(rules),
            settings=Settings(max_workload_lifetime=timedelta(seconds=most)),
        )
        state = ready(FOO)
        assert state.authority is not None
        moved = state.authority.not_after - timedelta(seconds=ca_left)
        now = min(max(moved, state.authority.not_before + timedelta(minutes=2)), state.authority.not_after).replace(
            microsecond=microsecond
        )
        verdict = judged(None, mesh, now=now, max_seconds=asked)
        limit = min(asked, (policy_most if policy_most is not None else most) + 121)
        left = (state.authority.not_after - now).total_seconds()
        if not isinstance(verdict, Issue):
            assert code(verdict) in {"LifetimeTooShort", "IssuerNotReady", "NotVerifiable"}, verdict
            assert min(limit - 121, left) < 3600 or code(verdict) != "LifetimeTooShort"
            return
        template = verdict.template
        lasts = template.not_after - template.not_before
        assert SHORTEST <= lasts <= timedelta(seconds=limit)
        assert template.not_after <= state.authority.not_after
        assert timedelta(0) <= now - template.not_before <= timedelta(minutes=5)
        refresh = refresh_at(template.not_before, template.not_after)
        assert template.not_before + timedelta(minutes=10) <= refresh <= template.not_after - timedelta(minutes=10)

    def test_either_way_to_prove_a_key(self) -> None:
        """A key that comes with its own proof, as v1beta1 has it, is as good as one in a CSR; the proof is over the Pod's uid."""
        assert isinstance(judged(stub=b"", **_proof(b"uid-pod")), Issue)
        assert code(judged(stub=b"", **_proof(b"uid-other"))) == "UnsupportedKeyType"


class TestWalls:
    def test_another_tenants_signer(self) -> None:
        """A Pod of foo never gets bar's CA, and it waits: an administrator may grant it."""
        verdict = judged(ref=BAR, signer_name="clusterissuers.cert-manager.io/bar")
        assert isinstance(verdict, Unready)
        assert code(verdict) == "TenantMismatch"

    def test_claims_are_read_live_first(self) -> None:
        """Before a Pod is told that it waits for a grant, its namespace's claims are read live."""
        verdict = judged(ref=BAR, signer_name="clusterissuers.cert-manager.io/bar", fresh=False)
        assert verdict == Reread("foo")

    def test_the_owner_is_stored_first(self) -> None:
        """The first certificate of a signer waits until it is stored who owns it, whichever door was used."""
        assert isinstance(judged(None, world()), Bind)

    @pytest.mark.parametrize("mode", ["enforce", "audit"])
    def test_nothing_is_decided_before_the_mesh_is_read(self, mode: Any) -> None:
        """As long as the mesh is not read, every request waits."""
        settings = Settings(mode=mode, audit_until=NOW + timedelta(days=1))
        verdict = judged(None, world(bindings=OWNED, unsynced="namespaces", settings=settings))
        assert code(verdict) == "MeshNotRead"

    @pytest.mark.parametrize(
        ("limits", "waits"),
        [
            ({"service_accounts": frozenset({"other"})}, "ServiceAccountNotAllowed"),
            ({"requesters": frozenset({"system:node:node-2"})}, "RequesterNotAllowed"),
            ({"trust_domains": frozenset({"other.domain"})}, "TrustDomainMismatch"),
            ({"max_lifetime": timedelta(minutes=30)}, "LifetimeTooShort"),
        ],
    )
    def test_a_policys_limits(self, limits: Mapping[str, Any], waits: str) -> None:
        """Each limit of a SignerPolicy holds at this door too; what it keeps out waits, since the policy may change."""
        mesh = world(bindings=OWNED, policies=(policy(**limits),))
        assert code(judged(None, mesh)) == waits
        assert isinstance(judged(None, world(bindings=OWNED, policies=(policy(),))), Issue)

    def test_a_policy_lets_certain_nodes_ask(self) -> None:
        """Where a policy lists requesters, a node that it lists may ask."""
        mesh = world(bindings=OWNED, policies=(policy(requesters=frozenset({"system:node:node-1"})),))
        assert isinstance(judged(None, mesh), Issue)

    def test_audit_mode_signs_and_tells(self) -> None:
        """Audit mode issues what it would keep waiting, with the same names, and says what enforcing would have said."""
        settings = Settings(mode="audit", audit_until=NOW + timedelta(days=1))
        mesh = world(bindings=OWNED, settings=settings)
        verdict = judged(None, mesh, ref=BAR, signer_name="clusterissuers.cert-manager.io/bar")
        assert isinstance(verdict, Issue), verdict
        assert verdict.identity == "spiffe://cluster.local/ns/foo/sa/web"
        assert [one.code for one in verdict.grant.would_refuse] == ["TenantMismatch"]

    @pytest.mark.parametrize(
        ("domains", "gets"),
        [
            ({"": frozenset({"one.example"})}, "one.example"),
            ({"": frozenset({"one.example"}), "blue": frozenset({"two.example"})}, "one.example"),
            ({"blue": frozenset({"two.example"})}, "two.example"),
            ({"blue": frozenset({"two.example"}), "green": frozenset({"three.example"})}, None),
        ],
    )
    def test_which_trust_domain(self, domains: Mapping[str, frozenset[str]], gets: str | None) -> None:
        """A request names none: it is that of the revision without a name, else the only one; of several nobody guesses."""
        every = frozenset[str]().union(*domains.values())
        config = MeshConfig(trust_domains=every, domains=domains, signers=frozenset({FOO, BAR}))
        verdict = judged(None, world(bindings=OWNED, config=config))
        if gets is None:
            assert code(verdict) == "TrustDomainMismatch"
        else:
            assert isinstance(verdict, Issue)
            assert verdict.identity == f"spiffe://{gets}/ns/foo/sa/web"


DOOR = IssuerRef("ClusterIssuer", "", "mesh")


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("given", [False, True])
def test_a_pod_names_its_tenants_signer(*, given: bool, there: bool) -> None:
    """A Pod that names what is routed by identity waits, and is told which signer is its namespace's, whether an issuer has the name or not."""
    door = Policy("door", frozenset({DOOR}), route="Identity")
    own = (Policy("foo", frozenset({FOO}), namespaces=frozenset({"foo"})),) if given else ()
    mesh = world(claimed={}, policies=(door, *own), routed=frozenset({DOOR}))
    mesh.naming = {"foo": {one.name: one for one in mesh.policies.get(FOO, ())}}
    around = Circumstances(Limits(), mesh, "cert-manager", NOW)
    answers = Answers(fresh=True, pod=replace(seen(), at=NOW))
    verdict = evaluate_pod(request(), DOOR, ready(DOOR) if there else None, answers, around)
    assert isinstance(verdict, Unready)
    assert verdict.reason.code == "TenantMismatch"
    assert ("clusterissuers.cert-manager.io/foo" in verdict.reason.message) == given
    assert isinstance(judged(mesh=mesh), Issue) == given


class TestPods:
    def test_the_pod_is_looked_at_last(self) -> None:
        """No certificate is signed for a Pod that nobody looked at within the last seconds."""
        assert judged(replace(seen(), at=NOW - LOOK_COUNTS_FOR - timedelta(seconds=1))) == AskPod()
        assert judged(replace(seen(), at=NOW + timedelta(seconds=1))) == AskPod()
        circumstances = Circumstances(Limits(), world(bindings=OWNED), "cert-manager", NOW)
        assert evaluate_pod(request(), FOO, ready(), Answers(), circumstances) == AskPod()

    @given(
        st.fixed_dictionaries(
            {},
            optional={
                "pod_uid": st.sampled_from(["uid-pod", "uid-other", ""]),
                "service_account": st.sampled_from(["web", "admin", "default"]),
                "service_account_uid": st.sampled_from(["uid-account", "uid-other", ""]),
                "node_name": st.sampled_from(["node-1", "node-2", ""]),
                "node_uid": st.sampled_from(["uid-node", "uid-other", ""]),
            },
        ),
        st.none()
        | st.builds(
            pod,
            uid=st.sampled_from(["uid-pod", "uid-other", ""]),
            node=st.sampled_from(["node-1", "node-2", ""]),
            account=st.sampled_from(["web", "admin", ""]),
            phase=st.sampled_from(["", "Pending", "Running", "Unknown", "Succeeded", "Failed"]),
        ),
        st.sampled_from(["uid-account", "uid-other", ""]),
        st.sampled_from(["uid-node", "uid-other", ""]),
    )
    def test_whatever_is_there(
        self, claims: dict[str, Any], found: Pod | None, account_uid: str, node_uid: str
    ) -> None:
        """A certificate is issued exactly if Pod, account and node are there as the request says; what can come again waits."""
        there = Surroundings(found, account_uid, node_uid, NOW)
        verdict = judged(there, **claims)
        says = dict(SPEC) | claims
        same_pod = (
            found is not None
            and found.metadata.uid == says["pod_uid"] != ""
            and found.spec.node_name == says["node_name"] != ""
            and found.spec.service_account_name == says["service_account"]
            and found.status.phase not in {"Succeeded", "Failed"}
        )
        same_rest = account_uid == says["service_account_uid"] != "" and node_uid == says["node_uid"] != ""
        if not same_pod:
            assert isinstance(verdict, Refuse)
        elif not same_rest:
            assert isinstance(verdict, Unready)
        else:
            assert isinstance(verdict, Issue)

    @pytest.mark.parametrize(
        ("there", "outcome"),
        [
            (seen(), Issue),
            (seen(pod(phase="Running")), Issue),
            (seen(pod(uid="uid-other")), Refuse),
            (seen(pod(node="node-2")), Refuse),
            (seen(pod(node="")), Refuse),
            (seen(pod(account="admin")), Refuse),
            (seen(pod(phase="Succeeded")), Refuse),
            (seen(pod(phase="Failed")), Refuse),
            (replace(seen(), pod=None), Refuse),
            (seen(service_account_uid="uid-other"), Unready),
            (seen(service_account_uid=""), Unready),
            (seen(node_uid="uid-other"), Unready),
            (seen(node_uid=""), Unready),
        ],
    )
    def test_one_thing_is_otherwise(self, there: Surroundings, outcome: type[PodVerdict]) -> None:
        """Each thing that a certificate rests on is enough to stop it."""
        assert isinstance(judged(there), outcome)

    def test_nothing_is_not_something(self) -> None:
        """A request that names no uid is nobody's, even where nobody is."""
        assert isinstance(judged(seen(service_account_uid=""), service_account_uid=""), Unready)
        assert isinstance(judged(seen(node_uid=""), node_uid=""), Unready)
        assert isinstance(judged(seen(pod(uid="")), pod_uid=""), Refuse)


class TestDenied:
    @given(st.lists(OTHER_TEXTS, min_size=1, max_size=20))
    def test_any_annotation(self, keys: list[str]) -> None:
        """Whatever is said to the signer in annotations is denied, with Kubernetes' own reason, and the first keys are told."""
        verdict = judged(annotations=tuple(keys))
        assert isinstance(verdict, Refuse)
        assert verdict.code == "InvalidUnverifiedUserAnnotations"

    @given(st.binary(max_size=400) | st.sampled_from([SPEC["stub"][:-1], SPEC["stub"] + b"\0", b"\x30\x80"]))
    def test_any_bytes_for_a_key(self, data: bytes) -> None:
        """Bytes that are no proven key end in a denial, never in an exception, wherever they stand."""
        wrong: list[dict[str, Any]] = [{"stub": data}, {"stub": b"", "key": data, "proof": data}]
        for fields in wrong:
            verdict = judged(**fields)
            assert isinstance(verdict, Refuse), verdict
            assert verdict.code == "UnsupportedKeyType"

    @pytest.mark.parametrize("kind", ["p384", "p521", "rsa3072", "ed25519"])
    def test_kinds_of_keys(self, kind: str) -> None:
        """A kind of key that a policy opens is issued, and without that Ed25519 is denied, since Envoy cannot use it."""
        verdict = judged(stub=pki.stub(pki.key(kind)))
        if kind == "ed25519":
            assert code(verdict) == "UnsupportedKeyType"
            assert isinstance(verdict, Refuse)
        else:
            assert isinstance(verdict, Issue)

    def test_a_csr_that_asks_for_more_than_a_key(self) -> None:
        """A stub with names in it is not what a kubelet writes: nothing in it would be looked at, so it is denied."""
        named = x509.load_pem_x509_csr(pki.csr(KEY, uris=[pki.spiffe("bar")]))
        subject = x509.load_pem_x509_csr(pki.csr(KEY, subject=pki.name("bar")))
        for one in (named, subject):
            assert code(judged(stub=one.public_bytes(serialization.Encoding.DER))) == "UnsupportedKeyType"

    @given(OTHER_TEXTS, OTHER_TEXTS)
    def test_any_names(self, namespace: str, account: str) -> None:
        """Names that make no SPIFFE ID are nobody's identity, however they are spelt: no certificate, and no exception."""
        verdict = judged(namespace=namespace, service_account=account)
        assert not isinstance(verdict, Issue)


def test_an_issuer_that_is_not_there_yet() -> None:
    """A request for an issuer that does not exist, or is not ready, waits for it."""
    circumstances = Circumstances(Limits(), world(bindings=OWNED), "cert-manager", NOW)
    assert isinstance(evaluate_pod(request(), FOO, None, Answers(), circumstances), Wait)


def test_an_issuer_of_ones_own_namespace() -> None:
    """The Issuer of a namespace is its Pods', and nobody else's."""
    own, others = IssuerRef("Issuer", "foo", "ca"), IssuerRef("Issuer", "bar", "ca")
    mesh = world(bindings=OWNED, keys={})
    name = "issuers.cert-manager.io/"
    assert isinstance(judged(None, mesh, ref=own, signer_name=f"{name}foo.ca"), Issue)
    assert isinstance(judged(None, mesh, ref=others, signer_name=f"{name}bar.ca"), Unready)


def policy(**limits: Any) -> Policy:
    values: dict[str, Any] = {"name": "foo", "signers": frozenset({FOO}), "namespaces": frozenset({"foo"})}
    return Policy(**(values | limits))


def _proof(message: bytes) -> dict[str, Any]:
    spki, signature = pki.proof(KEY, message)
    return {"key": spki, "proof": signature}


def test_when_it_is_asked_anew() -> None:
    """Two thirds through, in whole seconds, whatever the life."""
    begins = datetime(2026, 1, 1, tzinfo=UTC)
    assert refresh_at(begins, begins + timedelta(hours=1)) == begins + timedelta(minutes=40)
