"""Certificates: looks at one, decides, and keeps or renews what is in its Secret.

Runs on the loop; one key is worked by one worker at a time. Every step can be repeated: what a step makes has a name
that follows from the Certificate, and every status write carries the resourceVersion that it was decided on. So a
process that is killed anywhere is followed by one that goes on from what is stored. An issuance itself is in
issuing.py; all decisions are pure functions in the other files.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from signer.api.certificate import CERTIFICATES, Certificate, PrivateKeySpec
from signer.api.certificaterequest import CERTIFICATE_REQUESTS
from signer.api.event import ObjectReference, reference_to
from signer.api.meta import find_condition, from_rfc3339
from signer.api.secret import CA_CERT, SECRETS, TLS_CERT, TLS_KEY, Secret
from signer.authorities.registry import Registry
from signer.certificates import steps
from signer.certificates.ca_lines import CALines
from signer.certificates.filling import Filling, as_they_are
from signer.certificates.issuing import NO_KEYSTORE, Issuing
from signer.certificates.matching import RequestView, view_request
from signer.certificates.mending import Mending
from signer.certificates.objects import Emit, Key, Objects
from signer.certificates.pacing import counts, paused
from signer.certificates.policies import Facts, issuance_needed, not_ready
from signer.certificates.renewal import backoff_left
from signer.certificates.secrets import ownership
from signer.certificates.secrets.content import IssuedData, issuer_of, secret_content
from signer.certificates.secrets.keystores import NoKeystore
from signer.certificates.secrets.trust import longest
from signer.certificates.secrets.view import (
    KeyView,
    SecretView,
    inspect,
    key_as_wanted,
    key_mismatches,
    read_leaf,
    spki_of,
)
from signer.certificates.spec_check import Defect, spec_defect
from signer.certificates.status import Status
from signer.certificates.watched import Watched
from signer.certificates.well_known import FIELD_MANAGER, READY
from signer.kube.errors import ApiError, Conflict, NotFound
from signer.kube.queue import WorkQueue
from signer.kube.reflector import Change
from signer.kube.superseded import Superseded
from signer.observe.write_errors import Told

logger = logging.getLogger(__name__)

# Somebody else's Secret may carry no label that we watch; whoever is blocked by one looks again this often.
_BLOCKED_RECHECK = 30.0
# asyncio's timers follow the monotonic clock, dates the wall clock: longer waits are looked at in between.
_LONGEST_TIMER = timedelta(hours=1)
_CANNOT_REGENERATE = "CannotRegenerateKey"


@dataclass(frozen=True, slots=True)
class _Seen:
    """One look at a Certificate and what belongs to it. `shared`: other Certificates name its Secret too."""

    certificate: Certificate
    view: SecretView | None
    current: RequestView | None
    shared: Defect | None


class CertificateController:
    """Works Certificates off. `queue` holds their keys."""

    def __init__(
        self,
        watched: Watched,
        objects: Objects,
        queue: WorkQueue[Key],
        *,
        registry: Registry,
        owner_ref: bool,
        clock: Callable[[], datetime],
    ) -> None:
        self._watched = watched
        self._registry = registry
        self._objects = objects
        self._clock = clock
        self._owner_ref = owner_ref
        self._superseded = Superseded()
        self._views: dict[Key, SecretView] = {}
        self._filling = Filling(watched, objects)
        self._issuing = Issuing(
            watched, objects, self._write_status, self._filling, queue, owner_ref=owner_ref, clock=clock
        )
        self.keys = self._issuing.keys
        self.mending = Mending(watched, objects, queue, self._issuing.pacing)
        self.queue = queue
        self.lines = CALines(registry, watched.certificates.store, queue.add_after, clock)
        watched.enqueue = queue.add
        watched.secrets.subscribe(self._secret_changed)

    async def reconcile(self, key: Key) -> None:
        """Take one Certificate as far as it can go now."""
        certificate = self._watched.certificates.store.get(key)
        if certificate is None:
            self._superseded.forget(key)
            self.keys.forget(key)
            self._issuing.pacing.forget(key)
            self._filling.is_news(key, "")
            self.mending.forget(key)
            return
        if certificate.metadata.deletion_timestamp or self._superseded.stale(
            key, certificate.metadata.resource_version
        ):
            return
        try:
            await self._work(key, certificate)
        except NoKeystore:
            self.queue.add_after(key, _BLOCKED_RECHECK)
        except Conflict as error:
            logger.debug("Certificate %s/%s: another writer was faster: %s", *key, error)
            self.queue.add_backoff(key, why=error)
        except NotFound as error:
            # The Certificate or its namespace went away meanwhile; if not, there is a next time.
            self.queue.add_backoff(key, why=error)
        except ApiError as error:
            if not error.terminating:
                raise
            self.queue.add_backoff(key)

    async def show(self, key: Key, told: Told) -> None:
        """Say in its status what keeps a Certificate from going on. Raises ApiError, Unreachable."""
        live = await self._objects.certificate(*key)
        if live is not None and not live.metadata.deletion_timestamp:
            await self._write_status(live, Status.of(live).stuck(Defect(told.reason, told.message), self._clock()))

    def about(self, key: Key) -> list[ObjectReference]:
        """Refer to the Certificate of this key, while there is one."""
        found = self._watched.certificates.store.get(key)
        return [reference_to(CERTIFICATES, found.metadata)] if found is not None else []

    async def _work(self, key: Key, certificate: Certificate) -> None:
        defect = spec_defect(certificate)
        if defect is not None:
            await self._refuse(certificate, defect)
            return
        seen = await self._look(certificate)
        secret = seen.view.secret if seen.view is not None else None
        proven = _key_is_ours(seen)
        blocked = ownership.foreign_defect(certificate, secret, own_key=proven)
        if blocked is None and not (proven or ownership.holds(certificate, secret)):
            blocked = seen.shared
        if blocked is not None:
            await self._refuse(certificate, blocked)
            self.queue.add_after(key, _BLOCKED_RECHECK)
        elif steps.issuing(certificate):
            await self._issuing.go_on(certificate, seen.view, seen.shared)
        else:
            await self._keep(key, seen)

    async def _look(self, certificate: Certificate) -> _Seen:
        meta = certificate.metadata
        key = (meta.namespace, certificate.spec.secret_name)
        secret = self._watched.secrets.store.get(key) or await self._objects.secret(*key)
        current = steps.current_request(certificate, self._watched.requests_of(certificate))
        return _Seen(
            certificate,
            await self._view(secret),
            view_request(current) if current is not None else None,
            ownership.duplicate_defect(certificate, self._watched.rivals(certificate), secret),
        )

    async def _view(self, secret: Secret | None) -> SecretView | None:
        """Read what a Secret holds. Kept for those that the watch keeps anyhow, once for each: any number may name one."""
        if secret is None:
            return None
        key = (secret.metadata.namespace, secret.metadata.name)
        known = self._views.get(key)
        if known is None or known.secret != secret:
            known = await asyncio.to_thread(inspect, secret)
            if self._watched.secrets.store.get(key) is secret:
                self._views[key] = known
        return known

    def _secret_changed(self, change: Change[Secret]) -> None:
        self._views.pop(change.key, None)

    async def _keep(self, key: Key, seen: _Seen) -> None:
        """Nothing is under way: mend, begin an issuance, or be content until the renewal."""
        certificate, now = seen.certificate, self._clock()
        view = await self._mend(seen)
        facts = self._facts(seen, view)
        why = issuance_needed(facts)
        status = Status.of(certificate).readiness(
            seen.shared or not_ready(facts), view.leaf if view else None, now, view.trust_ends if view else None
        )
        if why is None:
            await self._write_status(certificate, status)
            await self._tidy(certificate)
            self._wake_for_renewal(key, status, now)
            return
        if (left := backoff_left(certificate, now)) and not await self.mending.mended(certificate, now):
            await self._write_status(certificate, status)
            self.queue.add_after(key, left.total_seconds())
            return
        if counts(why.reason) and (left := self._issuing.pacing.left(key, now)):
            await self._pause(certificate, why, now + left)
            self.queue.add_after(key, left.total_seconds())
            return
        stuck = key_defect(certificate, view)
        if stuck is not None:
            await self._refuse(certificate, stuck)
            return
        if await self._cache_is_old(certificate, view):
            self.queue.add_backoff(key)
            return
        emit = self._objects.emitter(CERTIFICATES, certificate)
        certificate = await self._write_status(
            certificate, status.issuing(why, steps.key_secret_name(certificate), now)
        )
        emit("Normal", "Issuing", why.message)
        _warn_of_rotation(certificate, emit)
        await self._issuing.go_on(certificate, view, seen.shared)

    async def _pause(self, certificate: Certificate, why: Defect, until: datetime) -> None:
        """It was issued too often: say so, with who else writes, and keep the history short meanwhile."""
        await self._tidy(certificate)
        live = await self._objects.secret(certificate.metadata.namespace, certificate.spec.secret_name)
        await self._refuse(certificate, paused(why, live.written_by(FIELD_MANAGER) if live is not None else (), until))

    def _facts(self, seen: _Seen, view: SecretView | None) -> Facts:
        return Facts(seen.certificate, view, seen.current, self._clock())

    async def _cache_is_old(self, certificate: Certificate, view: SecretView | None) -> bool:
        """Ask once more, live, before a new certificate is made: an old copy of the Secret is no reason for one."""
        live = await self._objects.secret(certificate.metadata.namespace, certificate.spec.secret_name)
        if live is None or view is None:
            return (live is None) != (view is None)
        return live.metadata.resource_version != view.secret.metadata.resource_version

    async def _mend(self, seen: _Seen) -> SecretView | None:
        """Put back what was changed in the Secret though its key is still the one that we asked with.

        Certificate and root come from the request that led to them; without it, what is there counts as right and
        only labels and annotations are mended. Where the CA was renewed since, chain and root are as it has them now.
        """
        certificate, view = seen.certificate, seen.view
        if view is None or view.key is None:
            return view
        data = view.secret.data
        held = issued = IssuedData(
            key_as_wanted(view.key, data.get(TLS_KEY, b""), certificate.spec),
            data.get(TLS_CERT, b""),
            data.get(CA_CERT, b""),
            issuer_of(view.secret, certificate),
        )
        leaf = view.leaf
        if seen.current is not None and _key_is_ours(seen):
            request = seen.current.request
            if steps.outcome(request).state == "issued":
                leaf, _ = read_leaf(request.status.certificate)
                if (
                    leaf is not None
                    and leaf.not_valid_after_utc <= self._clock()
                    and not_ready(self._facts(seen, view)) is None
                ):
                    return view  # an old answer: what somebody put there since is better
                issued = IssuedData(issued.key, request.status.certificate, request.status.ca, request.spec.issuer_ref)
        elif view.placeholder or not ownership.holds(certificate, view.secret):
            return view
        if leaf is None or spki_of(leaf) != view.key.spki:
            return view
        ref = issued.issuer.resolve(certificate.metadata.namespace) if issued.issuer is not None else None
        issued = await asyncio.to_thread(longest, issued, held, self.lines.of(ref))
        issued = await self._with_keystores(certificate, issued, view.key, view.secret)
        content = secret_content(certificate, issued, leaf, existing=view.secret, owner_ref=self._owner_ref)
        if not content.differs_from(view.secret):
            return view
        meta = certificate.metadata
        written = await self._objects.apply_secret(meta.namespace, certificate.spec.secret_name, content, view.secret)
        return await self._view(written)

    async def _with_keystores(
        self, certificate: Certificate, issued: IssuedData, key: KeyView, secret: Secret
    ) -> IssuedData:
        """Add the keystores; where a password is missing, leave what is there and say so, since the rest is in order."""
        name, trouble = (certificate.metadata.namespace, certificate.metadata.name), ""
        try:
            issued = await self._filling.fill(certificate, issued, key.key, secret)
        except NoKeystore as error:
            trouble = str(error)
            issued = as_they_are(certificate, issued, secret)
            self.queue.add_after(name, _BLOCKED_RECHECK)
        if self._filling.is_news(name, trouble):
            self._objects.emitter(CERTIFICATES, certificate)("Warning", NO_KEYSTORE, trouble)
        if (seconds := self._filling.look_again(certificate)) is not None:
            self.queue.add_after(name, seconds)
        return issued

    async def _tidy(self, certificate: Certificate) -> None:
        """Remove what finished issuances leave behind."""
        for secret in self._watched.key_secrets_of(certificate):
            await self._objects.delete(SECRETS, secret)
        for request in steps.superfluous_requests(certificate, self._watched.requests_of(certificate)):
            await self._objects.delete(CERTIFICATE_REQUESTS, request)

    def _wake_for_renewal(self, key: Key, status: Status, now: datetime) -> None:
        due = from_rfc3339(status.fields.get("renewalTime"))
        if due is not None:
            self.queue.add_after(key, min(max(due - now, timedelta(seconds=1)), _LONGEST_TIMER).total_seconds())

    async def _refuse(self, certificate: Certificate, defect: Defect) -> None:
        before = find_condition(certificate.status.conditions, READY)
        await self._write_status(certificate, Status.of(certificate).refused(defect, self._clock()))
        if before is None or (before.reason, before.message) != (defect.reason, defect.message):
            self._objects.emitter(CERTIFICATES, certificate)("Warning", defect.reason, defect.message)

    async def _write_status(self, certificate: Certificate, status: Status) -> Certificate:
        patch = status.patch()
        if patch is None:
            return certificate
        written = await self._objects.patch_certificate(certificate, patch)
        meta = certificate.metadata
        self._superseded.replaced((meta.namespace, meta.name), meta.resource_version, written.metadata.resource_version)
        return written


def key_defect(certificate: Certificate, view: SecretView | None) -> Defect | None:
    """Tell when the key must stay and yet does not fit the spec: only a person can decide which of the two counts."""
    if view is None or view.key is None or view.placeholder or not ownership.keeps_key(certificate):
        return None
    fields = key_mismatches(view.key, certificate.spec)
    if not fields:
        return None
    return Defect(
        _CANNOT_REGENERATE,
        f"{', '.join(fields)}: the private key in Secret {certificate.spec.secret_name} is of another kind, and "
        "spec.privateKey.rotationPolicy keeps it; set the policy to Always to have a new key made",
    )


def _key_is_ours(seen: _Seen) -> bool:
    return steps.asked_with(seen.current, seen.view.key if seen.view is not None else None)


def _warn_of_rotation(certificate: Certificate, emit: Emit) -> None:
    policy = (certificate.spec.private_key or PrivateKeySpec()).rotation_policy
    if certificate.spec.is_ca and policy == "Always":
        emit(
            "Warning",
            "CAKeyRotation",
            "spec.privateKey.rotationPolicy: Always gives this CA a new key at each renewal; "
            "what the former key signed no longer verifies against the new root",
        )
