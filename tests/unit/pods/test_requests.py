"""How Pods' requests are followed and their Pods looked at: in the version that is served, live, and no more often than needed."""

import asyncio
from datetime import timedelta
from typing import Any, cast

import msgspec
import pytest

from signer.api.podcertificaterequest import PodCertificateRequest
from signer.kube.client import ApiClient
from signer.kube.errors import ApiError, NotFound, Unreachable
from signer.kube.objects import Response
from signer.pods.requests import PodRequests
from tests.fakes.envelopes import wrap
from tests.unit.csr.crafted import NOW
from tests.unit.pods.crafted import encoded, request

POD = {
    "metadata": {"name": "web-0", "namespace": "foo", "uid": "uid-pod"},
    "spec": {"nodeName": "node-1", "serviceAccountName": "web"},
    "status": {"phase": "Running"},
}


class FakeClient:
    """Answers by path; what is not there is not found. `asked` notes the paths."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []

    async def request(self, _method: str, path: str, **_options: Any) -> Response:
        self.asked.append(path)
        await asyncio.sleep(0)
        found = self.answers.get(path)
        if found is None:
            raise NotFound(404, "NotFound", path)
        if isinstance(found, Exception):
            raise found
        return Response(200, {}, found if isinstance(found, bytes) else msgspec.json.encode(found))


def door(client: FakeClient, clock: list[int]) -> PodRequests:
    return PodRequests(cast(ApiClient, client), wall=lambda: NOW + timedelta(seconds=clock[0]))


def there() -> FakeClient:
    client = FakeClient()
    client.answers = {
        "/api/v1/namespaces/foo/pods/web-0": POD,
        "/api/v1/namespaces/foo/serviceaccounts/web": {"metadata": {"uid": "uid-account"}},
        "/api/v1/nodes/node-1": {"metadata": {"uid": "uid-node"}},
    }
    return client


def serves(*versions: str) -> FakeClient:
    """An API server that has requests in these versions."""
    client = FakeClient()
    for version in versions:
        path = f"/apis/certificates.k8s.io/{version}"
        client.answers[path] = {"resources": [{"name": "podcertificaterequests"}]}
        raw = wrap(f"certificates.k8s.io/{version}", "PodCertificateRequest", encoded())
        client.answers[f"{path}/namespaces/foo/podcertificaterequests/request-1"] = raw
    return client


@pytest.mark.parametrize(
    ("served", "taken"),
    [(("v1", "v1beta1"), "v1"), (("v1",), "v1"), (("v1beta1",), "v1beta1"), (("v1alpha1",), None), ((), None)],
)
async def test_which_version(served: tuple[str, ...], taken: str | None) -> None:
    """The newest version that is known here and served there is read, and its answer is written in it; of others nothing is."""
    found = await door(serves(*served), [0]).find("foo", "request-1")
    assert (found.version if isinstance(found, PodCertificateRequest) else None) == taken


async def test_what_is_there() -> None:
    """Pod, account and node are read, and when that was."""
    seen = await door(there(), [0]).look(request())
    assert seen.pod is not None
    assert (seen.pod.metadata.uid, seen.pod.spec.node_name, seen.pod.spec.service_account_name) == (
        "uid-pod",
        "node-1",
        "web",
    )
    assert (seen.service_account_uid, seen.node_uid, seen.at) == ("uid-account", "uid-node", NOW)


async def test_what_is_not() -> None:
    """What does not exist, or has a name that none can have, is none, and no error."""
    seen = await door(FakeClient(), [0]).look(request())
    assert (seen.pod, seen.service_account_uid, seen.node_uid) == (None, "", "")
    seen = await door(there(), [0]).look(request(pod_name="../secrets/x", service_account="..", node_name=""))
    assert (seen.pod, seen.service_account_uid, seen.node_uid) == (None, "", "")


async def test_what_many_share_is_read_once() -> None:
    """A hundred Pods at once cost a read each, and one of their account and one of their node; after ten seconds one more."""
    client, clock = there(), [0]
    pods = door(client, clock)
    await asyncio.gather(*(pods.look(request()) for _ in range(100)))
    counted = {path: client.asked.count(path) for path in client.asked}
    assert counted == {
        "/api/v1/namespaces/foo/pods/web-0": 100,
        "/api/v1/namespaces/foo/serviceaccounts/web": 1,
        "/api/v1/nodes/node-1": 1,
    }
    clock[0] = 11
    client.answers["/api/v1/nodes/node-1"] = {"metadata": {"uid": "uid-new"}}
    assert (await pods.look(request())).node_uid == "uid-new"


async def test_what_is_not_there_is_not_remembered() -> None:
    """An account that comes a moment later is seen at once."""
    client = there()
    account = client.answers.pop("/api/v1/namespaces/foo/serviceaccounts/web")
    pods = door(client, [0])
    assert (await pods.look(request())).service_account_uid == ""
    client.answers["/api/v1/namespaces/foo/serviceaccounts/web"] = account
    assert (await pods.look(request())).service_account_uid == "uid-account"


@pytest.mark.parametrize("levels", [99, 1_000, 9_999])
async def test_managed_fields_of_any_depth(levels: int) -> None:
    """Who may write a node or an account may nest its managedFields as deep as the API server takes: its uid is known all the same."""
    client = there()
    deep = b'{"f:x":' * levels + b"{}" + b"}" * levels
    for path in ("/api/v1/namespaces/foo/serviceaccounts/web", "/api/v1/nodes/node-1"):
        fields = b'"managedFields":[{"manager":"m","fieldsV1":' + deep + b"}]"
        client.answers[path] = b'{"metadata":{' + fields + b',"uid":"uid-deep"}}'
    seen = await door(client, [0]).look(request())
    assert (seen.service_account_uid, seen.node_uid) == ("uid-deep", "uid-deep")


@pytest.mark.parametrize("path", ["pods/web-0", "serviceaccounts/web", "node-1"])
@pytest.mark.parametrize(
    "answer",
    [b"", b"{", b"[]", b'{"metadata": 1}', b"[" * 5000, ApiError(500, "InternalError", "x"), Unreachable("cut")],
)
async def test_what_cannot_be_found_out(path: str, answer: Any) -> None:
    """An answer that cannot be read, or none, is an error and never a Pod that is not there; the next look is a new one."""
    client = there()
    (full,) = [one for one in client.answers if one.endswith(path)]
    good, client.answers[full] = client.answers[full], answer
    pods = door(client, [0])
    with pytest.raises((ApiError, Unreachable)):
        await pods.look(request())
    client.answers[full] = good
    assert (await pods.look(request())).pod is not None


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("clusterissuer.cert-manager.io/foo", True),
        ("clusterissuers.certmanager.io/foo", True),
        ("clusterissuers.cert-manager.io/foo", False),
        ("kubernetes.io/kubelet-serving", False),
        ("example.com/foo", False),
    ],
)
def test_a_signer_that_is_misspelt(name: str, *, told: bool) -> None:
    """A Pod whose volume names nearly one of our domains is told so: nobody will ever answer it."""
    pods, heard = door(FakeClient(), [0]), list[tuple[str, str]]()
    pods.subscribe_slips(lambda asked, wrong: heard.append((asked.pod_name, wrong)))
    kept = pods._read(encoded(signer_name=name))
    assert (kept is not None) == (name == "clusterissuers.cert-manager.io/foo")
    assert [pod for pod, _ in heard] == (["web-0"] if told else [])
    assert all("clusterissuers.cert-manager.io" in wrong for _, wrong in heard)
