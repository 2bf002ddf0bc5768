"""Leases on a real API server: one leads, and replicas know of each other."""

import asyncio

import pytest

from signer.kube.access.config import ConnectionConfig, load_config
from signer.kube.client import ApiClient
from signer.kube.leases.leader import Leadership
from signer.kube.leases.members import Members
from tests.integration.kube.following import until
from tests.localmesh import Cluster

pytestmark = pytest.mark.integration


class TestLeases:
    RIGHTS = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: leases, namespace: {namespace}}}
rules: [{{apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, list, watch, create, update, patch, delete]}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: leases, namespace: {namespace}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: leases}}
subjects: [{{kind: ServiceAccount, name: replica, namespace: {namespace}}}]
"""

    @pytest.fixture
    def config(self, cluster: Cluster, namespace: str) -> ConnectionConfig:
        path = cluster.service_account_kubeconfig(namespace, "replica")
        cluster.apply(self.RIGHTS.format(namespace=namespace))
        return load_config(str(path))

    async def test_leadership(self, config: ConnectionConfig, namespace: str, cluster: Cluster) -> None:
        """With the rights of our manifests and no more, one leads, and when it leaves the other does."""
        working: list[str] = []

        async def work(who: str) -> None:
            working.append(who)
            try:
                await asyncio.sleep(3600)
            finally:
                working.remove(who)

        async with ApiClient(config) as client:
            tasks = {}
            for who in ("a", "b"):
                leadership = Leadership(client, namespace, "lock", who, duration=3, renew=2, retry=0.2)
                tasks[who] = asyncio.create_task(leadership.run(lambda who=who: work(who)))  # type: ignore[misc]
            await until(lambda: len(working) == 1, "one leads")
            await asyncio.sleep(4)
            (first,) = working
            assert cluster.get("lease", "lock", "-n", namespace)["spec"]["holderIdentity"] == first
            tasks.pop(first).cancel()
            await until(lambda: working and working != [first], "the other leads")
            (second,) = tasks.values()
            second.cancel()
            await asyncio.wait([second])
            spec = cluster.get("lease", "lock", "-n", namespace)["spec"]
            assert ("holderIdentity" in spec, spec["leaseTransitions"]) == (False, 1)

    async def test_members(self, config: ConnectionConfig, namespace: str, cluster: Cluster) -> None:
        """Replicas find each other, miss one that leaves, and leave nothing behind."""
        async with ApiClient(config) as client:
            members = {who: Members(client, namespace, "g", who, duration=2) for who in "abc"}
            tasks = {who: asyncio.create_task(one.run()) for who, one in members.items()}
            await until(lambda: all(one.members() == ("a", "b", "c") for one in members.values()), "all see all")
            tasks["b"].cancel()
            await until(lambda: members["a"].members() == members["c"].members() == ("a", "c"), "b is missed")
            for task in tasks.values():
                task.cancel()
            await asyncio.wait(tasks.values())
        assert cluster.get("leases", "-n", namespace)["items"] == []
