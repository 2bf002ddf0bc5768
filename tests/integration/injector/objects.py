"""Objects that want a CA, of each kind, with every field that matters set; and where their bundles are."""

import base64
from typing import Any

from tests import pki
from tests.integration.plain_api import Api, Json, Refused

ACCOUNT = "mesh-signer-ca-injector"
USER = f"system:serviceaccount:cert-manager:{ACCOUNT}"
FROM_CERTIFICATE = "cert-manager.io/inject-ca-from"
FROM_SECRET = "cert-manager.io/inject-ca-from-secret"
FROM_API_SERVER = "cert-manager.io/inject-apiserver-ca"
ALLOW = "cert-manager.io/allow-direct-injection"
REGISTRATION = "/apis/admissionregistration.k8s.io/v1"
PATHS = {
    "ValidatingWebhookConfiguration": f"{REGISTRATION}/validatingwebhookconfigurations",
    "MutatingWebhookConfiguration": f"{REGISTRATION}/mutatingwebhookconfigurations",
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "APIService": "/apis/apiregistration.k8s.io/v1/apiservices",
}
KINDS = tuple(PATHS)
OLD_CA = base64.b64encode(pki.CA("old").pem).decode()


def path_of(obj: Json) -> str:
    """Where the API server has it."""
    return f"{PATHS[obj['kind']]}/{obj['metadata']['name']}"


def injectable(kind: str, name: str, annotations: dict[str, str], bundle: str = "") -> Json:
    """An object of this kind. `name` is one label; what it selects are objects that nobody makes."""
    group = f"{name}.example.com"
    ca = {"caBundle": bundle} if bundle else {}
    service = {"service": {"name": "webhook", "namespace": "default", "path": "/path", "port": 8443}, **ca}
    if kind == "APIService":
        # The API server itself makes one for the group of each CustomResourceDefinition.
        group = f"aggregated.{group}"
        spec: Json = {"group": group, "version": "v1", "groupPriorityMinimum": 10, "versionPriority": 10}
        spec |= {"service": {"name": "webhook", "namespace": "default", "port": 8443}, **ca}
        return _object(kind, f"v1.{group}", annotations, "apiregistration.k8s.io/v1") | {"spec": spec}
    if kind == "CustomResourceDefinition":
        conversion = {"strategy": "Webhook", "webhook": {"clientConfig": service, "conversionReviewVersions": ["v1"]}}
        return definition(group, annotations, conversion)
    hook: Json = {
        "sideEffects": "None",
        "failurePolicy": "Ignore",
        "matchPolicy": "Exact",
        "timeoutSeconds": 3,
        "admissionReviewVersions": ["v1"],
        "namespaceSelector": {"matchLabels": {"example.com/none": "x"}},
        "objectSelector": {"matchLabels": {"example.com/none": "x"}},
        "matchConditions": [{"name": "never", "expression": "false"}],
        "rules": [{"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["things"]}],
    }
    hooks = [
        {"name": f"a.{group}", "clientConfig": service, **hook},
        {"name": f"b.{group}", "clientConfig": {"url": "https://example.com/b", **ca}, **hook},
    ]
    return _object(kind, name, annotations, "admissionregistration.k8s.io/v1") | {"webhooks": hooks}


def definition(group: str, annotations: dict[str, str], conversion: Json) -> Json:
    """A CustomResourceDefinition of things in this group, in two versions."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    versions = [{"name": name, "served": True, "storage": name == "v1", "schema": schema} for name in ("v1", "v2")]
    names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList", "shortNames": ["th"]}
    spec = {"group": group, "scope": "Namespaced", "names": names, "versions": versions, "conversion": conversion}
    return _object("CustomResourceDefinition", f"things.{group}", annotations, "apiextensions.k8s.io/v1") | {
        "spec": spec
    }


def _object(kind: str, name: str, annotations: dict[str, str], version: str) -> Json:
    metadata = {"name": name, "annotations": annotations, "labels": {"example.com/label": "x"}}
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


def bundle_paths(obj: Json) -> list[str]:
    """JSON pointers to each caBundle that an object has or may have."""
    if obj["kind"] == "APIService":
        return ["/spec/caBundle"]
    if obj["kind"] == "CustomResourceDefinition":
        return ["/spec/conversion/webhook/clientConfig/caBundle"]
    return [f"/webhooks/{index}/clientConfig/caBundle" for index in range(len(obj["webhooks"]))]


def bundles(obj: Json) -> list[bytes]:
    """The bundles that an object has, decoded; b"" where there is none."""
    return [base64.b64decode(at(obj, path) or "") for path in bundle_paths(obj)]


def at(obj: Any, pointer: str) -> Any:
    """What a JSON pointer leads to, None when there is nothing."""
    for step in pointer.split("/")[1:]:
        if isinstance(obj, list):
            obj = obj[int(step)] if int(step) < len(obj) else None
        else:
            obj = obj.get(step) if isinstance(obj, dict) else None
    return obj


def in_force(api: Api) -> bool:
    """Whether the admission policy answers yet: a configuration made by the injector's user is refused by it."""
    body = injectable("ValidatingWebhookConfiguration", "in-force", {})
    try:
        api.call("POST", f"{PATHS[body['kind']]}?dryRun=All", body, user=USER, groups=["system:masters"])
    except Refused as error:
        return "CA injector" in error.message
    return False
