"""Attacks on the edge, each as an attacker would try it: whoever may write a Gateway or a Certificate in his namespace."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from issuers.acme.targets import AddressRule
from signer.api.certificate import IssuerReference
from signer.edge.challenges.presenter import Cause
from signer.edge.gateways.placement import Placement, place
from signer.edge.gateways.read import gateway_wishes
from signer.edge.hosts.decide import Asker, Claim, EdgeWorld, Permitted, Take, TakeFirst, may_order
from signer.edge.hosts.policy import HostPolicy
from signer.edge.http01.check import classify
from signer.edge.http01.public import PublicLooks
from signer.edge.orders.step import told
from signer.edge.proxies.pods import Served
from signer.edge.proxies.values import Asked, GatewayPod, Seen
from signer.edge.reserved import Existing, in_the_way
from signer.tenancy.verdict import Refuse, Unready
from signer.tenancy.world import Rate
from tests.unit.edge.objects import LE, gateway, host, https
from tests.unit.manifests.kustomize import read_all

EVIL = Asker("evil", "uid-evil", {"mesh-signer.dev/tenant": "evil"})
VICTIM = Asker("victim", "uid-victim", {})
SELECTOR = {"istio": "ingressgateway"}


def claimed(*names: str, by: Asker = VICTIM) -> dict[str, Claim]:
    return {host(name).claim_name: Claim(host(name), by.namespace, by.uid) for name in names}


class TestSecrets:
    @pytest.mark.parametrize(
        "credential",
        ["cacerts", "istiod-tls", "istio-kubeconfig", "gateway-cacert", "kubernetes://cacerts", "istio-system/cacerts"],
    )
    def test_credentials_that_istio_reads(self, credential: str) -> None:
        """A Gateway cannot have istiod's CA, its certificate or a remote cluster written for it."""
        found = gateway_wishes(gateway(https("a.example.com", credential=credential)), LE)
        assert found.certificates == ()
        assert not found.passed[0].harmless

    @pytest.mark.parametrize(
        "existing",
        [
            Existing("u", "kubernetes.io/tls"),
            Existing("u", "Opaque"),
            Existing("u", "kubernetes.io/tls", labels={"app.kubernetes.io/part-of": "mesh-signer"}),
        ],
    )
    def test_somebody_elses_secret(self, existing: Existing) -> None:
        """What is there is not written over, though it carries our labels: only our own record of its uid counts."""
        assert in_the_way("shop", existing, None) is not None
        assert in_the_way("shop", existing, "another") is not None

    def test_a_ca(self) -> None:
        """A CA's Secret is never written, not even where we made it."""
        assert in_the_way("ca", Existing("u", "kubernetes.io/tls", is_ca=True), "u") is not None

    def test_a_pod_in_the_tenants_namespace(self) -> None:
        """A Pod labelled like the gateway draws nobody's key but its own namespace's."""
        pods = [GatewayPod("evil", SELECTOR), GatewayPod("istio-system", SELECTOR)]
        found = place("victim", SELECTOR, pods, gateway_namespaces=["istio-system"], granted=True)
        assert found == Placement(("istio-system",))

    def test_a_namespaced_issuer(self) -> None:
        """Whoever chooses the ACME server chooses the certificate: an Issuer fills no Secret of the gateway's namespace."""
        pods = [GatewayPod("istio-system", SELECTOR)]
        found = place("evil", SELECTOR, pods, gateway_namespaces=["istio-system"], granted=True, namespaced_issuer=True)
        assert isinstance(found, Refuse)
        assert found.code == "NamespacedIssuer"


class TestHosts:
    def ask(self, *names: str, asker: Asker = EVIL, **world: Any) -> Any:
        found = {"claims": claimed("shop.example.com"), "policies": (), **world}
        return may_order(names, asker, LE, EdgeWorld(**found))

    def test_a_certificate_by_hand(self) -> None:
        """However a certificate is asked for, another's host is refused."""
        assert isinstance(self.ask("shop.example.com"), Refuse)

    def test_hidden_among_ones_own(self) -> None:
        """One name of another spoils the whole certificate, and no claim is taken for the rest."""
        found = self.ask("mine.example.com", "SHOP.example.com")
        assert isinstance(found, Refuse)
        assert found.code == "HostTaken"

    def test_a_wildcard_over_it(self) -> None:
        """A wildcard that covers another's host is refused too."""
        assert isinstance(self.ask("*.example.com"), Refuse)

    def test_first_come(self) -> None:
        """All names are claimed before any is ordered; with all of them claimed it may be ordered."""
        found = self.ask("a.evil.example", "b.evil.example", "a.evil.example")
        assert isinstance(found, TakeFirst)
        assert [str(take.host) for take in found.claims] == ["a.evil.example", "b.evil.example"]
        assert all(isinstance(take, Take) for take in found.claims)
        mine = claimed("a.evil.example", "b.evil.example", by=EVIL)
        permitted = self.ask("a.evil.example", "b.evil.example", claims=mine)
        assert permitted == Permitted((host("a.evil.example"), host("b.evil.example")))

    def test_quotas(self) -> None:
        """A rate of the policy that grants a host comes with the permission."""
        rate = Rate(3, timedelta(hours=1))
        policy = HostPolicy("p", frozenset({"evil.example"}), frozenset({"evil"}), rate=rate)
        found = self.ask("a.evil.example", claims=claimed("a.evil.example", by=EVIL), policies=(policy,))
        assert found == Permitted((host("a.evil.example"),), (("p", rate),))

    def test_floods(self) -> None:
        """Thousands of bad names make a short answer."""
        many = self.ask(*(f"h{number}.example.com" for number in range(5000)))
        assert isinstance(many, Refuse)
        assert many.code == "TooManyHosts"
        bad = self.ask(*(f"bad_{number}.example.com" for number in range(100)))
        assert isinstance(bad, Refuse)
        assert len(bad.message) < 4096

    @pytest.mark.parametrize("names", [[], ["10.0.0.1"], ["kubernetes.default.svc"], ["*"], ["com"]])
    def test_what_is_no_public_host(self, names: list[str]) -> None:
        """Nothing is ordered that no CA would give."""
        assert isinstance(self.ask(*names), Refuse)

    def test_before_all_is_read(self) -> None:
        """A restart is not a moment in which claims are not known."""
        assert isinstance(self.ask("shop.example.com", unsynced="HostClaims were not read yet"), Unready)

    def test_another_issuer(self) -> None:
        """An issuer that a policy does not name is refused for its hosts."""
        policy = HostPolicy(
            "p", frozenset({"evil.example"}), frozenset({"evil"}), issuers=frozenset({("ClusterIssuer", "le")})
        )
        world = EdgeWorld({}, (policy,))
        own = IssuerReference(name="own", kind="Issuer")
        assert isinstance(may_order(["a.evil.example"], EVIL, own, world), Refuse)
        assert isinstance(may_order(["a.evil.example"], EVIL, LE, world), TakeFirst)


class TestWhatIsSeenAndTold:
    @pytest.mark.parametrize(
        "address", ["127.0.0.1", "169.254.169.254", "10.96.0.1", "::ffff:10.0.0.1", "fd00::1", "localhost"]
    )
    @pytest.mark.parametrize("own", [False, True])
    async def test_names_that_point_inside(self, address: str, own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        """A host of a tenant's that leads inside, or to what redirects there, makes the self check dial nothing there."""
        dialled: list[str] = []

        async def dial(where: str, _port: int, **_: object) -> tuple[asyncio.StreamReader, Any]:
            dialled.append(where)
            reader = asyncio.StreamReader()
            reader.feed_data(b"HTTP/1.1 301 Moved\r\nLocation: http://inside.example.com/\r\n\r\n")
            return reader, Mock()

        async def resolve(_name: str) -> tuple[str, ...]:
            return (address,)

        monkeypatch.setattr("signer.edge.proxies.dial.asyncio.open_connection", dial)
        asked = Asked(host("a.example.com"), "/x", "key")
        looks = PublicLooks(asked, resolve, {}, AddressRule())
        served = Served((), (), (address,) if own else ())
        assert (await looks.at((address,), served, AddressRule())).passed == own
        assert dialled == []
        found = await looks.at(("8.8.8.8",), served, AddressRule())
        assert found.cause is Cause.REDIRECTED_AWAY
        assert dialled == ["8.8.8.8"]

    def test_no_body_is_shown(self) -> None:
        """What an address answers never gets into a status: only its number does."""
        found = classify(host("a.example.com"), "/x", Seen(status=200))
        assert "200" in found.message

    def test_a_cas_words(self) -> None:
        """What a CA says is cut and made printable before it is told."""
        text = told("evil\x1b[31m\nline" + "x" * 10_000)
        assert text.isprintable()
        assert len(text) == 512


@pytest.mark.heavy
def test_no_role_for_users_writes_orders() -> None:
    """What we ship to be added to users' roles lets nobody make or change an Order, a Challenge or a HostClaim."""
    manifests = Path(__file__).parents[3] / "manifests"
    found = [one for path in manifests.rglob("*.yaml") for one in read_all(path.read_text("utf-8")) if one]
    roles = [one for one in found if one.get("kind") == "ClusterRole"]
    shared = [one for one in roles if any("aggregate-to" in label for label in one["metadata"].get("labels", {}))]
    assert shared
    for role in shared:
        for rule in role.get("rules") or ():
            if {"orders", "challenges", "orders/status", "challenges/status", "hostclaims", "*"} & set(
                rule["resources"]
            ):
                assert set(rule["verbs"]) <= {"get", "list", "watch", "delete", "deletecollection", "release"}, role[
                    "metadata"
                ]
