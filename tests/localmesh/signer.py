"""Our signer as a process of its own, under the ServiceAccount and the RBAC that we ship.

Synchronous, like the servers beside it.
"""

import json
import os
import re
import secrets
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families

from tests.localmesh.cluster import Cluster
from tests.localmesh.errors import LocalMeshError
from tests.localmesh.processes import Process

NAMESPACE = "cert-manager"
SIGNER_ACCOUNT = "mesh-signer"
CONTROLLERS_ACCOUNT = "mesh-signer-controllers"
_PORT = re.compile(r"metrics and health on port (\d+)")
_REPOSITORY = Path(__file__).resolve().parents[2]


FOLLOWERS: list[Callable[["SignerProcess", str], None]] = []
"""Called with each process when it is to start ("start"), and when it has ended ("end")."""


class SignerProcess:
    """`mesh-signer run` with the given options. `account` is the ServiceAccount that it acts as; None: cluster-admin.

    It may be killed and started again; its log and its audit log go on in the same files. Without `tenancy` the wall is
    off: most tests and benchmarks ask under made-up names, and without a mesh.
    """

    def __init__(
        self,
        cluster: Cluster,
        *options: str,
        account: str | None = SIGNER_ACCOUNT,
        name: str = "",
        env: dict[str, str] | None = None,
        tenancy: str = "off",
    ) -> None:
        self.cluster = cluster
        self.name = name or f"signer-{secrets.token_hex(3)}"
        self.audit_file = cluster.folder / f"{self.name}.audit"
        self.options = (f"--tenancy={tenancy}", *options)
        self._account = account
        self._env = env or {}
        self._process = Process(self.name, cluster.folder)
        self._read_from = 0
        self.port = 0

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid

    @property
    def log(self) -> str:
        """Everything that it logged so far."""
        return self._process.log.read_text(errors="replace") if self._process.log.exists() else ""

    def command(self) -> list[str]:
        """The command line."""
        config = (
            self.cluster.kubeconfig()
            if self._account is None
            else self.cluster.service_account_kubeconfig(NAMESPACE, self._account)
        )
        return [
            sys.executable,
            "-m",
            "signer",
            "run",
            f"--kubeconfig={config}",
            f"--identity={self.name}",
            f"--audit-log={self.audit_file}",
            "--bind=127.0.0.1:0",
            *self.options,
        ]

    def prepare(self) -> Callable[[], None]:
        """Make everything that a start needs; the result starts the process and returns at once."""
        self._tell("start")
        command, env = self.command(), {**os.environ, "PYTHONPATH": str(_REPOSITORY), **self._env}
        self._read_from = len(self.log)
        return lambda: self._process.start(command, env=env)

    def start(self, *, wait: bool = True) -> Self:
        """Start it, and wait until it is ready."""
        self.prepare()()
        self._process.wait_until(self._has_port, "port of its own")
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self) -> None:
        """Wait until /readyz says so."""
        self._process.wait_until(lambda: self.ready()[0], "readiness")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End it with SIGTERM, as a kubelet does."""
        self._process.stop()
        self._tell("end")

    def kill(self) -> None:
        """End it with SIGKILL, as a crash does."""
        self._process.kill()
        self._tell("end")

    def _tell(self, what: str) -> None:
        for follower in FOLLOWERS:
            follower(self, what)

    def check(self) -> None:
        """Raise when it ended by itself."""
        self._process.check()

    def _has_port(self) -> bool:
        found = _PORT.findall(self.log[self._read_from :])
        self.port = int(found[-1]) if found else 0
        return bool(found)

    def ready(self) -> tuple[bool, str]:
        """Ask /readyz: the verdict and its text."""
        return self._ask("/readyz")

    def alive(self) -> tuple[bool, str]:
        """Ask /livez: the verdict and its text."""
        return self._ask("/livez")

    def _ask(self, path: str) -> tuple[bool, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return True, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return False, error.read().decode()
        except OSError as error:
            return False, str(error)

    def metric(self, metric: str, /, **labels: str) -> float:
        """The sum of one metric's samples that have these labels, with all that happened before the call."""
        time.sleep(0.3)  # what /metrics gives may be a quarter of a second old
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == metric and all(sample.labels.get(key) == value for key, value in labels.items())
        )

    def audit(self) -> list[dict[str, Any]]:
        """The audit lines so far; a line that is half written is none yet."""
        if not self.audit_file.exists():
            return []
        whole = self.audit_file.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines() if line]

    def audited(self, least: int, /, timeout: float = 60, **fields: Any) -> list[dict[str, Any]]:
        """The audit lines with these fields, once there are so many: what became of an answer is written after the answer.

        LocalMeshError after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while len(lines := [line for line in self.audit() if fields.items() <= line.items()]) < least:
            self.check()
            if time.monotonic() > deadline:
                raise LocalMeshError(f"{self.name}: {lines} in the audit log after {timeout:.0f} s, not {least} lines")
            time.sleep(0.1)
        return lines

    def wait_for_metric(self, name: str, least: float, /, timeout: float = 60, **labels: str) -> float:
        """Wait until a metric has reached a value; LocalMeshError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while (value := self.metric(name, **labels)) < least:
            self.check()
            if time.monotonic() > deadline:
                raise LocalMeshError(f"{self.name}: {name} is {value:g} after {timeout:.0f} s, not {least:g}")
            time.sleep(0.1)
        return value
