"""Requests that are issued: what the certificate will say, by cert-manager's rules."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509

from signer.csr.outcome import Issue
from tests.pki import csr, spiffe
from tests.unit.csr.crafted import (
    FOO,
    ISTIOD,
    NOW,
    USAGES,
    authority,
    issuer,
    ready,
    self_signed,
    workload,
)
from tests.unit.csr.evaluated import BASE, OWN_KEY, SELF_CASE, SHOP_CASE, Case

Mutator = Callable[[Case], Case]


def issued(case: Case) -> Issue:
    verdict = case.judge()
    assert isinstance(verdict, Issue), verdict
    return verdict


class TestIssued:
    def test_the_baseline(self) -> None:
        """An approved workload's request to a ready CA is issued: its key, its names, its usages, its lifetime."""
        verdict = issued(BASE)
        sent = x509.load_pem_x509_csr(workload())
        template = verdict.template
        assert verdict.authority is authority("foo")
        assert verdict.key is None
        assert template.usages == USAGES
        assert template.subject_der == sent.subject.public_bytes()
        assert (
            template.san_der
            == sent.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.public_bytes()
        )
        assert (template.not_before, template.not_after) == (NOW, NOW + timedelta(seconds=86400))
        assert not template.is_ca

    def test_who_and_what_for_the_audit(self) -> None:
        """The verdict carries the requester, and the one URI that the workload is to be known by."""
        verdict = issued(BASE)
        assert verdict.requester == ISTIOD
        assert verdict.identity == spiffe("foo")

    @pytest.mark.parametrize("uris", [(), (spiffe("foo"), spiffe("bar"))])
    def test_no_single_identity(self, uris: tuple[str, ...]) -> None:
        """A request with no URI or with two has no identity to note."""
        assert issued(BASE.asking(request=csr(uris=uris, dns=["a.example"]))).identity == ""

    @pytest.mark.parametrize(
        ("mutate", "lifetime"),
        [
            (lambda case: case.asking(expiration=None), timedelta(days=90)),
            (lambda case: case.asking(expiration=600), timedelta(minutes=10)),
            (lambda case: case.asking(expiration=3601), timedelta(seconds=3601)),
            (lambda case: case.noting(duration="1h"), timedelta(hours=1)),
            (lambda case: case.noting(duration="10m0s"), timedelta(minutes=10)),
            (lambda case: case.noting(duration="20m59.9s"), timedelta(minutes=20, seconds=59)),
            (lambda case: case.asking(expiration=5).noting(duration="2000h"), timedelta(hours=2000)),
        ],
        ids=["nothing said", "least", "to the second", "annotation", "least annotated", "cut", "annotation first"],
    )
    def test_lifetime(self, mutate: Mutator, lifetime: timedelta) -> None:
        """The annotation beats expirationSeconds, which beats 90 days; it is kept to the second."""
        template = issued(mutate(BASE)).template
        assert template.not_before == NOW
        assert template.not_after - template.not_before == lifetime

    def test_nothing_outlives_its_ca(self) -> None:
        """However long is asked for, the certificate ends with the first of its CA and those above it."""
        template = issued(BASE.noting(duration="87600h")).template
        assert template.not_after == authority("ca").not_after

    def test_urls_of_the_issuer(self) -> None:
        """The certificate names the issuer's CRL, OCSP and issuer URLs."""
        state = ready(crlDistributionPoints=["http://c"], ocspServers=["http://o"], issuingCertificateURLs=["http://i"])
        template = issued(replace(BASE, state=state)).template
        assert template.crl_distribution_points == ("http://c",)
        assert template.ocsp_servers == ("http://o",)
        assert template.issuing_certificate_urls == ("http://i",)

    def test_a_ca_by_annotation(self) -> None:
        """The annotation request-is-ca with exactly "true" asks for a CA, as in cert-manager; other texts do not."""
        assert issued(BASE.asking(usages=("cert sign",)).noting(is_ca="true")).template.is_ca
        for text in ("True", "1", "yes", ""):
            assert not issued(BASE.noting(is_ca=text)).template.is_ca

    def test_an_issuer_that_may_be_referenced(self) -> None:
        """A namespaced Issuer signs once the requester's right to reference it is known."""
        assert issued(SHOP_CASE).authority is authority("ca")

    def test_self_signed(self) -> None:
        """A selfSigned issuer signs with the key in the Secret that the request names."""
        verdict = issued(SELF_CASE)
        assert verdict.key is OWN_KEY
        assert verdict.authority is None
        assert verdict.identity == ""
        assert verdict.requester == ISTIOD

    def test_self_signed_points(self) -> None:
        """A selfSigned issuer's CRL distribution points are named too."""
        found = issuer(FOO, {"selfSigned": {"crlDistributionPoints": ["http://c"]}})
        state = replace(self_signed(), issuer=found)
        assert issued(replace(SELF_CASE, state=state)).template.crl_distribution_points == ("http://c",)
