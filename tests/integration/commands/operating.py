"""An operator's rights, what he runs, and a mesh of a test's own, for the tests of the commands."""

import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests import pki
from tests.integration.hot_path import Place, signer_name

OPERATORS = "mesh-operators"
SIGNER = "ISTIO_META_CERT_SIGNER"
PAPER = Path(__file__).parents[3] / "docs" / "commands.md"
GROUP = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": OPERATORS}


def operators_roles(istio: str) -> list[dict[str, Any]]:
    """The roles that the paper gives operators, and their bindings; Istio's namespace is the test's own."""
    (text,) = re.findall(r"^```yaml\n(.*?)^```", PAPER.read_text(), re.MULTILINE | re.DOTALL)
    found = list(yaml.safe_load_all(text))
    assert [one["kind"] for one in found] == ["ClusterRole", "Role", "Role"]
    found[2]["metadata"]["namespace"] = istio
    bindings = [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": f"{one['kind']}Binding",
            "metadata": one["metadata"],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": one["kind"], "name": one["metadata"]["name"]},
            "subjects": [GROUP],
        }
        for one in found
    ]
    return [*found, *bindings]


@dataclass
class Result:
    """What a command printed and how it ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Result]


class World:
    """A mesh of the test's own: tenants with names that nobody else has."""

    def __init__(self, place: Place, istio: str) -> None:
        self.place = place
        self.istio = istio
        self._mark = secrets.token_hex(3)
        self._namespaces: list[str] = []

    def name(self, word: str) -> str:
        return f"{word}-{self._mark}"

    def namespace(self, word: str) -> str:
        name = self.name(word)
        self.place.cluster.kubectl("create", "namespace", name)
        self._namespaces.append(name)
        return name

    def tenant(self, word: str, signer: str = "") -> str:
        """A namespace whose ProxyConfig claims a signer, that of its own name by default."""
        name = self.namespace(word)
        self.claim(name, signer or name)
        return name

    def claim(self, namespace: str, signer: str) -> None:
        self.place._apply(
            f"/apis/networking.istio.io/v1beta1/namespaces/{namespace}/proxyconfigs/pc",
            {
                "apiVersion": "networking.istio.io/v1beta1",
                "kind": "ProxyConfig",
                "metadata": {"name": "pc", "namespace": namespace},
                "spec": {"environmentVariables": {SIGNER: signer}},
            },
        )

    def signer(self, word: str, ca: pki.CA | None = None) -> str:
        name = self.name(word)
        self.place.ca_issuer(name, ca or pki.CA(name))
        return name

    def mesh_config(self, text: str, name: str = "istio") -> None:
        self.place._apply(
            f"/api/v1/namespaces/{self.istio}/configmaps/{name}",
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": name, "namespace": self.istio},
                "data": {"mesh": text, "meshNetworks": "networks: {}"},
            },
        )

    def read_mesh_config(self, name: str = "istio") -> Any:
        found = self.place.api.get(f"/api/v1/namespaces/{self.istio}/configmaps/{name}")["data"]
        assert found["meshNetworks"] == "networks: {}"
        return found["mesh"]

    def bind(self, signer: str, namespace: str) -> None:
        uid = self.place.api.get(f"/api/v1/namespaces/{namespace}")["metadata"]["uid"]
        self.place._apply(
            f"/apis/mesh-signer.dev/v1alpha1/signerbindings/{signer}",
            {
                "apiVersion": "mesh-signer.dev/v1alpha1",
                "kind": "SignerBinding",
                "metadata": {"name": signer},
                "spec": {"signerName": signer_name(signer), "namespace": namespace, "namespaceUID": uid},
            },
        )

    def policy(self, name: str, spec: dict[str, Any]) -> None:
        self.place._apply(
            f"/apis/mesh-signer.dev/v1alpha1/signerpolicies/{name}",
            {
                "apiVersion": "mesh-signer.dev/v1alpha1",
                "kind": "SignerPolicy",
                "metadata": {"name": name},
                "spec": spec,
            },
        )

    def record(self, policy: str, *namespaces: str) -> None:
        """Write down which namespaces a policy means, as mesh-signer does."""
        api = self.place.api
        uids = {name: api.get(f"/api/v1/namespaces/{name}")["metadata"]["uid"] for name in namespaces}
        path = f"/apis/mesh-signer.dev/v1alpha1/signerpolicies/{policy}/status"
        api.patch(path, {"status": {"namespaceUIDs": uids}})

    def deployment(self, name: str, namespace: str, **container: Any) -> None:
        labels = {"app": name}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "x"} | container]}}
        self.place._apply(
            f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}",
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
            },
        )

    def pod(self, name: str, namespace: str, environment: dict[str, str]) -> None:
        env = [{"name": key, "value": value} for key, value in environment.items()]
        spec = {"containers": [{"name": "c", "image": "x", "env": env}]}
        self.place._apply(
            f"/api/v1/namespaces/{namespace}/pods/{name}",
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": spec},
        )

    def close(self) -> None:
        for name in self._namespaces:
            self.place.cluster.kubectl("delete", "namespace", name, "--wait=false")


def istiods_rights(istio: str) -> str:
    """The right of Istio's chart to approve, for the istiod of this namespace."""
    meta, api = {"name": f"istiod-{istio}"}, "rbac.authorization.k8s.io/v1"
    rule = {"apiGroups": ["certificates.k8s.io"], "resources": ["signers"], "verbs": ["approve"]}
    role = {"apiVersion": api, "kind": "ClusterRole", "metadata": meta, "rules": [rule]}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": meta["name"]}
    subject = {"kind": "ServiceAccount", "name": "istiod", "namespace": istio}
    binding = {
        "apiVersion": api,
        "kind": "ClusterRoleBinding",
        "metadata": meta,
        "roleRef": reference,
        "subjects": [subject],
    }
    return yaml.safe_dump_all([role, binding])


def authorities(*signers: str, default: str = "", roots: dict[str, str] | None = None) -> str:
    """A mesh config in which these are signers, with the roots (PEM) that are given."""
    lines = ["# ours", "defaultConfig:", f"  proxyMetadata: {{{SIGNER}: {default}}}" if default else "  {}"]
    pems = roots or {}
    entries = [f"- pem: {json.dumps(pems.get(name, ''))}\n  certSigners: [{signer_name(name)}]" for name in signers]
    return "\n".join([*lines, "caCertificates:", *entries]) + "\n" if signers else "\n".join(lines) + "\n"
