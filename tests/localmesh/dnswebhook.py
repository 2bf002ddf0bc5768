"""A webhook for DNS-01 as people run them beside cert-manager: made of its own library, serving an API group by aggregation.

Its solver is cert-manager's own for RFC 2136, so that BIND has the records. Built on demand. Synchronous.
"""

import base64
import os
import secrets
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.localmesh.build import GOTOOLS, Program, build
from tests.localmesh.cluster import Cluster
from tests.localmesh.pki import Authority
from tests.localmesh.processes import Process, free_port

PROGRAM = Program("dnswebhook", (GOTOOLS / "dnswebhook").resolve(), ".")
SOLVER = "rfc2136"
_VERSION = "v1alpha1"
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"


class DnsWebhook:
    """A context manager: the webhook's namespace, ServiceAccount, rights, Service and APIService, and its process.

    Its group is one that nobody else has.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        name = f"webhook-{secrets.token_hex(4)}"
        self.name = name
        self.group = f"{name}.example.test"
        self._folder = Path(tempfile.mkdtemp(dir=cluster.folder))
        self._process = Process("dnswebhook", self._folder)

    def grant(self, namespace: str, account: str) -> None:
        """Let a ServiceAccount ask it, as its chart would."""
        self._cluster.call(
            "POST", f"{_RBAC}/clusterroles", _role(f"{self.name}-asked", [self.group], [SOLVER], ["create"])
        )
        self._bind(
            "clusterrolebindings", "", f"{self.name}-asked", namespace, account, "ClusterRole", f"{self.name}-asked"
        )

    def __enter__(self) -> Self:
        name, port = self.name, free_port()
        self._cluster.create_namespace(name)
        account = {"metadata": {"name": name}}
        self._cluster.call("POST", f"/api/v1/namespaces/{name}/serviceaccounts", account)
        # What every aggregated API server is given: to ask who somebody is and what he may, and whom to believe.
        self._bind("clusterrolebindings", "", f"{name}-delegates", name, name, "ClusterRole", "system:auth-delegator")
        self._bind("rolebindings", "kube-system", name, name, name, "Role", "extension-apiserver-authentication-reader")
        reads = f"{name}-secrets"
        # Its solver lists the Secrets of all namespaces when it runs as a webhook.
        self._cluster.call("POST", f"{_RBAC}/clusterroles", _role(reads, [""], ["secrets"], ["get", "list", "watch"]))
        self._bind("clusterrolebindings", "", reads, name, name, "ClusterRole", reads)
        authority = Authority(name)
        pair = authority.server(f"{name}.{name}.svc", "localhost", "127.0.0.1")
        for file, data in (("tls.crt", pair.certificate), ("tls.key", pair.key)):
            (self._folder / file).write_bytes(data)
        kubeconfig = self._cluster.service_account_kubeconfig(name, name)
        flags = {
            "kubeconfig": kubeconfig,
            "authentication-kubeconfig": kubeconfig,
            "authorization-kubeconfig": kubeconfig,
            "bind-address": "127.0.0.1",
            "secure-port": port,
            "tls-cert-file": self._folder / "tls.crt",
            "tls-private-key-file": self._folder / "tls.key",
        }
        self._process.start(
            [build(PROGRAM), *(f"--{flag}={value}" for flag, value in flags.items())],
            env={**os.environ, "GROUP_NAME": self.group},
        )
        service = {"metadata": {"name": name}, "spec": {"type": "ExternalName", "externalName": "localhost"}}
        self._cluster.call("POST", f"/api/v1/namespaces/{name}/services", service)
        body = {
            "metadata": {"name": f"{_VERSION}.{self.group}"},
            "spec": {
                "group": self.group,
                "version": _VERSION,
                "groupPriorityMinimum": 1000,
                "versionPriority": 15,
                "caBundle": base64.b64encode(authority.certificate).decode(),
                "service": {"name": name, "namespace": name, "port": port},
            },
        }
        self._cluster.call("POST", _SERVICES, body)
        self._process.wait_until(self._available, "be available")
        return self

    def _available(self) -> bool:
        found = self._cluster.call("GET", f"{_SERVICES}/{_VERSION}.{self.group}")
        return any(
            one["type"] == "Available" and one["status"] == "True"
            for one in found.get("status", {}).get("conditions", [])
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cluster.call("DELETE", f"{_SERVICES}/{_VERSION}.{self.group}")
        self._process.stop()
        self._cluster.delete_namespace(self.name)

    def _bind(self, kind: str, namespace: str, name: str, of: str, account: str, role: str, role_name: str) -> None:
        body = {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": role_name},
            "subjects": [{"kind": "ServiceAccount", "namespace": of, "name": account}],
        }
        where = f"/namespaces/{namespace}" if namespace else ""
        self._cluster.call("POST", f"{_RBAC}{where}/{kind}", body)


def _role(name: str, groups: list[str], resources: list[str], verbs: list[str]) -> dict[str, object]:
    return {"metadata": {"name": name}, "rules": [{"apiGroups": groups, "resources": resources, "verbs": verbs}]}
