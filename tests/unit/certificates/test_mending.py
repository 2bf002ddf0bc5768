"""How often a Certificate whose refusals are mended asks again."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from signer.api.certificaterequest import CertificateRequest
from signer.certificates.mending import LOOK_AGAIN, Mending
from signer.certificates.requests.again import mendable
from signer.certificates.well_known import REFUSED
from signer.kube.pacing import FREE, Pacing
from tests.examples import examples
from tests.unit.certificates import samples
from tests.unit.certificates.samples import NOW


def request(*conditions: str) -> CertificateRequest:
    """The request of the issuance after the sample's, with these conditions True."""
    meta = {
        "name": "r",
        "namespace": "shop",
        "annotations": {"cert-manager.io/certificate-revision": "99"},
    }
    listed = [{"type": one, "status": "True", "reason": "RequestNotAllowed"} for one in conditions]
    return msgspec.convert({"metadata": meta, "spec": {}, "status": {"conditions": listed}}, CertificateRequest)


class Around:
    """The parts that Mending works with. `allowed` is what the wall would say."""

    def __init__(self, *conditions: str) -> None:
        self.allowed = True
        self.asked = 0
        self.later: list[float] = []
        self.events: list[str] = []
        one = request(*conditions)
        watched: Any = SimpleNamespace(requests_of=lambda _certificate: [one])
        objects: Any = SimpleNamespace(emitter=lambda *_about: lambda *event: self.events.append(event[1]))
        queue: Any = SimpleNamespace(add_after=lambda _key, seconds: self.later.append(seconds))
        self.mending = Mending(watched, objects, queue, Pacing())
        self.mending.again = self  # type: ignore[assignment]  # it is only asked `passes`

    async def passes(self, _request: CertificateRequest) -> bool:
        self.asked += 1
        return self.allowed


def failed_at(seconds: float) -> Any:
    moment = (NOW + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return samples.with_status(samples.certificate(), lastFailureTime=moment, failedIssuanceAttempts=1)


async def test_only_what_others_can_mend() -> None:
    """What was denied, or can never be signed, or failed otherwise is not asked again before its time."""
    for conditions in ((), ("Denied", REFUSED), ("InvalidRequest", REFUSED)):
        around = Around(*conditions)
        assert not mendable(request(*conditions))
        assert not await around.mending.mended(failed_at(0), NOW + timedelta(minutes=5))
        assert around.asked == 0


async def test_not_at_once() -> None:
    """A refusal of a moment ago is left alone for a moment; then the wall is asked, and says when it goes on."""
    around = Around(REFUSED)
    assert not await around.mending.mended(failed_at(0), NOW)
    assert (around.asked, around.later) == (0, [LOOK_AGAIN.total_seconds()])
    around.allowed = False
    assert not await around.mending.mended(failed_at(0), NOW + LOOK_AGAIN)
    assert around.events == []
    around.allowed = True
    assert await around.mending.mended(failed_at(0), NOW + LOOK_AGAIN)
    assert around.events == ["RefusalMended"]


@settings(max_examples=examples(20))
@given(st.lists(st.integers(1, 60), min_size=400, max_size=400))
def test_to_and_fro(waits: list[int]) -> None:
    """Who mends it and takes that back all the time makes few requests: the pause doubles, up to an hour."""

    async def play() -> None:
        around, seconds, made, failed = Around(REFUSED), 0, 0, 0
        for wait in waits:
            seconds += wait
            if await around.mending.mended(failed_at(failed), NOW + timedelta(seconds=seconds)):
                made, failed = made + 1, seconds
        assert made <= FREE + 10 + seconds // 3600

    asyncio.run(play())
