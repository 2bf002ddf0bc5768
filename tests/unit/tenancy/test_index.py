"""The World from the objects of the cluster: mesh config, ProxyConfigs, policies, namespaces."""

from datetime import timedelta

import pytest

from signer.api.issuer import IssuerRef
from signer.tenancy.index import Index
from signer.tenancy.world import Namespace, Settings
from tests.unit.tenancy.indexed import BAR, FOO, NOW, SHOP, binding, mesh, namespace_object, policy, proxy_config


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
        # The root namespace counts where the mesh config names none.
        assert {ref.name for ref in index.world.defaults} == {"plain"}

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
        """A mesh config that was never readable is not an empty one: nothing may be decided before it is mended."""
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

    def test_another_version_that_says_the_same(self, index: Index) -> None:
        """An annotation or a status that somebody writes is no change, by watch or live; the version is the new one."""
        index.proxy_configs.put(proxy_config("foo", "foo", version="1"))
        index.settle(NOW)
        index.proxy_configs.begin_read("foo")
        assert not index.proxy_configs.put(proxy_config("foo", "foo", version="2"))
        assert index.proxy_configs.put_all("foo", [proxy_config("foo", "foo", version="3")])
        assert not index.pending
        assert [one.metadata.resource_version for one in index.proxy_configs.of("foo")] == ["3"]
        assert index.proxy_configs.put(proxy_config("foo", "bar", version="4"))
        assert index.proxy_configs.put(proxy_config("foo", "bar", uid="another", version="4"))
        index.settle(NOW)
        assert index.proxy_configs.put_all("foo", [proxy_config("foo", "shop", version="5")])
        assert index.pending

    def test_a_list_after_a_gap(self, index: Index) -> None:
        """After a full list only what was in it claims."""
        for name in ("foo", "bar"):
            index.proxy_configs.put(proxy_config(name, name))
        index.proxy_configs.retain([("bar", "default")])
        index.settle(NOW)
        assert set(index.world.claims) == {"bar"}

    @pytest.mark.heavy
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
