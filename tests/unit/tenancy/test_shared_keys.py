"""One CA behind several signers: whoever signed with it first goes on, and nobody gets by it what is another's.

A history of CAs, signatures, records deleted and restarts is made up; what is right is told from the history alone.
"""

from dataclasses import dataclass, field
from datetime import timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.issuer import IssuerRef
from signer.api.signerrecord import SignerRecord
from signer.tenancy.decide import Decision, decide
from signer.tenancy.index import Index
from signer.tenancy.records import new_record, record_name
from signer.tenancy.verdict import Claim, Confirm, Grant, Limits, Refuse
from signer.tenancy.world import Settings
from tests.pki import csr, spiffe, workload_csr
from tests.unit.csr.crafted import authority
from tests.unit.tenancy.indexed import NOW, binding, mesh, namespace_object, policy, proxy_config
from tests.unit.tenancy.worlds import claim

TENANTS = ("foo", "bar", "team")
CAS = ("one", "two", "three")


def ref(tenant: str) -> IssuerRef:
    return IssuerRef("ClusterIssuer", "", tenant)


@dataclass
class History:
    """Three tenants with a signer each. `signed` says by (CA, tenant) when one first signed with a CA, until that is deleted."""

    given_out: bool = False
    at: int = 0
    now: dict[str, str] = field(default_factory=dict)
    signed: dict[tuple[str, str], int] = field(default_factory=dict)
    records: dict[str, SignerRecord] = field(default_factory=dict)
    index: Index = field(default_factory=lambda: Index(Settings()))

    def __post_init__(self) -> None:
        self.index = self.started()

    def started(self) -> Index:
        """A process that starts now."""
        index = Index(Settings())
        index.world.unsynced = ""
        for space in (*TENANTS, "istio-system", "cert-manager"):
            index.put_namespace(namespace_object(space))
        index.config_maps.put("istio", mesh(*TENANTS))
        for tenant in TENANTS:
            index.proxy_configs.put(proxy_config(tenant, tenant))
            index.put_binding(binding(tenant, tenant))
        if self.given_out:
            obj = policy("p", "team", namespaces={"names": ["team"], "remade": "Allow"}, certificateRequests={})
            index.put_policy(obj)
        for tenant, ca in self.now.items():
            index.put_key(ref(tenant), authority(ca).key_id, authority(ca).chain)
        for record in self.records.values():
            index.put_record(record)
        index.settle(NOW)
        return index

    def ca(self, tenant: str, ca: str) -> None:
        self.now[tenant] = ca
        self.index.put_key(ref(tenant), authority(ca).key_id, authority(ca).chain)
        self.index.settle(NOW)

    def ask(self, tenant: str, signer: str = "") -> Decision:
        """A workload asks; where it is granted, what that rests on is stored before (MeshWatcher.confirm)."""
        signer = signer or tenant
        verdict = self.decide(self.workload(tenant, signer))
        if isinstance(verdict, Confirm | Grant):
            self.signed.setdefault((self.now[signer], signer), self.at)
            status = self.index.unrecorded(ref(signer), NOW + timedelta(seconds=self.at))
            if status is not None:
                body = new_record(ref(signer)) | {
                    "status": {key: one for key, one in status.items() if one is not None}
                }
                body["metadata"] |= {"uid": f"{signer}-{self.at}"}
                self.records[signer] = msgspec.convert(body, SignerRecord)
                self.index.put_record(self.records[signer])
                self.index.settle(NOW)
        return verdict

    def workload(self, tenant: str, signer: str) -> Claim:
        ca = authority(self.now[signer])
        return claim(tenant, ref(signer), csr=workload_csr(tenant), ca_key_id=ca.key_id, chain=ca.chain)

    def certificate(self, tenant: str) -> Decision:
        """A CertificateRequest of a tenant for its signer."""
        found = claim(tenant, ref(tenant), csr=csr(uris=[spiffe(tenant)]), ca_key_id=authority(self.now[tenant]).key_id)
        values = {one: getattr(found, one) for one in found.__struct_fields__}
        values |= {"resource": "CertificateRequest", "namespace": tenant, "requester": "", "usages": ("server auth",)}
        return self.decide(Claim(**values))

    def decide(self, asked: Claim) -> Decision:
        return decide(asked, self.index.world, Limits(), fresh=True, now=NOW)

    def forget(self, tenant: str) -> None:
        """An admin deletes a SignerRecord."""
        self.signed = {key: at for key, at in self.signed.items() if key[1] != tenant}
        if (record := self.records.pop(tenant, None)) is not None:
            self.index.remove_record(record_name(ref(tenant)), record.metadata.uid)
            self.index.settle(NOW)

    def right(self, tenant: str) -> bool:
        """Whether a tenant may have its own signer: no other has, or had, this CA that did not sign after it."""
        ca = self.now[tenant]
        mine = self.signed.get((ca, tenant))
        for other in TENANTS:
            theirs = self.signed.get((ca, other))
            if other == tenant or (theirs is None and self.now.get(other) != ca):
                continue
            if mine is None or (theirs is not None and theirs <= mine):
                return False
        return True


events = st.lists(
    st.one_of(
        st.tuples(st.just("ca"), st.sampled_from(TENANTS), st.sampled_from(CAS)),
        st.tuples(st.just("ca"), st.sampled_from(TENANTS), st.sampled_from(CAS)),
        st.tuples(st.just("ask"), st.sampled_from(TENANTS)),
        st.tuples(st.just("ask"), st.sampled_from(TENANTS)),
        st.tuples(st.just("forget"), st.sampled_from(TENANTS)),
        st.tuples(st.just("restart")),
    ),
    max_size=16,
)


def happen(history: History, event: tuple[str, ...]) -> None:
    history.at += 1
    match event:
        case ("ca", tenant, ca):
            history.ca(tenant, ca)
        case ("ask", tenant) if tenant in history.now:
            history.ask(tenant)
        case ("forget", tenant):
            history.forget(tenant)
        case ("restart",):
            history.index = history.started()


@given(events)
def test_who_signed_first_goes_on(happened: list[tuple[str, ...]]) -> None:
    """For any history: an owner is refused for another's CA exactly where no signature of its own came first."""
    history = History()
    for event in happened:
        happen(history, event)
        for tenant in history.now:
            verdict = history.decide(history.workload(tenant, tenant))
            assert isinstance(verdict, Confirm | Grant) == history.right(tenant), (event, tenant, verdict)
            for other in history.now.keys() - {tenant}:
                assert isinstance(history.decide(history.workload(tenant, other)), Refuse)
        # Keys are known as long as somebody has them, or signed with them, and nobody's record has more.
        known = {(ca, tenant) for tenant, ca in history.now.items()} | history.signed.keys()
        expected = {authority(ca).key_id: {ref(one) for key, one in known if key == ca} for ca, _ in known}
        assert history.index.world.keys == expected


@given(events)
def test_certificates_of_a_policy(happened: list[tuple[str, ...]]) -> None:
    """A policy of a signer opens another owner's CA to nobody: not to workloads, and not to CertificateRequests."""
    history = History(given_out=True)
    for event in happened:
        happen(history, event)
        if "team" in history.now:
            for verdict in (history.certificate("team"), history.decide(history.workload("team", "team"))):
                assert isinstance(verdict, Confirm | Grant) == history.right("team"), (event, verdict)


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("given_out", [False, True])
def test_a_wrong_secret_name(*, restarted: bool, given_out: bool) -> None:
    """A newcomer's signer over an owner's CA stops nobody but itself, and leaves nothing behind once it is mended."""
    history = History(given_out)
    for event in (("ca", "bar", "one"), ("ask", "bar"), ("ca", "team", "one"), ("ask", "team")):
        happen(history, event)
    if restarted:
        history.index = history.started()
    assert isinstance(history.decide(history.workload("bar", "bar")), Confirm | Grant)
    refused = history.decide(history.workload("team", "team"))
    assert isinstance(refused, Refuse)
    assert refused.code == "TenantMismatch"
    assert "bar" not in refused.message
    assert "ClusterIssuer bar" in refused.others
    assert isinstance(history.certificate("team"), Refuse)
    assert "team" not in history.records
    happen(history, ("ca", "team", "two"))
    assert isinstance(history.ask("team"), Confirm | Grant)
    assert history.index.world.keys[authority("one").key_id] == {ref("bar")}


def test_the_same_second() -> None:
    """Of two that are recorded with the same time neither goes on; of two that never signed neither either."""
    history = History()
    for event in (("ca", "bar", "one"), ("ca", "team", "one")):
        happen(history, event)
    history.at = 0
    for signer in ("bar", "team"):
        assert isinstance(history.decide(history.workload(signer, signer)), Refuse)
        status = history.index.unrecorded(ref(signer), NOW)
        assert status is not None
        body = new_record(ref(signer)) | {"status": {key: one for key, one in status.items() if one is not None}}
        history.index.put_record(msgspec.convert(body, SignerRecord))
    history.index.settle(NOW)
    for signer in ("bar", "team"):
        assert isinstance(history.decide(history.workload(signer, signer)), Refuse)


def test_one_that_was_recorded_before() -> None:
    """What an earlier version recorded of such a signer does not stop the owner; deleted, it is not written again."""
    history = History()
    for event in (("ca", "bar", "one"), ("ask", "bar"), ("ca", "team", "one")):
        happen(history, event)
    status = history.index.unrecorded(ref("team"), NOW + timedelta(minutes=1))
    assert status is not None
    body = new_record(ref("team")) | {"status": {key: one for key, one in status.items() if one is not None}}
    body["metadata"] |= {"uid": "earlier"}
    history.records["team"] = msgspec.convert(body, SignerRecord)
    history.index.put_record(history.records["team"])
    happen(history, ("ca", "team", "two"))
    assert isinstance(history.ask("bar"), Confirm | Grant)
    assert history.index.world.keys[authority("one").key_id] == {ref("bar"), ref("team")}
    history.forget("team")
    assert history.index.world.keys[authority("one").key_id] == {ref("bar")}
    found = history.index.unrecorded(ref("team"), NOW, signs=False)
    assert found is None or not found["certificates"]
    # An answer to a write that comes after the deletion was told brings nothing back.
    assert history.index.released("earlier")


def test_whoever_signed_is_recorded_in_audit_mode_at_once() -> None:
    """Where refusals are only told, a CA signs unasked: there what is seen counts."""
    index = Index(Settings(mode="audit"))
    index.world.unsynced = ""
    index.config_maps.put("istio", mesh("foo"))
    for ca in ("one", "two"):
        index.put_key(ref("foo"), authority(ca).key_id, authority(ca).chain)
        index.settle(NOW)
    assert {authority("one").key_id, authority("two").key_id} == index.world.keys.keys()
    status = index.unrecorded(ref("foo"), NOW, signs=False)
    assert status is not None
    assert len(status["certificates"]) == 2
