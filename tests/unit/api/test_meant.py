"""What was meant by a name: the same help as difflib gives, at a price that is bounded whoever wrote the names."""

import difflib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import signer
import signer.api.meant
from signer.api.certificate import IssuerReference
from signer.api.issuer import GROUP
from signer.api.meant import LONGEST, Effort, near, nearest
from signer.api.proxyconfig import CERT_SIGNER, ProxyConfig
from signer.authorities.state import not_found
from signer.edge.gateways.gather import gather
from signer.edge.gateways.opt_in import CLUSTER_ISSUER
from signer.mesh.reading import slim_proxy_config
from tests.unit.edge import objects

names = st.text(alphabet="abcd", min_size=1, max_size=8)


@given(names, st.lists(names, max_size=6), st.sampled_from([0.6, 0.75, 0.86, 0.94]))
def test_as_difflib_says(name: str, known: list[str], cutoff: float) -> None:
    """What is passed over by length and letters is what difflib finds too far off."""
    assert near(name, known, cutoff) == difflib.get_close_matches(name, known, n=10, cutoff=cutoff)


def test_what_is_too_long() -> None:
    """A name that is longer than any of ours is near nothing, and an empty one too."""
    assert nearest("a" * (LONGEST + 1), ["a" * LONGEST], 0.1) == ""
    assert nearest("", ["a"], 0.1) == ""


def test_effort_is_shared() -> None:
    """Who has spent it gets no help."""
    effort = Effort(names=5, characters=100)
    assert [nearest("abcdefgh", ["abcdefgi"], 0.8, effort) for _ in range(3)] == ["abcdefgi", "", ""]
    assert len(list(Effort(names=5).of("abcdefghi"))) == 5


def orders_of(text: str, number: int) -> list[str]:
    """Names that have the letters of a text, in another order each."""
    drawn = random.Random(1)
    return ["".join(drawn.sample(text, len(text))) for _ in range(number)]


def gateways(number: int) -> Any:
    notes = dict.fromkeys(orders_of(CLUSTER_ISSUER.replace("/", ""), 2000), "")
    listed = [objects.gateway(objects.http("a.example"), annotations=notes, name=f"g{n}") for n in range(number)]
    return lambda: gather(listed, [], {}, None)


def proxy_config(text: str) -> ProxyConfig:
    spec = {"environmentVariables": dict.fromkeys(orders_of(text, 2000), "")}
    return ProxyConfig(metadata=objects.gateway(objects.http("a")).metadata, raw_spec=spec)


GROUPS = orders_of(GROUP, 20)
CALLS: dict[str, tuple[Callable[[], object], int]] = {
    "annotations of Gateways": (gateways(30), 30_000),
    "variables of a ProxyConfig, as it is kept": (lambda: slim_proxy_config(proxy_config(CERT_SIGNER)), 2000),
    "variables of a ProxyConfig, as they are told": (lambda: proxy_config(CERT_SIGNER).misspelt, 2000),
    "twice the variable": (lambda: proxy_config(CERT_SIGNER * 2).misspelt, 2000),
    "names of Secrets": (
        lambda: not_found("foo", "a" + "bcdefghijk" * 4, orders_of("a" + "bcdefghijk" * 4, 3000)),
        20_000,
    ),
    "a group": (lambda: [IssuerReference(name="x", group=one).misspelt for one in GROUPS], 20 * len(GROUP) ** 2),
}


@pytest.mark.parametrize("what", CALLS)
def test_nobody_takes_more(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many names somebody writes, and however near they seem, few are compared letter by letter."""
    call, most = CALLS[what]
    compared = 0
    real = difflib.SequenceMatcher

    class Counted(real):  # type: ignore[valid-type, misc]
        def ratio(self) -> float:
            nonlocal compared
            compared += len(self.a) * len(self.b)
            return float(super().ratio())

    monkeypatch.setattr(signer.api.meant, "SequenceMatcher", Counted)
    call()
    assert 0 < compared <= most or what == "twice the variable"


def test_names_are_compared_in_one_place() -> None:
    """Nobody else compares names by difflib, which sets no end to it."""
    sources = [path for root in signer.__path__ for path in Path(root).rglob("*.py")]
    assert [path.name for path in sources if "difflib" in path.read_text("utf-8").replace("difflib needs", "")] == [
        "meant.py"
    ]
