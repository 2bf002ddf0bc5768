"""One Secret and two who want it; one host and two who want it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from signer.api.certificate import Certificate
from signer.api.hostclaim import HostClaim, HostClaimStatus
from signer.edge.gateways.bodies import certificate_body
from signer.edge.gateways.read import gateway_wishes
from signer.edge.gateways.rivals import ByHand, Create, Update, settle
from signer.edge.gateways.wish import Wish
from signer.edge.hosts.claim_status import claim_fate, claim_status, status_patch
from signer.edge.hosts.retention import Fate
from signer.tenancy.verdict import Refuse
from tests.unit.edge.objects import LE, gateway, https

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def wish(namespace: str = "foo") -> Wish:
    (found,) = gateway_wishes(gateway(https("a.example.com", credential="shop"), namespace=namespace), LE).certificates
    return found


def ours(namespace: str, uid: str = "uid") -> Certificate:
    return msgspec.convert(certificate_body(wish(namespace), "istio-system", source_namespace_uid=uid), Certificate)


def by_hand(name: str = "by-hand", secret: str = "shop", labels: dict[str, str] | None = None) -> Certificate:
    metadata = {"namespace": "istio-system", "name": name, "labels": labels or {}}
    return msgspec.convert({"metadata": metadata, "spec": {"secretName": secret}}, Certificate)


def settled(one: Wish, *there: Certificate, uid: str = "uid") -> Any:
    return settle(one, uid, "istio-system", there)


class TestSecrets:
    def test_nobody(self) -> None:
        """Where nobody keeps the Secret, a Certificate is created."""
        assert settled(wish()) == Create()
        assert settled(wish(), by_hand(secret="another"), by_hand(secret="")) == Create()

    def test_our_own_from_before(self) -> None:
        """The Certificate of the same namespace is brought up to date."""
        assert settled(wish(), ours("foo")) == Update("shop")

    @pytest.mark.parametrize(("there", "uid"), [(ours("bar"), "uid"), (ours("foo", "another"), "uid")])
    def test_another_namespaces(self, there: Certificate, uid: str) -> None:
        """A Gateway of another namespace, or of one made again, does not get the Secret, nor the other's name."""
        found = settled(wish(), there, uid=uid)
        assert isinstance(found, Refuse)
        assert found.code == "SecretTaken"
        assert "bar" not in found.message

    def test_one_by_hand(self) -> None:
        """A Certificate that somebody wrote, as old guides say, stays as it is, and the Gateway is served by it."""
        assert settled(wish("istio-system"), by_hand()) == ByHand("by-hand")

    def test_one_by_hand_is_not_for_others(self) -> None:
        """A tenant's Gateway does not get at an administrator's Certificate."""
        found = settled(wish("foo"), by_hand())
        assert isinstance(found, Refuse)
        assert found.code == "SecretTaken"

    def test_its_name_is_taken(self) -> None:
        """A Certificate of the same name for another Secret is not overwritten."""
        for secret in ("another", ""):
            found = settled(wish("istio-system"), by_hand(name="shop", secret=secret))
            assert isinstance(found, Refuse)
            assert found.code == "NameTaken"


def claim(**status: Any) -> HostClaim:
    spec = {"host": "a.example.com", "namespace": "foo", "namespaceUID": "u"}
    metadata = {"name": "a.example.com", "resourceVersion": "7"}
    return msgspec.convert({"metadata": metadata, "spec": spec, "status": status}, HostClaim)


def told(one: HostClaim, *contenders: str, wanted: bool = True) -> HostClaimStatus:
    return claim_status(one, wanted=wanted, contenders=contenders, now=NOW)


class TestClaims:
    def test_quiet(self) -> None:
        """A host that is wanted by its owner alone has nothing to tell, and nothing is written."""
        assert status_patch(claim(), told(claim(), "foo")) is None

    def test_conflict(self) -> None:
        """Others that want the host are named, at most sixteen, and the condition goes when they do."""
        status = told(claim(), *(f"n{number:02}" for number in range(20)), "foo")
        (condition,) = status.conditions
        assert (condition.type, condition.status, len(status.contenders)) == ("Conflict", "True", 16)
        assert "n15 and others" in condition.message
        patch = status_patch(claim(), status)
        assert patch is not None
        assert patch["metadata"] == {"resourceVersion": "7"}
        stored = claim(**patch["status"])
        assert status_patch(stored, told(stored, *(f"n{number:02}" for number in range(20)))) is None
        ended = told(stored)
        assert (ended.conditions[0].status, ended.contenders) == ("False", ())

    def test_unused(self) -> None:
        """Since when it is unused is noted once, taken back when it is wanted, and ends it after 7 days."""
        status = told(claim(), wanted=False)
        assert status.unused_since == "2026-06-01T12:00:00Z"
        stored = claim(unusedSince="2026-05-30T12:00:00Z")
        assert told(stored, wanted=False).unused_since == "2026-05-30T12:00:00Z"
        patch = status_patch(stored, told(stored))
        assert patch is not None
        assert patch["status"]["unusedSince"] is None
        assert claim_fate(stored, wanted=False, now=NOW) is Fate.STAYS
        assert claim_fate(stored, wanted=False, now=NOW + timedelta(days=5)) is Fate.REMOVE
        assert claim_fate(stored, wanted=True, now=NOW + timedelta(days=5)) is Fate.NOTE_USED
