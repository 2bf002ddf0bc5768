"""Cases of requests and what is decided on them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from signer.api.certificatesigningrequest import RequestContent, read_content
from signer.api.issuer import IssuerRef
from signer.authorities.state import IssuerState
from signer.csr.evaluate import (
    DURATION_ANNOTATION,
    IS_CA_ANNOTATION,
    PRIVATE_KEY_ANNOTATION,
    Circumstances,
    case_of,
    evaluate,
)
from signer.csr.outcome import NOTHING_ASKED, Answers, Verdict
from signer.tenancy.verdict import Limits
from signer.tenancy.world import without_wall
from tests.pki import csr, key, name
from tests.unit.csr.crafted import (
    FOO,
    NOW,
    SHOP,
    ready,
    request,
    self_signed,
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
        world = without_wall()
        case = case_of(self.content(), self.ref, self.state, self.answers, world)
        return evaluate(case, Circumstances(self.limits, world, "cert-manager", NOW))

    def content(self) -> RequestContent:
        return read_content(request(**self.fields))

    def asking(self, **fields: Any) -> "Case":
        return replace(self, fields={**self.fields, **fields})

    def noting(self, **annotations: str) -> "Case":
        names = {"duration": DURATION_ANNOTATION, "is_ca": IS_CA_ANNOTATION, "key": PRIVATE_KEY_ANNOTATION}
        return self.asking(annotations={names[name]: text for name, text in annotations.items()})


BASE = Case()


SHOP_CASE = Case(SHOP, ready(SHOP), answers=Answers(may_reference=True))


OWN_KEY = key("p256", n=77)


assert isinstance(OWN_KEY, ec.EllipticCurvePrivateKey)


OWN_CSR = csr(OWN_KEY, dns=["own.example"], subject=name("own"))


SELF_CASE = Case(FOO, self_signed(), answers=Answers(key=OWN_KEY)).asking(
    request=OWN_CSR, annotations={PRIVATE_KEY_ANNOTATION: "own-key"}
)
