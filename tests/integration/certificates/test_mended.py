"""A Certificate whose request was refused goes on by itself when an administrator mends what it was refused for."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest
from cryptography import x509
from msgspec.structs import replace

from signer.api.certificaterequest import CERTIFICATE_REQUESTS
from signer.api.issuer import IssuerRef
from signer.api.namespace import NAMESPACES
from signer.certificates import mending
from signer.certificates.well_known import REFUSED
from signer.tenancy.world import KeyRule, Namespace, Policy, RequestRules
from signer.tenancy.world import World as Wall
from tests import pki
from tests.integration.slow_controllers import Json, World, condition, world
from tests.localmesh import Cluster

pytestmark = pytest.mark.integration

Change = Callable[[Policy], Policy | None]


@pytest.fixture
def wall() -> Wall:
    return Wall(unsynced="")


@pytest.fixture
async def here(cluster: Cluster, namespace: str, wall: Wall, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    # Times in a status are whole seconds: the next try must be in another one.
    monkeypatch.setattr(mending, "LOOK_AGAIN", timedelta(seconds=2))
    async with world(cluster, namespace, world=wall) as found:
        yield found


async def behind(here: World, wall: Wall) -> tuple[str, Policy]:
    """A CA issuer that is a signer of the mesh, and a policy that gives it to the test's namespace for all that is asked."""
    issuer = await here.ca()
    ref = IssuerRef("ClusterIssuer", "", issuer)
    uid = (await here.client.get(NAMESPACES, here.namespace))["metadata"]["uid"]
    wall.signers = frozenset({ref})
    wall.namespaces[here.namespace] = Namespace(uid)
    return issuer, Policy(
        "p",
        frozenset({ref}),
        frozenset({here.namespace}),
        dns_names=("*.example.com",),
        certificate_requests=RequestRules(),
        namespace_uids={here.namespace: uid},
    )


def put(wall: Wall, policy: Policy | None) -> None:
    wall.policies = dict.fromkeys(policy.signers, (policy,)) if policy is not None else {}


async def refused(here: World) -> Json:
    """Wait until the Certificate says that its request was refused."""
    found: Json = await here.condition("Certificate", "leaf", "Issuing", "False", "Failed")
    return found


def secret_of(ca: pki.CA) -> Json:
    return {"data": {name: base64.b64encode(value).decode() for name, value in ca.secret().items()}}


CAUSES: dict[str, Change] = {
    "no policy": lambda _: None,
    "closed": lambda policy: replace(policy, certificate_requests=None),
    "others": lambda policy: replace(policy, namespaces=frozenset({"other"})),
    "names": lambda policy: replace(policy, dns_names=("*.example.org",)),
    "usages": lambda policy: replace(policy, usages=frozenset({"client auth"})),
    "requester": lambda policy: replace(policy, requesters=frozenset({"alice"})),
    "key": lambda policy: replace(policy, keys=(KeyRule("RSA", 2048),)),
}


@pytest.mark.parametrize("cause", CAUSES)
async def test_mended(here: World, wall: Wall, cause: str) -> None:
    """Whatever the wall refused it for: nothing is made or written while it would be refused again; then it is issued."""
    issuer, policy = await behind(here, wall)
    put(wall, CAUSES[cause](policy))
    await here.certificate("leaf", issuer, commonName=None, dnsNames=["a.example.com"], usages=["server auth"])
    said = condition(await refused(here), "Issuing")
    assert said is not None
    assert "It goes on within a minute when this is mended. The next try is at " in said["message"]
    before = await here.list("Certificate"), await here.list("CertificateRequest")
    await asyncio.sleep(5)
    assert (await here.list("Certificate"), await here.list("CertificateRequest")) == before
    put(wall, policy)
    await here.ready("Certificate", "leaf")
    assert "RefusalMended" in await here.events("leaf")


async def test_after_a_restart(here: World, wall: Wall) -> None:
    """What was mended while nobody was at work is found at the next start."""
    issuer, policy = await behind(here, wall)
    await here.certificate("leaf", issuer, commonName=None, dnsNames=["a.example.com"], usages=["server auth"])
    await refused(here)
    await here.stop()
    put(wall, policy)
    await here.start()
    await here.ready("Certificate", "leaf")


async def test_a_better_ca(here: World) -> None:
    """Refused for what its CA is not fit for, it goes on when the issuer has a CA that is."""
    narrow = x509.NameConstraints([x509.DNSName("example.org")], None)
    await here.create("Secret", "ca", secret_of(pki.CA("small", extra=[(narrow, True)])))
    issuer = await here.issuer("ca", {"ca": {"secretName": "ca"}})
    await here.certificate("leaf", issuer, commonName=None, dnsNames=["a.example.com"])
    await refused(here)
    (request,) = await here.client.list(CERTIFICATE_REQUESTS, here.namespace)
    marker = condition(request, REFUSED)
    assert marker is not None
    assert marker["reason"] == "NotVerifiable"
    await here.edit("Secret", "ca", secret_of(pki.CA("large")))
    await here.ready("Certificate", "leaf")
