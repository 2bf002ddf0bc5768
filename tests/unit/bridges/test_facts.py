"""What is read around a bridge: each thing from a look-up that the controllers' rights allow, and nothing guessed."""

from typing import Any, cast

import pytest

from signer.bridges.defects import working
from signer.bridges.facts import FactReads
from signer.kube.errors import api_error
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


@pytest.mark.parametrize(
    ("change", "wanted", "codes"),
    [
        (("serviceaccounts", CLIENT, "gateway"), {}, ["ServiceAccountNotFound"]),
        (("serviceaccounts", SERVER, "httpbin"), {"accounts": ("httpbin",)}, ["ServiceAccountNotFound"]),
        (("serviceaccounts", SERVER, "httpbin"), {}, []),
        (None, {"accounts": ("httpbin",)}, []),
        (None, {"accounts": ("httpbin", "htpbin")}, ["ServiceAccountNotFound"]),
        (None, {"client_account": "gatway"}, ["ServiceAccountNotFound", "NoClient"]),
        (("pods", CLIENT, "p0"), {}, ["NoClient"]),
    ],
)
async def test_names_that_nobody_has(change: Any, wanted: dict[str, Any], codes: list[str]) -> None:
    """Labels that select no Pod, an account that is not there on either side, Pods of another account: each is told."""
    around = Around("router")
    if change is not None:
        around.remove(change)
    assert await around.codes(**wanted) == codes


@pytest.mark.parametrize(
    ("account", "phase", "codes"),
    [
        ("another", "Running", ["NoClient"]),
        ("gateway", "Succeeded", ["NoClient"]),
        ("gateway", "Pending", []),
        (None, "Running", []),
    ],
)
async def test_pods_of_another_account(account: str | None, phase: str, codes: list[str]) -> None:
    """Pods that run as somebody else, or have ended, are no client; what cannot be read of a Pod is no defect."""
    around = Around("router")
    pod = around.objects["pods", CLIENT, "p0"]
    around.put(
        ("pods", CLIENT, "p0"),
        {**pod, "spec": {**pod["spec"], "serviceAccountName": account}, "status": {"phase": phase}},
    )
    assert await around.codes() == codes


async def test_what_may_not_be_read() -> None:
    """Where the API server refuses a look-up nothing is told of it."""
    around = Around("router")

    async def refuse(*_: Any, **__: Any) -> Any:
        raise api_error(403, "Forbidden", "no")

    around.request = refuse  # type: ignore[method-assign]
    assert await around.codes(client_account="gatway", accounts=("htpbin",)) == []
