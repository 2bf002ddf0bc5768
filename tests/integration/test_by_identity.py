"""One signer name for many tenants on a real API server, under our own rights: the SPIFFE ID chooses CA and root."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests import pki
from tests.integration.hot_path import Issued, Place
from tests.integration.plain_api import Json, Refused
from tests.integration.tenants import mesh_cluster
from tests.integration.test_policy_opens import remake
from tests.localmesh import LocalCluster
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, SignerProcess

pytestmark = pytest.mark.integration

DOMAIN = "clusterissuers.cert-manager.io"
ISTIOD = "system:serviceaccount:istio-system:istiod"
POLICIES = "/apis/mesh-signer.dev/v1alpha1/signerpolicies"


@pytest.fixture(scope="module")
def mesh() -> Iterator[LocalCluster]:
    """A cluster of its own with all that we ship, and ProxyConfigs."""
    with mesh_cluster() as cluster:
        yield cluster


@dataclass
class Tenants:
    """Tenants with a namespace, a CA and a policy each, behind a signer name that no issuer has."""

    place: Place
    door: str
    cas: dict[str, pki.CA] = field(default_factory=dict)

    def policy(self, name: str, **spec: Any) -> None:
        body = {"apiVersion": "mesh-signer.dev/v1alpha1", "kind": "SignerPolicy", "metadata": {"name": name}}
        self.place.api.apply(f"{POLICIES}/{name}", body | {"spec": {"signers": [f"{DOMAIN}/{name}"]} | spec})
        self.place.made.append(f"{POLICIES}/{name}")

    def add(self, tenant: str, *, given: bool = True) -> str:
        name = f"{tenant}-{self.door}"
        self.place.cluster.create_namespace(name)
        self.cas[name] = pki.CA(name)
        self.place.ca_issuer(name, self.cas[name])
        if given:
            self.policy(name, namespaces={"names": [name]})
        return name

    def issue(self, namespace: str) -> Issued:
        return self.place.issue(self.door, pki.workload_csr(namespace), user=ISTIOD)

    def refused(self, namespace: str) -> tuple[str, str]:
        return self.place.refused(self.door, pki.workload_csr(namespace), user=ISTIOD)

    def status(self, name: str) -> Json:
        found: Json = self.place.api.get(f"{POLICIES}/{name}").get("status", {})
        return found


@pytest.fixture
def tenants(mesh: LocalCluster) -> Iterator[Tenants]:
    place = Place.of(mesh)
    made = Tenants(place, f"mesh-{secrets.token_hex(4)}")
    made.policy(made.door, route="Identity")
    yield made
    place.forget()
    place.api.close()


def test_each_tenant_has_its_ca_and_its_root(mesh: LocalCluster, tenants: Tenants) -> None:
    """The stored answer is the leaf of the namespace's own CA and, last, its root; the audit log says who signed."""
    names = [tenants.add("foo"), tenants.add("bar")]
    with SignerProcess(mesh, "--controllers=csr", tenancy="enforce") as signer:
        for name in names:
            found = tenants.issue(name)
            assert found.signed_by(tenants.cas[name])
            assert found.uris == [pki.spiffe(name)]
            assert found.chain[1:] == [tenants.cas[name].certificate]
            lines = signer.audited(2, namespace=name)
            assert {line["signer"] for line in lines} == {f"{DOMAIN}/{tenants.door}"}
            assert {line["signedBy"] for line in lines} == {f"{DOMAIN}/{name}"}
        assert signer.metric("mesh_signer_api_errors_total", code="403") == 0


def test_who_has_no_tenant_is_refused(mesh: LocalCluster, tenants: Tenants) -> None:
    """A namespace of no tenant, of two, one that is not there, and one that was made again get nothing, with the reason."""
    foo, none = tenants.add("foo"), tenants.add("none", given=False)
    two = tenants.add("two")
    tenants.policy(foo, namespaces={"names": [foo, two]})
    with SignerProcess(mesh, "--controllers=csr", tenancy="enforce"):
        assert tenants.issue(foo).signed_by(tenants.cas[foo])
        assert tenants.refused(none)[0] == "RouteMissing"

        def told() -> bool:
            events = tenants.place.api.get(f"/api/v1/namespaces/{none}/events")["items"]
            return any(
                (one["involvedObject"]["kind"], one["reason"]) == ("ServiceAccount", "RouteMissing") for one in events
            )

        tenants.place.until("an Event for the tenant", told)
        assert tenants.refused(f"nowhere-{none}")[0] == "NamespaceNotFound"
        reason, message = tenants.refused(two)
        assert reason == "RouteAmbiguous"
        assert foo in message
        remake(tenants.place, foo)
        assert tenants.refused(foo)[0] == "NamespaceRemade"
        # What an admin mends counts at once.
        tenants.policy(foo, namespaces={"names": [foo]})
        tenants.place.until(
            "the only signer",
            lambda: tenants.place.answered(tenants.place.ask(tenants.door, pki.workload_csr(two), user=ISTIOD)).chain,
        )


def test_a_route_gives_what_is_stored(mesh: LocalCluster, tenants: Tenants) -> None:
    """A tenant that moves to another CA has the new one's root with the next certificate; one whose policy goes has none."""
    foo, other = tenants.add("foo"), tenants.add("other", given=False)
    with SignerProcess(mesh, "--controllers=csr", tenancy="enforce"):
        assert tenants.issue(foo).signed_by(tenants.cas[foo])
        body = {"signers": [f"{DOMAIN}/{other}"], "namespaces": {"names": [foo]}}
        tenants.policy(foo, **body)
        found = tenants.place.until(
            "the other CA", lambda: one if (one := tenants.issue(foo)).signed_by(tenants.cas[other]) else None
        )
        assert found.chain[-1] == tenants.cas[other].certificate
        tenants.place.api.delete(f"{POLICIES}/{foo}")
        tenants.place.made.remove(f"{POLICIES}/{foo}")
        tenants.place.until(
            "the end of it",
            lambda: (
                tenants.place.answered(tenants.place.ask(tenants.door, pki.workload_csr(foo), user=ISTIOD)).failed[0]
                == "RouteMissing"
            ),
        )


def test_the_status_says_what_is_routed(mesh: LocalCluster, tenants: Tenants) -> None:
    """A policy that routes is Ready though no issuer has the name, and says how many namespaces it is about."""
    tenants.add("foo")
    options = "--controllers=issuers,policies"
    with SignerProcess(mesh, options, account=CONTROLLERS_ACCOUNT, tenancy="enforce"):
        conditions = tenants.place.until("the status", lambda: tenants.status(tenants.door).get("conditions"))
        (ready,) = [one for one in conditions if one["type"] == "Ready"]
        assert ready["status"] == "True", ready
        assert ready["message"].startswith("routes ")


@pytest.mark.parametrize(
    "limit",
    [
        {"maxLifetime": "1h"},
        {"appendRoot": True},
        {"usages": ["client auth"]},
        {"certificateRequests": {}},
        {"rate": {"certificates": 1}},
        {"requesters": ["a"]},
        {"signers": ["issuers.cert-manager.io/shop.ca"]},
        {"route": "Anything"},
    ],
    ids=str,
)
def test_a_route_has_no_limits(tenants: Tenants, limit: Json) -> None:
    """What a policy with a route cannot keep is refused when it is applied, with a sentence."""
    with pytest.raises(Refused, match=r"route|routed|Identity"):
        tenants.policy(tenants.door, **({"route": "Identity"} | limit))
