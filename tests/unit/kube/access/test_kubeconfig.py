"""The reader of plain kubeconfigs: what it takes, the `kubernetes` package reads the same; the rest is left to that."""

import base64
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from signer.kube.access import kubeconfig
from signer.kube.access.config import ConfigError, ConnectionConfig
from signer.kube.access.kubeconfig import read_plain
from signer.kube.access.plugins import read_any
from tests.examples import examples

CERTIFICATE = base64.b64encode(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").decode()
PLAIN: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "c", "cluster": {"server": "https://10.0.0.1:6443/"}}],
    "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}],
    "users": [{"name": "u", "user": {"token": "secret"}}],
    "current-context": "x",
}


def said(config: ConnectionConfig) -> dict[str, Any]:
    """All of a connection, with what is in the files that it names, as the two keep data in files of their own."""
    found: dict[str, Any] = {
        name: getattr(config, name) for name in ("host", "verify", "server_name", "proxy", "namespace")
    }
    for name in ("ca_file", "cert_file", "key_file"):
        path = getattr(config, name)
        found[name] = Path(path).read_bytes() if path else None
    try:
        found["authorization"] = config.authorization()
    except ConfigError as error:
        found["authorization"] = "cannot stand in a header" in str(error)
    return found


def same(path: str, context: str | None = None) -> bool:
    """Whether the plain reader takes it; then the two agree."""
    plain = read_plain(path, context)
    if plain is not None:
        assert said(plain) == said(read_any(path, context))
    return plain is not None


def edited(folder: Path, **changes: dict[str, Any]) -> str:
    """A plain kubeconfig with more in its cluster, user or context."""
    document = json.loads(json.dumps(PLAIN))
    for kind, more in changes.items():
        document[f"{kind}s"][0][kind].update(more)
    path = folder / "config"
    path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    return str(path)


TAKEN: dict[str, dict[str, dict[str, Any]]] = {
    "token": {},
    "password": {"user": {"token": "t", "username": "u", "password": "p"}},
    "CA data": {"cluster": {"certificate-authority-data": CERTIFICATE}},
    "CA file": {"cluster": {"certificate-authority": "there"}},
    "CA file and data": {"cluster": {"certificate-authority": "there", "certificate-authority-data": CERTIFICATE}},
    "client certificate": {"user": {"client-certificate-data": CERTIFICATE, "client-key-data": CERTIFICATE}},
    "client files": {"user": {"client-certificate": "there", "client-key": "../config/there"}},
    "unverified": {"cluster": {"insecure-skip-tls-verify": True}},
    "verified": {"cluster": {"insecure-skip-tls-verify": False}},
    "server name": {"cluster": {"tls-server-name": "kubernetes"}},
    "proxy": {"cluster": {"proxy-url": "http://u:p@proxy:3128"}},
    "plain HTTP": {"cluster": {"server": "http://127.0.0.1:1", "certificate-authority": "there"}},
    "extensions": {"cluster": {"extensions": [{"name": "minikube"}]}},
}
LEFT: dict[str, dict[str, dict[str, Any]]] = {
    "exec": {"user": {"exec": {"command": "x"}}},
    "auth provider": {"user": {"auth-provider": {"name": "oidc"}}},
    "impersonation": {"user": {"as": "root"}},
    "a field of the future": {"cluster": {"tls-server-names": ["a"]}},
    "empty token": {"user": {"token": ""}},
    "token of another type": {"user": {"token": 7}},
    "half a client certificate": {"user": {"client-certificate-data": CERTIFICATE}},
    "no base64": {"cluster": {"certificate-authority-data": "%%%"}},
    "CA file that is not there": {"cluster": {"certificate-authority": "absent"}},
    "unverified in words": {"cluster": {"insecure-skip-tls-verify": "true"}},
    "another scheme": {"cluster": {"server": "ftp://x"}},
    "a proxy of another kind": {"cluster": {"proxy-url": "socks5://x"}},
    "no cluster": {"context": {"cluster": "absent"}},
    "not ASCII": {"context": {"namespace": "caf\u00e9"}},
}


class TestPlain:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        made = tmp_path / "config"
        made.mkdir()
        (made / "there").write_text("a file")
        return made

    @pytest.mark.parametrize("case", TAKEN)
    def test_taken(self, folder: Path, case: str) -> None:
        """What is plain is read without the package, to the same connection."""
        assert same(edited(folder, **TAKEN[case]))

    @pytest.mark.parametrize("case", LEFT)
    def test_left(self, folder: Path, case: str) -> None:
        """What is not plain is left to the package, and not half read."""
        assert read_plain(edited(folder, **LEFT[case]), None) is None

    def test_keys_are_on_no_disk(self, folder: Path) -> None:
        """What is given as data is in memory, and the same file after a reload."""
        path = edited(folder, **TAKEN["client certificate"])
        first, second = read_plain(path, None), read_plain(path, None)
        assert first is not None
        assert first == second
        assert first.key_file is not None
        assert first.key_file.startswith("/proc/self/fd/")

    def test_without_files_in_memory(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Elsewhere it is a file that only we may read, made again when it was swept away."""
        monkeypatch.delattr(os, "memfd_create")
        monkeypatch.setattr(kubeconfig, "_STORED", {})
        path = edited(folder, **TAKEN["client certificate"])
        for _ in range(2):
            found = read_plain(path, None)
            assert found is not None
            assert found.key_file is not None
            stored = Path(found.key_file)
            assert (stored.read_bytes(), stored.stat().st_mode & 0o777) == (base64.b64decode(CERTIFICATE), 0o600)
            kubeconfig._remove(str(stored))
            assert not stored.exists()

    def test_token_file(self, folder: Path) -> None:
        """A token's file is relative to the file that names it, and is read each time, as it is rotated."""
        document = json.loads(json.dumps(PLAIN))
        document["users"][0]["user"] = {"tokenFile": "there"}
        path = folder / "config"
        path.write_text(json.dumps(document))
        (folder / "there").write_text("first\n")
        assert same(str(path))
        found = read_plain(str(path), None)
        assert found is not None
        assert found.authorization() == "Bearer first"
        (folder / "there").write_text("second\n")
        assert found.authorization() == "Bearer second"
        for broken in (b"", b"\xff"):
            (folder / "there").write_bytes(broken)
            with pytest.raises(ConfigError, match="there"):
                found.authorization()

    def test_several_files(self, tmp_path: Path) -> None:
        """Of several files the first entry of a name counts, and the last current context; paths begin at each entry's file."""
        paths = []
        for number, name in enumerate(("one", "two")):
            folder = tmp_path / name
            folder.mkdir()
            (folder / "ca").write_text(name)
            document = json.loads(json.dumps(PLAIN))
            document["clusters"][0]["cluster"]["certificate-authority"] = "ca"
            document["contexts"][0]["name"] = f"x{number}"
            document["users"][0]["user"]["token"] = name
            document["current-context"] = f"x{number}"
            (folder / "config").write_text(json.dumps(document))
            paths.append(str(folder / "config"))
        joined = ":".join([paths[0], str(tmp_path / "absent"), "", paths[1]])
        assert same(joined)
        assert same(joined, "x0")
        found = read_plain(joined, None)
        assert found is not None
        assert (found.authorization(), Path(found.ca_file or "").read_text()) == ("Bearer one", "one")

    def test_too_large(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """No more than the bound is read."""
        monkeypatch.setattr(kubeconfig, "_LARGEST", 100)
        assert read_plain(edited(folder), None) is None


ODD: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(
        [None, True, 7, [], {}, "", "ca", "absent", "../k/ca", "https", "t o", "x\ny", "n\u00f6", CERTIFICATE]
    ),
    st.text(st.characters(codec="latin-1"), max_size=8),
)
SERVERS = st.sampled_from(["https://10.0.0.1:6443", "https://h/p/", "http://h"])
GOOD: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "cluster": {
        "certificate-authority": st.just("ca"),
        "certificate-authority-data": st.just(CERTIFICATE),
        "insecure-skip-tls-verify": st.booleans(),
        "tls-server-name": st.just("kubernetes"),
        "proxy-url": st.just("http://proxy:1"),
        "disable-compression": st.booleans(),
        "extensions": st.just([]),
    },
    "user": {
        **{name: st.just("ca") for name in ("client-certificate", "client-key", "tokenFile")},
        **{name: st.just(CERTIFICATE) for name in ("client-certificate-data", "client-key-data")},
        **{name: st.just("some") for name in ("token", "username", "password")},
        "extensions": st.just([]),
    },
    "context": {"namespace": st.just("shop"), "extensions": st.just([])},
}


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """A kubeconfig of good fields, with a few of which now and then something odd is done."""
    names = st.sampled_from(["a", "a", "b"])
    document: dict[str, Any] = {"current-context": draw(names)} if draw(st.booleans()) else {}
    for kind, known in GOOD.items():
        listed = []
        for _ in range(draw(st.integers(1, 3))):
            fields = {name: draw(known[name]) for name in draw(st.sets(st.sampled_from(sorted(known)), max_size=4))}
            if kind == "cluster":
                fields["server"] = draw(SERVERS)
            if kind == "context":
                fields.update(cluster="a", user="a")
            listed.append({"name": draw(names), kind: fields})
        document[f"{kind}s"] = listed
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        kind = draw(st.sampled_from(sorted(GOOD)))
        entry = draw(st.sampled_from(document[f"{kind}s"]))
        fields = entry[kind] if isinstance(entry[kind], dict) else {}
        where = draw(st.sampled_from(["name", kind, *sorted(fields), *sorted(GOOD[kind]), "new"]))
        (entry if where in {"name", kind} else fields)[where] = draw(ODD)
    return document


@pytest.mark.heavy
@settings(max_examples=examples(500), deadline=None)
@given(st.lists(documents(), min_size=1, max_size=2), st.sampled_from([None, "a", "b"]), st.booleans())
def test_whatever_is_taken_the_package_reads_too(
    several: list[dict[str, Any]], context: str | None, flow: bool
) -> None:
    """On every kubeconfig that the plain reader takes, the package's gives the same connection, and no error."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "k"
        folder.mkdir()
        (folder / "ca").write_text("a file")
        for number, document in enumerate(several):
            text = json.dumps(document) if flow else yaml.safe_dump(document, allow_unicode=True)
            (folder / str(number)).write_text(text, encoding="utf-8")
        same(":".join(str(folder / str(number)) for number in range(len(several))), context)


@settings(max_examples=examples(200), deadline=None)
@given(st.data())
def test_whatever_text_is_taken_the_package_reads_too(data: st.DataObject) -> None:
    """So it is with files that were damaged somewhere."""
    whole = yaml.safe_dump(PLAIN)
    start = data.draw(st.integers(0, len(whole)))
    length = data.draw(st.integers(0, 3))
    put = data.draw(
        st.sampled_from(
            ["", "\t", "\r", "#", ":", "- ", "&a ", "*a", "\x00", "\x85", "{", "'", '"', "\n", " ", "!!str "]
        )
    )
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "config"
        path.write_text(whole[:start] + put + whole[start + length :], encoding="utf-8", newline="")
        same(str(path))
