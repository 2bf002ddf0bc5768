"""Pods get certificates by their kubelets: what the API server takes, what is in them, and who gets none."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509

from tests import pki
from tests.integration.pods.kubelet import Kubelet, chain_of, proven
from tests.localmesh.signer import SignerProcess

pytestmark = pytest.mark.integration


def test_a_pod_gets_its_tenants_certificate(kubelet: Kubelet, signer: SignerProcess) -> None:
    """A request of a Pod's node is issued by the CA of its tenant, for the Pod's SPIFFE ID and key, and nothing else."""
    tenants, private = kubelet.tenants, pki.key(n=3)
    pod = kubelet.pod(tenants.name("foo"), "web")
    kind, answer = kubelet.answered(kubelet.create(kubelet.request(pod, tenants.signer("foo"), private)))
    assert kind == "Issued", answer
    leaf, status = chain_of(answer)[0], answer["status"]
    san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert san.critical
    assert [one.value for one in san.value] == [pki.spiffe(tenants.name("foo"), "web")]
    assert leaf.public_key() == private.public_key()
    leaf.verify_directly_issued_by(tenants.cas["foo"].certificate)
    times = [datetime.fromisoformat(status[name]) for name in ("notBefore", "beginRefreshAt", "notAfter")]
    assert times[0] == leaf.not_valid_before_utc
    assert times[2] == leaf.not_valid_after_utc
    assert times == sorted(times)
    assert times[2] - times[0] <= timedelta(days=1)
    assert times[0] < datetime.now(UTC)
    lines = [line for line in signer.audit() if line.get("serial") == f"{leaf.serial_number:x}"]
    assert [line["audit"] for line in lines] == ["intent", "outcome"]
    assert {line["resource"] for line in lines} == {"PodCertificateRequest"}
    assert {line["identity"] for line in lines} == {pki.spiffe(tenants.name("foo"), "web")}
    assert lines[-1]["outcome"] == "stored"
