"""What the node's programs are told fits together, and fits what we ship."""

import ipaddress
import json
import re
import tomllib
from pathlib import Path

import yaml

from tests.localmesh.build import KUBERNETES
from tests.realnode import configuration, programs
from tests.realnode.configuration import Machine
from tests.realnode.images import IMAGE
from tests.unit.manifests.kustomize import MANIFESTS

ROOT = Path(__file__).resolve().parents[3]


def test_addresses() -> None:
    """Pods, Services and the node have addresses that do not overlap, and DNS is a Service."""
    pods, services = ipaddress.ip_network(configuration.PODS), ipaddress.ip_network(configuration.SERVICES)
    node = ipaddress.ip_network(f"{configuration.ADDRESS}/24", strict=False)
    assert not any(one.overlaps(other) for one, other in ((pods, services), (pods, node), (services, node)))
    assert ipaddress.ip_address(configuration.DNS) in services
    public = {ipaddress.ip_address(one) for one in configuration.PUBLIC.values()}
    assert len(public) == len(configuration.PUBLIC)
    assert all(one in node and str(one) != configuration.ADDRESS for one in public)
    assert (
        f'"service-cluster-ip-range": "{configuration.SERVICES}"'
        in (ROOT / "tests" / "localmesh" / "servers.py").read_text()
    )


def test_versions() -> None:
    """The node's programs are of the version that the API server has."""
    text = (programs.GOTOOLS / "kube" / "go.mod").read_text()
    assert re.findall(r"k8s\.io/kubernetes (v\S+)", text) == [KUBERNETES]
    local = (ROOT / "tests" / "localmesh" / "gotools" / "kube" / "go.mod").read_text()
    assert re.findall(r"k8s\.io/kubernetes (v\S+)", local) == [KUBERNETES]


def test_each_program_is_a_tool_of_its_module() -> None:
    """What is built is what its go.mod asks for, so that `go mod tidy` keeps it; our own one is in its folder."""
    for program in programs.PROGRAMS.values():
        if program.package == ".":
            assert (program.module / "main.go").is_file()
        else:
            tools = re.findall(r"^(?:tool |\t)(\S+)$", (program.module / "go.mod").read_text(), re.MULTILINE)
            assert program.package in tools


def test_containerd() -> None:
    """The configuration of containerd is TOML, and its sandbox is the image that we build."""
    read = tomllib.loads(configuration.containerd())
    assert read["plugins"]["io.containerd.grpc.v1.cri"]["sandbox_image"] == configuration.PAUSE


def test_nothing_of_the_machine_is_set() -> None:
    """The kubelet finds all that it would set below /proc/sys, and kube-proxy leaves the table of connections as it is."""
    conntrack = configuration.proxy()["conntrack"]
    assert {conntrack["maxPerCore"], conntrack["min"]} == {0}
    assert {"vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops"} <= set(configuration.TUNABLES)


def test_kubelet() -> None:
    """The kubelet's Pods are in the group that is removed in the end, and it talks to containerd where that listens."""
    config = configuration.kubelet(Machine("/a-group", 20_000))
    assert (config["cgroupRoot"], config["maxOpenFiles"]) == ("/a-group", 20_000)
    socket = tomllib.loads(configuration.containerd())["grpc"]["address"]
    assert config["containerRuntimeEndpoint"] == f"unix://{socket}"
    assert json.loads(json.dumps(config)) == config


def test_resolver_has_its_plugins() -> None:
    """Each plugin that DNS is told to use is built in, in an order that CoreDNS knows."""
    main = (programs.GOTOOLS / "dns" / "main.go").read_text()
    (directives,) = re.findall(r"Directives = \[\]string\{(.+?)\}", main)
    built = set(re.findall(r"coredns/plugin/(\w+)", main))
    assert set(re.findall(r'"(\w+)"', directives)) == built
    (data,) = [one["data"] for one in configuration.resolver() if one["kind"] == "ConfigMap"]
    used = set(re.findall(r"^ (\w+)", data["Corefile"], re.MULTILINE))
    assert used == built - {"log"}


def test_api_server_is_where_the_policy_lets_through() -> None:
    """The component network-policy works on the node as it is shipped, with the port that it names."""
    policy = yaml.safe_load((MANIFESTS / "components" / "network-policy" / "networkpolicy.yaml").read_text())
    assert configuration.API_PORT in {one["port"] for one in policy["spec"]["egress"][0]["ports"]}


def test_image_is_what_the_manifests_name() -> None:
    """A kubelet takes the image that we build for the one of the manifests."""
    (image,) = yaml.safe_load((MANIFESTS / "base" / "kustomization.yaml").read_text())["images"]
    assert f"docker.io/library/{image['name']}:{image['newTag']}" == IMAGE
