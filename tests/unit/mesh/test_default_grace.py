"""The grace of the mesh's default: for a namespace that had its certificates before it claimed a signer, and for nobody else."""

import itertools
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.kube.errors import Forbidden, NotFound
from signer.mesh import default_grace
from signer.mesh.default_grace import DefaultGrace, read_record
from signer.tenancy.grants import Granted, granted
from signer.tenancy.world import Claims, HadDefault, Namespace, World
from tests.unit.csr.crafted import NOW
from tests.unit.tenancy.worlds import BAR, DEFAULT, TEAM, binding, claims, world

MINUTE = timedelta(minutes=1)


class Server:
    """The one ConfigMap, as the API server keeps it."""

    def __init__(self, *, there: bool = True) -> None:
        self.data: dict[str, str] = {}
        self.there = there
        self.writes = 0

    async def patch(self, _resource: Any, _name: str, body: Mapping[str, Any], **_more: Any) -> dict[str, Any]:
        await self.get()
        self.writes += 1
        for key, value in body["data"].items():
            if value is None:
                self.data.pop(key, None)
            else:
                self.data[key] = value
        return {"data": dict(self.data)}

    async def get(self, *_what: Any) -> dict[str, Any]:
        if not self.there:
            raise NotFound(404, "NotFound", "not found")
        return {"data": dict(self.data)}


class Life:
    """A namespace bar, step by step, and what a process knows of it. `stored` survives a restart, `world` does not."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, bound: bool, there: bool = True) -> None:
        self.server, self.bound = Server(there=there), bound
        self.now = NOW
        self.uid = "uid-bar"
        self.claimed: datetime | None = None
        self.had: list[datetime] = []
        self.lost = False
        monkeypatch.setattr(default_grace, "utc_now", lambda: self.now)
        self.start()

    def start(self) -> None:
        self.world = world(claimed={}, namespaces=("istio-system", "bar"))
        self.grace = DefaultGrace(self.server, self.world, "cert-manager")  # type: ignore[arg-type]
        self.show()

    def show(self) -> None:
        """What the watches tell."""
        self.world.namespaces["bar"] = Namespace(self.uid)
        if self.claimed is None:
            self.world.claims.pop("bar", None)
            return
        one = claims(BAR)
        self.world.claims["bar"] = Claims(one.whole, one.signers, one.speaker, since=self.claimed)
        if self.bound:
            self.world.bindings[BAR] = binding(BAR, "bar", namespace_uid=self.uid, created=self.claimed + MINUTE / 60)

    async def step(self, what: str) -> None:
        self.now += MINUTE
        if what == "issued" and self.granted():
            if self.claimed is None:
                self.had.append(self.now)
            self.grace.issued(DEFAULT, "bar", self.now)
        elif what == "claimed" and self.claimed is None:
            self.claimed = self.now
            self.show()
            if self.server.there:
                await self.grace.write()
        elif what == "restarted":
            self.lost = self.lost or (self.claimed is None and bool(self.had)) or not self.server.there
            self.start()
        elif what == "remade":
            self.uid, self.claimed, self.had = f"{self.uid}x", None, []
            self.show()
        await self.grace.read()  # as before each refusal

    def granted(self) -> bool:
        return isinstance(granted(self.world, "bar", DEFAULT, now=self.now), Granted)


def lives() -> list[tuple[str, ...]]:
    return [
        order
        for length in range(5)
        for order in itertools.product(("issued", "claimed", "restarted", "remade"), repeat=length)
    ]


@pytest.mark.parametrize("there", [True, False], ids=["stored", "nowhere-to-store"])
@pytest.mark.parametrize("bound", [True, False], ids=["owned", "unowned"])
async def test_every_life(monkeypatch: pytest.MonkeyPatch, bound: bool, there: bool) -> None:
    """In every order of four events: grace is only for who had the default first, and a restart after the claim changes nothing."""
    for order in lives():
        life = Life(monkeypatch, bound=bound, there=there)
        for what in order:
            await life.step(what)
        if life.claimed is None:
            assert life.granted(), order
            continue
        had = any(moment < life.claimed for moment in life.had)
        assert had or not life.granted(), order
        if had and not life.lost:
            assert life.granted(), order
        life.now = life.claimed + life.world.settings.grace
        assert not life.granted(), order


async def test_the_istio_task_as_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A namespace whose claim is there before any workload never has the default, restarts or not."""
    life = Life(monkeypatch, bound=True)
    for what in ("claimed", "issued", "restarted", "issued"):
        await life.step(what)
        assert not life.granted()
    assert life.server.writes == 0


def test_a_certificate_of_the_same_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that was given after the ProxyConfig was made, before the watch told of it, is no earlier one."""
    life = Life(monkeypatch, bound=True)
    life.grace.issued(DEFAULT, "bar", life.now)
    life.claimed = life.now - timedelta(seconds=1)
    life.show()
    assert not life.granted()


@pytest.mark.parametrize("bound", [True, False], ids=["owned", "an-issuer's"])
async def test_a_claim_that_is_made_again_is_not_the_first(monkeypatch: pytest.MonkeyPatch, bound: bool) -> None:
    """Whoever had a signer of its own, deletes its ProxyConfig, has the default for a moment and claims again has no grace."""
    for pause in range(1, 90):
        life = Life(monkeypatch, bound=bound)
        await life.step("claimed")
        life.grace.issued(BAR, "bar", life.now)
        life.claimed = None
        life.show()
        await life.step("issued")
        assert life.granted()
        life.now += pause * MINUTE / 10
        life.claimed = life.now
        life.show()
        if bound:
            life.world.bindings[BAR] = binding(BAR, "bar", created=NOW + MINUTE)
            life.world.had_own.clear()  # after a restart
        assert not life.granted()


async def test_the_first_claim_after_another_signer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A namespace that claims one signer after the other has the grace of neither: the first that it owned counts."""
    life = Life(monkeypatch, bound=True)
    life.grace.issued(DEFAULT, "bar", NOW)
    one = claims(TEAM)
    life.world.claims["bar"] = Claims(one.whole, one.signers, one.speaker, since=NOW + MINUTE)
    life.world.bindings = {TEAM: binding(TEAM, "bar", created=NOW + MINUTE), BAR: binding(BAR, "bar")}
    assert not life.granted()
    life.world.bindings[BAR] = binding(BAR, "bar", namespace_uid="uid-of-an-earlier-bar")
    assert life.granted()


def test_a_claim_written_into_an_old_proxy_config(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ProxyConfig may be older than its claim: then the claim began when the owner was stored."""
    life = Life(monkeypatch, bound=True)
    life.claimed = NOW - timedelta(days=20)
    life.show()
    life.world.bindings[BAR] = binding(BAR, "bar", created=NOW)
    life.world.had_default["bar"] = HadDefault("uid-bar", NOW - timedelta(days=1))
    assert life.granted()


async def test_what_is_stored_goes_when_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries are taken away with the next write after their grace."""
    life = Life(monkeypatch, bound=False)
    for what in ("issued", "claimed"):
        await life.step(what)
    life.server.data["gone"] = f"uid-gone {NOW.isoformat()}"
    await life.grace.read()
    life.world.namespaces["foo"] = Namespace("uid-foo")
    life.grace.issued(DEFAULT, "foo", life.now)
    life.world.claims["foo"] = Claims(BAR, {}, None, since=life.now + MINUTE)
    life.now += MINUTE
    await life.grace.write()
    assert set(life.server.data) == {"bar", "foo"}


async def test_no_right_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the record may not be read there is none: nobody is let in, and nothing fails."""
    life = Life(monkeypatch, bound=False)

    async def forbidden(*_what: Any) -> None:
        raise Forbidden(403, "Forbidden", "no")

    monkeypatch.setattr(life.server, "get", forbidden)
    await life.grace.read()
    assert life.world.had_default == {}


@given(st.dictionaries(st.text(max_size=10), st.one_of(st.text(max_size=200), st.integers(), st.none())))
def test_any_record(data: dict[str, object]) -> None:
    """Whatever stands in the ConfigMap is read or passed over."""
    assert all(one.uid and one.first.tzinfo for one in read_record(data).values())


def test_memory_is_bounded() -> None:
    """No more namespaces are remembered than there are."""
    mesh = World(unsynced="", defaults=frozenset({DEFAULT}))
    grace = DefaultGrace(Server(), mesh, "cert-manager")  # type: ignore[arg-type]
    for number in range(500):
        mesh.namespaces = {f"n{number}": Namespace(f"u{number}"), "keeps": Namespace("u")}
        grace.issued(DEFAULT, f"n{number}", NOW)
        grace.issued(DEFAULT, f"m{number}", NOW)
        assert len(mesh.had_default) <= 2
