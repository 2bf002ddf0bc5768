"""etcd, kube-apiserver and kube-controller-manager as processes on loopback.

Each keeps its port, certificates and data, so stop() or kill() followed by start() is a restart as a client sees
it. Synchronous; see processes.py for what may be called from where.
"""

import base64
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.localmesh import kubeconfig
from tests.localmesh.build import find_program
from tests.localmesh.errors import LocalMeshError
from tests.localmesh.kubeconfig import Access
from tests.localmesh.pki import Authority, service_account_key
from tests.localmesh.processes import Process, free_port

ISSUER = "https://kubernetes.default.svc"


class EtcdServer(Process):
    """One etcd member with its data in `folder`; plain http, as it is on loopback and the data are a test's."""

    def __init__(self, folder: Path) -> None:
        super().__init__("etcd", folder)
        self._data = folder / "etcd"
        self.url = f"http://127.0.0.1:{free_port()}"
        self._peer_url = f"http://127.0.0.1:{free_port()}"

    def start(self) -> None:  # type: ignore[override]  # the command is known here
        """Start it and wait until it answers."""
        flags = {
            "name": "localmesh",
            "data-dir": self._data,
            "listen-client-urls": self.url,
            "advertise-client-urls": self.url,
            "listen-peer-urls": self._peer_url,
            "initial-advertise-peer-urls": self._peer_url,
            "initial-cluster": f"localmesh={self._peer_url}",
            # A crash of the machine may lose a test's data; waiting for the disk would make every write slow.
            "unsafe-no-fsync": "true",
            # 10,000 requests and their history must fit without an alarm.
            "quota-backend-bytes": 8 << 30,
            "log-level": "warn",
        }
        super().start([find_program("etcd"), *_as_flags(flags)])
        self.wait_until(self._healthy, "/health")

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                return bool(json.load(answer).get("health") == "true")
        except (OSError, http.client.HTTPException):
            return False

    def revision(self) -> int:
        """The store's current revision, which is the newest resourceVersion."""
        answer = self._call("kv/range", {"key": base64.b64encode(b"\0").decode(), "limit": 1})
        return int(answer["header"]["revision"])

    def keys(self, prefix: str) -> list[str]:
        """All keys that begin so, without their values."""
        begin = prefix.encode()
        end = begin[:-1] + bytes([begin[-1] + 1])
        asked = {"key": base64.b64encode(begin).decode(), "range_end": base64.b64encode(end).decode()}
        answer = self._call("kv/range", asked | {"keys_only": True})
        return [base64.b64decode(one["key"]).decode() for one in answer.get("kvs", ())]

    def compact(self) -> int:
        """Forget all history: every resourceVersion given out until now is then too old for a watch (410 Gone).

        A watch that the API server can serve from its watch cache does not notice; restart the API server as well, or
        run it with --watch-cache=false. Returns the revision of the compaction.
        """
        # A watch from revision r needs r+1. Two writes of our own (outside of /registry) put r+1 before the compaction.
        for _ in range(2):
            self._call("kv/put", {"key": base64.b64encode(b"localmesh").decode()})
        at = self.revision()
        self._call("kv/compaction", {"revision": at, "physical": True})
        return at

    def _call(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        # etcd's JSON gateway: https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway/
        request = urllib.request.Request(f"{self.url}/v3/{method}", json.dumps(body).encode())
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                result: dict[str, Any] = json.load(answer)
                return result
        except urllib.error.HTTPError as error:
            raise LocalMeshError(f"etcd {method}: {error.code} {error.read().decode(errors='replace')}") from error


class ApiServer(Process):
    """One kube-apiserver with RBAC, TokenRequest and a certificate authority of its own."""

    def __init__(self, folder: Path, etcd: EtcdServer, flags: Sequence[str] = (), port: int | None = None) -> None:
        """`flags` are added at the end and so override ours, as in ("--runtime-config=api/all=true",)."""
        super().__init__("kube-apiserver", folder)
        self._flags = tuple(flags)
        self._etcd = etcd
        self._port = port or free_port()
        self.url = f"https://127.0.0.1:{self._port}"
        self.authority = Authority("localmesh")
        self.folder = folder / "apiserver"
        self.folder.mkdir()
        serving = self.authority.server("127.0.0.1", "localhost", "kubernetes.default.svc", "10.0.0.1")
        private, public = service_account_key()
        # Who it is when it asks aggregated API servers on somebody's behalf; they believe it by a CA of its own.
        front = Authority("front-proxy")
        proxy = front.client("front-proxy-client")
        for name, data in {
            "front-proxy-ca.crt": front.certificate,
            "front-proxy.crt": proxy.certificate,
            "front-proxy.key": proxy.key,
            "ca.crt": self.authority.certificate,
            "tls.crt": serving.certificate,
            "tls.key": serving.key,
            "sa.key": private,
            "sa.pub": public,
        }.items():
            (self.folder / name).write_bytes(data)
        self.admin = self.access("admin", "system:masters")
        self._context = self.admin.ssl_context()

    def access(self, user: str, *groups: str) -> Access:
        """Access as a user with a client certificate."""
        return Access(self.url, self.authority.certificate, client=self.authority.client(user, *groups))

    def start(self) -> None:  # type: ignore[override]  # the command is known here
        """Start it and wait until /readyz says ok."""
        flags = {
            "etcd-servers": self._etcd.url,
            "bind-address": "127.0.0.1",
            "secure-port": self._port,
            "tls-cert-file": self.folder / "tls.crt",
            "tls-private-key-file": self.folder / "tls.key",
            "client-ca-file": self.folder / "ca.crt",
            "requestheader-client-ca-file": self.folder / "front-proxy-ca.crt",
            "requestheader-allowed-names": "front-proxy-client",
            "requestheader-username-headers": "X-Remote-User",
            "requestheader-group-headers": "X-Remote-Group",
            "requestheader-extra-headers-prefix": "X-Remote-Extra-",
            "proxy-client-cert-file": self.folder / "front-proxy.crt",
            "proxy-client-key-file": self.folder / "front-proxy.key",
            "service-account-issuer": ISSUER,
            "service-account-key-file": self.folder / "sa.pub",
            "service-account-signing-key-file": self.folder / "sa.key",
            "api-audiences": ISSUER,
            "authorization-mode": "Node,RBAC",
            "service-cluster-ip-range": "10.0.0.0/24",
            "allow-privileged": "true",
            # A loopback address is not a valid endpoint; without this the log fills with that complaint.
            "endpoint-reconciler-type": "none",
            # With this, stop() takes 2 s with open watches; without, the server waits a minute for them to end.
            "shutdown-send-retry-after": "true",
        }
        super().start([find_program("kube-apiserver"), *_as_flags(flags), *self._flags])
        self.wait_until(self.ready, "/readyz")

    def ready(self) -> bool:
        """Whether /readyz says ok now."""
        return _answers_ok(f"{self.url}/readyz", self._context)


class ControllerManager(Process):
    """kube-controller-manager with the few controllers that a signer's users rely on.

    Without it nobody makes a namespace's `default` ServiceAccount, deletes a namespace's contents, collects owned
    objects or publishes kube-root-ca.crt. Its own CSR signers stay off: signing is our subject.
    """

    CONTROLLERS = (
        "certificatesigningrequest-cleaner-controller",
        "clusterrole-aggregation-controller",
        "garbage-collector-controller",
        "namespace-controller",
        "root-ca-certificate-publisher-controller",
        "serviceaccount-controller",
    )

    def __init__(self, folder: Path, api: ApiServer, controllers: Sequence[str] = CONTROLLERS) -> None:
        super().__init__("kube-controller-manager", folder)
        self._controllers = controllers
        self._api = api
        self._port = free_port()
        self._kubeconfig = kubeconfig.write(
            folder / "controller-manager.kubeconfig", api.access("system:kube-controller-manager")
        )

    def start(self) -> None:  # type: ignore[override]  # the command is known here
        """Start it and wait until its /healthz says ok."""
        flags = {
            "kubeconfig": self._kubeconfig,
            "bind-address": "127.0.0.1",
            "secure-port": self._port,
            "tls-cert-file": self._api.folder / "tls.crt",
            "tls-private-key-file": self._api.folder / "tls.key",
            "leader-elect": "false",
            "controllers": ",".join(self._controllers),
            # Each controller has its own ServiceAccount and rights, as in a real cluster.
            "use-service-account-credentials": "true",
            "service-account-private-key-file": self._api.folder / "sa.key",
            "root-ca-file": self._api.folder / "ca.crt",
        }
        super().start([find_program("kube-controller-manager"), *_as_flags(flags)])
        context = self._api.admin.ssl_context()
        self.wait_until(lambda: _answers_ok(f"https://127.0.0.1:{self._port}/healthz", context), "/healthz")


def _as_flags(flags: Mapping[str, object]) -> list[str]:
    return [f"--{name}={value}" for name, value in flags.items()]


def _answers_ok(url: str, context: Any) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5, context=context) as answer:
            return bool(answer.status == 200)
    except (OSError, http.client.HTTPException):
        return False
