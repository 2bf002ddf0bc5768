"""What is left of challenges is taken away object by object: one that may not be changed keeps no other in place."""

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from signer.api.challenge import Challenge
from signer.api.event import ObjectReference
from signer.api.gateway import GATEWAYS
from signer.api.virtualservice import VIRTUAL_SERVICES
from signer.edge.challenges.each import InTheWay
from signer.edge.dns01.external_dns import Endpoints
from signer.edge.dns01.record import DNS_ENDPOINTS, dns_endpoint
from signer.edge.http01.presenter import GatewayPresenter
from signer.edge.http01.redirect import TAKEN, Record, taken_for
from signer.edge.http01.routes import CHALLENGE_UID, SOLVER_LABEL, object_name
from signer.edge.run import AcmeControllers
from signer.kube.errors import ApiError, Conflict, Forbidden, Invalid, NotFound, ServerError, api_error
from signer.kube.resource import Resource
from tests.unit.edge.objects import http

Json = dict[str, Any]
REFUSALS = (Forbidden(403, "Forbidden", "no"), Invalid(422, "Invalid", "no"), api_error(400, "BadRequest", "no"))
PASSES = (ServerError, Conflict)
PASSING = (ServerError(503, "", "busy"), Conflict(409, "Conflict", "changed"), NotFound(404, "", "gone"))


class Client:
    """Keeps objects by resource; writes to some of them fail."""

    def __init__(self, objects: dict[Resource, list[Json]], failing: dict[str, ApiError]) -> None:
        self.objects = {kind: {one["metadata"]["name"]: one for one in listed} for kind, listed in objects.items()}
        self.failing = failing
        self.tried: Counter[str] = Counter()

    async def list(self, resource: Resource, _: str | None = None, label_selector: str | None = None) -> Any:
        return [
            one
            for one in self.objects.get(resource, {}).values()
            if not label_selector or label_selector.partition("=")[0] in one["metadata"]["labels"]
        ]

    async def get(self, resource: Resource, name: str, _: str) -> Json:
        return self.objects[resource][name]

    async def patch(self, resource: Resource, name: str, body: Json, **_: Any) -> None:
        self._write(name)
        found = self.objects[resource][name]
        found["metadata"]["annotations"] = body["metadata"].get("annotations", {})
        found["spec"] |= body.get("spec", {})

    async def delete(self, resource: Resource, name: str, _namespace: str, **_: Any) -> None:
        self._write(name)
        del self.objects[resource][name]

    def _write(self, name: str) -> None:
        self.tried[name] += 1
        if name in self.failing:
            raise self.failing[name]


def metadata(
    name: str, namespace: str, labels: dict[str, str] | None = None, notes: dict[str, str] | None = None
) -> Json:
    found = {"name": name, "namespace": namespace, "uid": f"uid of {name}", "resourceVersion": "1"}
    return {**found, "labels": labels or {}, "annotations": notes or {}}


def route(uid: str, name: str = "", namespace: str = "foo") -> Json:
    return {"metadata": metadata(name or object_name(uid), namespace, {SOLVER_LABEL: "true", CHALLENGE_UID: uid})}


def gateway(name: str, uid: str, namespace: str = "foo") -> Json:
    notes = {TAKEN: Record([http("a.example", redirect=True)], {uid: "a.example"}).text()}
    return {"metadata": metadata(name, namespace, {}, notes), "spec": {"servers": []}}


def challenge(uid: str) -> Challenge:
    return cast("Challenge", SimpleNamespace(metadata=SimpleNamespace(uid=uid, namespace="foo", name="c")))


def presenter(client: Client) -> GatewayPresenter:
    return GatewayPresenter(cast("Any", client))


UIDS = [str(number) for number in range(6)]
fails = st.dictionaries(
    st.sampled_from([*map(object_name, UIDS), *(f"gateway {uid}" for uid in UIDS)]), st.sampled_from(REFUSALS + PASSING)
)


@settings(deadline=None)
@given(fails, st.permutations(UIDS), st.sets(st.sampled_from(UIDS)))
def test_each_has_its_turn(failing: dict[str, ApiError], order: list[str], living: set[str]) -> None:
    """Whatever fails for whichever objects, all others are taken away and given back; what was refused is named."""
    objects = {
        GATEWAYS: [gateway(f"gateway {uid}", uid) for uid in order],
        VIRTUAL_SERVICES: [route(uid) for uid in order],
    }
    client = Client(objects, failing)
    found: list[InTheWay] | None
    try:
        found = asyncio.run(presenter(client).tidy(frozenset(living)))
    except PASSES:
        found = None
    gone = [uid for uid in order if uid not in living]
    for uid in gone:
        assert client.tried[f"gateway {uid}"] >= 1
        if f"gateway {uid}" not in failing:
            assert not taken_for(client.objects[GATEWAYS][f"gateway {uid}"])
    if found is None:
        return
    refused = {f"gateway {uid}" for uid in gone} | {object_name(uid) for uid in gone}
    assert {one.ref.name for one in found} == {name for name in refused if failing.get(name) in REFUSALS}
    left = {name for name in client.objects[VIRTUAL_SERVICES] if name not in map(object_name, living)}
    assert left <= failing.keys()


def test_what_has_another_name_is_not_ours() -> None:
    """An object of somebody's with our labels is not even tried."""
    client = Client({VIRTUAL_SERVICES: [route("1", "mine"), route("2")]}, {})
    assert asyncio.run(presenter(client).tidy(frozenset())) == []
    assert (list(client.objects[VIRTUAL_SERVICES]), client.tried["mine"]) == (["mine"], 0)


def test_a_challenge_is_kept_by_what_is_its_own() -> None:
    """An object in another namespace, with a Challenge's uid on it, does not keep that Challenge; one beside it is told."""
    refusal = REFUSALS[0]
    elsewhere = Client({GATEWAYS: [gateway("theirs", "1", "bar")]}, {"theirs": refusal})
    assert asyncio.run(presenter(elsewhere).clean_up(challenge("1"))) is None
    beside = Client({GATEWAYS: [gateway("mine", "1")]}, {"mine": refusal})
    left = asyncio.run(presenter(beside).clean_up(challenge("1")))
    assert left is not None
    assert "Gateway foo/mine" in left.reason.message


@settings(deadline=None)
@given(st.permutations(["a", "b", "c"]), st.dictionaries(st.sampled_from("abc"), st.sampled_from(REFUSALS)))
def test_endpoints(order: list[str], refused: dict[str, ApiError]) -> None:
    """The same holds for DNSEndpoints; one that is not as we make them is nobody's."""
    made = {name: dns_endpoint(f"_acme-challenge.{name}", {"1": "a" * 43}, "foo") for name in order}
    for one in made.values():
        one["metadata"] |= {"uid": "u", "resourceVersion": "1"}
    theirs = {"metadata": {**made["a"]["metadata"], "name": "theirs"}, "spec": {"endpoints": [None]}}
    failing = {made[name]["metadata"]["name"]: error for name, error in refused.items()}
    client = Client({DNS_ENDPOINTS: [theirs, *made.values()]}, failing)
    found = asyncio.run(Endpoints(cast("Any", client)).remove("1"))
    assert {one.ref.name for one in found} == failing.keys()
    assert client.objects[DNS_ENDPOINTS].keys() == failing.keys() | {"theirs"}


def test_it_is_told_once_and_tried_again() -> None:
    """What is in the way is told on itself, once; tries go on, ever more seldom, until nothing is."""
    left = InTheWay(ObjectReference("v1", "Gateway", "bar", "theirs", "uid"), "no")
    answers: list[list[InTheWay] | Exception] = [[left], ServerError(503, "", "busy"), [left], []]
    told: list[tuple[Any, ...]] = []
    pauses: list[float] = []

    async def tidy(_: frozenset[str]) -> list[InTheWay]:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    async def main() -> None:
        real = asyncio.sleep

        async def sleep(seconds: float) -> None:
            pauses.append(seconds)
            await real(0)

        recorder = SimpleNamespace(emit=lambda *parts, share: told.append((*parts, share)))
        me = SimpleNamespace(_options=SimpleNamespace(tidy=tidy, names=("challenges",)), _recorder=recorder)
        asyncio.sleep = sleep  # type: ignore[assignment]
        try:
            await AcmeControllers._tidy_up(cast("Any", me), cast("Any", SimpleNamespace(store={})))
        finally:
            asyncio.sleep = real

    asyncio.run(main())
    assert pauses == [30, 60, 120]
    assert [(one[0].name, one[1], one[2], one[-1]) for one in told] == [("theirs", "Warning", "LeftBehind", "bar")]
