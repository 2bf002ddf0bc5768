"""The node: the local mesh's API server, and containerd, kubelet, scheduler, proxy, router and DNS around it, in this namespace.

Run by pytest within the namespaces that `namespaces.command` makes, and only there: it sets addresses and mounts. Programs that
look for their parts in fixed places run in the node's system; the others on loopback, as on the local mesh. Synchronous.
"""

import json
import os
import shlex
import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from tests.localmesh import LocalCluster, kubeconfig
from tests.localmesh.errors import LocalMeshError
from tests.localmesh.processes import Process
from tests.realnode import configuration
from tests.realnode.configuration import ADDRESS, API_PORT, NODE, PUBLIC, SERVICES, TUNABLES, Machine
from tests.realnode.machine import open_files
from tests.realnode.namespaces import mounts, work_folders
from tests.realnode.programs import find_program
from tests.realnode.systems import NODE as SYSTEM

_NETWORK = f"""
set -e
ip link set lo up
ip link add node0 type veth peer name node1
ip link set node0 up
ip link set node1 up
ip address add {ADDRESS}/24 dev node0
for public in {" ".join(PUBLIC.values())}; do ip address add $public/24 dev node0; done
ip route add {SERVICES} dev node0
echo 1 > /proc/sys/net/ipv4/ip_forward
[ ! -e /proc/sys/net/bridge/bridge-nf-call-iptables ] || echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables
"""
# Not by chroot: whoever enters a container that was made below a chroot, as `kubectl exec` does, comes out at the root of the
# machine. So the system is the root of a mount namespace, which this process keeps and the programs enter.
_PIVOT = """
set -e
cd "$1"
pivot_root . mnt
umount -l /mnt
touch /run/pivoted
exec sleep infinity
"""
_PROBE = """
set -e
ip link add probe type bridge
ip link delete probe
iptables -w -A OUTPUT -m comment --comment probe -m conntrack --ctstate NEW -m mark --mark 1/1 -j ACCEPT
iptables -w -D OUTPUT -m comment --comment probe -m conntrack --ctstate NEW -m mark --mark 1/1 -j ACCEPT
iptables -w -t nat -A POSTROUTING -m statistic --mode random --probability 0.5 -j MASQUERADE
iptables -w -t nat -F POSTROUTING
ipset create probe hash:ip
ipset destroy probe
[ -e /proc/sys/net/bridge/bridge-nf-call-iptables ]
"""


def prepare(work: Path, images: Iterable[Path], probe: str = "") -> str | None:
    """Mount the node's system and make its network; what this kernel lacks for it, None when nothing. Once in a namespace.

    Args:
        work: a folder on a disk that overlays may be made on.
        images: the archives of those that the node is to have.
        probe: a script for sh that fails where the kernel lacks what else is needed.
    """
    work_folders(work)
    for name in ("logs", "kubernetes", "state", "kubelet", "tunables"):
        (work / name).mkdir()
    binds = {
        work / "kubernetes": "etc/kubernetes",
        work / "state": "var/lib/containerd",
        work / "kubelet": "var/lib/kubelet",
        work / "logs": "var/log",
    }
    for name in ("kubelet", "kube-proxy", "kube-router"):
        binds[find_program(name)] = f"usr/local/bin/{name}"
    for archive in images:
        binds[archive] = f"images/{archive.name}"
    for name, value in TUNABLES.items():
        if Path("/proc/sys", name).exists():
            (file := work / "tunables" / name.replace("/", ".")).write_text(f"{value}\n")
            binds[file] = f"proc/sys/{name}"
    try:
        _run(["sh", "-c", mounts(SYSTEM.path(), work, binds, apart=True)])
        for script in (_PROBE, f"set -e\n{probe}", _NETWORK):
            _run(["chroot", str(work / "root"), "sh", "-c", script])
    except LocalMeshError as error:
        return str(error)
    return None


class Node:
    """One node with its cluster, where `prepare` has been; `work` is the same folder, and is removed by others."""

    def __init__(self, work: Path, cgroup: str) -> None:
        self.root = work / "root"
        self._work = work
        self._cgroup = cgroup
        self._logs = work / "logs"
        self._servers: dict[str, Process] = {}
        self.cluster = LocalCluster(api_flags=configuration.api_flags(str(work)), api_port=API_PORT, controllers=["*"])

    def inside(self, *command: str) -> str:
        """Run a program in the node's system; its output."""
        return _run([*self._enter(), *command])

    def start(self) -> Self:
        """Start everything; returns when the node is ready and DNS answers."""
        folder = self._work / "kubernetes"
        api = self.cluster.api
        client = api.authority.client("kube-apiserver-kubelet-client", "system:masters")
        (self._work / "kubelet-client.crt").write_bytes(client.certificate)
        (self._work / "kubelet-client.key").write_bytes(client.key)
        serving = api.authority.server(NODE, ADDRESS)
        (folder / "ca.crt").write_bytes(api.authority.certificate)
        (folder / "kubelet.crt").write_bytes(serving.certificate)
        (folder / "kubelet.key").write_bytes(serving.key)
        accounts = {
            "kubelet": (f"system:node:{NODE}", "system:nodes"),
            "kube-proxy": ("system:kube-proxy",),
            "kube-scheduler": ("system:kube-scheduler",),
            "kube-router": ("kube-router", "system:masters"),
        }
        for name, who in accounts.items():
            kubeconfig.write(folder / f"{name}.kubeconfig", api.access(*who))
        self._write(
            "etc/kubernetes/kubelet.json", configuration.kubelet(Machine(self._cgroup, min(open_files(), 1_000_000)))
        )
        self._write("etc/kubernetes/proxy.json", configuration.proxy())
        self._write("etc/cni/net.d/10-pods.conflist", configuration.network())
        (self.root / "etc/containerd").mkdir(parents=True, exist_ok=True)
        (self.root / "etc/containerd/config.toml").write_text(configuration.containerd())
        (self.root / "etc/resolv.conf").unlink(missing_ok=True)
        (self.root / "etc/resolv.conf").write_text("")

        system = self._servers["system"] = Process("system", self._logs)
        system.start([_which("unshare"), "--mount", "--propagation", "private", "sh", "-c", _PIVOT, "sh", self.root])
        system.wait_until((self.root / "run" / "pivoted").exists, "root of its own")
        self._serve("containerd", "containerd")
        self.cluster.start()
        self._servers["containerd"].wait_until((self.root / "run/containerd/containerd.sock").exists, "socket")
        for archive in sorted((self.root / "images").iterdir()):
            self.inside("ctr", "--namespace=k8s.io", "images", "import", f"/images/{archive.name}")
        self._serve(
            "kubelet",
            "kubelet",
            "--config=/etc/kubernetes/kubelet.json",
            "--kubeconfig=/etc/kubernetes/kubelet.kubeconfig",
            f"--hostname-override={NODE}",
            f"--node-ip={ADDRESS}",
        )
        self._serve("kube-proxy", "kube-proxy", "--config=/etc/kubernetes/proxy.json")
        scheduler = self._servers["kube-scheduler"] = Process("kube-scheduler", self._logs)
        config = folder / "kube-scheduler.kubeconfig"
        quiet = ["--leader-elect=false", "--bind-address=127.0.0.1"]
        scheduler.start([find_program("kube-scheduler"), f"--kubeconfig={config}", *quiet])
        self.wait_for(self._ready, "the node to be ready", 180)
        self.cluster.kubectl("apply", "-f", "-", input=_listed(configuration.resolver()))
        self._serve(
            "kube-router",
            "kube-router",
            "--kubeconfig=/etc/kubernetes/kube-router.kubeconfig",
            f"--hostname-override={NODE}",
            f"--service-cluster-ip-range={SERVICES}",
            "--run-firewall=true",
            "--run-router=false",
            "--run-service-proxy=false",
            "--health-port=0",
        )
        self.cluster.kubectl("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=180s")
        return self

    def kill(self, pod: Any) -> None:
        """Kill the process of a Pod's one container, as the kernel does when memory runs out."""
        (container,) = pod["status"]["containerStatuses"]
        identity = str(container["containerID"]).partition("://")[2]
        self.inside("ctr", "--namespace=k8s.io", "tasks", "kill", "--signal=SIGKILL", identity)

    def close(self) -> None:
        """End the servers. Pods, mounts and interfaces end with the namespaces."""
        for server in reversed(self._servers.values()):
            server.kill()
        self.cluster.close()

    def told(self) -> str:
        """Pods, the last Events, and the kubelet's last words, for a person who looks at a failed test."""
        said = []
        for asked in (("pods", "--output=wide"), ("events", "--sort-by=.metadata.creationTimestamp")):
            try:
                said.append(self.cluster.kubectl("get", *asked, "--all-namespaces", "--request-timeout=10s")[-4000:])
            except LocalMeshError as error:
                said.append(str(error))
        return "\n".join([*said, *(self._servers[one].tail() for one in ("kubelet",) if one in self._servers)])

    def check(self) -> None:
        """Raise LocalMeshError when a server has died by itself."""
        self.cluster.check()
        for server in self._servers.values():
            server.check()

    def wait_for(self, ready: Any, what: str, timeout: float = 120) -> Any:
        """Poll until `ready()` is true, and return it; a server that died meanwhile is told instead."""
        deadline = time.monotonic() + timeout
        while not (result := ready()):
            self.check()
            if time.monotonic() > deadline:
                raise LocalMeshError(f"{what}: not within {timeout:.0f} s\n{self._servers['kubelet'].tail()}")
            time.sleep(0.1)
        return result

    def _ready(self) -> bool:
        for one in self.cluster.get("nodes")["items"]:
            conditions = {condition["type"]: condition["status"] for condition in one["status"].get("conditions", [])}
            if conditions.get("Ready") == "True":
                return True
        return False

    def _serve(self, name: str, *command: str) -> None:
        server = self._servers[name] = Process(name, self._logs)
        path = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
        server.start([*self._enter(), *command], env=path)

    def _enter(self) -> list[str]:
        return [str(_which("nsenter")), f"--mount=/proc/{self._servers['system'].pid}/ns/mnt", "--"]

    def _write(self, name: str, content: Any) -> None:
        (file := self.root / name).parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content, indent=1))


def _listed(objects: Sequence[Any]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})


def _which(program: str) -> Path:
    for folder in ("/usr/sbin", "/usr/bin", "/sbin", "/bin"):
        if os.access(found := Path(folder, program), os.X_OK):
            return found
    raise LocalMeshError(f"there is no {program}")


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(list(command), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LocalMeshError(
            f"{shlex.join(command)[:100].splitlines()[0]}: {(done.stderr or done.stdout).strip()[-2000:]}"
        )
    return done.stdout
