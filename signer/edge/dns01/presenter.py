"""DNS-01: puts the TXT record of a Challenge into the DNS, and looks for it at every server of its zone.

By RFC 2136 at the issuer's name server, by an acme-dns server, a webhook or a DNS product's API, or as a DNSEndpoint that
External-DNS carries out. A Challenge names its solver itself, and anyone may write one: present and check are for those that
the controller found to be ours; for taking away, the solver must be one of the issuer's, and the note of what was written
must bear our seal (writers.py).
Used on the loop, in the leader. Only pauses between failed tries are kept in memory.
"""

import asyncio
import hmac
import time
from dataclasses import dataclass

from issuers.acme.client.transport import Server
from signer.api.challenge import CHALLENGES, Challenge
from signer.api.issuer import IssuerRef
from signer.api.notes import text_note
from signer.authorities.registry import Registry
from signer.edge.challenges.presenter import Cause, Found, Left
from signer.edge.dns01 import acme_dns, webhook
from signer.edge.dns01.external_dns import Endpoints
from signer.edge.dns01.queries import NoAnswer, Questions
from signer.edge.dns01.record import apex, classify, hides_others, is_name, record_name, waiting
from signer.edge.dns01.writers import Later, RecordWriter, Writers
from signer.edge.hosts.permit import RecordRules
from signer.edge.issuers.dns01_spec import AcmeDns, Dns01, ExternalDns, own_credentials, read_dns01
from signer.edge.orders.values import issuer_of
from signer.edge.proxies.reach import Reach
from signer.kube.client import ApiClient
from signer.tenancy.verdict import Reason, Refuse

NOTE = "mesh-signer.dev/dns01-record"
"""On a Challenge: the name under which its value was written, and our seal."""
_SHORTEST, _LONGEST = 2.0, 30.0
# For all questions of one step together: a slow zone has a worker for so long and no longer.
_STEP_SECONDS = 20.0
# Less than that, so that an acme-dns server that is slow is named itself.
_SERVER_SECONDS = 10.0
_TOO_SLOW = f"the name servers did not finish within {_STEP_SECONDS:.0f} s"


@dataclass
class _Pause:
    """Until when what failed is not tried again, and what is said meanwhile."""

    until: float
    seconds: float
    reason: Reason


class DnsPresenter:
    """Presents Challenges of DNS-01. `rules` say whose names are.

    `recursive_only`: the recursive servers are asked for the record too, and no others.
    """

    def __init__(
        self,
        client: ApiClient,
        registry: Registry,
        questions: Questions,
        *,
        cluster_resource_namespace: str,
        rules: RecordRules,
        reach: Reach | None = None,
        recursive_only: bool = False,
    ) -> None:
        self._client = client
        self._questions = questions
        self._endpoints = Endpoints(client)
        self._rules = rules
        self._reach = reach or Reach()
        self._writers = Writers(client, registry, questions, cluster_resource_namespace, self._reach)
        self._recursive_only = recursive_only
        self._pauses: dict[str, _Pause] = {}

    async def present(self, challenge: Challenge) -> Reason | None:
        """Have the record written; a reason tells what must be there first. Raises Conflict, as DNSEndpoints are shared."""
        uid = challenge.metadata.uid
        pause = self._pauses.get(uid)
        if pause is not None and time.monotonic() < pause.until:
            return pause.reason
        asked = 0.0
        try:
            async with asyncio.timeout(_seconds(challenge)):
                reason = await self._present(challenge)
        except TimeoutError:
            reason = Reason("NoAnswer", f"TXT {record_name(challenge.spec.dns_name)}: {_TOO_SLOW}")
        except Later as error:
            reason, asked = error.reason, error.seconds
        if reason is None:
            self._pauses.pop(uid, None)
        else:
            seconds = min(pause.seconds * 2, _LONGEST) if pause is not None else _SHORTEST
            self._pauses[uid] = _Pause(time.monotonic() + max(seconds, asked), seconds, reason)
        return reason

    async def check(self, challenge: Challenge) -> Found:
        """Ask every server of the record's zone, once; the first that lacks the value is told."""
        ref, name = issuer_of(challenge), record_name(challenge.spec.dns_name)
        if ref is None:
            return waiting(name, "its issuer is not one of ours")
        try:
            async with asyncio.timeout(_STEP_SECONDS):
                return await self._check(ref, name, challenge.spec.key)
        except NoAnswer as error:
            return waiting(name, str(error), Cause.NOT_RESOLVED)
        except TimeoutError:
            return waiting(name, _TOO_SLOW, Cause.NOT_RESOLVED)

    async def clean_up(self, challenge: Challenge) -> Left | None:
        """Take the value away, and no other of the name. Raises Conflict as `present`."""
        self._pauses.pop(challenge.metadata.uid, None)
        solver = challenge.spec.solver.get("dns01")
        if isinstance(solver, dict) and "externalDNS" in solver:
            found = await self._endpoints.remove(challenge.metadata.uid)
            # An issuer may have its records in another namespace; what the API server says of that one is for its people.
            return Left(Reason("LeftBehind", f"DNSEndpoint {found[0].ref.name}: {found[0].message}")) if found else None
        note = text_note(challenge.metadata.annotations, NOTE)
        if not note:
            return None  # it is written before the record is; acme-dns has none, and forgets by itself
        name, _, seal = note.partition(" ")
        what = f"the TXT record {name[:253]!r}"
        ref, settings = issuer_of(challenge), self._still_the_issuers(challenge)
        if ref is None or settings is None or isinstance(settings.provider, AcmeDns | ExternalDns):
            why = f"{what} stays, as its issuer is gone or has another solver now"
            return Left(Reason("LeftBehind", why), again=False)
        writer = await self._writers.of(ref, settings.provider, challenge)
        if isinstance(writer, Reason):
            return Left(writer)
        if not _is_ours(challenge, writer, name, seal):
            why = f"{what} stays: the note of it is not ours, or the TSIG secret or the ACME account's key has changed"
            return Left(Reason("LeftBehind", why), again=False)
        try:
            async with asyncio.timeout(_seconds(challenge)):
                reason = await writer.remove(name, challenge.spec.key)
        except NoAnswer as error:
            reason = Reason("NoAnswer", f"{what}: {error}")
        except Later as error:
            reason = error.reason
        except TimeoutError:
            reason = Reason("NoAnswer", f"{what}: {_TOO_SLOW}")
        return Left(reason) if reason is not None else None

    async def _check(self, ref: IssuerRef, name: str, value: str) -> Found:
        end = await self._questions.delegated(name)
        if isinstance(end, Refuse):
            return waiting(name, end.message)
        if self._recursive_only:
            return classify(end, value, await self._questions.at_recursive_servers(end))
        return classify(end, value, await self._questions.at_all_servers(end, self._reach.of(ref)))

    async def _present(self, challenge: Challenge) -> Reason | None:
        ref = issuer_of(challenge)
        settings = self._settings(challenge)
        if ref is None or isinstance(settings, Reason):
            return settings if isinstance(settings, Reason) else Reason("BadIssuer", "its issuer is not one of ours")
        target = await self._target(challenge, settings)
        if isinstance(target, Reason):
            return target
        spec, meta = challenge.spec, challenge.metadata
        if isinstance(settings.provider, AcmeDns):
            return await self._at_acme_dns(ref, settings.provider, challenge, target)
        if isinstance(settings.provider, ExternalDns):
            namespace = settings.provider.namespace or meta.namespace
            return await self._endpoints.add(target, spec.key, meta.uid, namespace)
        writer = await self._writers.of(ref, settings.provider, challenge)
        if isinstance(writer, Reason):
            return writer
        before, _, seal = text_note(meta.annotations, NOTE).partition(" ")
        try:
            # The name leads elsewhere since the record was written.
            moved = before not in ("", target) and _is_ours(challenge, writer, before, seal)
            if moved and (reason := await writer.remove(before, spec.key)) is not None:
                return reason
            await self._note(challenge, f"{target} {writer.seal(_sealed(challenge, target))}")
            return await writer.add(target, spec.key)
        except NoAnswer as error:
            return Reason("NoAnswer", f"TXT {target}: {error}")

    async def _target(self, challenge: Challenge, settings: Dns01) -> str | Reason:
        """Where the record is to be written."""
        name = record_name(challenge.spec.dns_name)
        try:
            end = await self._questions.delegated(name)
            if isinstance(end, Refuse):
                return end.reasons[0]
            if isinstance(settings.provider, AcmeDns):
                return end  # the account's name or another one, which its Secret tells
            if end != name and not settings.follow:
                why = f"{name} is an alias of {end}, next to which no other record counts: remove it, or set cnameStrategy: Follow"
                return Reason("AliasInTheWay", why)
            if hides_others(name, end) and await self._questions.addresses(end):
                why = f"{name} leads to {end}, which has addresses: a record there could hide them. Lead it to another name"
                return Reason("BadDelegation", why)
            for starved in await self._questions.starved_by(end):
                if starved != apex(challenge.spec.dns_name) and not await self._rules.holds(challenge, starved):
                    why = f"a record under {end} would take from {starved} the addresses that a wildcard gives it"
                    return Reason("BadDelegation", f"{why}, and this namespace does not have that host")
            lent = challenge.spec.issuer_ref.normal()[1] == "ClusterIssuer" or not own_credentials(settings.provider)
            if lent and (refused := await self._rules.may_write(challenge, end)) is not None:
                return refused
        except NoAnswer as error:
            return Reason("NoAnswer", f"TXT {name}: {error}")
        return end

    def _settings(self, challenge: Challenge) -> Dns01 | Reason:
        cluster_wide = challenge.spec.issuer_ref.normal()[1] == "ClusterIssuer"
        found = read_dns01(challenge.spec.solver.get("dns01"), "spec.solver.dns01", cluster_wide=cluster_wide)
        return Reason("InvalidConfiguration", "; ".join(found)) if isinstance(found, tuple) else found

    def _still_the_issuers(self, challenge: Challenge) -> Dns01 | None:
        """The Challenge's solver, if its issuer has it now."""
        ref = issuer_of(challenge)
        issuer = self._writers.issuer(ref) if ref is not None else None
        if issuer is None or challenge.spec.solver not in issuer.solvers:
            return None
        found = self._settings(challenge)
        return found if isinstance(found, Dns01) else None

    async def _at_acme_dns(self, ref: IssuerRef, server: AcmeDns, challenge: Challenge, leads_to: str) -> Reason | None:
        """Have the host's account hold the value, where the record's name leads to that account's and lacks it."""
        host, value = challenge.spec.dns_name, challenge.spec.key
        data = await self._writers.secret(ref, server.secret_name, server.secret_key, "acme-dns account")
        if isinstance(data, Reason):
            return data
        try:
            account = acme_dns.read_account(data, host)
        except ValueError as error:
            return Reason(
                "BadSecret",
                f"Secret {self._writers.namespace_of(ref)}/{server.secret_name}, key {server.secret_key}: {error}",
            )
        name = record_name(host)
        if leads_to != account.fulldomain:
            now = "has no CNAME" if leads_to == name else f"leads to {leads_to}"
            why = f"{name} {now}: lead it to {account.fulldomain}, the acme-dns account's name, by a CNAME"
            return Reason("NotDelegated", why)
        try:
            if (await self._check(ref, name, value)).cause is Cause.PASSED:
                return None  # sent before: again would push out the other of the two values that are kept
        except NoAnswer as error:
            return Reason("NoAnswer", f"TXT {name}: {error}")
        where = Server(
            server.host, addresses=self._writers.rule(ref), ca_bundle=self._reach.roots, seconds=_SERVER_SECONDS
        )
        return await acme_dns.update(where, account, value)

    async def _note(self, challenge: Challenge, text: str) -> None:
        """Write down where the record goes, before it does."""
        meta = challenge.metadata
        if meta.annotations.get(NOTE) != text:
            body = {"metadata": {"uid": meta.uid, "annotations": {NOTE: text}}}
            await self._client.patch(CHALLENGES, meta.name, body, namespace=meta.namespace)


def _seconds(challenge: Challenge) -> float:
    """For one step. A webhook may take its time, beside what the name servers take."""
    solver = challenge.spec.solver.get("dns01")
    slow = isinstance(solver, dict) and "webhook" in solver
    return _STEP_SECONDS + webhook.SECONDS if slow else _STEP_SECONDS


def _is_ours(challenge: Challenge, writer: RecordWriter, name: str, seal: str) -> bool:
    """Tell whether a note is what we wrote for this Challenge. Without TSIG anybody could have, but so they could the record."""
    wanted = writer.seal(_sealed(challenge, name))
    return is_name(name) and hmac.compare_digest(seal.encode(), wanted.encode())


def _sealed(challenge: Challenge, name: str) -> str:
    return f"{challenge.metadata.uid} {name} {challenge.spec.key}"
