"""The World from the objects of the cluster: who owns a signer, and which keys are the mesh's."""

from datetime import UTC, datetime, timedelta

import msgspec

from issuers.authority import load_authority
from signer.api.issuer import IssuerRef
from signer.api.signerrecord import SignerRecord
from signer.tenancy.index import Index
from signer.tenancy.records import new_record
from signer.tenancy.world import Settings
from tests import pki
from tests.unit.csr.crafted import authority
from tests.unit.tenancy.indexed import BAR, FOO, NOW, SHOP, binding, mesh, policy, proxy_config


def record(index: Index, signer: IssuerRef) -> None:
    """A signer's CA signs for the mesh: it is recorded before."""
    index.settle(NOW)
    status = index.unrecorded(signer, NOW)
    assert status is not None
    body = new_record(signer) | {"status": {key: value for key, value in status.items() if value is not None}}
    body["metadata"]["uid"] = signer.name
    index.put_record(msgspec.convert(body, SignerRecord))
    index.settle(NOW)


class TestOwners:
    def test_the_end_of_a_claim(self, index: Index) -> None:
        """That an owner claims no more is known at once, before its status says so, and again no more when it claims."""
        index.proxy_configs.put(proxy_config("foo", "foo"))
        index.put_binding(binding("foo", "foo"))
        index.settle(NOW)
        index.proxy_configs.remove("foo", "default", "foo/default")
        index.settle(NOW)
        index.put_policy(policy("p", "foo"))  # something else that touches it later
        index.settle(NOW + timedelta(hours=1))
        assert index.world.bindings[FOO].claim_ended == NOW
        index.proxy_configs.put(proxy_config("foo", "foo"))
        index.settle(NOW + timedelta(hours=2))
        assert index.world.bindings[FOO].claim_ended is None

    def test_nothing_ends_before_all_was_read(self) -> None:
        """A claim that was not read yet has not ended."""
        index = Index(Settings())
        index.put_binding(binding("foo", "foo"))
        index.settle(NOW)
        assert index.world.bindings[FOO].claim_ended is None
        index.world.unsynced = ""
        index.touch_all()
        index.settle(NOW)
        assert index.world.bindings[FOO].claim_ended == NOW

    def test_what_the_status_says(self, index: Index) -> None:
        """What is stored counts: an end that was written down is not made later."""
        index.put_binding(binding("foo", "foo", claimEndedTime="2026-11-01T00:00:00Z"))
        index.settle(NOW)
        assert index.world.bindings[FOO].claim_ended == datetime(2026, 11, 1, tzinfo=UTC)

    def test_issued(self, index: Index) -> None:
        """The owner's newest certificate is known to the minute; another namespace's is none of the owner's."""
        index.put_binding(binding("foo", "foo", lastIssuedTime="2026-11-23T11:00:00Z"))
        index.settle(NOW)
        assert not index.issued(FOO, "bar", NOW)
        assert not index.issued(BAR, "foo", NOW)
        assert index.issued(FOO, "foo", NOW)
        assert not index.issued(FOO, "foo", NOW + timedelta(seconds=59))
        assert index.world.bindings[FOO].last_issued == NOW
        index.put_binding(binding("foo", "foo", lastIssuedTime="2026-11-23T13:00:00Z"))
        index.settle(NOW)
        assert index.world.bindings[FOO].last_issued == NOW + timedelta(hours=1)

    def test_released(self, index: Index) -> None:
        """A binding that an admin removed is gone with all that was known of it; a late word of an earlier one is not heard."""
        index.put_binding(binding("foo", "foo", own="new"))
        index.remove_binding("foo", "old")
        assert FOO in index.world.bindings
        index.issued(FOO, "foo", NOW)
        index.remove_binding("foo", "new")
        assert FOO in index.settle(NOW)
        assert FOO not in index.world.bindings
        index.put_binding(binding("foo", "foo"))
        index.settle(NOW)
        assert index.world.bindings[FOO].last_issued is None

    def test_an_owned_signer_stays_the_meshs(self, index: Index) -> None:
        """A signer with an owner stays behind the wall when the mesh config no longer names it, until it is released."""
        index.put_binding(binding("foo", "foo"))
        index.config_maps.put("istio", mesh())
        index.settle(NOW)
        assert index.world.signers == {FOO}
        index.remove_binding("foo", "b")
        index.settle(NOW)
        assert index.world.signers == frozenset()


class TestKeys:
    def test_of_mesh_signers_only(self, index: Index) -> None:
        """The key of a mesh signer is behind the wall, whoever else has it; an unrelated issuer's is not."""
        other = IssuerRef("Issuer", "shop", "ca")
        index.put_key(FOO, "k")
        index.put_key(BAR, "k")
        index.put_key(other, "z")
        index.settle(NOW)
        assert index.world.keys == {"k": {FOO, BAR}}

    def test_a_signer_that_becomes_the_meshs(self, index: Index) -> None:
        """A key that was known before its issuer became a mesh signer is found then."""
        index.put_key(SHOP, "s")
        index.settle(NOW)
        index.config_maps.put("istio", mesh("shop"))
        index.settle(NOW)
        assert index.world.keys == {"s": {SHOP}}

    def test_old_keys_stay(self, index: Index) -> None:
        """A key that a mesh signer signed with is not free because its CA changed, or because its issuer was deleted."""
        for ca in ("foo", "bar"):
            index.put_key(FOO, authority(ca).key_id, authority(ca).chain)
            record(index, FOO)
        index.forget_keys(FOO)
        index.settle(NOW)
        assert index.world.keys == {authority("foo").key_id: {FOO}, authority("bar").key_id: {FOO}}
        # One that never signed is nobody's.
        index.put_key(BAR, "mistaken")
        index.put_key(BAR, "own")
        index.settle(NOW)
        assert "mistaken" not in index.world.keys
        assert index.world.keys["own"] == {BAR}
        index.forget_keys(BAR)
        index.settle(NOW)
        assert "own" not in index.world.keys
        index.put_key(SHOP, "s")
        index.forget_keys(SHOP)
        index.config_maps.put("istio", mesh("shop"))
        index.settle(NOW)
        assert index.world.keys == {}

    def test_by_the_root_in_the_mesh_config(self, index: Index) -> None:
        """A mesh signer whose CA was never seen is known by the root that stands beside it in the mesh config."""
        ca = pki.CA("root", now=NOW)
        index.config_maps.put("istio", mesh("foo", pem=ca.pem.decode()))
        index.settle(NOW)
        assert index.world.keys == {
            load_authority(ca.pem, ca.key_pem, None, now=ca.certificate.not_valid_before_utc).key_id: {FOO}
        }
        index.put_key(FOO, "its own")
        index.settle(NOW)
        assert index.world.keys == {"its own": {FOO}}
        # An intermediate's root is still what its workloads trust.
        assert index.world.root_keys == {
            load_authority(ca.pem, ca.key_pem, None, now=ca.certificate.not_valid_before_utc).key_id
        }
