"""The CA by which the injector knows the API server: its own connection's, as it is in the file, when it is one."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from signer.injector.api_server import OwnCA, read_own_ca
from signer.injector.asked import Defect
from signer.kube.encoding.codec import MetadataCodec
from tests import pki
from tests.fakes.virtual_time import virtual_time

CA = pki.CA("api", now=pki.ANY_TIME).pem


def kubeconfig(folder: Path, authority: str) -> str:
    path = folder / "config"
    path.write_text(f"""
apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: "https://127.0.0.1:1"{authority}}}}}]
users: [{{name: u, user: {{token: t}}}}]
contexts: [{{name: x, context: {{cluster: c, user: u}}}}]
current-context: x
""")
    return str(path)


def test_the_file_as_it_is(tmp_path: Path) -> None:
    """The CA is the text of the file, byte for byte."""
    (tmp_path / "ca").write_bytes(b"# a comment\n" + CA)
    assert read_own_ca(kubeconfig(tmp_path, f", certificate-authority: {tmp_path / 'ca'}")) == b"# a comment\n" + CA


@pytest.mark.parametrize("content", [b"", b"x", CA + b"# PRIVATE KEY"])
def test_a_file_that_is_none(tmp_path: Path, content: bytes) -> None:
    """A file that holds no bundle gives a reason, which names the file."""
    (tmp_path / "ca").write_bytes(content)
    found = read_own_ca(kubeconfig(tmp_path, f", certificate-authority: {tmp_path / 'ca'}"))
    assert isinstance(found, Defect)
    assert str(tmp_path / "ca") in found.message


def test_no_ca_at_all(tmp_path: Path) -> None:
    """A connection that goes by the system's roots, and a kubeconfig that is not there, give a reason."""
    for path in (kubeconfig(tmp_path, ""), str(tmp_path / "missing")):
        found = read_own_ca(path)
        assert isinstance(found, Defect)
        assert found.reason == "NoAPIServerCA"


def test_a_ca_that_is_renewed(tmp_path: Path) -> None:
    """A new text in the file is noticed, and told once."""
    file = tmp_path / "ca"
    file.write_bytes(CA)
    config = kubeconfig(tmp_path, f", certificate-authority: {file}")

    @virtual_time
    async def run() -> None:
        told: list[object] = []
        own = OwnCA(config, lambda: told.append(own.found))
        task = asyncio.create_task(own.run())
        await asyncio.sleep(300)
        file.write_bytes(CA + CA)
        await asyncio.sleep(300)
        assert told == [CA, CA + CA]
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    run()


def test_metadata_is_asked_for_alone() -> None:
    """Lists and watches of whatever kind ask for metadata, so that long definitions are neither sent nor read."""
    for accept in (MetadataCodec.accept, MetadataCodec.watch_accept):
        assert "as=PartialObjectMetadata" in accept
