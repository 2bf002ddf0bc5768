"""The status of ACME issuers, in cert-manager's words (pkg/issuer/acme/setup.go), and the Events about it.

Runs on the loop, in the leader.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from signer.api.acmeissuer import AcmeStatus, read_acme_status
from signer.api.event import reference_to
from signer.api.issuer import Issuer, IssuerRef
from signer.api.meta import find_condition, set_condition
from signer.kube.client import ApiClient
from signer.kube.errors import Conflict, NotFound
from signer.observe.events import EventRecorder

READY = "Ready"


class AcmeIssuerStatus:
    """Writes it."""

    def __init__(self, client: ApiClient, recorder: EventRecorder, *, clock: Callable[[], datetime]) -> None:
        self._client = client
        self._recorder = recorder
        self._clock = clock

    async def tell(
        self,
        ref: IssuerRef,
        issuer: Issuer,
        *,
        ready: bool,
        reason: str,
        message: str,
        acme: dict[str, str] | None = None,
    ) -> bool:
        """Write the status if it differs, and an Event when Ready or its reason does; False when what we read is old."""
        before = find_condition(issuer.status.conditions, READY)
        conditions = set_condition(
            issuer.status.conditions,
            READY,
            "True" if ready else "False",
            reason=reason,
            message=message,
            now=self._clock(),
            generation=issuer.metadata.generation,
        )
        status: dict[str, Any] = {"conditions": msgspec.to_builtins(conditions)}
        written = read_acme_status(issuer)
        if acme is not None and written != msgspec.convert(acme, AcmeStatus):
            status["acme"] = acme
        elif conditions == issuer.status.conditions:
            return True
        body = {"metadata": {"resourceVersion": issuer.metadata.resource_version}, "status": status}
        try:
            await self._client.patch(
                ref.resource, ref.name, body, namespace=ref.namespace or None, subresource="status"
            )
        except Conflict:
            return False
        except NotFound:
            return True
        if before is None or (before.status == "True") != ready or before.reason != reason:
            about = reference_to(ref.resource, issuer.metadata)
            self._recorder.emit(about, "Normal" if ready else "Warning", reason, message)
        return True
