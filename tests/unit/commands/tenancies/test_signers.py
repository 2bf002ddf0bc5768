"""Signers as people name them, and what of them goes into Istio's files."""

import pytest

from signer.api.issuer import IssuerRef
from signer.commands.command import NotFoundOut
from signer.commands.tenancies.signers import approve_rule, mesh_fragment, parse_signer, roots_of
from signer.mesh.roots import asked_by_istiod, with_roots_in_mesh
from signer.tenancy.world import Policy
from tests.unit.commands.meshes import entries, root, state
from tests.unit.tenancy.worlds import BAR, DEFAULT, FOO, TEAM, world

DOMAIN = "clusterissuers.cert-manager.io"


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("foo", FOO),
        (f"{DOMAIN}/foo", FOO),
        ("clusterissuer/foo", FOO),
        ("ClusterIssuers/foo", FOO),
        ("issuer/shop.ca", IssuerRef("Issuer", "shop", "ca")),
        ("issuers.cert-manager.io/shop.ca", IssuerRef("Issuer", "shop", "ca")),
    ],
)
def test_names(text: str, ref: IssuerRef) -> None:
    """A signer is found by its short name, its full name, or its kind and name."""
    assert parse_signer(text, DOMAIN) == ref


def test_short_names_of_issuers() -> None:
    """Where istiod's domain is that of Issuers, a short name is a namespace and a name."""
    assert parse_signer("shop.ca", "issuers.cert-manager.io") == IssuerRef("Issuer", "shop", "ca")


@pytest.mark.parametrize(
    "text", ["", "a/b", "kubernetes.io/kubelet-serving", "UPPER", "a b", "issuer/ca", "x" * 300, "../a"]
)
def test_no_names(text: str) -> None:
    """What names no signer of ours is told with how to name one."""
    with pytest.raises(NotFoundOut, match="names no signer"):
        parse_signer(text, DOMAIN)


def test_roots() -> None:
    """Each signer gives its root, or the reason why it has none."""
    broken = state(BAR, ready=False, authority=None, message="no Secret")
    selfsigned = state(TEAM, kind="selfSigned", authority=None)
    found = roots_of([FOO, BAR, TEAM, DEFAULT], {FOO: state(FOO), BAR: broken, TEAM: selfsigned})
    assert found.pems == {f"{DOMAIN}/foo": root(FOO)}
    assert found.complaints == (
        "ClusterIssuer bar has no root that could be told: no Secret",
        "ClusterIssuer team has no root that could be told: it is of the type selfSigned, and has no CA",
        "ClusterIssuer istio-system does not exist",
    )


def test_signers_that_bring_their_root() -> None:
    """A signer whose policy appends the root needs no entry, and keeps the one that it has."""
    policy = Policy("p", frozenset({FOO}), append_root=True)
    without = world(policies=(policy,), config=entries(BAR, DEFAULT))
    assert FOO not in with_roots_in_mesh(without)
    assert FOO in with_roots_in_mesh(world(policies=(policy,), config=entries(FOO)))
    assert BAR in with_roots_in_mesh(without)


def test_what_identity_leads_to() -> None:
    """Where a signer is routed, istiod asks for that one: the tenants' need no entry and no right, unless they are claimed."""
    mesh = IssuerRef("ClusterIssuer", "", "mesh")
    door = Policy("door", frozenset({mesh}), route="Identity")
    given = Policy("p", frozenset({FOO, TEAM}), namespaces=frozenset({"shop"}))
    found = world(
        policies=(door, given), config=entries(DEFAULT), routed=frozenset({mesh}), signers=frozenset({DEFAULT})
    )
    assert with_roots_in_mesh(found) == [FOO, DEFAULT], "foo is claimed by the namespace of its name"
    assert asked_by_istiod(found) == [FOO, DEFAULT, mesh]
    found.claimants.clear()
    assert asked_by_istiod(found) == [DEFAULT, mesh]


def test_fragments() -> None:
    """Istio gets one entry for each signer, and one rule for istiod."""
    assert mesh_fragment({"b/y": "B", "a/x": "A"}) == {
        "caCertificates": [{"pem": "A", "certSigners": ["a/x"]}, {"pem": "B", "certSigners": ["b/y"]}]
    }
    assert approve_rule(["b/y", "a/x"]) == {
        "apiGroups": ["certificates.k8s.io"],
        "resources": ["signers"],
        "resourceNames": ["a/x", "b/y"],
        "verbs": ["approve"],
    }
