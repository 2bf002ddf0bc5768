"""Kubeconfig files of the local mesh: what is written is read, by nobody but its owner."""

from pathlib import Path

import pytest
import yaml

from tests.localmesh import kubeconfig
from tests.localmesh.errors import LocalMeshError
from tests.localmesh.kubeconfig import Access
from tests.localmesh.pki import Pair
from tests.pki import ANY_TIME, CA

SERVER = CA("server", now=ANY_TIME)
BY_TOKEN = Access("https://127.0.0.1:6443", SERVER.pem, token="secret")
BY_CERTIFICATE = Access("https://127.0.0.1:6443", SERVER.pem, client=Pair(SERVER.pem, SERVER.key_pem))


@pytest.mark.parametrize("access", [BY_TOKEN, BY_CERTIFICATE], ids=["token", "certificate"])
def test_round_trip(tmp_path: Path, access: Access) -> None:
    """Server, CA and credentials come back as they were written."""
    assert kubeconfig.read(kubeconfig.write(tmp_path / "k", access)) == access


def test_for_its_owner_only(tmp_path: Path) -> None:
    """A file with a token in it is readable by its owner only, and leaves no scratch file behind."""
    path = kubeconfig.write(tmp_path / "k", BY_TOKEN)
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_files_beside_it(tmp_path: Path) -> None:
    """Certificates may lie in files beside the kubeconfig, as kubeadm has them."""
    path = kubeconfig.write(tmp_path / "k", BY_CERTIFICATE)
    document = yaml.safe_load(path.read_text())
    user = document["users"][0]["user"]
    for field, content in (("client-certificate", SERVER.pem), ("client-key", SERVER.key_pem)):
        del user[f"{field}-data"]
        user[field] = f"{field}.pem"
        (tmp_path / f"{field}.pem").write_bytes(content)
    path.write_text(yaml.safe_dump(document))
    assert kubeconfig.read(path) == BY_CERTIFICATE


def test_incomplete(tmp_path: Path) -> None:
    """A file without a current context, or without credentials that we can use, is told by its name."""
    path = tmp_path / "k"
    path.write_text("clusters: []\n")
    with pytest.raises(LocalMeshError, match="not a complete kubeconfig"):
        kubeconfig.read(path)
    document = yaml.safe_load(kubeconfig.write(path, BY_TOKEN).read_text())
    document["users"][0]["user"] = {"exec": {"command": "aws"}}
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(LocalMeshError, match="exec plugins do not work here"):
        kubeconfig.read(path)


def test_headers() -> None:
    """A token goes into a header, and never into a repr."""
    assert BY_TOKEN.headers() == {"Authorization": "Bearer secret"}
    assert BY_CERTIFICATE.headers() == {}
    assert "secret" not in repr(BY_TOKEN)
