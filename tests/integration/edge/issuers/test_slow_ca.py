"""A CA that does not answer keeps few workers; what others have ordered goes on beside it."""

import threading
from collections.abc import Callable

import pytest

from signer.edge.issuers.shares import CLUSTER_SHARE
from tests.fakes.acme_faults import FaultyCA, Reply
from tests.integration.edge.conftest import Start, spec
from tests.integration.slow_controllers import World

pytestmark = pytest.mark.integration
_MANY = CLUSTER_SHARE + 4


async def test_a_hanging_ca(here: World, start: Start) -> None:
    """While more orders hang at one CA than it may keep workers, another's certificate comes; afterwards all of them come."""
    going_on, hanging = threading.Event(), list[str]()

    def hang(reply: Reply) -> Reply:
        hanging.append("one more")
        going_on.wait(15)
        return reply

    def rule(method: str, path: str) -> Callable[[Reply], Reply] | None:
        return hang if method == "POST" and "order-plz" in path and not going_on.is_set() else None

    with FaultyCA(start()) as slow:
        issuer = await here.issuer("slow", spec(slow))  # type: ignore[arg-type]  # it has what spec reads of a Pebble
        await here.ready("ClusterIssuer", issuer)
        slow.rule = rule
        for number in range(_MANY):
            await here.certificate(f"slow-{number}", issuer, commonName=None, dnsNames=[f"slow-{number}.example"])

        async def full() -> bool:
            return len(hanging) >= CLUSTER_SHARE

        await here.until("as many that hang as may", full)
        other = await here.issuer("well", spec(start(), privateKeySecretRef={"name": "well-account"}))
        await here.certificate("well", other, commonName=None, dnsNames=["well.example"])
        await here.ready("Certificate", "well")
        assert len(hanging) == CLUSTER_SHARE
        going_on.set()
        for number in range(_MANY):
            await here.ready("Certificate", f"slow-{number}")
