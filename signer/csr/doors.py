"""What the hot path wants of the other door to it: PodCertificateRequests, which signer/pods knows. Types only."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from signer.api.issuer import IssuerRef
from signer.api.pod import Surroundings
from signer.api.podcertificaterequest import PodCertificateRequest
from signer.authorities.state import IssuerState
from signer.csr.evaluate import Circumstances
from signer.csr.outcome import Answers, AskPod, Issue
from signer.kube.reflector import Change
from signer.tenancy.verdict import Inquiry, Refuse, Unready, Wait


class PodDoor(Protocol):
    """Follows and judges PodCertificateRequests (signer/pods/requests.py)."""

    @property
    def store(self) -> Mapping[Any, PodCertificateRequest]:
        """The requests for our signers that have no answer."""

    def subscribe(self, handler: Callable[[Change[PodCertificateRequest]], None]) -> None:
        """Call `handler` with each change."""

    def subscribe_slips(self, handler: Callable[[PodCertificateRequest, str], None]) -> None:
        """Call `handler` with each unanswered request whose signer is nobody's and nearly ours, and with what is wrong with it."""

    async def run(self) -> None:
        """Follow until cancelled."""

    def evaluate(
        self,
        request: PodCertificateRequest,
        ref: IssuerRef,
        state: IssuerState | None,
        answers: Answers,
        around: Circumstances,
    ) -> Issue | Refuse | Wait | Unready | AskPod | Inquiry:
        """Decide what happens to a request."""

    async def look(self, request: PodCertificateRequest) -> Surroundings:
        """Read live what a request rests on. Raises ApiError, Unreachable."""
