"""Which issuer an order goes to: the one that is named, the next of its list after failures, a rehearsal before. Pure.

The list stands on the issuer, not on the Certificate: whoever may write the issuer decides which CAs may stand in for it.
A Certificate keeps naming the first; the next renewal begins with it again.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from issuers.acme.backoff import Attempts
from signer.api.certificate import IssuerReference
from signer.api.issuer import GROUP, Issuer, IssuerRef
from signer.api.names import is_subdomain
from signer.api.notes import text_note
from signer.api.text import shown

FALLBACKS = "mesh-signer.dev/fallback-issuers"
REHEARSAL = "mesh-signer.dev/rehearsal-issuer"
MOST_FALLBACKS = 4
_LONGEST = 4096
"""Characters: more than five names have."""
ENOUGH = 2
"""So many failures in a row at one issuer lead to the next one."""
_KINDS = ("ClusterIssuer", "Issuer")


@dataclass(frozen=True, slots=True)
class Alternatives:
    """What the annotations of an issuer say; with `problems` neither is used."""

    fallbacks: tuple[IssuerRef, ...] = ()
    rehearsal: IssuerRef | None = None
    problems: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[IssuerRef, ...]:
        """Every issuer that may get an order for a request that names this one."""
        return (*self.fallbacks, *([self.rehearsal] if self.rehearsal is not None else []))


def read_alternatives(issuer: Issuer) -> Alternatives:
    """Read the annotations `FALLBACKS` (names, by commas) and `REHEARSAL` (one name); never raises.

    A name is of the issuer's own kind and place; `ClusterIssuer/name` names a ClusterIssuer from an Issuer too.
    """
    notes, problems = issuer.metadata.annotations, []
    fallbacks, rehearsal = text_note(notes, FALLBACKS, _LONGEST), text_note(notes, REHEARSAL, _LONGEST)
    listed = [part.strip() for part in fallbacks.split(",")] if fallbacks.strip() else []
    found = [_read(text, issuer) for text in listed[: MOST_FALLBACKS + 1]]
    if len(listed) > MOST_FALLBACKS:
        problems.append(f"metadata.annotations[{FALLBACKS}]: {MOST_FALLBACKS} issuers at most")
    problems += [f"metadata.annotations[{FALLBACKS}]: {one}" for one in found if isinstance(one, str)]
    before = _read(rehearsal.strip(), issuer) if rehearsal.strip() else None
    if isinstance(before, str):
        problems.append(f"metadata.annotations[{REHEARSAL}]: {before}")
    if problems:
        return Alternatives(problems=tuple(problems))
    refs = tuple(one for one in dict.fromkeys(found) if isinstance(one, IssuerRef))
    return Alternatives(refs, before if isinstance(before, IssuerRef) else None)


def _read(text: str, issuer: Issuer) -> IssuerRef | str:
    """The issuer of that name, or what is wrong with it."""
    namespace = issuer.metadata.namespace
    kind, _, name = text.rpartition("/")
    kind = kind or ("Issuer" if namespace else "ClusterIssuer")
    if kind not in _KINDS or not is_subdomain(name):
        return f"{shown(text)} is not a valid issuer name"
    if kind == "Issuer" and not namespace:
        return f"{shown(text)}: a ClusterIssuer is followed by ClusterIssuers only"
    ref = IssuerRef("Issuer", namespace, name) if kind == "Issuer" else IssuerRef("ClusterIssuer", "", name)
    own = IssuerRef("Issuer" if namespace else "ClusterIssuer", namespace, issuer.metadata.name)
    return f"{shown(text)} is this issuer itself" if ref == own else ref


@dataclass(frozen=True, slots=True)
class Candidate:
    """An issuer that could be asked: its account is there, and its hosts may be had from it. `attempts`: of these names."""

    ref: IssuerRef
    attempts: Attempts


def choose(candidates: Sequence[Candidate], now: dt.datetime, *, hurry: bool) -> IssuerRef | None:
    """The first that did not fail often; when all did, the one whose pause ends first. None when there is none.

    `hurry`: the certificate is nearly at its end, so one failure, and any wait, leads to the next.
    """

    def well(one: Candidate) -> bool:
        if hurry:
            return one.attempts.failures == 0 and one.attempts.may_try(now)
        return one.attempts.failures < ENOUGH

    for one in candidates:
        if well(one):
            return one.ref
    long_ago = dt.datetime.min.replace(tzinfo=dt.UTC)
    return min(candidates, key=lambda one: one.attempts.not_before or long_ago).ref if candidates else None


def reference(ref: IssuerRef) -> IssuerReference:
    """An issuer as objects of its namespace name it."""
    return IssuerReference(name=ref.name, kind=ref.kind, group=GROUP)
