"""What stands between a decision and the workload: rights that are lacking are told whatever the verdict is."""

from dataclasses import replace

import pytest

from signer.api.issuer import IssuerRef
from signer.api.signername import signer_name_of
from signer.commands.explanations.around import Around, needed_for, with_around
from signer.commands.explanations.requests import as_requester, workload_request
from signer.settings.values import Settings
from tests.unit.commands.explaining import fully
from tests.unit.commands.meshes import ALL, mesh, state
from tests.unit.csr.crafted import ISTIOD, NOW
from tests.unit.tenancy.worlds import FOO, binding, claims, world

BARR = IssuerRef("ClusterIssuer", "", "barr")


@pytest.mark.parametrize("allowed", [True, False, None])
@pytest.mark.parametrize("signer", [FOO, BARR], ids=str)
def test_rights(signer: IssuerRef, *, allowed: bool | None) -> None:
    """A request that waits for its issuer, and that istiod may not approve then, is told both: it is not taken up by itself."""
    here = mesh(
        world(claimed={"foo": claims(signer)}, bindings=(binding(FOO, "foo"),)), issuers=[state(one) for one in ALL]
    )
    asked = as_requester(workload_request("cluster.local", "foo", "default", signer_name_of(signer)), ISTIOD)
    rights = tuple(replace(one, allowed=allowed) for one in needed_for(asked, signer, Settings()))
    found = with_around(fully(asked, signer, here), Around(rights=rights), here, NOW)
    codes = [one.code for one in found.reasons]
    assert ("IssuerNotFound" in codes) == (signer == BARR)
    assert ("WaitingApproval" in codes) == (allowed is False)
    assert any("mesh-signer mesh-config" in one and "rule" in one for one in found.advice) == (allowed is False)
    assert found.verdict == ("wait" if signer == BARR or allowed is False else "issue")
