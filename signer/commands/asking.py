"""Finds out what the signer would before it decides, by the signer's own code, and explains with the answers.

Nothing is written: where the signer would store an owner, what he rests on is read live, and it is taken as stored. Used
on the loop only.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

import msgspec

from signer.api.certificate import CERTIFICATES, Certificate
from signer.api.certificaterequest import CERTIFICATE_REQUESTS, CertificateRequest
from signer.api.destinationrule import DESTINATION_RULES, DestinationRule
from signer.api.issuer import IssuerRef
from signer.api.meta import to_rfc3339
from signer.api.proxyconfig import PROXY_CONFIGS
from signer.api.secret import SECRETS, read_secret
from signer.api.serviceaccount import SERVICE_ACCOUNTS
from signer.api.signerbinding import SignerBinding
from signer.api.signername import parse_signer_name
from signer.api.tenantbridge import TENANT_BRIDGES, TenantBridge
from signer.api.tenantbridgepolicy import TENANT_BRIDGE_POLICIES, TenantBridgePolicy
from signer.bridges.credential import new_request
from signer.bridges.read import read_bridge_policy
from signer.certificates.requests import steps
from signer.certificates.requests.requester import BINDINGS, GUARD, POLICIES, vouched, vouched_since
from signer.certificates.secrets.view import inspect
from signer.commands.checks.facts import Access
from signer.commands.command import NotFoundOut
from signer.commands.explanations.around import (
    Around,
    certificate_with_around,
    needed_for,
    request_with_around,
    with_around,
)
from signer.commands.explanations.bridge import BridgeExplanation, BridgeSeen, bridge_meant, explain_bridge
from signer.commands.explanations.certificate import CertificateExplanation, Seen, explain_certificate
from signer.commands.explanations.certificaterequest import AskRequester, RequestQuestion, explain_request
from signer.commands.explanations.csr import NOTHING_FOUND_OUT, Explanation, FoundOut, Question, explain
from signer.commands.explanations.pod import explain_pod
from signer.commands.explanations.requests import Asked
from signer.commands.live import Listing, Mesh, list_all
from signer.commands.rights import ask_rights
from signer.commands.tables import clean
from signer.csr.inquiries import INQUIRY_FAILED, not_answered
from signer.csr.outcome import AskKey, AskReference, NoKey
from signer.csr.questions import Questions, key_in
from signer.kube.client import ApiClient
from signer.kube.discovery.served import locate_newest
from signer.kube.errors import Forbidden, NotFound
from signer.kube.leases.record import LEASES
from signer.kube.objects import Json
from signer.mesh.live import LiveReads
from signer.pods.requests import PodRequests
from signer.settings.values import Settings
from signer.tenancy.bindings import new_binding
from signer.tenancy.live import LiveView, against_grant, against_owner
from signer.tenancy.verdict import Bind, Confirm, Limits, Reason
from signer.tenancy.world import Binding

T = TypeVar("T")

# Each question is asked once, and there are four.
_MOST = 8


class Asking:
    """Explains requests on one `mesh`, asking through `client`; if it `looks_around`, with what else stands in the way."""

    def __init__(
        self, client: ApiClient, mesh: Mesh, settings: Settings, now: datetime, *, looks_around: bool = False
    ) -> None:
        self._client = client
        self._mesh = mesh
        self._settings = settings
        self._now = now
        self._questions = Questions(client, mesh)
        self._live = LiveReads(
            client, mesh.index, lambda: locate_newest(PROXY_CONFIGS)(client), shared=settings.shared_mesh_config
        )
        self._looks_around = looks_around
        self._since: tuple[datetime | None] | None = None

    async def request(self, asked: Asked, signer: IssuerRef) -> Explanation:
        """Explain a CertificateSigningRequest. Raises NotFoundOut, ApiError, Unreachable."""
        found_out, limits = NOTHING_FOUND_OUT, Limits(allow_ca_requests=self._settings.allow_ca_requests)
        for _ in range(_MOST):
            found = explain(asked, signer, self._mesh, now=self._now, limits=limits, found_out=found_out)
            if isinstance(found, Explanation):
                if not self._looks_around:
                    return found
                around = await self._around(needed_for(asked, signer, self._settings))
                return with_around(found, around, self._mesh, self._now)
            found_out = await self._answer(found, found_out)
        raise NotFoundOut(f"what becomes of {asked.title} could not be determined")

    async def certificate_request(self, request: CertificateRequest, title: str) -> Explanation:
        """Explain a CertificateRequest. Raises NotFoundOut, ApiError, Unreachable."""
        found_out, auto_approve = NOTHING_FOUND_OUT, self._settings.auto_approve
        for _ in range(_MOST):
            found = explain_request(
                request, self._mesh, title=title, auto_approve=auto_approve, now=self._now, found_out=found_out
            )
            if isinstance(found, Explanation):
                return request_with_around(found, await self._around(), self._now) if self._looks_around else found
            found_out = await self._answer_request(found, request, found_out)
        raise NotFoundOut(f"what becomes of {title} could not be determined")

    async def pod_request(self, namespace: str, name: str) -> Explanation:
        """Explain a PodCertificateRequest, with its Pod as it is now. Raises NotFoundOut, ApiError, Unreachable."""
        title, pods = f"PodCertificateRequest {namespace}/{name}", PodRequests(self._client)
        request = await pods.find(namespace, name)
        if request is None:
            raise NotFoundOut(f"there is no {title}: Kubernetes deletes them after a quarter of an hour")
        signer = parse_signer_name(request.signer_name)
        if signer is None:
            raise NotFoundOut(f"{title} asks {clean(request.signer_name)}, which is not one of our signers")
        seen, found_out = await pods.look(request), NOTHING_FOUND_OUT
        for _ in range(_MOST):
            found = explain_pod(request, signer, self._mesh, seen, now=self._now, found_out=found_out)
            if isinstance(found, Explanation):
                return found
            found_out = await self._answer(found, found_out)
        raise NotFoundOut(f"what becomes of {title} could not be determined")

    async def bridge(self, namespace: str, name: str) -> BridgeExplanation:
        """Explain a TenantBridge. Raises NotFoundOut, ApiError, Unreachable."""
        title = f"TenantBridge {namespace}/{name}"
        bridges = await list_all(self._client, TENANT_BRIDGES, namespace)
        if bridges.problem:
            raise NotFoundOut(bridges.problem)
        obj = next((one for one in _converted(bridges, TenantBridge) if one.metadata.name == name), None)
        if obj is None:
            raise NotFoundOut(f"there is no {title}")
        client_namespace = obj.spec.client.namespace
        resource = await locate_newest(DESTINATION_RULES)(self._client)
        spaces = tuple(dict.fromkeys(one for one in (namespace, client_namespace) if one))
        policies, accounts, *rules = await asyncio.gather(
            list_all(self._client, TENANT_BRIDGE_POLICIES),
            list_all(self._client, SERVICE_ACCOUNTS, namespace),
            *(list_all(self._client, resource, one) for one in spaces if resource is not None),
        )
        if problem := next((one.problem for one in (policies, accounts, *rules) if one.problem), ""):
            raise NotFoundOut(problem)
        seen = BridgeSeen(
            obj,
            tuple(read_bridge_policy(one) for one in _converted(policies, TenantBridgePolicy)),
            tuple(sorted(str(one["metadata"]["name"]) for one in accounts.items)),
            None
            if resource is None
            else {one: tuple(_converted(found, DestinationRule)) for one, found in zip(spaces, rules, strict=True)},
        )
        made = bridge_meant(seen, self._mesh, self._now)
        asked = await asyncio.to_thread(new_request, made) if made is not None else None
        found_out = NOTHING_FOUND_OUT
        for _ in range(_MOST):
            request = asked.request if asked is not None else None
            told = explain_bridge(seen, self._mesh, request, now=self._now, found_out=found_out)
            if isinstance(told, BridgeExplanation):
                return told
            found_out = await self._answer(told, found_out)
        raise NotFoundOut(f"what becomes of {title} could not be determined")

    async def certificate(self, namespace: str, name: str) -> CertificateExplanation:
        """Explain a Certificate, and the request that it waits for. Raises NotFoundOut, ApiError, Unreachable."""
        title = f"Certificate {namespace}/{name}"
        lists = await asyncio.gather(
            *(list_all(self._client, resource, namespace) for resource in (CERTIFICATES, CERTIFICATE_REQUESTS))
        )
        if problem := next((one.problem for one in lists if one.problem), ""):
            raise NotFoundOut(problem)
        known = _converted(lists[0], Certificate)
        found = next((one for one in known if one.metadata.name == name), None)
        if found is None:
            raise NotFoundOut(f"there is no {title}")
        owned = [
            one
            for one in _converted(lists[1], CertificateRequest)
            if any(owner.uid == found.metadata.uid for owner in one.metadata.owner_references)
        ]
        rivals = [one for one in known if one is not found and one.spec.secret_name == found.spec.secret_name]
        view = None
        if found.spec.secret_name:
            try:
                secret = read_secret(await self._client.get(SECRETS, found.spec.secret_name, namespace))
                view = await asyncio.to_thread(inspect, secret)
            except NotFound:
                pass
            except Forbidden as error:
                raise NotFoundOut(f"the Secret of {title} may not be read (verb get): {error.message}") from None
        told = explain_certificate(Seen(found, view, tuple(owned), rivals), title=title, now=self._now)
        if told.verdict != "ready" and self._looks_around:
            told = certificate_with_around(told, await self._around(), self._now)
        if told.request is None:
            return told
        asked = told.request
        of_request = f"CertificateRequest {namespace}/{asked.metadata.name}"
        return told.with_request(await self.certificate_request(asked, of_request))

    async def _around(self, rights: Iterable[Access] = ()) -> Around:
        """Read what stands around a decision: rights, and who renews Leases of ours or a cert-manager's."""
        own = self._settings.cluster_resource_namespace
        (known, unasked), lists = await asyncio.gather(
            ask_rights(self._client, rights),
            asyncio.gather(*(list_all(self._client, LEASES, place) for place in dict.fromkeys((own, "kube-system")))),
        )
        # Without kube-system's, only a cert-manager there is missed; it may run in our namespace, too.
        return Around(known, unasked, Listing(tuple(item for one in lists for item in one.items), lists[0].problem))

    async def _answer(self, question: Question, so_far: FoundOut) -> FoundOut:
        if isinstance(question, AskReference):
            allowed = await self._questions.may_reference(question.issuer, question.content)
            return replace(so_far, answers=replace(so_far.answers, may_reference=allowed))
        if isinstance(question, AskKey):
            return await self._key(question, so_far)
        wrong = await self._wrong(question, so_far.bound)
        if wrong:
            text = f"{not_answered(question)}; it will be retried: what is stored does not bear it: {wrong}"
            return replace(so_far, failed=Reason(INQUIRY_FAILED, text))
        if isinstance(question, Confirm):
            return replace(so_far, confirmed=question)
        owner = Binding(question.signer, question.namespace, question.namespace_uid, self._now)
        return replace(so_far, bound=owner)

    async def _wrong(self, question: Bind | Confirm, bound: Binding | None) -> str:
        """Read live what the signer would, with the owner that it would have stored; what is against it, in words."""
        if isinstance(question, Bind):
            view = await self._live.for_owner(question.signer, question.namespace)
            return against_owner(view, question, self._now)
        view = await self._live.for_grant(question.signer, question.namespace)
        if bound is not None:
            view = as_stored(view, bound, self._now)
        return against_grant(view, question, self._now)

    async def _key(self, question: AskKey, so_far: FoundOut) -> FoundOut:
        """Read a Secret with the asker's rights; where they do not suffice, the signer's may."""
        if self._mesh.is_ca_secret(question.namespace, question.name):
            return replace(so_far, answers=replace(so_far.answers, key=NoKey()))
        try:
            secret = await self._client.get(SECRETS, question.name, question.namespace)
        except Forbidden:
            return replace(so_far, key_unread=True)
        except NotFound:
            return replace(so_far, answers=replace(so_far.answers, key=NoKey()))
        return replace(so_far, answers=replace(so_far.answers, key=await key_in(secret)))

    async def _answer_request(
        self, question: RequestQuestion, request: CertificateRequest, so_far: FoundOut
    ) -> FoundOut:
        if isinstance(question, AskRequester):
            return replace(so_far, requester=vouched(request, await self._vouched_since()))
        namespace = request.metadata.namespace
        secret = None
        try:
            secret = read_secret(await self._client.get(SECRETS, question.name, namespace))
        except Forbidden:
            return replace(so_far, key_unread=True)
        except NotFound:
            pass
        signs = self._mesh.is_ca_secret(namespace, question.name)
        key = await asyncio.to_thread(steps.usable_key, secret, signs=signs)
        return replace(so_far, answers=replace(so_far.answers, key=key))

    async def _vouched_since(self) -> datetime | None:
        """Since when the API server refuses a false requester. Raises NotFoundOut where that may not be read."""
        if self._since is None:
            lists = await asyncio.gather(*(list_all(self._client, resource) for resource in (POLICIES, BINDINGS)))
            if problem := next((one.problem for one in lists if one.problem), ""):
                raise NotFoundOut(f"who made the request could not be determined: {problem}")
            self._since = (vouched_since(*map(_guard, lists)),)
        return self._since[0]


def _converted(listing: Listing, kind: type[T]) -> list[T]:
    found = []
    for item in listing.items:
        with contextlib.suppress(msgspec.ValidationError):  # what cannot be read is none of the controller's either
            found.append(msgspec.convert(item, kind))
    return found


def as_stored(view: LiveView, bound: Binding, now: datetime) -> LiveView:
    """Return what a live read would find once this owner was stored."""
    made = new_binding(bound.signer, bound.namespace, bound.namespace_uid)
    made["metadata"]["creationTimestamp"] = to_rfc3339(now)
    return msgspec.structs.replace(view, binding=msgspec.convert(made, SignerBinding))


def _guard(listing: Listing) -> Json | None:
    return next((one for one in listing.items if one.get("metadata", {}).get("name") == GUARD), None)
