"""Explains as `mesh-signer explain` does where all that it asks is answered by the world itself, without a server."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from signer.api.issuer import IssuerRef
from signer.commands.explanations.csr import NOTHING_FOUND_OUT, Explanation, FoundOut, Question, explain
from signer.commands.explanations.requests import Asked
from signer.commands.live import Mesh
from signer.csr.outcome import AskKey, AskReference, NoKey
from signer.tenancy.verdict import Bind, Limits
from signer.tenancy.world import Binding
from tests.unit.csr.crafted import NOW


def fully(
    asked: Asked,
    signer: IssuerRef,
    mesh: Mesh,
    *,
    now: datetime = NOW,
    limits: Limits | None = None,
    may_reference: bool = True,
    key: Any = None,
    key_unread: bool = False,
) -> Explanation:
    """The explanation, when live reads bear what the world says. `key` is what the Secret holds, None for nothing."""
    found_out = replace(NOTHING_FOUND_OUT, key_unread=key_unread)
    for _ in range(8):
        found = explain(asked, signer, mesh, now=now, limits=limits or Limits(), found_out=found_out)
        if isinstance(found, Explanation):
            return found
        found_out = _answer(found, found_out, now, may_reference=may_reference, key=key)
    raise AssertionError("it asks without end")


def _answer(question: Question, so_far: FoundOut, now: datetime, *, may_reference: bool, key: Any) -> FoundOut:
    if isinstance(question, AskReference):
        return replace(so_far, answers=replace(so_far.answers, may_reference=may_reference))
    if isinstance(question, AskKey):
        return replace(so_far, answers=replace(so_far.answers, key=NoKey() if key is None else key))
    if isinstance(question, Bind):
        return replace(so_far, bound=Binding(question.signer, question.namespace, question.namespace_uid, now))
    return replace(so_far, confirmed=question)
