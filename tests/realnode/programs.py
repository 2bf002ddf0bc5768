"""The programs of a node that the local mesh does not have, built as its programs are: from Go modules, once per machine."""

from pathlib import Path

from tests.localmesh.build import KUBE_LDFLAGS, Program, build

GOTOOLS = Path(__file__).parent / "gotools"

# A module of its own for the node's part of Kubernetes, at the version that the local mesh has: with these three in the
# local mesh's module, whoever only wants an API server would fetch what they need.
PROGRAMS = {
    program.name: program
    for program in (
        Program("kubelet", GOTOOLS / "kube", "k8s.io/kubernetes/cmd/kubelet", ldflags=KUBE_LDFLAGS),
        Program("kube-scheduler", GOTOOLS / "kube", "k8s.io/kubernetes/cmd/kube-scheduler", ldflags=KUBE_LDFLAGS),
        Program("kube-proxy", GOTOOLS / "kube", "k8s.io/kubernetes/cmd/kube-proxy", ldflags=KUBE_LDFLAGS),
        Program("kube-router", GOTOOLS / "router", "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router"),
        Program("coredns", GOTOOLS / "dns", "."),
        Program("go-httpbin", GOTOOLS / "httpbin", "github.com/mccutchen/go-httpbin/v2/cmd/go-httpbin"),
    )
}


def find_program(name: str) -> Path:
    """The program's binary; built first when it is not in the cache."""
    return build(PROGRAMS[name])
