"""What is remembered of a mesh signer beyond what other objects say, and what a SignerRecord of it must say. Pure.

A key that a CA no longer has, a policy that was deleted a moment ago, a mesh config that is gone: what keeps the wall up
after them would end with the process that saw them. So it is stored, before it is relied on, and a process that starts
has it from there.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from issuers.chain import Chain, ChainCertificate, chain_certificate
from issuers.x509.der import DerError
from issuers.x509.keys import KeyRefused
from signer.api.issuer import IssuerRef
from signer.api.meta import from_rfc3339, to_rfc3339
from signer.api.signername import signer_name_of
from signer.api.signerrecord import SIGNER_RECORDS, SignerRecord
from signer.tenancy.claims import read_signer_name

MOST_CERTIFICATES = 64
MOST_MESH_CONFIGS = 64
# An object's name has 253 characters at most; longer ones are told apart by their hash.
_LONGEST_NAME = 253


class Record(msgspec.Struct, frozen=True):
    """One SignerRecord, read. `own` are certificates of CAs that the signer has or had, `above` those above them.

    `since` says since when each key of `own` is recorded; one whose time cannot be read is not in it.
    """

    signer: IssuerRef
    own: tuple[ChainCertificate, ...] = ()
    above: tuple[ChainCertificate, ...] = ()
    mesh_configs: frozenset[str] = frozenset()
    given_out: bool = False
    given_out_until: datetime | None = None
    since: Mapping[str, datetime] = msgspec.field(default_factory=dict)


class Known(msgspec.Struct, frozen=True):
    """What is known of a signer now: the CAs that were seen, whether a policy names it, the ConfigMaps that do or did.

    `until`: when the last policy that named it was seen to go, for as long as that holds somebody back.
    """

    chains: tuple[Chain, ...] = ()
    given_out: bool = False
    mesh_configs: frozenset[str] = frozenset()
    until: datetime | None = None


def record_name(signer: IssuerRef) -> str:
    """Name the SignerRecord of a signer: no two have the same."""
    kind = "clusterissuers" if signer.kind == "ClusterIssuer" else f"issuers.{signer.namespace}"
    name = f"{kind}.{signer.name}"
    return name if len(name) <= _LONGEST_NAME else f"sha256.{hashlib.sha256(name.encode()).hexdigest()}"


def new_record(signer: IssuerRef) -> dict[str, Any]:
    """Return the SignerRecord to create; its status is written after that."""
    return {
        "apiVersion": SIGNER_RECORDS.api_version,
        "kind": SIGNER_RECORDS.kind,
        "metadata": {"name": record_name(signer), "labels": {"app.kubernetes.io/part-of": "mesh-signer"}},
        "spec": {"signerName": signer_name_of(signer)},
    }


def read_record(obj: SignerRecord) -> Record | None:
    """Read a SignerRecord; never raises. None for one that is about no signer, or not the one that it is named after."""
    signer = read_signer_name(obj.spec.signer_name)
    if signer is None or obj.metadata.name != record_name(signer):
        return None
    status = obj.status
    read = [(one.role, _certificate(one.certificate)) for one in status.certificates[:MOST_CERTIFICATES]]
    since: dict[str, datetime] = {}
    for one, (role, found) in zip(status.certificates, read, strict=False):
        if found is not None and role == "CA" and (at := from_rfc3339(one.first_seen_time)) is not None:
            since[found.key_id] = min(at, since.get(found.key_id, at))
    return Record(
        signer,
        own=tuple(one for role, one in read if one is not None and role == "CA"),
        above=tuple(one for role, one in read if one is not None and role != "CA"),
        mesh_configs=frozenset(status.mesh_configs[:MOST_MESH_CONFIGS]),
        given_out=status.given_out,
        given_out_until=from_rfc3339(status.given_out_until_time),
        since=since,
    )


def _certificate(text: str) -> ChainCertificate | None:
    try:
        return chain_certificate(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError, DerError, KeyRefused):
        return None


def lacks_keys(record: Record | None, chain: Chain) -> bool:
    """Tell whether a CA is not recorded yet, with all that is above it."""
    if record is None:
        return True
    own, above = {one.key_id for one in record.own}, {one.key_id for one in (*record.own, *record.above)}
    return chain.key_ids[0] not in own or not above.issuperset(chain.key_ids[1:])


def status_to_write(
    obj: SignerRecord | None, record: Record | None, known: Known, now: datetime
) -> dict[str, Any] | None:
    """Return the status that a SignerRecord must have; None when it has it, or when there is nothing to remember."""
    given_out = known.given_out
    until = record.given_out_until if record is not None else None
    if given_out:
        until = None
    elif record is not None and record.given_out:
        until = now
    # A policy that came and went while nothing could be stored, as where a mesh config was not readable.
    held = known.until.replace(microsecond=0) if known.until is not None and not given_out else None
    later = held is not None and (until is None or until < held)
    if later:
        until = held
    missing = [chain for chain in _latest(known.chains) if lacks_keys(record, chain)]
    same = record is not None and (given_out, known.mesh_configs) == (record.given_out, record.mesh_configs)
    if not missing and not later and (same or (record is None and not given_out and not known.mesh_configs)):
        return None
    stored = obj.status.certificates if obj is not None else ()
    entries = [
        {"role": one.role, "certificate": one.certificate, "firstSeenTime": one.first_seen_time or to_rfc3339(now)}
        for one in stored
        if _certificate(one.certificate) is not None
    ]
    entries += _entries(missing, record, now)
    return {
        "certificates": entries[-MOST_CERTIFICATES:],
        "givenOut": given_out,
        "givenOutUntilTime": to_rfc3339(until) if until is not None else None,
        "meshConfigs": sorted(known.mesh_configs)[:MOST_MESH_CONFIGS],
    }


def _latest(chains: tuple[Chain, ...]) -> list[Chain]:
    """Return the latest chains, as many as always find room: what is dropped for them must not be missed again."""
    found: list[Chain] = []
    room = MOST_CERTIFICATES // 2
    for chain in reversed(chains):
        room -= len(chain.certificates)
        if room < 0:
            break
        found.append(chain)
    return found[::-1]


def _entries(chains: Iterable[Chain], record: Record | None, now: datetime) -> list[dict[str, str]]:
    seen = (
        {("CA", one.key_id) for one in record.own} | {("Above", one.key_id) for one in record.above}
        if record
        else set()
    )
    found: list[dict[str, str]] = []
    for chain in chains:
        for at, one in enumerate(chain.certificates):
            role = "Above" if at else "CA"
            if (role, one.key_id) not in seen and (at == 0 or ("CA", one.key_id) not in seen):
                seen.add((role, one.key_id))
                text = base64.b64encode(one.der).decode()
                found.append({"role": role, "certificate": text, "firstSeenTime": to_rfc3339(now)})
    return found
