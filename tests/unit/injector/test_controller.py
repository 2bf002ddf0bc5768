"""The injector over an API server that fails as it likes: everybody gets the CA in the end, and nothing else is ever written."""

import asyncio
from typing import cast

import msgspec
import pytest

from signer.api.casource import CA_SOURCES, CASourceSpec, source_name
from signer.api.injectable import (
    INJECT_API_SERVER_CA,
    INJECT_CA_FROM_SECRET,
    INJECTABLES,
    VALIDATING_WEBHOOKS,
)
from signer.injector.controller import PATIENCE_SECONDS
from signer.injector.rival import Rival
from signer.kube.client import ApiClient
from signer.kube.errors import Unreachable, api_error
from signer.kube.reflector import Change
from tests.fakes.virtual_time import virtual_time
from tests.unit.injector.faulty import FIRST, OWN, SECOND, SOURCE, Faulty, Json, Running, injectable


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(40))
def test_whatever_fails_everybody_gets_the_ca(seed: int) -> None:
    """Over any mixture of failures, lost answers and others' writes, all end with the CA, and no write changes anything else."""

    @virtual_time
    async def run() -> None:
        server = Faulty(seed, faulty=True)
        running = Running(server)
        for resource in INJECTABLES:
            running.put(resource, "secret", {INJECT_CA_FROM_SECRET: "a/b"})
            running.put(resource, "own", {INJECT_API_SERVER_CA: "true"})
            running.put(resource, "broken", {INJECT_CA_FROM_SECRET: "nothing"})
        async with running.at_work():
            await asyncio.sleep(2000)
            assert running.answer(SOURCE, FIRST)
            await asyncio.sleep(2000)
            server.faulty = False
            assert running.answer(SOURCE, SECOND)
            await asyncio.sleep(8000)
        for resource in INJECTABLES:
            assert running.bundles(resource, "secret") == {SECOND}
            assert running.bundles(resource, "own") == {OWN}
            assert running.bundles(resource, "broken") == {b""}
        assert (running.counted("Injected"), running.counted("InvalidAnnotation")) == (8, 4)
        assert running.counted("WriteRefused") == 0
        settled = len(server.patches)
        async with running.at_work():
            for resource in INJECTABLES:
                for name in ("secret", "own", "broken"):
                    running.queue.add((resource.plural, name))
            await asyncio.sleep(1000)
        assert len(server.patches) == settled

    run()


@virtual_time
async def test_questions_come_and_go() -> None:
    """One question is asked for one source, asked again when somebody deletes it, and taken away with its last user."""
    running = Running(Faulty())
    key = (CA_SOURCES.plural, source_name(SOURCE))
    objects = running.server.objects
    stranger = CASourceSpec(kind="Secret", namespace="x", name="y")
    running.server.store(CA_SOURCES, {"metadata": {"name": "stray", "uid": "u"}, "spec": msgspec.to_builtins(stranger)})
    running.put(VALIDATING_WEBHOOKS, "one", {INJECT_CA_FROM_SECRET: "a/b"})
    running.put(VALIDATING_WEBHOOKS, "two", {INJECT_CA_FROM_SECRET: "a/b"})
    async with running.at_work():
        await asyncio.sleep(1)
        assert set(objects) - {(VALIDATING_WEBHOOKS.plural, "one"), (VALIDATING_WEBHOOKS.plural, "two")} == {key}
        running.server.remove(CA_SOURCES, key[1])
        await asyncio.sleep(1)
        assert key in objects
        running.server.remove(VALIDATING_WEBHOOKS, "one")
        await asyncio.sleep(1)
        assert key in objects
        running.put(VALIDATING_WEBHOOKS, "two", {"other": "x"})
        await asyncio.sleep(1)
        assert key not in objects


@virtual_time
async def test_nothing_is_taken_away_before_all_is_read() -> None:
    """A question that nobody seems to ask stays while any kind of object was not read yet."""
    running = Running(Faulty())
    running.watched.objects[VALIDATING_WEBHOOKS].synced.clear()
    running.server.store(
        CA_SOURCES, {"metadata": {"name": source_name(SOURCE), "uid": "u"}, "spec": msgspec.to_builtins(SOURCE)}
    )
    async with running.at_work():
        await asyncio.sleep(100)
        assert (CA_SOURCES.plural, source_name(SOURCE)) in running.server.objects
        reflector = running.watched.objects[VALIDATING_WEBHOOKS]
        reflector.synced.set()
        reflector._tell(Change("synced", ("", ""), None, None))
        await asyncio.sleep(1)
        assert (CA_SOURCES.plural, source_name(SOURCE)) not in running.server.objects


@virtual_time
async def test_controllers_that_do_not_answer() -> None:
    """An answer that does not come is told after half a minute, with what to look at; one that comes is followed."""
    running = Running(Faulty())
    running.put(VALIDATING_WEBHOOKS, "one", {INJECT_CA_FROM_SECRET: "a/b"})
    async with running.at_work():
        await asyncio.sleep(PATIENCE_SECONDS - 1)
        assert running.server.events == []
        await asyncio.sleep(5)
        ((name, reason, message),) = running.server.events
        assert (name, reason) == ("one", "Waiting")
        assert "casources" in message
        running.answer(SOURCE, FIRST)
        await asyncio.sleep(1)
        assert running.bundles(VALIDATING_WEBHOOKS, "one") == {FIRST}


@virtual_time
async def test_an_answer_without_a_ca() -> None:
    """An answer that says why there is none is told once, and what was injected before stays; a forged one is not believed."""
    running = Running(Faulty())
    running.put(VALIDATING_WEBHOOKS, "one", {INJECT_CA_FROM_SECRET: "a/b"})
    async with running.at_work():
        await asyncio.sleep(1)
        running.answer(SOURCE, FIRST)
        await asyncio.sleep(1)
        for _ in range(3):
            running.answer(SOURCE, b"", "SecretNotFound")
            await asyncio.sleep(1)
        running.answer(SOURCE, b"no certificates")
        await asyncio.sleep(1)
        assert running.bundles(VALIDATING_WEBHOOKS, "one") == {FIRST}
        assert [reason for _, reason, _ in running.server.events] == ["Injected", "SecretNotFound", "InvalidCA"]


@virtual_time
async def test_somebody_who_undoes_it() -> None:
    """Two who undo each other write a dozen times in an hour, not without end, and the other one is named."""
    running = Running(Faulty())
    running.put(VALIDATING_WEBHOOKS, "one", {INJECT_API_SERVER_CA: "true"})
    entry = {"manager": "some-sync", "fieldsV1": {"f:webhooks": {"f:caBundle": {}}}}
    async with running.at_work():
        for _ in range(3600):
            await asyncio.sleep(1)
            if running.bundles(VALIDATING_WEBHOOKS, "one") == {OWN}:
                undone = injectable(VALIDATING_WEBHOOKS, "one", {INJECT_API_SERVER_CA: "true"})
                undone["metadata"]["managedFields"] = [entry]
                running.server.store(VALIDATING_WEBHOOKS, undone)
    assert 4 <= len(running.server.patches) <= 13
    conflicts = [message for _, reason, message in running.server.events if reason == "FieldConflict"]
    assert conflicts
    assert all("'some-sync'" in message for message in conflicts)


@pytest.mark.heavy
@virtual_time
async def test_a_ca_that_changes_all_the_time() -> None:
    """A source that changes every second is followed in a dozen writes an hour, and is said to do so; the last CA arrives."""
    running = Running(Faulty())
    running.put(VALIDATING_WEBHOOKS, "one", {INJECT_CA_FROM_SECRET: "a/b"})
    async with running.at_work():
        await asyncio.sleep(1)
        for number in range(3600):
            running.answer(SOURCE, (FIRST, SECOND)[number % 2])
            await asyncio.sleep(1)
        assert 4 <= len(running.server.patches) <= 13
        assert {reason for _, reason, _ in running.server.events} == {"Injected", "SourceChanges"}
        await asyncio.sleep(3700)
        assert running.bundles(VALIDATING_WEBHOOKS, "one") == {SECOND}


def lease(holder: str, version: int) -> Json:
    return {
        "metadata": {"resourceVersion": str(version)},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 60},
    }


@virtual_time
async def test_while_cert_managers_cainjector_lives() -> None:
    """It is there while its Lease changes or is fresh, in either namespace; one that nobody renews any more runs out."""
    server, told = Faulty(), list[str]()
    rival = Rival(cast("ApiClient", server), ("kube-system", "cert-manager", "kube-system"), told.append)
    assert rival.trouble
    await rival.look()
    assert rival.trouble == ""
    server.leases["cert-manager"] = lease("it", 1)
    await rival.until(present=True)
    assert "Lease cert-manager/cert-manager-cainjector-leader-election, held by it" in rival.trouble
    for version in range(2, 40):
        server.leases["cert-manager"] = lease("it", version)
        await asyncio.sleep(10)
        await rival.look()
        assert rival.trouble
    before = asyncio.get_running_loop().time()
    await rival.until(present=False)
    assert 55 <= asyncio.get_running_loop().time() - before <= 70
    server.leases["kube-system"] = lease("it", 50)
    await rival.until(present=True)
    server.leases["kube-system"] = lease("", 51)
    await rival.until(present=False)
    assert len(told) == 5


@pytest.mark.parametrize("error", [api_error(403, "Forbidden", "no"), Unreachable("cut off"), api_error(500)])
def test_who_cannot_tell_whether_it_lives(error: Exception) -> None:
    """Nothing begins before it is known that nobody else injects; what was known counts while it cannot be asked."""

    @virtual_time
    async def run() -> None:
        server = Faulty()
        server.leases["kube-system"] = error
        rival = Rival(cast("ApiClient", server), ("kube-system",), lambda _text: None)
        await rival.look()
        assert "cannot see" in rival.trouble
        del server.leases["kube-system"]
        await rival.look()
        assert rival.trouble == ""
        server.leases["kube-system"] = error
        await rival.look()
        assert rival.trouble == ""

    run()
