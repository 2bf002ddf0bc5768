"""Which record `doctor` prints for dns-persist-01, and for whom it prints none."""

from typing import Any

import msgspec
import pytest

from signer.api.issuer import Issuer, IssuerRef
from signer.authorities.state import IssuerState
from signer.commands.checks.facts import Finding
from signer.commands.checks.persistent import check_persistent
from signer.edge.dns01.persist import proves
from tests.unit.commands.meshes import facts, mesh
from tests.unit.csr.crafted import NOW

ACCOUNT = "https://ca.example/acct/7"
LASTING = {"dns01": {"persistent": {"issuerDomainName": "ca.example"}}}


def found(*solvers: Any, uri: str | None = ACCOUNT, namespace: str = "") -> list[Finding]:
    ref = IssuerRef("Issuer" if namespace else "ClusterIssuer", namespace, "le")
    raw = {
        "metadata": {"name": "le", "namespace": namespace},
        "spec": {
            "acme": {"server": "https://ca.example/d", "privateKeySecretRef": {"name": "k"}, "solvers": list(solvers)}
        },
        "status": {"acme": {"uri": uri}} if uri is not None else {},
    }
    state = IssuerState(ref, msgspec.convert(raw, Issuer), "acme", ready=True, reason="", message="")
    return list(check_persistent(facts(mesh(issuers=[state]))))


@pytest.mark.parametrize("namespace", ["", "team"])
def test_the_record(namespace: str) -> None:
    """What is printed proves every host to that CA, for that account, and a wildcard too."""
    (one,) = found({"http01": {"ingress": {}}}, LASTING, namespace=namespace)
    assert (one.severity, one.code) == ("note", "PersistentRecord")
    assert "TXT _validation-persist.HOST" in one.what
    record = one.what.split('"')[1]
    assert proves(record, "ca.example", ACCOUNT, NOW, wildcard=True)
    assert one.where.endswith("spec.acme.solvers[1].dns01")


def test_before_there_is_an_account() -> None:
    """Without an account there is no record yet, and that is said."""
    (one,) = found(LASTING, uri=None)
    assert "has no account yet" in one.what
    assert '"' not in one.what


@pytest.mark.parametrize(
    "solver", [{"dns01": {"rfc2136": {"nameserver": "ns"}}}, {"dns01": 7}, 7, {"dns01": {"persistent": {}}}]
)
def test_others(solver: Any) -> None:
    """An issuer that does not ask for it, or not rightly, is told nothing here."""
    assert found(solver) == []
