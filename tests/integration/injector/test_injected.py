"""CA bundles arrive where cert-manager's annotations ask for them: four kinds, three sources, under the rights that we ship."""

import base64
import http.server
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests import pki
from tests.integration.injector.objects import (
    ALLOW,
    FROM_API_SERVER,
    FROM_CERTIFICATE,
    FROM_SECRET,
    KINDS,
    OLD_CA,
    PATHS,
    bundle_paths,
    bundles,
    injectable,
    path_of,
)
from tests.integration.plain_api import Api, Json, Refused
from tests.localmesh import Cluster
from tests.localmesh.signer import SignerProcess

pytestmark = pytest.mark.integration

CERT_MANAGER = "/apis/cert-manager.io/v1"
MERGE, JSON_PATCH = "application/merge-patch+json", "application/json-patch+json"


@dataclass
class World:
    """One test's namespace, with a self-signed issuer in it."""

    cluster: Cluster
    api: Api
    namespace: str
    name: str
    made: list[str] = field(default_factory=list)

    def put(self, kind: str, annotations: dict[str, str], bundle: str = "", suffix: str = "") -> Json:
        """Create an object of this kind that asks."""
        return self.store(injectable(kind, self.name + suffix, annotations, bundle))

    def store(self, body: Json) -> Json:
        self.api.post(PATHS[body["kind"]], body)
        self.made.append(path_of(body))
        return body

    def certificate(self, name: str = "serving", **spec: Any) -> None:
        body = {"secretName": name, "dnsNames": ["webhook.example.com"], "issuerRef": {"name": "selfsigned"}} | spec
        metadata = {"name": name, "namespace": self.namespace}
        kind = {"apiVersion": "cert-manager.io/v1", "kind": "Certificate"}
        self.api.post(
            f"{CERT_MANAGER}/namespaces/{self.namespace}/certificates", kind | {"metadata": metadata, "spec": body}
        )

    def secret(self, name: str, data: dict[str, bytes], annotations: dict[str, str] | None = None) -> None:
        body = {
            "metadata": {"name": name, "annotations": annotations or {}},
            "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
        }
        self.api.post(f"/api/v1/namespaces/{self.namespace}/secrets", body)

    @property
    def secrets(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/secrets"

    def ca(self, secret: str = "serving") -> bytes:
        """ca.crt of a Secret, once it is there."""

        def read() -> bytes:
            found = self.api.find(f"{self.secrets}/{secret}") or {}
            return base64.b64decode((found.get("data") or {}).get("ca.crt", ""))

        return bytes(self.cluster.wait_for(read, f"ca.crt in Secret {secret}", timeout=120))

    def has(self, obj: Json, bundle: bytes) -> None:
        """Wait until each of its fields has this bundle, byte for byte."""
        expected = [bundle] * len(bundle_paths(obj))

        def there() -> bool:
            return bundles(self.api.get(path_of(obj)) | {"kind": obj["kind"]}) == expected

        self.cluster.wait_for(there, f"the CA in {obj['metadata']['name']}", timeout=120)

    def told(self, obj: Json, reason: str) -> str:
        """Wait for an Event with this reason on an object; its message."""

        def find() -> str:
            path = "/api/v1/namespaces/default/events?fieldSelector=involvedObject.name=" + obj["metadata"]["name"]
            return next((one["message"] for one in self.api.get(path)["items"] if one["reason"] == reason), "")

        return str(self.cluster.wait_for(find, f"the Event {reason} on {obj['metadata']['name']}", timeout=120))

    def edit(self, path: str, patch: Json) -> Json:
        return self.api.call("PATCH", path, patch, kind=MERGE)

    def settled(self, suffix: str = "-after") -> None:
        """Wait until something that was asked for now is done: so what was decided before is done too."""
        self.has(self.put("ValidatingWebhookConfiguration", {FROM_API_SERVER: "true"}, suffix=suffix), self.own_ca)

    @property
    def own_ca(self) -> bytes:
        return self.cluster.access().ca


@pytest.fixture
def world(running: SignerProcess, guarded: Cluster, api: Api, namespace: str, name: str) -> Iterator[World]:
    found = World(guarded, api, namespace, name)
    issuer = {"apiVersion": "cert-manager.io/v1", "kind": "Issuer", "metadata": {"name": "selfsigned"}}
    api.post(f"{CERT_MANAGER}/namespaces/{namespace}/issuers", issuer | {"spec": {"selfSigned": {}}})
    yield found
    running.check()
    for path in found.made:
        api.delete(path)


@pytest.mark.parametrize("kind", KINDS)
def test_from_a_certificate(world: World, kind: str) -> None:
    """Each field gets the Certificate's ca.crt, and its new one when that changes; one that goes takes nothing away."""
    obj = world.put(kind, {FROM_CERTIFICATE: f"{world.namespace}/serving"}, OLD_CA)
    before = world.api.get(path_of(obj))
    world.certificate()
    first = world.ca()
    world.has(obj, first)
    after = world.api.get(path_of(obj))
    assert _without_bundles(after) == _without_bundles(before)
    certificate = f"{CERT_MANAGER}/namespaces/{world.namespace}/certificates/serving"
    world.edit(certificate, {"spec": {"dnsNames": ["webhook.example.com", "other.example.com"]}})
    world.cluster.wait_for(lambda: world.ca() != first, "another certificate", timeout=120)
    second = world.ca()
    world.has(obj, second)
    world.api.delete(certificate)
    world.api.delete(f"{world.secrets}/serving")
    assert "does not exist" in world.told(obj, "CertificateNotFound")
    world.has(obj, second)


def _without_bundles(obj: Json) -> Json:
    """What is left of an object when bundles, counts and the status are taken away."""

    def strip(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: strip(value) for key, value in part.items() if key != "caBundle"}
        return [strip(one) for one in part] if isinstance(part, list) else part

    metadata = {k: v for k, v in obj["metadata"].items() if k not in {"resourceVersion", "generation", "managedFields"}}
    stripped: Json = strip(obj | {"metadata": metadata})
    stripped.pop("status", None)
    return stripped


@pytest.mark.parametrize("kind", KINDS)
def test_from_a_secret(world: World, kind: str) -> None:
    """A Secret's ca.crt is taken when whoever wrote it allows that, and not before."""
    ca = pki.CA("from-secret").pem
    world.secret("bundle", {"ca.crt": ca, "tls.key": b"secret"}, {ALLOW: "false"})
    obj = world.put(kind, {FROM_SECRET: f"{world.namespace}/bundle"})
    assert ALLOW in world.told(obj, "InjectionNotAllowed")
    assert bundles(world.api.get(path_of(obj)) | {"kind": kind}) == [b""] * len(bundle_paths(obj))
    world.edit(f"{world.secrets}/bundle", {"metadata": {"annotations": {ALLOW: "true"}}})
    world.has(obj, ca)


@pytest.mark.parametrize("kind", KINDS)
def test_the_api_servers(world: World, kind: str) -> None:
    """`inject-apiserver-ca` gives the CA by which the injector itself knows the API server."""
    world.has(world.put(kind, {FROM_API_SERVER: "true"}), world.own_ca)


def test_one_source_many_users(world: World) -> None:
    """A CA that changes reaches everybody who asks for it."""
    ca, other = pki.CA("first").pem, pki.CA("second").pem
    world.secret("bundle", {"ca.crt": ca}, {ALLOW: "true"})
    users = [world.put(kind, {FROM_SECRET: f"{world.namespace}/bundle"}) for kind in KINDS]
    for obj in users:
        world.has(obj, ca)
    both = base64.b64encode(ca + other).decode()
    world.edit(f"{world.secrets}/bundle", {"data": {"ca.crt": both}})
    for obj in users:
        world.has(obj, ca + other)


@pytest.mark.parametrize("value", ["serving", "/serving", "default/", "a/b/c", "../x", "Default/serving", "a b/c"])
def test_what_names_nothing_is_told_and_stops_nobody(world: World, value: str) -> None:
    """An annotation that names nothing is told on its object, which keeps what it has; others go on."""
    obj = world.put("ValidatingWebhookConfiguration", {FROM_CERTIFICATE: value}, OLD_CA)
    message = world.told(obj, "InvalidAnnotation")
    assert FROM_CERTIFICATE in message
    assert "NAMESPACE/NAME" in message
    world.settled()
    world.has(obj, base64.b64decode(OLD_CA))


def test_annotations_that_come_and_go(world: World) -> None:
    """Without the annotation nothing is written any more; with another one, what that asks for."""
    ca, other = pki.CA("first").pem, pki.CA("second").pem
    world.secret("bundle", {"ca.crt": ca}, {ALLOW: "true"})
    obj = world.put("MutatingWebhookConfiguration", {FROM_SECRET: f"{world.namespace}/bundle"})
    world.has(obj, ca)

    def own() -> list[Json]:
        found = world.api.get("/apis/mesh-signer.dev/v1alpha1/casources")["items"]
        return [one for one in found if one["spec"]["namespace"] == world.namespace]

    assert len(own()) == 1
    world.edit(path_of(obj), {"metadata": {"annotations": {FROM_SECRET: None}}})
    world.cluster.wait_for(lambda: not own(), "the end of the question")
    world.edit(f"{world.secrets}/bundle", {"data": {"ca.crt": base64.b64encode(other).decode()}})
    world.settled()
    world.has(obj, ca)
    world.edit(path_of(obj), {"metadata": {"annotations": {FROM_API_SERVER: "true"}}})
    world.has(obj, world.own_ca)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"someca", "no PEM block"),
        (pki.CA("x").pem + b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "private key"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
        (pki.CA("x").pem * 600, "at most"),
    ],
)
def test_a_hostile_bundle(world: World, text: bytes, why: str) -> None:
    """What is no bundle of certificates is not injected, and the object says why."""
    world.secret("bundle", {"ca.crt": text}, {ALLOW: "true"})
    obj = world.put("ValidatingWebhookConfiguration", {FROM_SECRET: f"{world.namespace}/bundle"}, OLD_CA)
    message = world.told(obj, "InvalidCA")
    assert f"Secret {world.namespace}/bundle: ca.crt" in message
    assert why in message
    world.has(obj, base64.b64decode(OLD_CA))


def test_a_secret_of_another_certificate(world: World) -> None:
    """A Certificate gives no CA from a Secret that is not its own."""
    world.certificate()
    world.ca()
    path = f"{world.secrets}/serving"
    obj = world.put("ValidatingWebhookConfiguration", {FROM_CERTIFICATE: f"{world.namespace}/other"})
    world.told(obj, "CertificateNotFound")
    world.certificate("other", secretName="serving")
    world.told(obj, "CertificateNotReady")
    assert world.api.get(path)["metadata"]["annotations"]["cert-manager.io/certificate-name"] == "serving"
    assert set(bundles(world.api.get(path_of(obj)) | {"kind": obj["kind"]})) == {b""}


@pytest.mark.parametrize("annotation", [FROM_SECRET, FROM_CERTIFICATE])
def test_a_namespace_made_again(world: World, annotation: str) -> None:
    """Whoever makes a namespace of that name again chooses no CA; what stands stays, until an administrator says so."""
    team = f"{world.namespace}-team"
    former, his = pki.CA("former").pem, pki.CA("his").pem
    sources = "/apis/mesh-signer.dev/v1alpha1/casources"
    issuer = {"apiVersion": "cert-manager.io/v1", "kind": "Issuer", "metadata": {"name": "own"}}
    reference = {"secretName": "hook", "dnsNames": ["webhook.example.com"], "issuerRef": {"name": "own"}}
    certificate = {"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "hook"}}

    def live(ca: bytes) -> bytes:
        """The namespace with a CA of this owner's choice; returns what is to be in the webhook."""
        world.cluster.create_namespace(team)
        there = World(world.cluster, world.api, team, world.name)
        if annotation == FROM_SECRET:
            there.secret("hook", {"ca.crt": ca}, {ALLOW: "true"})
            return ca
        world.api.post(f"{CERT_MANAGER}/namespaces/{team}/issuers", issuer | {"spec": {"selfSigned": {}}})
        world.api.post(f"{CERT_MANAGER}/namespaces/{team}/certificates", certificate | {"spec": reference})
        return there.ca("hook")

    first = live(former)
    obj = world.put("ValidatingWebhookConfiguration", {annotation: f"{team}/hook"})
    world.has(obj, first)
    # The local API server has no controller that empties namespaces: what is in it goes by hand.
    path = f"/api/v1/namespaces/{team}"
    others = (f"{CERT_MANAGER}/namespaces/{team}/{one}" for one in ("certificates/hook", "issuers/own"))
    for inner in (*others, f"{path}/secrets/hook"):
        if world.api.find(inner):
            world.api.delete(inner)
    world.api.delete(path)
    world.api.put(f"{path}/finalize", world.api.get(path) | {"spec": {"finalizers": []}})
    world.cluster.wait_for(lambda: world.api.find(path) is None, "the namespace's end")
    second = live(his)
    assert second != first
    message = world.told(obj, "NamespaceRemade")
    assert f"namespace {team} was deleted and made again" in message
    world.settled()
    world.has(obj, first)
    (source,) = [one for one in world.api.get(sources)["items"] if one["spec"]["namespace"] == team]
    assert source["metadata"]["name"] in message
    world.api.delete(f"{sources}/{source['metadata']['name']}")
    world.has(obj, second)


def test_a_secret_made_for_a_certificate(world: World) -> None:
    """A Secret that was made beforehand with the permission, and is filled for a Certificate, gives that one's CA."""
    world.secret("serving", {}, {ALLOW: "true"})
    obj = world.put("ValidatingWebhookConfiguration", {FROM_SECRET: f"{world.namespace}/serving"})
    world.told(obj, "NoCA")
    world.certificate()
    world.has(obj, world.ca())


def test_a_definition_without_a_conversion_webhook(world: World) -> None:
    """A CustomResourceDefinition that converts nothing is left alone, and says so."""
    body = injectable("CustomResourceDefinition", world.name, {FROM_API_SERVER: "true"})
    body["spec"]["conversion"] = {"strategy": "None"}
    world.store(body)
    assert "spec.conversion.strategy" in world.told(body, "NoConversionWebhook")
    assert world.api.get(path_of(body))["spec"]["conversion"] == {"strategy": "None"}


def test_somebody_who_undoes_it(world: World) -> None:
    """Whoever writes the field again and again is named, and not raced against without end."""
    obj = world.put("ValidatingWebhookConfiguration", {FROM_API_SERVER: "true"})
    undo = [{"op": "add", "path": path, "value": OLD_CA} for path in bundle_paths(obj)]
    for _ in range(4):  # three are free
        world.has(obj, world.own_ca)
        world.api.call("PATCH", path_of(obj) + "?fieldManager=some-sync", undo, kind=JSON_PATCH)
    assert "some-sync" in world.told(obj, "FieldConflict")
    world.has(obj, world.own_ca)


def test_what_is_right_is_not_written(world: World, running: SignerProcess) -> None:
    """An object that has its CA is not written again, whatever else changes in it."""
    obj = world.put("ValidatingWebhookConfiguration", {FROM_API_SERVER: "true"})
    world.has(obj, world.own_ca)
    world.edit(path_of(obj), {"metadata": {"labels": {"example.com/label": "y"}}})
    version = world.api.get(path_of(obj))["metadata"]["resourceVersion"]
    world.settled()
    assert world.api.get(path_of(obj))["metadata"]["resourceVersion"] == version
    assert running.wait_for_metric("mesh_signer_ca_injectables", 1, kind=obj["kind"], state="Injected") >= 1


def test_what_every_operator_ships(world: World) -> None:
    """A webhook as operators are scaffolded with gets the CA of the Certificate beside it."""
    text = f"""
apiVersion: cert-manager.io/v1
kind: Certificate
metadata: {{name: serving-cert, namespace: {world.namespace}}}
spec:
  secretName: webhook-server-cert
  dnsNames: [webhook-service.{world.namespace}.svc, webhook-service.{world.namespace}.svc.cluster.local]
  issuerRef: {{kind: Issuer, name: selfsigned}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {{name: {world.name}, annotations: {{cert-manager.io/inject-ca-from: {world.namespace}/serving-cert}}}}
webhooks:
  - name: {world.name}.example.com
    sideEffects: None
    failurePolicy: Ignore
    admissionReviewVersions: [v1]
    clientConfig: {{service: {{name: webhook-service, namespace: {world.namespace}, path: /validate}}}}
    rules: [{{apiGroups: [{world.name}.example.com], apiVersions: [v1], operations: [CREATE], resources: [things]}}]
"""
    world.cluster.apply(text)
    obj = world.api.get(f"{PATHS['ValidatingWebhookConfiguration']}/{world.name}")
    world.made.append(path_of(obj))
    world.has(obj, world.ca("webhook-server-cert"))
    world.cluster.apply(text)  # as GitOps does; a field that it does not set is none of its business
    world.has(obj, world.ca("webhook-server-cert"))


class _Webhook(http.server.BaseHTTPRequestHandler):
    """Allows everything, and converts by another apiVersion alone."""

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = review["request"]
        if review["kind"] == "ConversionReview":
            objects = [one | {"apiVersion": asked["desiredAPIVersion"]} for one in asked["objects"]]
            review["response"] = {"uid": asked["uid"], "result": {"status": "Success"}, "convertedObjects": objects}
        else:
            review["response"] = {"uid": asked["uid"], "allowed": True}
        content = json.dumps(review).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name for it
        pass


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Handshakes that fail are what is tried."""


@contextmanager
def serving(folder: Path, secret: Json) -> Iterator[int]:
    """A webhook that shows a Secret's certificate; its port."""
    for key in ("tls.crt", "tls.key"):
        (folder / key).write_bytes(base64.b64decode(secret["data"][key]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    server = _Server(("127.0.0.1", 0), _Webhook)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_webhook_that_works_once_its_ca_is_there(world: World, tmp_path: Path) -> None:
    """The API server reaches a webhook over TLS from the moment at which its CA was injected, and not before."""
    world.certificate(dnsNames=["localhost"], ipAddresses=["127.0.0.1"])
    ca = world.ca()
    world.edit(f"/api/v1/namespaces/{world.namespace}", {"metadata": {"labels": {"example.com/guarded": world.name}}})
    with serving(tmp_path, world.api.get(f"{world.secrets}/serving")) as port:
        body = injectable("ValidatingWebhookConfiguration", world.name, {})
        hook = body["webhooks"][1]
        del hook["matchConditions"], hook["objectSelector"]
        hook["clientConfig"] = {"url": f"https://127.0.0.1:{port}/"}
        hook["namespaceSelector"] = {"matchLabels": {"example.com/guarded": world.name}}
        hook["rules"] = [
            {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
        ]
        hook["failurePolicy"] = "Fail"
        body["webhooks"] = [hook]
        world.store(body)
        path, attempt = f"/api/v1/namespaces/{world.namespace}/configmaps?dryRun=All", {"metadata": {"name": "a"}}
        world.cluster.wait_for(
            lambda: "x509" in _refusal(lambda: world.api.post(path, attempt)), "a webhook in the way"
        )
        world.edit(path_of(body), {"metadata": {"annotations": {FROM_CERTIFICATE: f"{world.namespace}/serving"}}})
        world.has(body, ca)
        world.cluster.wait_for(lambda: not _refusal(lambda: world.api.post(path, attempt)), "a webhook that is reached")


def test_a_conversion_that_works_once_its_ca_is_there(world: World, tmp_path: Path) -> None:
    """A stored object is read in another version from the moment at which the conversion webhook's CA was injected."""
    world.certificate(dnsNames=["localhost"], ipAddresses=["127.0.0.1"])
    ca = world.ca()
    with serving(tmp_path, world.api.get(f"{world.secrets}/serving")) as port:
        body = injectable("CustomResourceDefinition", world.name, {})
        body["spec"]["conversion"]["webhook"]["clientConfig"] = {"url": f"https://127.0.0.1:{port}/"}
        world.store(body)
        group = body["spec"]["group"]
        things = f"/apis/{group}/{{}}/namespaces/{world.namespace}/things"
        thing = {"apiVersion": f"{group}/v1", "kind": "Thing", "metadata": {"name": "a"}}
        world.cluster.wait_for(
            lambda: not _refusal(lambda: world.api.get(things.format("v1"))), "things that are served"
        )
        world.cluster.wait_for(
            lambda: not _refusal(lambda: world.api.post(things.format("v1"), thing)), "a thing", timeout=60
        )
        assert "x509" in _refusal(lambda: world.api.get(f"{things.format('v2')}/a"))
        world.edit(path_of(body), {"metadata": {"annotations": {FROM_CERTIFICATE: f"{world.namespace}/serving"}}})
        world.has(body, ca)
        world.cluster.wait_for(lambda: not _refusal(lambda: world.api.get(f"{things.format('v2')}/a")), "a conversion")
        assert world.api.get(f"{things.format('v2')}/a")["apiVersion"] == f"{group}/v2"


def _refusal(call: Callable[[], Any]) -> str:
    try:
        call()
    except Refused as error:
        return error.message
    return ""


def test_beside_cert_managers_own(world: World, running: SignerProcess) -> None:
    """While cert-manager's cainjector holds its Lease, nothing is injected and /readyz says why; then it goes on."""
    lease = """
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: cert-manager-cainjector-leader-election, namespace: kube-system}
spec: {holderIdentity: somebody, leaseDurationSeconds: 100}
"""
    world.cluster.apply(lease)
    path = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/cert-manager-cainjector-leader-election"
    try:
        world.cluster.wait_for(
            lambda: "cainjector is at work" in running.ready()[1], "a word about the rival", timeout=60
        )
        obj = world.put("ValidatingWebhookConfiguration", {FROM_API_SERVER: "true"}, OLD_CA)
        assert "held by somebody" in running.log
        assert not running.ready()[0]
        world.edit(path, {"spec": {"holderIdentity": "somebody else"}})
        world.has(obj, base64.b64decode(OLD_CA))
    finally:
        world.api.delete(path)
    running.wait_ready()
    world.has(obj, world.own_ca)
