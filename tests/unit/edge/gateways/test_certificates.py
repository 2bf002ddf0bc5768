"""One Secret and two who want it: a Certificate written by hand, another namespace's Gateway, or our own from before."""

import msgspec
import pytest

from signer.api.certificate import Certificate
from signer.edge.gateways.bodies import certificate_body
from signer.edge.gateways.certificates import Theirs, not_named, rival
from signer.edge.gateways.read import gateway_wishes
from signer.edge.gateways.wish import Wish
from signer.tenancy.verdict import Reason
from tests.unit.edge.objects import LE, gateway, host, https

HERE = "istio-system"


def wish(namespace: str = "foo", *hosts: str) -> Wish:
    listed = hosts or ("a.example.com",)
    (found,) = gateway_wishes(gateway(https(*listed, credential="shop"), namespace=namespace), LE).certificates
    return found


def ours(namespace: str, uid: str = "uid") -> Certificate:
    return msgspec.convert(certificate_body(wish(namespace), HERE, source_namespace_uid=uid), Certificate)


def by_hand(
    name: str = "by-hand", secret: str = "shop", *hosts: str, deleted: str | None = None, common_name: str = ""
) -> Certificate:
    metadata = {"namespace": HERE, "name": name, "deletionTimestamp": deleted}
    spec = {"secretName": secret, "dnsNames": list(hosts or ("a.example.com",)), "commonName": common_name}
    return msgspec.convert({"metadata": metadata, "spec": spec}, Certificate)


def settled(one: Wish, *there: Certificate, uid: str = "uid") -> Theirs | Reason | None:
    """The same choice of Certificates as the controller's: the one of the Secret's name, and users' own for the Secret."""
    named = next((found for found in there if found.metadata.name == "shop"), None)
    written = [found for found in there if not found.metadata.labels and found.spec.secret_name == "shop"]
    return rival(one, HERE, uid, named, written)


def test_nobody() -> None:
    """Where nobody keeps the Secret, we may have a Certificate for it."""
    assert settled(wish()) is None
    assert settled(wish(), by_hand(secret="another"), by_hand(secret="")) is None


def test_our_own_from_before() -> None:
    """The Certificate of the same namespace is brought up to date."""
    assert settled(wish(), ours("foo")) is None


@pytest.mark.parametrize(("there", "uid"), [(ours("bar"), "uid"), (ours("foo", "another"), "uid")])
def test_another_namespaces(there: Certificate, uid: str) -> None:
    """A Gateway of another namespace, or of one made again, does not get the Secret, nor the other's name."""
    found = settled(wish(), there, uid=uid)
    assert isinstance(found, Reason)
    assert found.code == "SecretConflict"
    assert "bar" not in found.message


@pytest.mark.parametrize("name", ["by-hand", "shop"])
def test_one_by_hand(name: str) -> None:
    """A Certificate that somebody wrote, as old guides say, stays as it is, and the Gateway is served by it."""
    assert settled(wish(HERE), by_hand(name)) == Theirs(name)


def test_one_by_hand_is_first_or_second() -> None:
    """In its own namespace one by hand has the Secret though we were first: who wrote it asked for it by name."""
    assert settled(wish(HERE), ours(HERE), by_hand()) == Theirs("by-hand")
    assert settled(wish(HERE), ours("foo"), by_hand()) == Theirs("by-hand")


def test_one_by_hand_that_goes() -> None:
    """One that is being deleted is in nobody's way."""
    assert settled(wish(HERE), by_hand(deleted="2026-06-01T12:00:00Z")) is None


@pytest.mark.parametrize("name", ["by-hand", "shop"])
def test_one_by_hand_is_not_for_others(name: str) -> None:
    """A tenant's Gateway does not get at an administrator's Certificate."""
    found = settled(wish("foo"), by_hand(name))
    assert isinstance(found, Reason)
    assert found.code == "SecretConflict"
    assert f"{HERE}/{name}" in found.message


def test_the_first_of_two_namespaces() -> None:
    """Between two namespaces the first has the Secret: one by hand that comes later does not take a tenant's away."""
    assert settled(wish("foo"), ours("foo"), by_hand()) is None


@pytest.mark.parametrize("secret", ["another", ""])
@pytest.mark.parametrize("namespace", [HERE, "foo"])
def test_its_name_is_taken(namespace: str, secret: str) -> None:
    """A Certificate of the same name for another Secret is not overwritten."""
    found = settled(wish(namespace), by_hand("shop", secret))
    assert isinstance(found, Reason)
    assert found.code == "CertificateExists"


def test_hosts_that_it_does_not_name() -> None:
    """Hosts that a user's own Certificate does not name are told, a few; a wildcard counts for the names one label below."""
    hosts = ("a.example.com", "b.example.com", "b.c.example.com", "d.example.org", "e.example.org")
    found = settled(wish(HERE, *hosts), by_hand("old", "shop", "*.Example.com", common_name="d.example.org"))
    assert found == Theirs("old", (host("b.c.example.com"), host("e.example.org")))
    assert isinstance(found, Theirs)
    reason = not_named(found, HERE)
    assert reason is not None
    assert "istio-system/old" in reason.message
    assert "b.c.example.com, e.example.org; " in reason.message
    assert not_named(Theirs("old"), HERE) is None
    many = not_named(Theirs("old", tuple(host(f"n{number}.example.com") for number in range(5))), HERE)
    assert many is not None
    assert "n2.example.com and others; " in many.message
