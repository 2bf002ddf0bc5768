"""`mesh-signer renew` and `mesh-signer retry` on the real API server."""

import asyncio

import pytest

from signer.api.retry import RETRY
from signer.cli import main
from tests.integration.slow_controllers import World, condition
from tests.localmesh import Cluster

pytestmark = pytest.mark.integration


async def renew(cluster: Cluster, *arguments: str) -> int:
    return await asyncio.to_thread(main, ["renew", *arguments, f"--kubeconfig={cluster.kubeconfig()}"])


async def test_renew(cluster: Cluster, here: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A Certificate that is in order is issued again, alone or with all others; one that is not there is said."""
    issuer = await here.issuer("selfsigned", {"selfSigned": {}})
    for name in ("a", "b"):
        await here.certificate(name, issuer)
        await here.ready("Certificate", name)
    assert await renew(cluster, "a", "-n", here.namespace) == 0
    assert f"Certificate {here.namespace}/a is issued again" in capsys.readouterr().out

    async def revision(name: str, wanted: int) -> bool:
        found = await here.get("Certificate", name) or {}
        return found["status"].get("revision") == wanted and condition(found, "Issuing") is None

    await here.until("a second certificate", lambda: revision("a", 2))
    assert await renew(cluster, "--all", "-n", here.namespace) == 0
    await here.until("a third certificate", lambda: revision("a", 3))
    await here.until("a second certificate", lambda: revision("b", 2))
    assert await renew(cluster, "nobody", "-n", here.namespace) == 1
    assert "there is none" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["renew", "retry"])
async def test_after_a_failure(cluster: Cluster, manual: World, command: str) -> None:
    """One that waits for hours after it was denied asks again at once, by either."""
    issuer = await manual.issuer("selfsigned", {"selfSigned": {}})
    await manual.certificate("leaf", issuer)

    async def asked() -> str:
        found = await manual.list("CertificateRequest")
        return next((one["metadata"]["uid"] for one in found if not condition(one, "Denied")), "")

    await manual.until("a request", asked)
    denied = {"type": "Denied", "status": "True", "reason": "No", "message": "not today"}
    await manual.edit("CertificateRequest", "leaf-1", {"status": {"conditions": [denied]}}, "status")
    await manual.condition("Certificate", "leaf", "Issuing", "False")
    await asyncio.sleep(1.1)  # times in a status are whole seconds, and the next try is told from this one by its time
    arguments = [command, "leaf", "-n", manual.namespace, f"--kubeconfig={cluster.kubeconfig()}"]
    assert await asyncio.to_thread(main, arguments) == 0
    await manual.until("another request", asked)


async def test_retry(cluster: Cluster, here: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A Certificate that is in order is not issued again by it; one that is not there is said."""
    issuer = await here.issuer("selfsigned", {"selfSigned": {}})
    await here.certificate("a", issuer)
    before = await here.ready("Certificate", "a")
    arguments = ["retry", "a", "nobody", "-n", here.namespace, f"--kubeconfig={cluster.kubeconfig()}"]
    assert await asyncio.to_thread(main, arguments) == 1
    said = capsys.readouterr()
    assert f"Certificate {here.namespace}/a is tried again" in said.out
    assert f"Certificate {here.namespace}/nobody: there is none" in said.err
    after = await here.settled("Certificate", "a")
    assert after["status"]["revision"] == before["status"]["revision"]
    assert RETRY in after["metadata"]["annotations"]
