"""Explains as `mesh-signer explain` does where all that it asks is answered by the world itself, without a server."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from signer.api.issuer import IssuerRef
from signer.commands.asking import as_stored
from signer.commands.explanations.csr import NOTHING_FOUND_OUT, Explanation, FoundOut, Question, explain
from signer.commands.explanations.requests import Asked
from signer.commands.live import Mesh
from signer.csr.inquiries import INQUIRY_FAILED
from signer.csr.outcome import AskKey, AskReference, NoKey
from signer.tenancy.live import against_grant, against_owner
from signer.tenancy.verdict import Bind, Confirm, Limits, Reason
from signer.tenancy.world import Binding
from tests.unit.commands.clusters import Cluster
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
    cluster: Cluster | None = None,
) -> Explanation:
    """The explanation, when live reads find `cluster`, or else bear whatever the world says.

    `key` is what the Secret holds, None for nothing.
    """
    found_out = replace(NOTHING_FOUND_OUT, key_unread=key_unread)
    for _ in range(8):
        found = explain(asked, signer, mesh, now=now, limits=limits or Limits(), found_out=found_out)
        if isinstance(found, Explanation):
            return found
        wrong = against(cluster, mesh, found, found_out.bound, now) if cluster is not None else ""
        if wrong:
            found_out = replace(found_out, failed=Reason(INQUIRY_FAILED, wrong))
        else:
            found_out = _answer(found, found_out, now, may_reference=may_reference, key=key)
    raise AssertionError("it asks without end")


def against(cluster: Cluster, mesh: Mesh, question: Question, bound: Binding | None, now: datetime) -> str:
    """What a live read says against an owner, or a certificate."""
    if not isinstance(question, Bind | Confirm):
        return ""
    view = cluster.view(mesh.index, question.signer, question.namespace)
    if isinstance(question, Bind):
        return against_owner(view, question, now)
    return against_grant(as_stored(view, bound, now) if bound is not None else view, question, now)


def _answer(question: Question, so_far: FoundOut, now: datetime, *, may_reference: bool, key: Any) -> FoundOut:
    if isinstance(question, AskReference):
        return replace(so_far, answers=replace(so_far.answers, may_reference=may_reference))
    if isinstance(question, AskKey):
        return replace(so_far, answers=replace(so_far.answers, key=NoKey() if key is None else key))
    if isinstance(question, Bind):
        return replace(so_far, bound=Binding(question.signer, question.namespace, question.namespace_uid, now))
    return replace(so_far, confirmed=question)
