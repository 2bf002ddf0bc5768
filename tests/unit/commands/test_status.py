"""What `status` says of each part, and of what it could not read; what `version` makes of an image."""

from datetime import timedelta
from typing import Any

import pytest

from signer.api.meta import to_rfc3339
from signer.commands.live import Listing
from signer.commands.output import Row
from signer.commands.summary import summary
from signer.commands.version import tag_of
from tests.unit.commands.meshes import ALL, deployment, facts, mesh, named, state
from tests.unit.commands.test_checks_replicas import lease
from tests.unit.csr.crafted import NOW
from tests.unit.tenancy.worlds import FOO

NONE = Listing()


def ours(ready: int = 2, replicas: int = 2) -> list[Any]:
    found = []
    for name in ("mesh-signer", "mesh-signer-controllers"):
        one = deployment(name, "cert-manager", replicas=replicas)
        one["spec"]["replicas"] = replicas
        one["status"]["readyReplicas"] = ready
        found.append(one)
    return found


def leases() -> list[Any]:
    return [
        lease("cert-manager"),
        lease("cert-manager", "mesh-signer-a"),
        lease("cert-manager", "mesh-signer-b", holder="b"),
    ]


def parts(*given: Any, **listings: Any) -> dict[str, Row]:
    requests, certificates = (*given, NONE, NONE)[:2]
    found = facts(**({"deployments": ours(), "leases": leases()} | listings))
    return {str(row.document["part"]): row for row in summary(found, requests, certificates)}


def ok(rows: dict[str, Row]) -> dict[str, object]:
    return {name: row.document["ok"] for name, row in rows.items()}


def test_all_is_well() -> None:
    """Of a mesh that is well every part says so, but for the findings, which are the doctor's."""
    found = ok(parts())
    assert {name for name, good in found.items() if good is not True} <= {"doctor", "CAs"}
    assert set(found) == {
        "mesh-signer",
        "mesh-signer-controllers",
        "leader",
        "issuers",
        "tenants",
        "requests",
        "CAs",
        "certificates",
        "doctor",
    }


@pytest.mark.parametrize(
    ("listings", "part", "words"),
    [
        ({"deployments": ours(ready=1)}, "mesh-signer", "1 of 2 replicas are ready"),
        ({"deployments": ours(0, 0)}, "mesh-signer-controllers", "0 of 0 replicas are ready"),
        ({"deployments": []}, "mesh-signer", "there is no Deployment cert-manager/mesh-signer"),
        ({"leases": leases()[1:]}, "leader", "nobody leads"),
        ({"leases": leases()[:1]}, "leader", "no replica signs"),
        ({"leases": [lease("cert-manager", age=90), *leases()[1:]]}, "leader", "nobody leads"),
    ],
)
def test_what_runs(listings: dict[str, Any], part: str, words: str) -> None:
    """Replicas that are missing, and a leader who renews no longer, are to be looked at."""
    row = parts(**listings)[part]
    assert row.document["ok"] is False
    assert words in row.cells[2]


@pytest.mark.parametrize("source", ["deployments", "leases"])
def test_what_could_not_be_read(source: str) -> None:
    """What may not be read is unknown, and never well."""
    found = parts(**{source: Listing(problem=f"{source} may not be read")})
    unknown = [row for row in found.values() if row.document["ok"] is None]
    assert any(f"{source} may not be read" in row.cells[2] for row in unknown)


def test_issuers() -> None:
    """An issuer that is not ready is named; one whose Secret may not be read is not called unready."""
    broken = [state(ref, ready=ref != FOO, authority=None) if ref == FOO else state(ref) for ref in ALL]
    rows = {str(one.document["part"]): one for one in summary(facts(mesh(issuers=broken)), NONE, NONE)}
    assert rows["issuers"].document["notReady"] == 1
    assert "ClusterIssuer foo" in rows["issuers"].cells[2]
    unread = mesh(issuers=broken, unread=frozenset({FOO}))
    rows = {str(one.document["part"]): one for one in summary(facts(unread), NONE, NONE)}
    assert rows["issuers"].document["ok"] is True


def csr(*conditions: str, signer: str = "clusterissuers.cert-manager.io/foo", certificate: str = "") -> Any:
    status = {"conditions": [{"type": one} for one in conditions]} | (
        {"certificate": certificate} if certificate else {}
    )
    return named("CertificateSigningRequest", "r", spec={"signerName": signer}, status=status)


def test_requests() -> None:
    """Requests for our signers are counted by what became of them; others are not ours."""
    listed = Listing(
        (
            csr("Approved"),
            csr("Approved", "Failed"),
            csr("Denied"),
            csr(),
            csr("Approved", certificate="x"),
            csr("Approved", signer="kubernetes.io/kubelet-serving"),
        )
    )
    row = parts(listed)["requests"].document
    assert (row["waits"], row["refused"], row["unapproved"], row["ok"]) == (1, 2, 1, False)
    assert parts(Listing(problem="no"))["requests"].document["ok"] is None


def test_certificates() -> None:
    """Certificates that are not ready, or have ended, are counted."""

    def one(name: str, *, ready: bool, left: int) -> Any:
        end = to_rfc3339(NOW + timedelta(days=left))
        conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
        return named("Certificate", name, "foo", status={"conditions": conditions, "notAfter": end})

    row = parts(NONE, Listing((one("a", ready=True, left=3), one("b", ready=False, left=-1))))["certificates"]
    assert (row.document["notReady"], row.document["ended"], row.document["ok"]) == (1, 1, False)
    assert "foo/b" in row.cells[2]


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("mesh-signer:0.1.0", "0.1.0"),
        ("registry:5000/a/mesh-signer:0.2.0", "0.2.0"),
        ("registry:5000/a/mesh-signer", ""),
        ("mesh-signer:0.1.0@sha256:00", "0.1.0"),
        ("mesh-signer@sha256:00", ""),
        ("", ""),
    ],
)
def test_versions(image: str, version: str) -> None:
    """The version is the image's tag; a port and a digest are none."""
    assert tag_of(image) == version
