"""The controller of Gateways on the real API server, with a self-signed issuer: no Gateway runs, and none is needed."""

import asyncio
import subprocess
import sys
from datetime import timedelta

import pytest

from signer.api.certificate import CERTIFICATES
from signer.api.edgepolicy import EDGE_POLICIES
from signer.api.gateway import API_GATEWAYS, GATEWAYS
from signer.api.hostclaim import HOST_CLAIMS
from signer.api.ingress import INGRESSES
from signer.api.namespace import NAMESPACES
from signer.api.pod import PODS
from signer.api.retry import RETRY
from signer.api.secret import SECRETS
from tests.integration.edge.gateway_world import (
    EdgeWorld,
    edge_world,
    gone,
    host,
    https,
    is_placeholder,
)
from tests.integration.slow_controllers import condition
from tests.localmesh import Cluster
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, SignerProcess

pytestmark = pytest.mark.integration


class TestCertificates:
    async def test_beside_the_gateway(self, here: EdgeWorld) -> None:
        """A Gateway whose proxy runs in its own namespace gets one Certificate for each credentialName, and its hosts are claimed."""
        a, b, c = (host(here, label) for label in "abc")
        await here.pod(here.namespace)
        await here.gateway(https(a, b), https(c, credential="other-tls"))
        await here.served("shop-tls", a, b)
        await here.served("other-tls", c)
        assert await here.find(SECRETS, "shop-tls", here.gateways) is None
        claim = await here.claim(a)
        assert claim is not None
        assert claim["spec"]["namespace"] == here.namespace
        certificate = await here.ready("Certificate", "shop-tls")
        assert certificate["spec"]["privateKey"]["algorithm"] == "ECDSA"
        assert [one["kind"] for one in certificate["metadata"]["ownerReferences"]] == ["Gateway"]
        # There is one for each Certificate, in any order.
        assert "-tls for" in await here.told("CreateCertificate")

    async def test_in_the_gateways_namespace(self, here: EdgeWorld) -> None:
        """Where the proxy runs elsewhere nothing is written until an EdgePolicy grants every host; then it is, there."""
        a = host(here, "a")
        await here.gateway(https(a))
        assert "EdgePolicy" in await here.told("HostNotGranted")
        assert await here.find(SECRETS, "shop-tls", here.gateways) is None
        assert await here.claim(a) is None
        name = await here.policy("ours", a, namespaces=[here.namespace])
        await here.served("shop-tls", a, namespace=here.gateways)
        assert await here.find(SECRETS, "shop-tls") is None

        async def counted() -> bool:
            policy = await here.find(EDGE_POLICIES, name) or {}
            ready = condition(policy, "Ready")
            return bool(ready and ready["status"] == "True" and policy["status"].get("hosts") == 1)

        await here.until("the EdgePolicy's status", counted)

    async def test_a_placeholder_first(self, here: EdgeWorld) -> None:
        """Before an issuer answers there is a placeholder, the Certificate is not ready, and nothing but it is replaced later."""
        a = host(here, "a")
        await here.pod(here.namespace)
        late = f"{here.namespace}-late"
        await here.gateway(https(a), annotations={"cert-manager.io/cluster-issuer": late})

        async def placed() -> bool:
            leaf = await here.leaf("shop-tls")
            return leaf is not None and is_placeholder(leaf)

        await here.until("the placeholder", placed)
        await here.condition("Certificate", "shop-tls", status="False")
        before = await here.find(SECRETS, "shop-tls")
        await here.issuer("late", {"selfSigned": {}})
        await here.served("shop-tls", a)
        after = await here.find(SECRETS, "shop-tls")
        assert before is not None
        assert after is not None
        assert after["metadata"]["uid"] == before["metadata"]["uid"]
        assert after["data"]["tls.key"] != before["data"]["tls.key"]

    async def test_no_pod_yet(self, here: EdgeWorld) -> None:
        """Without a Pod of the gateway it waits and says so, and goes on by itself when one comes."""
        a = host(here, "a")
        await here.client.delete(PODS, "gateway", here.gateways)
        await here.gateway(https(a))
        assert "no Pod" in await here.told("NoGatewayPod")
        await here.pod(here.namespace)
        await here.served("shop-tls", a)

    async def test_not_asked(self, here: EdgeWorld) -> None:
        """A Gateway that names no issuer gets nothing; its namespace's annotation asks for all, an empty one says no."""
        await here.pod(here.namespace)
        a, b = host(here, "a"), host(here, "b")
        await here.gateway(https(a), annotations={})
        await here.gateway(https(b, credential="no-tls"), name="no", annotations={"cert-manager.io/cluster-issuer": ""})
        assert await here.find(CERTIFICATES, "shop-tls") is None
        await here.client.patch(
            NAMESPACES,
            here.namespace,
            {"metadata": {"annotations": {"cert-manager.io/cluster-issuer": here.issuer_name}}},
        )
        await here.served("shop-tls", a)
        assert await here.find(CERTIFICATES, "no-tls") is None


class TestChanges:
    async def test_a_host_is_added(self, here: EdgeWorld) -> None:
        """A host that is added to a running Gateway gets into the same Secret; the old certificate stays until then."""
        a, b = host(here, "a"), host(here, "b")
        await here.pod(here.namespace)
        await here.gateway(https(a))
        await here.served("shop-tls", a)
        servers = {"spec": {"servers": [https(a, b)]}}
        await here.client.patch(GATEWAYS, "shop", servers, namespace=here.namespace)
        await here.served("shop-tls", a, b)

    async def test_kept_and_taken_up_again(self, here: EdgeWorld) -> None:
        """The Gateway goes and comes back: the Certificate goes, the Secret and the claim stay, and nothing is issued anew."""
        a = host(here, "a")
        await here.pod(here.namespace)
        await here.gateway(https(a))
        first = await here.served("shop-tls", a)
        await here.client.delete(GATEWAYS, "shop", here.namespace)
        await here.until("the Secret noted as unused", lambda: _unused(here))
        await here.until("the Certificate gone", lambda: gone(here, CERTIFICATES, "shop-tls"))

        async def kept() -> bool:
            return bool((await here.claim(a) or {}).get("status", {}).get("unusedSince"))

        await here.until("the claim noted as unused", kept)
        await here.gateway(https(a))
        await here.ready("Certificate", "shop-tls")

        async def used() -> bool:
            return not await _unused(here) and not (await here.claim(a) or {}).get("status", {}).get("unusedSince")

        await here.until("used again", used)
        again = await here.leaf("shop-tls")
        assert again is not None
        assert again.serial_number == first.serial_number

    async def test_removed_after_seven_days(self, here: EdgeWorld) -> None:
        """After seven days without a Gateway the Secret and the claim go; a Secret of a user beside them stays."""
        a = host(here, "a")
        await here.pod(here.namespace)
        await here.gateway(https(a))
        await here.served("shop-tls", a)
        await here.create("Secret", "mine", {"stringData": {"a": "b"}})
        await here.client.delete(GATEWAYS, "shop", here.namespace)
        await here.until("the Secret noted as unused", lambda: _unused(here))
        await here.until("the claim noted as unused", lambda: _unused_claim(here, a))
        await here.stop()
        here.ahead = timedelta(days=6, hours=23)
        await here.start()
        await here.until("a look at all", lambda: _looked(here))
        assert await here.find(SECRETS, "shop-tls") is not None
        await here.stop()
        here.ahead = timedelta(days=7, hours=1)
        await here.start()
        await here.until("the Secret gone", lambda: gone(here, SECRETS, "shop-tls"))
        await here.until("the claim gone", lambda: gone(here, HOST_CLAIMS, a))
        assert await here.find(SECRETS, "mine") is not None

    async def test_the_certificate_is_edited(self, here: EdgeWorld) -> None:
        """What somebody writes into our Certificate is put back."""
        a, evil = host(here, "a"), host(here, "evil")
        await here.pod(here.namespace)
        await here.gateway(https(a))
        await here.served("shop-tls", a)
        await here.edit("Certificate", "shop-tls", {"spec": {"dnsNames": [evil]}})

        async def mended() -> bool:
            return bool(((await here.find(CERTIFICATES, "shop-tls")) or {})["spec"]["dnsNames"] == [a])

        await here.until("the Certificate mended", mended)
        await here.served("shop-tls", a)


class TestOtherSources:
    async def test_gateway_api(self, here: EdgeWorld) -> None:
        """A Gateway of the Gateway API gets its certificateRefs filled in its own namespace."""
        a = host(here, "a")
        listener = {
            "name": "https",
            "port": 443,
            "protocol": "HTTPS",
            "hostname": a,
            "tls": {"certificateRefs": [{"name": "api-tls"}]},
        }
        await here.make(
            API_GATEWAYS,
            "api",
            {"spec": {"gatewayClassName": "istio", "listeners": [listener]}},
            annotations={"cert-manager.io/cluster-issuer": here.issuer_name},
        )
        await here.served("api-tls", a)

    async def test_ingress(self, here: EdgeWorld) -> None:
        """An Ingress of class istio gets its tls secrets; one of another class gets nothing."""
        a, b = host(here, "a"), host(here, "b")
        await here.pod(here.namespace)
        notes = {"cert-manager.io/cluster-issuer": here.issuer_name}
        for name, of_class, one in (("theirs", "nginx", b), ("ours", "istio", a)):
            backend = {"service": {"name": "x", "port": {"number": 80}}}
            rule = {"host": one, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
            spec = {"ingressClassName": of_class, "tls": [{"secretName": f"{name}-tls"}], "rules": [rule]}
            await here.make(INGRESSES, name, {"spec": spec}, annotations=notes)
        await here.served("ours-tls", a)
        assert await here.find(CERTIFICATES, "theirs-tls") is None


async def _unused_claim(here: EdgeWorld, claim: str) -> bool:
    return "unusedSince" in (await here.find(HOST_CLAIMS, claim) or {}).get("status", {})


async def _unused(here: EdgeWorld, namespace: str | None = None) -> bool:
    secret = await here.find(SECRETS, "shop-tls", namespace) or {"metadata": {}}
    return "mesh-signer.dev/unused-since" in secret["metadata"].get("annotations", {})


async def _looked(here: EdgeWorld) -> bool:
    value = here.metrics.registry.get_sample_value("certmanager_controller_sync_call_count", {"controller": "gateways"})
    return bool(value)


async def test_as_installed(installed: Cluster, cluster: Cluster, namespace: str) -> None:
    """The process with the rights that the manifests give it, and no more, does all of it, and counts it."""
    options = (
        f"--controllers=issuers,certificates,certificaterequests,gateways --cluster-resource-namespace={namespace}"
    )
    async with edge_world(cluster, namespace) as here:
        await here.stop()
        signer = SignerProcess(
            installed,
            *options.split(),
            "--leader-elect=false",
            "--namespace=cert-manager",  # where its Pod is: there it may see a cert-manager's Lease
            f"--gateway-namespaces={here.gateways}",
            f"--default-issuer-name={here.issuer_name}",
            account=CONTROLLERS_ACCOUNT,
        )
        await asyncio.to_thread(signer.start)
        try:
            a, b = host(here, "a"), host(here, "b")
            await here.gateway(https(a), annotations={})
            await here.told("HostNotGranted")
            await here.policy("ours", a, b, namespaces=[here.namespace])
            await here.served("shop-tls", a, namespace=here.gateways)
            await here.client.patch(GATEWAYS, "shop", {"spec": {"servers": [https(a, b)]}}, namespace=here.namespace)
            await here.served("shop-tls", a, b, namespace=here.gateways)
            again = {RETRY: "2026-11-30T12:00:00Z"}
            await here.client.patch(GATEWAYS, "shop", {"metadata": {"annotations": again}}, namespace=here.namespace)

            async def passed_on() -> bool:
                made = await here.find(CERTIFICATES, "shop-tls", here.gateways)
                return made is not None and again.items() <= made["metadata"]["annotations"].items()

            await here.until("the Gateway's word on its Certificate", passed_on)
            kubeconfig = str(cluster.kubeconfig())
            command = (sys.executable, "-m", "signer", "edge", f"--kubeconfig={kubeconfig}", a, b)
            default = f"--default-issuer-name={here.issuer_name}"
            done = await asyncio.to_thread(subprocess.run, (*command, default), capture_output=True, text=True)
            assert (done.returncode, done.stderr) == (0, "")
            lines = done.stdout.splitlines()
            assert [(line.split()[0], "ready" in line) for line in lines[1:]] == [(a, True), (b, True)]
            await here.client.delete(GATEWAYS, "shop", here.namespace)
            await here.until("the Secret noted as unused", lambda: _unused(here, here.gateways))
            assert await gone(here, CERTIFICATES, "shop-tls")
            await asyncio.to_thread(signer.wait_for_metric, "mesh_signer_host_claims", 2)
        finally:
            await asyncio.to_thread(signer.stop)
            assert "forbidden" not in signer.log.lower()
