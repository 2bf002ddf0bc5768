"""One host that cannot be proven: the others of its Secret get a certificate without it, and its people are told."""

from datetime import timedelta

import pytest

from signer.api.certificate import CERTIFICATES
from signer.api.gateway import GATEWAYS
from signer.api.hostclaim import HOST_CLAIMS
from signer.api.meta import to_rfc3339
from tests.integration.edge.gateway_world import EdgeWorld, host, https

pytestmark = pytest.mark.integration


async def claimed(here: EdgeWorld, name: str, status: str, since: timedelta) -> None:
    """Have the claim of a host say, as the controller of Challenges does, whether it can be proven."""

    async def there() -> bool:
        return await here.claim(name) is not None

    await here.until(f"HostClaim {name}", there)
    said = {
        "type": "Proven",
        "status": status,
        "reason": "HostNotProven",
        "message": "Challenge x/y: no such host",
        "lastTransitionTime": to_rfc3339(here.now() - since),
    }
    await here.client.patch(HOST_CLAIMS, name, {"status": {"conditions": [said]}}, subresource="status")


async def names(here: EdgeWorld) -> list[str]:
    found = await here.find(CERTIFICATES, "shop-tls")
    return list(found["spec"]["dnsNames"]) if found is not None else []


async def asked_for(here: EdgeWorld, *hosts: str) -> None:
    """Wait until the Certificate is for these."""

    async def so() -> bool:
        return await names(here) == sorted(hosts)

    await here.until(f"a Certificate for {hosts}", so)


async def test_before_there_is_a_certificate(here: EdgeWorld) -> None:
    """Where only a placeholder is served, an hour is waited; then the others go on without it, and it comes back when proven."""
    keep, gone = host(here, "keep"), host(here, "gone")
    await here.pod(here.namespace)
    await here.gateway(https(keep, gone), annotations={"cert-manager.io/cluster-issuer": "nobody"})
    await asked_for(here, gone, keep)
    await claimed(here, gone, "False", timedelta(minutes=61))
    await asked_for(here, keep)
    message = await here.told("HostNotProven")
    for word in (gone, "no such host", "shop-tls", "without it"):
        assert word in message
    assert await here.claim(gone) is not None
    await claimed(here, gone, "True", timedelta(0))
    await asked_for(here, gone, keep)


async def test_while_the_old_one_lasts(here: EdgeWorld) -> None:
    """A certificate that lives on keeps all its hosts; the one that fails is told, and that nothing new comes before."""
    keep, gone = host(here, "keep"), host(here, "gone")
    await here.pod(here.namespace)
    await here.gateway(https(keep))
    await here.served("shop-tls", keep)
    notes = {"annotations": {"cert-manager.io/cluster-issuer": "nobody"}}
    changed = {"metadata": notes, "spec": {"servers": [https(keep, gone)]}}
    await here.client.patch(GATEWAYS, "shop", changed, namespace=here.namespace)
    await asked_for(here, gone, keep)
    await claimed(here, gone, "False", timedelta(hours=2))
    assert "before that is mended" in await here.told("HostNotProven")
    assert await names(here) == [gone, keep]
