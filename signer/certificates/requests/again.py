"""Would a CertificateRequest that was refused be granted now? Asked before a Certificate makes another one.

What the wall, an EdgePolicy or the state of a CA refuses, an administrator can mend: then the Certificate goes on at once,
and not after the hours that it waits after other failures. So the very request that was refused is put to the same decision
again, without any write: while the answer is the same nothing is made. Used on the loop.
"""

from collections.abc import Callable
from datetime import datetime

import msgspec

from signer.api.certificaterequest import CertificateRequest
from signer.api.issuer import IssuerRef
from signer.api.meta import Condition, has_condition
from signer.authorities.ordering import Ordering
from signer.authorities.state import IssuerState
from signer.certificates import well_known
from signer.certificates.requests import steps
from signer.certificates.requests.requester import Requesters
from signer.certificates.requests.signing import asks_requester, decide_request, in_mesh, prepare
from signer.tenancy.verdict import Grant, Limits, Refuse
from signer.tenancy.world import World

_APPROVED = [msgspec.to_builtins(Condition(type=well_known.APPROVED, status="True"))]


def mendable(request: CertificateRequest) -> bool:
    """Tell whether a request was refused for something that others can mend, without another request. Pure."""
    conditions = request.status.conditions
    denied = has_condition(conditions, well_known.DENIED) or has_condition(conditions, well_known.INVALID_REQUEST)
    return has_condition(conditions, well_known.REFUSED) and not denied


class SecondLook:
    """Judges again. `lookup` gives issuers as they are now, `ordering` answers for those of ACME."""

    def __init__(
        self,
        lookup: Callable[[IssuerRef], IssuerState | None],
        requesters: Requesters,
        ordering: Ordering | None,
        *,
        world: World,
        limits: Limits,
        clock: Callable[[], datetime],
    ) -> None:
        self._lookup = lookup
        self._requesters = requesters
        self._ordering = ordering
        self._world = world
        self._limits = limits
        self._clock = clock

    async def passes(self, request: CertificateRequest) -> bool:
        """Tell whether the request would be granted now. Writes nothing. Raises ApiError, Unreachable."""
        # As it was before it was answered.
        asked = msgspec.structs.replace(request, raw_status={"conditions": _APPROVED})
        step = steps.consider(
            asked, self._lookup, auto_approve=False, in_mesh=lambda state: in_mesh(state, self._world)
        )
        if not isinstance(step, steps.Sign):
            return False
        if step.state.kind == "acme":
            return self._ordering is not None and await self._ordering.permits(asked, step.csr, step.state)
        requester = await self._requesters.of(asked) if asks_requester(step.state, self._world) else ""
        now = self._clock()
        grant = decide_request(
            asked,
            step.csr,
            step.state,
            world=self._world,
            lifetime=step.lifetime,
            limits=self._limits,
            now=now,
            requester=requester,
        )
        return isinstance(grant, Grant) and not isinstance(prepare(asked, step.csr, step.state, grant, now=now), Refuse)
