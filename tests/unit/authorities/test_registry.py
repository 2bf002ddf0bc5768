"""Issuers and their CAs as they change: ready, repaired, gone."""

import asyncio
from typing import Any

import pytest

from issuers.authority import load_authority
from signer.api.issuer import IssuerRef
from signer.authorities import ca_secret as module
from signer.authorities.state import BAD_KEY_PAIR, NO_KEY_PAIR, SELF_SIGNED_READY, TYPE_MISSING, VERIFIED
from tests.fakes.virtual_time import virtual_time
from tests.pki import CA
from tests.unit.authorities.world import ca_secret, watching
from tests.unit.csr.crafted import FOO, NOW, ca, issuer

BAR = IssuerRef("ClusterIssuer", "", "bar")


class TestReady:
    @virtual_time
    async def test_an_issuer_and_its_secret(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An issuer is ready once its Secret was read, in whatever order the two came."""
        for first in ("issuer", "secret"):
            async with watching(monkeypatch) as world:
                world.sync()
                if first == "issuer":
                    world.put_issuer()
                    await world.settle()
                    world.put_secret(ca())
                else:
                    world.put_secret(ca())
                    await world.settle()
                    world.put_issuer()
                await world.settle()
                state = world.registry.get(FOO)
                assert state is not None
                assert state.ready
                assert state.authority is not None
                assert state.authority.certificate_pem == ca().pem
                assert world.told[-1] == FOO

    @virtual_time
    async def test_self_signed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A selfSigned issuer needs nothing."""
        async with watching(monkeypatch) as world:
            world.sync()
            world.put_issuer(issuer(FOO, {"selfSigned": {}}))
            assert world.reason() == SELF_SIGNED_READY
            assert not world.registry.is_ca_secret("cert-manager", "foo-ca")

    @virtual_time
    async def test_gone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An issuer that was deleted is not known any more, and that is told."""
        async with watching(monkeypatch) as world:
            world.sync()
            world.put_issuer()
            world.put_secret(ca())
            await world.settle()
            world.told.clear()
            world.cluster_issuers.delete("", "foo")
            assert world.registry.get(FOO) is None
            assert world.told == [FOO]
            assert not world.registry.is_ca_secret("cert-manager", "foo-ca")

    @virtual_time
    async def test_what_did_not_change_is_not_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A Secret that is written anew with the same content is parsed once, and nobody is told."""
        loads = []

        def counted(*args: Any, **more: Any) -> Any:
            loads.append(1)
            return load_authority(*args, **more)

        monkeypatch.setattr(module, "load_authority", counted)
        async with watching(monkeypatch) as world:
            world.sync()
            world.put_issuer()
            world.put_secret(ca())
            await world.settle()
            world.told.clear()
            for _ in range(5):
                world.put_secret(ca())
                await world.settle()
            assert (len(loads), world.told) == (1, [])


class TestRepair:
    @virtual_time
    async def test_deleted_and_restored(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A Secret that is deleted makes its issuer unready at once; restored, ready again."""
        async with watching(monkeypatch) as world:
            world.sync()
            world.put_issuer()
            world.put_secret(ca())
            await world.settle()
            world.secrets().delete("cert-manager", "foo-ca")
            assert world.reason() == NO_KEY_PAIR
            assert world.message() == (
                'Error getting keypair for CA issuer: secret "foo-ca" not found in namespace "cert-manager"'
            )
            world.told.clear()
            world.put_secret(ca())
            await world.settle()
            assert world.reason() == VERIFIED
            assert FOO in world.told

    @virtual_time
    async def test_repaired(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A Secret with another's key is told of; put right, its issuer is ready."""
        async with watching(monkeypatch) as world:
            world.sync()
            world.put_issuer()
            world.put_secret(ca(), tls_key=CA("other", now=NOW).key_pem)
            await world.settle()
            assert world.reason() == BAD_KEY_PAIR
            assert "Secret cert-manager/foo-ca: tls.key: it is not the key of the certificate" in world.message()
            world.put_secret(ca())
            await world.settle()
            assert world.reason() == VERIFIED

    @virtual_time
    async def test_another_ca(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A Secret that gets another CA makes the issuer sign with that one."""
        async with watching(monkeypatch) as world:
            world.sync()
            world.put_issuer()
            world.put_secret(ca())
            await world.settle()
            world.put_secret(ca("bar"))
            await world.settle()
            state = world.registry.get(FOO)
            assert state is not None
            assert state.authority is not None
            assert state.authority.certificate_pem == ca("bar").pem

    @virtual_time
    async def test_changed_while_it_was_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of two changes in a row the last one counts, although the first was still being parsed."""
        async with watching(monkeypatch) as world:
            world.sync()
            world.put_issuer()
            world.put_secret(ca())
            await asyncio.sleep(0)
            world.put_secret(ca("bar"))
            await world.settle()
            state = world.registry.get(FOO)
            assert state is not None
            assert state.authority is not None
            assert state.authority.certificate_pem == ca("bar").pem

    @virtual_time
    async def test_deleted_while_it_was_read(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A Secret that goes while its CA is parsed leaves no CA behind."""
        async with watching(monkeypatch) as world:
            world.sync()
            world.put_issuer()
            world.put_secret(ca())
            await asyncio.sleep(0)
            world.secrets().delete("cert-manager", "foo-ca")
            await world.settle()
            assert world.reason() == NO_KEY_PAIR
            assert not world.registry._loaded

    @virtual_time
    async def test_another_secret_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An issuer that names another Secret signs with that, and the former is not a CA's any more."""
        async with watching(monkeypatch) as world:
            world.sync()
            world.put_secret(ca())
            world.put_secret(ca("bar"), name="bar-ca")
            world.put_issuer()
            await world.settle()
            world.put_issuer(issuer(FOO, {"ca": {"secretName": "bar-ca"}}, version="2"))
            await world.settle()
            state = world.registry.get(FOO)
            assert state is not None
            assert state.authority is not None
            assert state.authority.certificate_pem == ca("bar").pem
            assert not world.registry.is_ca_secret("cert-manager", "foo-ca")
            assert world.registry.is_ca_secret("cert-manager", "bar-ca")

    @virtual_time
    async def test_one_secret_of_two_issuers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Two issuers on one Secret both follow it; while one of them is left it stays a CA's."""
        async with watching(monkeypatch) as world:
            world.sync()
            world.put_issuer()
            world.put_issuer(issuer(BAR, {"ca": {"secretName": "foo-ca"}}))
            world.put_secret(ca())
            await world.settle()
            assert (world.reason(FOO), world.reason(BAR)) == (VERIFIED, VERIFIED)
            world.cluster_issuers.delete("", "foo")
            assert world.registry.is_ca_secret("cert-manager", "foo-ca")
            assert world.reason(BAR) == VERIFIED

    @virtual_time
    @pytest.mark.parametrize("named", [True, False])
    @pytest.mark.parametrize("whole", [True, False])
    async def test_no_other_issuers_secret_is_meant(
        self, monkeypatch: pytest.MonkeyPatch, *, named: bool, whole: bool
    ) -> None:
        """Where a Secret is not there, one of a like name is asked for unless another issuer names it, or it is no CA's."""
        async with watching(monkeypatch) as world:
            world.sync()
            if named:
                world.put_issuer(issuer(BAR, {"ca": {"secretName": "fooo-ca"}}))
            entries = {"tls.crt": ca().pem, "tls.key": ca().key_pem} if whole else {"tls.crt": ca().pem}
            world.secrets().put(ca_secret(entries, name="fooo-ca"))
            await world.settle()
            world.put_issuer()
            await world.settle()
            assert ("is fooo-ca meant" in world.message()) == (whole and not named)

    @virtual_time
    async def test_type_taken_away(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An issuer whose type is removed is not ready."""
        async with watching(monkeypatch) as world:
            world.sync()
            world.put_issuer()
            world.put_secret(ca())
            await world.settle()
            world.put_issuer(issuer(FOO, {}, version="2"))
            assert world.reason() == TYPE_MISSING


@virtual_time
async def test_an_unforeseen_failure_tells_no_secret(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """When the reading of a CA fails in a way that nobody foresaw, its text, which may quote a key, is kept quiet."""

    def failing(*_args: object, **_more: object) -> None:
        raise RuntimeError("-----BEGIN PRIVATE KEY-----")

    monkeypatch.setattr(module, "load_authority", failing)
    async with watching(monkeypatch) as world:
        world.sync()
        world.put_issuer()
        world.put_secret(ca())
        await world.settle()
        assert world.reason() == NO_KEY_PAIR
        assert "PRIVATE KEY" not in world.message()
    assert "PRIVATE KEY" not in caplog.text
    assert "Secret cert-manager/foo-ca could not be read as a CA: unforeseen failure" in caplog.text
