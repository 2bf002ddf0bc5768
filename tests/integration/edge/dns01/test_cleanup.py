"""What is taken away after DNS-01, by whom, and what comes of what cannot be."""

import pytest

from signer.api.challenge import CHALLENGES
from signer.edge.dns01.presenter import NOTE
from tests.integration.edge.zones import SLOW, Servers, asked, given_up, issuer, key, rfc2136, tidied, told
from tests.integration.slow_controllers import World
from tests.localmesh.pebble import Pebble

pytestmark = pytest.mark.integration


async def test_a_restart_takes_away_what_was_written(zoned: World, zone_ca: Pebble, servers: Servers) -> None:
    """A process that ends after it wrote a record is followed by one that takes it away when the Certificate goes."""
    record = f"_acme-challenge.killed.{SLOW}"
    await key(zoned, servers.first.secret)
    await asked(zoned, await issuer(zoned, zone_ca, rfc2136(servers.first)), f"killed.{SLOW}")
    await told(zoned, "does not have the value yet")
    await zoned.stop()
    assert len(servers.first.txt(record)) == 1
    await given_up(zoned)
    await zoned.start()
    await tidied(zoned)
    assert servers.first.txt(record) == set()


async def test_a_server_that_is_away_at_the_end(zoned: World, zone_ca: Pebble, servers: Servers) -> None:
    """What cannot be taken away now is told by an Event, keeps the Challenge, and goes when the server is back."""
    record = f"_acme-challenge.stays.{SLOW}"
    await key(zoned, servers.first.secret)
    await asked(zoned, await issuer(zoned, zone_ca, rfc2136(servers.first)), f"stays.{SLOW}")
    await told(zoned, "does not have the value yet")
    (challenge,) = await zoned.list("Challenge")
    name = challenge["metadata"]["name"]
    servers.first.stop()
    try:
        await given_up(zoned)

        async def tried() -> bool:
            return "UpdateFailed" in await zoned.events(name)

        await zoned.until("an Event", tried)
        assert await zoned.get("Challenge", name)
    finally:
        servers.first.start()
    assert len(servers.first.txt(record)) == 1
    await tidied(zoned)
    assert servers.first.txt(record) == set()


async def test_an_issuer_that_is_gone(zoned: World, zone_ca: Pebble, servers: Servers) -> None:
    """Without its issuer nobody can take a record away: the Challenge goes all the same, and the record is told."""
    record = f"_acme-challenge.orphan.{SLOW}"
    await key(zoned, servers.first.secret)
    issuer_name = await issuer(zoned, zone_ca, rfc2136(servers.first))
    await asked(zoned, issuer_name, f"orphan.{SLOW}")
    await told(zoned, "does not have the value yet")
    (challenge,) = await zoned.list("Challenge")
    await zoned.delete("ClusterIssuer", issuer_name)
    await given_up(zoned)
    await tidied(zoned)

    async def event() -> bool:
        return "LeftBehind" in await zoned.events(challenge["metadata"]["name"])

    await zoned.until("an Event", event)
    assert len(servers.first.txt(record)) == 1
    servers.first.remove(SLOW, record, "TXT")


async def test_a_forged_challenge_changes_nothing(zoned: World, zone_ca: Pebble, servers: Servers) -> None:
    """A Challenge that somebody wrote does not take another's value away, though it names issuer, solver and name."""
    record = f"_acme-challenge.forged.{SLOW}"
    await key(zoned, servers.first.secret)
    await asked(zoned, await issuer(zoned, zone_ca, rfc2136(servers.first)), f"forged.{SLOW}")
    await told(zoned, "does not have the value yet")
    (real,) = await zoned.list("Challenge")
    meta = {
        "name": "forged",
        "namespace": zoned.namespace,
        "annotations": {NOTE: real["metadata"]["annotations"][NOTE]},
        "finalizers": real["metadata"]["finalizers"],
    }
    await zoned.client.create(CHALLENGES, {"metadata": meta, "spec": real["spec"]})
    status = {"status": {"presented": True, "processing": True, "state": "valid"}}
    await zoned.edit("Challenge", "forged", status, "status")
    await zoned.delete("Challenge", "forged")

    async def gone() -> bool:
        return await zoned.get("Challenge", "forged") is None

    await zoned.until("the forged Challenge is gone", gone)
    assert len(servers.first.txt(record)) == 1
