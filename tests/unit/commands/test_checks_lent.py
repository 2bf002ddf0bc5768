"""Which Issuers `doctor` tells of because their DNS records are written by others' credentials."""

from typing import Any

import msgspec
import pytest

from signer.api.issuer import Issuer, IssuerRef
from signer.authorities.state import IssuerState
from signer.commands.checks.facts import Finding
from signer.commands.checks.lent import check_lent
from tests.unit.commands.meshes import facts, mesh

LENT: tuple[Any, ...] = (
    {"externalDNS": {}},
    {"webhook": {"groupName": "acme.example.com", "solverName": "x"}},
    {"rfc2136": {"nameserver": "ns.example.com"}},
)
TSIG = {"tsigKeyName": "k", "tsigSecretSecretRef": {"name": "s", "key": "k"}}
OWN: tuple[Any, ...] = (
    {"rfc2136": {"nameserver": "ns.example.com", **TSIG}},
    {"persistent": {"issuerDomainName": "ca.example"}},
    7,
)


def found(provider: Any, namespace: str) -> list[Finding]:
    ref = IssuerRef("Issuer" if namespace else "ClusterIssuer", namespace, "le")
    solvers = [{"http01": {"ingress": {}}}, {"dns01": provider}]
    acme = {"server": "https://ca.example/d", "privateKeySecretRef": {"name": "k"}, "solvers": solvers}
    raw = {"metadata": {"name": "le", "namespace": namespace}, "spec": {"acme": acme}}
    state = IssuerState(ref, msgspec.convert(raw, Issuer), "acme", ready=True, reason="", message="")
    return list(check_lent(facts(mesh(issuers=[state]))))


@pytest.mark.parametrize("provider", LENT, ids=str)
def test_lent(provider: Any) -> None:
    """A tenant's Issuer by credentials that are not its namespace's is told of, with its field; a ClusterIssuer is not."""
    (one,) = found(provider, "team")
    assert (one.severity, one.code) == ("note", "IssuerOnLentCredentials")
    assert one.where.endswith("spec.acme.solvers[1].dns01")
    assert found(provider, "") == []


@pytest.mark.parametrize("provider", OWN, ids=str)
def test_own(provider: Any) -> None:
    """One with credentials of its own, or that writes nothing, is nobody's worry."""
    assert found(provider, "team") == []
