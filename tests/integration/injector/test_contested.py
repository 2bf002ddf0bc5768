"""An answer to the CA injector that somebody else replaces each time is given more and more seldom, and that is logged."""

import asyncio
import base64
import logging

import pytest

from signer.api.casource import CA_SOURCES, CASourceSpec, source_name
from signer.api.secret import SECRETS
from signer.certificates.watched import watch_certificates
from signer.injector.sources.controller import SourceController
from signer.kube.access.config import load_config
from signer.kube.client import ApiClient
from signer.observe.metrics import Metrics
from signer.observe.undone import UNDONE
from tests.localmesh import Cluster
from tests.localmesh.install import install_crds
from tests.pki import CA

pytestmark = pytest.mark.integration


async def test_an_answer_that_is_undone(cluster: Cluster, namespace: str, caplog: pytest.LogCaptureFixture) -> None:
    """Two that answer one CASource do not write for ever."""
    caplog.set_level(logging.WARNING)
    install_crds(cluster)
    metrics = Metrics()
    async with ApiClient(load_config(str(cluster.kubeconfig()))) as client, asyncio.TaskGroup() as tasks:
        meta = {
            "name": "tls",
            "namespace": namespace,
            "annotations": {"cert-manager.io/allow-direct-injection": "true"},
        }
        data = {"ca.crt": base64.b64encode(CA("ca").pem).decode()}
        await client.create(SECRETS, {"metadata": meta, "data": data})
        name = source_name(CASourceSpec(kind="Secret", namespace=namespace, name="tls"))
        spec = {"kind": "Secret", "namespace": namespace, "name": "tls"}
        await client.create(CA_SOURCES, {"metadata": {"name": name}, "spec": spec})
        watch = watch_certificates(client, metrics.watch_restarted)
        running = [
            tasks.create_task(watch.run()),
            tasks.create_task(SourceController(client, metrics).run(watch)),
        ]
        answers = 0
        try:
            async with asyncio.timeout(120):
                while UNDONE not in caplog.text:
                    found = await client.get(CA_SOURCES, name)
                    if found.get("status", {}).get("reason") == "Available":
                        answers += 1
                        theirs = {"status": {"reason": "Theirs", "message": "no", "caBundle": None}}
                        await client.patch(CA_SOURCES, name, theirs, subresource="status")
                    await asyncio.sleep(0.05)
        finally:
            for task in running:
                task.cancel()
            await client.delete(CA_SOURCES, name)
    assert answers <= 6
    assert f"CASource {name}: {UNDONE}: its status is put back, and undone each time" in caplog.text
