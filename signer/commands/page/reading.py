"""Reads a cluster for the page, as `doctor`, `status` and `edge` do, with one list for what two of them need.

The check-up asks some sixty questions about rights, which change rarely: it is made anew once a minute, and in between only
what moves is read. One look at a time, on the loop of one command.
"""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from signer.api.certificate import IssuerReference
from signer.api.certificaterequest import CERTIFICATE_REQUESTS
from signer.api.certificatesigningrequest import CERTIFICATE_SIGNING_REQUESTS
from signer.api.event import EVENTS
from signer.api.tenantbridge import TENANT_BRIDGES
from signer.commands.checks.examination import DEPLOYMENTS, gather
from signer.commands.checks.facts import Facts
from signer.commands.command import ask_again, greet
from signer.commands.hosts import read_lists
from signer.commands.live import list_all, problem_of, read_mesh
from signer.commands.page.seen import Seen, Warned
from signer.kube.client import ApiClient
from signer.kube.clock import utc_now
from signer.kube.encoding.codec import JsonCodec
from signer.kube.encoding.framing import CodecError
from signer.kube.errors import ApiError, Unreachable
from signer.kube.leases.record import LEASES
from signer.settings.values import Settings

CHECK_UP = timedelta(minutes=1)
_EVENTS: dict[str, str | int | bool] = {"fieldSelector": "source=mesh-signer,type=Warning", "limit": 500}
_PAGES = 4


class Reader:
    """Looks at one cluster again and again; `default` is the issuer of hosts that name none, `given` the --request-timeout."""

    def __init__(self, client: ApiClient, settings: Settings, default: IssuerReference | None, given: str) -> None:
        self._client = client
        self._settings = settings
        self._default = default
        self._given = given
        self._facts: Facts | None = None
        self._checked = datetime.min.replace(tzinfo=UTC)

    async def look(self) -> Seen:
        """Read everything that the page shows; what may not be read says so itself.

        Raises NotFoundOut where the API server does not answer, also in the middle of it, or does not know us.
        """
        client = self._client
        ask_again(client)
        await greet(client, self._given)
        facts = await self._look_at_mesh()
        requests, of_certificates, lists, (warned, problem) = await asyncio.gather(
            list_all(client, CERTIFICATE_SIGNING_REQUESTS),
            list_all(client, CERTIFICATE_REQUESTS),
            read_lists(client),
            self._events(),
        )
        await greet(client, self._given)
        self._facts = facts
        return Seen(
            getattr(client, "host", ""), facts, requests, of_certificates, lists, self._default, warned, problem
        )

    async def _look_at_mesh(self) -> Facts:
        client = self._client
        now = utc_now()  # as `gather` has it: its skew is beside it
        if self._facts is None or now - self._checked >= CHECK_UP:
            self._checked = now
            return await gather(client, self._settings)
        mesh, deployments, leases, bridges = await asyncio.gather(
            read_mesh(client, self._settings, now=now),
            list_all(client, DEPLOYMENTS),
            list_all(client, LEASES),
            list_all(client, TENANT_BRIDGES),
        )
        return replace(self._facts, mesh=mesh, now=now, deployments=deployments, leases=leases, bridges=bridges)

    async def _events(self) -> tuple[tuple[Warned, ...], str]:
        """List our Events of type Warning, some two thousand at most; why there are none, where they may not be read."""
        found: list[Warned] = []
        query, codec = dict(_EVENTS), JsonCodec(Warned)
        try:
            for _ in range(_PAGES):
                answer = await self._client.request("GET", EVENTS.path(), query=query)
                page = codec.decode_list(answer.body)
                found.extend(page.whole()[0])
                if not page.continue_token:
                    break
                query["continue"] = page.continue_token
        except (ApiError, Unreachable, CodecError) as error:
            return (), problem_of(EVENTS, None, error)
        return tuple(found), ""
