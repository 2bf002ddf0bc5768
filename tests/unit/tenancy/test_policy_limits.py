"""Every limit of a SignerPolicy on every path to a certificate: what is over it is refused or cut, also when it is left out.

The table below must name each field of a policy and each path; a field that is added without a row fails.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import fields, replace

from issuers.request import read_request
from issuers.x509.usages import EXTENDED_USAGES, KEY_USAGES
from signer.api.meta import ObjectMeta
from signer.api.signerpolicy import PolicyCertificateRequests, SignerPolicy, SignerPolicySpec
from signer.tenancy.decide import Decision, decide
from signer.tenancy.policies import read_policy
from signer.tenancy.rules import WORKLOAD_USAGES
from signer.tenancy.verdict import Claim, Grant, Limits, Refuse
from signer.tenancy.world import KeyRule, Policy, RequestRules
from tests.pki import csr, key, name, spiffe
from tests.unit.csr.crafted import ISTIOD, NOW, USAGES
from tests.unit.csr.test_mesh_requests import ISTIOD_DNS, dns_request
from tests.unit.tenancy.worlds import DEFAULT, FOO, claim, world

DAY = timedelta(days=1)
ALICE, BOB = "alice", "bob"
WEB = ("web.shop.example",)


def workload(request: bytes | None = None, **changes: Any) -> Claim:
    """What istiod asks for a workload of namespace shop."""
    return claim("shop", FOO, csr=request, **changes)


def istiod(request: bytes | None = None, **changes: Any) -> Claim:
    """What istiod asks for itself."""
    text = request or dns_request(*ISTIOD_DNS)
    return claim("istio-system", DEFAULT, csr=text, usages=USAGES[:3], **changes)


def asked(request: bytes | None = None, **changes: Any) -> Claim:
    """A CertificateRequest in namespace shop."""
    values: dict[str, Any] = {"requester": "", "usages": ("server auth",), "resource": "CertificateRequest"}
    found = claim("shop", FOO, csr=request or csr(uris=[spiffe("shop")]), **(values | changes))
    return replace(found, namespace="shop")


PATHS: dict[str, Callable[..., Claim]] = {"workload": workload, "istiod": istiod, "request": asked}
ED25519 = ed25519.Ed25519PrivateKey.generate()
MASTERS = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters")])


@dataclass(frozen=True)
class Over:
    """A request over a limit. `code`: refused so; else the grant is cut to `most` and `usages`.

    `limit` is what the policy says of the field, nothing when it is left out.
    """

    claim: Claim
    limit: dict[str, Any]
    code: str = ""
    most: timedelta | None = None
    usages: frozenset[str] | None = None


def rules(**limits: Any) -> dict[str, Any]:
    return {"certificate_requests": RequestRules(**{one: frozenset(values) for one, values in limits.items()})}


TIMES = {
    "workload": (workload(lifetime=10 * DAY), DAY),
    "istiod": (istiod(lifetime=3650 * DAY), 90 * DAY),
    "request": (asked(lifetime=89 * DAY), DAY),
}
SMALL = {"RSA": KeyRule("RSA", 3072), "ECDSA": KeyRule("ECDSA", 384)}

# (field, path): requests over the limit, or why there can be none.
TABLE: dict[tuple[str, str], list[Over] | str] = {
    ("requesters", "workload"): [
        Over(workload(requester=BOB), {}, "RequesterNotAllowed"),
        Over(workload(requester=BOB), {"requesters": frozenset({ISTIOD})}, "RequesterNotAllowed"),
        Over(workload(), {"requesters": frozenset({BOB})}, "RequesterNotAllowed"),
        Over(workload(requester=""), {}, "RequesterNotAllowed"),
    ],
    ("requesters", "istiod"): [
        Over(istiod(requester=BOB), {}, "RequesterNotAllowed"),
        Over(istiod(), {"requesters": frozenset({BOB})}, "RequesterNotAllowed"),
    ],
    ("requesters", "request"): [
        Over(asked(requester=BOB), {"requesters": frozenset({ALICE})}, "RequesterNotAllowed"),
        Over(asked(requester=""), {"requesters": frozenset({ALICE})}, "RequesterNotAllowed"),
    ],
    ("certificate_requests", "workload"): "it is about CertificateRequests alone",
    ("certificate_requests", "istiod"): "it is about CertificateRequests alone",
    ("certificate_requests", "request"): [
        Over(asked(), {"certificate_requests": None}, "RequestNotAllowed"),
        Over(asked(requester=ISTIOD), {"certificate_requests": None}, "RequestNotAllowed"),
    ],
    ("certificate_requests.requesters", "workload"): "it is about CertificateRequests alone",
    ("certificate_requests.requesters", "istiod"): "it is about CertificateRequests alone",
    ("certificate_requests.requesters", "request"): [
        Over(asked(requester=BOB), rules(requesters={ALICE}), "RequesterNotAllowed"),
        Over(asked(requester=""), rules(requesters={ALICE}), "RequesterNotAllowed"),
        Over(asked(requester=BOB), rules(requesters={ALICE}) | {"requesters": {BOB}}, "RequesterNotAllowed"),
    ],
    ("certificate_requests.organizations", "workload"): "a workload's form has no subject to the byte",
    ("certificate_requests.organizations", "istiod"): "istiod's form has no subject to the byte",
    ("certificate_requests.organizations", "request"): [
        Over(asked(csr(uris=[spiffe("shop")], subject=MASTERS)), limit, "SubjectNotAllowed")
        for limit in ({}, rules(organizations={"shop"}), rules(organizations={"system:master"}))
    ],
    ("trust_domains", "workload"): [
        Over(workload(csr(uris=[spiffe("shop", trust_domain="evil")])), {}, "TrustDomainMismatch"),
        Over(workload(), {"trust_domains": frozenset({"other.example"})}, "TrustDomainMismatch"),
    ],
    ("trust_domains", "istiod"): "DNS names have no trust domain",
    ("trust_domains", "request"): [
        Over(asked(csr(uris=[spiffe("shop", trust_domain="evil")])), {}, "IdentityNotAllowed"),
        Over(asked(), {"trust_domains": frozenset({"other.example"})}, "IdentityNotAllowed"),
    ],
    ("service_accounts", "workload"): [
        Over(workload(), {"service_accounts": frozenset({"web"})}, "ServiceAccountNotAllowed")
    ],
    ("service_accounts", "istiod"): "DNS names have no service account",
    ("service_accounts", "request"): [
        Over(asked(), {"service_accounts": frozenset({"web"})}, "ServiceAccountNotAllowed")
    ],
    ("dns_names", "workload"): "a workload's form has one SPIFFE ID to the byte",
    ("dns_names", "istiod"): [
        Over(istiod(dns_request(*WEB)), limit, "DNSNameNotAllowed") for limit in ({}, {"dns_names": ("*.example",)})
    ],
    ("dns_names", "request"): [
        Over(asked(text), limit, "DNSNameNotAllowed")
        for limit in ({}, {"dns_names": ("shop.example", "*.example")})
        for text in (csr(dns=WEB), csr(subject=name(*WEB)))
    ],
    **{
        ("max_lifetime", path): [
            Over(long, {}, most=default),
            Over(long, {"max_lifetime": timedelta(minutes=20)}, most=timedelta(minutes=20)),
            Over(replace(long, lifetime=None), {"max_lifetime": timedelta(minutes=20)}, most=timedelta(minutes=20)),
            Over(replace(long, ca_not_after=NOW + timedelta(hours=1)), {}, most=timedelta(hours=1)),
        ]
        for path, (long, default) in TIMES.items()
    },
    ("keys", "workload"): [
        Over(workload(csr(ED25519, uris=[spiffe("shop")])), {}, "KeyNotAllowed"),
        Over(workload(), {"keys": (SMALL["ECDSA"],)}, "KeyNotAllowed"),
        Over(workload(), {"keys": (SMALL["RSA"],)}, "KeyNotAllowed"),
    ],
    ("keys", "istiod"): [Over(istiod(), {"keys": (SMALL["RSA"],)}, "KeyNotAllowed")],
    ("keys", "request"): [
        Over(asked(csr(ED25519, uris=[spiffe("shop")])), {}, "KeyNotAllowed"),
        Over(asked(), {"keys": (SMALL["ECDSA"],)}, "KeyNotAllowed"),
        Over(asked(csr(key("rsa"), uris=[spiffe("shop")])), {"keys": (SMALL["RSA"],)}, "KeyNotAllowed"),
    ],
    ("usages", "workload"): [
        Over(workload(usages=(*USAGES, "any")), {}, "UsagesNotAllowed"),
        Over(workload(), {"usages": frozenset({"digital signature"})}, "UsagesNotAllowed"),
        Over(workload(), {"usages": frozenset({"code signing"})}, "UsagesNotAllowed"),
        Over(workload(), {"usages": frozenset({"server auth"})}, usages=frozenset({"server auth"})),
    ],
    ("usages", "istiod"): [
        Over(replace(istiod(), usages=USAGES), {}, "UsagesNotAllowed"),
        Over(istiod(), {"usages": frozenset({"client auth"})}, "UsagesNotAllowed"),
        Over(istiod(), {"usages": frozenset({"server auth"})}, usages=frozenset({"server auth"})),
    ],
    ("usages", "request"): [
        *(
            Over(asked(usages=("server auth", usage)), {}, "UsagesNotAllowed")
            for usage in sorted({*KEY_USAGES, *EXTENDED_USAGES} - {*WORKLOAD_USAGES})
        ),
        Over(asked(usages=("client auth",)), {"usages": frozenset({"server auth"})}, "UsagesNotAllowed"),
        # A certificate without extended usages is good for all.
        Over(asked(usages=()), {}, "UsagesNotAllowed"),
        Over(asked(usages=("digital signature",)), {}, "UsagesNotAllowed"),
    ],
    ("allow_ca", "workload"): "the grant decides alone: a workload's certificate is none of a CA",
    ("allow_ca", "istiod"): "the grant decides alone: istiod's certificate is none of a CA",
    ("allow_ca", "request"): [Over(asked(is_ca=True), {}, "CARequestsNotAllowed")],
}
# What a policy says that limits no certificate: which policy it is, whom it covers (test_grants, test_remade), what the
# chain ends with; and the rate, which is kept where the request waits its turn (test_pacing) and excludes
# certificateRequests (below).
NO_LIMIT = {
    *("name", "signers", "namespaces", "namespace_labels", "remade_allowed", "namespace_uids", "problem"),
    *("append_root", "route", "rate"),
}


def judged(over: Over) -> Decision:
    base = Policy(
        "p",
        frozenset({FOO, DEFAULT}),
        namespaces=frozenset({"shop", "istio-system"}),
        certificate_requests=RequestRules(),
    )
    return decide(over.claim, world(policies=(replace(base, **over.limit),)), Limits(), fresh=True, now=NOW)


def rows() -> list[Any]:
    return [
        pytest.param(over, id=f"{field}-{path}-{number}")
        for (field, path), cases in TABLE.items()
        if not isinstance(cases, str)
        for number, over in enumerate(cases)
    ]


def test_every_limit_has_its_rows() -> None:
    """Each field of a policy is in the table for every path, or is told to be no limit."""
    limits = {one.name for one in fields(Policy)} - NO_LIMIT
    limits |= {f"certificate_requests.{one.name}" for one in fields(RequestRules)}
    assert set(TABLE) == {(field, path) for field in limits for path in PATHS}
    assert {one.name for one in fields(Policy)} > NO_LIMIT


def test_every_field_of_the_spec_is_read() -> None:
    """A field of the API that the table does not know would limit nothing: the two have the same."""
    of_namespaces = {"namespace_labels", "remade_allowed", "namespace_uids"}
    known = {one.name for one in fields(Policy)} - {"name", "problem"} - of_namespaces
    assert set(SignerPolicySpec.__struct_fields__) == known
    assert set(PolicyCertificateRequests.__struct_fields__) == {one.name for one in fields(RequestRules)}


@pytest.mark.heavy
@pytest.mark.parametrize("over", rows())
def test_over_the_limit(over: Over) -> None:
    """A request over a limit is refused with that limit's reason, or given no more than the limit."""
    verdict = judged(over)
    if over.code:
        assert isinstance(verdict, Refuse), verdict
        assert over.code in [reason.code for reason in verdict.reasons]
        return
    assert isinstance(verdict, Grant), verdict
    assert over.most is None or verdict.lifetime <= over.most
    assert over.usages is None or set(verdict.usages) == over.usages


@pytest.mark.parametrize("path", PATHS)
def test_within(path: str) -> None:
    """The same paths within all limits are granted: the table refuses nothing for another reason."""
    assert isinstance(judged(Over(PATHS[path](), {})), Grant)
    assert isinstance(judged(Over(asked(requester=ALICE), rules(requesters={ALICE}))), Grant)
    shop = csr(uris=[spiffe("shop")], subject=name("web.example", "shop"))
    limit = rules(organizations={"shop"}) | {"dns_names": ("web.example",)}
    assert isinstance(judged(Over(asked(shop), limit)), Grant)


def test_a_ca_may_sign() -> None:
    """Where a policy allows CAs one may ask to sign, and nobody else may."""
    signs = ("cert sign", "crl sign")
    assert isinstance(judged(Over(asked(is_ca=True, usages=signs), {"allow_ca": True})), Grant)
    refused = judged(Over(asked(usages=(*signs, "server auth")), {"allow_ca": True}))
    assert isinstance(refused, Refuse)


def test_the_rate_excludes_certificate_requests() -> None:
    """CertificateRequests are not counted, so a policy that has a rate and opens them grants nothing, and says why."""
    spec = {"signers": ["clusterissuers.cert-manager.io/foo"], "namespaces": {"names": ["shop"]}}
    both = spec | {"rate": {"certificates": 1, "per": "1m"}, "certificateRequests": {}}
    found = read_policy(SignerPolicy(metadata=ObjectMeta(name="p"), raw_spec=both))
    assert "spec.rate" in found.problem
    assert "certificateRequests" in found.problem
    for one in ("rate", "certificateRequests"):
        assert not read_policy(SignerPolicy(metadata=ObjectMeta(name="p"), raw_spec=spec | {one: both[one]})).problem


def test_the_remedy_is_named() -> None:
    """Where the policy that covers a namespace is closed to CertificateRequests, the refusal names the field that opens it."""
    verdict = judged(Over(asked(), {"certificate_requests": None}))
    assert isinstance(verdict, Refuse)
    assert "spec.certificateRequests" in verdict.message
    assert "SignerPolicy p" in verdict.message


@given(
    usages=st.sets(st.sampled_from(sorted({*KEY_USAGES, *EXTENDED_USAGES})), max_size=6),
    allowed=st.sets(st.sampled_from(sorted({*KEY_USAGES, *EXTENDED_USAGES})), max_size=6),
    lifetime=st.timedeltas(timedelta(minutes=1), timedelta(days=4000)),
    is_ca=st.booleans(),
    allow_ca=st.booleans(),
)
def test_no_certificate_request_exceeds_its_policy(
    usages: set[str], allowed: set[str], lifetime: timedelta, is_ca: bool, allow_ca: bool
) -> None:
    """Whatever is asked under whatever policy: what is granted is within usages, lifetime and CA flag, or their defaults."""
    over = Over(
        asked(usages=tuple(sorted(usages)), lifetime=lifetime, is_ca=is_ca, ca_not_after=None),
        {"usages": frozenset(allowed), "allow_ca": allow_ca},
    )
    verdict = judged(over)
    if not isinstance(verdict, Grant):
        return
    most = (allowed or set(WORKLOAD_USAGES)) | ({"cert sign", "crl sign"} if is_ca and allow_ca else set())
    assert usages <= most
    assert verdict.lifetime <= DAY
    assert not is_ca or allow_ca
    assert is_ca or usages & set(EXTENDED_USAGES) or "any" in most


def test_read_as_it_was_written() -> None:
    """Every field of spec.certificateRequests is read, and an empty one opens."""
    spec: dict[str, Any] = {"signers": ["clusterissuers.cert-manager.io/foo"]}

    def found(own: Any) -> Policy:
        return read_policy(SignerPolicy(metadata=ObjectMeta(name="p"), raw_spec=spec | own))

    assert found({}).certificate_requests is None
    assert found({"certificateRequests": {}}).certificate_requests == RequestRules()
    full = {"requesters": [ALICE], "organizations": ["shop"]}
    assert found({"certificateRequests": full}).certificate_requests == RequestRules(
        frozenset({ALICE}), frozenset({"shop"})
    )
    for wrong in ({"requesters": [""]}, {"organizations": ["a\nb"]}, {"organizations": ["x" * 65]}, {"requesters": 1}):
        assert found({"certificateRequests": wrong}).problem


def test_what_it_is_about() -> None:
    """The requests of the table are what they are meant to be."""
    assert read_request(csr(subject=MASTERS)).subject == "O=system:masters"
