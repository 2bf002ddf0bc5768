"""Keeps a Certificate's Secret as it is to be, without a new certificate: what was changed in it is put back.

Certificate and root are known from the request that led to them, or from what is there (ADR 13); who undoes it each time is named
and waited for (signer/observe/undone.py). Runs on the loop; reading Secrets and verifying chains leave it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cryptography import x509

from issuers.x509.pem import usual_labels
from signer.api.certificate import CERTIFICATES, Certificate
from signer.api.notes import text_note
from signer.api.secret import CA_CERT, TLS_CERT, TLS_KEY, Secret
from signer.certificates import steps
from signer.certificates.ca_lines import CALines
from signer.certificates.filling import Filling, as_they_are
from signer.certificates.objects import Key, Objects
from signer.certificates.pacing import undone
from signer.certificates.policies import Facts, not_ready
from signer.certificates.secrets import ownership
from signer.certificates.secrets.content import Content, IssuedData, issuer_of, secret_content
from signer.certificates.secrets.issued_for import mark_of, noted
from signer.certificates.secrets.keystores import NoKeystore
from signer.certificates.secrets.trust import longest, stored_ca
from signer.certificates.secrets.view import KeyView, SecretView, key_as_wanted, read_leaf, spki_of
from signer.certificates.spec.check import Defect
from signer.certificates.spec.matching import RequestView, certificate_mismatches, request_mismatches
from signer.certificates.watched import Watched
from signer.certificates.well_known import FAO_LABEL, FIELD_MANAGER, ISSUED_FOR
from signer.kube.queue import WorkQueue
from signer.observe.undone import Undone

# What somebody else must mend is looked at again this often (seconds).
BLOCKED_RECHECK = 30.0


@dataclass(frozen=True, slots=True)
class UndoneAgain:
    """What somebody undoes in a Secret each time; `worse`: data, not labels or annotations alone. `left` until the next write."""

    said: Defect
    worse: bool
    left: timedelta


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at a Certificate and what belongs to it. `shared`: other Certificates name its Secret too."""

    certificate: Certificate
    view: SecretView | None
    current: RequestView | None
    shared: Defect | None


class SecretUpkeep:
    """Puts back what was changed in Secrets. `lines` says how CAs are now; `queue` has a Certificate looked at again."""

    def __init__(
        self,
        watched: Watched,
        objects: Objects,
        lines: CALines,
        queue: WorkQueue[Key],
        *,
        owner_ref: bool,
        clock: Callable[[], datetime],
    ) -> None:
        self._objects = objects
        self.filling = Filling(watched, objects)
        self._lines = lines
        self._queue = queue
        self._owner_ref = owner_ref
        self._clock = clock
        self._undone = Undone[Key]()

    def forget(self, key: Key) -> None:
        """The Certificate is gone."""
        self._undone.forget(key)
        self.filling.forget(key)

    async def put_right(self, seen: Seen) -> tuple[Secret | None, UndoneAgain | None]:
        """Put back what was changed in the Secret though its key is still the one that we asked with.

        Returns the Secret as it was written, if it was. Certificate and root come from the request that led to them;
        without it, the certificate that is there counts as right. Where the CA was renewed since, or its ca.crt is gone,
        chain and root are as the CA has them now.
        """
        certificate, view = seen.certificate, seen.view
        if view is None or view.key is None:
            return None, None
        data = view.secret.data
        held = issued = IssuedData(
            key_as_wanted(view.key, data.get(TLS_KEY, b""), certificate.spec),
            data.get(TLS_CERT, b""),
            data.get(CA_CERT, b""),
            issuer_of(view.secret, certificate),
        )
        leaf = view.leaf
        if seen.current is not None and key_is_ours(seen):
            request = seen.current.request
            if steps.outcome(request).state == "issued":
                leaf, _ = read_leaf(request.status.certificate)
                if (
                    leaf is not None
                    and leaf.not_valid_after_utc <= self._clock()
                    and not_ready(Facts(certificate, view, seen.current, self._clock())) is None
                ):
                    return None, None  # an old answer: what somebody put there since is better
                ca = await asyncio.to_thread(stored_ca, request)
                chain = usual_labels(request.status.certificate)
                issued = IssuedData(issued.key, chain, ca, request.spec.issuer_ref)
        elif view.placeholder or not ownership.holds(certificate, view.secret):
            return None, None
        if leaf is None or spki_of(leaf) != view.key.spki:
            return None, None
        issued = replace(issued, issued_for=_issued_for(seen, leaf))
        ref = issued.issuer.resolve(certificate.metadata.namespace) if issued.issuer is not None else None
        issued = await asyncio.to_thread(longest, issued, held, self._lines.of(ref))
        issued = await self._with_keystores(certificate, issued, view.key, view.secret)
        content = secret_content(certificate, issued, leaf, existing=view.secret, owner_ref=self._owner_ref)
        differs = content.differences(view.secret)
        return await self._put_back(certificate, view, content, differs) if differs else (None, None)

    async def _put_back(
        self, certificate: Certificate, view: SecretView, content: Content, differs: tuple[str, ...]
    ) -> tuple[Secret | None, UndoneAgain | None]:
        """Write the Secret as it is to be, unless somebody undoes that each time and it is not time yet."""
        meta = certificate.metadata
        key, wish, now = (meta.namespace, meta.name), content.wish(differs), self._clock()
        if left := self._undone.left(key, wish, now):
            what = undone(differs, await self.writers(certificate), now + left)
            return None, UndoneAgain(what, any(name in content.data or name == CA_CERT for name in differs), left)
        written = await self._objects.apply_secret(meta.namespace, certificate.spec.secret_name, content, view.secret)
        self._undone.wrote(key, wish, now)
        lacked = [name for name in differs if name in content.data and not view.secret.data.get(name)]
        lacked += ["its label"] if FAO_LABEL not in view.secret.metadata.labels else []
        if lacked:
            message = (
                f"Secret {certificate.spec.secret_name} lacked {', '.join(lacked)}: put back, with the same certificate"
            )
            self._objects.emitter(CERTIFICATES, certificate)("Normal", "SecretMended", message)
        return written, None

    async def _with_keystores(
        self, certificate: Certificate, issued: IssuedData, key: KeyView, secret: Secret
    ) -> IssuedData:
        """Add the keystores; where a password is missing, leave what is there and say so, since the rest is in order."""
        name, trouble = (certificate.metadata.namespace, certificate.metadata.name), None
        try:
            issued = await self.filling.fill(certificate, issued, key.key, secret)
        except NoKeystore as error:
            trouble = error
            issued = as_they_are(certificate, issued, secret)
            self._queue.add_after(name, BLOCKED_RECHECK)
        self.filling.tell(certificate, trouble)
        if (seconds := self.filling.look_again(certificate)) is not None:
            self._queue.add_after(name, seconds)
        return issued

    async def writers(self, certificate: Certificate) -> tuple[str, ...]:
        """Name who else has written its Secret."""
        live = await self._objects.secret(certificate.metadata.namespace, certificate.spec.secret_name)
        return live.written_by(FIELD_MANAGER) if live is not None else ()


def _issued_for(seen: Seen, leaf: x509.Certificate) -> str:
    """The mark of what a certificate was issued for: the one that is there, else what is known of it now; "" for nothing.

    What was issued before there were marks gets one, so that no later change of the spec is missed.
    """
    spec, secret = seen.certificate.spec, seen.view.secret if seen.view is not None else None
    if secret is not None and noted(secret, leaf):
        return text_note(secret.metadata.annotations, ISSUED_FOR)
    current = seen.current
    known = request_mismatches(current, spec) if current is not None else certificate_mismatches(leaf, spec)
    return "" if known else mark_of(spec, leaf)


def key_is_ours(seen: Seen) -> bool:
    """Tell whether the key in the Secret is the one that the present certificate was asked for with."""
    return steps.asked_with(seen.current, seen.view.key if seen.view is not None else None)
