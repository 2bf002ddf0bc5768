"""Whose signer is everybody's: a table over what the mesh config and the root namespace name, who owns it, and policies."""

import itertools

import pytest

from signer.api.issuer import IssuerRef
from signer.tenancy.decide import decide
from signer.tenancy.index import Index
from signer.tenancy.verdict import Grant, Limits, Refuse
from signer.tenancy.world import Settings
from tests.pki import workload_csr
from tests.unit.tenancy.indexed import BAR, FOO, NOW, binding, mesh, namespace_object, policy, proxy_config
from tests.unit.tenancy.worlds import claim

MESH = IssuerRef("ClusterIssuer", "", "mesh-ca")


def named(signer: str) -> str:
    return f"defaultConfig:\n  proxyMetadata:\n    ISTIO_META_CERT_SIGNER: {signer}\n" if signer else ""


def indexed(config: str, root: str, owned: str, given_out: str, order: tuple[int, ...] = (0, 1, 2, 3)) -> Index:
    """A mesh whose config and whose root namespace name these defaults; `owned` is foo's signer by a SignerBinding."""
    index = Index(Settings())
    index.world.unsynced = ""
    for space in ("foo", "bar", "plain", "istio-system", "cert-manager"):
        index.put_namespace(namespace_object(space))

    def put(what: int) -> None:
        if what == 0:
            index.config_maps.put("istio", mesh("foo", "mesh-ca", extra=named(config)))
        elif what == 1 and root:
            index.proxy_configs.put(proxy_config("istio-system", root))
        elif what == 2 and owned:
            index.put_binding(binding(owned, "foo"))
        elif what == 3 and given_out:
            index.put_policy(policy("p", given_out, namespaces={"names": ["foo"], "remade": "Allow"}))
        index.settle(NOW)

    for what in order:
        put(what)
    return index


SIGNERS = ("", "foo", "mesh-ca")


@pytest.mark.heavy
@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_one_default_and_no_owned_one(order: tuple[int, ...]) -> None:
    """The mesh config's counts, without it the root namespace's; one that a tenant owns never without a policy."""
    for config, root, owned, given_out in itertools.product(SIGNERS, SIGNERS, SIGNERS, SIGNERS):
        world = indexed(config, root, owned, given_out, order).world
        wanted = config or root
        right = {wanted} - {""} if wanted != owned or wanted == given_out else set()
        assert {one.name for one in world.defaults} == right, (config, root, owned, given_out)
        # What is named and does not become it is told; it is behind the wall all the same.
        assert {one.name for one in world.no_default} == {config, root} - {""} - right
        assert {one.name for one in world.signers} >= {config, root} - {""}


def test_a_forgotten_namespace() -> None:
    """Foo's ProxyConfig, applied in the root namespace: plain goes on with the mesh's default and gets nothing of foo's."""
    index = indexed("mesh-ca", "", "foo", "")
    index.proxy_configs.put(proxy_config("istio-system", "foo"))
    index.settle(NOW)
    asked = claim("plain", FOO, csr=workload_csr("plain"))
    assert isinstance(decide(asked, index.world, Limits(), fresh=True, now=NOW), Refuse)
    given = claim("plain", MESH, csr=workload_csr("plain"))
    assert isinstance(decide(given, index.world, Limits(), fresh=True, now=NOW), Grant)
    assert "SignerBinding" not in index.world.no_default[FOO]
    assert "mesh-ca" in index.world.no_default[FOO]


def test_each_revision_has_its_own() -> None:
    """A revision whose mesh config names none has the root namespace's."""
    index = indexed("mesh-ca", "bar", "", "")
    assert index.world.defaults == {MESH}
    index.config_maps.put("istio-canary", mesh())
    index.settle(NOW)
    assert index.world.defaults == {MESH, BAR}
    index.put_binding(binding("bar", "bar"))
    index.settle(NOW)
    assert index.world.defaults == {MESH}
    index.remove_binding("bar", "b")
    index.settle(NOW)
    assert index.world.defaults == {MESH, BAR}


def test_istios_own() -> None:
    """A signer that Istio's own namespace owns is no tenant's."""
    index = indexed("mesh-ca", "", "", "")
    index.put_binding(binding("mesh-ca", "istio-system"))
    index.settle(NOW)
    assert index.world.defaults == {MESH}
