"""Requests of the mesh for tests of decisions: the tenants, their CAs, and what is judged."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from cryptography import x509

from signer.api.certificatesigningrequest import read_content
from signer.api.issuer import IssuerRef
from signer.csr.answers.compose import issue
from signer.csr.evaluate import Circumstances, case_of, evaluate
from signer.csr.outcome import Answers, Issue, Verdict
from signer.tenancy.verdict import Limits, Refuse
from signer.tenancy.world import World
from tests.unit.csr.crafted import FOO, NOW, ready, request
from tests.unit.tenancy.worlds import BAR, DEFAULT, OTHER, binding, world
from tests.vectors import craft

OWNED = (binding(FOO, "foo"), binding(BAR, "bar"))


SIGNERS = {FOO: "foo", BAR: "bar", DEFAULT: "istio-system", OTHER: "letsencrypt"}


NAMES = {ref: f"clusterissuers.cert-manager.io/{name}" for ref, name in SIGNERS.items()}


def judge(
    csr: bytes,
    signer: IssuerRef = FOO,
    *,
    mesh: World | None = None,
    fresh: bool = True,
    now: datetime = NOW,
    state: Any = None,
    **fields: Any,
) -> Verdict:
    """The verdict on a request for `signer`, as istiod unless `username` says otherwise."""
    content = replace(read_content(request(request=csr, signer=NAMES[signer], **fields)), created=int(now.timestamp()))
    mesh = mesh if mesh is not None else world(bindings=OWNED)
    case = case_of(content, signer, state or ready(signer), Answers(fresh=fresh), mesh)
    return evaluate(case, Circumstances(Limits(), mesh, "cert-manager", now))


def codes(verdict: Verdict) -> list[str]:
    assert isinstance(verdict, Refuse), verdict
    return [reason.code for reason in verdict.reasons]


def certificate(verdict: Verdict) -> x509.Certificate:
    assert isinstance(verdict, Issue), verdict
    return x509.load_pem_x509_certificates(issue(request(), verdict, serial=7).pem)[0]


FOO_URI, BAR_URI = craft.uri(craft.FOO), craft.uri(craft.BAR)
