"""Reads a plain kubeconfig: one file or several, with a CA, a client certificate, a token, a token's file, or a password.

Strict: what it does not know to the letter it leaves to the `kubernetes` package (plugins.py), which it must equal on all that
it takes: a file that is missing or malformed, exec plugins, auth providers, fields that it has not heard of. Why not that package
alone: docs/adr/0056-a-lean-start.md. Everything blocks.
Source: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
"""

import binascii
import contextlib
import os
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

import msgspec
import yaml

from signer.kube.access.config import ConfigError, ConnectionConfig, header

# Of the file; what administrators of many clusters have is a tenth of it.
_LARGEST = 4 * 1024 * 1024
_CONTEXT = frozenset({"cluster", "user", "namespace", "extensions"})
_CLUSTER = frozenset(
    {
        *("server", "certificate-authority", "certificate-authority-data", "insecure-skip-tls-verify"),
        *("tls-server-name", "proxy-url", "disable-compression", "extensions"),
    }
)
_USER = frozenset(
    {
        *("client-certificate", "client-certificate-data", "client-key", "client-key-data"),
        *("token", "tokenFile", "username", "password", "extensions"),
    }
)


class _Unknown(Exception):
    """This is none of the plain ones."""


class _Entry(msgspec.Struct, frozen=True):
    """A cluster, user or context, with the folder that its relative paths begin at."""

    fields: dict[str, Any]
    folder: str

    def only(self, known: frozenset[str]) -> "_Entry":
        """Raise _Unknown where there are other fields."""
        if not known.issuperset(self.fields):
            raise _Unknown
        return self

    def text(self, name: str) -> str | None:
        """A field's text; None where the field is not there."""
        if name not in self.fields:
            return None
        value = self.fields[name]
        if not isinstance(value, str) or not value:
            raise _Unknown
        return value

    def file(self, name: str, folder: str) -> str | None:
        """The path that a field names, of a file that is there."""
        value = self.text(name)
        if value is None:
            return None
        path = os.path.normpath(os.path.join(folder, value))  # noqa: PTH118 - as the package joins them
        if not os.path.isfile(path):  # noqa: PTH113 - as above
            raise _Unknown
        return path

    def data(self, name: str) -> bytes | None:
        """The bytes of a field in base64."""
        value = self.text(name)
        if value is None:
            return None
        try:
            found = b64decode(value, validate=True)
        except (binascii.Error, ValueError) as error:
            raise _Unknown from error
        if not found:
            raise _Unknown
        return found


def read_plain(path: str, context: str | None) -> ConnectionConfig | None:
    """Read a kubeconfig; `path` and `context` as in load_config.

    Returns:
        The connection, without `reload`; None for a kubeconfig that is left to plugins.py.
    """
    try:
        return _read(path, context)
    except (_Unknown, OSError, ValueError, yaml.YAMLError, RecursionError):
        return None


def _read(path: str, context: str | None) -> ConnectionConfig:
    found: dict[str, dict[str, _Entry]] = {"clusters": {}, "contexts": {}, "users": {}}
    current = context
    for one in filter(None, path.split(":")):
        file = os.path.expanduser(one)  # noqa: PTH111 - as the package expands it
        if not os.path.exists(file):  # noqa: PTH110 - as above
            continue
        document = _document(file)
        for kind, entries in found.items():
            _collect(kind.removesuffix("s"), document.get(kind), os.path.abspath(os.path.dirname(file)), entries)  # noqa: PTH100, PTH120 - as above
        if context is None and "current-context" in document:
            current = document["current-context"]
    if not isinstance(current, str) or current not in found["contexts"]:
        raise _Unknown
    chosen = found["contexts"][current].only(_CONTEXT)
    cluster = _named(found["clusters"], chosen.text("cluster")).only(_CLUSTER)
    user = _named(found["users"], chosen.text("user")) if "user" in chosen.fields else _Entry({}, cluster.folder)
    return _connection(f"kubeconfig {path}", cluster, user.only(_USER), chosen.text("namespace") or "")


def _document(file: str) -> dict[str, Any]:
    with open(file, "rb") as opened:  # noqa: PTH123 - as the package opens it
        content = opened.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise _Unknown
    # The parser that the package has, not libyaml's, which reads a few things otherwise.
    document = yaml.load(content.decode("ascii"), yaml.SafeLoader)
    if not isinstance(document, dict):
        raise _Unknown
    return document


def _collect(kind: str, listed: Any, folder: str, entries: dict[str, _Entry]) -> None:
    """Take the entries of one file: the first of a name counts."""
    if listed is None:
        return
    if not isinstance(listed, list):
        raise _Unknown
    for one in listed:
        if not isinstance(one, dict) or not isinstance(name := one.get("name"), str):
            raise _Unknown
        if name not in entries:
            # What is malformed in an entry that nobody asks for is of no interest.
            fields = one.get(kind)
            entries[name] = _Entry(fields if isinstance(fields, dict) else {"": None}, folder)


def _named(entries: dict[str, _Entry], name: str | None) -> _Entry:
    if name is None or name not in entries:
        raise _Unknown
    return entries[name]


def _connection(where: str, cluster: _Entry, user: _Entry, namespace: str) -> ConnectionConfig:
    host = (cluster.text("server") or "").rstrip("/")
    proxy = cluster.text("proxy-url")
    if not host.startswith(("https://", "http://")) or not (proxy or "http://").startswith(("https://", "http://")):
        raise _Unknown
    insecure = cluster.fields.get("insecure-skip-tls-verify", False)
    if not isinstance(insecure, bool):
        raise _Unknown
    ca = _file_of(cluster, "certificate-authority", cluster.folder)
    # The package takes paths of certificates as relative to the cluster's file, and so do we.
    certificate, key = (_file_of(user, name, cluster.folder) for name in ("client-certificate", "client-key"))
    if (certificate is None) != (key is None):
        raise _Unknown
    tls = host.startswith("https://")
    return ConnectionConfig(
        host=host,
        ca_file=ca if tls else None,
        verify=not insecure,
        cert_file=certificate if tls else None,
        key_file=key if tls else None,
        server_name=cluster.text("tls-server-name"),
        proxy=proxy,
        namespace=namespace,
        authorization=_authorization(where, user),
    )


def _authorization(where: str, user: _Entry) -> Callable[[], str | None]:
    token, name, password = (user.text(field) for field in ("token", "username", "password"))
    file = user.file("tokenFile", user.folder)
    if token is not None:
        return lambda: header(f"Bearer {token}", where)
    if file is not None:
        path = file
        _token(path, where)
        # Such files are rotated.
        return lambda: header(f"Bearer {_token(path, where)}", where)
    if name is not None and password is not None:
        pair = b64encode(f"{name}:{password}".encode("ascii")).decode("ascii")
        return lambda: f"Basic {pair}"
    return lambda: None


def _token(path: str, where: str) -> str:
    try:
        with open(path, encoding="ascii") as opened:  # noqa: PTH123 - a path as the package names it
            token = opened.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where}: the token file {path} cannot be read: {error}") from error
    if not token:
        raise ConfigError(f"{where}: the token file {path} is empty")
    return token


def _file_of(entry: _Entry, name: str, folder: str) -> str | None:
    """The path of a file with what is given as a file or as data, which counts more."""
    file, data = entry.file(name, folder), entry.data(f"{name}-data")
    return file if data is None else _stored(data)


_STORED: dict[bytes, str] = {}
"""The paths of what was given as data, by it: the same again after each reload. Few, since credentials change rarely."""


def _stored(data: bytes) -> str:
    """The path of a file with this data, for OpenSSL, which takes keys from files only.

    It has no name on a disk, where a key would outlive a process that is killed.
    """
    path = _STORED.get(data)
    if path is None or not os.path.exists(path):  # noqa: PTH110 - it may have been swept from /tmp
        path = _STORED[data] = _in_memory(data) if hasattr(os, "memfd_create") else _temporary(data)
    return path


def _in_memory(data: bytes) -> str:
    descriptor = os.memfd_create("mesh-signer")
    with os.fdopen(os.dup(descriptor), "wb") as opened:
        opened.write(data)
    return f"/proc/self/fd/{descriptor}"


def _temporary(data: bytes) -> str:
    """Where there are no files in memory, as on a Mac."""
    import atexit  # noqa: PLC0415 - see above
    import tempfile  # noqa: PLC0415 - see above

    descriptor, path = tempfile.mkstemp(prefix="mesh-signer-")
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(data)
    atexit.register(_remove, path)
    return path


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)  # noqa: PTH108 - a path as tempfile gave it
