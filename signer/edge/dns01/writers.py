"""Who writes the record of a Challenge: a name server, a webhook or a DNS product, each with what the issuer's Secrets say.

Secrets are read where the issuer's Secrets lie, and nowhere else: in an Issuer's own namespace, or in the cluster resource
namespace for a ClusterIssuer. What is written is noted with a seal, by which it is known again before it is taken away:
by the TSIG secret, or by the ACME account's key, which nobody else has either.
Used on the loop. Nothing is kept: a changed Secret counts at once.
"""

import asyncio
from typing import Protocol

from issuers.acme.targets import ANYWHERE, AddressRule
from signer.api.challenge import Challenge
from signer.api.issuer import IssuerRef
from signer.api.secret import SECRETS, read_secret
from signer.authorities.registry import Registry
from signer.edge.dns01.apis.caller import At, Caller
from signer.edge.dns01.apis.made import client_of, entries, product
from signer.edge.dns01.apis.steps import Client, Refusal, TxtValue
from signer.edge.dns01.queries import Questions
from signer.edge.dns01.record import FAILED, note_seal
from signer.edge.dns01.rfc2136 import Updates
from signer.edge.dns01.webhook import Proof, WebhookRecords
from signer.edge.issuers.dns01_apis import Api
from signer.edge.issuers.dns01_fields import SecretEntry
from signer.edge.issuers.dns01_spec import Persistent, Rfc2136, Webhook
from signer.edge.issuers.spec import AcmeIssuer, judge_acme
from signer.edge.proxies.reach import Reach
from signer.kube.client import ApiClient
from signer.kube.errors import Forbidden, NotFound
from signer.tenancy.verdict import Reason

Written = Rfc2136 | Webhook | Persistent | Api
"""Providers whose records are noted before they are written, and taken away afterwards."""


class RecordWriter(Protocol):
    """Writes single values of TXT records. Each may raise NoAnswer, where the zone cannot be found."""

    def seal(self, text: str) -> str:
        """What only we can say of a text."""

    async def add(self, name: str, value: str) -> Reason | None:
        """Add a value; again is no harm. A reason tells what is wrong."""

    async def remove(self, name: str, value: str) -> Reason | None:
        """Remove the value and no other."""


class Later(Exception):
    """Whoever keeps the record asks to be left alone for some seconds."""

    def __init__(self, reason: Reason, seconds: float) -> None:
        super().__init__(reason, seconds)
        self.reason = reason
        self.seconds = seconds


class ApiRecords:
    """A DNS product's records, for one issuer."""

    def __init__(self, caller: Caller, client: Client, at: At, names: tuple[str, Questions, bytes]) -> None:
        self._caller = caller
        self._client = client
        self._at = at
        self._product, self._questions, self._secret = names

    def seal(self, text: str) -> str:
        """What only we can say of a text."""
        return note_seal(self._secret, text)

    async def add(self, name: str, value: str) -> Reason | None:
        """Add the value, beside those that are there. Raises Later, NoAnswer."""
        return await self._change(name, value, add=True)

    async def remove(self, name: str, value: str) -> Reason | None:
        """Remove the value and no other. Raises Later, NoAnswer."""
        return await self._change(name, value, add=False)

    async def _change(self, name: str, value: str, *, add: bool) -> Reason | None:
        record = TxtValue(await self._questions.zone(name), name, value)
        change = self._client.add if add else self._client.remove
        try:
            await self._caller.take(name, lambda now, nonce: change(record, now, nonce), self._at)
        except Refusal as error:
            reason = Reason(FAILED, f"{self._product} {error}")
            if error.wait:
                raise Later(reason, error.wait) from None
            return reason
        return None


class Writers:
    """Makes them."""

    def __init__(
        self,
        client: ApiClient,
        registry: Registry,
        questions: Questions,
        namespace: str,
        reach: Reach,
    ) -> None:
        self._client = client
        self._registry = registry
        self._questions = questions
        self._namespace = namespace
        self._reach = reach
        self._caller = Caller()

    async def of(self, ref: IssuerRef, provider: Written, challenge: Challenge) -> RecordWriter | Reason:
        """The one for an issuer's provider, or what is wrong with its Secrets."""
        if isinstance(provider, Persistent):
            return Reason("BadIssuer", "its solver is for dns-persist-01, for which nothing is written")
        if isinstance(provider, Rfc2136):
            return await self._updates(ref, provider)
        key = await self._account_key(ref)
        if isinstance(key, Reason):
            return key
        if not isinstance(provider, Webhook):
            return await self._product(ref, provider, key)
        spec, namespace = challenge.spec, self.namespace_of(ref)
        proof = Proof(spec.dns_name, challenge.metadata.uid, namespace, ambient=ref.kind == "ClusterIssuer")
        return WebhookRecords(self._client, provider, proof, self._questions.zone, key)

    def issuer(self, ref: IssuerRef) -> AcmeIssuer | None:
        """What an ACME issuer says now, None when that cannot be used."""
        state = self._registry.get(ref)
        found = judge_acme(state.issuer, self._namespace) if state is not None and state.kind == "acme" else None
        return found if isinstance(found, AcmeIssuer) else None

    def rule(self, ref: IssuerRef) -> AddressRule:
        """Which addresses a server may have that the issuer names itself."""
        return ANYWHERE if ref.kind == "ClusterIssuer" else self._reach.tenants

    def namespace_of(self, ref: IssuerRef) -> str:
        """Where the issuer's Secrets lie."""
        return ref.namespace or self._namespace

    async def secret(self, ref: IssuerRef, name: str, key: str, what: str) -> bytes | Reason:
        """An entry of one of the issuer's Secrets; `what` it is, for whoever lacks it."""
        where = f"Secret {self.namespace_of(ref)}/{name}"
        try:
            found = read_secret(await self._client.get(SECRETS, name, self.namespace_of(ref)))
        except NotFound:
            return Reason("SecretNotFound", f"{where}, the {what}, not found")
        except Forbidden:
            return Reason("SecretNotFound", f"{where}, the {what}, may not be read")
        if found.too_large:
            return Reason("SecretNotFound", f"{where}, the {what}, {found.too_large}")
        if not (value := found.data.get(key, b"")):
            return Reason("SecretNotFound", f"{where} has no {what} at key {key}")
        return value

    async def _account_key(self, ref: IssuerRef) -> bytes | Reason:
        issuer = self.issuer(ref)
        if issuer is None:
            return Reason("BadIssuer", "its issuer is gone, or cannot be used")
        return await self.secret(ref, issuer.account_secret, issuer.account_key, "ACME account's key")

    async def _product(self, ref: IssuerRef, api: Api, key: bytes) -> ApiRecords | Reason:
        """A product's client, with its credentials."""
        name = product(api)
        found = dict[SecretEntry, bytes]()
        for entry in entries(api):
            value = await self.secret(ref, entry.name, entry.key, f"{name} credentials")
            if isinstance(value, Reason):
                return value
            found[entry] = value
        try:
            client = await asyncio.to_thread(client_of, api, found)
        except ValueError as error:
            return Reason("BadSecret", f"Secret {self.namespace_of(ref)}/{error}")
        at = At(self.rule(ref), self._reach.roots, self._reach.elsewhere)
        return ApiRecords(self._caller, client, at, (name, self._questions, key))

    async def _updates(self, ref: IssuerRef, server: Rfc2136) -> Updates | Reason:
        """The issuer's name server, with its TSIG secret."""
        secret: bytes | Reason = b""
        if server.tsig is not None:
            secret = await self.secret(ref, server.tsig.secret_name, server.tsig.secret_key, "TSIG secret")
        if isinstance(secret, Reason):
            return secret
        try:
            return Updates(self._questions, server, secret, self.rule(ref))
        except ValueError as error:
            where = (
                f"Secret {self.namespace_of(ref)}/{server.tsig.secret_name}" if server.tsig is not None else "no Secret"
            )
            return Reason("BadSecret", f"{where}: {error}")
