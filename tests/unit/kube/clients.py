"""Clients of a fake API server, and a source of tokens, for the tests of the client."""

import asyncio
from dataclasses import replace
from typing import Any

from signer.kube.access.config import ConfigError, ConnectionConfig
from signer.kube.client import ApiClient
from tests.fakes.apiserver import FakeApiServer


def client_of(server: FakeApiServer, config: ConnectionConfig | None = None, **more: Any) -> ApiClient:
    return ApiClient(config or server.config, clock=asyncio.get_running_loop().time, **more)


class Tokens:
    """A source of credentials that a test turns."""

    def __init__(self, server: FakeApiServer) -> None:
        self.current = "Bearer 1"
        self.asked = 0
        self.reloads = 0
        self.broken = False
        self._server = server

    def authorization(self) -> str | None:
        self.asked += 1
        if self.broken:
            raise ConfigError("no token")
        return self.current

    def reload(self) -> ConnectionConfig:
        self.reloads += 1
        if self.broken:
            raise ConfigError("no kubeconfig")
        return self.config()

    def config(self) -> ConnectionConfig:
        return replace(self._server.config, authorization=self.authorization, reload=self.reload)


def sent(server: FakeApiServer) -> list[str | None]:
    return [seen.headers.get("Authorization") for seen in server.seen]
