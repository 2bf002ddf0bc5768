"""What a certificate is to say: decided from the request and the issuer, and nothing else."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from issuers.certificate import CertificateTemplate
from issuers.errors import TemplateError
from issuers.x509.subject import EMPTY_NAME
from tests.pki import DAY
from tests.unit.issuers.signing import HOUR, NOW, SUBJECT, decide, request
from tests.vectors import craft


def key_usage(content: bytes) -> bytes:
    return craft.extension(craft.KU, content, craft.TRUE)


def purposes(*oids: str) -> bytes:
    return craft.extension(craft.EKU, craft.seq(*map(craft.oid, oids)))


SERVER, CLIENT = "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"


class TestDecision:
    def test_everything_comes_from_request_and_wish(self) -> None:
        """No field of the template is left at its default when request and wish say something else."""
        constraints = craft.seq(craft.tlv(0xA0, craft.seq(craft.dns("a.example"))))
        wish = request(craft.extension(craft.NC, constraints, craft.TRUE), purposes(CLIENT, "1.2.3.4"), subject=SUBJECT)
        template = decide(
            wish,
            usages=("client auth",),
            is_ca=True,
            crl_distribution_points=["http://crl"],
            ocsp_servers=["http://ocsp"],
            issuing_certificate_urls=["http://ca"],
        )
        assert template == CertificateTemplate(
            spki=wish.spki,
            subject_der=SUBJECT,
            san_der=wish.san_der,
            not_before=NOW.replace(microsecond=0),
            not_after=NOW.replace(microsecond=0) + HOUR,
            is_ca=True,
            path_length=None,
            usages=("client auth",),
            unknown_extended_key_usages=("1.2.3.4",),
            name_constraints_der=constraints,
            name_constraints_critical=True,
            crl_distribution_points=("http://crl",),
            ocsp_servers=("http://ocsp",),
            issuing_certificate_urls=("http://ca",),
        )

    def test_a_template_by_hand_is_a_plain_leaf(self) -> None:
        """What is not said is not granted: no CA, Kubernetes' two default usages, nothing else."""
        template = CertificateTemplate(b"spki", EMPTY_NAME, b"names", NOW, NOW + HOUR)
        assert (template.is_ca, template.path_length) == (False, None)
        assert template.usages == ("digital signature", "key encipherment")
        assert (template.name_constraints_der, template.name_constraints_critical) == (None, False)
        lists = ("unknown_extended_key_usages", "crl_distribution_points", "ocsp_servers", "issuing_certificate_urls")
        assert all(getattr(template, name) == () for name in lists)

    def test_a_path_length_in_the_csr_is_not_taken_over(self) -> None:
        """As with cert-manager: the CSR's path length is not a wish that anyone approved."""
        wish = request(craft.extension(craft.BC, craft.seq(craft.TRUE, craft.integer(3)), craft.TRUE))
        assert decide(wish, is_ca=True).path_length is None

    @pytest.mark.parametrize("duration", [timedelta(seconds=1), timedelta(seconds=600), 90 * DAY, 3650 * DAY])
    def test_a_lifetime_is_honoured_to_the_second(self, duration: timedelta) -> None:
        """NotBefore is now, without its fraction; NotAfter is as much later as was asked for."""
        template = decide(duration=duration)
        assert template.not_before == datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
        assert template.not_after - template.not_before == duration

    def test_a_fraction_of_a_second_counts_as_in_go(self) -> None:
        """Go adds first and drops the fraction of the sum."""
        assert decide(duration=timedelta(seconds=600, milliseconds=500)).not_after == datetime(
            2026, 11, 22, 12, 10, 1, tzinfo=UTC
        )

    @pytest.mark.parametrize("duration", [timedelta(0), timedelta(seconds=-1), -DAY, timedelta(milliseconds=999)])
    def test_no_lifetime_is_refused(self, duration: timedelta) -> None:
        """Nothing, less than a second or a negative time is not a lifetime."""
        with pytest.raises(TemplateError, match="is not a lifetime") as refused:
            decide(duration=duration)
        assert refused.value.field == "duration"

    def test_a_lifetime_beyond_all_calendars_is_refused(self) -> None:
        """X.509 ends with the year 9999."""
        assert decide(duration=datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC) - NOW).not_after.year == 9999
        with pytest.raises(TemplateError, match=r"^duration: .*goes beyond the year 9999$"):
            decide(duration=timedelta(days=3_000_000))

    def test_no_usages_mean_two(self) -> None:
        """Kubernetes' default: digital signature and key encipherment."""
        assert decide(usages=()).usages == ("digital signature", "key encipherment")

    def test_cert_sign_is_added_for_cas_of_certificate_requests_alone(self) -> None:
        """The rule holds with is_ca and add_cert_sign together, for given usages and for the default."""
        assert decide(usages=("client auth",), is_ca=True, add_cert_sign=True).usages == ("client auth", "cert sign")
        assert decide(usages=(), is_ca=True, add_cert_sign=True).usages == (
            "digital signature",
            "key encipherment",
            "cert sign",
        )
        assert decide(usages=("client auth",), is_ca=False, add_cert_sign=True).usages == ("client auth",)
        assert decide(usages=("client auth",), is_ca=True).usages == ("client auth",)

    @pytest.mark.parametrize("usage", ["", "Server Auth", "server_auth", "digitalSignature", "serverauth "])
    def test_a_usage_that_nobody_knows_is_refused(self, usage: str) -> None:
        """The refusal names every one of them."""
        with pytest.raises(TemplateError) as refused:
            decide(usages=("client auth", usage, "x"))
        assert str(refused.value) == f"usages: unknown key usages: {usage!r}, 'x'"

    def test_the_number_of_usages_is_limited(self) -> None:
        """64 are taken; there are 23 names."""
        assert len(decide(usages=("client auth",) * 64).usages) == 64
        with pytest.raises(TemplateError, match=r"^usages: 65 usages; at most 64 are accepted$"):
            decide(usages=("client auth",) * 65)

    @pytest.mark.parametrize(
        ("extensions", "message"),
        [
            ([key_usage(craft.bits(b"\x80", 7))], "KeyUsage is digital signature, digital signature, key encipherment"),
            ([key_usage(craft.bits(b"\xa0", 5))], "ExtendedKeyUsage is nothing, server auth, client auth"),
            ([purposes(SERVER, CLIENT)], "KeyUsage is nothing, digital signature, key encipherment"),
            (
                [key_usage(craft.bits(b"\xa0", 5)), purposes(SERVER)],
                "ExtendedKeyUsage is server auth, server auth, client auth",
            ),
        ],
    )
    def test_usages_in_the_csr_must_be_those_asked_for(self, extensions: list[bytes], message: str) -> None:
        """One of the two extensions in the CSR speaks for both."""
        with pytest.raises(TemplateError) as refused:
            decide(request(*extensions))
        assert str(refused.value) == f"usages: the CSR's {message} is asked for"

    def test_usages_in_the_csr_that_are_asked_for_are_fine(self) -> None:
        """The same bits and the same purposes, in any order, and as often as one likes; signing is digital signature, s/mime is email."""
        for said in itertools.product((SERVER, CLIENT), repeat=3):
            for asked in itertools.product(("server auth", "client auth"), repeat=3):
                wish = request(key_usage(craft.bits(b"\xa0", 5)), purposes(*said))
                wanted = ("digital signature", "key encipherment", *asked)
                if {SERVER: "server auth", CLIENT: "client auth"}[said[0]] in asked and len(set(said)) == len(
                    set(asked)
                ):
                    decide(wish, usages=wanted)
                else:
                    with pytest.raises(TemplateError, match="ExtendedKeyUsage"):
                        decide(wish, usages=wanted)
        decide(request(key_usage(craft.bits(b"\xa0", 5)), purposes(SERVER, CLIENT)))
        wish = request(key_usage(craft.bits(b"\x80", 7)), purposes("1.3.6.1.5.5.7.3.4"))
        decide(wish, usages=("signing", "s/mime"))
        decide(wish, usages=("s/mime", "digital signature"))

    @pytest.mark.parametrize("said", [False, True])
    def test_the_ca_flag_in_the_csr_must_be_the_one_asked_for(self, said: bool) -> None:
        """A CSR for a CA does not become a leaf, nor a CSR for a leaf a CA."""
        wish = request(craft.extension(craft.BC, craft.seq(craft.TRUE if said else b""), craft.TRUE))
        assert decide(wish, is_ca=said).is_ca is said
        with pytest.raises(TemplateError) as refused:
            decide(wish, is_ca=not said)
        assert str(refused.value) == f"isCA: the CSR's BasicConstraints say {said}, {not said} is asked for"

    @pytest.mark.parametrize(
        ("argument", "field"),
        [
            ("crl_distribution_points", "crlDistributionPoints"),
            ("ocsp_servers", "ocspServers"),
            ("issuing_certificate_urls", "issuingCertificateURLs"),
        ],
    )
    @pytest.mark.parametrize("url", ["", "http://a b", "http://\u00fc", "http://a\n"])
    def test_a_url_that_cannot_be_written_is_refused(self, argument: str, field: str, url: str) -> None:
        """The refusal names the issuer's field."""
        wishes: dict[str, Any] = {argument: ["http://good", url]}
        with pytest.raises(TemplateError) as refused:
            decide(**wishes)
        assert str(refused.value) == f"{field}: {url!r} is not a URL in plain ASCII"
