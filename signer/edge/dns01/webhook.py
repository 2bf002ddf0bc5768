"""cert-manager's webhook solvers: a ChallengePayload, created at an API group that another program serves by aggregation.

So each webhook that was written for cert-manager works. Which one may be asked is for RBAC: the right to create a solver's
resource, which its own chart gives to whichever ServiceAccount it is told. The webhook reads its Secrets itself, in the
namespace that we name: the issuer's own, or the cluster resource namespace for a ClusterIssuer.
Its answer is bounded, and what it says of a failure is cut to a line. Used on the loop; nothing is kept.
Sources: cert-manager v1.20, pkg/acme/webhook/apis/acme/v1alpha1/types.go and pkg/issuer/acme/dns/webhook.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from signer.api.text import shown
from signer.edge.dns01.record import FAILED, note_seal
from signer.edge.issuers.dns01_spec import Webhook
from signer.kube.client import ApiClient
from signer.kube.errors import ApiError, Forbidden, NotFound, ServerError, TimedOut, TooMuch, Unreachable
from signer.kube.resource import Resource
from signer.tenancy.verdict import Reason

SECONDS = 30.0
"""For one answer: some webhooks wait themselves until the record is there."""
_API_VERSION, _KIND = "webhook.acme.cert-manager.io/v1alpha1", "ChallengePayload"
_LARGEST_ANSWER = 256 * 1024
_LONGEST_SAID = 300


@dataclass(frozen=True, slots=True)
class Proof:
    """What is to be proven, and for whom: the host without "*.", the Challenge's UID, where the issuer's Secrets lie.

    `ambient`: the webhook may use credentials of its own surroundings, as for cert-manager's ClusterIssuers.
    """

    host: str
    uid: str
    namespace: str
    ambient: bool


class _Result(msgspec.Struct, frozen=True):
    message: str = ""


class _Response(msgspec.Struct, frozen=True):
    success: bool = False
    status: _Result | None = None


class _Payload(msgspec.Struct, frozen=True):
    response: _Response | None = None


def payload(action: str, proof: Proof, name: str, zone: str, value: str, config: bytes) -> bytes:
    """Return the body of a request. `name` and `zone` are without a trailing dot here, and with one there."""
    request: dict[str, Any] = {
        "uid": proof.uid,
        "action": action,
        "type": "dns-01",
        "dnsName": proof.host,
        "key": value,
        "resourceNamespace": proof.namespace,
        "resolvedFQDN": f"{name}.",
        "resolvedZone": f"{zone}.",
        "allowAmbientCredentials": proof.ambient,
    }
    if config:
        request["config"] = msgspec.Raw(config)
    return msgspec.json.encode({"apiVersion": _API_VERSION, "kind": _KIND, "request": request})


def judged(body: bytes) -> str:
    """Return what a webhook says of a failure, in one line; "" when it succeeded."""
    try:
        response = msgspec.json.decode(body, type=_Payload).response
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "gives an answer that is no ChallengePayload"
    if response is None:
        return "gives a ChallengePayload without a response"
    if response.success:
        return ""
    said = " ".join(response.status.message.split())[:_LONGEST_SAID] if response.status is not None else ""
    return f"failed: {shown(said)}" if said else "failed, and does not say why"


class WebhookRecords:
    """One Challenge's record at a webhook. `zone` finds the zone of a name, and may raise NoAnswer; `secret` is for seals."""

    def __init__(
        self, client: ApiClient, solver: Webhook, proof: Proof, zone: Callable[[str], Awaitable[str]], secret: bytes
    ) -> None:
        self._client = client
        self._solver = solver
        self._proof = proof
        self._zone = zone
        self._secret = secret
        self._resource = Resource(solver.group, "v1alpha1", solver.solver, _KIND, namespaced=False)

    def seal(self, text: str) -> str:
        """What only we can say of a text."""
        return note_seal(self._secret, text)

    async def add(self, name: str, value: str) -> Reason | None:
        """Have the value written; again is no harm to a webhook as cert-manager wants them. A reason tells what is wrong."""
        return await self._ask("Present", name, value)

    async def remove(self, name: str, value: str) -> Reason | None:
        """Have the value taken away; whether others of the name stay is up to the webhook."""
        return await self._ask("CleanUp", name, value)

    async def _ask(self, action: str, name: str, value: str) -> Reason | None:
        body = payload(action, self._proof, name, await self._zone(name), value, self._solver.config)
        try:
            answer = await self._client.request(
                "POST", self._resource.path(), body=body, timeout=SECONDS, largest=_LARGEST_ANSWER
            )
            said = judged(answer.body)
        except (ApiError, Unreachable) as error:
            said = self._trouble(error)
        return Reason(FAILED, f"webhook {self._resource} {said}") if said else None

    def _trouble(self, error: ApiError | Unreachable) -> str:
        match error:
            case Forbidden():
                return "may not be asked: let the controllers' ServiceAccount create this resource (docs/edge.md)"
            case NotFound():
                return "is not there: its APIService, or a solver of this name"
            case TimedOut():
                return f"gives no answer within {SECONDS:.0f} s"
            case TooMuch():
                return f"gives an answer of more than {_LARGEST_ANSWER} bytes"
            case ServerError():
                return f"cannot be reached by the API server ({error.status}); look at its APIService"
            case ApiError():
                return f"refuses the request ({error.status}): {shown(error.message[:_LONGEST_SAID])}"
            case _:
                return f"cannot be asked: {error}"
