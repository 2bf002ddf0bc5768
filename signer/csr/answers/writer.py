"""Writes answers: one PUT to /status with the bytes that `answer` built, and what became of it as a value.

The write carries the resourceVersion that was decided on, so an answer can be stored once only: whoever comes second
gets a 409. Used on the loop only; keeps no state.
"""

from dataclasses import dataclass, field

from signer.api import podcertificaterequest
from signer.api.certificatesigningrequest import CERTIFICATE_SIGNING_REQUESTS, read_certificate, read_object
from signer.api.podcertificaterequest import PodCertificateRequest
from signer.api.refusal import DENIED, FAILED, read_refusal
from signer.api.requests import Request
from signer.csr.answers.compose import Answer
from signer.kube.client import ApiClient
from signer.kube.encoding import protobuf
from signer.kube.errors import ApiError, Conflict, NotFound, TooManyRequests, Unreachable
from signer.observe.audit import Outcome

_PROTOBUF = "application/vnd.kubernetes.protobuf"
# The answer to the PUT is not needed: only its metadata is sent back.
_ACCEPT = f"{_PROTOBUF};as=PartialObjectMetadata;g=meta.k8s.io;v=v1,{_PROTOBUF},application/json"
_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a write.

    stored or refused: it is there. conflict: the object had changed, `latest` is what it says now (None if gone).
    gone: no such request any more. invalid: the API server will never take it. unknown: to be sent again after
    `retry_after` seconds or so; `throttled` when it was a 429. `error` is what the API server, or nobody, answered.
    """

    outcome: Outcome
    message: str = ""
    latest: Request | None = None
    retry_after: float | None = None
    throttled: bool = False
    error: ApiError | Unreachable | None = field(default=None, compare=False)


class Writer:
    """Writes through one client."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def write(self, answer: Answer, *, unsure: bool = False) -> Written:
        """Send an answer once. `unsure`: it was sent before, and nobody knows what became of it.

        Raises nothing for what a network or an API server may do.
        """
        csr = answer.csr
        stored: Outcome = "refused" if answer.refused else "stored"
        try:
            await self._client.exchange(
                "PUT",
                _path(csr, "status"),
                body=answer.body,
                content_type=_PROTOBUF,
                accept=_ACCEPT,
                timeout=_TIMEOUT,
            )
        except Conflict as error:
            return await self._after_conflict(answer, stored, str(error), unsure=unsure)
        except NotFound:
            return Written("gone")
        except TooManyRequests as error:
            return Written("unknown", str(error), retry_after=error.retry_after, throttled=True, error=error)
        except ApiError as error:
            # 401 and 403 end when somebody mends credentials or RBAC; 5xx when the API server is well again.
            if error.status in {401, 403, 408} or error.status >= 500:
                return Written("unknown", str(error), retry_after=error.retry_after, error=error)
            return Written("invalid", str(error))
        except Unreachable as error:
            return Written("unknown", str(error), error=error)
        return Written(stored)

    async def settle(self, answer: Answer) -> Written:
        """Find out what became of an answer that was sent, without a known outcome, to a request that needs none now.

        `unknown` means that this could not be determined either. Raises nothing.
        """
        stored: Outcome = "refused" if answer.refused else "stored"
        return await self._after_conflict(answer, stored, "answered by somebody else", unsure=True)

    async def _after_conflict(self, answer: Answer, stored: Outcome, message: str, *, unsure: bool) -> Written:
        csr = answer.csr
        try:
            latest = await self._read(csr)
            ours = unsure and latest.answered and latest.uid == csr.uid and _is_ours(answer, latest)
        except NotFound:
            return Written("gone")
        except (ApiError, Unreachable, protobuf.ProtobufError) as error:
            return Written("unknown", str(error))
        if latest.uid != csr.uid:
            return Written("gone")
        if ours:
            return Written(stored, "stored by an earlier write whose outcome was unknown")
        return Written("conflict", message, latest)

    async def _read(self, csr: Request) -> Request:
        response = await self._client.request("GET", _path(csr), accept=_PROTOBUF, timeout=_TIMEOUT)
        start, end = protobuf.raw_span(response.body)
        if isinstance(csr, PodCertificateRequest):
            return podcertificaterequest.read_pod_request(response.body, csr.version, start, end)
        return read_object(response.body, start, end)


def _path(csr: Request, subresource: str | None = None) -> str:
    if isinstance(csr, PodCertificateRequest):
        return csr.resource.path(csr.namespace, csr.name, subresource)
    return CERTIFICATE_SIGNING_REQUESTS.path(None, csr.name, subresource)


def _certificate(csr: Request) -> bytes:
    if isinstance(csr, PodCertificateRequest):
        return podcertificaterequest.read_status_chain(csr)
    return read_certificate(csr)


def _is_ours(answer: Answer, latest: Request) -> bool:
    """Whether what is stored is this answer. Another replica's refusal for the same cause in the same second looks the same."""
    if answer.pem:
        return _certificate(latest) == answer.pem
    layout = DENIED if isinstance(latest, PodCertificateRequest) else FAILED
    start, end = protobuf.raw_span(answer.body)
    return read_refusal(latest.raw, layout) == read_refusal(answer.body[start:end], layout)
