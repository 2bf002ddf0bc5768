"""The Secrets of gateways on the real API server: which are ours, what they hold at any time, and users' own beside them."""

import base64
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from signer.api.certificate import CERTIFICATES
from signer.api.gateway import GATEWAYS
from signer.api.hostclaim import HOST_CLAIMS
from signer.api.issuer import CLUSTER_ISSUERS
from signer.api.secret import SECRETS
from signer.api.tls_secret import public_key_hash
from signer.edge.gateways.placeholder import new_placeholder
from signer.edge.host import Host, read_host
from tests.integration.edge.gateway_world import EdgeWorld, edge_world, https, is_placeholder
from tests.integration.slow_controllers import Json
from tests.localmesh import Cluster

pytestmark = pytest.mark.integration
SECRET = "shop-tls"


@pytest.fixture
async def here(cluster: Cluster, namespace: str) -> AsyncIterator[EdgeWorld]:
    async with edge_world(cluster, namespace) as found:
        await found.pod(found.namespace)
        yield found


def host(here: EdgeWorld) -> str:
    return f"shop.{here.namespace}.example.com"


async def secret(here: EdgeWorld, name: str = SECRET) -> Json:
    found = await here.find(SECRETS, name)
    assert found is not None
    return found


async def recorded(here: EdgeWorld) -> str:
    """The UID that the host's claim has of the Secret; "" for none."""
    claim = await here.claim(host(here)) or {}
    found = claim.get("status", {}).get("secrets", [])
    return next((str(one.get("uid", "")) for one in found if one["name"] == SECRET), "")


async def noted(here: EdgeWorld) -> None:
    """Wait until the claim has the UID of the Secret that is there."""

    async def same() -> bool:
        found = await here.find(SECRETS, SECRET)
        return found is not None and found["metadata"]["uid"] == await recorded(here)

    await here.until("the Secret's UID on the claim", same)


class TestOurs:
    async def test_deleted(self, here: EdgeWorld) -> None:
        """A Secret that somebody deletes is made again, holds a certificate at any time, and then a new one."""
        await here.gateway(https(host(here)))
        first = await here.served(SECRET, host(here))
        await here.client.delete(SECRETS, SECRET, here.namespace)

        async def another() -> bool:
            leaf = await here.leaf(SECRET)
            assert leaf is None or not is_placeholder(leaf)
            return leaf is not None and leaf.serial_number != first.serial_number

        await here.until("a new certificate", another)
        await noted(here)

    async def test_deleted_without_an_issuer(self, here: EdgeWorld) -> None:
        """While nobody can issue, the Secret holds what it held when somebody deleted it."""
        await here.gateway(https(host(here)))
        first = await here.served(SECRET, host(here))
        await here.client.delete(CLUSTER_ISSUERS, here.issuer_name)
        await here.client.delete(SECRETS, SECRET, here.namespace)
        again = await here.served(SECRET, host(here))
        assert again.serial_number == first.serial_number
        await noted(here)

    async def test_marked_by_a_stranger(self, here: EdgeWorld) -> None:
        """A Secret with our labels and annotations that we did not make is not ours: it is told, kept, and never removed."""
        await here.gateway(https(host(here)))
        await here.served(SECRET, host(here))
        metadata = (await secret(here))["metadata"]
        await here.stop()
        await here.client.delete(SECRETS, SECRET, here.namespace)
        found = read_host(host(here))
        assert isinstance(found, Host)
        theirs = new_placeholder([found], here.now())
        data = {name: base64.b64encode(value).decode() for name, value in theirs.items()}
        kept = {name: metadata[name] for name in ("labels", "annotations")}
        await here.make(SECRETS, SECRET, {"type": "kubernetes.io/tls", "data": data}, **kept)
        await here.start()
        assert SECRET in await here.told("ForeignSecret")
        await here.client.delete(GATEWAYS, "shop", here.namespace)

        async def unused() -> bool:
            return bool(((await here.claim(host(here))) or {}).get("status", {}).get("unusedSince"))

        await here.until("the claim noted as unused", unused)
        await here.stop()
        here.ahead = timedelta(days=8)
        await here.start()

        async def released() -> bool:
            return await here.claim(host(here)) is None

        await here.until("the claim gone", released)
        assert (await secret(here))["data"] == data

    async def test_labels_taken_away(self, here: EdgeWorld) -> None:
        """Labels and annotations that somebody takes from our Secret are put back: it is known by its UID."""
        await here.gateway(https(host(here)))
        await here.served(SECRET, host(here))
        await noted(here)
        before = (await secret(here))["metadata"]
        bare = {name: dict.fromkeys(before[name]) for name in ("labels", "annotations")}
        await here.client.patch(SECRETS, SECRET, {"metadata": bare}, namespace=here.namespace)

        async def mended() -> bool:
            now = (await secret(here))["metadata"]
            return now.get("labels", {}).get("mesh-signer.dev/edge") == "true" and bool(now.get("annotations"))

        await here.until("the labels again", mended)
        assert (await secret(here))["metadata"]["uid"] == before["uid"]

    async def test_killed_before_it_was_noted(self, here: EdgeWorld) -> None:
        """Killed between making a Secret and noting its UID, the next process knows it by its key pair."""
        await here.gateway(https(host(here)), annotations={"cert-manager.io/cluster-issuer": "none"})

        async def placed() -> bool:
            return await here.leaf(SECRET) is not None and bool(await recorded(here))

        await here.until("the placeholder", placed)
        await here.stop()
        leaf = await here.leaf(SECRET)
        assert leaf is not None
        record = {"namespace": here.namespace, "name": SECRET, "publicKey": public_key_hash(leaf)}
        status = {"status": {"secrets": [record]}}
        await here.client.patch(HOST_CLAIMS, host(here), status, subresource="status")
        await here.start()
        await noted(here)

    async def test_a_claim_is_released(self, here: EdgeWorld) -> None:
        """An administrator removes the HostClaim: the host is claimed anew, and the Secret is still ours."""
        await here.gateway(https(host(here)))
        first = await here.served(SECRET, host(here))
        await noted(here)
        await here.client.delete(HOST_CLAIMS, host(here))
        await noted(here)
        again = await here.served(SECRET, host(here))
        assert again.serial_number == first.serial_number


class TestByHand:
    async def test_for_a_gateway(self, here: EdgeWorld) -> None:
        """A Certificate that a user wrote for a Gateway's credentialName gets a placeholder, which the certificate replaces."""
        await here.gateway(https(host(here)), annotations={})
        late = f"{here.namespace}-late"
        for name in (SECRET, "unused"):
            await here.certificate(name, late, commonName=None, dnsNames=[host(here)])

        async def placed() -> bool:
            leaf = await here.leaf(SECRET)
            return leaf is not None and is_placeholder(leaf)

        await here.until("the placeholder", placed)
        before = await secret(here)
        assert await here.find(SECRETS, "unused") is None
        await here.issuer("late", {"selfSigned": {}})
        await here.served(SECRET, host(here))
        after = await secret(here)
        assert after["metadata"]["uid"] == before["metadata"]["uid"]
        assert after["data"]["tls.key"] != before["data"]["tls.key"]
        assert (await here.ready("Certificate", SECRET))["metadata"].get("labels") is None

    async def test_in_the_gateways_namespace(self, here: EdgeWorld) -> None:
        """The Gateway may come later, and from another namespace: what counts is that its proxy runs beside the Certificate."""
        fields = {
            "secretName": SECRET,
            "dnsNames": [host(here)],
            "issuerRef": {"name": "none", "kind": "ClusterIssuer"},
        }
        await here.make(CERTIFICATES, SECRET, {"spec": fields}, here.gateways)
        await here.gateway(https(host(here)), annotations={})

        async def placed() -> bool:
            leaf = await here.leaf(SECRET, here.gateways)
            return leaf is not None and is_placeholder(leaf)

        await here.until("the placeholder", placed)
        assert await here.find(SECRETS, SECRET) is None

    async def test_never_over_a_secret(self, here: EdgeWorld) -> None:
        """A Secret that is there is left as it is."""
        await here.create("Secret", SECRET, {"stringData": {"password": "x"}})
        await here.gateway(https(host(here)), https(f"b.{host(here)}", credential="next"), annotations={})
        await here.certificate(SECRET, "none", commonName=None, dnsNames=[host(here)])
        await here.certificate("next", "none", commonName=None, dnsNames=[f"b.{host(here)}"])

        async def placed() -> bool:
            return await here.leaf("next") is not None

        await here.until("the placeholder of the next", placed)
        assert set((await secret(here))["data"]) == {"password"}
