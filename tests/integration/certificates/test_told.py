"""Whatever write of issuers, Certificates and CertificateRequests is refused, for whatever reason: it is told on the object."""

import pytest

from tests.fakes.refusals import ANSWERS, Refusals
from tests.integration.slow_controllers import World
from tests.integration.told import LASTING, Row, check, in_conditions, refuse, said, soon

__all__ = ["soon"]
pytestmark = pytest.mark.integration

ROWS = [
    Row("certificates", r"POST /.*/secrets {name}-key-", ("Certificate", "{name}"), in_conditions),
    Row("certificates", r"PATCH /.*/secrets/{name}\b(?!-)", ("Certificate", "{name}"), in_conditions),
    Row("certificates", r"POST /.*/certificaterequests {name}-1", ("Certificate", "{name}"), in_conditions),
    Row("certificates", r"PATCH /.*/certificates/{name}/status", ("Certificate", "{name}")),
    Row("certificaterequests", r"PATCH /.*/certificaterequests/{name}-1/status", ("CertificateRequest", "{name}-1")),
]


@pytest.fixture
def refusals(here: World) -> Refusals:
    return Refusals(here.own)


async def make(here: World) -> None:
    issuer = await here.issuer("selfsigned", {"selfSigned": {}})
    for answer in ANSWERS:
        await here.certificate(f"x-{answer.name}", issuer)


@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_told(here: World, refusals: Refusals, row: Row) -> None:
    """What must be mended is told at once, what may pass is not; when nothing is refused any more, all goes on."""
    refuse(refusals, row, ANSWERS)
    await make(here)
    await check(here, refusals, row, here.get)
    refusals.end()
    # Whatever was refused again and again has a long pause by now; a change ends it.
    await here.touch(row.about[0], row.about[1].format(name="x-policy"))
    await here.touch("Certificate", "x-policy")
    await here.ready("Certificate", "x-policy")


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_what_lasts(here: World, refusals: Refusals, row: Row) -> None:
    """What should pass and does not is told as well."""
    refuse(refusals, row, LASTING)
    await make(here)
    for answer in LASTING:
        await said(here, row, answer, here.get)


async def test_issuers(here: World, refusals: Refusals) -> None:
    """An issuer whose status cannot be written says so by an Event."""
    row = Row(
        "issuers",
        rf"PATCH /.*/clusterissuers/{here.namespace}-{{name}}/status",
        ("ClusterIssuer", f"{here.namespace}-{{name}}"),
    )
    refuse(refusals, row, ANSWERS)
    for answer in ANSWERS:
        await here.issuer(f"x-{answer.name}", {"selfSigned": {}})
    await check(here, refusals, row, here.get)


@pytest.mark.usefixtures("soon")
async def test_issuers_for_long(here: World, refusals: Refusals) -> None:
    """So does one whose status cannot be written for a while."""
    row = Row(
        "issuers",
        rf"PATCH /.*/clusterissuers/{here.namespace}-{{name}}/status",
        ("ClusterIssuer", f"{here.namespace}-{{name}}"),
    )
    refuse(refusals, row, LASTING)
    for answer in LASTING:
        await here.issuer(f"x-{answer.name}", {"selfSigned": {}})
    for answer in LASTING:
        await said(here, row, answer, here.get)
