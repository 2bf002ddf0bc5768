"""Certificates that nobody foresaw, in every place that reads somebody's: a value, or the reader's own error, and nothing else.

Whoever may write a Secret, an object or an answer chooses the bytes. An exception that is not declared ends a controller's
round at best, and a process at worst.
"""

import ast
import base64
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from issuers.acme.chain import Chain, choose_chain, not_preferred, read_chain
from issuers.acme.errors import MalformedAnswer
from issuers.acme.identifiers import identifiers
from issuers.acme.order import Wish
from issuers.acme.renewal import certificate_id, life, plan
from issuers.authority import Authority, load_authority
from issuers.certificate import sign, template_for
from issuers.chain import chain_certificate
from issuers.errors import InvalidAuthority, SigningFailed
from issuers.inspection import read_certificate
from issuers.request import read_request
from issuers.whole_chain import with_root
from issuers.x509 import der, keys, loading, parts
from signer.api.certificaterequest import CertificateRequest
from signer.api.issuer import IssuerRef
from signer.api.meta import from_rfc3339, to_rfc3339
from signer.api.secret import Secret
from signer.api.signerrecord import SignerRecord
from signer.api.tls_secret import is_ca, is_placeholder, key_pair, leaf_of
from signer.authorities.ca_secret import load_ca
from signer.authorities.state import CASecretData
from signer.bridges.credential import read_credential, roots_in
from signer.certificates.policies import Facts, issuance_needed, not_ready
from signer.certificates.requests.steps import usable_key
from signer.certificates.secrets.content import IssuedData, annotations_for
from signer.certificates.secrets.issued_for import mark_of
from signer.certificates.secrets.keystores import Material, NoKeystore, Passwords, write_keystores
from signer.certificates.secrets.leaf_names import leaf_names
from signer.certificates.secrets.ownership import signs_for
from signer.certificates.secrets.trust import (
    another_ca,
    answer_doubts,
    longest,
    readable_ca,
    renewal_in_vain,
    trusted_until,
)
from signer.certificates.secrets.view import inspect, view_key
from signer.certificates.spec.matching import certificate_mismatches, lacking
from signer.certificates.status import Status
from signer.certificates.steps import cut_short, issued_leaf, less_given
from signer.csr.foreign import is_ours
from signer.edge.gateways.placeholder import still_good
from signer.edge.gateways.secrets import dns_names, existing, holds_placeholder
from signer.edge.hosts.secret_records import answers
from signer.edge.issuers.spec import _bundle_problem
from signer.injector.bundle import defect_of
from signer.pods.bundles.step import bundle_roots
from signer.tenancy.ca_keys import _read
from signer.tenancy.meshconfig.edit import edit_mesh_config, has_certificate, in_step, renamed, same_anchor
from signer.tenancy.records import read_record
from tests import pki
from tests.examples import examples
from tests.unit.certificates import samples
from tests.unit.issuers import odd
from tests.vectors import craft

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
KEY_PEM = pki.key_pem(odd.KEY)
HONEST = odd.pem(odd.certificate())
LEAF = odd.pem(odd.certificate(extensions=(odd.NAMED, odd.CLIENT), subject=odd.NAMES["no text"]))
AUTHORITY = load_authority(HONEST, KEY_PEM, HONEST, now=NOW)
REF = IssuerRef("ClusterIssuer", "", "root")
WISH = Wish(identifiers(("leaf.example",)), None, None)
JKS = {"keystores": {"jks": {"create": True, "password": "p"}, "pkcs12": {"create": True, "password": "p"}}}
SPECS = (samples.certificate(), samples.certificate(isCA=True, literalSubject="CN=a", commonName=None, subject=None))


def stored(crt: bytes, ca: bytes = b"") -> Secret:
    metadata = {"name": "s", "namespace": "shop", "uid": "u"}
    return msgspec.convert(
        {"metadata": metadata, "type": "kubernetes.io/tls", "data": {"tls.crt": crt, "tls.key": KEY_PEM, "ca.crt": ca}},
        Secret,
    )


def issued(text: bytes, ca: bytes) -> IssuedData:
    return IssuedData(KEY_PEM, text, ca, None)


def in_a_secret(text: bytes) -> None:
    for secret in (stored(text, HONEST), stored(LEAF + text, text), stored(LEAF, text), stored(text + HONEST, text)):
        view = inspect(secret)
        _ = view.placeholder, view.leaf_spki
        for wanted in SPECS:
            facts = Facts(wanted, view, None, NOW)
            issuance_needed(facts)
            not_ready(facts)
            Status.of(wanted).readiness(None, view.leaf, NOW, view.trust_ends)
        another_ca(view, AUTHORITY, REF, NOW, "a")
        renewal_in_vain(view, AUTHORITY, REF)
        read_credential(secret)
        key_pair(secret)
        existing(secret)
        holds_placeholder(secret)
        still_good(secret, NOW)
        usable_key(secret, signs=False)


def of_a_leaf(text: bytes) -> None:
    leaf = leaf_of(text)
    if leaf is None:
        return
    assert repr(parts.subject_text(leaf)).isprintable()
    parts.alt_names(leaf)
    leaf_names(leaf)
    annotations_for(leaf)
    is_ca(leaf)
    is_placeholder(leaf)
    certificate_id(leaf)
    plan(life(leaf), NOW, advice=None, fraction=0.5)
    dns_names(leaf)
    for wanted in SPECS:
        certificate_mismatches(leaf, wanted.spec)
        lacking(leaf, wanted.spec)
        cut_short(wanted, leaf)
        less_given(wanted, leaf)
        mark_of(wanted.spec, leaf)
        signs_for(wanted, leaf, ["ClusterIssuer/a"])
    for moment in (leaf.not_valid_before_utc, leaf.not_valid_after_utc):
        assert len(to_rfc3339(moment)) == 20
        assert from_rfc3339(to_rfc3339(moment)) is not None


def as_an_answer(text: bytes) -> None:
    for chain, ca in ((text, HONEST), (LEAF + text, text), (LEAF + text + HONEST, HONEST), (text + HONEST, b"")):
        trusted_until(chain, ca)
        readable_ca(ca)
        longest(issued(chain, ca), issued(LEAF, HONEST), None)
        longest(issued(chain, ca), None, AUTHORITY)
        longest(issued(LEAF, HONEST), issued(chain, ca), None)
        request = msgspec.convert(
            samples.request_json() | {"status": {"certificate": base64.b64encode(chain), "ca": base64.b64encode(ca)}},
            CertificateRequest,
        )
        answer_doubts(request, chain, ca, verified=False)
        answers(request, "00")
        for wanted in SPECS:
            issued_leaf(request, view_key(odd.KEY), Facts(wanted, None, None, NOW))


def from_an_acme_server(text: bytes) -> None:
    for chain in (text, LEAF + text, text + HONEST):
        try:
            read = read_chain(chain, WISH, odd.KEY, NOW)
        except MalformedAnswer:
            continue
        choose_chain([read], "root")
        not_preferred([read], read, "root", ())
    try:
        read = Chain(tuple(loading.certificates(LEAF + text)))
    except loading.Unreadable:
        return
    choose_chain([read], "root")
    not_preferred([read], read, "another", ())


def in_the_mesh_config(text: bytes) -> None:
    told = text.decode()
    _read(told)
    bundle_roots([text, HONEST + text], NOW)
    config = f"caCertificates:\n- certSigners: [clusterissuers.cert-manager.io/foo]\n  pem: |\n    {told.replace(chr(10), chr(10) + '    ').rstrip()}\n"
    for here, there in ((told, HONEST.decode()), (HONEST.decode(), told)):
        has_certificate(here)
        in_step(here, there)
        same_anchor(here, there)
        renamed(here, there)
        edit_mesh_config(config, {"clusterissuers.cert-manager.io/foo": there}, force=False)
        edit_mesh_config(config, {"clusterissuers.cert-manager.io/foo": there}, force=True)


def as_a_ca(text: bytes) -> None:
    for chain, root in ((text, text), (text, HONEST), (HONEST + text, text), (HONEST, text)):
        try:
            found = load_ca(CASecretData(tls_crt=chain, tls_key=KEY_PEM, ca_crt=root), now=NOW)
        except InvalidAuthority as error:
            pytest.fail(f"load_ca returns it: {error}")
        if isinstance(found, Authority):
            template = template_for(
                read_request(pki.csr(dns=["a"])),
                usages=("server auth",),
                duration=timedelta(hours=1),
                is_ca=False,
                now=NOW,
            )
            sign(template, found, serial=7)


def with_its_root(text: bytes) -> None:
    template = template_for(
        read_request(pki.csr(dns=["a"])), usages=("server auth",), duration=timedelta(hours=1), is_ca=False, now=NOW
    )
    made = sign(template, AUTHORITY, serial=7)
    for chain, root in ((AUTHORITY.chain_pem, text), (AUTHORITY.chain_pem + text, HONEST)):
        other = replace(AUTHORITY, chain_pem=chain, root_pem=root)
        try:
            with_root(replace(made, pem=made.pem.replace(AUTHORITY.chain_pem, chain)), other)
        except SigningFailed:
            continue


def in_a_record(text: bytes) -> None:
    obj = msgspec.convert(
        {
            "metadata": {"name": "clusterissuers.foo"},
            "spec": {"signerName": "clusterissuers.cert-manager.io/foo"},
            "status": {"certificates": [{"role": "CA", "certificate": base64.b64encode(der_of(text)).decode()}]},
        },
        SignerRecord,
    )
    assert read_record(obj) is not None


def in_a_keystore(text: bytes) -> None:
    wanted = samples.certificate(**JKS).spec
    for chain, ca in ((text, HONEST), (LEAF, text)):
        try:
            write_keystores(wanted, Passwords("p", "p"), Material(odd.KEY, KEY_PEM, chain, ca), b"s" * 20)
        except NoKeystore:
            continue


def strictly(text: bytes) -> None:
    for read in (read_certificate, chain_certificate):
        try:
            read(der_of(text))
        except (der.DerError, keys.KeyRefused):
            continue
    is_ours(text, NOW, NOW)
    defect_of(text)
    _bundle_problem(text)
    roots_in(text)


def der_of(text: bytes) -> bytes:
    return base64.b64decode(b"".join(text.splitlines()[1:-1]))


READERS: dict[str, Callable[[bytes], None]] = {
    one.__name__: one
    for one in (
        in_a_secret,
        of_a_leaf,
        as_an_answer,
        from_an_acme_server,
        in_the_mesh_config,
        as_a_ca,
        with_its_root,
        in_a_record,
        in_a_keystore,
        strictly,
    )
}


@pytest.mark.heavy
@pytest.mark.parametrize("reader", READERS)
def test_each_odd_part(reader: str) -> None:
    """Each odd part by itself, in each place."""
    tripped = {}
    for what, data in odd.TABLE.items():
        try:
            READERS[reader](odd.pem(data))
        except Exception as error:  # noqa: BLE001 - all are told at once
            tripped[what] = repr(error)
    assert not tripped


@settings(max_examples=examples(150), deadline=None)
@given(st.data())
def test_odd_parts_together(data: st.DataObject) -> None:
    """Any of them together, in any place."""
    chosen: dict[str, Any] = {
        part: values[data.draw(st.sampled_from(sorted(values)))]
        for part, values in odd.PARTS.items()
        if data.draw(st.integers(0, 2)) == 0
    }
    READERS[data.draw(st.sampled_from(sorted(READERS)))](odd.pem(odd.certificate(**chosen)))


def honest_parts(certificate: x509.Certificate) -> tuple[object, ...]:
    """What the library says of a certificate that it reads."""
    basic = [one.value.ca for one in certificate.extensions if isinstance(one.value, x509.BasicConstraints)]
    return certificate.subject.public_bytes(), certificate.issuer.public_bytes(), basic == [True]


def test_what_the_library_reads_we_read_alike() -> None:
    """Of every certificate whose extensions and names the library reads, ours says the same; and it takes most of the table."""
    agreed = 0
    for what, data in odd.TABLE.items():
        leaf = leaf_of(odd.pem(data))
        if leaf is None:
            continue
        read = parts.parts_of(leaf)
        assert (read.subject in data, read.issuer in data, read.spki in data) == (True, True, True)
        try:
            theirs = honest_parts(leaf)
        except Exception:  # noqa: BLE001 - that is what the table is for
            continue
        agreed += 1
        ours = (read.subject, read.issuer, parts.is_ca(leaf))
        assert ours[2] == theirs[2], what
        if "T61" not in what and "BMP" not in what:  # the library writes these anew
            assert ours[:2] == theirs[:2], what
    assert agreed > 50


def test_an_odd_part_hides_no_other() -> None:
    """A CA with an x400Address for its issuer's other name is a CA; a root whose name is no text still ends a chain."""
    odd_one = leaf_of(odd.pem(odd.certificate(extensions=(odd.CA, craft.extension(odd.IAN, craft.seq(odd.X400))))))
    assert odd_one is not None
    assert parts.is_ca(odd_one) is True
    assert bundle_roots(
        [odd.pem(odd.certificate(extensions=(odd.CA, craft.extension(odd.IAN, craft.seq(odd.X400)))))], NOW
    )
    name = odd.NAMES["a bit string"]
    root = odd.pem(odd.certificate(subject=name, issuer=name))
    below = odd.pem(odd.certificate(subject=odd.ROOT, issuer=name, extensions=(odd.NAMED,)))
    assert trusted_until(below, root) == datetime(2027, 11, 21, 12, tzinfo=UTC)
    assert trusted_until(below, HONEST + root) is not None


@pytest.mark.parametrize("name", ["empty", "not UTF-8", "a bit string"])
def test_what_has_no_name_is_told_as_such(name: str) -> None:
    """Of a stranger in a chain whose subject is no text, it is said that it has none, and no empty name is quoted."""
    stranger = odd.pem(odd.certificate(subject=odd.NAMES[name], issuer=odd.NAMES["BMP"]))
    (doubt,) = answer_doubts(None, LEAF + stranger, b"", verified=False)
    assert "a certificate whose subject is empty, or cannot be read of tls.crt did not sign" in doubt.message


# What of a certificate the library reads only when it is asked, and may fail at.
_LATE = {"extensions", "get_extension_for_class", "get_extension_for_oid", "get_attributes_for_oid", "rfc4514_string"}
_MAY = {
    "issuers/x509/parts.py",  # guarded there, for all others
    "signer/tenancy/meshconfig/edit.py",  # guarded there: what is not read is left as it stands
}


def test_nobody_asks_the_library() -> None:
    """Names and extensions of others' certificates are read in one place."""
    root = Path(__file__).parents[3]
    asked = {
        str(path.relative_to(root))
        for folder in ("issuers", "signer")
        for path in (root / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in _LATE and not _our_own(node)
    }
    assert asked == _MAY


def _our_own(node: ast.Attribute) -> bool:
    """Whether these are the extensions that our own readers found: of CertificateFields (`fields`), or of Parts."""
    if node.attr != "extensions":
        return False
    if isinstance(node.value, ast.Call):
        return ast.unparse(node.value.func) == "parts_of"
    return ast.unparse(node.value).split(".")[-1] == "fields"
