"""A cluster for demo, tests and benchmarks: a local one that we start, or one that exists already.

    with LocalCluster() as cluster:
        cluster.kubectl("get", "namespaces")

Both kinds offer the same methods (`Cluster`). Synchronous; async code may call them directly, or through
asyncio.to_thread where a kubectl call of a tenth of a second matters.
"""

import atexit
import contextlib
import http.client
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.localmesh import kubeconfig, plain
from tests.localmesh.api import Api, Refused
from tests.localmesh.build import find_program
from tests.localmesh.clearing import end_namespace
from tests.localmesh.errors import LocalMeshError
from tests.localmesh.kubeconfig import Access
from tests.localmesh.servers import ApiServer, ControllerManager, EtcdServer
from tests.localmesh.toolchain import find_kubectl

_CONFLICT = 409
_NOT_FOUND = 404


def pause(begun: float) -> float:
    """Seconds until the next question about what is waited for since `begun`, by the monotonic clock: a tenth of the time.

    Each question takes ten milliseconds of CPU, here and in the API server, and waits are by the thousand.
    """
    return min(max((time.monotonic() - begun) / 10, 0.05), 0.25)


class Cluster:
    """What a test may ask of any cluster. `folder` is ours and temporary."""

    local = False  # whether its servers may be stopped

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="localmesh-"))
        self.installed: set[Path] = set()  # what install.py need not apply again
        self._kinds = plain.Kinds()
        self._admin = self.folder / "admin.kubeconfig"
        atexit.register(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End everything that this object started, and remove its folder. May be called twice."""
        atexit.unregister(self.close)
        shutil.rmtree(self.folder, ignore_errors=True)

    def check(self) -> None:
        """Raise LocalMeshError when a server has died by itself."""

    def kubeconfig(self, user: str = "admin", groups: Sequence[str] = ()) -> Path:
        """A kubeconfig for cluster-admin."""
        if user != "admin" or groups:
            raise LocalMeshError(
                "only a local cluster makes kubeconfigs for other users; use service_account_kubeconfig"
            )
        return self._admin

    def access(self) -> Access:
        """The admin's access, for small clients in tests."""
        return kubeconfig.read(self._admin)

    def kubectl(self, *args: str | Path, input: str | None = None, user: Path | None = None) -> str:  # noqa: A002 - subprocess's own name for it
        """Run kubectl as admin, or with the kubeconfig `user`; returns its output, raises with its stderr."""
        command = [str(find_kubectl()), f"--kubeconfig={user or self._admin}", *map(str, args)]
        done = subprocess.run(command, input=input, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            self.check()
            raise LocalMeshError(f"kubectl {' '.join(map(str, args))}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def get(self, *args: str) -> Any:
        """`kubectl get ARGS -o json`, parsed."""
        try:
            with Api(self.access()) as api:
                return plain.get(api, args, self._kinds)
        except plain.NotThere as error:
            raise LocalMeshError(f"kubectl get {' '.join(args)}: Error from server (NotFound): {error}") from error
        except (plain.NotPlain, OSError, http.client.HTTPException):
            pass  # as it is, or in kubectl's words
        return json.loads(self.kubectl("get", *args, "-o", "json"))

    def apply(self, what: str | Path) -> None:
        """`kubectl apply` of a YAML text, or of a file or folder when `what` is a Path. Server-side."""
        # What is not plain is done again, or put into words, by kubectl.
        with contextlib.suppress(plain.NotPlain, OSError, http.client.HTTPException), Api(self.access()) as api:
            plain.apply(api, what, self._kinds)
            return
        flags = ("apply", "--server-side", "--force-conflicts")
        if isinstance(what, Path):
            self.kubectl(*flags, "-f", what)
        else:
            self.kubectl(*flags, "-f", "-", input=what)

    def apply_kustomize(self, folder: Path) -> str:
        """`kubectl apply -k FOLDER`, exactly as a user would."""
        return self.kubectl("apply", "-k", folder)

    def call(self, method: str, path: str, body: Any = None, *, known: Collection[int] = ()) -> Any:
        """One request as admin, for what is done hundreds of times: a kubectl takes fifty times as long.

        Raises LocalMeshError; answers with the codes `known` count as done.
        """
        try:
            with Api(self.access()) as api:
                return api.call(method, path, body)
        except Refused as error:
            if error.code in known:
                return None
            raise LocalMeshError(f"{method} {path}: {error}") from error
        except (OSError, http.client.HTTPException) as error:
            self.check()
            raise LocalMeshError(f"{method} {path}: {error}") from error

    def create_namespace(self, name: str) -> None:
        """Make the namespace if it is not there yet."""
        self.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}}, known=[_CONFLICT])

    def delete_namespace(self, name: str) -> None:
        """Delete the namespace, without waiting for it."""
        self.call("DELETE", f"/api/v1/namespaces/{name}")

    def service_account_kubeconfig(self, namespace: str, name: str, *, hours: int = 24) -> Path:
        """A kubeconfig that acts as a ServiceAccount, with a token by TokenRequest (valid `hours`).

        Namespace and ServiceAccount are made when they are missing; existing ones are not touched.
        """
        self.create_namespace(namespace)
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        self.call("POST", accounts, {"metadata": {"name": name}}, known=[_CONFLICT])
        wanted = {"spec": {"expirationSeconds": hours * 3600}}
        token = self.call("POST", f"{accounts}/{name}/token", wanted)["status"]["token"]
        admin = self.access()
        path = self.folder / f"{namespace}.{name}.kubeconfig"
        return kubeconfig.write(path, Access(admin.server, admin.ca, token=token), namespace)

    def wait_for(self, ready: Callable[[], Any], what: str, timeout: float = 30) -> Any:
        """Poll `ready` until it returns something true, and return that; LocalMeshError names `what` after `timeout` s."""
        begun = time.monotonic()
        while not (result := ready()):
            self.check()
            if time.monotonic() > begun + timeout:
                raise LocalMeshError(f"{what}: not within {timeout:.0f} s")
            time.sleep(pause(begun))
        return result


class ExistingCluster(Cluster):
    """A cluster that somebody else runs, named by a kubeconfig with cluster-admin rights."""

    def __init__(self, kubeconfig_path: Path) -> None:
        if not kubeconfig_path.is_file():
            raise LocalMeshError(f"--kubeconfig: {kubeconfig_path} does not exist")
        super().__init__()
        command = [str(find_kubectl()), f"--kubeconfig={kubeconfig_path.resolve()}", "config", "view"]
        done = subprocess.run([*command, "--raw", "--minify", "--flatten"], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LocalMeshError(f"--kubeconfig: {kubeconfig_path}: {done.stderr.strip()}")
        self._admin.touch(mode=0o600)
        self._admin.write_text(done.stdout)


class LocalCluster(Cluster):
    """etcd, kube-apiserver and kube-controller-manager on loopback, in a temporary folder.

    Starts on `start()` or `with`. `api`, `etcd` and `controllers` can be stopped, killed and started one by one;
    `api_flags` are added to kube-apiserver's command line, `api_port` is its port where that is not to be any, and
    `controllers` names the controllers to run, "*" for all.
    """

    local = True

    def __init__(
        self,
        *,
        api_flags: Sequence[str] = (),
        api_port: int | None = None,
        controller_manager: bool = True,
        controllers: Sequence[str] = ControllerManager.CONTROLLERS,
    ) -> None:
        super().__init__()
        self.etcd = EtcdServer(self.folder)
        self.api = ApiServer(self.folder, self.etcd, api_flags, api_port)
        self.controllers = ControllerManager(self.folder, self.api, controllers) if controller_manager else None
        self._users: dict[tuple[str, ...], Path] = {}
        self._versions: dict[str, str] = {}
        kubeconfig.write(self._admin, self.api.admin)

    def __enter__(self) -> Self:
        return self.start()

    def start(self) -> Self:
        """Start all servers, building them first when needed; returns when the cluster is of use.

        That is: the API server is ready and, with a controller manager, ServiceAccounts are being made.
        """
        for program in ("etcd", "kube-apiserver", *(["kube-controller-manager"] if self.controllers else [])):
            find_program(program)  # builds come first: not while half of the servers run and log timeouts
        try:
            self.etcd.start()
            self.api.start()
            if self.controllers:
                self.controllers.start()
                self.wait_for(self._has_default_account, "the ServiceAccount default of namespace default")
        except BaseException:
            self.close()
            raise
        return self

    def _has_default_account(self) -> bool:
        path = "/api/v1/namespaces/default/serviceaccounts/default"
        try:
            return self.call("GET", path, known=[_NOT_FOUND]) is not None
        except LocalMeshError:
            return False

    def delete_namespace(self, name: str) -> None:
        """Delete the namespace and what is in it, without waiting for what has a finalizer."""
        try:
            with Api(self.access()) as api:
                end_namespace(api, self.etcd, name, self._versions)
        except (Refused, OSError, http.client.HTTPException) as error:
            self.check()
            raise LocalMeshError(f"deleting namespace {name}: {error}") from error

    def close(self) -> None:
        """Kill all servers, the API server first so that nobody logs about a lost etcd, and remove the folder."""
        for server in (self.controllers, self.api, self.etcd):
            if server is not None:
                server.kill()
        super().close()

    def check(self) -> None:
        """Raise LocalMeshError when a server has died by itself."""
        for server in (self.etcd, self.api, self.controllers):
            if server is not None:
                server.check()

    def kubeconfig(self, user: str = "admin", groups: Sequence[str] = ()) -> Path:
        """A kubeconfig for cluster-admin, or for any other user and groups, with a client certificate."""
        if user == "admin" and not groups:
            return self._admin
        if (who := (user, *groups)) not in self._users:
            name = f"user-{len(self._users)}.kubeconfig"
            self._users[who] = kubeconfig.write(self.folder / name, self.api.access(user, *groups))
        return self._users[who]
