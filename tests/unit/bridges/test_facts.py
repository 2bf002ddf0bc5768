"""What is read around a bridge: each thing from a look-up that the controllers' rights allow, and nothing guessed."""

from typing import Any, cast

import pytest

from signer.bridges.defects import working
from signer.bridges.facts import FactReads
from tests.unit.bridges.drawn import wish
from tests.unit.bridges.stored import Stored

CLIENT, SERVER = "gateways", "foo"
LABELS = {"istio": "ingressgateway"}


class Around(Stored):
    """Namespaces in which all is well for the bridge of drawn.py; its client's proxy is a sidecar or a router."""

    def __init__(self, *agents: str) -> None:
        super().__init__()
        for index, agent in enumerate(agents):
            spec = {
                "serviceAccountName": "gateway",
                "containers": [{"name": "istio-proxy", "args": ["proxy", agent]}],
            }
            self.put(("pods", CLIENT, f"p{index}"), {"metadata": {"labels": LABELS}, "spec": spec})
        self.put(("peerauthentications", SERVER, "default"), {"spec": {"mtls": {"mode": "STRICT"}}})
        self.put(("services", SERVER, "a"), {"spec": {"ports": [{"name": "http"}]}})
        self.put(("serviceaccounts", CLIENT, "gateway"), {})
        self.put(("serviceaccounts", SERVER, "httpbin"), {})

    async def codes(self, **changes: Any) -> list[str]:
        """What is wrong with the bridge."""
        wanted = wish().__class__(**{**_fields(wish()), **changes})
        facts = await FactReads(cast("Any", self)).read(wanted, "istio-system")
        return [one.code for one in working(wanted, facts, ())]


def _fields(one: Any) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__slots__}


@pytest.mark.parametrize(
    ("agents", "cut"),
    [(("sidecar",), True), (("router",), False), (("router", "sidecar"), True), (("router", "router"), False)],
)
async def test_sidecars(agents: tuple[str, ...], cut: bool) -> None:
    """A Sidecar that leaves the server out is told of a client whose proxy goes by it; gateways go by none."""
    around = Around(*agents)
    assert await around.codes() == []
    around.put(("sidecars", CLIENT, "narrow"), {"spec": {"egress": [{"hosts": ["./*"]}]}})
    assert await around.codes() == (["HostHidden"] if cut else [])
