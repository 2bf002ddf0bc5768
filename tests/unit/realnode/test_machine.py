"""How the machine is read: what the node needs of it, and what the tests of what is left compare."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.realnode import machine

V1 = "25 24 0:22 / /sys/fs/cgroup/{0} rw,relatime shared:9 - cgroup cgroup rw,{0}"
V2 = "30 24 0:26 / {} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
OTHER = "1 0 254:0 / / rw,relatime - ext4 /dev/vda rw"


@given(st.sets(st.sampled_from(["cpu", "memory", "pids", "systemd"])), st.booleans())
def test_hierarchies(names: set[str], unified: bool) -> None:
    """Each place is found, under its version."""
    lines = [OTHER, *(V1.format(name) for name in sorted(names))]
    place = "/sys/fs/cgroup/unified" if names else "/sys/fs/cgroup"
    found = machine.hierarchies("\n".join([*lines, *([V2.format(place)] if unified else [])]) + "\n")
    first = [Path("/sys/fs/cgroup", name) for name in sorted(names)]
    assert found == (first, [Path(place)] if unified else [])


@pytest.mark.parametrize(("text", "bits"), [("Name:\tx\nCapEff:\t0000000000200000\n", 1 << 21), ("Name:\tx\n", 0)])
def test_capabilities(text: str, bits: int) -> None:
    """A root without capabilities is seen as one."""
    assert machine.capability_bits(text) == bits


def test_file_systems() -> None:
    """Kinds that need no disk are among them."""
    assert machine.file_systems("nodev\toverlay\n\text4\n\n") == {"overlay", "ext4"}


def test_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without root the reason is told before anything is built."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert machine.lacking() == "it needs root, for namespaces, mounts and control groups"


def test_inhabitants() -> None:
    """A process in a namespace is found by it, so that none can be overlooked; of one that is nobody's there is none."""
    found = machine.inhabitants({"net": machine.own_namespaces()["net"]})
    assert str(os.getpid()) in {one.split()[0] for one in found}
    assert machine.inhabitants({"net": "net:[1]"}) == []
