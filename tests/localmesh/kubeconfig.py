"""Kubeconfig files: written for every user of the local mesh, and read again by the small clients in tests.

Only what we write ourselves is read (inline data, or paths to files; token or client certificate); another
cluster's file is first flattened by kubectl.
"""

import base64
import dataclasses
import functools
import json
import os
import ssl
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.localmesh.errors import LocalMeshError
from tests.localmesh.pki import Pair


@dataclasses.dataclass(frozen=True)
class Access:
    """How to reach one API server as one user: https URL, the server's CA (PEM), and a token or a client certificate."""

    server: str
    ca: bytes
    token: str = dataclasses.field(default="", repr=False)
    client: Pair | None = None

    @property
    def host(self) -> str:
        return urlsplit(self.server).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.server).port or 443

    def headers(self) -> dict[str, str]:
        """Headers that authenticate; empty when a client certificate does."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def ssl_context(self) -> ssl.SSLContext:
        """A client context that trusts this server only, with the client certificate loaded; the same one each time."""
        return _context(self.ca, self.client)


# Tests dial by the thousand, and what follows takes as long as the handshake.
@functools.lru_cache(64)
def _context(ca: bytes, client: Pair | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=ca.decode())
    if client is not None:
        # ssl can load a key from a file only.
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:
            file.write(client.key + client.certificate)
            file.flush()
            context.load_cert_chain(file.name)
    return context


def write(path: Path, access: Access, namespace: str = "default") -> Path:
    """Write `access` as a kubeconfig with everything inline, readable by its owner only."""
    user: dict[str, str] = {"token": access.token} if access.token else {}
    if access.client is not None:
        user["client-certificate-data"] = base64.b64encode(access.client.certificate).decode()
        user["client-key-data"] = base64.b64encode(access.client.key).decode()
    cluster = {"server": access.server, "certificate-authority-data": base64.b64encode(access.ca).decode()}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "localmesh", "cluster": cluster}],
        "users": [{"name": "user", "user": user}],
        "contexts": [
            {"name": "localmesh", "context": {"cluster": "localmesh", "user": "user", "namespace": namespace}}
        ],
        "current-context": "localmesh",
    }
    # Made with its final mode, then renamed: a signer that reloads its token never reads half a file.
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(document, file)
    scratch.rename(path)
    return path


def read(path: Path) -> Access:
    """Read the current context of a kubeconfig."""
    document = _document(path.read_text())
    try:
        named = {kind: {one["name"]: one for one in document[kind]} for kind in ("contexts", "clusters", "users")}
        context = named["contexts"][document["current-context"]]["context"]
        cluster, user = named["clusters"][context["cluster"]]["cluster"], named["users"][context["user"]]["user"]
        server = cluster["server"]
    except (KeyError, TypeError) as error:
        raise LocalMeshError(f"{path}: not a complete kubeconfig, {error} is missing") from error
    certificate, key = _data(path, user, "client-certificate"), _data(path, user, "client-key")
    token = user.get("token", "")
    if not token and not certificate:
        raise LocalMeshError(
            f"{path}: users[].user has neither token nor client certificate; exec plugins do not work here"
        )
    pair = Pair(certificate, key) if certificate else None
    return Access(server, _data(path, cluster, "certificate-authority"), token, pair)


@functools.lru_cache(64)
def _document(text: str) -> Any:
    """What a file says; not to be changed."""
    return yaml.load(text, yaml.CSafeLoader)  # the other takes ten times as long


def _data(path: Path, section: dict[str, str], field: str) -> bytes:
    if inline := section.get(f"{field}-data"):
        return base64.b64decode(inline)
    if file := section.get(field):
        return (path.parent / file).read_bytes()
    return b""
