"""Istio on the node, as its task installs it, and what people do with its workloads. Synchronous.

What differs from the task is what the node lacks: images from registries (the hub is a name that no registry has, and every
image is there already), Istio's own build of Envoy, a load balancer, and cores to spare. Injection, interception and all objects
are Istio's.
"""

import base64
import json
import subprocess
from typing import Any

import yaml
from cryptography import x509

from tests.localmesh import istio_install
from tests.localmesh.asking import Answer
from tests.localmesh.build import find_program
from tests.localmesh.errors import LocalMeshError
from tests.realnode.configuration import PUBLIC, SHOP_HOST
from tests.realnode.images import ROOT
from tests.realnode.installation import name
from tests.realnode.istio_images import HUB, TAG, sample
from tests.realnode.node import Node

SYSTEM = istio_install.NAMESPACE
FILES = "pod-certificates"
"""The injection template of docs/pod-certificates.md, beside Istio's own `sidecar`."""
_TEMPLATE = (ROOT / "docs" / "pod-certificates.md").read_text().split("```yaml\n# template\n")[1].split("```")[0]
GATEWAY = "istio-ingressgateway"
_SMALL = {"resources": {"requests": {"cpu": "10m", "memory": "100Mi"}}}
"""As in Istio's profile `demo`: the default asks for more than a small machine has."""
_HERE = {"imagePullPolicy": "IfNotPresent"}
"""The image `auto` of an injected gateway has no tag, and would be pulled each time."""


class Istio:
    """Istio's part of one node; mesh-signer must be there before it."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.cluster = node.cluster
        self.kubectl = node.cluster.kubectl

    def install(self) -> None:
        """`istioctl install` of the task's own file, with the roots filled in. Ready when it returns."""
        istio_install.install_issuers(self.cluster)
        document = istio_install.task(self.cluster)
        self.apply(fitted(document))
        self.balance(GATEWAY, SYSTEM, PUBLIC[SHOP_HOST])

    def apply(self, document: Any) -> None:
        """`istioctl install -f` of an IstioOperator. All that it brought is ready when it returns."""
        self.istioctl("install", "--skip-confirmation", "--readiness-timeout=240s", "-f", "-", given=document)

    def balance(self, service: str, namespace: str, address: str) -> None:
        """Give a Service of type LoadBalancer its address, as a cloud's controller does."""
        status = json.dumps({"status": {"loadBalancer": {"ingress": [{"ip": address}]}}})
        self.kubectl("patch", "service", service, "-n", namespace, "--subresource=status", "--type=merge", "-p", status)

    def istioctl(self, *arguments: str, given: Any = None) -> str:
        """Run istioctl as the cluster's administrator, with `given` as YAML on its standard input; its output."""
        command = [str(find_program("istioctl")), *arguments, f"--kubeconfig={self.cluster.kubeconfig()}"]
        text = None if given is None else yaml.safe_dump(given)
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=400)
        if done.returncode != 0:
            pods = self.kubectl("get", "pods", "-n", SYSTEM, "--output=wide")
            raise LocalMeshError(f"istioctl {arguments[0]}: {(done.stdout + done.stderr)[-3000:]}\n{pods}")
        return done.stdout

    def deploy(self, which: str, namespace: str) -> None:
        """`kubectl apply -f samples/WHICH/WHICH.yaml -n NAMESPACE`, of Istio's own file; does not wait."""
        self.kubectl("apply", "-n", namespace, "-f", "-", input=sample(which))

    def wait(self, deployment: str, namespace: str) -> None:
        """Wait until a Deployment's Pods are ready, with their sidecars."""
        self.kubectl("rollout", "status", "-n", namespace, f"deployment/{deployment}", "--timeout=400s")

    def pod(self, app: str, namespace: str) -> Any:
        """The one Pod with this label."""
        (found,) = self.cluster.get("pods", "-n", namespace, "-l", f"app={app}")["items"]
        return found

    def curl(self, namespace: str, url: str) -> Answer:
        """What the task's curl in its Pod of a namespace gets from an address."""
        where = ("exec", name(self.pod("curl", namespace)), "-n", namespace, "-c", "curl", "--")
        try:
            said = self.kubectl(
                *where, "curl", "--silent", "--show-error", "--max-time", "15", "-w", "\n%{http_code}", url
            )
        except LocalMeshError as error:
            return Answer(0, str(error))
        text, _, status = said.rpartition("\n")
        return Answer(int(status), text)

    def page(self, url: str) -> str:
        """What foo's curl gets from an address; "" where the answer is another one than 200."""
        answer = self.curl("foo", url)
        return answer.text if answer.status == 200 else ""

    def secrets(self, app: str, namespace: str) -> tuple[list[x509.Certificate], list[x509.Certificate]]:
        """What the Envoy of a Pod holds, by `istioctl proxy-config secret`: its own chain, and the roots that it trusts."""
        pod = name(self.pod(app, namespace))
        told = json.loads(self.istioctl("proxy-config", "secret", f"{pod}.{namespace}", "--output=json"))
        found = {one["name"]: one["secret"] for one in told["dynamicActiveSecrets"]}
        chain = found["default"]["tlsCertificate"]["certificateChain"]["inlineBytes"]
        roots = found["ROOTCA"]["validationContext"]["trustedCa"]["inlineBytes"]
        return (
            x509.load_pem_x509_certificates(base64.b64decode(chain)),
            x509.load_pem_x509_certificates(base64.b64decode(roots)),
        )


def gateway(name: str, namespace: str) -> Any:
    """An IstioOperator of one gateway more, beside what is installed; Gateways select it by `istio: NAME`."""
    one = {"name": name, "namespace": namespace, "enabled": True, "label": {"istio": name}, "k8s": _SMALL}
    return {
        "apiVersion": "install.istio.io/v1alpha1",
        "kind": "IstioOperator",
        "metadata": {"name": name},
        "spec": {
            "profile": "empty",
            "hub": HUB,
            "tag": TAG,
            "components": {"ingressGateways": [one]},
            # Its Pods are injected, so the namespace's ProxyConfig is theirs too.
            "values": {"gateways": {GATEWAY: {"injectionTemplate": "gateway"}}, "global": _HERE},
        },
    }


def fitted(document: Any) -> Any:
    """The task's IstioOperator for this node."""
    spec = document["spec"]
    spec |= {"hub": HUB, "tag": TAG}
    config = spec["meshConfig"]["defaultConfig"]
    config["proxyMetadata"] |= istio_install.VANILLA_ENVOY_AGENT
    config["runtimeValues"] = istio_install.SHOW_TLS_ERRORS
    spec["values"]["pilot"]["env"] |= istio_install.VANILLA_ENVOY_ISTIOD
    spec["values"]["global"] = _HERE | {"proxy": _SMALL}
    spec["values"]["sidecarInjectorWebhook"] = {"templates": {FILES: _TEMPLATE}}
    spec["components"]["pilot"]["k8s"] |= _SMALL
    spec["components"]["ingressGateways"] = [{"name": GATEWAY, "enabled": True, "k8s": _SMALL}]
    return document
