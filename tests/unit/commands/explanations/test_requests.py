"""Requests to be explained, from the cluster, from files, and for a workload."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.commands.command import NotFoundOut
from signer.commands.explanations.requests import Asked, as_requester, read_file, read_object, workload_request
from signer.commands.live import Json
from tests import pki

PEM = pki.workload_csr("foo", "web")
SIGNER = "clusterissuers.cert-manager.io/foo"


def obj(status: Json | None = None, **spec: object) -> Json:
    values = {"request": base64.b64encode(PEM).decode(), "signerName": SIGNER, "usages": ["client auth"], **spec}
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": "r", "annotations": {"a": "b"}, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": values,
        "status": status or {},
    }


def test_object() -> None:
    """What the API server recorded of a request is read: who, what, of whom, when."""
    found = read_object(obj(username="u", uid="i", groups=["g"], extra={"k": ["v"]}, expirationSeconds=600))
    content = found.content
    assert found.title == "CertificateSigningRequest r"
    assert (found.signer_name, content.request) == (SIGNER, PEM)
    assert (content.username, content.user_uid, content.groups, content.extra) == ("u", "i", ("g",), {"k": ("v",)})
    assert (content.usages, content.expiration_seconds, content.annotations) == (("client auth",), 600, {"a": "b"})
    assert content.created == 1767225600
    assert (found.became, found.approved) == ("", False)


def test_what_became_of_it() -> None:
    """A request that was answered says so."""
    approved = {"type": "Approved", "status": "True"}
    failed = {"type": "Failed", "reason": "TenantMismatch", "message": "no"}
    assert read_object(obj({"conditions": [approved]})).approved
    assert read_object(obj({"certificate": "x"})).became == "it has its certificate"
    assert read_object(obj({"conditions": [approved, failed]})).became == "Failed: TenantMismatch: no"


@pytest.mark.parametrize(
    "spec", [{"request": "%"}, {"request": None}, {"expirationSeconds": "x"}, {"expirationSeconds": []}]
)
def test_unreadable_object(spec: Json) -> None:
    """A request without a readable CSR or lifetime is told as such."""
    with pytest.raises(NotFoundOut, match="no readable"):
        read_object(obj(**spec))


def test_files() -> None:
    """A manifest is read as YAML and as JSON, a CSR as PEM, which needs a signer."""
    asked = read_file(json.dumps(obj()), "")
    assert isinstance(asked, Asked)
    assert (asked.signer_name, asked.approved) == (SIGNER, True)
    pem = pki.workload_csr("foo").decode()
    asked = read_file(pem, SIGNER)
    assert isinstance(asked, Asked)
    assert asked.content.request == pem.encode()
    with pytest.raises(NotFoundOut, match="add --signer"):
        read_file(pem, "")


@pytest.mark.parametrize("text", ["", "[", "kind: Pod", "- a", "a: &a [*a]", "\x00"])
def test_other_files(text: str) -> None:
    """What is not a request is told as such."""
    with pytest.raises(NotFoundOut, match="the file"):
        read_file(text, SIGNER)


@given(st.text(max_size=200))
def test_any_file(text: str) -> None:
    """No file makes it raise anything else."""
    with pytest.raises(NotFoundOut):
        read_file(text, "")


def test_workload() -> None:
    """A workload's request is of Istio's form; a user can be put in istiod's place."""
    asked = workload_request("cluster.local", "foo", "web", SIGNER)
    assert asked.content.username == ""
    assert as_requester(asked, "istiod").content.username == "istiod"
    assert b"BEGIN CERTIFICATE REQUEST" in asked.content.request


@pytest.mark.parametrize(
    ("namespace", "account"), [("A", "x"), ("", "x"), ("a/b", "x"), ("a", ""), ("a", "x/y"), ("a", "é")]
)
def test_no_workload(namespace: str, account: str) -> None:
    """What are not a valid namespace or service account makes no request."""
    with pytest.raises(NotFoundOut, match="are not a valid namespace"):
        workload_request("cluster.local", namespace, account, SIGNER)
