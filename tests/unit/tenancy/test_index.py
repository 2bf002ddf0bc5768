"""The world follows the objects: what comes, changes and goes, and what must not lower the wall when it goes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from issuers.authority import load_authority
from signer.api.issuer import IssuerRef
from signer.api.namespace import NamespaceObject
from signer.api.proxyconfig import ProxyConfig
from signer.api.signerbinding import SignerBinding
from signer.api.signerpolicy import SignerPolicy
from signer.tenancy.index import Index
from signer.tenancy.world import Namespace, Settings
from tests import pki

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
FOO, BAR, SHOP = (IssuerRef("ClusterIssuer", "", name) for name in ("foo", "bar", "shop"))
DOMAIN = "clusterissuers.cert-manager.io"


def proxy_config(
    namespace: str, signer: str = "", name: str = "default", uid: str = "", selector: str = "", age: int = 0
) -> ProxyConfig:
    spec: dict[str, Any] = {"environmentVariables": {"ISTIO_META_CERT_SIGNER": signer}} if signer else {}
    if selector:
        spec["selector"] = {"matchLabels": {"app": selector}}
    created = (NOW - timedelta(hours=age)).isoformat()
    metadata = {"namespace": namespace, "name": name, "uid": uid or f"{namespace}/{name}", "creationTimestamp": created}
    return msgspec.convert({"metadata": metadata, "spec": spec}, ProxyConfig)


def namespace_object(name: str, uid: str = "", **labels: str) -> NamespaceObject:
    return msgspec.convert({"metadata": {"name": name, "uid": uid or f"uid-{name}", "labels": labels}}, NamespaceObject)


def policy(name: str, *signers: str, **spec: Any) -> SignerPolicy:
    body = {"signers": [f"{DOMAIN}/{signer}" for signer in signers], **spec}
    return msgspec.convert({"metadata": {"name": name, "uid": name}, "spec": body}, SignerPolicy)


def binding(name: str, namespace: str, uid: str = "", *, own: str = "b", **status: str) -> SignerBinding:
    spec = {"signerName": f"{DOMAIN}/{name}", "namespace": namespace, "namespaceUID": uid or f"uid-{namespace}"}
    metadata = {"name": name, "uid": own, "creationTimestamp": "2026-01-01T00:00:00Z"}
    return msgspec.convert({"metadata": metadata, "spec": spec, "status": status}, SignerBinding)


def mesh(*signers: str, extra: str = "", pem: str = "x") -> dict[str, str]:
    listed = "".join(f"\n  - {DOMAIN}/{signer}" for signer in signers)
    text = f"caCertificates:\n- pem: {msgspec.json.encode(pem).decode()}\n  certSigners:{listed or ' []'}\n{extra}"
    return {"mesh": text}


@pytest.fixture
def index() -> Index:
    """An index of a mesh with two signers and two namespaces, all of it read."""
    made = Index(Settings())
    made.world.unsynced = ""
    made.config_maps.put("istio", mesh("foo", "bar"))
    for name in ("foo", "bar"):
        made.put_namespace(namespace_object(name))
    made.settle(NOW)
    return made


class TestMesh:
    def test_signers_of_every_source(self, index: Index) -> None:
        """Mesh signers are those of caCertificates, of the default, of the root namespace, of policies, and the owned."""
        extra = "defaultConfig:\n  proxyMetadata:\n    ISTIO_META_CERT_SIGNER: plain\n"
        index.config_maps.put("istio", mesh("foo", extra=extra))
        index.proxy_configs.put(proxy_config("istio-system", "root"))
        index.put_policy(policy("p", "told"))
        index.put_binding(binding("owned", "foo"))
        index.settle(NOW)
        assert {ref.name for ref in index.world.signers} == {"foo", "plain", "root", "told", "owned"}
        assert {ref.name for ref in index.world.defaults} == {"plain", "root"}

    def test_the_default_of_the_root_namespace(self, index: Index) -> None:
        """The oldest ProxyConfig without a selector is the mesh's default; one with a selector never is."""
        index.proxy_configs.put(proxy_config("istio-system", "selected", "a", selector="x", age=9))
        index.proxy_configs.put(proxy_config("istio-system", "old", "b", age=8))
        index.proxy_configs.put(proxy_config("istio-system", "new", "c", age=7))
        index.settle(NOW)
        assert {ref.name for ref in index.world.defaults} == {"old"}
        index.proxy_configs.remove("istio-system", "b", "istio-system/b")
        index.settle(NOW)
        assert {ref.name for ref in index.world.defaults} == {"new"}

    def test_the_root_namespace_moves(self, index: Index) -> None:
        """Where the mesh config names another root namespace, its ProxyConfig is the default, and no longer the first."""
        index.proxy_configs.put(proxy_config("istio-system", "one"))
        index.proxy_configs.put(proxy_config("mesh-root", "two"))
        index.config_maps.put("istio", mesh(extra="rootNamespace: mesh-root\n"))
        index.settle(NOW)
        assert {ref.name for ref in index.world.defaults} == {"two"}

    def test_requesters(self, index: Index) -> None:
        """Istiod's accounts are those of its namespace and its known revisions, unless they are listed."""
        account = "system:serviceaccount:istio-system:istiod"
        assert index.world.requesters == {account}
        index.config_maps.put("istio-canary", mesh())
        index.settle(NOW)
        assert index.world.requesters == {account, f"{account}-canary"}
        index.config_maps.put("istio-canary", None)
        index.settle(NOW)
        assert index.world.requesters == {account}
        listed = Index(Settings(istiod_accounts=frozenset({"jane"})))
        listed.settle(NOW)
        assert listed.world.requesters == {"jane"}

    def test_a_config_map_that_breaks(self, index: Index) -> None:
        """While a mesh config cannot be read, what it last said counts, and the problem is told by name."""
        before = index.world.config.signers
        problems = index.config_maps.put("istio", {"mesh": "a: [b"})
        index.settle(NOW)
        assert problems
        assert problems[0].startswith("ConfigMap istio-system/istio: mesh: ")
        assert index.world.config.signers == before
        assert index.world.config.trust_domains == {"cluster.local"}
        assert index.config_maps.unreadable == {}
        assert index.config_maps.put("istio", mesh("foo")) == ()
        index.settle(NOW)
        assert index.world.signers == {FOO}

    def test_a_config_map_that_never_could_be_read(self) -> None:
        """A mesh config that was never readable is no empty one: nothing may be decided before it is mended."""
        index = Index(Settings())
        index.config_maps.put("istio", {"mesh": "- 1"})
        assert list(index.config_maps.unreadable) == ["istio"]
        index.config_maps.put("istio", mesh("foo"))
        assert index.config_maps.unreadable == {}
        index.config_maps.put("istio", {"mesh": "- 1"})
        assert index.config_maps.unreadable == {}

    def test_what_is_read_again(self, index: Index) -> None:
        """A mesh config that a live read brings unchanged is not worked in once more, and its problems are told again."""
        problems = index.config_maps.put("istio", {"mesh": "caCertificates: 7\n"})
        index.settle(NOW)
        config = index.world.config
        assert index.config_maps.put("istio", {"mesh": "caCertificates: 7\n", "other": "x"}) == problems != ()
        index.settle(NOW)
        assert index.world.config is config

    def test_a_field_that_breaks(self, index: Index) -> None:
        """Signers that a broken field named a moment ago stay behind the wall until the field is mended."""
        index.config_maps.put("istio", {"mesh": "caCertificates: 7\n"})
        index.settle(NOW)
        assert index.world.signers == {FOO, BAR}
        index.config_maps.put("istio", mesh("bar"))
        index.settle(NOW)
        assert index.world.signers == {BAR}

    def test_a_config_map_that_goes(self, index: Index) -> None:
        """A mesh config that is deleted frees no signer while we run, until there is one again that says otherwise."""
        index.config_maps.put("istio", None)
        index.settle(NOW)
        assert index.world.signers == {FOO, BAR}
        index.config_maps.put("istio", mesh("foo"))
        index.settle(NOW)
        assert index.world.signers == {FOO}

    def test_a_config_map_of_something_else(self, index: Index) -> None:
        """A ConfigMap without a mesh config says nothing, whatever its name."""
        assert index.config_maps.put("istio-sidecar-injector", {"config": "["}) == ()
        index.settle(NOW)
        assert index.world.config.revisions == frozenset()


class TestClaims:
    def test_come_change_and_go(self, index: Index) -> None:
        """A claim is there as soon as its ProxyConfig is, follows it, and goes with it."""
        index.proxy_configs.put(proxy_config("foo", "foo"))
        assert FOO in index.settle(NOW)
        assert index.world.claims["foo"].whole == FOO
        assert index.world.claimants[FOO] == {"foo"}
        index.proxy_configs.put(proxy_config("foo", "bar"))
        assert {FOO, BAR} <= index.settle(NOW)
        assert FOO not in index.world.claimants
        assert index.world.claimants[BAR] == {"foo"}
        index.proxy_configs.remove("foo", "default", "foo/default")
        index.settle(NOW)
        assert (index.world.claims, index.world.claimants) == ({}, {})

    def test_a_deletion_that_comes_late(self, index: Index) -> None:
        """The end of an object that was made anew meanwhile takes nothing from its successor."""
        index.proxy_configs.put(proxy_config("foo", "foo", uid="new"))
        index.proxy_configs.remove("foo", "default", "old")
        index.settle(NOW)
        assert index.world.claimants[FOO] == {"foo"}

    def test_read_live(self, index: Index) -> None:
        """What was listed of one namespace replaces all that was known of it, and touches no other."""
        index.proxy_configs.put(proxy_config("foo", "foo", "a"))
        index.proxy_configs.put(proxy_config("bar", "bar"))
        index.proxy_configs.put_all("foo", [proxy_config("foo", "shop", "b")])
        index.settle(NOW)
        assert set(index.world.claimants) == {SHOP, BAR}

    def test_a_live_read_that_a_change_ran_into(self, index: Index) -> None:
        """What a live read found before the watch told of a change brings nothing back, and takes nothing away."""
        there = proxy_config("foo", "foo")
        index.proxy_configs.put(there)
        index.proxy_configs.begin_read("foo")
        index.proxy_configs.remove("foo", "default", there.metadata.uid)
        assert not index.proxy_configs.put_all("foo", [there])
        index.settle(NOW)
        assert "foo" not in index.world.claims
        index.proxy_configs.begin_read("foo")
        index.proxy_configs.put(there)
        assert not index.proxy_configs.put_all("foo", [])
        index.settle(NOW)
        assert index.world.claims["foo"].whole == FOO
        index.proxy_configs.begin_read("foo")
        index.proxy_configs.put(proxy_config("bar", "bar"))
        assert index.proxy_configs.put_all("foo", [])

    def test_a_list_after_a_gap(self, index: Index) -> None:
        """After a full list only what was in it claims."""
        for name in ("foo", "bar"):
            index.proxy_configs.put(proxy_config(name, name))
        index.proxy_configs.retain([("bar", "default")])
        index.settle(NOW)
        assert set(index.world.claims) == {"bar"}

    def test_one_namespace_among_many(self) -> None:
        """A change in one of 10,000 namespaces leaves the others alone: they are not even read again."""
        index = Index(Settings())
        for number in range(10_000):
            index.proxy_configs.put(proxy_config(f"n{number}", f"s{number}"))
        index.settle(NOW)
        others = {name: claims for name, claims in index.world.claims.items() if name != "n7"}
        for turn in range(100):
            index.proxy_configs.put(proxy_config("n7", f"t{turn}"))
            assert len(index.settle(NOW)) <= 2
        assert all(index.world.claims[name] is claims for name, claims in others.items())

    def test_one_namespace_with_very_many(self, index: Index) -> None:
        """A tenant with thousands of ProxyConfigs who changes one all the time has them read once in a while."""
        for number in range(1000):
            index.proxy_configs.put(proxy_config("foo", "foo", f"n{number}", selector="x"))
        index.settle(NOW)
        assert not index.pending
        index.proxy_configs.put(proxy_config("foo", "bar", "late", selector="x"))
        index.proxy_configs.put(proxy_config("bar", "bar"))
        index.settle(NOW + timedelta(seconds=4))
        assert index.pending
        assert index.world.claimants[BAR] == {"bar"}
        index.settle(NOW + timedelta(seconds=5))
        assert not index.pending
        assert index.world.claimants[BAR] == {"foo", "bar"}
        # What was read live counts at once: a request is decided on it.
        there = [proxy_config("foo", "foo", f"n{number}", selector="x") for number in range(1000)]
        index.proxy_configs.put_all("foo", [*there, proxy_config("foo", "shop", "live")])
        index.settle(NOW + timedelta(seconds=6))
        assert index.world.claimants[SHOP] == {"foo"}
        # A clock that was set back does not make it wait for as long.
        index.proxy_configs.put(proxy_config("foo", "shop", "another", selector="y"))
        index.settle(NOW - timedelta(hours=1))
        assert not index.pending


class TestPolicies:
    def test_by_signer(self, index: Index) -> None:
        """A policy is found by each signer that it names, beside others, in the order of their names."""
        index.put_policy(policy("b", "foo", "bar"))
        index.put_policy(policy("a", "foo"))
        assert {FOO, BAR} <= index.settle(NOW)
        assert [one.name for one in index.world.policies[FOO]] == ["a", "b"]
        index.put_policy(policy("b", "bar"))
        index.remove_policy("a")
        index.settle(NOW)
        assert set(index.world.policies) == {BAR}

    def test_one_that_cannot_be_read(self, index: Index) -> None:
        """A broken policy still makes its signers the mesh's and speaks about them."""
        assert index.put_policy(policy("p", "told", maxLifetime="long")).problem
        index.settle(NOW)
        ref = IssuerRef("ClusterIssuer", "", "told")
        assert ref in index.world.signers
        assert index.world.policies[ref][0].problem


class TestNamespaces:
    def test_made_again_by_someone_else(self, index: Index) -> None:
        """A namespace of the same name is another one: its uid tells, and its owner's claim has ended."""
        index.proxy_configs.put(proxy_config("foo", "foo"))
        index.put_binding(binding("foo", "foo"))
        index.settle(NOW)
        assert index.world.bindings[FOO].claim_ended is None
        index.remove_namespace("foo")
        index.put_namespace(namespace_object("foo", "another"))
        assert FOO in index.settle(NOW)
        assert index.world.namespaces["foo"] == Namespace("another", {})
        assert index.world.bindings[FOO].claim_ended == NOW

    def test_labels(self, index: Index) -> None:
        """Only labels under mesh-signer.dev/ are kept: the others may be the tenant's own."""
        index.put_namespace(namespace_object("foo", **{"mesh-signer.dev/team": "a", "team": "b"}))
        assert index.world.namespaces["foo"].labels == {"mesh-signer.dev/team": "a"}


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
        """A former key of a mesh signer, and that of one whose issuer was deleted, are not free because of that."""
        index.put_key(FOO, "old")
        index.put_key(FOO, "new")
        index.forget_keys(FOO)
        index.settle(NOW)
        assert index.world.keys == {"old": {FOO}, "new": {FOO}}
        index.put_key(SHOP, "s")
        index.forget_keys(SHOP)
        index.config_maps.put("istio", mesh("shop"))
        index.settle(NOW)
        assert index.world.keys == {}

    def test_by_the_root_in_the_mesh_config(self, index: Index) -> None:
        """A mesh signer whose CA was never seen is known by the root that stands beside it in the mesh config."""
        ca = pki.CA("root")
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


def test_a_policy_that_goes() -> None:
    """A signer whose last policy went is nobody's to claim for ten minutes; one that still has a policy is not held."""
    index = Index(Settings())
    for name in ("a", "b"):
        index.put_policy(policy(name, "foo"))
    index.remove_policy("a")
    index.settle(NOW)
    assert not index.world.settling
    index.remove_policy("b")
    index.settle(NOW)
    assert index.world.settling == {FOO: NOW + timedelta(minutes=10)}
