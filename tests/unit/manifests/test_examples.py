"""The Istio task's objects, field for field, as Istio's documentation on custom CAs by Kubernetes CSR has them."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from msgspec.structs import replace

from signer.api.signerpolicy import SignerPolicy
from signer.tenancy.policies import read_policy
from signer.tenancy.world import Namespace
from tests.unit.manifests.kustomize import MANIFESTS

TASK = MANIFESTS / "examples" / "istio-task"
DOMAIN = "clusterissuers.cert-manager.io"
CERT_MANAGER = "cert-manager.io/v1"

# (kind, name, field, value) of every field
ISSUERS = [
    ("ClusterIssuer", "selfsigned-bar-issuer", "spec.selfSigned", {}),
    ("Certificate", "bar-ca", "metadata.namespace", "cert-manager"),
    ("Certificate", "bar-ca", "spec.isCA", True),
    ("Certificate", "bar-ca", "spec.commonName", "bar"),
    ("Certificate", "bar-ca", "spec.secretName", "bar-ca-selfsigned"),
    ("Certificate", "bar-ca", "spec.issuerRef.name", "selfsigned-bar-issuer"),
    ("Certificate", "bar-ca", "spec.issuerRef.kind", "ClusterIssuer"),
    ("Certificate", "bar-ca", "spec.issuerRef.group", "cert-manager.io"),
    ("ClusterIssuer", "bar", "spec.ca.secretName", "bar-ca-selfsigned"),
    ("ClusterIssuer", "selfsigned-foo-issuer", "spec.selfSigned", {}),
    ("Certificate", "foo-ca", "metadata.namespace", "cert-manager"),
    ("Certificate", "foo-ca", "spec.isCA", True),
    ("Certificate", "foo-ca", "spec.commonName", "foo"),
    ("Certificate", "foo-ca", "spec.secretName", "foo-ca-selfsigned"),
    ("Certificate", "foo-ca", "spec.issuerRef.name", "selfsigned-foo-issuer"),
    ("Certificate", "foo-ca", "spec.issuerRef.kind", "ClusterIssuer"),
    ("Certificate", "foo-ca", "spec.issuerRef.group", "cert-manager.io"),
    ("ClusterIssuer", "foo", "spec.ca.secretName", "foo-ca-selfsigned"),
    ("ClusterIssuer", "selfsigned-istio-issuer", "spec.selfSigned", {}),
    ("Certificate", "istio-ca", "metadata.namespace", "cert-manager"),
    ("Certificate", "istio-ca", "spec.isCA", True),
    ("Certificate", "istio-ca", "spec.commonName", "istio-system"),
    ("Certificate", "istio-ca", "spec.secretName", "istio-ca-selfsigned"),
    ("Certificate", "istio-ca", "spec.issuerRef.name", "selfsigned-istio-issuer"),
    ("Certificate", "istio-ca", "spec.issuerRef.kind", "ClusterIssuer"),
    ("Certificate", "istio-ca", "spec.issuerRef.group", "cert-manager.io"),
    ("ClusterIssuer", "istio-system", "spec.ca.secretName", "istio-ca-selfsigned"),
]
PROXY_CONFIGS = [
    ("ProxyConfig", "barpc", "metadata.namespace", "bar"),
    ("ProxyConfig", "barpc", "spec.environmentVariables.ISTIO_META_CERT_SIGNER", "bar"),
    ("ProxyConfig", "foopc", "metadata.namespace", "foo"),
    ("ProxyConfig", "foopc", "spec.environmentVariables.ISTIO_META_CERT_SIGNER", "foo"),
]
NAMESPACES = [
    ("Namespace", "bar", "metadata.labels.istio-injection", "enabled"),
    ("Namespace", "foo", "metadata.labels.istio-injection", "enabled"),
]
APPROVE = {
    "apiGroups": ["certificates.k8s.io"],
    "resourceNames": [f"{DOMAIN}/foo", f"{DOMAIN}/bar", f"{DOMAIN}/istio-system"],
    "resources": ["signers"],
    "verbs": ["approve"],
}


def read(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text("utf-8")))


def read_all(folder: Path) -> list[dict[str, Any]]:
    return [one for path in sorted(folder.glob("*.yaml")) for one in read(path) if "metadata" in one]


def fields(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, child in value.items():
            yield from fields(child, f"{path}.{key}" if path else key)
    else:
        yield path, value


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [
        ("issuers.yaml", CERT_MANAGER, ISSUERS),
        ("proxyconfigs.yaml", "networking.istio.io/v1beta1", PROXY_CONFIGS),
        ("namespaces.yaml", "v1", NAMESPACES),
    ],
)
def test_field_for_field(name: str, version: str, expected: list[tuple[str, str, str, Any]]) -> None:
    """Every field of the task is there with its value, in its order, and no other field is."""
    found = [
        (one["kind"], one["metadata"]["name"], path, value)
        for one in read(TASK / name)
        for path, value in fields(one, "")
        if path not in {"apiVersion", "kind", "metadata.name"}
    ]
    assert found == expected
    assert {one["apiVersion"] for one in read(TASK / name)} == {version}


def test_istiod_may_approve_the_three_signers() -> None:
    """The rule to approve is the task's, and it is istiod who gets it."""
    role, binding = read(TASK / "istiod-approve.yaml")
    assert role["rules"][0] == APPROVE
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "istiod", "namespace": "istio-system"}]


def test_istio_operator() -> None:
    """The installation of Istio has the task's settings, with a place for each CA's root."""
    (operator,) = read(TASK / "istio.yaml")
    spec = operator["spec"]
    assert spec["values"] == {"pilot": {"env": {"EXTERNAL_CA": "ISTIOD_RA_KUBERNETES_API"}}}
    mesh = spec["meshConfig"]
    assert mesh["defaultConfig"] == {"proxyMetadata": {"ISTIO_META_CERT_SIGNER": "istio-system"}}
    signers = [entry["certSigners"] for entry in mesh["caCertificates"]]
    assert signers == [[f"{DOMAIN}/istio-system"], [f"{DOMAIN}/foo"], [f"{DOMAIN}/bar"]]
    secrets = [entry["pem"].split()[-1] for entry in mesh["caCertificates"]]
    assert secrets == ["istio-ca-selfsigned", "foo-ca-selfsigned", "bar-ca-selfsigned"]
    pilot = spec["components"]["pilot"]["k8s"]
    assert pilot["env"] == [
        {"name": "CERT_SIGNER_DOMAIN", "value": DOMAIN},
        {"name": "PILOT_CERT_PROVIDER", "value": f"k8s.io/{DOMAIN}/istio-system"},
    ]
    (overlay,) = pilot["overlays"]
    assert (overlay["kind"], overlay["name"]) == ("ClusterRole", "istiod-clusterrole-istio-system")
    (patch,) = overlay["patches"]
    assert patch["path"] == "rules[-1]"
    assert yaml.safe_load(patch["value"]) == APPROVE


def test_namespaced_issuers_fit_together() -> None:
    """The example's roles name the Issuer that it makes, and the role that the component brings."""
    folder = MANIFESTS / "examples" / "namespaced-issuers"
    issuer = next(one for one in read(folder / "issuer.yaml") if "ca" in one.get("spec", {}))
    certificate = next(one for one in read(folder / "issuer.yaml") if one["kind"] == "Certificate")
    assert issuer["spec"]["ca"]["secretName"] == certificate["spec"]["secretName"]
    place, name = issuer["metadata"]["namespace"], issuer["metadata"]["name"]
    access = {(one["kind"], one["metadata"]["name"]): one for one in read(folder / "roles.yaml")}
    (component,) = read(MANIFESTS / "components" / "namespaced-issuers" / "rbac.yaml")
    assert access["RoleBinding", "mesh-signer-secrets"]["roleRef"]["name"] == component["metadata"]["name"]
    assert access["RoleBinding", "mesh-signer-secrets"]["metadata"]["namespace"] == place
    (reference,) = access["Role", f"reference-{name}"]["rules"]
    assert (reference["verbs"], reference["resourceNames"]) == (["reference"], [name])
    (approve,) = access["ClusterRole", "istiod-approve-team-a"]["rules"]
    assert approve["resourceNames"] == [f"issuers.cert-manager.io/{place}.{name}"]


def test_the_task_with_issuers_fits_together() -> None:
    """Each tenant has its CA, the rights for it, and a ProxyConfig or the default that asks for it by its full name."""
    folder = MANIFESTS / "examples" / "istio-task-issuers"
    made = {(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]): one for one in read_all(folder)}
    tenants = ("istio-system", "foo", "bar")
    (operator,) = read(folder / "istio.yaml")
    mesh = operator["spec"]["meshConfig"]
    names = {f"issuers.cert-manager.io/{tenant}.ca" for tenant in tenants}
    assert {name for entry in mesh["caCertificates"] for name in entry["certSigners"]} == names
    pilot = operator["spec"]["components"]["pilot"]["k8s"]
    environment = {one["name"]: one["value"] for one in pilot["env"]}
    assert environment == {
        "CERT_SIGNER_DOMAIN": "issuers.cert-manager.io",
        "PILOT_CERT_PROVIDER": "k8s.io/issuers.cert-manager.io/istio-system.ca",
    }
    approve = yaml.safe_load(pilot["overlays"][0]["patches"][0]["value"])
    assert set(approve["resourceNames"]) == names
    claims = {"istio-system": mesh["defaultConfig"]["proxyMetadata"]["ISTIO_META_CERT_SIGNER"]}
    for tenant in tenants:
        issuer, certificate = made["Issuer", tenant, "ca"], made["Certificate", tenant, f"{tenant}-ca"]
        assert issuer["spec"]["ca"]["secretName"] == certificate["spec"]["secretName"]
        assert ("Issuer", tenant, certificate["spec"]["issuerRef"]["name"]) in made
        assert made["RoleBinding", tenant, "mesh-signer-secrets"]["subjects"][0]["name"] == "mesh-signer"
        assert made["RoleBinding", tenant, "reference-ca"]["subjects"][0]["name"] == "istiod"
        (rule,) = made["Role", tenant, "reference-ca"]["rules"]
        assert (rule["resourceNames"], rule["verbs"]) == (["ca"], ["reference"])
        if tenant != "istio-system":
            config = made["ProxyConfig", tenant, f"{tenant}pc"]
            claims[tenant] = config["spec"]["environmentVariables"]["ISTIO_META_CERT_SIGNER"]
    assert claims == {tenant: f"{tenant}.ca" for tenant in tenants}


def test_signer_policies_are_read() -> None:
    """Each example of a SignerPolicy is one that the signer can use, and does what its first line says."""
    folder = MANIFESTS / "examples" / "signerpolicies"
    found = [
        read_policy(msgspec.convert(one, SignerPolicy)) for one in read_all(folder) if one["kind"] == "SignerPolicy"
    ]
    policies = {policy.name: policy for policy in found}
    assert [policy.problem for policy in found] == [""] * 3
    everyone = Namespace("uid")
    policies["shop"] = replace(policies["shop"], namespace_uids=dict.fromkeys(policies["shop"].namespaces, "uid"))
    assert policies["shop"].covers("shop-payments", everyone)
    assert not policies["shop"].covers("bank", everyone)
    assert policies["bank"].covers("any", Namespace("uid", {"mesh-signer.dev/tenant": "bank"}))
    assert not policies["bank"].covers("bank", everyone)
    assert policies["vault"].max_lifetime == timedelta(minutes=10)
    role, binding = read(folder / "claim-roles.yaml")
    assert (role["rules"][0]["resources"], role["rules"][0]["verbs"]) == (["signers"], ["claim"])
    assert binding["kind"] == "ClusterRoleBinding"
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
