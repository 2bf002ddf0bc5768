"""The real istiod as a process, under the ServiceAccount and RBAC of its chart, restarted when it dies as a kubelet would.

Restarted, because istiod panics when the watch on its own request closes (security/pkg/k8s/chiron/utils.go,
readSignedCsr) and ends when it can't get its DNS certificate within 60 s; both belong to a mesh whose API server is
restarted.

Concurrency: one daemon thread per istiod waits for its end; every method may be called from any thread.
"""

import http.client
import os
import threading
from collections.abc import Callable, Mapping
from functools import partial

from tests.localmesh.build import find_program
from tests.localmesh.cluster import Cluster
from tests.localmesh.errors import LocalMeshError
from tests.localmesh.istio_install import NAMESPACE, VANILLA_ENVOY_ISTIOD
from tests.localmesh.processes import Process, free_port

# A kubelet restarts at once, then after 10, 20, 40 s; here a test waits.
_BACKOFF_SECONDS = 1.0
_MOST_RESTARTS = 60

# The chart's Deployment names what a Pod has and a process has not.
_OF_A_POD = {"KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"}
# No webhooks, no Gateway API and no ambient mode.
_SETTINGS = {
    "INJECT_ENABLED": "false",
    "VALIDATION_WEBHOOK_CONFIG_NAME": "",
    "PILOT_ENABLE_GATEWAY_API": "false",
    "PILOT_ENABLE_AMBIENT": "false",
    **VANILLA_ENVOY_ISTIOD,
}


class Istiod(Process):
    """pilot-discovery on loopback. `restarts` counts how often it died by itself and was started again."""

    def __init__(self, cluster: Cluster, environment: Mapping[str, str], name: str = "istiod") -> None:
        """`environment` is that of the chart's Deployment, with what a test adds."""
        super().__init__(name, cluster.folder)
        self._cluster = cluster
        self._folder = cluster.folder / name  # its own: every default path of istiod is relative
        self._environment = {key: value for key, value in environment.items() if key not in _OF_A_POD}
        self._http, self._monitoring, self._webhooks, self._xds = (free_port() for _ in range(4))
        self._ended = threading.Event()  # by us, as opposed to by itself
        self._turn = threading.Lock()  # starting again and ending exclude each other
        self.restarts = 0

    @property
    def address(self) -> str:
        """What an agent dials. The name makes it expect istiod.istio-system.svc in the certificate (pilot/pkg/grpc/tls.go)."""
        return f"localhost:{self._xds}"

    def start(self, *, wait: bool = True) -> None:  # type: ignore[override]  # the command is known here
        """Start it and keep it running; waits until it is ready, which needs its DNS certificate from the signer."""
        self._folder.mkdir(exist_ok=True)
        kubeconfig = self._cluster.service_account_kubeconfig(NAMESPACE, "istiod")
        command = [
            str(find_program("pilot-discovery")),
            "discovery",
            f"--kubeconfig={kubeconfig}",
            f"--httpAddr=127.0.0.1:{self._http}",
            "--grpcAddr=",
            f"--secureGRPCAddr=127.0.0.1:{self._xds}",
            f"--monitoringAddr=127.0.0.1:{self._monitoring}",
            f"--httpsAddr=127.0.0.1:{self._webhooks}",
            "--ctrlz_port=0",
            "--domain=cluster.local",
        ]
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self._folder),
            "POD_NAME": "istiod-0",
            "POD_NAMESPACE": NAMESPACE,
            "SERVICE_ACCOUNT": "istiod",
            **_SETTINGS,
            **self._environment,
        }
        self._ended = threading.Event()
        run = partial(super().start, command, env=environment, cwd=self._folder)
        run()
        threading.Thread(target=self._keep_running, args=(run, self._ended), name=self.name, daemon=True).start()
        if wait:
            self.wait_ready()

    def _keep_running(self, run: Callable[[], None], ended: threading.Event) -> None:
        while (process := self.popen) is not None:
            process.wait()
            if ended.wait(_BACKOFF_SECONDS) or self.restarts >= _MOST_RESTARTS:
                return
            with self._turn:
                if ended.is_set():
                    return
                self.restarts += 1
                run()

    def check(self) -> None:
        """Raise LocalMeshError when it has died too often; a single death is put right by its restart."""
        if self.restarts >= _MOST_RESTARTS:
            raise LocalMeshError(f"{self.name} died {self.restarts} times\n{self.tail()}")

    def ready(self) -> bool:
        """Whether /ready says so now."""
        connection = http.client.HTTPConnection("127.0.0.1", self._http, timeout=5)
        try:
            connection.request("GET", "/ready")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def wait_ready(self, timeout: float = 90) -> None:
        """Wait until it is ready; LocalMeshError with its last lines after `timeout` seconds."""
        self.wait_until(self.ready, "/ready", timeout)

    def stop(self, timeout: float = 30) -> None:
        """End it with SIGTERM; it stays ended."""
        with self._turn:
            self._ended.set()
        super().stop(timeout)

    def kill(self) -> None:
        """End it with SIGKILL; it stays ended."""
        with self._turn:
            self._ended.set()
        super().kill()

    def crash(self) -> None:
        """Kill it as a panic would end it: it is started again by itself."""
        if (process := self.popen) is not None:
            process.kill()
