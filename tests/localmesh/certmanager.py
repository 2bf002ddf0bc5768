"""cert-manager itself: its chart by Helm, and its own controllers as a process under the account and the rights that the chart gives.

Built on demand, since only the tests of moving need it. Left out: ACME, and the webhook, whose configurations are
deleted after each install, as nobody would answer them. Synchronous.
"""

import json
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.localmesh.build import GOTOOLS, Program, build
from tests.localmesh.cluster import Cluster
from tests.localmesh.errors import LocalMeshError
from tests.localmesh.processes import Process
from tests.localmesh.toolchain import find_go, go_directive, go_environment

MODULE = GOTOOLS / "certmanager"
PROGRAM = Program("certmanager", MODULE.resolve(), ".")
PATH = "github.com/cert-manager/cert-manager"
NAMESPACE = ACCOUNT = "cert-manager"


def chart(folder: Path) -> Path:
    """Its Helm chart, out of its Go module, as its release makes it: with a version."""
    go = find_go(go_directive(MODULE / "go.mod"))
    done = subprocess.run(
        [go, "mod", "download", "-json", PATH], cwd=MODULE, env=go_environment(), capture_output=True, check=False
    )
    if done.returncode != 0:
        raise LocalMeshError(f"go mod download {PATH}: {(done.stdout + done.stderr).decode(errors='replace')}")
    module: dict[str, Any] = json.loads(done.stdout)
    source = Path(module["Dir"], "deploy", "charts", "cert-manager")
    target = folder / "cert-manager"
    for file in (one for one in source.rglob("*") if one.is_file()):
        copy = target / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())  # not its mode: the module cache is read-only
    meta = yaml.safe_load((target / "Chart.template.yaml").read_text())
    meta |= {"version": module["Version"], "appVersion": module["Version"]}
    (target / "Chart.yaml").write_text(yaml.safe_dump(meta))
    return target


def forget_webhook(cluster: Cluster) -> None:
    """Delete what would ask cert-manager's webhook, which does not run."""
    cluster.kubectl("delete", "validatingwebhookconfiguration,mutatingwebhookconfiguration", "cert-manager-webhook")


class CertManager:
    """Its controllers of issuers, Certificates and CertificateRequests; with `csr` those that answer CertificateSigningRequests."""

    def __init__(self, cluster: Cluster, *, csr: bool = False) -> None:
        self._cluster = cluster
        self._csr = csr
        self._process = Process("cert-manager", Path(tempfile.mkdtemp(dir=cluster.folder)))

    @property
    def log(self) -> str:
        """Everything that it logged so far."""
        return self._process.log.read_text(errors="replace") if self._process.log.exists() else ""

    def __enter__(self) -> Self:
        account = self._cluster.service_account_kubeconfig(NAMESPACE, ACCOUNT)
        flags = ["--csr"] if self._csr else []
        self._process.start([build(PROGRAM), f"--kubeconfig={account}", *flags])
        self._process.wait_until(lambda: "certmanager: leading" in self.log, "lead")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stop()
