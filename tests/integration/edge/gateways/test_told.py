"""Whatever write for Gateways, HostClaims and EdgePolicies is refused, for whatever reason: it is told on the object."""

import pytest

from signer.api.hostclaim import HOST_CLAIMS
from tests.fakes.refusals import ANSWERS, BY_NAME, Refusals
from tests.integration.edge.gateway_world import EdgeWorld, host, https
from tests.integration.slow_controllers import Json
from tests.integration.told import AT_ONCE, LASTING, Row, in_conditions, refuse, said, soon

__all__ = ["soon"]
pytestmark = pytest.mark.integration


@pytest.fixture
def refusals(here: EdgeWorld) -> Refusals:
    return Refusals(here.own)


async def nothing(_kind: str, _name: str) -> Json | None:
    return None


async def gateways(here: EdgeWorld, *names: str) -> None:
    await here.pod(here.namespace)
    for name in names:
        await here.gateway(https(host(here, name), credential=f"{name}-tls"), name=name)


@pytest.mark.parametrize(
    "write",
    [r"POST /.*/hostclaims {name}\.", r"POST /.*/secrets {name}-tls$", r"POST /.*/certificates {name}-tls$"],
    ids=["claim", "secret", "certificate"],
)
async def test_gateways(here: EdgeWorld, refusals: Refusals, write: str) -> None:
    """The Gateway says what its certificate lacks, and so does the HostClaim; the namespace's other certificates are made."""
    row = Row("gateways", write, ("Gateway", "{name}"))
    refuse(refusals, row, AT_ONCE)
    await gateways(here, *(f"x-{answer.name}" for answer in AT_ONCE), "fine")
    for answer in AT_ONCE:
        await said(here, row, answer, nothing)
        if "hostclaims" in write:
            continue

        async def claim(name: str = f"x-{answer.name}", words: str = answer.words) -> bool:
            found = await here.claim(host(here, name))
            return found is not None and in_conditions(found, words)

        await here.until(f"a condition of the HostClaim of x-{answer.name}", claim)
    await here.served("fine-tls", host(here, "fine"))
    refusals.end()
    await here.served("x-quota-tls", host(here, "x-quota"))

    async def over() -> bool:
        found = await here.claim(host(here, "x-quota"))
        conditions = {one["type"]: one["status"] for one in (found or {}).get("status", {}).get("conditions", [])}
        return bool(conditions.get("Stopped", "False") == "False")

    await here.until("nothing is in the way any more", over)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("name", [one.name for one in LASTING])
async def test_a_namespace(here: EdgeWorld, refusals: Refusals, name: str) -> None:
    """What should pass and does not holds up all of a namespace, and is told on each of its Gateways."""
    row = Row("gateways", r"POST /.*/secrets {name}-tls$", ("Gateway", "{name}"))
    refuse(refusals, row, [BY_NAME[name]])
    await gateways(here, f"x-{name}")
    await said(here, row, BY_NAME[name], nothing)


async def test_policies_and_claims(here: EdgeWorld, refusals: Refusals) -> None:
    """An EdgePolicy and a HostClaim whose status cannot be written say so by an Event."""
    row = Row(
        "policies",
        rf"PATCH /.*/edgepolicies/{here.namespace}-{{name}}/status",
        ("EdgePolicy", f"{here.namespace}-{{name}}"),
    )
    refuse(refusals, row, ANSWERS)
    for answer in ANSWERS:
        await here.policy(
            f"x-{answer.name}", f"{answer.name}.{here.namespace}.example.org", namespaces=[here.namespace]
        )
    for answer in AT_ONCE:
        await said(here, row, answer, nothing)
    claims = Row(
        "gateways",
        rf"PATCH /.*/hostclaims/{{name}}\.{here.namespace}\..*/status",
        (HOST_CLAIMS.kind, f"{{name}}.{here.namespace}.example.com"),
    )
    refuse(refusals, claims, AT_ONCE)
    await gateways(here, *(f"x-{answer.name}" for answer in AT_ONCE))
    for answer in AT_ONCE:
        await said(here, claims, answer, nothing)
