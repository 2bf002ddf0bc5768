"""The order of checks, the refusals, what waits, and the questions."""

from dataclasses import replace

import pytest
from cryptography import x509

from signer.authorities.state import PENDING, TYPE_MISSING
from signer.csr.evaluate import DURATION_ANNOTATION, IS_CA_ANNOTATION, PRIVATE_KEY_ANNOTATION
from signer.csr.outcome import NOTHING_ASKED, Answers, AskKey, AskReference, Issue, NoKey
from signer.tenancy.verdict import Limits, Reason, Refuse, Wait
from tests.pki import csr, key, key_usage
from tests.unit.csr.crafted import (
    FOO,
    SHOP,
    self_signed,
    unready,
)
from tests.unit.csr.evaluated import BASE, SELF_CASE, SHOP_CASE, Case

NO_CA = (
    "ClusterIssuer foo was asked for a CA certificate (annotation request-is-ca), which this signer does not "
    "issue (--allow-ca-requests=false)"
)


SENT = "digital signature, key encipherment"


TEMPLATE = "Error generating certificate template: "


REFUSED: list[tuple[str, Case, str, str]] = [
    (
        "duration unreadable",
        BASE.noting(duration="90d"),
        "ErrorParseDuration",
        (
            f"Failed to parse requested duration: annotation {DURATION_ANNOTATION}: time: invalid duration '90d'; "
            "write 2160h: there is no unit longer than an hour"
        ),
    ),
    (
        "duration empty",
        BASE.noting(duration=""),
        "ErrorParseDuration",
        (
            f"Failed to parse requested duration: annotation {DURATION_ANNOTATION}: time: invalid duration ''; "
            "write hours, minutes and seconds, such as 2160h or 1h30m"
        ),
    ),
    (
        "expiration too short",
        BASE.asking(expiration=599),
        "InvalidDuration",
        "CertificateSigningRequest minimum allowed duration is 10m0s, requested 9m59s",
    ),
    (
        "annotation too short",
        BASE.noting(duration="9m59.999s"),
        "InvalidDuration",
        "CertificateSigningRequest minimum allowed duration is 10m0s, requested 9m59.999s",
    ),
    (
        "annotation negative",
        BASE.noting(duration="-1h"),
        "InvalidDuration",
        "CertificateSigningRequest minimum allowed duration is 10m0s, requested -1h0m0s",
    ),
    (
        "expiration negative",
        BASE.asking(expiration=-1),
        "InvalidDuration",
        "CertificateSigningRequest minimum allowed duration is 10m0s, requested -1s",
    ),
    (
        "reference denied",
        replace(SHOP_CASE, answers=Answers(may_reference=False)),
        "DeniedReference",
        "Requester may not reference Namespaced Issuer shop/ca",
    ),
    (
        "request empty",
        BASE.asking(request=b""),
        "SigningError",
        f"{TEMPLATE}spec.request: request: it is empty",
    ),
    (
        "request no CSR",
        BASE.asking(request=b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        "SigningError",
        f"{TEMPLATE}spec.request: request: the first PEM block is a CERTIFICATE, not a CERTIFICATE REQUEST",
    ),
    (
        "usage unknown",
        BASE.asking(usages=("digital signature", "world domination")),
        "SigningError",
        f"{TEMPLATE}usages: unknown key usages: 'world domination'",
    ),
    (
        "usages not the CSR's",
        BASE.asking(request=csr(dns=["a.example"], extra=[(key_usage(cert_sign=True), True)])),
        "SigningError",
        f"{TEMPLATE}usages: the CSR's KeyUsage is digital signature, cert sign, {SENT} is asked for",
    ),
    (
        "CA flag not the CSR's",
        BASE.asking(request=csr(dns=["a.example"], extra=[(x509.BasicConstraints(True, None), True)])),
        "SigningError",
        f"{TEMPLATE}isCA: the CSR's BasicConstraints say True, False is asked for",
    ),
    (
        "CA not allowed",
        replace(BASE.noting(is_ca="true"), limits=Limits(allow_ca_requests=False)),
        "CARequestsNotAllowed",
        NO_CA,
    ),
    (
        "self-signed CA not allowed",
        replace(
            SELF_CASE.asking(annotations={PRIVATE_KEY_ANNOTATION: "own-key", IS_CA_ANNOTATION: "true"}),
            limits=Limits(allow_ca_requests=False),
        ),
        "CARequestsNotAllowed",
        NO_CA,
    ),
    (
        "self-signed without a key's name",
        SELF_CASE.asking(annotations={}),
        "MissingAnnotation",
        f"Missing private key reference annotation: {PRIVATE_KEY_ANNOTATION}",
    ),
    (
        "self-signed with an empty name",
        SELF_CASE.asking(annotations={PRIVATE_KEY_ANNOTATION: ""}),
        "MissingAnnotation",
        f"Missing private key reference annotation: {PRIVATE_KEY_ANNOTATION}",
    ),
    (
        "self-signed with another's key",
        replace(SELF_CASE, answers=Answers(key=key("p256", n=78))),
        "ErrorKeyMatch",
        "Referenced private key in Secret cert-manager/own-key does not match that in the request",
    ),
    (
        "self-signed and unreadable",
        SELF_CASE.asking(request=b"x"),
        "SigningError",
        f"{TEMPLATE}spec.request: request: there is no PEM block CERTIFICATE REQUEST",
    ),
]


WAITS: list[tuple[str, Case, Wait]] = [
    (
        "no issuer",
        replace(BASE, state=None),
        Wait(Reason("IssuerNotFound", "Referenced issuer does not exist: ClusterIssuer foo"), FOO),
    ),
    (
        "no Issuer in the namespace",
        replace(SHOP_CASE, state=None, answers=NOTHING_ASKED),
        Wait(Reason("IssuerNotFound", "Referenced issuer does not exist: Issuer shop/ca"), SHOP),
    ),
    (
        "no type",
        replace(BASE, state=unready(FOO, TYPE_MISSING, "spec names no type")),
        Wait(Reason("IssuerTypeMissing", "spec names no type"), FOO),
    ),
    (
        "not ready",
        replace(BASE, state=unready()),
        Wait(Reason("IssuerNotReady", "Referenced issuer does not have a Ready status condition: no such Secret"), FOO),
    ),
    (
        "being read",
        replace(BASE, state=unready(FOO, PENDING, "Secret is being read")),
        Wait(Reason(PENDING, "Referenced issuer does not have a Ready status condition: Secret is being read"), FOO),
    ),
    (
        "no usable key",
        replace(SELF_CASE, answers=Answers(key=NoKey())),
        Wait(
            Reason(
                "SecretNotFound",
                "Referenced Secret cert-manager/own-key not found, or it holds no key that may be used here",
            ),
            FOO,
            ("cert-manager", "own-key"),
        ),
    ),
]


@pytest.mark.parametrize(("_what", "case", "code", "message"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refused(_what: str, case: Case, code: str, message: str) -> None:
    """What can never be issued is refused, with cert-manager's reason and a message that names the field."""
    assert case.judge() == Refuse((Reason(code, message),))


@pytest.mark.parametrize(("_what", "case", "wait"), WAITS, ids=[row[0] for row in WAITS])
def test_waits(_what: str, case: Case, wait: Wait) -> None:
    """What may be mended by somebody else waits, and tells for which issuer and Secret."""
    assert case.judge() == wait


class TestAsks:
    def test_may_it_be_referenced(self) -> None:
        """A namespaced Issuer is not used before the requester's right to it was asked about."""
        case = replace(SHOP_CASE, answers=NOTHING_ASKED)
        assert case.judge() == AskReference(SHOP, case.content())

    def test_nobody_is_asked_about_a_cluster_issuer(self) -> None:
        """A ClusterIssuer needs no such right, as in cert-manager."""
        assert isinstance(BASE.judge(), Issue)

    def test_which_key(self) -> None:
        """A ClusterIssuer's key Secrets lie in the cluster resource namespace."""
        assert replace(SELF_CASE, answers=NOTHING_ASKED).judge() == AskKey("cert-manager", "own-key")

    def test_which_key_of_a_namespace(self) -> None:
        """An Issuer's key Secrets lie in its own namespace, and nowhere else."""
        case = replace(SELF_CASE, ref=SHOP, state=self_signed(SHOP), answers=Answers(may_reference=True))
        assert case.judge() == AskKey("shop", "own-key")


class TestOrder:
    """Of two things that are wrong, the one that cert-manager would tell is told."""

    def test_issuer_before_reference(self) -> None:
        """A missing Issuer is waited for, even by those who may not reference it."""
        verdict = replace(SHOP_CASE, state=None, answers=Answers(may_reference=False)).judge()
        assert isinstance(verdict, Wait)

    def test_reference_before_duration(self) -> None:
        """Who may not reference the Issuer is told that, not what else is wrong."""
        verdict = replace(SHOP_CASE.noting(duration="x"), answers=Answers(may_reference=False)).judge()
        assert isinstance(verdict, Refuse)
        assert verdict.code == "DeniedReference"

    def test_reference_before_readiness(self) -> None:
        """The state of an Issuer is nothing for those who may not reference it."""
        verdict = replace(SHOP_CASE, state=unready(SHOP), answers=NOTHING_ASKED).judge()
        assert isinstance(verdict, AskReference)

    def test_duration_before_readiness(self) -> None:
        """A wrong duration is refused at once; nobody waits for a CA for nothing."""
        verdict = replace(BASE.noting(duration="1s"), state=unready()).judge()
        assert isinstance(verdict, Refuse)
        assert verdict.code == "InvalidDuration"

    def test_readiness_before_the_csr(self) -> None:
        """The CSR is not looked at before the issuer is ready."""
        assert isinstance(replace(BASE.asking(request=b""), state=unready()).judge(), Wait)

    def test_a_broken_key(self) -> None:
        """A Secret that is there without a usable key is told apart from a missing one, and waited for."""
        verdict = replace(SELF_CASE, answers=Answers(key=NoKey(broken=True))).judge()
        assert isinstance(verdict, Wait)
        assert verdict.reason.code == "ErrorParsingKey"
        assert verdict.secret == ("cert-manager", "own-key")

    def test_key_before_the_csr(self) -> None:
        """A self-signed request's Secret is looked for before the CSR is read."""
        verdict = replace(SELF_CASE.asking(request=b""), answers=Answers(key=NoKey())).judge()
        assert isinstance(verdict, Wait)
