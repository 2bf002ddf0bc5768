"""A namespace that was made again: what it has back at once, and by whose word, on the real API server."""

import base64
import contextlib

import pytest
from cryptography import x509

from signer.api.certificate import CERTIFICATES
from signer.api.edgepolicy import EDGE_POLICIES
from signer.api.hostclaim import HOST_CLAIMS
from signer.api.secret import SECRETS
from signer.commands.tenancies.readmit import readmit
from signer.edge.gateways.bodies import UNUSED_SINCE
from signer.kube.errors import NotFound
from signer.settings.values import Settings
from tests.integration.edge.gateway_world import EdgeWorld, host, https
from tests.integration.slow_controllers import Json, condition

pytestmark = pytest.mark.integration
EARLIER = "an-earlier-one"
SECRET = "shop-tls"


async def remade(here: EdgeWorld, name: str, policy: str) -> None:
    """Make all that is stored say that an earlier namespace of the name had the host: it, not this one, is what was."""
    earlier = {"spec": {"namespaceUID": EARLIER, "since": "2026-01-01T00:00:00Z"}}
    await here.client.patch(
        EDGE_POLICIES, policy, {"status": {"namespaceUIDs": {here.namespace: EARLIER}}}, subresource="status"
    )
    await here.client.patch(HOST_CLAIMS, name, earlier)
    with contextlib.suppress(NotFound):  # the controller takes it away too, once the namespace has nothing
        await here.client.delete(CERTIFICATES, SECRET, here.gateways)


async def owner(here: EdgeWorld, name: str) -> str:
    claim = await here.claim(name)
    assert claim is not None
    return str(claim["spec"]["namespaceUID"])


async def secret(here: EdgeWorld) -> Json:
    found = await here.find(SECRETS, SECRET, here.gateways)
    assert found is not None
    return found


@pytest.mark.parametrize("word", ["readmit", "Allow"])
async def test_at_once(here: EdgeWorld, word: str) -> None:
    """Once an admin says so, by `readmit` or in the policy, it has its host, with the Secret that is served and what was ordered."""
    a = host(here, "a")
    policy = await here.policy("a", a, namespaces=[here.namespace])
    await here.gateway(https(a))
    first = await here.served(SECRET, a, namespace=here.gateways)
    before, now = await secret(here), await owner(here, a)
    issued = {"issuances": [{"names": "n", "account": "https://ca.example/1", "failures": 3}]}
    await here.client.patch(HOST_CLAIMS, a, {"status": issued}, subresource="status")
    await remade(here, a, policy)
    assert f"tenants readmit {here.namespace}" in await here.told("HostNotGranted")
    assert await owner(here, a) == EARLIER
    if word == "readmit":
        assert await readmit(here.client, Settings(), here.namespace, yes=True) == 0
    else:
        allow = {"spec": {"namespaces": {"names": [here.namespace], "remade": "Allow"}}}
        await here.client.patch(EDGE_POLICIES, policy, allow)

    async def back() -> bool:
        found = await here.find(CERTIFICATES, SECRET, here.gateways)
        notes = (await secret(here))["metadata"].get("annotations", {})
        return await owner(here, a) == now and found is not None and UNUSED_SINCE not in notes

    await here.until("the host", back)
    assert (await here.claim(a) or {})["status"]["issuances"] == issued["issuances"], "a CA's limits count on"

    async def ready() -> bool:
        found = await here.find(CERTIFICATES, SECRET, here.gateways)
        return found is not None and (condition(found, "Ready") or {}).get("status") == "True"

    await here.until("the Certificate", ready)
    after = await secret(here)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    leaf = x509.load_pem_x509_certificate(base64.b64decode(after["data"]["tls.crt"]))
    assert leaf.serial_number == first.serial_number
    (record,) = (await here.claim(a) or {})["status"]["secrets"]
    assert record["uid"] == after["metadata"]["uid"]


async def test_a_name_alone(here: EdgeWorld) -> None:
    """A policy that was there before the namespace means the earlier one, which has a host: that is written down, and it gives nothing."""
    late = f"{here.namespace}-late"
    name = f"a.{late}.example.com"
    policy = await here.policy("late", name, namespaces=[late])
    await here.make(HOST_CLAIMS, name, {"spec": {"host": name, "namespace": late, "namespaceUID": EARLIER}})
    assert await here.other("late") == late
    await here.pod(late)
    await here.gateway(https(name), namespace=late)
    assert "readmit" in await here.told("HostNotGranted", namespace=late)
    assert (await here.client.get(EDGE_POLICIES, policy))["status"]["namespaceUIDs"] == {late: EARLIER}
    assert await readmit(here.client, Settings(), late, yes=True) == 0
    await here.served(SECRET, name, namespace=late)
