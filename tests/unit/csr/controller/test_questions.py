"""Questions that the hot path asks before it decides, and what becomes of them."""

import asyncio

import pytest

from signer.csr.controller import Options
from signer.kube.errors import Forbidden, ServerError, TooManyRequests, Unreachable
from signer.tenancy.verdict import Limits
from tests.fakes.virtual_time import virtual_time
from tests.pki import csr, key, name
from tests.unit.csr.controller.scene import running
from tests.unit.csr.crafted import ISTIOD, SHOP, SHOP_SIGNER, ready, self_signed

PRIVATE_KEY = "experimental.cert-manager.io/private-key-secret-name"


class TestQuestions:
    @virtual_time
    async def test_may_reference(self) -> None:
        """A namespaced Issuer's request is written once the API server allowed the reference."""
        async with running() as scene:
            scene.registry.set(ready(SHOP))
            scene.questions.script += [True]
            scene.put(signer=SHOP_SIGNER)
            await asyncio.sleep(1)
            assert scene.questions.asked == [(SHOP, ISTIOD)]
            assert not scene.writer.writes[0].answer.refused

    @virtual_time
    async def test_may_not_reference(self) -> None:
        """Without that right it is refused."""
        async with running() as scene:
            scene.registry.set(ready(SHOP))
            scene.questions.script += [False]
            scene.put(signer=SHOP_SIGNER)
            await asyncio.sleep(1)
            assert scene.writer.writes[0].answer.refused
            assert scene.recorder.reasons == ["DeniedReference"]

    @pytest.mark.parametrize(
        ("error", "pause"),
        [
            (Unreachable("no"), 0.04),
            (ServerError(500), 0.04),
            (Forbidden(403), 0.04),
            (TooManyRequests(429, retry_after=7.0), 7.0),
        ],
        ids=["unreachable", "500", "403", "429"],
    )
    @virtual_time
    async def test_no_answer(self, error: Exception, pause: float) -> None:
        """A question without an answer is asked again, after Retry-After; nothing is refused for it."""
        async with running() as scene:
            scene.registry.set(ready(SHOP))
            scene.questions.script += [error, True]
            scene.put(signer=SHOP_SIGNER)
            await scene.until(lambda: scene.writer.writes)
            (write,) = scene.writer.writes
            assert not write.answer.refused
            assert scene.at >= pause

    @virtual_time
    async def test_an_answer_for_an_older_version(self) -> None:
        """What was asked for one version of a request is not used for another: its annotations may name another key."""
        own = key("p256", n=81)
        async with running(issuer=False) as scene:
            scene.registry.set(self_signed())
            scene.questions.script += [key("p256", n=82), own]
            scene.questions.hold.clear()
            asked = csr(own, dns=["own.example"], subject=name("own"))
            scene.put(request=asked, annotations={PRIVATE_KEY: "wrong"})
            await asyncio.sleep(1)
            scene.put(request=asked, annotations={PRIVATE_KEY: "right"}, version="8")
            scene.questions.hold.set()
            await asyncio.sleep(1)
            assert scene.questions.asked == [("cert-manager", "wrong"), ("cert-manager", "right")]
            (write,) = scene.writer.writes
            assert not write.answer.refused

    @virtual_time
    async def test_deleted_while_asking(self) -> None:
        """A request that goes away during its question is not answered."""
        async with running() as scene:
            scene.registry.set(ready(SHOP))
            scene.questions.script += [True]
            scene.questions.hold.clear()
            scene.put(signer=SHOP_SIGNER)
            await asyncio.sleep(1)
            scene.reflector.delete("request-1")
            scene.questions.hold.set()
            await asyncio.sleep(60)
            assert scene.writer.writes == []


@virtual_time
async def test_the_wall_is_asked() -> None:
    """What the operator does not allow at all is refused, whoever asks."""
    options = Options("cert-manager", Limits(allow_ca_requests=False))
    async with running(options=options) as scene:
        scene.put(annotations={"experimental.cert-manager.io/request-is-ca": "true"})
        await asyncio.sleep(1)
        assert scene.recorder.reasons == ["CARequestsNotAllowed"]
        assert scene.writer.writes[0].answer.refused
