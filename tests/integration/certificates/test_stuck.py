"""Certificates on the real API server that cannot go on: somebody refuses a write, or undoes it each time."""

import asyncio
import base64
from collections.abc import AsyncIterator

import pytest

from signer.api.certificate import CERTIFICATES
from signer.api.certificaterequest import CERTIFICATE_REQUESTS
from signer.api.secret import SECRETS
from signer.kube.errors import ApiError
from signer.kube.resource import Resource
from tests import pki
from tests.integration.slow_controllers import Json, World, condition

pytestmark = pytest.mark.integration

QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota", namespaced=True)
_GROUP = "admissionregistration.k8s.io"
POLICIES = Resource(_GROUP, "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", namespaced=False)
BINDINGS = Resource(
    _GROUP, "v1", "validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", namespaced=False
)
MUTATIONS = Resource(_GROUP, "v1", "mutatingadmissionpolicies", "MutatingAdmissionPolicy", namespaced=False)
MUTATION_BINDINGS = Resource(
    _GROUP, "v1", "mutatingadmissionpolicybindings", "MutatingAdmissionPolicyBinding", namespaced=False
)


async def told(here: World, name: str, words: str) -> Json:
    """Wait until a condition and an Event of the Certificate say these words; returns the condition."""

    async def ask() -> Json | None:
        found = await here.get("Certificate", name) or {}
        return next((one for one in found.get("status", {}).get("conditions", []) if words in one["message"]), None)

    said: Json = await here.until(f"a condition that says {words!r}", ask)

    async def event() -> bool:
        return said["reason"] in await here.events(name)

    await here.until(f"an Event {said['reason']}", event)
    return said


async def in_force(here: World, resource: Resource, name: str, words: str) -> None:
    """Wait until a policy refuses an object, which takes a moment after it was made."""
    spec: Json = {"request": base64.b64encode(b"x").decode(), "issuerRef": {"name": "none"}}
    body: Json = {"metadata": {"name": name, "namespace": here.namespace}}
    if resource is CERTIFICATE_REQUESTS:
        body["spec"] = spec
    while True:
        try:
            await here.client.create(resource, body)
        except ApiError as error:
            if words not in error.message:
                raise
            return
        await here.client.delete(resource, name, here.namespace)


@pytest.fixture
async def admission(here: World) -> AsyncIterator["Admission"]:
    made = Admission(here)
    try:
        yield made
    finally:
        await made.remove()


class Admission:
    """Admission policies for the test's namespace alone."""

    def __init__(self, here: World) -> None:
        self._here = here
        self._made: list[tuple[Resource, str]] = []

    async def refuse(self, resource: str, group: str, expression: str, message: str) -> None:
        """Refuse creations and updates of this resource for which the expression is false."""
        spec: Json = {
            "matchConstraints": self._matching(resource, group),
            "validations": [{"expression": expression, "message": message}],
        }
        await self._make(POLICIES, BINDINGS, spec, {"validationActions": ["Deny"]})

    async def change(self, resource: str, group: str, expression: str) -> None:
        """Change this resource when it is created."""
        spec: Json = {
            "matchConstraints": self._matching(resource, group),
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}],
        }
        await self._make(MUTATIONS, MUTATION_BINDINGS, spec, {})

    async def remove(self) -> None:
        """Take all away."""
        for resource, name in reversed(self._made):
            await self._here.client.delete(resource, name)
        self._made.clear()

    def _matching(self, resource: str, group: str) -> Json:
        where = {"matchLabels": {"kubernetes.io/metadata.name": self._here.namespace}}
        rule = {
            "apiGroups": [group],
            "apiVersions": ["v1"],
            "operations": ["CREATE", "UPDATE"],
            "resources": [resource],
        }
        return {"namespaceSelector": where, "resourceRules": [rule]}

    async def _make(self, policies: Resource, bindings: Resource, spec: Json, binding: Json) -> None:
        name = f"{self._here.namespace}-{len(self._made)}"
        for resource, body in ((policies, spec), (bindings, {"policyName": name, **binding})):
            await self._here.client.create(resource, {"metadata": {"name": name}, "spec": body})
            self._made.append((resource, name))


class TestRefusedWrites:
    async def test_quota(self, here: World) -> None:
        """A quota that leaves no room for a Secret is named in a condition and an Event; when there is room, it goes on."""
        issuer = await here.issuer("selfsigned", {"selfSigned": {}})
        body: Json = {"metadata": {"name": "q", "namespace": here.namespace}, "spec": {"hard": {"secrets": "0"}}}
        await here.client.create(QUOTAS, body)
        status = {"status": {"hard": {"secrets": "0"}, "used": {"secrets": "0"}}}
        await here.client.patch(QUOTAS, "q", status, namespace=here.namespace, subresource="status")
        await here.certificate("leaf", issuer)
        said = await told(here, "leaf", "exceeded quota: q")
        assert said["reason"] == "SecretWriteFailed"
        await here.client.delete(QUOTAS, "q", here.namespace)
        await here.ready("Certificate", "leaf")
        found = await here.get("Certificate", "leaf")
        assert found is not None
        assert condition(found, "Issuing") is None

    @pytest.mark.parametrize(
        ("resource", "group", "expression", "probe", "reason"),
        [
            ("secrets", "", "!object.metadata.name.contains('-key-')", (SECRETS, "a-key-b"), "SecretWriteFailed"),
            ("secrets", "", "object.metadata.name != 'leaf'", (SECRETS, "leaf"), "SecretWriteFailed"),
            ("certificaterequests", "cert-manager.io", "false", (CERTIFICATE_REQUESTS, "leaf"), "RequestFailed"),
        ],
        ids=["next-key", "secret", "request"],
    )
    async def test_policy(
        self,
        here: World,
        admission: Admission,
        resource: str,
        group: str,
        expression: str,
        probe: tuple[Resource, str],
        reason: str,
    ) -> None:
        """Whichever write an admission policy refuses: its words reach the Certificate, and it goes on when they are gone."""
        issuer = await here.issuer("selfsigned", {"selfSigned": {}})
        words = f"not in {here.namespace}"
        await admission.refuse(resource, group, expression, words)
        await in_force(here, *probe, words)
        await here.certificate("leaf", issuer)
        said = await told(here, "leaf", words)
        assert said["reason"] == reason
        await admission.remove()
        await here.ready("Certificate", "leaf")


class TestUndone:
    async def test_secret_overwritten(self, here: World) -> None:
        """Who puts another key pair into the Secret again and again is named, and gets no certificate for each time."""
        issuer = await here.issuer("selfsigned", {"selfSigned": {}})
        theirs = pki.CA("theirs").secret()
        pair = {name: base64.b64encode(theirs[name]).decode() for name in ("tls.crt", "tls.key")}
        await here.certificate("leaf", issuer)
        await here.ready("Certificate", "leaf")

        async def overwritten() -> Json | None:
            found = await here.get("Certificate", "leaf") or {}
            ready = condition(found, "Ready") or {}
            secret = await here.get("Secret", "leaf")
            if secret is not None and secret["data"]["tls.crt"] != pair["tls.crt"]:
                await here.client.patch(SECRETS, "leaf", {"data": pair}, namespace=here.namespace, field_manager="sync")
            return found if "issued too often" in ready.get("message", "") else None

        found = await here.until("the issuances slow down", overwritten)
        assert "written by 'sync' too" in condition(found, "Ready")["message"]  # type: ignore[index]
        assert found["status"]["revision"] <= 4
        assert len(await here.list("CertificateRequest")) <= 2
        reasons = await here.events("leaf")
        assert condition(found, "Ready")["reason"] in reasons  # type: ignore[index]

    async def test_requests_changed(self, here: World, admission: Admission) -> None:
        """A policy that changes each of our requests does not make us throw them away and make them anew for ever."""
        issuer = await here.issuer("selfsigned", {"selfSigned": {}})
        await admission.change("certificaterequests", "cert-manager.io", "Object{spec: Object.spec{isCA: true}}")
        while True:
            # A policy takes effect a moment after it was made.
            probe: Json = {
                "metadata": {"name": "probe", "namespace": here.namespace},
                "spec": {"request": base64.b64encode(b"x").decode(), "issuerRef": {"name": "none"}},
            }
            made = await here.client.create(CERTIFICATE_REQUESTS, probe)
            await here.client.delete(CERTIFICATE_REQUESTS, "probe", here.namespace)
            if made["spec"].get("isCA"):
                break
            await asyncio.sleep(0.05)
        await here.certificate("leaf", issuer)
        said = await told(here, "leaf", "issued too often")
        assert "does not match spec.isCA" in said["message"]
        assert await here.client.get(CERTIFICATES, "leaf", here.namespace)
        await admission.remove()
