"""Revisions of Istio with trust domains of their own: each istiod speaks for its own one."""

import itertools
from collections.abc import Mapping

import msgspec
import pytest

from signer.tenancy.decide import decide
from signer.tenancy.index import Index
from signer.tenancy.verdict import Grant, Limits, Refuse
from signer.tenancy.world import Settings
from tests.pki import workload_csr
from tests.unit.tenancy.indexed import FOO, NOW, binding, mesh, namespace_object, policy, proxy_config
from tests.unit.tenancy.worlds import claim

PREFIX = "system:serviceaccount:istio-system:"
DOMAINS = ("cluster.local", "one.example", "two.example", "shared.example")

# The ConfigMaps' trust domains (None: it says nothing), and that of each istiod, "" for none.
TABLE: dict[str, tuple[dict[str, str | None], dict[str, str]]] = {
    "one revision, nothing said": ({"istio": None}, {"istiod": "cluster.local"}),
    "one revision": ({"istio": "one.example"}, {"istiod": "one.example"}),
    "two": (
        {"istio": "one.example", "istio-canary": "two.example"},
        {"istiod": "one.example", "istiod-canary": "two.example"},
    ),
    "two, one of them with Istio's default": (
        {"istio": None, "istio-canary": "two.example"},
        {"istiod": "cluster.local", "istiod-canary": "two.example"},
    ),
    "named ones only": (
        {"istio-blue": "one.example", "istio-green": "two.example"},
        {"istiod": "cluster.local", "istiod-blue": "one.example", "istiod-green": "two.example"},
    ),
    "shared, and one over it": (
        {"shared": "shared.example", "istio": None, "istio-canary": "two.example"},
        {"istiod": "shared.example", "istiod-canary": "two.example"},
    ),
    "shared, without one's own": (
        {"shared": "shared.example", "istio-canary": "two.example"},
        {"istiod": "shared.example", "istiod-canary": "two.example"},
    ),
    "one that cannot be read": (
        {"istio": "one.example", "istio-canary": "..."},
        {"istiod": "one.example", "istiod-canary": ""},
    ),
}


def indexed(config_maps: Mapping[str, str | None], settings: Settings | None = None) -> Index:
    index = Index(settings or Settings(), shared="shared")
    index.world.unsynced = ""
    for name, domain in config_maps.items():
        extra = f"trustDomain: {domain}\n" if domain is not None else ""
        index.config_maps.put(name, mesh("foo", extra=extra))
    index.put_namespace(namespace_object("foo"))
    index.proxy_configs.put(proxy_config("foo", "foo"))
    index.put_binding(binding("foo", "foo"))
    index.settle(NOW)
    return index


def judged(index: Index, requester: str, domain: str) -> Grant | Refuse:
    asked = claim("foo", FOO, csr=workload_csr("foo", trust_domain=domain), requester=requester)
    verdict = decide(asked, index.world, Limits(), fresh=True, now=NOW)
    assert isinstance(verdict, Grant | Refuse)
    return verdict


@pytest.mark.parametrize("what", TABLE)
def test_each_speaks_for_its_own(what: str) -> None:
    """A workload's trust domain is that of the revision whose istiod asks, never another revision's."""
    config_maps, owned = TABLE[what]
    index = indexed(config_maps)
    for (name, own), domain in itertools.product(owned.items(), DOMAINS):
        verdict = judged(index, PREFIX + name, domain)
        assert isinstance(verdict, Grant) == (domain == own), (name, domain)
        if isinstance(verdict, Refuse):
            assert verdict.code == "TrustDomainMismatch"


def test_accounts_that_were_listed() -> None:
    """An istiod with a name of its own (--istiod-accounts) is of no revision that is known: it speaks for all of them."""
    config_maps = {"istio": "one.example", "istio-canary": "two.example"}
    listed = frozenset({"system:serviceaccount:elsewhere:pilot", f"{PREFIX}istiod-canary"})
    index = indexed(config_maps, Settings(istiod_accounts=listed))
    for domain in ("one.example", "two.example"):
        assert isinstance(judged(index, "system:serviceaccount:elsewhere:pilot", domain), Grant)
    assert isinstance(judged(index, f"{PREFIX}istiod-canary", "one.example"), Refuse)


def test_a_policy_that_says_others() -> None:
    """An admin may give out trust domains by a SignerPolicy, whichever revision asks."""
    index = indexed({"istio": "one.example", "istio-canary": "two.example"})
    given = policy("p", "foo", namespaces={"names": ["foo"]}, trustDomains=["two.example"])
    index.put_policy(msgspec.structs.replace(given, raw_status={"namespaceUIDs": {"foo": "uid-foo"}}))
    index.settle(NOW)
    assert isinstance(judged(index, f"{PREFIX}istiod", "two.example"), Grant)
    assert isinstance(judged(index, f"{PREFIX}istiod", "one.example"), Refuse)
