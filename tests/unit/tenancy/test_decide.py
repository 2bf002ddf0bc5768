"""The wall's one function, and the values that it speaks in."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from issuers.request import read_request
from signer.api.issuer import IssuerRef
from signer.tenancy.decide import Decision, decide
from signer.tenancy.verdict import Claim, Grant, Limits, Reason, Refuse, Wait
from signer.tenancy.world import without_wall
from tests.unit.csr.crafted import FOO, ISTIOD, NOW, USAGES, authority, workload

CLAIM = Claim(
    requester=ISTIOD,
    signer=FOO,
    ca_key_id=authority().key_id,
    request=read_request(workload()),
    usages=USAGES,
    is_ca=False,
    lifetime=timedelta(days=1),
)


def open_decide(claim: Claim, limits: Limits | None = None) -> Decision:
    return decide(claim, without_wall(), limits or Limits(), fresh=False, now=NOW)


class TestWithoutAWall:
    def test_what_is_granted(self) -> None:
        """A workload's claim is granted for the lifetime that it asks for."""
        assert open_decide(CLAIM) == Grant(timedelta(days=1))

    def test_a_ca_where_it_is_allowed(self) -> None:
        """A CA is granted like anything else, unless the operator switched that off."""
        assert open_decide(replace(CLAIM, is_ca=True)) == Grant(timedelta(days=1))

    @pytest.mark.parametrize("signer", [FOO, IssuerRef("Issuer", "shop", "ca")], ids=str)
    def test_a_ca_where_it_is_not(self, signer: IssuerRef) -> None:
        """With --allow-ca-requests=false nobody gets a CA certificate, and the message names signer and option."""
        refused = open_decide(replace(CLAIM, is_ca=True, signer=signer), Limits(allow_ca_requests=False))
        assert isinstance(refused, Refuse)
        assert refused.code == "CARequestsNotAllowed"
        assert refused.message.startswith(f"{signer} was asked for a CA certificate")
        assert "--allow-ca-requests=false" in refused.message

    def test_leaves_where_cas_are_not_allowed(self) -> None:
        """That switch is nothing for other certificates."""
        assert isinstance(open_decide(CLAIM, Limits(allow_ca_requests=False)), Grant)


class TestVerdict:
    def test_all_reasons_are_told(self) -> None:
        """A refusal's code is the first reason's; its message is all of them."""
        refused = Refuse((Reason("A", "first"), Reason("B", "second")))
        assert (refused.code, refused.message) == ("A", "first; second")

    def test_values(self) -> None:
        """Verdicts are compared by what they say and cannot be changed afterwards."""
        wait = Wait(Reason("A", "m"), FOO)
        assert wait == Wait(Reason("A", "m"), FOO, None)
        with pytest.raises(AttributeError):
            wait.secret = ("a", "b")  # type: ignore[misc]  # what must not work
