"""Whatever write of Orders and Challenges is refused, for whatever reason: it is told on the object that it stopped."""

import re
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.fakes.refusals import Answer, Refusals
from tests.integration.edge.conftest import Start, spec
from tests.integration.slow_controllers import Json, World
from tests.integration.told import AT_ONCE, LASTING, Row, in_conditions, in_reason, refuse, said, soon

__all__ = ["soon"]
pytestmark = pytest.mark.integration

ROWS = [
    Row("certificaterequests", r"POST /.*/orders {name}-1-", ("CertificateRequest", "{name}-1"), in_conditions),
    Row("orders", r"POST /.*/challenges {name}-1-", ("Order", "{name}-1-.*"), in_reason),
    Row("orders", r"PATCH /.*/orders/{name}-1-[^/]*/status", ("Order", "{name}-1-.*")),
    Row("challenges", r"PATCH /.*/challenges/{name}-1-[^/]*/status", ("Challenge", "{name}-1-.*")),
]


async def told(here: World, start: Start, row: Row, answers: Sequence[Answer]) -> Refusals:
    refusals = Refusals(here.own)
    # Of this namespace alone: a Challenge of an earlier one that is refused again never goes, and keeps the name that it has.
    refuse(refusals, replace(row, write=row.write.replace("/.*/", f"/.*/{here.namespace}/", 1)), answers)
    issuer = await here.issuer("acme", spec(start()))
    for answer in answers:
        names = [f"{answer.name}.{here.namespace}.example"]
        await here.certificate(f"x-{answer.name}", issuer, commonName=None, dnsNames=names)

    async def get(kind: str, name: str) -> Json | None:
        return next((one for one in await here.list(kind) if re.fullmatch(name, one["metadata"]["name"])), None)

    for answer in answers:
        await said(here, row, answer, get)
    return refusals


@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_told(here: World, start: Start, row: Row) -> None:
    """What must be mended is told at once; when it is, the order goes on."""
    refusals = await told(here, start, row, AT_ONCE)
    refusals.end()
    for kind in ("CertificateRequest", "Order", "Challenge"):
        for one in await here.list(kind):
            if one["metadata"]["name"].startswith("x-policy-"):
                await here.touch(kind, one["metadata"]["name"])
    await here.ready("Certificate", "x-policy")


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_what_lasts(here: World, start: Start, row: Row) -> None:
    """What should pass and does not is told as well."""
    await told(here, start, row, LASTING)
