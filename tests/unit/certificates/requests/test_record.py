"""What lasts of each answer to a CertificateRequest: two audit lines, a count by reason, a count of its SignerPolicy."""

import asyncio
import base64
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from issuers.request import read_request
from signer.api.certificaterequest import CertificateRequest
from signer.api.issuer import IssuerRef
from signer.api.meta import ObjectMeta
from signer.authorities.registry import Registry
from signer.certificates.requests.record import RequestRecord
from signer.kube.errors import ApiError, Conflict, NotFound, Unreachable
from signer.observe.audit import AuditLog
from signer.observe.metrics import Metrics
from signer.tenancy.tally import Counts, Tally
from signer.tenancy.verdict import Grant, Reason
from signer.tenancy.world import Namespace, Policy
from tests import pki
from tests.unit.commands.meshes import state
from tests.unit.tenancy.worlds import FOO, world

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
CSR = pki.csr(uris=["spiffe://cluster.local/ns/shop/sa/web"])
GRANT = Grant(timedelta(hours=1), "SignerPolicy p", "p")


class Registered:
    """A registry that knows the issuer foo."""

    def get(self, ref: IssuerRef) -> object | None:
        return state(FOO) if ref == FOO else None


class Scene:
    def __init__(self) -> None:
        self.stream = io.BytesIO()
        self.metrics, self.tally = Metrics(), Tally()
        here = world(policies=(Policy("p", frozenset({FOO}), namespaces=frozenset({"shop"})),))
        here.namespaces["shop"] = Namespace("uid-shop")
        self.record = RequestRecord(
            self.metrics,
            AuditLog(cast(Any, self.stream)),
            self.tally,
            cast(Registry, Registered()),
            here,
            lambda: NOW,
        )
        self.written_before: list[str] = []

    async def write(self) -> None:
        self.written_before.append(self.stream.getvalue().decode())

    async def lines(self) -> list[dict[str, Any]]:
        await asyncio.sleep(0)
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]

    def refusals(self, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value("mesh_signer_refusals_total", labels)


def request(**spec: Any) -> CertificateRequest:
    reference = {"name": "foo", "kind": "ClusterIssuer"}
    body = {"request": base64.b64encode(CSR).decode(), "issuerRef": reference, "username": "jane\n"} | spec
    return CertificateRequest(metadata=ObjectMeta(name="web-1", namespace="shop", uid="u"), raw_spec=body)


async def issue(scene: Scene, write: Any) -> None:
    ca = pki.CA("leaf", now=NOW, not_before=NOW, not_after=NOW + timedelta(hours=1))
    await scene.record.issue(request(), read_request(CSR), state(FOO), GRANT, ca.pem, write)


async def test_issued() -> None:
    """The intent is in the log before the answer is sent, the outcome after; the policy that allowed it counts one."""
    scene = Scene()
    await issue(scene, scene.write)
    intent, outcome = await scene.lines()
    assert [json.loads(text)["audit"] for text in scene.written_before] == ["intent"]
    assert (intent["audit"], outcome["audit"], outcome["outcome"]) == ("intent", "outcome", "stored")
    same = {name: value for name, value in outcome.items() if name not in {"audit", "outcome"}}
    assert same == {name: value for name, value in intent.items() if name != "audit"}
    assert (same["resource"], same["namespace"], same["name"]) == ("CertificateRequest", "shop", "web-1")
    assert (same["signer"], same["source"]) == ("clusterissuers.cert-manager.io/foo", "SignerPolicy p")
    assert (same["identity"], same["lifetime"]) == ("spiffe://cluster.local/ns/shop/sa/web", 3600)
    assert (len(same["caKey"]), int(same["serial"], 16) > 0) == (64, True)
    assert same["requester"] == "jane�"
    assert scene.tally.waiting() == (("p", Counts(1, 0)),)


async def test_refused() -> None:
    """A refusal has its two lines with all reasons, a count by the first, and one in the policy of its signer."""
    scene = Scene()
    reasons = (Reason("KeyNotAllowed", "too small"), Reason("UsagesNotAllowed", "too many"))
    await scene.record.refuse(request(), reasons, scene.write)
    lines = await scene.lines()
    assert [line.get("outcome") for line in lines] == [None, "refused"]
    assert {line["verdict"] for line in lines} == {"refuse"}
    assert lines[0]["reasons"] == ["KeyNotAllowed: too small", "UsagesNotAllowed: too many"]
    labels = {"signer": "clusterissuers.cert-manager.io/foo", "namespace": "shop", "reason": "KeyNotAllowed"}
    assert scene.refusals(**labels) == 1
    assert scene.tally.waiting() == (("p", Counts(0, 1)),)


async def test_nobody_makes_series_by_asking() -> None:
    """Signers that do not exist share one series."""
    scene = Scene()
    for number in range(5):
        asked = request(issuerRef={"name": f"absent-{number}", "kind": "ClusterIssuer"})
        await scene.record.refuse(asked, (Reason("InvalidRequest", "x"),), scene.write)
    assert scene.refusals(signer="other", namespace="shop", reason="InvalidRequest") == 5


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Conflict(409, "Conflict", "changed"), "conflict"),
        (NotFound(404, "NotFound", "gone"), "gone"),
        (ApiError(422, "Invalid", "no"), "invalid"),
        (ApiError(500, "InternalError", "?"), "unknown"),
        (Unreachable("nobody there"), "unknown"),
        (KeyError("x"), "unknown"),
    ],
    ids=["conflict", "gone", "invalid", "server", "unreachable", "unforeseen"],
)
async def test_not_stored(error: Exception, outcome: str) -> None:
    """What was not stored, or perhaps not, says so in its outcome, counts for no policy, and is the caller's to handle."""
    scene = Scene()

    async def fail() -> None:
        raise error

    with pytest.raises(type(error)):
        await issue(scene, fail)
    assert (await scene.lines())[1]["outcome"] == outcome
    assert scene.tally.waiting() == ()


async def test_a_storm_is_summed_up() -> None:
    """Of one namespace's refusals for one reason the first in a minute has lines, the others are counted; others' have theirs."""
    scene = Scene()
    for _ in range(500):
        await scene.record.refuse(request(), (Reason("KeyNotAllowed", "x"),), scene.write)
    await scene.record.refuse(request(), (Reason("UsagesNotAllowed", "x"),), scene.write)
    summing = asyncio.create_task(scene.record.run())
    await asyncio.sleep(0)
    summing.cancel()
    await asyncio.wait([summing])
    lines = await scene.lines()
    assert [line["audit"] for line in lines] == ["intent", "outcome"] * 2 + ["summary"]
    assert (lines[-1]["count"], lines[-1]["reasons"], lines[-1]["namespace"]) == (499, ["KeyNotAllowed"], "shop")
    assert lines[-1]["resource"] == "CertificateRequest"
    labels = {"signer": "clusterissuers.cert-manager.io/foo", "namespace": "shop", "reason": "KeyNotAllowed"}
    assert scene.refusals(**labels) == 500
    assert scene.tally.waiting() == (("p", Counts(0, 501)),)
