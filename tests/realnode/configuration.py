"""What the node's programs are told: their configuration files and the cluster's own objects. Pure.

Everything is JSON, which is YAML too. Where a value differs from what a real node has, the reason stands beside it; most of them
have one reason: the node must run on a machine that gives it less than all, and must leave that machine as it was.
"""

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

NODE = "node"
ADDRESS = "10.77.0.1"
"""The node's, on a pair of interfaces that leads nowhere."""
ACME_HOST = "acme.example.net"
SHOP_HOST, TENANT_HOST = "shop.example.com", "httpbin.foo.example.com"
PUBLIC = {SHOP_HOST: "10.77.0.2", TENANT_HOST: "10.77.0.3"}
"""What the DNS of the internet would say: hosts, and the addresses of the load balancers that they lead to. The node has these
addresses, and its proxy takes each for the Service whose status has it."""
PODS = "10.88.0.0/16"
SERVICES = "10.0.0.0/24"
"""As tests/localmesh tells the API server."""
DNS = "10.0.0.10"
API_PORT = 6443
"""What the component network-policy lets through."""
PAUSE = "mesh-signer.test/pause:1"
COREDNS = "mesh-signer.test/coredns:1"
CLUSTER_DOMAIN = "cluster.local"
_CERTIFICATES = "certificates.k8s.io/v1beta1"
TUNABLES = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""What a kubelet sets below /proc/sys for the whole machine (k8s.io/component-helpers/node/util/sysctl). The node sees files with
these values in their place, so it finds nothing to set."""


@dataclass(frozen=True)
class Machine:
    """What of the machine the configuration depends on: the cgroup of the node's Pods, and how many files one may open."""

    cgroup: str
    open_files: int


def kubelet(machine: Machine) -> Json:
    """KubeletConfiguration, kubelet.config.k8s.io/v1beta1."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": ADDRESS,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": "/etc/kubernetes/ca.crt"},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "tlsCertFile": "/etc/kubernetes/kubelet.crt",
        "tlsPrivateKeyFile": "/etc/kubernetes/kubelet.key",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "clusterDNS": [DNS],
        "clusterDomain": CLUSTER_DOMAIN,
        "resolvConf": "/etc/resolv.conf",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": machine.cgroup,
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": ["pods"],
        # A lower score than the one that a process has needs CAP_SYS_RESOURCE.
        "oomScoreAdj": 0,
        "maxOpenFiles": machine.open_files,
        # What else fills this machine is not the node's business: no Pod is moved and no image removed for it.
        "evictionHard": dict.fromkeys(
            ("memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available", "imagefs.inodesFree"),
            "0%",
        ),
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "registerNode": True,
        "featureGates": {
            "PodCertificateRequest": True,
            "ClusterTrustBundle": True,
            "ClusterTrustBundleProjection": True,
        },
    }


def containerd() -> str:
    """The configuration of containerd, version 2 (containerd 1.6 and 1.7)."""
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""\
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = 0
[grpc]
  address = "/run/containerd/containerd.sock"
[{cri}]
  sandbox_image = "{PAUSE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
[{cri}.cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "/etc/cni/net.d"
[{cri}.containerd]
  snapshotter = "overlayfs"
  default_runtime_name = "runc"
[{cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[{cri}.containerd.runtimes.runc.options]
  SystemdCgroup = false
"""


def network() -> Json:
    """The list of CNI plugins: a bridge for the Pods. Nothing is masqueraded, as nothing leaves the node."""
    return {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": True,
                "hairpinMode": True,
                "ipMasq": False,
                "ipam": {"type": "host-local", "ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}]},
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def proxy() -> Json:
    """KubeProxyConfiguration, kubeproxy.config.k8s.io/v1alpha1."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "hostnameOverride": NODE,
        "clusterCIDR": PODS,
        "clientConnection": {"kubeconfig": "/etc/kubernetes/kube-proxy.kubeconfig"},
        "oomScoreAdj": 0,
        # The table of connections is the machine's: its size stays.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def api_flags(folder: str) -> list[str]:
    """What the API server of the local mesh needs besides, to be reached by Pods and to reach the kubelet.

    Args:
        folder: has kubelet-client.crt and kubelet-client.key.
    """
    return [
        "--bind-address=0.0.0.0",
        f"--advertise-address={ADDRESS}",
        "--endpoint-reconciler-type=lease",
        f"--kubelet-client-certificate={folder}/kubelet-client.crt",
        f"--kubelet-client-key={folder}/kubelet-client.key",
        "--kubelet-preferred-address-types=InternalIP",
        # Certificates and roots for Pods, which Kubernetes 1.37 serves by itself.
        "--feature-gates=PodCertificateRequest=true,ClusterTrustBundle=true,ClusterTrustBundleProjection=true",
        f"--runtime-config={_CERTIFICATES}/podcertificaterequests=true,{_CERTIFICATES}/clustertrustbundles=true",
        "--enable-admission-plugins=NodeRestriction",
    ]


def resolver() -> list[Json]:
    """CoreDNS in kube-system, where the component network-policy lets queries through to."""
    labels = {"k8s-app": "kube-dns"}
    name = {"name": "coredns", "namespace": "kube-system"}
    public = "".join(f"  {address} {host}\n" for host, address in PUBLIC.items())
    corefile = f"""\
.:53 {{
 errors
 health
 ready
 hosts {{
  {ADDRESS} {ACME_HOST}
{public}  fallthrough
 }}
 kubernetes {CLUSTER_DOMAIN} in-addr.arpa {{
  pods insecure
 }}
 cache 5
}}
"""
    reads = [
        {
            "apiGroups": [""],
            "resources": ["endpoints", "services", "pods", "namespaces"],
            "verbs": ["list", "watch"],
        },
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    rbac = "rbac.authorization.k8s.io"
    container = {
        "name": "coredns",
        "image": COREDNS,
        "imagePullPolicy": "Never",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
    }
    pod = {
        "serviceAccountName": "coredns",
        "dnsPolicy": "Default",
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
    }
    ports = [{"name": f"dns-{proto.lower()}", "port": 53, "protocol": proto} for proto in ("UDP", "TCP")]
    subject = {"kind": "ServiceAccount", **name}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": name},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "system:coredns"},
            "rules": reads,
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "system:coredns"},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "system:coredns"},
            "subjects": [subject],
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": name, "data": {"Corefile": corefile}},
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": name,
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": name | {"name": "kube-dns"},
            "spec": {"clusterIP": DNS, "selector": labels, "ports": ports},
        },
    ]
