"""What is told of each CertificateRequest beside its status and Events: audit lines, metrics, counts of its SignerPolicy.

As for CertificateSigningRequests (signer/csr/record.py): the intent is in the audit log before the answer is sent, and
what became of it after; of refusals the first of each kind in a minute, the others are counted. Nothing here decides
anything. Used on the loop only; `run` tells the sums.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime

from issuers.request import SigningRequest
from signer.api.certificaterequest import CertificateRequest
from signer.api.issuer import IssuerRef
from signer.api.signername import parse_signer_name, signer_name_of
from signer.authorities.registry import Registry
from signer.authorities.state import IssuerState
from signer.certificates.secrets.view import read_leaf
from signer.kube.clock import to_milliseconds
from signer.observe.answered import answered
from signer.observe.audit import AuditLine, AuditLog
from signer.observe.metrics import Metrics
from signer.observe.names import identity_of, names_of
from signer.observe.printable import printable
from signer.observe.refusals import Kind, Refusals, summary
from signer.observe.series import Series
from signer.tenancy.tally import Tally
from signer.tenancy.verdict import Grant, Reason
from signer.tenancy.world import World

_SWEEP = 60.0
_TURN = 1.0


class RequestRecord:
    """Tells the audit log, the metrics and `tally` of answers. `wall` gives the time of day."""

    def __init__(
        self,
        metrics: Metrics,
        audit: AuditLog,
        tally: Tally,
        registry: Registry,
        world: World,
        wall: Callable[[], datetime],
    ) -> None:
        self._metrics = metrics
        self._audit = audit
        self._tally = tally
        self._world = world
        self._wall = wall
        self._series = Series(
            signer_exists=lambda name: (ref := parse_signer_name(name)) is not None and registry.get(ref) is not None,
            namespace_exists=lambda name: name in world.namespaces,
            clock=time.monotonic,
        )
        self._swept = time.monotonic()
        self._refusals = Refusals()

    async def run(self) -> None:
        """Tell what was only counted, once its minute is over, and at the end; until cancelled."""
        try:
            while True:
                await asyncio.sleep(_TURN)
                self.sum_up(self._refusals.ended(time.monotonic()))
        finally:
            self.sum_up(self._refusals.close())

    def sum_up(self, ended: list[tuple[Kind, int]]) -> None:
        """Write a line for each kind of refusals that had no lines of their own."""
        for kind, count in ended:
            self._audit.write(summary(kind, count, self._now(), "CertificateRequest"))

    @property
    def blocked(self) -> bool:
        """Whether nothing may be issued now, as it could not be written down (--audit-failure=stop)."""
        return self._audit.blocked

    async def refuse(
        self, request: CertificateRequest, reasons: tuple[Reason, ...], write: Callable[[], Awaitable[object]]
    ) -> None:
        """Write down that a request is refused, `write` the refusal, and tell what became of it. Raises what it raises."""
        ref = request.spec.issuer_ref.resolve(request.metadata.namespace)
        line = self._line(request, ref)
        line.verdict = "refuse"
        line.reasons = [f"{one.code}: {printable(one.message)}" for one in reasons]
        first = self._refusals.first(Kind(request.metadata.namespace, ref, reasons[0].code), time.monotonic())
        await answered(self._audit, line, "refused", write, self._now, hushed=not first)
        if ref is not None:
            self._tally.refused(policy.name for policy in self._world.policies.get(ref, ()))
        self._count_refusal(line, reasons[0].code)

    async def issue(
        self,
        request: CertificateRequest,
        csr: SigningRequest,
        state: IssuerState,
        grant: Grant,
        certificate: bytes,
        write: Callable[[], Awaitable[object]],
    ) -> None:
        """Write down that a request gets a certificate (PEM), `write` it, tell what became of it. Raises what it raises, and NotWrittenDown.

        `grant` is what the wall said, and says nothing for a certificate of an ACME server.
        """
        line = self._line(request, state.ref)
        line.identity, line.names = printable(identity_of(csr)), names_of(csr)
        line.source = grant.source
        line.would_refuse = [f"{one.code}: {printable(one.message)}" for one in grant.would_refuse]
        leaf, _ = read_leaf(certificate)
        if leaf is not None:
            line.serial = f"{leaf.serial_number:x}"
            line.lifetime = int((leaf.not_valid_after_utc - leaf.not_valid_before_utc).total_seconds())
        line.ca_key = state.authority.key_id if state.authority is not None else ""
        await answered(self._audit, line, "stored", write, self._now)
        self._tally.issued(grant.policy)
        if grant.would_refuse:
            first = grant.would_refuse[0].code
            self._series.count(self._metrics.would_refuse, line.signer, line.namespace, first)

    def _line(self, request: CertificateRequest, ref: IssuerRef | None) -> AuditLine:
        meta = request.metadata
        return AuditLine(
            time=self._now(),
            audit="intent",
            resource="CertificateRequest",
            uid=meta.uid,
            name=meta.name,
            verdict="issue",
            signer=signer_name_of(ref) if ref is not None else "",
            requester=printable(request.spec.username),
            namespace=meta.namespace,
        )

    def _count_refusal(self, line: AuditLine, code: str) -> None:
        if time.monotonic() >= self._swept + _SWEEP:
            self._swept = time.monotonic()
            self._series.sweep()
        self._series.count(self._metrics.refusals, line.signer, line.namespace, code)

    def _now(self) -> str:
        return to_milliseconds(self._wall())
