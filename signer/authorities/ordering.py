"""CertificateRequests whose issuer is an ACME server: who answers them, as the controller of requests sees it.

The controller approves requests and writes their status, as for every issuer; the orders are `signer.edge`'s.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from issuers.request import SigningRequest
from signer.api.certificaterequest import CertificateRequest
from signer.authorities.state import IssuerState
from signer.kube.superseded import Key


@dataclass(frozen=True, slots=True)
class Issued:
    """The certificate and its chain, PEM, leaf first."""

    certificate: bytes


@dataclass(frozen=True, slots=True)
class Ordered:
    """Under way: the request is taken up again when something changes."""

    message: str


@dataclass(frozen=True, slots=True)
class Failed:
    """No certificate comes of this request. `invalid`: no CA would ever give one; `mendable`: others can mend it."""

    reason: str
    message: str
    invalid: bool = False
    mendable: bool = False


Answer = Issued | Ordered | Failed


class Ordering(Protocol):
    """Answers requests of ACME issuers."""

    def attach(self, wake: Callable[[Key], None]) -> None:
        """Call `wake` with the key of each request whose answer may have changed, from now on."""

    async def ask(self, request: CertificateRequest, csr: SigningRequest, state: IssuerState) -> Answer:
        """How far the order for an approved request is; it is made when there is none."""

    async def permits(self, request: CertificateRequest, csr: SigningRequest, state: IssuerState) -> bool:
        """Whether an order for a request would be permitted now. Writes nothing. Raises ApiError, Unreachable."""
