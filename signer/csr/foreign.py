"""Certificates of mesh signers that somebody else wrote.

Another signer beside us (a cert-manager whose CSR controllers are on) signs what we refuse, and the API never lets a
certificate be replaced. It cannot be undone here, so it is told as loudly as can be: metric, Event, log, not ready.
Used on the loop only; a second look is a timer of the loop.
"""

import asyncio
import binascii
import logging
import re
from collections import OrderedDict
from collections.abc import Callable, Container
from datetime import UTC, datetime, timedelta

from issuers import inspection
from issuers.x509 import der, extensions
from issuers.x509.subject import EMPTY_NAME
from signer.api.certificatesigningrequest import CertificateSigningRequest, read_certificate, read_content
from signer.api.issuer import IssuerRef
from signer.api.signername import parse_signer_name
from signer.csr.queue.backlog import Backlog
from signer.csr.record import Around, Record
from signer.tenancy.decide import BACKDATE
from signer.tenancy.world import World

log = logging.getLogger(__name__)

# Seconds after the last one during which we are not ready.
UNREADY = 600.0
_QUIET = 60.0
_REMEMBERED = 4096
_FIRST = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----")
_OURS = frozenset(
    {
        extensions.KEY_USAGE,
        extensions.EXTENDED_KEY_USAGE,
        extensions.BASIC_CONSTRAINTS,
        extensions.SUBJECT_KEY_IDENTIFIER,
        extensions.AUTHORITY_KEY_IDENTIFIER,
        extensions.SUBJECT_ALT_NAME,
    }
)
# Seconds after which the CA that another replica had before us is known here too; how many such CAs are waited for at most.
_CATCHES_UP = 5.0
_HELD = 256
# A replica whose clock is behind the API server's dates a certificate by its own.
_SKEW = timedelta(minutes=10)


def is_ours(chain: bytes, created: datetime, began: datetime | None) -> bool:
    """Tell whether a chain (PEM, leaf first) has the form of the mesh's certificates that we make.

    `created` is when the request was made, `began` when its CA did, None where that is not known, as in a replica that has just
    started. Another replica's certificate has that form, cert-manager's has not: ours begins two minutes before its request,
    or with a CA that is younger, has no subject, and just our extensions. Raises nothing.
    """
    leaf = _leaf_of(chain)
    return leaf is not None and _has_our_form(leaf, created, began)


def _leaf_of(chain: bytes) -> inspection.CertificateFields | None:
    block = _FIRST.search(chain)
    if block is None:
        return None
    try:
        return inspection.read_certificate(binascii.a2b_base64(block[1]))
    except (der.DerError, binascii.Error):
        return None


def _has_our_form(fields: inspection.CertificateFields, created: datetime, began: datetime | None) -> bool:
    latest = created - BACKDATE
    # What is not known yet accuses nobody.
    with_its_ca = latest < fields.not_before == began if began is not None else fields.not_before <= created
    names = fields.extensions.get(extensions.SUBJECT_ALT_NAME)
    return (
        fields.extensions.keys() == _OURS
        and names is not None
        and names[0]
        and fields.subject == EMPTY_NAME
        and latest - _SKEW <= fields.not_before
        and (with_its_ca or fields.not_before <= latest)
    )


class ForeignCertificates:
    """Looks at certificates that appear on requests that we had not answered so, and remembers when one was foreign.

    `unapproved` holds the uids of requests that nobody has approved yet; `world` gives what is known of the mesh.
    """

    def __init__(
        self, backlog: Backlog, unapproved: Container[str], world: Callable[[], World], around: Around, record: Record
    ) -> None:
        self._backlog = backlog
        self._unapproved = unapproved
        self._world = world
        self._around = around
        self._record = record
        self._refused: OrderedDict[str, None] = OrderedDict()
        self._last = float("-inf")
        self._signer = ""
        self._quiet_until: dict[str, float] = {}
        # Signers with the beginnings of CAs that other replicas may have before us: all leaves of one are judged alike.
        self._held: set[tuple[IssuerRef, datetime]] = set()

    def refused(self, csr: CertificateSigningRequest) -> None:
        """We have refused a request: a certificate that it gets now is not ours."""
        self._refused[csr.uid] = None
        if len(self._refused) > _REMEMBERED:
            self._refused.popitem(last=False)

    def knows(self, uid: str) -> bool:
        """Tell whether a request was seen here without a certificate, or refused: only then its certificate may be foreign."""
        return self._backlog.get(uid) is not None or uid in self._unapproved or uid in self._refused

    def look(self, csr: CertificateSigningRequest) -> None:
        """A request has a certificate now. Raises ProtobufError."""
        pending = self._backlog.get(csr.uid)
        ref = parse_signer_name(csr.signer_name)
        if ref is None or not self.knows(csr.uid) or ref not in self._world().signers:
            return  # answered by us, or long ago, or of nobody who could harm the mesh
        chain = read_certificate(csr)
        if pending is not None and pending.answer is not None and pending.answer.pem == chain:
            return
        created = datetime.fromtimestamp(read_content(csr).created, UTC)
        # What another replica lets pass in audit mode has cert-manager's form.
        leaf = _leaf_of(chain)
        if not self._world().settings.enforces(self._around.wall()) or self._made_here(leaf, created, ref):
            return
        # A CA was renewed just now, and another replica has seen it first: this may be its certificate.
        if leaf is not None and _has_our_form(leaf, created, None):
            begins = (ref, leaf.not_before)
            if begins in self._held:
                return
            if len(self._held) < _HELD:
                self._held.add(begins)
                asyncio.get_running_loop().call_later(_CATCHES_UP, self._look_again, csr, ref, leaf, created)
                return
        self._record.foreign(csr, ref, told=self._note(csr))

    def _look_again(
        self, csr: CertificateSigningRequest, ref: IssuerRef, leaf: inspection.CertificateFields, created: datetime
    ) -> None:
        self._held.discard((ref, leaf.not_before))
        if not self._made_here(leaf, created, ref):
            self._record.foreign(csr, ref, told=self._note(csr))

    def _made_here(self, leaf: inspection.CertificateFields | None, created: datetime, ref: IssuerRef) -> bool:
        return leaf is not None and _has_our_form(leaf, created, self._began(ref))

    def _began(self, ref: IssuerRef) -> datetime | None:
        if ref in self._world().routed:
            return None  # another CA signed, one of many
        state = self._around.issuer(ref)
        return state.authority.not_before if state is not None and state.authority is not None else None

    @property
    def trouble(self) -> str:
        """Why we are not ready; "" when there was none for ten minutes."""
        if self._around.clock() - self._last >= UNREADY:
            return ""
        return f"somebody else wrote a certificate of {self._signer} less than ten minutes ago"

    def _note(self, csr: CertificateSigningRequest) -> bool:
        """Remember one, and log it once a minute for each signer; True when it was logged."""
        now, signer = self._around.clock(), csr.signer_name
        self._last, self._signer = now, signer
        if self._quiet_until.get(signer, now) > now:
            return False
        self._quiet_until = {name: until for name, until in self._quiet_until.items() if until > now}
        self._quiet_until[signer] = now + _QUIET
        log.error(
            "request %s: its certificate of %s was not made by mesh-signer: another signer works beside it",
            csr.name,
            signer,
        )
        return True
