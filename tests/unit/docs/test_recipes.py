"""The recipe of docs/tenancy.md for another CA key, step by step, on the CAs that the signer would load."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from issuers.certificate import new_serial, sign
from issuers.istio_request import uri_name
from issuers.request import read_request
from issuers.template import mesh_template
from tests import pki
from tests.unit.csr.crafted import loaded

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def g1() -> pki.CA:
    """The CA of now."""
    return pki.CA("foo", now=NOW, private=pki.key("p256", n=101))


@pytest.fixture(scope="module")
def g2() -> pki.CA:
    """The next one, by itself."""
    return pki.CA("foo-2", now=NOW, private=pki.key("p256", n=102))


@pytest.fixture(scope="module")
def cross(g1: pki.CA, g2: pki.CA) -> pki.CA:
    """The next one's key and subject, certified by the CA of now."""
    return g1.intermediate("foo-2", private=g2.private)


def chain(ca: pki.CA) -> list[x509.Certificate]:
    """What a workload is given by the CA in this Secret: leaf, then intermediates."""
    request = read_request(pki.workload_csr("foo"))
    template = mesh_template(
        request,
        san=uri_name(pki.spiffe("foo")),
        usages=pki.WORKLOAD_USAGES,
        not_before=NOW - timedelta(minutes=2),
        not_after=NOW + timedelta(hours=1),
    )
    return x509.load_pem_x509_certificates(sign(template, loaded(ca), serial=new_serial()).pem)


def trusted(found: list[x509.Certificate], root: pki.CA) -> bool:
    """Whether somebody who trusts this root alone finds a way to it from the leaf, by names and signatures."""
    for at, certificate in enumerate(found):
        if issued_by(certificate, root.certificate):
            return True
        if found[at + 1 :] and not issued_by(certificate, found[at + 1]):
            return False
    return False


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, InvalidSignature):
        return False
    return True


def test_another_key_for_a_ca(g1: pki.CA, g2: pki.CA, cross: pki.CA) -> None:
    """In each step every chain that is in use then verifies under every root that is trusted then."""
    steps = {  # Secrets whose certificates are still in use, roots that workloads still trust
        0: ([g1], [g1]),
        1: ([g1, cross], [g1]),
        2: ([cross], [g1, g2]),
        3: ([cross, g2], [g2]),
    }
    for step, (secrets, roots) in steps.items():
        for secret in secrets:
            for root in roots:
                assert trusted(chain(secret), root), step
    # What the recipe warns of: too early from 1 to 2, too early from 2 to 3.
    assert not trusted(chain(g1), g2)
    assert not trusted(chain(g2), g1)


def test_the_bridge_is_sent_along(cross: pki.CA) -> None:
    """The cross certificate follows the leaf, and the old root, which stands in ca.crt, does not."""
    assert chain(cross)[1:] == [cross.certificate]
