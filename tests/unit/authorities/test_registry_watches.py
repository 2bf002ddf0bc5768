"""What the registry watches, when it has read all, and what time does to a CA."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from issuers.authority import load_authority
from signer.authorities import ca_secret as module
from signer.authorities.state import BAD_KEY_PAIR, NO_KEY_PAIR, PENDING, VERIFIED
from tests.fakes.virtual_time import virtual_time
from tests.pki import CA
from tests.unit.authorities.world import watching
from tests.unit.csr.crafted import DAY, FOO, NOW, SHOP, ca, issuer


class TestTime:
    @virtual_time
    async def test_expires(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A CA that ends makes its issuer unready in that second, without any change in the cluster."""
        async with watching(monkeypatch) as world:
            world.sync()
            world.put_issuer()
            world.put_secret(CA("short", now=NOW, not_after=NOW + timedelta(hours=5)))
            await world.settle()
            await asyncio.sleep(5 * 3600 - 10)
            assert world.reason() == VERIFIED
            world.told.clear()
            await asyncio.sleep(10)
            assert world.reason() == BAD_KEY_PAIR
            assert world.message() == (
                "Secret cert-manager/foo-ca: tls.crt: the CA certificate expired at 2026-11-22T17:00:00Z"
            )
            assert world.told == [FOO]

    @virtual_time
    async def test_not_yet_valid(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A CA whose time has not begun is looked at again until it has."""
        async with watching(monkeypatch) as world:
            world.sync()
            world.put_issuer()
            world.put_secret(CA("early", now=NOW, not_before=NOW + timedelta(minutes=10), not_after=NOW + 30 * DAY))
            await world.settle()
            assert world.reason() == BAD_KEY_PAIR
            assert "is valid from 2026-11-22T12:10:00Z" in world.message()
            await asyncio.sleep(595)
            assert world.reason() == BAD_KEY_PAIR
            await asyncio.sleep(40)
            assert world.reason() == VERIFIED

    @virtual_time
    async def test_one_look_at_a_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """However often a CA that is not yet valid is changed, it is parsed once in half a minute, not once a change."""
        loads = []

        def counted(*args: Any, **more: Any) -> Any:
            loads.append(1)
            return load_authority(*args, **more)

        monkeypatch.setattr(module, "load_authority", counted)
        async with watching(monkeypatch) as world:
            world.sync()
            world.put_issuer()
            early = CA("early", now=NOW, not_before=NOW + DAY, not_after=NOW + 30 * DAY)
            for n in range(20):
                world.put_secret(early, tls_crt=early.pem + b"\n" * n)
                await world.settle()
            loads.clear()
            await asyncio.sleep(300)
            assert 9 <= len(loads) <= 11
            world.cluster_issuers.delete("", "foo")
            loads.clear()
            await asyncio.sleep(300)
            assert loads == []


class TestStart:
    @virtual_time
    async def test_a_secret_that_changes_all_the_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A tenant who changes his Secret for ever does not hold up the others' start."""
        async with watching(monkeypatch) as world:
            world.put_issuer(issuer(SHOP))
            world.put_secret(ca(), namespace="shop", name="shop-ca")
            never = asyncio.get_running_loop().create_future()
            world.registry._loading["shop", "changing"] = asyncio.ensure_future(never)  # a load that never ends
            world.sync()
            await asyncio.sleep(11)
            assert world.registry.synced.is_set()
            never.cancel()


class TestClock:
    @virtual_time
    async def test_put_right(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A clock that was wrong for a while makes a CA unready, and ready again when it is right, by itself."""
        async with watching(monkeypatch) as world:
            world.sync()
            world.put_issuer()
            world.put_secret(ca())
            await world.settle()
            assert world.reason() == VERIFIED
            right = world.registry._clock
            world.registry._clock = lambda: NOW + timedelta(days=36500)
            world.put_issuer(issuer(FOO, version="2"))
            assert world.reason() == BAD_KEY_PAIR
            world.registry._clock = right
            await asyncio.sleep(31)
            assert world.reason() == VERIFIED


class TestNamespaces:
    @virtual_time
    async def test_only_where_needed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Secrets are watched in the cluster resource namespace, and where a `ca` Issuer is."""
        async with watching(monkeypatch) as world:
            world.sync()
            world.put_issuer(issuer(SHOP, {"selfSigned": {}}))
            assert world.watched_namespaces() == {"cert-manager"}
            world.put_issuer(issuer(SHOP, version="2"))
            await world.settle()
            assert world.watched_namespaces() == {"cert-manager", "shop"}
            assert world.secrets("shop").running

    @virtual_time
    async def test_no_longer_than_needed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The watch of a namespace's Secrets ends with its last `ca` Issuer."""
        async with watching(monkeypatch) as world:
            world.sync()
            world.put_issuer(issuer(SHOP))
            await world.settle()
            watch = world.secrets("shop")
            world.issuers.delete("shop", SHOP.name)
            await world.settle()
            assert not watch.running

    @virtual_time
    async def test_an_issuers_secret_is_its_namespaces(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An Issuer never signs with a Secret of the cluster resource namespace, whatever its name."""
        async with watching(monkeypatch) as world:
            world.sync()
            world.put_issuer(issuer(SHOP))
            world.put_secret(ca("ca"), name="ca-ca")
            world.sync()
            await world.settle()
            assert world.reason(SHOP) == NO_KEY_PAIR
            world.put_secret(ca("ca"), "shop", "ca-ca")
            await world.settle()
            assert world.reason(SHOP) == VERIFIED

    @virtual_time
    async def test_secrets_that_may_not_be_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A namespace whose Secrets may not be read is told of by its issuers, and holds up nobody else."""
        async with watching(monkeypatch) as world:
            world.put_issuer()
            world.put_secret(ca())
            world.put_issuer(issuer(SHOP))
            for reflector in (world.cluster_issuers, world.issuers, world.secrets()):
                reflector.sync()
            await asyncio.sleep(1)
            assert not world.registry.synced.is_set()
            world.secrets("shop").trouble = "Forbidden 403 Forbidden: secrets is forbidden"
            await world.settle()
            assert world.registry.synced.is_set()
            assert world.reason(FOO) == VERIFIED
            assert world.reason(SHOP) == NO_KEY_PAIR
            assert "secrets is forbidden" in world.message(SHOP)

    @virtual_time
    async def test_handlers_of_secrets(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every watched Secret's change is told, a CA's or not: a self-signed request may wait for it."""
        async with watching(monkeypatch) as world:
            world.sync()
            world.put_secret(ca(), name="own-key")
            world.secrets().delete("cert-manager", "own-key")
            assert world.secrets_told == [("cert-manager", "own-key")] * 2


class TestSync:
    @virtual_time
    async def test_when_everything_was_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """`synced` comes after issuers, Secrets and CAs, so that nobody is told of an issuer that is only unread."""
        async with watching(monkeypatch) as world:
            world.put_issuer()
            assert world.reason() == PENDING
            world.cluster_issuers.sync()
            await asyncio.sleep(1)
            assert not world.registry.synced.is_set()
            world.issuers.sync()
            await asyncio.sleep(1)
            assert not world.registry.synced.is_set()
            assert world.reason() == PENDING
            world.put_secret(ca())
            world.secrets().sync()
            await world.settle()
            assert world.registry.synced.is_set()
            assert world.reason() == VERIFIED

    @virtual_time
    async def test_a_missing_secret_is_known_after_the_list(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """That a Secret is missing is said only once its namespace was listed."""
        async with watching(monkeypatch) as world:
            world.put_issuer()
            assert world.reason() == PENDING
            world.sync()
            assert world.reason() == NO_KEY_PAIR

    @virtual_time
    async def test_restarts_are_counted_by_resource(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A watch that had to be opened again is told with its resource's name."""
        async with watching(monkeypatch) as world:
            for reflector in (world.cluster_issuers, world.issuers, world.secrets()):
                reflector.on_restart("eof")
            assert world.restarts == ["clusterissuers", "issuers", "secrets"]
