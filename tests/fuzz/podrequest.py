"""PodCertificateRequests: whatever their bytes, each ends in one verdict, and what is issued is for the proven key and its own namespace.

An input is the object's protobuf message.
"""

from signer.api.podcertificaterequest import is_answered, read_pod_request
from signer.csr.evaluate import Circumstances
from signer.csr.outcome import Answers, Issue
from signer.kube.encoding.protobuf import ProtobufError
from signer.pods.evaluate import evaluate_pod
from signer.tenancy.verdict import Limits, Refuse
from tests.unit.csr.crafted import NOW, ready
from tests.unit.pods.crafted import seen
from tests.unit.tenancy.worlds import BAR, FOO, binding, world

WORDS = (b"foo", b"bar", b"web", b"uid-pod", b"node-1", b"clusterissuers.cert-manager.io/", b"Issued", b"Denied")
_AROUND = Circumstances(Limits(), world(bindings=(binding(FOO, "foo"), binding(BAR, "bar"))), "cert-manager", NOW)


def run(data: bytes) -> None:
    """Raise when a promise is broken."""
    try:
        request = read_pod_request(data, "v1")
    except ProtobufError:
        return
    assert request.answered == is_answered(data)
    verdict = evaluate_pod(request, FOO, ready(FOO), Answers(fresh=True, pod=seen()), _AROUND)
    if isinstance(verdict, Issue):
        assert request.namespace == "foo"
        assert verdict.identity == "spiffe://cluster.local/ns/foo/sa/web"
        assert (request.pod_uid, request.node_name) == ("uid-pod", "node-1")
        assert not request.annotations
        assert verdict.template.spki in (request.stub or request.key)
    elif isinstance(verdict, Refuse):
        assert verdict.message.strip()
