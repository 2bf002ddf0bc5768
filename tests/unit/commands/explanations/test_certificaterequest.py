"""Explanations of CertificateRequests: the controller's steps and the wall's verdict, whatever became of it so far."""

import base64
from datetime import timedelta
from typing import Any

import pytest

from signer.api.certificaterequest import CertificateRequest
from signer.commands.command import NotFoundOut
from signer.commands.explanations.certificaterequest import explain_request
from signer.commands.explanations.csr import Explanation
from signer.commands.explanations.requests import read_certificate_request, read_file
from signer.commands.live import Mesh
from signer.tenancy.world import Policy, RequestRules, Settings
from tests import pki
from tests.unit.commands.meshes import ALL, entries, mesh, state
from tests.unit.csr.crafted import NOW
from tests.unit.tenancy.worlds import FOO, OTHER, world


def request(namespace: str = "shop", issuer: str = "foo", *, status: Any = None, **spec: Any) -> CertificateRequest:
    reference = {"name": issuer, "kind": "ClusterIssuer", "group": "cert-manager.io"}
    csr = base64.b64encode(pki.csr(dns=["shop.example"])).decode()
    return read_certificate_request(
        {
            "kind": "CertificateRequest",
            "metadata": {"name": "web-1", "namespace": namespace},
            "spec": {"request": csr, "issuerRef": reference, "usages": ["server auth"]} | spec,
            "status": status or {},
        }
    )


def explained(found: Mesh, asked: CertificateRequest) -> Explanation:
    result = explain_request(asked, found, title="CertificateRequest shop/web-1", auto_approve=True, now=NOW)
    assert isinstance(result, Explanation)
    return result


def test_of_no_mesh_signer() -> None:
    """An issuer that is none of the mesh's signs as cert-manager would, for as long as was asked."""
    found = explained(mesh(issuers=[state(OTHER)]), request(issuer=OTHER.name, duration="2h"))
    assert (found.verdict, found.ends) == ("issue", NOW + timedelta(hours=2))
    assert "signed as cert-manager would" in found.source
    assert found.asked.title == "CertificateRequest shop/web-1"


def test_of_a_mesh_signer() -> None:
    """A mesh signer answers where a SignerPolicy covers the namespace, and refuses elsewhere by the wall's own reason."""
    refused = explained(mesh(), request())
    assert (refused.verdict, [one.code for one in refused.reasons]) == ("refuse", ["RequestNotAllowed"])
    assert dict(refused.known)["mesh signer"].startswith("yes")
    policy = Policy(
        "p",
        frozenset({FOO}),
        namespaces=frozenset({"foo"}),
        dns_names=("shop.example",),
        certificate_requests=RequestRules(),
    )
    here = mesh(world(config=entries(*ALL), policies=(policy,)))
    found = explained(here, request("foo"))
    assert (found.verdict, found.source) == ("issue", "SignerPolicy p")


def test_audit_mode() -> None:
    """While the wall only watches, what it would refuse is signed, and that is said."""
    settings = Settings(mode="audit", audit_until=NOW + timedelta(days=1))
    found = explained(mesh(world(config=entries(*ALL), settings=settings)), request())
    assert found.verdict == "issue"
    assert any(note.startswith("the wall only reports until") for note in found.notes)
    assert any(note.startswith("enforcing would refuse it: ") for note in found.notes)


@pytest.mark.parametrize(
    ("asked", "verdict", "code"),
    [
        (request(issuer="absent"), "wait", "IssuerNotFound"),
        (request(duration="soon"), "refuse", "InvalidRequest"),
        (request(request=base64.b64encode(b"nonsense").decode()), "refuse", "InvalidRequest"),
        (request(usages=7), "refuse", "InvalidRequest"),
    ],
    ids=["no issuer", "duration", "no CSR", "unreadable"],
)
def test_before_the_wall(asked: CertificateRequest, verdict: str, code: str) -> None:
    """What the controller finds before it asks the wall is told with its own reasons."""
    found = explained(mesh(), asked)
    assert (found.verdict, [one.code for one in found.reasons]) == (verdict, [code])


def test_others_that_decide() -> None:
    """A self-signed certificate depends on a Secret's key, an ACME issuer's on a server: neither is promised."""
    own = state(OTHER, kind="selfSigned", authority=None)
    asked = request(issuer=OTHER.name)
    assert explained(mesh(issuers=[own]), asked).reasons[0].code == "MissingAnnotation"
    acme = explained(mesh(issuers=[state(OTHER, kind="acme", authority=None)]), asked)
    assert (acme.verdict, acme.reasons[0].code) == ("ask", "ACME")


def test_what_became_of_it() -> None:
    """A settled request is judged anew, and what became of it is said beside."""
    denied = {"conditions": [{"type": "Denied", "status": "True", "reason": "policy", "message": "no"}]}
    found = explained(mesh(), request(status=denied))
    assert (found.asked.became, found.verdict) == ("Denied: policy: no", "refuse")
    failed = {"conditions": [{"type": "Ready", "status": "False", "reason": "Failed", "message": "why"}]}
    assert explained(mesh(), request(status=failed)).asked.became == "Failed: why"


def test_of_another_group() -> None:
    """A request for somebody else's issuer is not one of ours, and is not a refusal."""
    with pytest.raises(NotFoundOut, match=r"'aws\.example', which is not one of ours"):
        explained(mesh(), request(issuerRef={"name": "x", "group": "aws.example"}))


def test_in_a_file() -> None:
    """A file may hold a CertificateRequest; without a namespace it is in `default`; one that is broken is told."""
    found = read_file("kind: CertificateRequest\nmetadata: {name: web-1}\nspec: {duration: 2h}\n", "")
    assert isinstance(found, CertificateRequest)
    assert (found.metadata.namespace, found.spec.duration) == ("default", "2h")
    with pytest.raises(NotFoundOut, match="the CertificateRequest cannot be read"):
        read_file("kind: CertificateRequest\nmetadata: 7\n", "")
