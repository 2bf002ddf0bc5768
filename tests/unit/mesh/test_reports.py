"""What cannot be read is told on itself, once, and nobody can make it a flood."""

import logging
from typing import Any

import pytest

from signer.api.event import ObjectReference
from signer.mesh.reports import Reports
from tests.fakes.recorder import FakeRecorder


class Scene:
    def __init__(self, *, speaks: bool = True) -> None:
        self.now = 1000.0
        self.recorder = FakeRecorder()
        self.reports = Reports(self.recorder.typed, lambda: speaks, clock=lambda: self.now)

    def tell(self, name: str, *problems: str, namespace: str = "foo", **more: Any) -> None:
        ref = ObjectReference("networking.istio.io/v1beta1", "ProxyConfig", namespace, name, "uid", **more)
        self.reports.problems(ref, problems)

    @property
    def told(self) -> list[tuple[str, str]]:
        # What a tenant causes comes out of his share of the Events.
        assert all(one.share == (one.about.namespace or None) for one in self.recorder.taken)
        return [(one.name, one.message) for one in self.recorder.taken]


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


def test_crowded_namespaces(caplog: pytest.LogCaptureFixture) -> None:
    """A namespace of which not all ProxyConfigs are read is told so once, on one of them, and again when it comes back."""
    scene = Scene()
    about = ObjectReference("networking.istio.io/v1beta1", "ProxyConfig", "foo", "a", "uid")
    with caplog.at_level(logging.WARNING):
        for now in ({"foo": about, "bar": None}, {"foo": about, "bar": None}, {"bar": None}, {"foo": about}):
            scene.reports.crowded(now)
    assert [name for name, _ in scene.told] == ["a", "a"]
    assert all("namespace foo has more ProxyConfigs" in text for _, text in scene.told)
    assert caplog.text.count("namespace bar has more") == 1
    assert caplog.text.count("namespace foo has more") == 2
