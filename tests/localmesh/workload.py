"""One workload of the mesh: the real pilot-agent with Envoy (or alone), as a Pod's sidecar but without the Pod.

It has its own working directory (all default paths of the agent are relative), its own token for audience istio-ca,
and two loopback addresses: at `address` its sidecar takes mTLS from others and hands it to a small HTTP server, at
`outbound` it takes plain HTTP from us and carries it into the mesh. No iptables: listeners are declared (Sidecar with
captureMode NONE).

Synchronous; what `start` starts runs by itself.
"""

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509

from tests.localmesh.asking import Answer, get
from tests.localmesh.backend import Backend
from tests.localmesh.build import find_module_file, find_program
from tests.localmesh.cluster import Cluster
from tests.localmesh.errors import LocalMeshError
from tests.localmesh.istio_install import SHOW_TLS_ERRORS, VANILLA_ENVOY_AGENT
from tests.localmesh.processes import Process, free_port
from tests.localmesh.toolchain import find_envoy

PORT = 8000  # httpbin's in the Istio task

# Envoy is the agent's child, not ours: it must end when the agent is killed (PR_SET_PDEATHSIG is 1).
_ENVOY = """#!{python} -IS
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
os.execv({envoy!r}, [{envoy!r}, *sys.argv[1:]])
"""


class Workload:
    """One sidecar with its service behind it. Made by `Mesh.place`."""

    role = "sidecar"
    """What the agent is told to be; a gateway is a `router`."""

    def __init__(
        self,
        cluster: Cluster,
        discovery: str,
        *,
        name: str,
        namespace: str,
        signer: str,
        address: str,
        outbound: str,
        server: bool = False,
        envoy: bool = True,
        service_account: str = "",
        environment: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """`signer` is ISTIO_META_CERT_SIGNER; `discovery` istiod's host and port; `environment` goes to the agent."""
        self.name, self.namespace, self.signer = name, namespace, signer
        self.service_account = service_account or name
        self.address, self.outbound = address, outbound
        self._cluster = cluster
        self._discovery = discovery
        self._server = server
        self._envoy = envoy
        self._labels = {"app": name, **(labels or {})}
        self._environment = dict(environment or {})
        self._folder = cluster.folder / "workloads" / f"{namespace}.{name}"
        self._status_port = free_port()
        self._admin_port = free_port()
        self._other_ports = (free_port(), free_port())
        self._backend = Backend(f"{name}.{namespace}") if server else None
        self._process = Process(f"{namespace}.{name}", cluster.folder)

    def __str__(self) -> str:
        return f"{self.name}.{self.namespace}"

    @property
    def spiffe_id(self) -> str:
        """The identity that it may have."""
        return f"spiffe://cluster.local/ns/{self.namespace}/sa/{self.service_account}"

    @property
    def log(self) -> str:
        """Everything that the agent and Envoy logged so far."""
        return self._process.log.read_text(errors="replace") if self._process.log.exists() else ""

    def objects(self) -> list[dict[str, Any]]:
        """What the cluster holds for it: its ServiceAccount, its Sidecar and, for a server, its ServiceEntry."""
        place = {"namespace": self.namespace}
        listeners = [{"number": PORT, "protocol": "HTTP", "name": "http"}]
        sidecar: dict[str, Any] = {
            "workloadSelector": {"labels": {"app": self.name}},
            "egress": [{"bind": self.outbound, "port": listeners[0], "captureMode": "NONE", "hosts": ["*/*"]}],
        }
        found: list[dict[str, Any]] = [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": self.service_account, **place}},
            {
                "apiVersion": "networking.istio.io/v1",
                "kind": "Sidecar",
                "metadata": {"name": self.name, **place},
                "spec": sidecar,
            },
        ]
        if self._backend is not None:
            sidecar["ingress"] = [
                {
                    "bind": self.address,
                    "port": listeners[0],
                    "captureMode": "NONE",
                    "defaultEndpoint": f"127.0.0.1:{self._backend.port}",
                }
            ]
            endpoint = {
                "address": self.address,
                "labels": {**self._labels, "security.istio.io/tlsMode": "istio"},
                "serviceAccount": self.service_account,
            }
            service = {
                "hosts": [f"{self}.svc.cluster.local"],
                "location": "MESH_INTERNAL",
                "resolution": "STATIC",
                "ports": listeners,
                "endpoints": [endpoint],
            }
            found.append(
                {
                    "apiVersion": "networking.istio.io/v1",
                    "kind": "ServiceEntry",
                    "metadata": {"name": self.name, **place},
                    "spec": service,
                }
            )
        return found

    def start(self) -> None:
        """Start the agent with a fresh token and the root of istiod as its namespace has it; does not wait."""
        self._cluster.apply(yaml.safe_dump_all(self.objects()))
        tokens, roots, bootstrap = (
            self._folder / "var/run/secrets/tokens",
            self._folder / "var/run/secrets/istio",
            self._folder / "var/lib/istio/envoy",
        )
        for folder in (tokens, roots, bootstrap, self._certificates):
            folder.mkdir(parents=True, exist_ok=True)
        (tokens / "istio-token").write_text(self._token())
        (roots / "root-cert.pem").write_text(
            self._cluster.wait_for(self._root_of_istiod, "ConfigMap istio-ca-root-cert")
        )
        shutil.copyfile(find_module_file("envoy_bootstrap.json"), bootstrap / "envoy_bootstrap_tmpl.json")
        wrapper = self._folder / "envoy"
        wrapper.write_text(_ENVOY.format(python=sys.executable, envoy=str(find_envoy())))
        wrapper.chmod(0o755)
        agent = find_program("pilot-agent")
        command = [str(agent), "proxy", self.role, f"--domain={self.namespace}.svc.cluster.local"]
        self._process.start(command, env=self._agent_environment(wrapper), cwd=self._folder)

    @property
    def _certificates(self) -> Path:
        return self._folder / "certificates"

    def _token(self) -> str:
        return self._cluster.kubectl(
            "create", "token", self.service_account, "-n", self.namespace, "--audience=istio-ca", "--duration=24h"
        ).strip()

    def _root_of_istiod(self) -> str:
        with contextlib.suppress(LocalMeshError, KeyError):
            found = self._cluster.get("configmap", "istio-ca-root-cert", "-n", self.namespace)
            return str(found["data"]["root-cert.pem"])
        return ""

    def _agent_environment(self, envoy: Path) -> dict[str, str]:
        config = {
            "discoveryAddress": self._discovery,
            "binaryPath": str(envoy),
            "configPath": "./etc/istio/proxy",
            "proxyAdminPort": self._admin_port,
            "statusPort": self._status_port,
            "concurrency": 1,
            "controlPlaneAuthPolicy": "MUTUAL_TLS",
            "runtimeValues": SHOW_TLS_ERRORS,
        }
        return {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self._folder),
            "POD_NAME": self.name,
            "POD_NAMESPACE": self.namespace,
            "SERVICE_ACCOUNT": self.service_account,
            "INSTANCE_IP": self.address,
            "TRUST_DOMAIN": "cluster.local",
            "PROXY_CONFIG": json.dumps(config),
            "OUTPUT_CERTS": str(self._certificates),
            "ENVOY_STATUS_PORT": str(self._other_ports[0]),
            "ENVOY_PROMETHEUS_PORT": str(self._other_ports[1]),
            **VANILLA_ENVOY_AGENT,
            "GRPC_XDS_BOOTSTRAP": "",
            "DISABLE_ENVOY": str(not self._envoy).lower(),
            **({"ISTIO_META_CERT_SIGNER": self.signer} if self.signer else {}),
            "ISTIO_META_CLUSTER_ID": "Kubernetes",
            "ISTIO_META_INTERCEPTION_MODE": "NONE",
            "ISTIO_META_NAMESPACE": self.namespace,
            "ISTIO_META_WORKLOAD_NAME": self.name,
            "ISTIO_METAJSON_LABELS": json.dumps(self._labels),
            **self._environment,
        }

    def ready(self) -> bool:
        """Whether it has a certificate and, with Envoy, its listeners."""
        if not self.chain():
            return False
        if not self._envoy:
            return True
        return get("127.0.0.1", self._status_port, "/healthz/ready", "localhost", 5).status == 200

    def wait_ready(self, timeout: float = 60) -> None:
        """Wait until it is ready; LocalMeshError with the agent's last lines after `timeout` seconds."""
        self._process.wait_until(self.ready, "readiness", timeout)

    def chain(self) -> bytes:
        """The PEM chain that the agent was given last, root at the end; empty when it was given none."""
        try:
            return (self._certificates / "cert-chain.pem").read_bytes()
        except FileNotFoundError:
            return b""

    def key(self) -> bytes:
        """The PEM key of that chain."""
        return (self._certificates / "key.pem").read_bytes()

    def certificate(self) -> x509.Certificate | None:
        """The leaf that it has; None when it was given none."""
        # The agent writes the file in place: half a file is read again.
        for _ in range(20):
            chain = self.chain()
            if not chain:
                return None
            with contextlib.suppress(ValueError):
                return x509.load_pem_x509_certificates(chain)[0]
            time.sleep(0.01)
        raise LocalMeshError(f"{self}: no certificate can be read from {len(chain)} bytes")

    def ask(self, service: str, path: str = "/html", timeout: float = 15) -> Answer:
        """GET http://<service>:8000<path> through the mesh, as `curl` in the Pod would; service as in httpbin.foo."""
        return get(self.outbound, PORT, path, f"{service}.svc.cluster.local", timeout)

    def restart(self, *, signer: str | None = None) -> None:
        """As a new Pod of the same name: a new key, no certificate yet, and `signer` when it is given. Does not wait."""
        self.kill()
        if signer is not None:
            self.signer = signer
        shutil.rmtree(self._folder, ignore_errors=True)
        self.start()

    def check(self) -> None:
        """Raise when the agent ended by itself."""
        self._process.check()

    def kill(self) -> None:
        """End the agent and Envoy at once."""
        if (pid := self._process.pid) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)  # the session that Process.start made: the agent and Envoy
        self._process.kill()

    def processes(self) -> dict[int, str]:
        """What runs in its working directory: process id to program."""
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it ended while we looked, or is another user's
                if (process / "cwd").resolve(strict=True) == self._folder:
                    found[int(process.name)] = str((process / "exe").readlink())
        return found

    def close(self) -> None:
        """End everything of it."""
        self.kill()
        if self._backend is not None:
            self._backend.close()
