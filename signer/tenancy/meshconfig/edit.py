"""Keeps the roots in meshConfig.caCertificates in step with the CAs, in the text that a person wrote.

istiod gives a workload the root that stands beside its signer there, and refuses a certificate that does not verify
against it: a renewed root must arrive there before the old one ends. Every byte that is not such a root, or the list
of signers beside it, stays as it is. Pure; the result is read again and compared before it is returned.
"""

import copy
from collections.abc import Mapping

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from issuers.chain import anchor_of
from issuers.x509 import loading
from signer.tenancy.ca_keys import root_key
from signer.tenancy.meshconfig.text import (
    AUTHORITIES,
    SIGNERS,
    URL,
    Entry,
    MeshConfigText,
    Splice,
    UneditableText,
    splice,
)

_COPIED = {"pem", *SIGNERS, "trustDomains", "trust_domains"}


class Edited(msgspec.Struct, frozen=True):
    """The mesh config as it shall be: `text` is the old one when there are no `changes`.

    `changes` says in a sentence each what is new, `refused` what is not done, and why.
    """

    text: str
    changes: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


class _Root(msgspec.Struct, frozen=True):
    pem: str
    der: bytes
    public_key: bytes
    anchor: str
    subject: str
    ends: str


def edit_mesh_config(text: str, roots: Mapping[str, str], *, force: bool) -> Edited:
    """Give each signer (by its full name, `DOMAIN/NAME`) an entry of its own with its root (PEM, one certificate).

    An entry is in step when its last certificate is the root: that is the one which istiod hands to workloads. An
    entry that several signers share becomes one for each, since istiod never forgets a list of signers that it has
    read. A root with another public key or another subject than the present one is refused unless `force`: workloads that
    trust the present one would not accept certificates under the new one. Both in one entry would help nobody, as
    workloads are given the last certificate alone. Entries of signers not in `roots` keep their root. Never raises: what
    cannot be edited is refused as a whole.

    Source: security/pkg/pki/ra/k8s_ra.go (SetCACertificatesFromMeshConfig, SignWithCertChain) of Istio.
    """
    refused: list[str] = []
    wanted: dict[str, _Root] = {}
    for signer, pem in sorted(roots.items()):
        found = _read_roots(pem)
        if len(found) == 1:
            wanted[signer] = found[0]
        else:
            refused.append(f"{signer}: the root to be written is not one certificate")
    try:
        document = MeshConfigText(text)
        _refuse(document.entries, wanted, refused, force=force)
        return _edit(document, wanted, refused)
    except UneditableText as error:
        return Edited(text, (), (*refused, f"the mesh config cannot be edited: {error}; write caCertificates by hand"))


def in_step(pem: str, root: str) -> bool:
    """Tell whether workloads that get `pem` of an entry trust this root."""
    there, asked = _read_roots(pem), _read_roots(root)
    return bool(there) and bool(asked) and there[-1].der == asked[-1].der


def has_certificate(pem: str) -> bool:
    """Tell whether workloads get any root of `pem`: a placeholder, or a certificate in base64, is none."""
    return bool(_read_roots(pem))


def same_anchor(pem: str, root: str) -> bool:
    """Tell whether the last certificate of `pem` still verifies what this root signs: it has its subject and its key."""
    there, asked = _read_roots(pem), _read_roots(root)
    return bool(there) and bool(asked) and there[-1].anchor == asked[-1].anchor


def renamed(pem: str, root: str) -> tuple[str, str] | None:
    """Return the subjects of the last certificate of `pem` and of this root, where their key is one and they differ."""
    there, asked = _read_roots(pem), _read_roots(root)
    if not there or not asked or there[-1].anchor == asked[-1].anchor or there[-1].public_key != asked[-1].public_key:
        return None
    return there[-1].subject, asked[-1].subject


def _refuse(entries: list[Entry], wanted: dict[str, _Root], refused: list[str], *, force: bool) -> None:
    """Take out of `wanted` what must not be written, saying why."""
    for entry in entries:
        there = _read_roots(entry.pem)
        for signer in entry.signers:
            root = wanted.get(signer)
            if root is None:
                continue
            where = f"caCertificates[{entry.index}]"
            if entry.find(URL) is not None:
                refused.append(f"{signer}: {where} takes its roots from a spiffeBundleUrl")
            elif there and there[-1].anchor != root.anchor and not force:
                other = "another public key"
                if there[-1].public_key == root.public_key:
                    other = f"the same key and another subject, {there[-1].subject!r}, not {root.subject!r}"
                refused.append(
                    f"{signer}: the root in {where} has {other} (it expires {there[-1].ends}); whoever trusts "
                    "it would accept no certificate under the new root (--force replaces it all the same)"
                )
            else:
                continue
            del wanted[signer]


def _edit(document: MeshConfigText, wanted: dict[str, _Root], refused: list[str]) -> Edited:
    pieces: list[Splice] = []
    changes: list[str] = []
    expected: list[dict[str, object]] = []
    missing = dict(wanted)
    for entry in document.entries:
        keeper, entries = _entries_for(entry, wanted)
        for signer in entry.signers:
            missing.pop(signer, None)
        if entry.signers and not wanted.keys().isdisjoint(entry.signers):
            if keeper[_spelling(entry)] != entry.value[_spelling(entry)]:
                pieces.append(document.set_signer(entry, entry.signers[0]))
            if keeper.get("pem") != entry.value.get("pem"):
                pieces.append(_pem_piece(document, entry, str(keeper["pem"])))
            pieces.extend(document.insert(entries, entry))
            changes.extend(_told(entry, wanted))
        expected += [keeper, *entries]
    new: list[dict[str, object]] = [{"pem": root.pem, "certSigners": [signer]} for signer, root in missing.items()]
    pieces += document.insert(new)
    changes += [f"{signer}: an entry with its root, which expires {root.ends}" for signer, root in missing.items()]
    if not pieces:
        return Edited(document.text, (), tuple(refused))
    edited = splice(document.text, pieces)
    _compare(document, MeshConfigText(edited), expected + new)
    return Edited(edited, tuple(changes), tuple(refused))


def _entries_for(entry: Entry, wanted: Mapping[str, _Root]) -> tuple[dict[str, object], list[dict[str, object]]]:
    """Return what an entry shall be, and the entries to stand behind it: one for each further signer."""
    keeper = copy.deepcopy(entry.value)
    if wanted.keys().isdisjoint(entry.signers):
        return keeper, []
    spelling = _spelling(entry)
    if len(entry.signers) > 1 and (odd := sorted(set(map(str, entry.value)) - _COPIED)):
        raise UneditableText(f"caCertificates[{entry.index}] is shared by several signers and has the field {odd[0]}")

    def of(signer: str) -> dict[str, object]:
        one = copy.deepcopy(entry.value) | {spelling: [signer]}
        if signer in wanted and not _trusts(entry.pem, wanted[signer]):
            one["pem"] = wanted[signer].pem
        return one

    first, *others = map(of, entry.signers)
    return first, others


def _spelling(entry: Entry) -> str:
    found = entry.find(SIGNERS)
    return found[0] if found is not None else SIGNERS[0]


def _pem_piece(document: MeshConfigText, entry: Entry, pem: str) -> Splice:
    if entry.find(["pem"]) is not None:
        return document.set_pem(entry, pem)
    raise UneditableText(f"caCertificates[{entry.index}] has no field pem")


def _told(entry: Entry, wanted: Mapping[str, _Root]) -> list[str]:
    told = []
    if len(entry.signers) > 1:
        told.append(
            f"caCertificates[{entry.index}]: one entry for each of {', '.join(entry.signers)} "
            "(istiod keeps the shared one in memory until it restarts)"
        )
    elif entry.value[_spelling(entry)] != [entry.signers[0]]:
        told.append(f"caCertificates[{entry.index}]: {entry.signers[0]} is named once")
    for signer in entry.signers:
        if signer in wanted and not _trusts(entry.pem, wanted[signer]):
            there = _read_roots(entry.pem)
            kind = _kind(there[-1], wanted[signer]) if there else "where no certificate was"
            told.append(f"{signer}: a root {kind}, which expires {wanted[signer].ends}")
    return told


def _kind(there: _Root, new: _Root) -> str:
    if there.anchor == new.anchor:
        return "of the same key"
    return "with another subject" if there.public_key == new.public_key else "with another key"


def _compare(before: MeshConfigText, after: MeshConfigText, expected: list[dict[str, object]]) -> None:
    """Make sure that the new text says what it shall, and of everything else what it said before."""
    if [entry.value for entry in after.entries] != expected or _rest(before) != _rest(after):
        raise UneditableText("its layout is not understood")


def _rest(document: MeshConfigText) -> str:
    # As text: a number that is none (.nan) differs from itself.
    return repr({key: value for key, value in document.value.items() if key not in AUTHORITIES})


def _trusts(pem: str, root: _Root) -> bool:
    there = _read_roots(pem)
    return bool(there) and there[-1].der == root.der


def _read_roots(pem: str) -> list[_Root]:
    try:
        return [_root(one) for one in loading.certificates(pem.encode())]
    except Exception:  # noqa: BLE001 - ValueError, UnsupportedAlgorithm and more: all mean that nobody can trust it
        return []


def _root(one: x509.Certificate) -> _Root:
    subject, spki = root_key(one)
    return _Root(
        pem=one.public_bytes(Encoding.PEM).decode(),
        der=one.public_bytes(Encoding.DER),
        public_key=spki,
        anchor=anchor_of(subject, spki),
        subject=one.subject.rfc4514_string(),
        ends=one.not_valid_after_utc.strftime("%Y-%m-%d"),
    )
