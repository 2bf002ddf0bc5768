"""Who made a CertificateRequest: believed where the admission policy that we ship stood in the way of a lie, else nobody."""

import copy
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from signer.api.certificaterequest import CertificateRequest
from signer.api.meta import ObjectMeta, to_rfc3339
from signer.certificates.requests.requester import BINDINGS, GUARD, Requesters, vouched_since
from signer.kube.errors import Forbidden, NotFound, Unreachable
from signer.kube.resource import Resource
from tests.unit.csr.crafted import NOW

SHIPPED = Path(__file__).parents[4] / "manifests" / "crds" / "admission.yaml"
Json = dict[str, Any]


def shipped() -> tuple[Json, Json]:
    """The policy and its binding as we ship them, stored an hour ago with what the API server fills in."""
    found = {}
    for one in yaml.safe_load_all(SHIPPED.read_text()):
        if one["metadata"]["name"] == GUARD:
            one["metadata"] |= {"creationTimestamp": to_rfc3339(NOW - timedelta(hours=1)), "generation": 1}
            found[one["kind"]] = one
    policy, binding = found["ValidatingAdmissionPolicy"], found["ValidatingAdmissionPolicyBinding"]
    policy["spec"]["matchConstraints"] |= {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}}
    policy["metadata"]["managedFields"] = [
        {"manager": "kubectl", "time": to_rfc3339(NOW - timedelta(hours=1))},
        {"manager": "kube-controller-manager", "subresource": "status", "time": to_rfc3339(NOW)},
    ]
    return policy, binding


def test_as_shipped() -> None:
    """What we ship vouches, from a moment after it was stored."""
    assert vouched_since(*shipped()) == NOW - timedelta(hours=1) + timedelta(seconds=10)


def spec(**changes: Any) -> Callable[[Json], None]:
    return lambda obj: obj["spec"].update(changes)


def constraints(**changes: Any) -> Callable[[Json], None]:
    return lambda obj: obj["spec"]["matchConstraints"].update(changes)


def rule(**changes: Any) -> Callable[[Json], None]:
    return lambda obj: obj["spec"]["matchConstraints"]["resourceRules"][0].update(changes)


def without(number: int) -> Callable[[Json], None]:
    """A validation about user names less."""

    def drop(obj: Json) -> None:
        about = [one for one in obj["spec"]["validations"] if "spec.username" in one["expression"]]
        obj["spec"]["validations"].remove(about[number])

    return drop


def changed(obj: Json) -> None:
    obj["spec"]["validations"][0]["expression"] += " || true"


SELECTOR = {"matchLabels": {"a": "b"}}
WEAKER: dict[str, Callable[[Json], None]] = {
    "failures pass": spec(failurePolicy="Ignore"),
    "conditions": spec(matchConditions=[{"name": "a", "expression": "false"}]),
    "parameters": spec(paramKind={"kind": "ConfigMap"}),
    "some namespaces": constraints(namespaceSelector=SELECTOR),
    "some objects": constraints(objectSelector=SELECTOR),
    "but some": constraints(excludeResourceRules=[{"resources": ["*"]}]),
    "nothing": constraints(resourceRules=[]),
    "another group": rule(apiGroups=["example.com"]),
    "one version": rule(apiVersions=["v1"]),
    "updates pass": rule(operations=["CREATE"]),
    "creates pass": rule(operations=["UPDATE"]),
    "another kind": rule(resources=["certificates"]),
    "by name": rule(resourceNames=["a"]),
    "the cluster's": rule(scope="Cluster"),
    "no rule of creation": without(0),
    "no rule of change": without(1),
    "another expression": changed,
    "no validations": spec(validations=None),
    "no spec": lambda obj: obj.update(spec=None),
    "no date": lambda obj: obj["metadata"].update(creationTimestamp=None),
    "an odd date": lambda obj: obj["metadata"].update(managedFields=[{"time": "yesterday"}]),
}
LOOSER: dict[str, Callable[[Json], None]] = {
    "only warns": spec(validationActions=["Warn", "Audit"]),
    "of another policy": spec(policyName="other"),
    "parameters": spec(paramRef={"name": "a"}),
    "some namespaces": spec(matchResources={"namespaceSelector": SELECTOR}),
    "some objects": spec(matchResources={"objectSelector": SELECTOR}),
    "some resources": spec(matchResources={"resourceRules": [{"resources": ["certificates"]}]}),
    "but some": spec(matchResources={"excludeResourceRules": [{"resources": ["*"]}]}),
    "no date": lambda obj: obj["metadata"].update(creationTimestamp=None),
}


@pytest.mark.heavy
@pytest.mark.parametrize("change", WEAKER)
def test_a_weaker_policy(change: str) -> None:
    """Whatever would let one false name pass: nobody vouches."""
    policy, binding = shipped()
    WEAKER[change](policy)
    assert vouched_since(policy, binding) is None


@pytest.mark.parametrize("change", LOOSER)
def test_a_looser_binding(change: str) -> None:
    """A policy that is not in force for all requests is none."""
    policy, binding = shipped()
    LOOSER[change](binding)
    assert vouched_since(policy, binding) is None


def test_a_stricter_one() -> None:
    """What refuses more besides vouches as well."""
    policy, binding = shipped()
    policy["spec"]["validations"].append({"expression": "false"})
    policy["spec"]["matchConstraints"]["resourceRules"][0]["resources"].append("issuers")
    binding["spec"]["validationActions"].append("Audit")
    assert vouched_since(policy, binding) is not None


def test_missing() -> None:
    """Both must be there."""
    policy, binding = shipped()
    assert vouched_since(None, binding) is None
    assert vouched_since(policy, None) is None


@pytest.mark.parametrize("which", [0, 1])
def test_a_change_is_a_beginning(which: int) -> None:
    """Since somebody wrote one of the two, and not before: nobody knows what stood there."""
    objects = shipped()
    objects[which]["metadata"]["managedFields"] = [{"manager": "somebody", "time": to_rfc3339(NOW)}]
    assert vouched_since(*objects) == NOW + timedelta(seconds=10)


class Server:
    def __init__(self) -> None:
        self.objects: tuple[Json, Json] | Exception = shipped()
        self.reads = 0

    async def get(self, resource: Resource, name: str) -> Json:
        assert name == GUARD
        self.reads += 1
        if isinstance(self.objects, Exception):
            raise self.objects
        return copy.deepcopy(self.objects[resource == BINDINGS])


class Scene:
    def __init__(self) -> None:
        self.now = NOW
        self.server = Server()
        self.requesters = Requesters(self.server, lambda: self.now)  # type: ignore[arg-type]

    async def of(self, created: datetime | None = NOW, username: str = "alice") -> str:
        text = to_rfc3339(created) if created is not None else None
        metadata = ObjectMeta(name="r", namespace="shop", creation_timestamp=text)
        return await self.requesters.of(CertificateRequest(metadata=metadata, raw_spec={"username": username}))


async def test_believed() -> None:
    """A name in a request that was made while the policy stood is its maker's."""
    assert await Scene().of() == "alice"


async def test_too_early() -> None:
    """A request that was made before the policy stood may say anything, and so may one without a date."""
    scene = Scene()
    assert await scene.of(NOW - timedelta(hours=1)) == ""
    assert await scene.of(NOW - timedelta(hours=1) + timedelta(seconds=10)) == ""
    assert await scene.of(None) == ""
    assert await scene.of(username="") == ""


@pytest.mark.parametrize("error", [NotFound(404, "NotFound", ""), Forbidden(403, "Forbidden", "")])
async def test_not_there(error: Exception) -> None:
    """An API server without the policy, without such policies at all, or that does not let us look: nobody is known."""
    scene = Scene()
    scene.server.objects = error
    assert await scene.of() == ""


async def test_not_found_out() -> None:
    """What could not be read is no answer, and is read again by the next."""
    scene = Scene()
    scene.server.objects = Unreachable("away")
    with pytest.raises(Unreachable):
        await scene.of()
    scene.server.objects = shipped()
    assert await scene.of() == "alice"


async def test_read_again() -> None:
    """What was read counts for ten seconds, so a policy that goes is noticed; a clock that goes back asks anew."""
    scene = Scene()
    assert await scene.of() == "alice"
    scene.server.objects = NotFound(404, "NotFound", "")
    scene.now += timedelta(seconds=9)
    assert await scene.of() == "alice"
    assert scene.server.reads == 2
    scene.now += timedelta(seconds=1)
    assert await scene.of() == ""
    scene.server.objects = shipped()
    scene.now -= timedelta(seconds=5)
    assert await scene.of() == "alice"
