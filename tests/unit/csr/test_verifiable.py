"""Certificates that workloads, or anybody, could not verify: refused before they are signed, and by which words."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from issuers.authority import load_authority
from signer.authorities.state import IssuerState
from signer.csr.outcome import Issue
from signer.tenancy.verdict import Refuse
from tests import pki
from tests.unit.csr.crafted import FOO, NOW, ready
from tests.unit.csr.mesh_cases import certificate, codes, judge

FOO_CSR = pki.workload_csr("foo", "shop")


def below(ca: pki.CA) -> IssuerState:
    """The issuer foo, with this CA."""
    data = ca.secret()
    found = load_authority(data["tls.crt"], data["tls.key"], data["ca.crt"], now=NOW)
    return replace(ready(FOO), authority=found)


def uris(permitted: list[str] | None = None, excluded: list[str] | None = None) -> dict[str, Any]:
    def names(texts: list[str] | None) -> list[x509.UniformResourceIdentifier] | None:
        return None if texts is None else [x509.UniformResourceIdentifier(text) for text in texts]

    return {"extra": [(x509.NameConstraints(names(permitted), names(excluded)), True)]}


def purposes(*oids: x509.ObjectIdentifier) -> dict[str, Any]:
    return {"extra": [(x509.ExtendedKeyUsage(oids), False)]}


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        (purposes(ExtendedKeyUsageOID.CODE_SIGNING), "usages: server auth and client auth asked for, but"),
        (purposes(ExtendedKeyUsageOID.SERVER_AUTH), "usages: not to be used for client auth"),
        (purposes(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE), "counts for no purpose of TLS"),
        (uris(["other.org"]), "names: 'CN=foo' does not let 'spiffe://cluster.local/ns/foo/sa/shop' pass"),
        (uris(None, ["cluster.local"]), "names: 'CN=foo' does not let"),
        # A host without a dot before it: for Go all below it too, for Envoy it alone.
        (uris(["local"]), "; OpenSSL and Envoy refuse it"),
        (uris(None, ["local"]), "; programs written in Go refuse it"),
    ],
    ids=["code signing", "servers alone", "any", "permitted", "excluded", "permitted for Go", "excluded for Go"],
)
@pytest.mark.parametrize("depth", [0, 1])
def test_a_workload_that_others_would_not_accept_is_refused(wishes: dict[str, Any], words: str, depth: int) -> None:
    """Workloads meet Envoy and Go both: what one of them refuses, as the CA or one above it has it, is not signed."""
    ca = pki.CA("foo", now=NOW, **wishes)
    for _ in range(depth):
        ca = ca.intermediate("foo-sub")
    verdict = judge(FOO_CSR, state=below(ca))
    assert set(codes(verdict)) == {"NotVerifiable"}
    assert isinstance(verdict, Refuse)
    assert words in verdict.message


@pytest.mark.parametrize(
    "wishes",
    [
        purposes(ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH),
        uris(["cluster.local"]),
        uris([".local"]),
        uris(None, ["other.org"]),
        {"path_length": 0},
        {"subject_key_id": False},
        {"key_cert_sign": None},
        {"subject": pki.name()},
    ],
    ids=[
        "both purposes",
        "its host",
        "below a domain",
        "another excluded",
        "path length",
        "no key id",
        "no usage",
        "no name",
    ],
)
def test_a_ca_that_all_accept_signs(wishes: dict[str, Any]) -> None:
    """What Go and Envoy accept is signed, though strict readers may want more of the CA."""
    assert isinstance(judge(FOO_CSR, state=below(pki.CA("foo", now=NOW, **wishes))), Issue)


def test_nothing_begins_before_its_ca() -> None:
    """A workload's certificate begins two minutes before it was asked for, but never before its CA or one above it."""
    for ago in (timedelta(seconds=20), timedelta(hours=1)):
        leaf = certificate(
            judge(FOO_CSR, state=below(pki.CA("foo", now=NOW, not_before=NOW - ago).intermediate("low")))
        )
        assert leaf.not_valid_before_utc == NOW - min(ago, timedelta(minutes=2))
