"""How systems and images are made: what is mounted, what is fetched from where, what goes in."""

import configparser
import os
import shlex
from pathlib import Path

import pytest

from tests.localmesh.build import cache_folder
from tests.realnode import images, namespaces, systems

ROOT = Path(__file__).resolve().parents[3]


def test_the_image_is_built_again_when_what_it_copies_changes() -> None:
    """All that the Dockerfile may copy is part of the name under which the image is kept."""
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(images._CONTEXT) == allowed | {"Dockerfile", ".dockerignore"}
    found = list(images.context(ROOT))
    assert {ROOT / "signer" / "cli.py", ROOT / "Dockerfile", ROOT / "requirements.lock"} <= set(found)
    assert not [one for one in found if one.suffix == ".pyc"]


@pytest.mark.parametrize(
    ("listed", "told"),
    [
        ("", {"cert": "/pip/ca.crt"}),
        ("global.index-url='https://pypi.example/simple'", {"index-url": "https://pypi.example/simple"}),
        ("global.extra-index-url='\\nhttps://a\\nhttps://b'", {"extra-index-url": "\nhttps://a\nhttps://b"}),
        (":env:.default-timeout='180'\nuser.proxy='http://p:1'", {"default-timeout": "180", "proxy": "http://p:1"}),
        (":env:.find-links='/opt/wheels'\nglobal.no-index='1'\nglobal.cert='/x'", {"cert": "/pip/ca.crt"}),
    ],
)
def test_pip_is_told_what_this_machines_pip_is_told(listed: str, told: dict[str, str]) -> None:
    """An index and a proxy of one's own hold in the image's build; folders of the machine are not there and are left out."""
    read = configparser.ConfigParser(interpolation=None)
    read.read_string(images.pip_configuration(listed))
    assert dict(read["global"]) == {"cert": "/pip/ca.crt"} | told


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        ("", "http://deb.debian.org/debian"),
        ("http://security.debian.org/debian-security/\nhttp://near.example/debian/\n", "http://near.example/debian"),
        ("http://archive.ubuntu.com/ubuntu/\n", "http://deb.debian.org/debian"),
    ],
)
def test_mirror(targets: str, expected: str) -> None:
    """The machine's own archive of Debian is asked, and never one of security or of another distribution."""
    assert systems.mirror(targets) == expected


@pytest.mark.parametrize("apart", [True, False])
def test_mounts(tmp_path: Path, apart: bool) -> None:
    """Whatever the folders are called, each is one word, and what is in the node's root is in its own folder."""
    work = tmp_path / "a b'c"
    (folder := tmp_path / "x y").mkdir()
    (file := tmp_path / "z").touch()
    binds = {folder: "var/lib/x", file: "images/z", Path("/f"): "proc/sys/vm/f"}
    script = namespaces.mounts(Path("/system"), work, binds, apart=apart)
    mounted = [shlex.split(line) for line in script.splitlines() if line.startswith("mount")]
    assert all(one[-1].startswith(str(work / "root")) for one in mounted)
    assert [one[2:] for one in mounted if one[1] == "--bind"] == [
        [str(folder), f"{work}/root/var/lib/x"],
        [str(file), f"{work}/root/images/z"],
        ["/f", f"{work}/root/proc/sys/vm/f"],
    ]
    made = [shlex.split(line) for line in script.splitlines() if line.startswith("mkdir")]
    assert made == [  # and nothing below /proc
        ["mkdir", "-p", f"{work}/root/var/lib/x"],
        ["mkdir", "-p", f"{work}/root/images", "&&", "touch", f"{work}/root/images/z"],
    ]
    assert ("mount -t sysfs" in script) == apart


def test_namespaces_end_with_their_caller() -> None:
    """The command asks the kernel twice to end what it started, and shares no mounts."""
    command = namespaces.command(["pytest"], Path("/catatonit"))
    assert command[:3] == ["setpriv", "--pdeathsig", "KILL"]
    assert {"--kill-child", "--mount", "--net", "--pid"} <= set(command)
    assert command[command.index("--propagation") + 1] == "private"
    assert command[-4:] == ["/catatonit", "-g", "--", "pytest"]


def test_old_images_go(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The cache keeps the last images and does not grow with each change of the program."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for number in range(5):
        (folder := cache_folder() / f"node-image-{number}").mkdir(parents=True)
        (folder / "image.tar").touch()
        os.utime(folder / "image.tar", (number, number))
    (other := cache_folder() / "node-image-9").mkdir()
    (other / "pause.tar").touch()
    images.forget("image.tar")
    assert {one.name for one in cache_folder().iterdir()} == {f"node-image-{number}" for number in (2, 3, 4, 9)}
