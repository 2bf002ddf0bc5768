"""A small API server in memory, and a replica that sees it through five watches, each of which is late, cut, or begins anew.

The judge is a second world, made from what is stored.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from signer.api.issuer import IssuerRef
from signer.api.proxyconfig import PROXY_CONFIGS, ProxyConfig
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
from tests.unit.tenancy.indexed import NOW, binding, mesh, namespace_object, policy, proxy_config
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
    claims: dict[str, tuple[str, str, str]] = field(default_factory=dict)  # signer, uid, version
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
        """Claim another signer, by the same object if there is one; "": delete it."""
        old = self.claims.pop(space, None)
        if old is not None and not signer:
            self.told("ProxyConfigs", lambda index: index.proxy_configs.remove(space, "default", old[1]))
        if signer and space in self.namespaces:
            self.claims[space] = (signer, old[1] if old is not None else self.fresh(), self.fresh())
            made = self.proxy_config(space)
            self.told("ProxyConfigs", lambda index: index.proxy_configs.put(made))

    def proxy_config(self, space: str) -> ProxyConfig:
        signer, uid, version = self.claims[space]
        return proxy_config(space, signer, uid=uid, version=version)

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
            claims = [self.proxy_config(space) for space in self.claims]
            return [lambda index, one=one: index.proxy_configs.put(one) for one in claims]  # type: ignore[misc]
        if kind == "mesh config":
            data = self.config
            return [lambda index: index.config_maps.put("istio", data)]
        if kind == "SignerPolicies":
            return [lambda index, one=one: index.put_policy(one) for one in self.policies.values()]  # type: ignore[misc]
        return [lambda index, one=one: index.put_binding(one) for one in self.bindings.values()]  # type: ignore[misc]

    # What the client is asked for.

    async def request(
        self, method: str, path: str, *, query: dict[str, Any], accept: str, largest: int, **_: Any
    ) -> Response:
        assert method == "GET"
        assert accept.startswith("application/json")
        assert largest > 0
        self.reads += 1
        await asyncio.sleep(0)
        if self.broken and self.broken in path:
            raise Unreachable("nobody there")
        selector = str(query.get("fieldSelector", ""))
        name = selector.removeprefix("metadata.name=") if selector.startswith("metadata.name=") else ""
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
            found = [
                _plain(self.proxy_config(space))
                for space in self.claims
                if f"/namespaces/{space}/" in path or "/namespaces/" not in path
                if f"metadata.namespace!={space}" not in selector.split(",")
            ]
            if "PartialObjectMetadataList" in accept:
                found = [{"metadata": one["metadata"]} for one in found]
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
                await self.confirmations.confirm(question)
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
