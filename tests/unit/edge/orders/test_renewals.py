"""When a certificate of an ACME issuer is renewed: by advice, by half a short life, and at its end."""

import asyncio
import datetime as dt
import itertools
import json
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from issuers.acme.answers import Window
from issuers.acme.client import RenewalInfo
from issuers.acme.errors import AcmeError, Unreachable
from signer.api.certificate import Certificate
from signer.api.issuer import IssuerRef
from signer.api.meta import to_rfc3339
from signer.edge.issuers.term import Term
from signer.edge.orders.renewals import RenewalController
from signer.kube.queue import WorkQueue
from signer.kube.superseded import Key
from tests import pki
from tests.fakes.recorder import FakeRecorder

NOW = dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
KEY = ("shop", "web")
CA = pki.CA("root", now=NOW)


def leaf(age: dt.timedelta, length: dt.timedelta, now: dt.datetime = NOW, turn: int = 7) -> bytes:
    """A certificate that is so old and lives so long, PEM."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(CA.certificate.subject)
        .public_key(pki.key().public_key())
        .serial_number(9973 * turn)  # its fraction is none
        .not_valid_before(now - age)
        .not_valid_after(now - age + length)
        .add_extension(x509.AuthorityKeyIdentifier(b"ca", None, None), critical=False)
    )
    return builder.sign(CA.private, hashes.SHA256()).public_bytes(Encoding.PEM)


class World:
    """One Certificate, and a CA that advises `info` or fails."""

    def __init__(self, pem: bytes, info: RenewalInfo | AcmeError | None, **status: Any) -> None:
        self.recorder = FakeRecorder()
        self.patched: list[dict[str, Any]] = []
        self.overdue: list[str] = []
        self.now = NOW
        self.info = info
        self.pem = pem
        conditions = [{"type": "Ready", "status": "True"}]
        certificate = {
            "metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "1"},
            "spec": {
                "secretName": "web",
                "dnsNames": ["a.example"],
                "issuerRef": {"name": "le", "kind": "ClusterIssuer"},
            },
            "status": {"conditions": conditions, **status},
        }
        store = {KEY: msgspec.convert(certificate, Certificate)}
        account = SimpleNamespace(session=SimpleNamespace(renewal_info=self._renewal_info))
        self.queue: WorkQueue[Key] = WorkQueue()
        ref = IssuerRef("ClusterIssuer", "", "le")
        self.controller = RenewalController(
            Term(
                cast("Any", self),
                self.recorder.typed,
                cast("Any", SimpleNamespace(get={ref: account}.get, on_ready=lambda _: None)),
                cast("Any", None),
                clock=lambda: self.now,
            ),
            cast("Any", SimpleNamespace(store=store, subscribe=lambda _: None)),
            cast("Any", SimpleNamespace(overdue=self.overdue.append)),
            self.queue,
        )

    async def _renewal_info(self, _name: str) -> RenewalInfo | None:
        if isinstance(self.info, AcmeError):
            raise self.info
        return self.info

    async def get(self, *_: object) -> dict[str, Any]:
        return cast(
            "dict[str, Any]",
            json.loads(msgspec.json.encode({"metadata": {"name": "web"}, "data": {"tls.crt": self.pem}})),
        )

    async def patch(self, _resource: object, _name: str, body: dict[str, Any], **_: object) -> None:
        self.patched.append(body)

    def reasons(self) -> list[str]:
        """Take one look; why a renewal began, if one did."""

        async def look() -> None:
            await self.controller.reconcile(KEY)

        asyncio.run(look())
        return [
            one["reason"] for body in self.patched for one in body["status"]["conditions"] if one["type"] == "Issuing"
        ]


def window(start: dt.timedelta, end: dt.timedelta) -> RenewalInfo:
    return RenewalInfo(Window(NOW + start, NOW + end, ""), None)


def test_advised() -> None:
    """A window that has begun renews; one to come does not."""
    pem = leaf(10 * DAY, 90 * DAY)
    assert World(pem, window(-HOUR, 5 * HOUR)).reasons() == ["RenewalInfo"]
    assert World(pem, window(HOUR, 5 * HOUR)).reasons() == []


@pytest.mark.parametrize("age", [2.9, 3.1])
def test_half_of_a_short_life(age: float) -> None:
    """Without advice a certificate of six days is renewed when half of its life has passed, a long one by its status."""
    expected = ["RemainingLife"] if age > 3 else []
    assert World(leaf(age * DAY, 6 * DAY), None).reasons() == expected
    assert World(leaf(age * 15 * DAY, 90 * DAY), None).reasons() == []


def test_at_its_end() -> None:
    """With a twentieth of the life left, advice to wait is no longer followed, nor a pause of more than an hour."""
    pem = leaf(87 * DAY, 90 * DAY)
    assert World(pem, window(DAY, 2 * DAY)).reasons() == ["NearlyExpired"]
    assert World(pem, Unreachable("away")).reasons() == ["NearlyExpired"]
    failed = {"failedIssuanceAttempts": 6}
    recent, old = (to_rfc3339(NOW - ago) for ago in (HOUR / 2, 2 * HOUR))
    assert World(pem, None, lastFailureTime=recent, **failed).reasons() == []
    assert World(pem, None, lastFailureTime=old, **failed).reasons() == ["NearlyExpired"]


def test_somebody_is_told() -> None:
    """With a fiftieth left there is an Event, once."""
    world = World(leaf(89 * DAY, 90 * DAY), None, lastFailureTime=to_rfc3339(NOW), failedIssuanceAttempts=1)
    world.reasons()
    world.reasons()
    assert world.recorder.reasons == ["NearlyExpired"]


def test_a_window_that_is_past() -> None:
    """A CA whose window is past wants the certificate gone: pauses are an hour, and the gate before the CA is told."""
    failed = {"lastFailureTime": to_rfc3339(NOW - 2 * HOUR), "failedIssuanceAttempts": 6}
    world = World(leaf(10 * DAY, 90 * DAY), window(-3 * DAY, -2 * DAY), **failed)
    assert world.reasons() == ["RenewalInfo"]
    assert len(world.overdue) == 1
    assert World(leaf(10 * DAY, 90 * DAY), window(-3 * DAY, DAY), **failed).reasons() == []


FAR = 3000 * DAY
WINDOWS = [
    (start, start + length)
    for start in (-FAR, -30 * DAY, -DAY, -HOUR, 0 * DAY, HOUR, DAY, 30 * DAY, 85 * DAY, 89 * DAY, 100 * DAY, FAR)
    for length in (HOUR, 2 * DAY, 10 * DAY, FAR)
]


@pytest.mark.parametrize("days", [0.25, 6, 90])
@pytest.mark.parametrize(("start", "end"), WINDOWS)
def test_whatever_the_window(start: dt.timedelta, end: dt.timedelta, days: float) -> None:
    """A window that is past renews at once, one to come does not, and with a twentieth of the life left any certificate is renewed."""
    length = days * DAY
    advised = RenewalInfo(Window(NOW + start, NOW + end, ""), None)
    middle, late = (World(leaf(length * part, length), advised).reasons() for part in (0.5, 0.96))
    assert late == ["NearlyExpired"]
    assert middle == (["RenewalInfo"] if start <= 0 * DAY else [])


@pytest.mark.parametrize("backdated", [0 * HOUR, HOUR, 2 * HOUR], ids=["not", "an hour", "two hours"])
@pytest.mark.parametrize("days", [2, 6, 90])
@pytest.mark.parametrize("moves", [True, False], ids=["always a day ago", "one day for good"])
def test_a_ca_whose_windows_are_always_past(backdated: dt.timedelta, days: float, moves: bool) -> None:
    """Such a CA gets an order a day or few more, not one after the other, though no limit counts then; a sane answer ends it."""
    length = days * DAY
    world = World(leaf(DAY / 4, length), window(-2 * DAY, -DAY))
    begun: list[dt.datetime] = []
    for _ in range(14 * 24 * 2):
        if len(world.reasons()) > len(begun):
            begun.append(world.now)
            world.pem = leaf(backdated, length, world.now, 8 + len(begun))
        world.now += HOUR / 2
        if moves:
            world.info = RenewalInfo(Window(world.now - 2 * DAY, world.now - DAY, ""), None)
    assert begun[0] == NOW
    assert len(begun) < 14 * max(1, 6 / days) + 8
    pauses = [after - before for before, after in itertools.pairwise(begun)]
    assert min(pauses[1:]) >= HOUR / 2
    world.info = RenewalInfo(Window(world.now + DAY / 4, world.now + DAY / 2, ""), None)
    world.now += DAY
    assert len(world.reasons()) > len(begun), "a window that has begun is followed as ever"
