"""One Secret and two who want it: whose it is, and what the other is told."""

from dataclasses import replace

import msgspec
import pytest

from signer.api.certificate import Certificate
from signer.edge.gateways.bodies import certificate_body
from signer.edge.gateways.certificates import kept_by_another, wanted_by, why_not_issued
from signer.edge.gateways.read import gateway_wishes
from signer.edge.gateways.wish import Wish
from signer.tenancy.verdict import Reason
from tests.unit.edge.objects import LE, gateway, https

GATEWAYS = "istio-system"


def wish(namespace: str = "foo") -> Wish:
    (found,) = gateway_wishes(gateway(https("a.example.com", credential="shop"), namespace=namespace), LE).certificates
    return found


def ours(namespace: str, uid: str = "uid") -> Certificate:
    return msgspec.convert(certificate_body(wish(namespace), GATEWAYS, source_namespace_uid=uid), Certificate)


def by_hand(name: str = "by-hand", secret: str = "shop") -> Certificate:
    metadata = {"namespace": GATEWAYS, "name": name}
    return msgspec.convert({"metadata": metadata, "spec": {"secretName": secret}}, Certificate)


def told(one: Wish, *there: Certificate, uid: str = "uid") -> Reason | None:
    """What is told of a wish where these Certificates are."""
    named = next((other for other in there if other.metadata.name == one.secret_name), None)
    return kept_by_another(one, GATEWAYS, uid, named, [o for o in there if o.spec.secret_name == one.secret_name])


@pytest.mark.parametrize("where", ["foo", "bar", GATEWAYS])
@pytest.mark.parametrize("said", ["foo", "bar", ""])
def test_who_wants_it(where: str, said: str) -> None:
    """That another namespace wants a Certificate is believed where administrators alone write, and nowhere else."""
    labels = {"mesh-signer.dev/edge": "true", "mesh-signer.dev/source-namespace": said}
    found = msgspec.convert({"metadata": {"namespace": where, "name": "x", "labels": labels}}, Certificate)
    assert wanted_by(found, [GATEWAYS]) == (said or where if where == GATEWAYS else where)


def test_nobody() -> None:
    """Where nobody keeps the Secret, nothing is in the way."""
    assert told(wish()) is None
    assert told(wish(), by_hand(secret="another"), by_hand(secret="")) is None


def test_our_own_from_before() -> None:
    """The Certificate of the same namespace is ours to keep, also when somebody writes another one for its Secret later."""
    assert told(wish(), ours("foo")) is None
    assert told(wish(), ours("foo"), by_hand()) is None
    assert told(wish(GATEWAYS), ours(GATEWAYS), by_hand()) is None


@pytest.mark.parametrize(("there", "uid"), [(ours("bar"), "uid"), (ours("foo", "another"), "uid")])
def test_another_namespaces(there: Certificate, uid: str) -> None:
    """A Gateway of another namespace, or of one made again, does not get the Secret, nor the other's name."""
    found = told(wish(), there, uid=uid)
    assert found is not None
    assert found.code == "SecretConflict"
    assert "bar" not in found.message


@pytest.mark.parametrize("name", ["by-hand", "shop", "a", "z"])
def test_one_by_hand(name: str) -> None:
    """A Certificate that somebody wrote for the Secret stays as it is, whatever its own name, and the Gateway says so."""
    found = told(wish(GATEWAYS), by_hand(name))
    assert found is not None
    assert found.code == "CertificateExists"
    assert f"'{GATEWAYS}/{name}' was written by somebody for Secret 'shop'" in found.message


def test_several_by_hand() -> None:
    """Of several one is named, always the same."""
    both = [by_hand("a"), by_hand("b")]
    assert told(wish(GATEWAYS), *both) == told(wish(GATEWAYS), by_hand("a"))


@pytest.mark.parametrize("name", ["by-hand", "shop"])
def test_one_by_hand_is_not_for_others(name: str) -> None:
    """A tenant's Gateway does not get at an administrator's Certificate, nor learns its name."""
    found = told(wish("foo"), by_hand(name))
    assert found is not None
    assert found.code == "SecretConflict"
    assert "by-hand" not in found.message


@pytest.mark.parametrize("secret", ["another", ""])
def test_its_name_is_taken(secret: str) -> None:
    """A Certificate of the same name for another Secret is not overwritten."""
    found = told(wish(GATEWAYS), by_hand("shop", secret))
    assert found is not None
    assert found.code == "CertificateExists"
    assert "for another Secret" in found.message


def test_the_wish_is_read_only() -> None:
    """Nothing of what is decided depends on the issuer or on the hosts."""
    other = replace(wish(GATEWAYS), hosts=())
    assert told(other, by_hand()) == told(wish(GATEWAYS), by_hand())


@pytest.mark.parametrize(
    ("issuing", "code"),
    [
        (("True", "x; CertificateRequest shop-1 is not answered: no issuer"), "RequestWaits"),
        (("True", "x; CertificateRequest shop-1 is not answered: Waiting on certificate issuance"), None),
        (("True", "Renewing certificate"), None),
        (("False", "failed: rateLimited"), "Failed"),
    ],
)
def test_what_its_gateway_is_told(issuing: tuple[str, str], code: str | None) -> None:
    """A Gateway's people are told why its Certificate gets none, unless that ends by itself."""
    condition = {"type": "Issuing", "status": issuing[0], "reason": "Failed", "message": issuing[1]}
    status = {"conditions": [condition], "failedIssuanceAttempts": 1}
    made = msgspec.convert(
        certificate_body(wish(), GATEWAYS, source_namespace_uid="uid") | {"status": status}, Certificate
    )
    found = why_not_issued(made)
    assert (found.code if found is not None else None) == code
    if found is not None:
        assert found.message.startswith(f"Certificate {GATEWAYS}/shop")
        assert issuing[1].rpartition(": ")[2] in found.message
