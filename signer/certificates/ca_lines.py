"""When the Certificates of an issuer are told that its CA was renewed: one write to a CA's Secret makes one to each of theirs.

So they are told one after the other, and a CA that changes again and again waits, each time longer (signer/kube/pacing.py);
what is mended meanwhile is mended to the line that they were told of. Used on the loop only.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Protocol

from issuers.authority import Authority
from signer.api.certificate import Certificate
from signer.api.issuer import IssuerRef
from signer.authorities.state import IssuerState
from signer.kube.pacing import Pacing
from signer.kube.superseded import Key

SPREAD = 0.05
"""Seconds between two Certificates."""


class Authorities(Protocol):
    """Knows the issuers (Registry)."""

    def get(self, ref: IssuerRef) -> IssuerState | None:
        """The issuer as it is now."""


class CALines:
    """The chain and root of each CA, as its Certificates were told of them. `tell` looks at one of them after some seconds."""

    def __init__(
        self,
        authorities: Authorities,
        certificates: Mapping[Key, Certificate],
        tell: Callable[[Key, float], None],
        clock: Callable[[], datetime],
    ) -> None:
        self._authorities = authorities
        self._certificates = certificates
        self._tell = tell
        self._clock = clock
        self._told: dict[IssuerRef, Authority] = {}
        self._changes = Pacing[IssuerRef]()
        self._due: dict[IssuerRef, asyncio.TimerHandle] = {}

    def of(self, ref: IssuerRef | None) -> Authority | None:
        """The CA with the chain and root that its Certificates were told of; None while it is not fit to sign."""
        state = self._authorities.get(ref) if ref is not None else None
        if ref is None or state is None or state.authority is None:
            return None
        return self._told.get(ref, state.authority)

    def changed(self, ref: IssuerRef) -> None:
        """An issuer changed; perhaps its CA was renewed."""
        state = self._authorities.get(ref)
        if state is None:
            self._forget(ref)
            return
        if state.authority is None or ref in self._due:
            return
        if _line(self._told.setdefault(ref, state.authority)) == _line(state.authority):
            return
        left = self._changes.left(ref, self._clock()).total_seconds()
        if left > 0:
            self._due[ref] = asyncio.get_running_loop().call_later(left, self._again, ref)
            return
        self._told[ref] = state.authority
        self._changes.note(ref, self._clock())
        for number, key in enumerate(self._of(ref)):
            self._tell(key, number * SPREAD)

    def _again(self, ref: IssuerRef) -> None:
        del self._due[ref]
        self.changed(ref)

    def _of(self, ref: IssuerRef) -> Iterable[Key]:
        for key, certificate in self._certificates.items():
            if certificate.spec.issuer_ref.resolve(key[0]) == ref:
                yield key

    def _forget(self, ref: IssuerRef) -> None:
        # The pace stays: an issuer that is deleted and made again is no new one. There are no more than were ever changed.
        self._told.pop(ref, None)
        if (timer := self._due.pop(ref, None)) is not None:
            timer.cancel()


def _line(authority: Authority) -> bytes:
    return authority.chain_pem + authority.anchor_pem
