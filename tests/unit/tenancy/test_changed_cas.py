"""A CA that was changed, and the root that the mesh config still has: a table over key, subject and shape, and who is asked.

What is right is what a verifier does: it goes by the root's subject and key (RFC 5280, 6.1). OpenSSL has the last word.
"""

import itertools
from dataclasses import dataclass
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

from issuers.authority import Authority, load_authority
from issuers.chain import anchor_of
from signer.api.signername import signer_name_of
from signer.commands.checks.roots import check_roots
from signer.commands.explanations.requests import as_requester, workload_request
from signer.csr.answers.compose import issue
from signer.csr.outcome import Issue
from signer.tenancy.ca_keys import CAKeys
from signer.tenancy.meshconfig.edit import edit_mesh_config
from signer.tenancy.verdict import Unready
from signer.tenancy.world import CertificateAuthorityEntry, MeshConfig, World
from tests import pki
from tests.pki import CA, workload_csr
from tests.unit.commands.explaining import fully
from tests.unit.commands.meshes import facts, mesh, state
from tests.unit.csr.crafted import ISTIOD, NOW, request
from tests.unit.csr.mesh_cases import OWNED, judge
from tests.unit.tenancy.worlds import FOO, world
from tests.verifying import Question, refused_by_openssl

KEYS = {"same": pki.key("p256", n=4700), "other": pki.key("p256", n=4701)}
SUBJECTS = {
    "same": pki.name("foo"),
    "other": pki.name("foo-2027"),
    "other case": pki.name("FOO"),
    # The same text as another kind of string: Go compares bytes, and so does istiod.
    "other kind": x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "foo", _type=_ASN1Type.PrintableString)]),
}
SHAPES = ("self-signed", "below its root", "without its root", "cross-signed")
BEFORE = CA(private=KEYS["same"], subject=SUBJECTS["same"], now=NOW - timedelta(days=5))


@dataclass(frozen=True)
class Case:
    """What became of the root, and how the CA stands to it."""

    key: str
    subject: str
    shape: str

    @property
    def right(self) -> bool:
        """Whether workloads that trust the root of before accept what the CA signs now."""
        return self.shape == "cross-signed" or (self.key, self.subject) == ("same", "same")

    def authority(self) -> Authority:
        root = CA(private=KEYS[self.key], subject=SUBJECTS[self.subject], now=NOW)
        if self.shape == "self-signed":
            return load_authority(root.pem, root.key_pem, None, now=NOW)
        if self.shape == "cross-signed":
            cross = CA(private=KEYS[self.key], subject=SUBJECTS[self.subject], parent=BEFORE, now=NOW)
            return load_authority(cross.pem, cross.key_pem, BEFORE.pem, now=NOW)
        below = CA("below", private=pki.key("p256", n=4702), parent=root, now=NOW)
        above = root.pem if self.shape == "below its root" else None
        return load_authority(below.pem, below.key_pem, above, now=NOW)


TABLE = [
    Case(*one)
    for one in itertools.product(KEYS, SUBJECTS, SHAPES)
    # A cross certificate of the same name is taken for a root by OpenSSL: docs/tenancy.md asks for another name.
    if one[1] == "other" or one[2] != "cross-signed"
]
# The key above a CA that does not show its root is known only by the name.
TOLD = [one for one in TABLE if (one.key, one.subject, one.shape) != ("other", "same", "without its root")]


def there() -> World:
    """The mesh with the root of before."""
    entries = (CertificateAuthorityEntry(BEFORE.pem.decode(), frozenset({FOO})),)
    return world(
        bindings=OWNED,
        roots=CAKeys().roots(entries),
        config=MeshConfig(signers=frozenset({FOO}), authorities=entries),
        signers=frozenset({FOO}),
        defaults=frozenset(),
    )


@pytest.mark.parametrize("case", TOLD, ids=str)
def test_what_is_right(case: Case) -> None:
    """The table says what OpenSSL says of a workload's certificate under the root of before."""
    found = judge(workload_csr("foo"), mesh=world(bindings=OWNED), state=state(FOO, authority=case.authority()))
    assert isinstance(found, Issue)
    refused = refused_by_openssl(Question(issue(request(), found, serial=7).pem, BEFORE.pem, NOW))
    assert not refused or not case.right, refused
    # OpenSSL folds names, which Go does not; whoever is not told apart by it has the same key.
    assert bool(refused) == (not case.right) or (case.key == "same" and case.subject in {"other case", "other kind"})


@pytest.mark.parametrize("case", TOLD, ids=str)
def test_who_signs(case: Case) -> None:
    """The signer, `explain` and `tenants` agree: a CA that workloads would not accept waits, another one signs."""
    mine, changed = there(), state(FOO, authority=case.authority())
    verdict = judge(workload_csr("foo"), mesh=mine, state=changed)
    seen = mesh(mine, [changed])
    best = seen.at_best("foo", FOO, NOW)
    explained = fully(
        as_requester(workload_request("cluster.local", "foo", "default", signer_name_of(FOO)), ISTIOD), FOO, seen
    )
    if case.right:
        assert isinstance(verdict, Issue)
        assert not isinstance(best, Unready)
        assert "RootMismatch" not in str(explained)
        return
    assert isinstance(verdict, Unready)
    assert isinstance(best, Unready)
    assert verdict.reason.code == best.reason.code == "RootMismatch"
    assert "RootMismatch" in str(explained)
    assert any("mesh-config" in one or "former subject" in one for one in explained.advice), "as doctor says it"
    named = case.key == "same" and case.shape in {"self-signed", "below its root"}
    assert ("another subject" in verdict.reason.message) == named


@pytest.mark.parametrize("case", TOLD, ids=str)
def test_who_writes(case: Case) -> None:
    """`mesh-config --write`, and --manage-mesh-config likewise, replaces a root only by one that verifies the same."""
    root = case.authority().root_pem
    if root is None or case.shape == "cross-signed":
        return
    text = f"caCertificates:\n- pem: {BEFORE.pem.decode()!r}\n  certSigners: [{signer_name_of(FOO)}]\n".replace(
        "'", '"'
    )
    found = edit_mesh_config(text, {signer_name_of(FOO): root.decode()}, force=False)
    assert bool(found.refused) == (not case.right)
    assert bool(found.changes) == case.right
    if not case.right:
        assert "--force" in found.refused[0]
        assert ("another subject" in found.refused[0]) == (case.key == "same")


@pytest.mark.parametrize("case", TOLD, ids=str)
def test_what_doctor_says(case: Case) -> None:
    """`doctor` tells an error where nobody gets a certificate, and never calls such a CA a renewed one."""
    found = list(check_roots(facts(mesh(there(), [state(FOO, authority=case.authority())]))))
    assert any(one.severity == "error" for one in found) == (not case.right)
    for one in found:
        if one.severity == "error":
            assert "renewed, and" not in one.what
            assert "--force" in one.mend
            if "another subject" in one.what:
                assert "former subject" in one.mend


def test_an_anchor() -> None:
    """What verifiers go by is subject and key, however the two could be cut from one text."""
    assert anchor_of(b"a", b"bc") != anchor_of(b"ab", b"c")
    assert anchor_of(b"a", b"b") == anchor_of(b"a", b"b")
