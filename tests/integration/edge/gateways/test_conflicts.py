"""Who may not have what: conflicts between Gateways, namespaces and users' Secrets, on the real API server."""

import pytest

from signer.api.certificate import CERTIFICATES
from signer.api.gateway import GATEWAYS
from signer.api.hostclaim import HOST_CLAIMS
from signer.api.secret import SECRETS
from tests.integration.edge.gateway_world import EdgeWorld, gone, host, https
from tests.integration.slow_controllers import condition

pytestmark = pytest.mark.integration


class TestConflicts:
    async def test_anothers_host(self, here: EdgeWorld) -> None:
        """A tenant who wants another's host is refused; both read of it, neither of whom, and the rest of his hosts are served."""
        a, b = host(here, "a"), host(here, "b")
        thief = await here.other("thief")
        await here.pod(here.namespace)
        await here.pod(thief)
        await here.gateway(https(a))
        await here.served("shop-tls", a)
        await here.gateway(https(a, b), name="mine", namespace=thief)
        assert a in await here.told("HostTaken", "mine", thief)
        contended = await here.told("HostContended", "shop")
        assert a in contended
        assert thief not in contended
        await here.served("shop-tls", b, namespace=thief)
        claim = await here.claim(a)
        assert claim is not None
        assert claim["spec"]["namespace"] == here.namespace
        assert (condition(claim, "Conflict") or {})["status"] == "True"
        assert claim["status"]["contenders"] == [thief]
        await here.client.delete(GATEWAYS, "shop", here.namespace)
        await here.until("the Certificate gone", lambda: gone(here, CERTIFICATES, "shop-tls"))
        await here.client.delete(HOST_CLAIMS, a)
        await here.served("shop-tls", a, b, namespace=thief)

    async def test_one_name_for_two(self, here: EdgeWorld) -> None:
        """Two namespaces that name one Secret in the gateways' namespace: the first keeps it, the second is told."""
        a, b = host(here, "a"), host(here, "b")
        second = await here.other("second")
        await here.policy("a", a, namespaces=[here.namespace])
        await here.policy("b", b, namespaces=[second])
        await here.gateway(https(a))
        await here.served("shop-tls", a, namespace=here.gateways)
        await here.gateway(https(b), name="late", namespace=second)
        assert "another namespace" in await here.told("SecretConflict", "late", second)
        await here.served("shop-tls", a, namespace=here.gateways)

    async def test_a_certificate_by_hand(self, here: EdgeWorld) -> None:
        """A Certificate that somebody wrote for the Secret keeps it, whatever its own name: none is made beside it."""
        a = host(here, "a")
        await here.pod(here.namespace)
        own = await here.issuer("own", {"selfSigned": {}})
        fields = {"secretName": "shop-tls", "dnsNames": [a], "issuerRef": {"name": own, "kind": "ClusterIssuer"}}
        await here.make(CERTIFICATES, "older-guide", {"spec": fields})
        first = await here.served("shop-tls", a)
        await here.gateway(https(a))
        assert "older-guide" in await here.told("CertificateExists", "shop")
        assert await here.find(CERTIFICATES, "shop-tls") is None
        assert (await here.served("shop-tls", a)).serial_number == first.serial_number
        await here.client.delete(CERTIFICATES, "older-guide", here.namespace)
        await here.client.delete(SECRETS, "shop-tls", here.namespace)
        assert (await here.served("shop-tls", a)).serial_number != first.serial_number
        assert await here.find(CERTIFICATES, "shop-tls") is not None

    async def test_an_administrators_certificate(self, here: EdgeWorld) -> None:
        """One that somebody wrote in the gateways' namespace is not for a tenant's Gateway, which does not learn its name."""
        a = host(here, "a")
        await here.policy("a", a, namespaces=[here.namespace])
        issuer = {"name": here.issuer_name, "kind": "ClusterIssuer"}
        spec = {"secretName": "shop-tls", "dnsNames": [host(here, "admin")], "issuerRef": issuer}
        await here.make(CERTIFICATES, "older-guide", {"spec": spec}, here.gateways)
        await here.served("shop-tls", host(here, "admin"), namespace=here.gateways)
        await here.gateway(https(a))
        assert "older-guide" not in await here.told("SecretConflict")
        assert await here.find(CERTIFICATES, "shop-tls", here.gateways) is None

    async def test_two_gateways_of_one_namespace(self, here: EdgeWorld) -> None:
        """Two Gateways of one namespace with one credentialName share a certificate; with another issuer the second is told."""
        a, b, c = (host(here, label) for label in "abc")
        await here.pod(here.namespace)
        await here.gateway(https(a), name="one")
        await here.gateway(https(b), name="two")
        await here.served("shop-tls", a, b)
        other = await here.issuer("other", {"selfSigned": {}})
        await here.gateway(https(c), name="zwei", annotations={"cert-manager.io/cluster-issuer": other})
        assert "another issuer" in await here.told("SecretConflict", "zwei")

    @pytest.mark.parametrize("name", ["cacerts", "istiod-tls", "shop-cacert"])
    async def test_reserved(self, here: EdgeWorld, name: str) -> None:
        """A Secret that Istio reads as a CA, or as its own, is never written, and the Gateway says why."""
        await here.pod(here.namespace)
        await here.gateway(https(host(here, "a"), credential=name))
        assert name in await here.told("ReservedSecretName")
        assert await here.find(SECRETS, name) is None

    async def test_a_users_secret(self, here: EdgeWorld) -> None:
        """A Secret that is there already is not touched; once it is deleted the Gateway gets its own."""
        a = host(here, "a")
        await here.pod(here.namespace)
        await here.create("Secret", "shop-tls", {"stringData": {"password": "x"}})
        await here.gateway(https(a))
        assert "shop-tls" in await here.told("ForeignSecret")
        secret = await here.find(SECRETS, "shop-tls")
        assert secret is not None
        assert set(secret["data"]) == {"password"}
        assert await here.find(CERTIFICATES, "shop-tls") is None

    async def test_a_labelled_pod(self, here: EdgeWorld) -> None:
        """A Pod with the gateway's labels in a third namespace draws no key there."""
        a = host(here, "a")
        trap = await here.other("trap")
        await here.pod(trap)
        await here.policy("a", a, namespaces=[here.namespace])
        await here.gateway(https(a))
        await here.served("shop-tls", a, namespace=here.gateways)
        assert await here.find(SECRETS, "shop-tls", trap) is None
