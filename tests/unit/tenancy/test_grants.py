"""Who may have which signer: policy, own Issuer, mesh default, claim with ownership; the first that speaks decides."""

from dataclasses import replace
from datetime import timedelta

import pytest

from signer.api.issuer import IssuerRef
from signer.tenancy.grants import Claimable, Granted, NotGranted, granted
from signer.tenancy.world import HadDefault, Namespace, Policy, Settings, World
from tests.unit.csr.crafted import NOW
from tests.unit.tenancy.worlds import BAR, DEFAULT, FOO, OTHER, TEAM, binding, claims, uid, world


def code(found: Granted | Claimable | NotGranted) -> str:
    return found.reason.code if isinstance(found, NotGranted) else type(found).__name__


def ask(mesh: World, namespace: str, signer: IssuerRef) -> str:
    return code(granted(mesh, namespace, signer, now=NOW))


class TestClaims:
    def test_own_name(self) -> None:
        """A namespace that claims the signer of its own name may bind it; bound, it is granted."""
        assert granted(world(), "foo", FOO, now=NOW) == Claimable(uid("foo"))
        assert ask(world(bindings=(binding(FOO, "foo"),)), "foo", FOO) == "Granted"

    @pytest.mark.parametrize("bindings", [(), (binding(FOO, "foo"),)], ids=["before", "after"])
    def test_the_thief(self, bindings: tuple[object, ...]) -> None:
        """A namespace that claims nothing of it gets nothing of it, before and after its owner was bound."""
        assert ask(world(bindings=bindings), "bar", FOO) == "TenantMismatch"  # type: ignore[arg-type]

    @pytest.mark.parametrize("owner_claims", [True, False])
    def test_claiming_what_has_another_namespaces_name(self, owner_claims: bool) -> None:
        """A signer belongs to the namespace of its name, whether that one claims it already or not."""
        claimed = {"bar": claims(FOO)} | ({"foo": claims(FOO)} if owner_claims else {})
        assert ask(world(claimed=claimed), "bar", FOO) == "SignerClaimed"
        assert ask(world(claimed=claimed, bindings=(binding(FOO, "foo"),)), "bar", FOO) == "SignerClaimed"

    def test_a_newcomer_displaces_nobody(self) -> None:
        """Who is bound keeps the signer, even from a namespace with the signer's own name."""
        mesh = world(claimed={"foo": claims(FOO), "shop": claims(FOO)}, bindings=(binding(FOO, "shop"),))
        assert ask(mesh, "shop", FOO) == "Granted"
        assert ask(mesh, "foo", FOO) == "SignerClaimed"

    def test_the_only_claimant(self) -> None:
        """Where no namespace has the signer's name, the only one that claims it may bind it."""
        assert ask(world(claimed={"shop": claims(TEAM)}), "shop", TEAM) == "Claimable"

    def test_several_claimants(self) -> None:
        """Several that claim an unbound signer get nothing: an admin decides."""
        mesh = world(claimed={"shop": claims(TEAM), "store": claims(TEAM)})
        assert (ask(mesh, "shop", TEAM), ask(mesh, "store", TEAM)) == ("SignerContested", "SignerContested")

    def test_a_claim_makes_no_mesh_signer(self) -> None:
        """A tenant that names an issuer which no admin gave to the mesh gets nothing of it."""
        assert ask(world(claimed={"bar": claims(OTHER)}), "bar", OTHER) == "NotAMeshSigner"
        bound = world(claimed={"bar": claims(OTHER)}, bindings=(binding(OTHER, "bar"),))
        assert ask(bound, "bar", OTHER) == "NotAMeshSigner"

    def test_a_namespace_that_was_made_again(self) -> None:
        """A new namespace of the same name is another one: it does not inherit."""
        mesh = world(bindings=(binding(FOO, "foo", namespace_uid="an earlier one"),))
        found = granted(mesh, "foo", FOO, now=NOW)
        assert isinstance(found, NotGranted)
        assert found.reason.code == "SignerClaimed"
        assert "release" in found.reason.message

    def test_a_binding_that_cannot_be_read(self) -> None:
        """A broken binding is nobody's, and makes the signer nobody's."""
        mesh = world(bindings=(binding(FOO, "foo", problem="spec.namespace: empty"),))
        assert ask(mesh, "foo", FOO) == "SignerClaimed"

    def test_no_such_namespace(self) -> None:
        """Who does not exist has nothing."""
        assert ask(world(), "gone", FOO) == "NamespaceNotFound"

    def test_behind_a_selector(self) -> None:
        """A claim behind a selector counts for the whole namespace, besides the one for all workloads."""
        mesh = world(claimed={"foo": claims(FOO, TEAM)}, bindings=(binding(FOO, "foo"), binding(TEAM, "foo")))
        assert (ask(mesh, "foo", FOO), ask(mesh, "foo", TEAM)) == ("Granted", "Granted")

    def test_what_it_may_have_is_told(self) -> None:
        """A refusal names what the namespace may ask for."""
        found = granted(world(), "bar", FOO, now=NOW)
        assert isinstance(found, NotGranted)
        assert "may have ClusterIssuer bar" in found.reason.message


class TestDefault:
    def test_who_gets_it(self) -> None:
        """The mesh default is for Istio's own namespace and for whoever claims no other."""
        mesh = world()
        assert ask(mesh, "istio-system", DEFAULT) == "Granted"
        assert ask(mesh, "shop", DEFAULT) == "Granted"
        assert ask(mesh, "foo", DEFAULT) == "TenantMismatch"

    def test_claims_behind_selectors_alone(self) -> None:
        """Workloads that no selector matches ask for the default."""
        only = claims(TEAM)
        mesh = world(claimed={"shop": type(only)(None, only.signers, only.speaker)})
        assert ask(mesh, "shop", DEFAULT) == "Granted"

    def test_claiming_the_default(self) -> None:
        """Who claims the default by name has it: nobody can own it."""
        assert ask(world(claimed={"bar": claims(DEFAULT)}), "bar", DEFAULT) == "Granted"

    def test_right_after_the_first_claim(self) -> None:
        """Pods that were started before the claim ask for the default until they restart."""
        young = binding(FOO, "foo", created=NOW - timedelta(hours=1))
        had = {"foo": HadDefault(uid("foo"), NOW - timedelta(days=2))}
        assert ask(world(bindings=(young,), had_default=had), "foo", DEFAULT) == "Granted"
        none = Settings(grace=timedelta(0))
        assert ask(world(bindings=(young,), had_default=had, settings=none), "foo", DEFAULT) == "TenantMismatch"

    def test_right_after_a_proxy_config(self) -> None:
        """So do those of a namespace whose signer needs no binding: by policy, or an Issuer of its own."""
        young = replace(claims(FOO), since=NOW - timedelta(hours=1))
        had = {"foo": HadDefault(uid("foo"), NOW - timedelta(days=2))}
        assert ask(world(claimed={"foo": young}, had_default=had), "foo", DEFAULT) == "Granted"
        old = replace(claims(FOO), since=NOW - timedelta(hours=25))
        assert ask(world(claimed={"foo": old}, had_default=had), "foo", DEFAULT) == "TenantMismatch"

    def test_no_default(self) -> None:
        """Without a default, who claims nothing has nothing; Istio's own namespace has the signer of its name."""
        mesh = world(defaults=frozenset())
        assert ask(mesh, "shop", DEFAULT) == "TenantMismatch"
        assert ask(mesh, "istio-system", DEFAULT) == "Granted"

    def test_the_remedy(self) -> None:
        """Where istiod gives one signer to all who name none, and no admin made it the default, the refusal says how."""
        found = granted(world(defaults=frozenset()), "shop", FOO, now=NOW)
        assert isinstance(found, NotGranted)
        assert found.reason.message.endswith(
            "if all who name none are to have ClusterIssuer foo (istiod's K8S_SIGNER), an admin sets "
            "meshConfig.defaultConfig.proxyMetadata.ISTIO_META_CERT_SIGNER: foo"
        )
        assert "K8S_SIGNER" not in str(granted(world(), "bar", FOO, now=NOW))


class TestOwnIssuer:
    def test_of_a_namespace(self) -> None:
        """A namespaced Issuer is its namespace's, and nobody else's."""
        signer = IssuerRef("Issuer", "shop", "ca")
        assert ask(world(), "shop", signer) == "Granted"
        assert ask(world(), "foo", signer) == "TenantMismatch"

    def test_a_policy_comes_first(self) -> None:
        """A SignerPolicy that names the Issuer decides in its place."""
        signer = IssuerRef("Issuer", "shop", "ca")
        mesh = world(policies=(Policy("p", frozenset({signer}), namespaces=frozenset({"store"})),))
        assert (ask(mesh, "store", signer), ask(mesh, "shop", signer)) == ("Granted", "TenantMismatch")


class TestPolicies:
    def test_names_and_labels(self) -> None:
        """A policy covers the namespaces that it names, and those that carry all its labels."""
        policy = Policy(
            "p", frozenset({FOO}), namespaces=frozenset({"shop"}), namespace_labels={"mesh-signer.dev/t": "a"}
        )
        mesh = world(policies=(policy,))
        mesh.namespaces["store"] = Namespace(uid("store"), {"mesh-signer.dev/t": "a"})
        mesh.namespaces["bar"] = Namespace(uid("bar"), {"mesh-signer.dev/t": "b"})
        assert [ask(mesh, one, FOO) for one in ("shop", "store", "bar", "cert-manager")] == [
            "Granted",
            "Granted",
            "TenantMismatch",
            "TenantMismatch",
        ]

    def test_it_beats_a_claim(self) -> None:
        """Where a policy speaks about a signer, claims, names and bindings say nothing."""
        mesh = world(
            policies=(Policy("p", frozenset({FOO}), namespaces=frozenset({"shop"})),), bindings=(binding(FOO, "foo"),)
        )
        assert ask(mesh, "foo", FOO) == "TenantMismatch"

    def test_it_beats_the_default(self) -> None:
        """A policy about the mesh default takes it from everyone else."""
        mesh = world(policies=(Policy("p", frozenset({DEFAULT}), namespaces=frozenset({"istio-system"})),))
        assert (ask(mesh, "istio-system", DEFAULT), ask(mesh, "shop", DEFAULT)) == ("Granted", "TenantMismatch")

    def test_a_broken_policy_grants_nothing(self) -> None:
        """A policy that cannot be read still speaks about its signers: nothing falls back to a claim."""
        broken = Policy("p", frozenset({FOO}), namespaces=frozenset({"foo"}), problem="spec.rate: nonsense")
        mesh = world(policies=(broken,), bindings=(binding(FOO, "foo"),))
        found = granted(mesh, "foo", FOO, now=NOW)
        assert isinstance(found, NotGranted)
        assert found.reason.code == "TenantMismatch"
        assert "one of them cannot be read" in found.reason.message

    def test_when_it_goes(self) -> None:
        """When the last policy of a signer goes, nobody becomes its owner for a while; who owned it before, still does."""
        soon = {FOO: NOW + timedelta(minutes=1)}
        assert ask(world(settling=soon), "foo", FOO) == "SignerContested"
        assert ask(world(settling=soon, bindings=(binding(FOO, "foo"),)), "foo", FOO) == "Granted"
        assert ask(world(settling={FOO: NOW}), "foo", FOO) == "Claimable"

    def test_nobody(self) -> None:
        """A policy without namespaces covers none."""
        assert ask(world(policies=(Policy("p", frozenset({FOO})),)), "foo", FOO) == "TenantMismatch"


class TestGrace:
    def mesh(self, *, grace: timedelta = timedelta(hours=24), ended: timedelta, issued: timedelta | None) -> World:
        bound = binding(
            FOO,
            "foo",
            claim_ended=NOW - ended,
            last_issued=None if issued is None else NOW - issued,
            created=NOW - timedelta(days=300),
        )
        return world(claimed={"foo": claims(BAR)}, bindings=(bound,), settings=Settings(grace=grace))

    @pytest.mark.parametrize(
        ("ended", "issued", "expected"),
        [
            (timedelta(hours=1), timedelta(hours=1), "Granted"),
            (timedelta(days=29), timedelta(hours=23), "Granted"),
            (timedelta(days=29), timedelta(hours=25), "TenantMismatch"),
            (timedelta(days=30), timedelta(hours=1), "TenantMismatch"),
            (timedelta(hours=1), None, "Granted"),
            (timedelta(hours=25), None, "TenantMismatch"),
        ],
    )
    def test_while_it_renews(self, ended: timedelta, issued: timedelta | None, expected: str) -> None:
        """An owner that claims no longer stays granted for a day after its last certificate, thirty days at most."""
        assert ask(self.mesh(ended=ended, issued=issued), "foo", FOO) == expected

    def test_none(self) -> None:
        """With --grace=0 the end of a claim is the end."""
        mesh = self.mesh(grace=timedelta(0), ended=timedelta(0), issued=timedelta(0))
        assert ask(mesh, "foo", FOO) == "TenantMismatch"

    def test_not_for_another(self) -> None:
        """Grace is the owner's: not of a namespace made again, nor of one whose signer an admin took away."""
        mesh = self.mesh(ended=timedelta(hours=1), issued=timedelta(hours=1))
        mesh.namespaces["foo"] = Namespace("another uid")
        assert ask(mesh, "foo", FOO) == "TenantMismatch"
        gone = self.mesh(ended=timedelta(hours=1), issued=timedelta(hours=1))
        gone.signers = frozenset({BAR})
        assert ask(gone, "foo", FOO) == "TenantMismatch"
        gone = self.mesh(ended=timedelta(hours=1), issued=timedelta(hours=1))
        del gone.bindings[FOO]
        assert ask(gone, "foo", FOO) == "TenantMismatch"
