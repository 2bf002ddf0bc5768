"""A resource that may not be served: absence is an answer, a refusal and an error are none."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from signer.api.proxyconfig import PROXY_CONFIGS
from signer.kube.client import ApiClient
from signer.kube.discovery.served import Served, locate, locate_newest
from signer.kube.encoding.codec import JsonCodec
from signer.kube.reflector import GOOD_CONNECTION, Change
from tests.fakes.apiserver import FakeApiServer, Reply, page, status, thing
from tests.fakes.following import THINGS, Thing
from tests.fakes.virtual_time import virtual_time

THERE = Reply(body=json.dumps({"groupVersion": "example.dev/v1", "resources": [{"name": "things"}]}).encode())
OTHERS = Reply(body=json.dumps({"groupVersion": "example.dev/v1", "resources": [{"name": "others"}]}).encode())
MISSING = status(404, "NotFound")
DOWN = status(500, "InternalError")


@dataclass
class Seen:
    """What a Served told, and itself."""

    served: Served[Thing]
    changes: list[Change[Thing]]
    told_absent: list[None]

    @property
    def absences(self) -> int:
        return len(self.told_absent)

    async def until(self, ready: Callable[[], object]) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + 600
        while not ready():
            assert loop.time() < end, "it did not come to pass"
            await asyncio.sleep(0.5)


async def in_trouble(seen: Seen) -> None:
    """Let it be as when the watch was refused since its resource is not there; one that lasts has shown that it works."""
    await asyncio.sleep(2 * GOOD_CONNECTION)
    assert seen.served._reflector is not None
    seen.served._reflector._trouble = "NotFound"


@asynccontextmanager
async def served(*replies: Reply, remedy: str = "") -> AsyncIterator[Seen]:
    loop = asyncio.get_running_loop()
    server = FakeApiServer(others=list(replies))
    async with server, ApiClient(server.config, clock=loop.time) as client:
        changes: list[Change[Thing]] = []
        absences: list[None] = []
        made = Served(
            "Things",
            client,
            locate(THINGS),
            JsonCodec(Thing),
            changes.append,
            on_absent=lambda: absences.append(None),
            clock=loop.time,
            remedy=remedy,
        )
        seen = Seen(made, changes, absences)
        running = asyncio.create_task(made.run())
        try:
            yield seen
        finally:
            running.cancel()
            await asyncio.wait([running])


@virtual_time
async def test_what_appears_late() -> None:
    """A definition that is not there is known to be empty; one that appears is followed."""
    async with served(MISSING, OTHERS, THERE, page(thing("a"))) as seen:
        await seen.until(lambda: seen.served.known)
        assert (seen.served.absent, seen.absences, seen.served.resource) == (True, 1, None)
        await seen.until(lambda: seen.served.store)
        assert [change.kind for change in seen.changes] == ["added", "synced"]
        assert (seen.served.absent, seen.served.resource) == (False, THINGS)


@pytest.mark.parametrize(("remedy", "level"), [("", "INFO"), ("apply the CRDs", "WARNING")])
@virtual_time
async def test_what_has_to_be_there(remedy: str, level: str, caplog: pytest.LogCaptureFixture) -> None:
    """A definition that has to be there and is not is warned of, with what to do; one that may be missing is mentioned."""
    caplog.set_level(logging.INFO)
    async with served(MISSING, OTHERS, remedy=remedy) as seen:
        await seen.until(lambda: seen.served.absent)
    (line,) = [one for one in caplog.records if "not served" in one.getMessage()]
    assert line.levelname == level
    assert line.getMessage() == "Things are not served" + (f": {remedy}" if remedy else "")


@virtual_time
async def test_an_error_is_no_absence() -> None:
    """A server that cannot tell whether it is served leaves it unknown, and says why."""
    async with served(DOWN, DOWN, MISSING) as seen:
        await seen.until(lambda: seen.served.trouble)
        assert not seen.served.known
        assert seen.absences == 0
        await seen.until(lambda: seen.served.known)
        assert seen.served.trouble == ""


@virtual_time
async def test_a_refusal_is_no_absence() -> None:
    """What is served and may not be listed is not known, also if it was absent before."""
    async with served(MISSING, THERE, *[status(403, "Forbidden")] * 40) as seen:
        await seen.until(lambda: "Forbidden" in seen.served.trouble)
        assert not seen.served.known
        assert seen.absences == 1


@virtual_time
async def test_what_vanishes() -> None:
    """What was served must be missing twice in a row: a server that just starts may not know of it yet."""
    gone = status(404, "NotFound")
    # List, then the list after a watch that broke; in between it is asked for.
    async with served(THERE, page(thing("a")), *[gone] * 40) as seen:
        await seen.until(lambda: seen.served.store)
        await in_trouble(seen)
        await seen.until(lambda: seen.served.absent)
        assert seen.absences == 1
        assert seen.served.store == {}


@virtual_time
async def test_missing_once() -> None:
    """Missing once, and there the next time: nothing is forgotten."""
    async with served(THERE, page(thing("a")), MISSING, *[THERE] * 40) as seen:
        await seen.until(lambda: seen.served.store)
        await in_trouble(seen)
        await asyncio.sleep(20)
        assert (seen.absences, len(seen.served.store)) == (0, 1)


@virtual_time
async def test_the_version_of_proxy_configs() -> None:
    """Of the versions that a group serves those with ProxyConfigs count, and of them the most stable one."""

    def document(version: str, *names: str) -> Reply:
        body = {"groupVersion": f"networking.istio.io/{version}", "resources": [{"name": name} for name in names]}
        return Reply(body=json.dumps(body).encode())

    group = {"versions": [{"version": "v1"}, {"version": "v1beta1"}, {"version": "v1alpha3"}]}
    replies = [
        Reply(body=json.dumps(group).encode()),
        document("v1", "gateways"),
        document("v1beta1", "proxyconfigs", "gateways"),
        document("v1alpha3", "proxyconfigs"),
    ]
    server = FakeApiServer(others=replies)
    async with server, ApiClient(server.config) as client:
        found = await locate_newest(PROXY_CONFIGS)(client)
        assert found is not None
        assert found.path() == "/apis/networking.istio.io/v1beta1/proxyconfigs"
        server.others.append(MISSING)
        assert await locate_newest(PROXY_CONFIGS)(client) is None
