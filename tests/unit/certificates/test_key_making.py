"""Large keys are made apart, in turns, and given to whoever still wants them."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from issuers.private_key import generate_key
from issuers.x509.keys import PrivateKey
from signer.certificates.key_making import KeyMaking, WantedKey
from signer.certificates.objects import Key


class Bench:
    """A maker whose keys are done when the test says so; `begun` has the sizes in order."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.ready: list[Key] = []
        self._go = threading.Semaphore(0)
        self.error: Exception | None = None
        self.making = KeyMaking(self.ready.append, generate=self._generate)

    def _generate(self, _algorithm: str, size: int) -> PrivateKey:
        self.begun.append(size)
        assert self._go.acquire(timeout=60)
        if self.error is not None:
            raise self.error
        return generate_key("RSA", 2048)

    async def finish(self, count: int = 1) -> None:
        """Let so many be done."""
        for _ in range(count):
            before = len(self.ready)
            self._go.release()
            while len(self.ready) == before:  # noqa: ASYNC110 - a thread sets no event of the loop
                await asyncio.sleep(0.001)

    def release(self) -> None:
        """Let a key be done that nobody waits for."""
        self._go.release()

    async def began(self, count: int) -> None:
        """Wait until so many were begun."""
        while len(self.begun) < count:  # noqa: ASYNC110 - the same
            await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def running(bench: Bench) -> AsyncIterator[None]:
    task = asyncio.create_task(bench.making.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        for _ in range(100):
            bench.release()


def wish(size: int = 8192, uid: str = "u") -> WantedKey:
    return WantedKey(uid, "RSA", size)


@pytest.mark.parametrize(
    ("algorithm", "size", "slow"),
    [("RSA", 2048, False), ("RSA", 3072, True), ("RSA", 4096, True), ("RSA", 8192, True), ("ECDSA", 521, False)],
)
def test_which_are_made_apart(algorithm: str, size: int, *, slow: bool) -> None:
    """RSA keys of more than the usual size are, others are not."""
    assert WantedKey("u", algorithm, size).slow is slow


async def test_taken_once() -> None:
    """The first call has the key made, the next one after it is ready gets it, and a further one a new one."""
    bench = Bench()
    async with running(bench):
        assert bench.making.take(("a", "x"), wish()) is None
        assert bench.making.take(("a", "x"), wish()) is None
        await bench.finish()
        assert bench.ready == [("a", "x")]
        assert isinstance(bench.making.take(("a", "x"), wish()), rsa.RSAPrivateKey)
        assert bench.begun == [8192]
        assert bench.making.take(("a", "x"), wish()) is None


@pytest.mark.heavy
async def test_in_turns() -> None:
    """Sixteen large keys of one namespace delay another namespace's one by the one that is being made."""
    bench = Bench()
    async with running(bench):
        for number in range(16):
            bench.making.take(("a", f"x{number}"), wish())
        await bench.began(1)
        bench.making.take(("b", "y"), wish())
        await bench.finish(3)
        assert ("b", "y") in bench.ready


async def test_medium_ones_have_a_place_of_their_own() -> None:
    """A key of 4096 bits does not wait for one of 8192."""
    bench = Bench()
    async with running(bench):
        bench.making.take(("a", "x"), wish())
        await bench.began(1)
        bench.making.take(("b", "y"), wish(4096))
        await bench.began(2)
        assert bench.begun == [8192, 4096]


@pytest.mark.heavy
async def test_changed_and_given_up() -> None:
    """A key for a wish that changed is not given; one that nobody wants is not made, or is dropped."""
    bench = Bench()
    async with running(bench):
        bench.making.take(("a", "x"), wish(uid="before"))
        await bench.began(1)
        bench.making.take(("a", "x"), wish(uid="after"))
        bench.making.take(("a", "gone"), wish())
        bench.making.forget(("a", "gone"))
        bench.release()
        await bench.began(2)
        assert bench.ready == []
        await bench.finish()
        assert bench.ready == [("a", "x")]
        assert bench.making.take(("a", "x"), wish(uid="after")) is not None
        assert len(bench.begun) == 2


async def test_a_failure_is_told() -> None:
    """What making a key raised is raised where it is taken, once; then it is tried again."""
    bench = Bench()
    bench.error = ValueError("no entropy")
    async with running(bench):
        bench.making.take(("a", "x"), wish())
        await bench.finish()
        with pytest.raises(ValueError, match="no entropy"):
            bench.making.take(("a", "x"), wish())
        assert bench.making.take(("a", "x"), wish()) is None
