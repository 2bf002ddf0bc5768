"""What cannot be read is told on itself, once, and nobody can make it a flood."""

import logging
from typing import Any, cast

import pytest

from signer.api.event import ObjectReference
from signer.mesh.reports import Reports
from signer.observe.events import EventRecorder


class Recorder:
    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def emit(self, ref: ObjectReference, _type: str, _reason: str, message: str, *, share: str | None) -> None:
        # What a tenant causes comes out of his share of the Events.
        assert share == (ref.namespace or None)
        self.told.append((ref.name, message))


class Scene:
    def __init__(self, *, speaks: bool = True) -> None:
        self.now = 1000.0
        self.recorder = Recorder()
        self.reports = Reports(cast(EventRecorder, self.recorder), lambda: speaks, clock=lambda: self.now)

    def tell(self, name: str, *problems: str, namespace: str = "foo", **more: Any) -> None:
        ref = ObjectReference("networking.istio.io/v1beta1", "ProxyConfig", namespace, name, "uid", **more)
        self.reports.problems(ref, problems)

    @property
    def told(self) -> list[tuple[str, str]]:
        return self.recorder.told


def test_once_for_a_version() -> None:
    """The same problem is told once, another one again, and the same one again after it was mended."""
    scene = Scene()
    for version in "12":
        scene.tell("a", "bad", resource_version=version)
    scene.tell("a", "worse")
    scene.tell("a")
    scene.tell("a", "worse")
    assert scene.told == [("a", "bad"), ("a", "worse"), ("a", "worse")]


def test_one_namespaces_flood() -> None:
    """One namespace is told of ten times a minute; another one's object is told of all the same."""
    scene = Scene()
    for number in range(100):
        scene.tell(f"n{number}", "bad")
    scene.tell("b", "bad", namespace="bar")
    assert len(scene.told) == 11
    scene.now += 60
    scene.tell("n99", "bad")
    assert scene.told[-1] == ("n99", "bad")


def test_one_replica_writes_events(caplog: pytest.LogCaptureFixture) -> None:
    """A replica that is not the speaker logs, and writes no Event."""
    scene = Scene(speaks=False)
    with caplog.at_level(logging.WARNING):
        scene.tell("a", "bad")
    assert scene.told == []
    assert "bad" in caplog.text
