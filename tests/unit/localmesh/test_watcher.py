"""The witness of the fault tests: it must see what it is there to see, or they prove nothing."""

import base64
from pathlib import Path
from typing import Any

import pytest

from tests.localmesh import kubeconfig
from tests.localmesh.kubeconfig import Access
from tests.localmesh.watcher import Count, Watcher
from tests.pki import ANY_TIME, CA

PEM, OTHER = "-----BEGIN CERTIFICATE-----\nA\n", "-----BEGIN CERTIFICATE-----\nB\n"


@pytest.fixture
def watcher(tmp_path: Path) -> Watcher:
    return Watcher(
        kubeconfig.write(tmp_path / "k", Access("https://127.0.0.1:1", CA("server", now=ANY_TIME).pem, token="t"))
    )


def item(uid: str = "u", *conditions: str, certificate: str = "") -> dict[str, Any]:
    return {
        "metadata": {"name": f"n-{uid}", "uid": uid},
        "spec": {"signerName": "s/x"},
        "status": {
            "conditions": [{"type": kind, "reason": "R", "message": "M"} for kind in conditions],
            "certificate": base64.b64encode(certificate.encode()).decode(),
        },
    }


def test_two_certificates_for_one_request(watcher: Watcher) -> None:
    """A second, different certificate for one request is seen; the same one again is not a second."""
    for pem in (PEM, PEM, OTHER):
        watcher._note(item("u", "Approved", certificate=pem))
    watcher._note(item("v", "Approved", certificate=PEM))
    assert watcher.count() == Count(seen=2, issued=2, refused=0, both=0, issued_twice=1, open=0, deleted_open=0)


def test_issued_and_refused(watcher: Watcher) -> None:
    """A request that is issued and refused is seen as both, even when the one replaced the other."""
    watcher._note(item("u", "Approved", certificate=PEM))
    watcher._note(item("u", "Approved", "Failed"))
    assert watcher.count() == Count(seen=1, issued=1, refused=1, both=1, issued_twice=0, open=0, deleted_open=0)
    assert watcher.snapshot()["u"].refusals == ["Failed: R: M"]


def test_open_and_lost(watcher: Watcher) -> None:
    """An approved request without an answer is open; deleted before its answer it is lost; unapproved it is neither."""
    watcher._note(item("open", "Approved"))
    watcher._note(item("lost", "Approved"))
    watcher._note(item("lost", "Approved"), deleted=True)
    watcher._note(item("new"))
    assert watcher.count() == Count(seen=3, issued=0, refused=0, both=0, issued_twice=0, open=1, deleted_open=1)


def test_select(watcher: Watcher) -> None:
    """Totals can be of some requests only."""
    for uid in ("a", "b"):
        watcher._note(item(uid, "Denied"))
    assert watcher.count(lambda one: one.name == "n-a").refused == 1


def test_a_namesake_is_another(watcher: Watcher) -> None:
    """A request that is made again under the same name is counted for itself."""
    first, second = item("u", "Approved", certificate=PEM), item("v", "Approved", certificate=OTHER)
    first["metadata"]["name"] = second["metadata"]["name"] = "same"
    watcher._note(first)
    watcher._note(second)
    assert watcher.count().issued_twice == 0
    assert watcher.count().issued == 2
