"""Certificates: looks at one, decides, and keeps or renews what is in its Secret.

Runs on the loop; one key is worked by one worker at a time. Every step can be repeated: what a step makes has a name
that follows from the Certificate, and every status write carries the resourceVersion that it was decided on. So a
process that is killed anywhere is followed by one that goes on from what is stored. An issuance itself is in
issuing.py; all decisions are pure functions in the other files.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from signer.api.certificate import CERTIFICATES, Certificate, PrivateKeySpec
from signer.api.certificaterequest import CERTIFICATE_REQUESTS
from signer.api.event import ObjectReference, reference_to
from signer.api.meta import find_condition, from_rfc3339
from signer.api.secret import SECRETS, Secret
from signer.authorities.registry import Registry
from signer.certificates import steps
from signer.certificates.ca_lines import CALines
from signer.certificates.issuing import CA_KEY_ROTATION, Issuing, doubts
from signer.certificates.mending import Mending
from signer.certificates.objects import Emit, Key, Objects
from signer.certificates.pacing import paused
from signer.certificates.policies import RENEWING, Facts, issuance_needed, not_ready, undone_by_another
from signer.certificates.renewal import backoff_left, renewal_time, useful_until
from signer.certificates.secrets import ownership
from signer.certificates.secrets.keystores import NoKeystore
from signer.certificates.secrets.trust import CA_ENDS_SOON, another_ca, renewal_in_vain
from signer.certificates.secrets.view import (
    SecretView,
    inspect,
    key_mismatches,
)
from signer.certificates.spec.check import Defect, spec_defect
from signer.certificates.spec.matching import view_request
from signer.certificates.status import Status
from signer.certificates.upkeep import BLOCKED_RECHECK, SecretUpkeep, Seen, key_is_ours
from signer.certificates.watched import Watched
from signer.certificates.well_known import READY
from signer.kube.errors import ApiError, Conflict, NotFound
from signer.kube.queue import WorkQueue
from signer.kube.reflector import Change
from signer.kube.superseded import Superseded
from signer.observe.undone import UNDONE, Undone, said
from signer.observe.write_errors import Told

logger = logging.getLogger(__name__)

# asyncio's timers follow the monotonic clock, dates the wall clock: longer waits are looked at in between.
_LONGEST_TIMER = timedelta(hours=1)
_CANNOT_REGENERATE = "CannotRegenerateKey"


class Contested(Exception):
    """Somebody undoes each write of a status: what is to be done waits. `left` says how long."""

    def __init__(self, certificate: Certificate, left: timedelta) -> None:
        super().__init__(f"status of Certificate {certificate.metadata.name} is undone each time")
        self.certificate = certificate
        self.left = left


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
        self._superseded = Superseded()
        self._statuses = Undone[Key]()
        self._views: dict[Key, SecretView] = {}
        self.queue = queue
        self.lines = CALines(registry, watched.certificates.store, queue.add_after, clock)
        self._upkeep = SecretUpkeep(watched, objects, self.lines, queue, owner_ref=owner_ref, clock=clock)
        self._rotates: dict[Key, tuple[str, int | None]] = {}  # the generation whose rotationPolicy was told of
        self._issuing = Issuing(
            watched, objects, self._write_status, self._upkeep.filling, queue, owner_ref=owner_ref, clock=clock
        )
        self.keys = self._issuing.keys
        self.mending = Mending(watched, objects, queue, self._issuing.pacing)
        watched.enqueue = queue.add
        watched.secrets.subscribe(self._secret_changed)

    async def reconcile(self, key: Key) -> None:
        """Take one Certificate as far as it can go now."""
        certificate = self._watched.certificates.store.get(key)
        if certificate is None:
            self._superseded.forget(key)
            self._rotates.pop(key, None)
            self._issuing.forget(key)
            self._upkeep.forget(key)
            self._statuses.forget(key)
            self.mending.forget(key)
            return
        if certificate.metadata.deletion_timestamp or self._superseded.stale(
            key, certificate.metadata.resource_version
        ):
            return
        try:
            await self._work(key, certificate)
        except NoKeystore:
            self.queue.add_after(key, BLOCKED_RECHECK)
        except Contested as contested:
            await self._tell_contested(key, contested)
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
            with contextlib.suppress(Contested):
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
        proven = key_is_ours(seen)
        blocked = ownership.foreign_defect(certificate, secret, own_key=proven)
        if blocked is None and not (proven or ownership.holds(certificate, secret)):
            blocked = seen.shared or self._ca_in_the_way(certificate, seen.view)
        if blocked is not None:
            await self._refuse(certificate, blocked)
            self.queue.add_after(key, BLOCKED_RECHECK)
        elif steps.issuing(certificate):
            await self._issuing.go_on(certificate, seen.view, seen.shared)
        else:
            await self._keep(key, seen)

    def _ca_in_the_way(self, certificate: Certificate, view: SecretView | None) -> Defect | None:
        signing = self._registry.signing_with(certificate.metadata.namespace, certificate.spec.secret_name)
        return ownership.signs_for(certificate, view.leaf if view is not None else None, [str(ref) for ref in signing])

    async def _look(self, certificate: Certificate) -> Seen:
        meta = certificate.metadata
        key = (meta.namespace, certificate.spec.secret_name)
        secret = self._watched.secrets.store.get(key) or await self._objects.secret(*key)
        current = steps.current_request(certificate, self._watched.requests_of(certificate))
        return Seen(
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

    async def _keep(self, key: Key, seen: Seen) -> None:
        """Nothing is under way: mend, begin an issuance, or be content until the renewal."""
        certificate, now = seen.certificate, self._clock()
        written, again = await self._upkeep.put_right(seen)
        view = await self._view(written) if written is not None else seen.view
        facts = self._facts(seen, view)
        why = issuance_needed(facts)
        if again is not None and undone_by_another(facts):
            why = None  # a new certificate would be undone as well
        notes = await self._notes(seen, view)
        waits = next((note for note in notes if note.reason == CA_ENDS_SOON), None)
        if why is not None and why.reason == RENEWING and waits is not None:
            why = None
        if again is not None:
            notes.insert(0, again.said)
        wrong = seen.shared or (again.said if again is not None and again.worse else None) or not_ready(facts)
        status = Status.of(certificate).readiness(
            wrong, view.leaf if view else None, now, view.trust_ends if view else None, notes
        )
        if why is None:
            self._warn_of_a_change(key, certificate)
            await self._write_status(certificate, status)
            self._tell_notes(certificate, notes)
            if again is not None:
                self.queue.add_after(key, again.left.total_seconds())
            await self._tidy(certificate)
            self._wake_for_renewal(key, status, now)
            return
        if (left := backoff_left(certificate, now)) and not await self.mending.mended(certificate, now):
            await self._write_status(certificate, status)
            self.queue.add_after(key, left.total_seconds())
            return
        if self._issuing.counts(key, why.reason) and (left := self._issuing.pacing.left(key, now)):
            await self._pause(certificate, why, now + left, by_another=undone_by_another(facts))
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
        self._rotates[key] = (certificate.metadata.uid, certificate.metadata.generation)
        await self._issuing.go_on(certificate, view, seen.shared)

    def _warn_of_a_change(self, key: Key, certificate: Certificate) -> None:
        """Warn when a CA that is there gets rotationPolicy Always: at its renewal it would be too late."""
        meta = certificate.metadata
        before, self._rotates[key] = self._rotates.get(key), (meta.uid, meta.generation)
        ready = find_condition(certificate.status.conditions, READY)
        seen = before or (meta.uid, ready.observed_generation if ready is not None else None)
        if seen != (meta.uid, meta.generation):
            _warn_of_rotation(certificate, self._objects.emitter(CERTIFICATES, certificate))

    async def _pause(self, certificate: Certificate, why: Defect, until: datetime, *, by_another: bool) -> None:
        """It was issued too often: say so, with who else writes, and keep the history short meanwhile."""
        await self._tidy(certificate)
        message = paused(why, await self._upkeep.writers(certificate), until).message
        await self._refuse(certificate, Defect(UNDONE if by_another else why.reason, message))

    def _tell_notes(self, certificate: Certificate, notes: Sequence[Defect]) -> None:
        """Tell in Events what the condition before did not say yet."""
        before = find_condition(certificate.status.conditions, READY)
        for note in notes:
            if before is None or note.message not in before.message:
                self._objects.emitter(CERTIFICATES, certificate)("Warning", note.reason, note.message)

    async def _tell_contested(self, key: Key, contested: Contested) -> None:
        """Somebody else writes another status each time: name him once, and look again when it is time."""
        self.queue.add_after(key, contested.left.total_seconds())
        if not self._statuses.is_news(key):
            return
        writers = await self._objects.status_writers(CERTIFICATES, contested.certificate)
        message = said("the status", writers, self._clock() + contested.left)
        self._objects.emitter(CERTIFICATES, contested.certificate)("Warning", UNDONE, message)

    async def _notes(self, seen: Seen, view: SecretView | None) -> list[Defect]:
        """What is to be known of a certificate beside its being in order: what became of its CA, what another issuer answered."""
        certificate = seen.certificate
        if view is None or view.leaf is None or view.placeholder:
            return []
        answered = await doubts(certificate, view, seen.current.request if seen.current is not None else None)
        ref = certificate.spec.issuer_ref.resolve(certificate.metadata.namespace)
        authority = self.lines.of(ref)
        if ref is None or authority is None:
            return answered
        begin, end = view.leaf.not_valid_before_utc, view.leaf.not_valid_after_utc
        due = renewal_time(certificate.spec, begin, useful_until(begin, end, view.trust_ends))
        meta, found = certificate.metadata, list[Defect | None]()
        found.append(await asyncio.to_thread(another_ca, view, authority, ref, due, f"{meta.name} -n {meta.namespace}"))
        if self._clock() >= due:
            found.append(await asyncio.to_thread(renewal_in_vain, view, authority, ref))
        return [*(one for one in found if one is not None), *answered]

    def _facts(self, seen: Seen, view: SecretView | None) -> Facts:
        return Facts(seen.certificate, view, seen.current, self._clock())

    async def _cache_is_old(self, certificate: Certificate, view: SecretView | None) -> bool:
        """Ask once more, live, before a new certificate is made: an old copy of the Secret is no reason for one."""
        live = await self._objects.secret(certificate.metadata.namespace, certificate.spec.secret_name)
        if live is None or view is None:
            return (live is None) != (view is None)
        return live.metadata.resource_version != view.secret.metadata.resource_version

    async def _tidy(self, certificate: Certificate) -> None:
        """Remove what finished issuances leave behind."""
        for secret in self._watched.key_secrets_of(certificate):
            await self._objects.delete(SECRETS, secret)
        for request in steps.superfluous_requests(certificate, self._watched.requests_of(certificate)):
            await self._objects.delete(CERTIFICATE_REQUESTS, request)

    def _wake_for_renewal(self, key: Key, status: Status, now: datetime) -> None:
        due = from_rfc3339(status.fields.get("renewalTime"))
        if due is not None and due > now:
            # One that is past waits for a CA, whose renewal is told, or for its end.
            self._wake(key, due - now)

    def _wake(self, key: Key, left: timedelta) -> None:
        self.queue.add_after(key, min(max(left, timedelta(seconds=1)), _LONGEST_TIMER).total_seconds())

    async def _refuse(self, certificate: Certificate, defect: Defect) -> None:
        before = find_condition(certificate.status.conditions, READY)
        await self._write_status(certificate, Status.of(certificate).refused(defect, self._clock()))
        if before is None or (before.reason, before.message) != (defect.reason, defect.message):
            self._objects.emitter(CERTIFICATES, certificate)("Warning", defect.reason, defect.message)

    async def _write_status(self, certificate: Certificate, status: Status) -> Certificate:
        """Write what of a status is new, and have the Certificate looked at when it is no longer so: whatever else waits."""
        meta, now = certificate.metadata, self._clock()
        key = (meta.namespace, meta.name)
        if (until := status.until(now)) is not None:
            self._wake(key, until - now)
        patch = status.patch()
        if patch is None:
            return certificate
        wish = status.wish()
        if left := self._statuses.left(key, wish, now):
            raise Contested(certificate, left)
        written = await self._objects.patch_certificate(certificate, patch)
        self._statuses.wrote(key, wish, now)
        self._superseded.replaced(key, meta.resource_version, written.metadata.resource_version)
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


def _warn_of_rotation(certificate: Certificate, emit: Emit) -> None:
    policy = (certificate.spec.private_key or PrivateKeySpec()).rotation_policy
    if certificate.spec.is_ca and policy == "Always":
        emit(
            "Warning",
            CA_KEY_ROTATION,
            "spec.privateKey.rotationPolicy: Always gives this CA a new key at each renewal; "
            "what the former key signed no longer verifies against the new root",
        )
