"""What ztunnel asks, and what it makes of our answers, by the crates that it is built with: rcgen and rustls-webpki.

ztunnel itself is in no registry; tests/localmesh/rusttools/ztunnel calls these crates as its source does.
"""

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from issuers.authority import load_authority
from signer.api.issuer import IssuerRef
from signer.authorities.state import IssuerState
from signer.csr.answers.compose import issue
from signer.csr.outcome import Issue
from tests.localmesh.debian import NotHere
from tests.localmesh.rust import ZTUNNEL, find_rust
from tests.pki import CA
from tests.unit.csr.crafted import NOW, ready, request
from tests.unit.csr.test_by_identity import indexed, judge

pytestmark = pytest.mark.integration

Program = Callable[..., str]


@pytest.fixture(scope="module")
def ztunnel() -> Program:
    """Runs the program; skipped where cargo is missing."""
    try:
        program = find_rust(ZTUNNEL)
    except NotHere as error:
        pytest.skip(str(error))

    def run(*words: str) -> str:
        return subprocess.run([program, *words], capture_output=True, text=True, check=True).stdout

    return run


def tenant(name: str, *, depth: int = 0, kind: str = "p256") -> IssuerState:
    """A tenant's issuer, with so many CAs between its own and the root."""
    made = CA(name, kind=kind, now=NOW)
    for number in range(depth):
        made = made.intermediate(f"{name}-{number}")
    data = made.secret()
    found = load_authority(data["tls.crt"], data["tls.key"], data["ca.crt"], now=NOW)
    return replace(ready(IssuerRef("ClusterIssuer", "", name)), authority=found)


def answered(csr: str, namespace: str, states: list[IssuerState]) -> bytes:
    """What status.certificate holds for a request of ztunnel's, by K8S_SIGNER's one name."""
    verdict = judge(indexed(issuers=states).world, namespace, text=csr.encode(), states=states)
    assert isinstance(verdict, Issue), verdict
    return issue(request(), verdict, serial=7).pem


def asked(ztunnel: Program, namespace: str, version: str = "now") -> str:
    return ztunnel("csr", version, f"spiffe://cluster.local/ns/{namespace}/sa/default")


@pytest.mark.parametrize("version", ["now", "before"])
def test_a_request_is_taken(ztunnel: Program, version: str) -> None:
    """What rcgen writes now, and what it wrote before, is taken to the byte, each with a key of its own."""
    for _ in range(5):
        leaf = x509.load_pem_x509_certificate(
            answered(asked(ztunnel, "foo", version), "foo", [tenant("foo"), tenant("bar")])
        )
        san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        assert list(san.value) == [x509.UniformResourceIdentifier("spiffe://cluster.local/ns/foo/sa/default")]


@pytest.mark.parametrize("kind", ["p256", "p384", "rsa", "ed25519"])
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_tenants_trust_their_own_alone(ztunnel: Program, tmp_path: Path, kind: str, depth: int) -> None:
    """The last certificate is the root that ztunnel goes by: workloads of a tenant accept each other, and nobody else."""
    states = [tenant("foo", depth=depth, kind=kind), tenant("bar", depth=depth)]
    files = {}
    for name, namespace in (("foo", "foo"), ("another", "foo"), ("bar", "bar")):
        files[name] = tmp_path / f"{name}.pem"
        files[name].write_bytes(answered(asked(ztunnel, namespace), namespace, states))

    def why(shown: str, peer: str) -> str:
        return ztunnel("verify", str(int(NOW.timestamp())), str(files[shown]), str(files[peer]))

    assert (why("foo", "foo"), why("foo", "another"), why("another", "foo")) == ("", "", "")
    assert "UnknownIssuer" in why("foo", "bar")
    assert "UnknownIssuer" in why("bar", "foo")


def test_without_its_root_nobody_takes_it(ztunnel: Program, tmp_path: Path) -> None:
    """The control: the leaf alone, as a signer that appends nothing answers, is no answer for ztunnel."""
    pem = answered(asked(ztunnel, "foo"), "foo", [tenant("foo"), tenant("bar")])
    leaf = tmp_path / "leaf.pem"
    leaf.write_bytes(pem[: pem.index(b"-----END CERTIFICATE-----")] + b"-----END CERTIFICATE-----\n")
    told = ztunnel("verify", str(int(NOW.timestamp())), str(leaf), str(leaf))
    assert "no root certificate present" in told
