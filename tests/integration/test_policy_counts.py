"""Counts in the status of a SignerPolicy, on a real API server: what several replicas write at once adds up."""

import asyncio
import json
import secrets

import msgspec
import pytest

from signer.api.signerpolicy import SIGNER_POLICIES, SignerPolicy
from signer.kube.access.config import load_config
from signer.kube.client import ApiClient
from signer.mesh.policies.counts import PolicyCounts
from signer.tenancy.tally import Tally
from tests.localmesh import Cluster
from tests.localmesh.install import install_crds

pytestmark = pytest.mark.integration

REPLICAS = 3


async def test_replicas_add_up(cluster: Cluster) -> None:
    """Three replicas that write at the same moment overwrite nothing, and the rest of the status stays as it is."""
    await asyncio.to_thread(install_crds, cluster)
    name = f"counts-{secrets.token_hex(4)}"
    policy = {"apiVersion": "mesh-signer.dev/v1alpha1", "kind": "SignerPolicy", "metadata": {"name": name}}
    spec = {"signers": [f"clusterissuers.cert-manager.io/{name}"]}
    await asyncio.to_thread(cluster.apply, json.dumps(policy | {"spec": spec}))
    config = await asyncio.to_thread(load_config, str(cluster.kubeconfig()))
    try:
        async with ApiClient(config) as client:
            await client.patch(SIGNER_POLICIES, name, {"status": {"namespaceCount": 4}}, subresource="status")
            seen: dict[str, SignerPolicy] = {}
            tallies = [Tally() for _ in range(REPLICAS)]
            for number, tally in enumerate(tallies):
                for _ in range(number + 1):
                    tally.issued(name)
                tally.refused([name])
            deadline = asyncio.get_running_loop().time() + 60
            while any(tally.waiting() for tally in tallies):
                assert asyncio.get_running_loop().time() < deadline
                found = msgspec.convert(await client.get(SIGNER_POLICIES, name), SignerPolicy)
                seen[name] = found
                await asyncio.gather(*(PolicyCounts(client, tally, lambda: seen).write() for tally in tallies))
            found = msgspec.convert(await client.get(SIGNER_POLICIES, name), SignerPolicy)
            assert (found.status.issued, found.status.refused, found.status.namespace_count) == (6, REPLICAS, 4)
    finally:
        await asyncio.to_thread(cluster.kubectl, "delete", "signerpolicy", name)
