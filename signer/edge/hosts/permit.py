"""Asks who has the hosts before an Order is made, whoever wants it and however the names are to be proven.

Used on the loop of the leader, over the same `Claims` that the controller of Gateways takes hosts from.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

from signer.api.certificate import CERTIFICATES, IssuerReference
from signer.api.certificaterequest import CertificateRequest
from signer.api.challenge import Challenge
from signer.api.labels import EDGE_LABEL, SOURCE_NAMESPACE, SOURCE_NAMESPACE_UID
from signer.api.notes import text_note
from signer.edge.host import Host
from signer.edge.hosts.claims import Claims
from signer.edge.hosts.decide import Asker, Permitted, TakeFirst, may_order
from signer.edge.hosts.records import has, judge_record, proven_by
from signer.kube.client import ApiClient
from signer.kube.errors import NotFound, Unreachable
from signer.tenancy.verdict import Reason, Refuse, Unready

Permit = Callable[[CertificateRequest, Sequence[Host], IssuerReference], Awaitable[Permitted | Refuse]]
"""Whether what a request asks for may be ordered from this issuer, which may be another than the request names."""
Would = Callable[[CertificateRequest, Sequence[Host], IssuerReference], Awaitable[bool]]
"""Whether it would be permitted, without anything being taken."""
_PATIENCE = 10.0
_LATE = 5.0
_LOOKS = 0.05
_GONE = Refuse((Reason("NamespaceNotFound", "the namespace that wants it is gone"),))


class RecordRules(Protocol):
    """Whose names are under which TXT records are written. Each raises ApiError, Unreachable."""

    async def may_write(self, challenge: Challenge, name: str) -> Reason | None:
        """What keeps a Challenge's record from this name, by credentials that are not its namespace's."""

    async def holds(self, challenge: Challenge, name: str) -> bool:
        """Tell whether the Challenge's namespace has the host of this name."""


class Permitting:
    """Decides for CertificateRequests. `claims` gives those of this term of leadership, None before it has begun."""

    def __init__(
        self, client: ApiClient, claims: Callable[[], Claims | None], gateway_namespaces: Collection[str]
    ) -> None:
        self._client = client
        self._claims = claims
        self._gateway_namespaces = frozenset(gateway_namespaces)

    async def permit(
        self, request: CertificateRequest, names: Sequence[Host], issuer: IssuerReference
    ) -> Permitted | Refuse:
        """Decide, and take hosts that nobody has. Raises ApiError, Unreachable: then ask again later."""
        claims = await self._read()
        await self._seen(claims, request.metadata.namespace)
        who = await self._asker(claims, request)
        if who is None:
            return _GONE
        verdict = await claims.permit([str(name) for name in names], who, _normal(issuer))
        if isinstance(verdict, Unready):
            raise Unreachable(verdict.reason.message)
        return verdict

    async def would(self, request: CertificateRequest, names: Sequence[Host], issuer: IssuerReference) -> bool:
        """Tell whether `permit` would permit it now. Takes no host. Raises ApiError, Unreachable."""
        claims = await self._read()
        who = await self._asker(claims, request)
        if who is None:
            return False
        verdict = may_order([str(name) for name in names], who, _normal(issuer), claims.world)
        return isinstance(verdict, Permitted | TakeFirst)

    async def may_write(self, challenge: Challenge, name: str) -> Reason | None:
        """Tell why this Challenge's record may not be written under this name; None: it may. Raises ApiError, Unreachable.

        Whose Challenge it is says the claim of its host: no Order is made without one.
        """
        claims = await self._read()
        spec = challenge.spec
        host = _host_of(challenge)
        who = self._holder(claims, challenge)
        if who is None:
            return Reason("HostNotClaimed", f"{host} is not this namespace's any more")
        own_name = name == f"_acme-challenge.{host.name}"
        hosts = proven_by(name)
        if not isinstance(hosts, str):
            await claims.record_namespace(who, hosts)
        found = judge_record(name, who, _normal(spec.issuer_ref), claims.world, own_name=own_name)
        if isinstance(found, Unready):
            raise Unreachable(found.reason.message)
        return found

    async def holds(self, challenge: Challenge, name: str) -> bool:
        """Tell whether whoever a Challenge is for has a host: by a claim of it or above it, or by an EdgePolicy."""
        claims = await self._read()
        who = self._holder(claims, challenge)
        return who is not None and has(name, who, claims.world)

    def _holder(self, claims: Claims, challenge: Challenge) -> Asker | None:
        """The namespace that a Challenge is for: that of the claim of its host, None if that is not the Challenge's."""
        claim = claims.claims.get(_host_of(challenge).claim_name)
        who = claims.asker(claim.namespace) if claim is not None else None
        if claim is None or who is None or who.uid != claim.namespace_uid:
            return None
        return who if challenge.metadata.namespace in {who.namespace, *self._gateway_namespaces} else None

    async def _read(self) -> Claims:
        try:
            async with asyncio.timeout(_PATIENCE):
                while (claims := self._claims()) is None:  # noqa: ASYNC110 - a moment at the start of a term
                    await asyncio.sleep(_LOOKS)
                await claims.synced()
        except TimeoutError:
            raise Unreachable("HostClaims and EdgePolicies were not read yet") from None
        return claims

    async def _seen(self, claims: Claims, namespace: str) -> None:
        """Wait a moment for a namespace that was made just now: a request of it may be seen before the namespace is."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LATE):
                while ("", namespace) not in claims.namespaces.store:  # noqa: ASYNC110 - once in a namespace's life
                    await asyncio.sleep(_LOOKS)

    async def _asker(self, claims: Claims, request: CertificateRequest) -> Asker | None:
        """The namespace that wants it: that of the Gateway, for a Certificate that we made where its proxy runs.

        Only in the gateways' own namespaces is the Certificate's label believed: there administrators alone write.
        """
        meta = request.metadata
        if meta.namespace not in self._gateway_namespaces:
            return claims.asker(meta.namespace)
        for owner in meta.owner_references:
            if not owner.controller or owner.kind != CERTIFICATES.kind:
                continue
            try:
                found = (await self._client.get(CERTIFICATES, owner.name, meta.namespace))["metadata"]
            except NotFound:
                return None
            if found["uid"] != owner.uid:
                return None
            if found.get("labels", {}).get(EDGE_LABEL) != "true":
                break
            who = claims.asker(found["labels"].get(SOURCE_NAMESPACE, ""))
            uid = text_note(found.get("annotations") or {}, SOURCE_NAMESPACE_UID)
            return who if who is not None and who.uid == uid else None
        return claims.asker(meta.namespace)


def _host_of(challenge: Challenge) -> Host:
    return Host(challenge.spec.dns_name.lower().removeprefix("*."), challenge.spec.wildcard)


def _normal(issuer: IssuerReference) -> IssuerReference:
    name, kind, group = issuer.normal()
    return IssuerReference(name=name, kind=kind, group=group)
