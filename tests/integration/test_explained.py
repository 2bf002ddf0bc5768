"""The check that every test ends with: explain says what the signer answered (tests/explained.py)."""

from dataclasses import replace

from tests import pki
from tests.explained import Answer, Decisions, answer_of, explained_otherwise
from tests.integration.hot_path import Place
from tests.localmesh.signer import SignerProcess


async def test_what_is_explained_otherwise_is_found(place: Place, ca: str, signer: SignerProcess) -> None:
    """An answer that explain contradicts is told of; the answer that was given, and one that a change came after, are not."""
    found = answer_of(place.look(place.issue(ca, pki.workload_csr("foo")).name))
    assert found is not None
    assert found.verdict == "issue"
    decisions = Decisions(place.cluster, ran=[signer])
    planted = Answer(found.obj, "refuse", "TenantMismatch")
    told = await explained_otherwise(decisions, [planted])
    assert len(told) == 1
    assert "explain says ('issue', '')" in told[0]
    assert await explained_otherwise(decisions, [replace(planted, verdict="issue", code="")]) == []
    changed = {"kind": "ConfigMap", "metadata": {"uid": "u", "resourceVersion": str(found.version + 1)}}
    decisions.told("MODIFIED", changed)
    assert await explained_otherwise(decisions, [replace(planted, code="SignerClaimed")]) == []
