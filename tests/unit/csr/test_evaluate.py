"""What becomes of an approved request: one valid baseline, and one row for each thing that can be otherwise.

The order of checks and the reasons are cert-manager's; a row names the exact reason and message.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from signer.api.certificatesigningrequest import RequestContent, read_content
from signer.api.issuer import IssuerRef
from signer.authorities.state import PENDING, TYPE_MISSING, IssuerState
from signer.csr.evaluate import DURATION_ANNOTATION, IS_CA_ANNOTATION, PRIVATE_KEY_ANNOTATION, evaluate
from signer.csr.outcome import NOTHING_ASKED, Answers, AskKey, AskReference, Issue, NoKey, Verdict
from signer.tenancy.claim import Limits
from signer.tenancy.verdict import Reason, Refuse, Wait
from signer.tenancy.world import without_wall
from tests.pki import csr, key, key_usage, name, spiffe
from tests.unit.csr.crafted import (
    FOO,
    ISTIOD,
    NOW,
    SHOP,
    USAGES,
    authority,
    issuer,
    ready,
    request,
    self_signed,
    unready,
    workload,
)


@dataclass(frozen=True)
class Case:
    """Everything that a verdict depends on. The defaults are a workload's request to a ready ClusterIssuer."""

    ref: IssuerRef = FOO
    state: IssuerState | None = field(default_factory=ready)
    fields: Mapping[str, Any] = field(default_factory=dict)
    answers: Answers = NOTHING_ASKED
    limits: Limits = field(default_factory=Limits)

    def judge(self) -> Verdict:
        states = {} if self.state is None else {self.ref: self.state}
        return evaluate(
            self.content(),
            self.ref,
            states.get,
            self.answers,
            limits=self.limits,
            world=without_wall(),
            cluster_resource_namespace="cert-manager",
            now=NOW,
        )

    def content(self) -> RequestContent:
        return read_content(request(**self.fields))

    def asking(self, **fields: Any) -> "Case":
        return replace(self, fields={**self.fields, **fields})

    def noting(self, **annotations: str) -> "Case":
        names = {"duration": DURATION_ANNOTATION, "is_ca": IS_CA_ANNOTATION, "key": PRIVATE_KEY_ANNOTATION}
        return self.asking(annotations={names[name]: text for name, text in annotations.items()})


Mutator = Callable[[Case], Case]
BASE = Case()
SHOP_CASE = Case(SHOP, ready(SHOP), answers=Answers(may_reference=True))
OWN_KEY = key("p256", n=77)
assert isinstance(OWN_KEY, ec.EllipticCurvePrivateKey)
OWN_CSR = csr(OWN_KEY, dns=["own.example"], subject=name("own"))
SELF_CASE = Case(FOO, self_signed(), answers=Answers(key=OWN_KEY)).asking(
    request=OWN_CSR, annotations={PRIVATE_KEY_ANNOTATION: "own-key"}
)


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
            (lambda case: case.asking(expiration=5).noting(duration="87600h"), timedelta(hours=87600)),
        ],
        ids=["nothing said", "least", "to the second", "annotation", "least annotated", "cut", "annotation first"],
    )
    def test_lifetime(self, mutate: Mutator, lifetime: timedelta) -> None:
        """The annotation beats expirationSeconds, which beats 90 days; it is kept to the second."""
        template = issued(mutate(BASE)).template
        assert template.not_before == NOW
        assert template.not_after - template.not_before == lifetime

    def test_urls_of_the_issuer(self) -> None:
        """The certificate names the issuer's CRL, OCSP and issuer URLs."""
        state = ready(crlDistributionPoints=["http://c"], ocspServers=["http://o"], issuingCertificateURLs=["http://i"])
        template = issued(replace(BASE, state=state)).template
        assert template.crl_distribution_points == ("http://c",)
        assert template.ocsp_servers == ("http://o",)
        assert template.issuing_certificate_urls == ("http://i",)

    def test_a_ca_by_annotation(self) -> None:
        """The annotation request-is-ca with exactly "true" asks for a CA, as in cert-manager; other texts do not."""
        assert issued(BASE.noting(is_ca="true")).template.is_ca
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
        f"Failed to parse requested duration: annotation {DURATION_ANNOTATION}: time: invalid duration '90d'",
    ),
    (
        "duration empty",
        BASE.noting(duration=""),
        "ErrorParseDuration",
        f"Failed to parse requested duration: annotation {DURATION_ANNOTATION}: time: invalid duration ''",
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
        f"{TEMPLATE}spec.request: request: the PEM block is not a CERTIFICATE REQUEST",
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

    def test_key_before_the_csr(self) -> None:
        """A self-signed request's Secret is looked for before the CSR is read."""
        verdict = replace(SELF_CASE.asking(request=b""), answers=Answers(key=NoKey())).judge()
        assert isinstance(verdict, Wait)
