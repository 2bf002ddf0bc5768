"""An ingress gateway of the mesh: the real pilot-agent as router, with Envoy, and what its chart puts into a cluster.

A Gateway names ports 80 and 443 as everywhere; the Service leads them to two free ports of one loopback address, as a
real one leads them to 8080 and 8443, so nothing here needs root. The Pod object is only written down: its process runs
beside the cluster. Envoy would listen on every address of the machine; an EnvoyFilter keeps it on loopback.

Synchronous, as workload.py.
"""

import json
from collections.abc import Mapping
from typing import Any

from tests.localmesh.cluster import Cluster
from tests.localmesh.processes import free_port
from tests.localmesh.workload import Workload

SELECTOR = {"istio": "ingressgateway"}  # the label of Istio's own gateway


class IngressGateway(Workload):
    """One gateway, at `address`: `ports` says where it listens for a Gateway's port 80 and 443."""

    role = "router"

    def __init__(
        self, cluster: Cluster, discovery: str, *, labels: Mapping[str, str] | None = None, **options: Any
    ) -> None:
        """`labels` are those that a Gateway selects by; `options` are Workload's."""
        self.selector = dict(SELECTOR if labels is None else labels)
        super().__init__(cluster, discovery, labels=self.selector, **options)
        self.ports = {80: free_port(), 443: free_port()}

    def objects(self) -> list[dict[str, Any]]:
        """What the chart installs: ServiceAccount, the right to its own namespace's Secrets, Service, and the Pod."""
        place = {"name": self.name, "namespace": self.namespace}
        rules = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "watch", "list"]}]
        group = "rbac.authorization.k8s.io"
        ports = [
            {"name": name, "port": port, "targetPort": self.ports[port], "protocol": "TCP"}
            for name, port in (("http2", 80), ("https", 443))
        ]
        container = {
            "name": "istio-proxy",
            "image": "beside-the-cluster",
            "ports": [{"name": one["name"], "containerPort": one["targetPort"]} for one in ports],
        }
        listen = {"address": {"socket_address": {"address": self.address}}}
        loopback = {
            "workloadSelector": {"labels": self._labels},
            "configPatches": [
                {
                    "applyTo": "LISTENER",
                    "match": {"context": "GATEWAY"},
                    "patch": {"operation": "MERGE", "value": listen},
                }
            ],
        }
        return [
            {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": self.service_account, "namespace": self.namespace},
            },
            {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": place, "rules": rules},
            {
                "apiVersion": f"{group}/v1",
                "kind": "RoleBinding",
                "metadata": place,
                "roleRef": {"apiGroup": group, "kind": "Role", "name": self.name},
                "subjects": [{"kind": "ServiceAccount", "name": self.service_account, "namespace": self.namespace}],
            },
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": place,
                "spec": {"type": "LoadBalancer", "selector": self._labels, "ports": ports},
            },
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {**place, "labels": self._labels},
                "spec": {"serviceAccountName": self.service_account, "containers": [container]},
            },
            {"apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter", "metadata": place, "spec": loopback},
        ]

    def start(self) -> None:
        """Start it; its Pod is Running at `address`, and that is the Service's public address too. Does not wait."""
        super().start()
        self.tell_phase("Running")
        self._write_status("service", {"loadBalancer": {"ingress": [{"ip": self.address}]}})

    def tell_phase(self, phase: str) -> None:
        """What the cluster is told of its Pod; the process goes on whatever that is."""
        conditions = [{"type": kind, "status": str(phase == "Running")} for kind in ("ContainersReady", "Ready")]
        address = {"podIP": self.address, "podIPs": [{"ip": self.address}]}
        self._write_status("pod", {"phase": phase, "conditions": conditions, **address})

    def _write_status(self, kind: str, status: Mapping[str, Any]) -> None:
        patch = json.dumps({"status": status})
        where = ("-n", self.namespace, "--subresource=status", "--type=merge", "--patch", patch)
        self._cluster.kubectl("patch", kind, self.name, *where)
