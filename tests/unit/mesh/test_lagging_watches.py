"""Nobody becomes an owner, and no namespace gets its first certificate, on watches that a live read would contradict.

No later one rests on what was contradicted for more than a minute; the same holds for CertificateRequests. A small API server in memory, and a replica that sees it through five watches, each of which brings its events late, is cut,
or begins anew while namespaces, claims, policies, mesh config and owners change. The judge is a second world, made from
what is stored.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.issuer import IssuerRef
from signer.api.proxyconfig import PROXY_CONFIGS
from signer.api.signerbinding import SignerBinding
from signer.kube.client import ApiClient
from signer.kube.errors import AlreadyExists, Unreachable
from signer.kube.objects import Json, Response
from signer.kube.resource import Resource
from signer.mesh.bindings import Bindings
from signer.mesh.confirmations import READ_FOR, Confirmations
from signer.mesh.live import LiveReads
from signer.mesh.ownership import to_bind
from signer.tenancy.decide import CONFIRMED_FOR, Decision, decide
from signer.tenancy.grants import Claimable, Granted, granted
from signer.tenancy.index import Index
from signer.tenancy.verdict import Bind, Confirm, Grant, Limits, Reread
from signer.tenancy.world import Settings, World
from tests import pki
from tests.unit.tenancy.indexed import DOMAIN, NOW, binding, mesh, namespace_object, policy, proxy_config
from tests.unit.tenancy.worlds import claim

SPACES = ("foo", "bar", "shop")
NAMES = ("foo", "shop", "team")  # signers; there is no namespace team
KINDS = ("ProxyConfigs", "mesh config", "SignerPolicies", "SignerBindings", "Namespaces")
REQUESTS = {space: pki.csr(uris=[pki.spiffe(space, "default")]) for space in SPACES}
Event = Callable[[Index], object]


def ref(name: str) -> IssuerRef:
    return IssuerRef("ClusterIssuer", "", name)


@dataclass
class Api:
    """What is stored. Each change is told to `told`, by kind; `before_answers` is called before each answer."""

    namespaces: dict[str, str] = field(default_factory=dict)
    claims: dict[str, tuple[str, str]] = field(default_factory=dict)
    config: dict[str, str] | None = None
    policies: dict[str, Any] = field(default_factory=dict)
    bindings: dict[str, Any] = field(default_factory=dict)
    told: Callable[[str, Event], None] = lambda _kind, _event: None
    broken: str = ""
    reads: int = 0
    made: int = 0

    def fresh(self) -> str:
        self.made += 1
        return f"u{self.made}"

    def namespace(self, name: str, *, there: bool) -> None:
        if not there:
            self.claim(name, "")
            self.namespaces.pop(name, None)
            self.told("Namespaces", lambda index: index.remove_namespace(name))
            return
        uid = self.namespaces[name] = self.fresh()
        self.told("Namespaces", lambda index: index.put_namespace(namespace_object(name, uid)))

    def claim(self, space: str, signer: str) -> None:
        if (old := self.claims.pop(space, None)) is not None:
            self.told("ProxyConfigs", lambda index: index.proxy_configs.remove(space, "default", old[1]))
        if signer and space in self.namespaces:
            uid = self.fresh()
            self.claims[space] = (signer, uid)
            self.told("ProxyConfigs", lambda index: index.proxy_configs.put(proxy_config(space, signer, uid=uid)))

    def mesh_config(self, signers: tuple[str, ...], default: str = "") -> None:
        extra = f"defaultConfig:\n  proxyMetadata:\n    ISTIO_META_CERT_SIGNER: {default}\n" if default else ""
        data = self.config = mesh(*signers, extra=extra)
        self.told("mesh config", lambda index: index.config_maps.put("istio", data))

    def policy(self, name: str, signer: str, spaces: tuple[str, ...], **spec: Any) -> None:
        covered = {"names": list(spaces), "remade": "Allow"} if spec else {"names": list(spaces)}
        obj = self.policies[name] = policy(name, signer, namespaces=covered if spaces else None, **spec)
        self.told("SignerPolicies", lambda index: index.put_policy(obj))

    def no_policy(self, name: str) -> None:
        if self.policies.pop(name, None) is not None:
            self.told("SignerPolicies", lambda index: index.remove_policy(name))

    def release(self, signer: str) -> None:
        if (old := self.bindings.pop(signer, None)) is not None:
            self.told("SignerBindings", lambda index: index.remove_binding(signer, old.metadata.uid))

    def world(self, now: datetime) -> World:
        """The world as a process would see it that read everything just now."""
        index = Index(Settings())
        index.world.unsynced = ""
        for kind in KINDS:
            for event in self.listed(kind):
                event(index)
        index.settle(now)
        return index.world

    def listed(self, kind: str) -> list[Event]:
        if kind == "Namespaces":
            spaces = [namespace_object(*one) for one in self.namespaces.items()]
            return [lambda index, one=one: index.put_namespace(one) for one in spaces]  # type: ignore[misc]
        if kind == "ProxyConfigs":
            claims = [proxy_config(space, signer, uid=uid) for space, (signer, uid) in self.claims.items()]
            return [lambda index, one=one: index.proxy_configs.put(one) for one in claims]  # type: ignore[misc]
        if kind == "mesh config":
            data = self.config
            return [lambda index: index.config_maps.put("istio", data)]
        if kind == "SignerPolicies":
            return [lambda index, one=one: index.put_policy(one) for one in self.policies.values()]  # type: ignore[misc]
        return [lambda index, one=one: index.put_binding(one) for one in self.bindings.values()]  # type: ignore[misc]

    # What the client is asked for.

    async def request(self, method: str, path: str, *, query: dict[str, Any], accept: str) -> Response:
        assert (method, accept) == ("GET", "application/json")
        self.reads += 1
        await asyncio.sleep(0)
        if self.broken and self.broken in path:
            raise Unreachable("nobody there")
        _, _, name = str(query.get("fieldSelector", "")).partition("=")
        if path.endswith("/namespaces"):
            found = [msgspec.to_builtins(namespace_object(*one)) for one in self.namespaces.items()]
        elif path.endswith("/configmaps"):
            found = [{"metadata": {"name": "istio"}, "data": self.config}] if self.config is not None else []
        elif path.endswith("/signerpolicies"):
            found = [_plain(one) for one in self.policies.values()]
        elif path.endswith("/signerrecords"):
            found = []
        elif path.endswith("/signerbindings"):
            found = [_plain(one) for one in self.bindings.values()]
        else:
            claims = [proxy_config(space, signer, uid=uid) for space, (signer, uid) in self.claims.items()]
            found = [
                _plain(one)
                for one in claims
                if f"/namespaces/{one.metadata.namespace}/" in path or "/namespaces/" not in path
            ]
        found = [one for one in found if not name or one["metadata"]["name"] == name]
        return Response(200, {}, msgspec.json.encode({"metadata": {}, "items": found}))

    async def create(self, _resource: Resource, body: Json) -> Json:
        await asyncio.sleep(0)
        name, spec = body["metadata"]["name"], body["spec"]
        if name in self.bindings:
            raise AlreadyExists(409, "AlreadyExists", name)
        found = granted(self.world(NOW), spec["namespace"], ref(name), now=NOW)
        assert found == Claimable(spec["namespaceUID"]), f"{spec['namespace']} was made the owner of {name}: {found}"
        made = binding(name, spec["namespace"], spec["namespaceUID"], own=self.fresh())
        self.bindings[name] = made
        self.told("SignerBindings", lambda index: index.put_binding(made))
        return _plain(made)

    async def get(self, _resource: Resource, name: str) -> Json:
        return _plain(self.bindings[name])


def _plain(obj: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", msgspec.to_builtins(obj))


class Replica:
    """One process: an index behind five watches, and what it stores and issues. `live` off: it goes by its watches alone."""

    def __init__(self, api: Api, *, live: bool = True) -> None:
        self.api = api
        self.at = NOW
        self.waiting: dict[str, deque[Event]] = defaultdict(deque)
        self.first: set[tuple[str, str, str]] = set()
        self.seen: list[tuple[datetime, World]] = []
        self._live = live
        api.told = lambda kind, event: self.waiting[kind].append(event)
        self.start()

    def start(self) -> None:
        """Begin: everything is read now, one kind after the other."""
        self.index = Index(Settings())
        self.index.world.unsynced = ""
        client = cast(ApiClient, self.api)

        async def find() -> Resource:
            return PROXY_CONFIGS

        live = LiveReads(client, self.index, find) if self._live else None
        self.bindings = Bindings(client, self.index, lambda: None, lambda: self.at, live)
        self.confirmations = Confirmations(self.index, live, lambda: self.at) if live is not None else None
        self.first.clear()
        for kind in KINDS:
            self.cut(kind)

    def cut(self, kind: str) -> None:
        """A watch breaks, and its list is read anew: what was deleted meanwhile is gone without a word."""
        self.waiting[kind].clear()
        index, api = self.index, self.api
        if kind == "Namespaces":
            for name in set(index.world.namespaces) - api.namespaces.keys():
                index.remove_namespace(name)
        elif kind == "ProxyConfigs":
            index.proxy_configs.retain([(space, "default") for space in api.claims])
        elif kind == "SignerPolicies":
            for name in index.policies() - api.policies.keys():
                index.remove_policy(name)
        elif kind == "SignerBindings":
            for signer, obj in list(index.bindings.items()):
                if signer.name not in api.bindings:
                    index.remove_binding(signer.name, obj.metadata.uid)
        for event in api.listed(kind):
            event(index)
        index.settle(self.at)

    def deliver(self, kind: str, count: int) -> None:
        """The watch brings some of what it has."""
        for _ in range(min(count, len(self.waiting[kind]))):
            self.waiting[kind].popleft()(self.index)
        self.index.settle(self.at)

    async def bind_all(self) -> None:
        """What the reconciler does of itself."""
        for name in NAMES:
            if (found := to_bind(self.index, ref(name), self.at)) is not None:
                await self._answer(found)

    async def ask(self, space: str, signer: str) -> bool:
        """A workload's request: decide, ask, decide again. True when it was issued."""
        asked = claim(space, ref(signer), created=self.at, ca_key_id=signer)
        fresh = False
        for _ in range(6):
            verdict: Decision = decide(asked, self.index.world, Limits(), fresh=fresh, now=self.at)
            if isinstance(verdict, Grant):
                self._issued(space, signer)
                return True
            if isinstance(verdict, Reread):
                fresh = True
            elif not isinstance(verdict, Bind | Confirm) or not await self._answer(verdict):
                return False
            self.index.settle(self.at)
        return False

    async def request(self, space: str, signer: str) -> bool:
        """A CertificateRequest: decide, confirm, decide again. True when it was signed."""
        asked = replace(
            claim(space, ref(signer), csr=REQUESTS[space], created=self.at, ca_key_id=signer),
            resource="CertificateRequest",
            namespace=space,
        )
        for _ in range(3):
            verdict: Decision = decide(asked, self.index.world, Limits(), fresh=True, now=self.at)
            if isinstance(verdict, Grant):
                uid = self.index.world.namespaces[space].uid
                assert self.api.namespaces.get(space) == uid, f"namespace {space} is not the one that was decided about"
                found = [
                    isinstance(decide(asked, world, Limits(), fresh=True, now=self.at), Grant)
                    for world in self._judges(uid, signer, f"request by {verdict.policy}")
                ]
                assert any(found), f"a CertificateRequest of {space} was signed by {signer}"
                return True
            if not isinstance(verdict, Confirm) or not await self._answer(verdict):
                return False
        return False

    def _judges(self, uid: str, signer: str, what: str) -> list[World]:
        """What is stored; for what is not the first of its kind, whatever was within the last minute counts too."""
        now = [self.api.world(self.at)]
        if (uid, signer, what) not in self.first:
            self.first.add((uid, signer, what))
            return now
        return now + [world for at, world in self.seen if self.at - at <= READ_FOR + CONFIRMED_FOR]

    async def _answer(self, question: Bind | Confirm) -> bool:
        try:
            if isinstance(question, Bind):
                await self.bindings.bind(question.signer, question.namespace, question.namespace_uid)
            elif self.confirmations is not None:
                asked = (question.signer, question.namespace, question.namespace_uid, question.policy)
                await self.confirmations.confirm(*asked)
        except Unreachable:
            return False
        finally:
            self.index.settle(self.at)
        return True

    def _issued(self, space: str, signer: str) -> None:
        uid = self.index.world.namespaces[space].uid
        assert self.api.namespaces.get(space) == uid, f"namespace {space} is not the one that was given a certificate"
        found = [granted(world, space, ref(signer), now=self.at) for world in self._judges(uid, signer, "")]
        assert any(isinstance(one, Granted) for one in found), f"{space} was given a certificate of {signer}: {found}"


spaces, signers, kinds = st.sampled_from(SPACES), st.sampled_from(NAMES), st.sampled_from(KINDS)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("make"), spaces),
        st.tuples(st.just("remake"), spaces),
        st.tuples(st.just("delete"), spaces),
        st.tuples(st.just("claim"), spaces, signers),
        st.tuples(st.just("claim"), spaces, signers),
        st.tuples(st.just("unclaim"), spaces),
        st.tuples(st.just("config"), st.sets(signers), st.sampled_from(("", "shop", "team"))),
        st.tuples(st.just("policy"), st.sampled_from(("p", "q")), signers, st.sets(spaces)),
        st.tuples(st.just("open policy"), st.sampled_from(("p", "q")), signers, st.sets(spaces)),
        st.tuples(st.just("no policy"), st.sampled_from(("p", "q"))),
        st.tuples(st.just("request"), spaces, signers),
        st.tuples(st.just("release"), signers),
        st.tuples(st.just("deliver"), kinds, st.integers(1, 4)),
        st.tuples(st.just("deliver"), kinds, st.integers(1, 4)),
        st.tuples(st.just("cut"), kinds),
        st.tuples(st.just("restart")),
        st.tuples(st.just("bind")),
        st.tuples(st.just("bind")),
        st.tuples(st.just("ask"), spaces, signers),
        st.tuples(st.just("ask"), spaces, signers),
    ),
    max_size=40,
)


async def run(program: list[tuple[Any, ...]], *, live: bool = True) -> Replica:
    api = Api()
    for space in SPACES[:2]:
        api.namespace(space, there=True)
    api.mesh_config(NAMES)
    replica = Replica(api, live=live)
    for step in program:
        replica.at += timedelta(seconds=11)  # what was confirmed has to be confirmed again
        await do(replica, step)
        replica.seen.append((replica.at, api.world(replica.at)))
    return replica


async def do(replica: Replica, step: tuple[Any, ...]) -> None:  # noqa: PLR0912 - one case for each word
    api = replica.api
    match step:
        case ("make", space):
            if space not in api.namespaces:
                api.namespace(space, there=True)
        case ("delete", space):
            api.namespace(space, there=False)
        case ("remake", space):
            api.namespace(space, there=False)
            api.namespace(space, there=True)
        case ("claim", space, signer):
            api.claim(space, signer)
        case ("unclaim", space):
            api.claim(space, "")
        case ("config", names, default):
            api.mesh_config(tuple(sorted(names)), default)
        case ("policy", name, signer, covered):
            api.policy(name, signer, tuple(sorted(covered)))
        case ("open policy", name, signer, covered):
            api.policy(name, signer, tuple(sorted(covered)), certificateRequests={})
        case ("request", space, signer):
            await replica.request(space, signer)
        case ("later",):
            replica.at += READ_FOR
        case ("no policy", name):
            api.no_policy(name)
        case ("release", signer):
            api.release(signer)
        case ("deliver", kind, count):
            replica.deliver(kind, count)
        case ("cut", kind):
            replica.cut(kind)
        case ("restart",):
            replica.start()
        case ("bind",):
            await replica.bind_all()
        case ("ask", space, signer):
            await replica.ask(space, signer)


@given(steps)
def test_nothing_is_given_away_on_an_old_view(program: list[tuple[Any, ...]]) -> None:
    """Whatever each watch has brought, owner and first certificate are what is stored, later ones what was within a minute."""
    asyncio.run(run(program))


SPECIMENS: dict[str, list[tuple[Any, ...]]] = {
    "the namespace of the signer's name is not seen yet": [
        ("make", "shop"),
        ("claim", "bar", "shop"),
        ("deliver", "ProxyConfigs", 9),
        ("bind",),
        ("ask", "bar", "shop"),
    ],
    "a policy that names the signer is not seen yet": [
        ("policy", "p", "team", {"foo"}),
        ("claim", "bar", "team"),
        ("deliver", "ProxyConfigs", 9),
        ("bind",),
        ("ask", "bar", "team"),
    ],
    "the mesh config no longer has the signer": [
        ("config", {"foo"}, ""),
        ("claim", "bar", "team"),
        ("deliver", "ProxyConfigs", 9),
        ("bind",),
        ("ask", "bar", "team"),
    ],
    "another claimant is not seen yet": [
        ("claim", "foo", "team"),
        ("deliver", "ProxyConfigs", 9),
        ("claim", "bar", "team"),
        ("bind",),
        ("ask", "foo", "team"),
    ],
    "the claim is gone already": [
        ("claim", "foo", "team"),
        ("deliver", "ProxyConfigs", 9),
        ("unclaim", "foo"),
        ("bind",),
        ("ask", "foo", "team"),
    ],
    "the namespace was made again": [
        ("claim", "foo", "foo"),
        ("deliver", "ProxyConfigs", 9),
        ("remake", "foo"),
        ("bind",),
        ("ask", "foo", "foo"),
    ],
    "the owner's namespace was made again": [
        ("claim", "foo", "foo"),
        ("deliver", "ProxyConfigs", 9),
        ("bind",),
        ("ask", "foo", "foo"),
        ("remake", "foo"),
        ("claim", "foo", "foo"),
        ("deliver", "ProxyConfigs", 9),
        ("ask", "foo", "foo"),
    ],
    "the signer was released": [
        ("claim", "foo", "team"),
        ("deliver", "ProxyConfigs", 9),
        ("bind",),
        ("deliver", "SignerBindings", 9),
        ("release", "team"),
        ("policy", "p", "team", set()),
        ("ask", "foo", "team"),
    ],
}


LATER: dict[str, list[tuple[Any, ...]]] = {
    "the policy that opened the signer for requests is gone": [
        ("open policy", "p", "team", {"bar"}),
        ("deliver", "SignerPolicies", 9),
        ("no policy", "p"),
        ("request", "bar", "team"),
    ],
    "the policy covers others by now": [
        ("open policy", "p", "team", {"bar"}),
        ("deliver", "SignerPolicies", 9),
        ("open policy", "p", "team", {"foo"}),
        ("request", "bar", "team"),
    ],
    "the namespace of the request was made again": [
        ("open policy", "p", "team", {"bar"}),
        ("deliver", "SignerPolicies", 9),
        ("remake", "bar"),
        ("request", "bar", "team"),
    ],
    "the policy went after the first request": [
        ("open policy", "p", "team", {"bar"}),
        ("deliver", "SignerPolicies", 9),
        ("request", "bar", "team"),
        ("no policy", "p"),
        ("later",),
        ("later",),
        ("request", "bar", "team"),
    ],
    "the claim ended after the first certificate": [
        ("claim", "foo", "foo"),
        ("deliver", "ProxyConfigs", 9),
        ("bind",),
        ("ask", "foo", "foo"),
        ("policy", "p", "foo", {"bar"}),
        ("later",),
        ("later",),
        ("ask", "foo", "foo"),
    ],
}
SPECIMENS |= LATER


@pytest.mark.parametrize("what", SPECIMENS)
async def test_specimens(what: str) -> None:
    """Each of the five sources alone may be the one that is held back; by its watches alone a replica would go wrong."""
    with pytest.raises(AssertionError):
        await run(SPECIMENS[what], live=False)
    await run(SPECIMENS[what])


@pytest.mark.parametrize("what", ["/namespaces", "/configmaps", "/signerpolicies", "/proxyconfigs"])
async def test_a_live_read_that_fails(what: str) -> None:
    """What could not be read makes nobody an owner and issues nothing; when it can be read, both come."""
    replica = await run([("claim", "foo", "team"), ("deliver", "ProxyConfigs", 9)])
    replica.api.broken = what
    await replica.bind_all()
    assert not await replica.ask("foo", "team")
    assert not replica.api.bindings
    replica.api.broken = ""
    assert await replica.ask("foo", "team")
    replica.at += timedelta(seconds=11)
    replica.api.broken = "/namespaces"
    assert not await replica.ask("foo", "team")


async def test_once_and_then_the_uid_alone() -> None:
    """The first certificate of a namespace costs a few reads, the next ones none, after ten seconds one, after a minute a few."""
    replica = await run([("claim", "foo", "foo"), ("deliver", "ProxyConfigs", 9), ("bind",)])
    before = replica.api.reads
    assert await replica.ask("foo", "foo")
    assert 0 < replica.api.reads - before < 10
    before = replica.api.reads
    for _ in range(100):
        assert await replica.ask("foo", "foo")
    assert replica.api.reads == before
    replica.at += timedelta(seconds=11)
    assert await replica.ask("foo", "foo")
    assert replica.api.reads == before + 1
    replica.at += READ_FOR
    assert await replica.ask("foo", "foo")
    assert 2 < replica.api.reads - before < 10


async def test_a_request_costs_little() -> None:
    """The first CertificateRequest of a namespace by a policy costs two reads, those of the next ten seconds none."""
    replica = await run([("open policy", "p", "team", {"bar"}), ("deliver", "SignerPolicies", 9)])
    before = replica.api.reads
    assert await replica.request("bar", "team")
    assert replica.api.reads - before == 2
    for _ in range(20):
        assert await replica.request("bar", "team")
    assert replica.api.reads - before == 2


async def test_what_the_tests_stand_on() -> None:
    """The replica of these tests makes honest owners, and issues to them."""
    replica = await run([("claim", "foo", "foo"), ("deliver", "ProxyConfigs", 9), ("bind",)])
    assert replica.api.bindings["foo"].spec.namespace == "foo"
    assert isinstance(replica.api.bindings["foo"], SignerBinding)
    assert await replica.ask("foo", "foo")
    assert not await replica.ask("bar", "foo")
    assert DOMAIN in replica.api.bindings["foo"].spec.signer_name
