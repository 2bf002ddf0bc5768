"""The status of an issuer: what is known of it, in cert-manager's words, written only when it differs."""

import itertools
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from signer.api.certificate import Certificate
from signer.api.issuer import Issuer
from signer.authorities.state import IssuerState, NeedsSecret
from signer.certificates.issuer_controller import CONTESTED, IssuerController, kept_elsewhere, news, status_patch
from signer.observe.notices import Notices
from tests.fakes.recorder import FakeRecorder
from tests.unit.certificates.samples import NOW, Json


def issuer(*conditions: Json) -> Issuer:
    body: Json = {
        "metadata": {"name": "root", "generation": 4, "resourceVersion": "9"},
        "spec": {"ca": {"secretName": "s"}},
        "status": {"conditions": list(conditions)},
    }
    return msgspec.convert(body, Issuer)


def state(**changes: Any) -> IssuerState:
    fields: Json = {"ready": True, "reason": "KeyPairVerified", "message": "Signing CA verified"} | changes
    return IssuerState(issuer().ref, issuer(), "ca", **fields)


READY: Json = {
    "type": "Ready",
    "status": "True",
    "reason": "KeyPairVerified",
    "message": "Signing CA verified",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
    "observedGeneration": 4,
}


def test_first_time() -> None:
    """A new issuer gets its condition, with the generation that was looked at and the version that it was decided on."""
    patch = status_patch(issuer(), state(), NOW)
    assert patch is not None
    assert patch["metadata"] == {"resourceVersion": "9"}
    (condition,) = patch["status"]["conditions"]
    assert condition == READY | {"lastTransitionTime": "2026-06-01T12:00:00Z"}


def test_nothing_to_say() -> None:
    """A status that says it already is not written; nor is one while the CA is still being read."""
    assert status_patch(issuer(READY), state(), NOW) is None
    assert status_patch(issuer(READY), state(ready=False, reason="Pending"), NOW) is None


def test_each_difference_is_written() -> None:
    """Another state, reason, message or generation is written; only another state moves the transition time."""
    for changed in ({"status": "False"}, {"reason": "X"}, {"message": "x"}, {"observedGeneration": 3}):
        patch = status_patch(issuer(READY | changed), state(), NOW)
        assert patch is not None
        (condition,) = patch["status"]["conditions"]
        moved = condition["lastTransitionTime"] == "2026-06-01T12:00:00Z"
        assert moved == ("status" in changed)


def test_not_ready() -> None:
    """A CA that must not sign says why."""
    patch = status_patch(issuer(READY), state(ready=False, reason="ErrGetKeyPair", message="no Secret"), NOW)
    assert patch is not None
    (condition,) = patch["status"]["conditions"]
    assert (condition["status"], condition["reason"], condition["message"]) == ("False", "ErrGetKeyPair", "no Secret")


def test_ends_soon() -> None:
    """A CA that ends soon is ready and says so."""
    patch = status_patch(issuer(READY), state(warning="ends at noon"), NOW)
    assert patch is not None
    (condition,) = patch["status"]["conditions"]
    assert condition["status"] == "True"
    assert condition["message"] == "Signing CA verified; ends at noon"


ENDS: Json = {"message": "Signing CA verified; ends at noon"}


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ((), {}, [("Normal", "KeyPairVerified")]),
        ((READY,), {}, []),
        ((READY,), {"message": "Signing CA verified again"}, []),
        ((READY,), {"ready": False, "reason": "ErrGetKeyPair", "message": "no"}, [("Warning", "ErrGetKeyPair")]),
        ((), {"warning": "ends at noon"}, [("Normal", "KeyPairVerified"), ("Warning", "CAEndsSoon")]),
        ((READY,), {"warning": "ends at noon"}, [("Warning", "CAEndsSoon")]),
        ((READY | ENDS,), {"warning": "ends at noon"}, []),
        ((READY | ENDS,), {"warning": "ends at one"}, [("Warning", "CAEndsSoon")]),
        ((READY | ENDS,), {}, []),
    ],
)
def test_news(before: tuple[Json, ...], now: Json, told: list[tuple[str, str]]) -> None:
    """What is new is said once, and a warning also when the issuer was Ready before and stays so."""
    assert [one[:2] for one in news(issuer(*before), state(**now))] == told


def test_foreign_conditions_stay() -> None:
    """A condition of somebody else's is carried along."""
    patch = status_patch(issuer({"type": "Theirs", "status": "True"}), state(), NOW)
    assert patch is not None
    assert {c["type"] for c in patch["status"]["conditions"]} == {"Theirs", "Ready"}


class Rival:
    """An API server on which somebody else puts another status back after each write; the registry hears of it at once."""

    def __init__(self, *, undoes: bool, recorder: FakeRecorder | None = None) -> None:
        self.undoes = undoes
        self.recorder = recorder or FakeRecorder()
        self.now = NOW
        self.state = state(ready=True)
        self.writes: list[datetime] = []
        self.later: list[float] = []
        self.controller = IssuerController(
            self,  # type: ignore[arg-type]  # the registry, as far as it is asked
            self,  # type: ignore[arg-type]  # the API server, likewise
            clock=lambda: self.now,
            later=lambda _ref, seconds: self.later.append(seconds),
        )

    def get(self, _ref: object) -> IssuerState:
        return self.state

    def notices(self) -> Notices:
        return Notices(self.recorder.typed)

    def emitter(self, *_: object) -> Any:
        return lambda *_: None

    async def other_installations(self, _namespace: str) -> tuple[str, ...]:
        return ("Lease signer-test/mesh-signer-controllers, held by b",)

    async def patch_issuer(self, _resource: object, _issuer: Issuer, body: Json) -> None:
        self.writes.append(self.now)
        written = body["status"]["conditions"]
        self.see([THEIRS] if self.undoes else written)

    def see(self, conditions: list[Json]) -> None:
        self.state = replace(self.state, issuer=issuer(*conditions))


THEIRS: Json = READY | {
    "status": "False",
    "reason": "ErrGetKeyPair",
    "message": 'secret "s" not found in namespace "signer-test"',
}


async def test_a_rival() -> None:
    """Somebody who puts another status back each second meets growing pauses, and is named once, with what he writes."""
    scene = Rival(undoes=True)
    scene.see([THEIRS])
    for _ in range(3600):
        await scene.controller.reconcile(scene.state.ref)
        scene.now += timedelta(seconds=1)
    assert len(scene.writes) < 16
    gaps = [later - earlier for earlier, later in itertools.pairwise(scene.writes)]
    assert gaps == sorted(gaps)
    (message,) = [one.message for one in scene.recorder.taken if one.reason == CONTESTED]
    assert "signer-test/mesh-signer-controllers, held by b" in message
    assert "ErrGetKeyPair" in message
    assert scene.later


async def test_what_is_new_is_written_at_once() -> None:
    """Where nobody undoes anything, and where the state itself changes all the time, nothing waits."""
    quiet = Rival(undoes=False)
    for number in range(50):
        quiet.state = replace(quiet.state, message=f"news {number}")
        await quiet.controller.reconcile(quiet.state.ref)
        await quiet.controller.reconcile(quiet.state.ref)
    assert len(quiet.writes) == 50
    assert not quiet.later
    contested = Rival(undoes=True)
    for _ in range(20):
        await contested.controller.reconcile(contested.state.ref)
    before = len(contested.writes)
    contested.state = replace(contested.state, ready=False, reason="ErrInvalidKeyPair", message="expired")
    await contested.controller.reconcile(contested.state.ref)
    assert len(contested.writes) == before + 1


@pytest.mark.parametrize(
    ("namespace", "is_ca", "secret", "told"),
    [
        ("shop", True, "shop-ca", True),
        ("shop", False, "shop-ca", False),
        ("shop", True, "other", False),
        ("cert-manager", True, "shop-ca", False),
    ],
)
def test_kept_elsewhere(namespace: str, is_ca: bool, secret: str, told: bool) -> None:
    """A CA whose Certificate makes it in another namespace than the issuer looks in is named, with where it belongs."""
    body = {"metadata": {"namespace": namespace, "name": "web"}, "spec": {"isCA": is_ca, "secretName": secret}}
    found = kept_elsewhere(NeedsSecret("cert-manager", "shop-ca"), [msgspec.convert(body, Certificate)])
    assert bool(found) == told
    if told:
        assert found == (
            "Secret shop/shop-ca is a CA's, kept by Certificate shop/web: this issuer's belongs in namespace cert-manager, so make "
            "the Certificate there"
        )
