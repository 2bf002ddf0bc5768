"""Presents challenges at pebble-challtestsrv, where no gateway is."""

import asyncio
import urllib.request
from dataclasses import dataclass, field

from signer.api.challenge import Challenge
from signer.edge.challenges.presenter import Cause, Found
from signer.tenancy.verdict import Reason
from tests.localmesh.pebble import ChallengeServer


@dataclass
class ServerPresenter:
    """Answers of HTTP-01 and DNS-01. `waits` is a reason to wait for, `blind` lets the self check fail, `looks` makes one."""

    server: ChallengeServer
    waits: Reason | None = None
    blind: str = ""
    wrong: bool = False
    looks: bool = False
    presented: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    async def present(self, challenge: Challenge) -> Reason | None:
        """Put the answer there, unless there is something to wait for."""
        if self.waits is not None:
            return self.waits
        spec = challenge.spec
        key = "wrong" if self.wrong else spec.key
        if spec.type == "HTTP-01":
            await asyncio.to_thread(self.server.add_http, spec.token, key)
        else:
            await asyncio.to_thread(self.server.add_txt, f"_acme-challenge.{spec.dns_name}", key)
        self.presented.append(challenge.metadata.name)
        return None

    async def check(self, challenge: Challenge) -> Found:
        """What the test wants to be seen."""
        if self.blind:
            return Found(Cause.NOT_RESOLVED, f"{challenge.spec.dns_name}: {self.blind}")
        if self.looks and not await asyncio.to_thread(self._there, challenge.spec.token):
            return Found(Cause.NOT_ROUTED, f"{challenge.spec.dns_name}: nobody answers")
        return Found(Cause.PASSED, "the answer is there")

    def _there(self, token: str) -> bool:
        url = f"http://127.0.0.1:{self.server.http_port}/.well-known/acme-challenge/{token}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return bool(answer.read(1))  # what is not there is an empty answer

    async def clean_up(self, challenge: Challenge) -> None:
        """Take the answer away."""
        await asyncio.to_thread(self.server.remove_http, challenge.spec.token)
        self.removed.append(challenge.metadata.name)
