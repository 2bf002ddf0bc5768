"""What whoever has the token of the CA injector's account may change: caBundle fields where one was asked for, and no more."""

import base64
import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from tests import pki
from tests.integration.injector.objects import (
    FROM_CERTIFICATE,
    KINDS,
    OLD_CA,
    PATHS,
    USER,
    at,
    bundle_paths,
    injectable,
    path_of,
)
from tests.integration.plain_api import Api, Json, Refused
from tests.localmesh import Cluster

pytestmark = pytest.mark.integration

JSON_PATCH = "application/json-patch+json"
NEW_CA = base64.b64encode(pki.CA("new").pem).decode()
DRY = "?dryRun=All"
# Counted up by the API server; who writes them changes nothing, or gets a conflict.
_COUNTED = {"uid", "resourceVersion", "generation", "managedFields", "creationTimestamp"}


@pytest.fixture(params=KINDS)
def stored(request: pytest.FixtureRequest, api: Api, guarded: Cluster, name: str) -> Iterator[Json]:
    """An annotated object of each kind, with a CA in every place."""
    kind = request.param
    path = path_of(injectable(kind, name, {}))
    api.post(PATHS[kind], injectable(kind, name, {FROM_CERTIFICATE: "default/serving"}, OLD_CA))
    if kind in {"CustomResourceDefinition", "APIService"}:  # until nobody writes its status any more
        guarded.wait_for(lambda: _settled(api.get(path)), "the status of a new object")
    yield api.get(path) | {"kind": kind}
    api.delete(path)


def _settled(obj: Json) -> bool:
    said = {one["type"]: one["status"] for one in obj.get("status", {}).get("conditions") or ()}
    # It says False first; an APIService, whose Service is not there, keeps saying it.
    return said.get("Established") == "True" if obj["kind"] == "CustomResourceDefinition" else "Available" in said


def changes(obj: Any, pointer: str = "") -> Iterator[Json]:
    """One JSON patch operation for each thing that can be taken away, written anew or added anywhere in an object."""
    if isinstance(obj, dict):
        for key, value in obj.items():
            if key in _COUNTED:
                continue
            below = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
            yield {"op": "remove", "path": below}
            yield from changes(value, below)
        if pointer.endswith(("/labels", "/annotations", "/matchLabels")):
            yield {"op": "add", "path": f"{pointer}/example.com~1new", "value": "new"}
    elif isinstance(obj, list):
        for index, value in enumerate(obj):
            yield {"op": "remove", "path": f"{pointer}/{index}"}
            yield from changes(value, f"{pointer}/{index}")
        if obj:
            yield {"op": "add", "path": f"{pointer}/-", "value": _like(obj[0])}
            yield {"op": "add", "path": f"{pointer}/0", "value": _like(obj[-1])}
    elif isinstance(obj, bool):
        yield {"op": "replace", "path": pointer, "value": not obj}
    elif isinstance(obj, int):
        yield {"op": "replace", "path": pointer, "value": obj + 1}
    else:
        for value in (f"{obj}x", "https://evil.example.com/x", "*", "Fail", "Equivalent", "NoneOnDryRun", "None"):
            yield {"op": "replace", "path": pointer, "value": value}


def _like(value: Any) -> Any:
    if isinstance(value, dict) and "name" in value:
        return deepcopy(value) | {"name": f"x{value['name']}"}
    return f"{value}x" if isinstance(value, str) else deepcopy(value)


ADDED = (
    {"op": "add", "path": "/metadata/finalizers", "value": ["example.com/stay"]},
    {"op": "add", "path": "/metadata/ownerReferences", "value": [{"apiVersion": "v1", "kind": "A", "name": "a", "uid": "u"}]},
    {"op": "add", "path": "/webhooks/0/reinvocationPolicy", "value": "IfNeeded"},
    {"op": "add", "path": "/webhooks", "value": []},
    {"op": "add", "path": "/spec/insecureSkipTLSVerify", "value": True},
    {"op": "add", "path": "/spec/conversion", "value": {"strategy": "None"}},
    {"op": "add", "path": "/spec/preserveUnknownFields", "value": True},
    {"op": "add", "path": "/spec/names/categories", "value": ["all"]},
)  # fmt: skip


def answer(api: Api, path: str, patch: list[Json], **who: Any) -> tuple[int, str, Json]:
    """What becomes of a patch, on trial: (200, "", the object), or the code and words of the refusal."""
    try:
        return 200, "", api.call("PATCH", path + DRY, patch, kind=JSON_PATCH, **who)
    except Refused as error:
        return error.code, error.message, {}


def _without_counts(obj: Json) -> Json:
    copy = deepcopy(obj)
    for name in _COUNTED:
        copy["metadata"].pop(name, None)
    return copy


def test_the_injector_changes_ca_bundles_and_nothing_else(api: Api, injector: Api, stored: Json) -> None:
    """Whatever an administrator can change in an object that wants a CA, the injector cannot, but for its caBundles."""
    path, allowed = path_of(stored), set(bundle_paths(stored))
    refused = []
    for change in (*changes(stored), *ADDED):
        code, _, result = answer(api, path, [change])
        if code != 200 or _without_counts(result) == _without_counts(stored):
            continue  # nobody can, or it changes nothing
        if change["path"] in allowed:
            continue
        ours, words, _ = answer(injector, path, [change])
        refused.append(change["path"])
        assert (ours, "the CA injector" in words) == (403, True), f"{json.dumps(change)}: {ours} {words}"
        both = [
            change,
            *({"op": "add", "path": one, "value": NEW_CA} for one in allowed if at(stored, one) is not None),
        ]
        # 422: after the change there is no such place any more.
        assert answer(injector, path, both)[0] in {403, 422}, f"beside a new CA: {json.dumps(change)}"
    assert len(refused) > 8, refused
    new = [{"op": "add", "path": one, "value": NEW_CA} for one in sorted(allowed)]
    code, words, result = answer(injector, path, new)
    assert code == 200, words
    assert all(at(result, one) == NEW_CA for one in allowed)


def test_nobody_gets_round_the_policy_by_more_rights(api: Api, stored: Json) -> None:
    """Were the injector's account given every right of the cluster, it could still make, delete and change none of these."""
    who: dict[str, Any] = {"user": USER, "groups": ["system:masters"]}
    path = path_of(stored)
    for method, where, body in (
        ("POST", PATHS[stored["kind"]], injectable(stored["kind"], "made-anew", {FROM_CERTIFICATE: "a/b"}, OLD_CA)),
        ("DELETE", path, None),
        ("PUT", path, stored | {"metadata": stored["metadata"] | {"labels": {}}}),
    ):
        with pytest.raises(Refused, match="CA injector") as refusal:
            api.call(method, where + DRY, body, **who)
        assert refusal.value.code == 403
    if "status" in stored:
        status = stored | {"status": stored["status"] | {"conditions": []}}
        with pytest.raises(Refused, match="CA injector"):
            api.call("PUT", f"{path}/status{DRY}", status, **who)


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_without_the_annotation_is_out_of_reach(api: Api, injector: Api, name: str, kind: str) -> None:
    """The injector cannot write a CA where no administrator asked for one, nor ask for one itself."""
    body = injectable(kind, name, {"example.com/other": "x"}, OLD_CA)
    path = path_of(body)
    api.post(PATHS[kind], body)
    try:
        new = [{"op": "add", "path": one, "value": NEW_CA} for one in bundle_paths(body)]
        asks = {"op": "add", "path": "/metadata/annotations/cert-manager.io~1inject-apiserver-ca", "value": "true"}
        for patch in (new, [asks], [asks, *new]):
            code, words, _ = answer(injector, path, patch)
            assert (code, "CA injector" in words) == (403, True), words
    finally:
        api.delete(path)


def test_who_is_not_the_injector_is_not_held_up(api: Api, stored: Json) -> None:
    """The policy is about one account: an administrator goes on as before."""
    label = {"op": "add", "path": "/metadata/labels/example.com~1new", "value": "new"}
    assert answer(api, path_of(stored), [label])[0] == 200


MAY = {
    "get": (
        "validatingwebhookconfigurations",
        "mutatingwebhookconfigurations",
        "customresourcedefinitions",
        "apiservices",
    ),
    "patch": (
        "validatingwebhookconfigurations",
        "mutatingwebhookconfigurations",
        "customresourcedefinitions",
        "apiservices",
    ),
    "list": ("casources",),
    "create": ("casources",),
    "delete": ("casources",),
}
GROUPS = {
    "validatingwebhookconfigurations": "admissionregistration.k8s.io",
    "mutatingwebhookconfigurations": "admissionregistration.k8s.io",
    "validatingadmissionpolicies": "admissionregistration.k8s.io",
    "validatingadmissionpolicybindings": "admissionregistration.k8s.io",
    "customresourcedefinitions": "apiextensions.k8s.io",
    "customresourcedefinitions/status": "apiextensions.k8s.io",
    "apiservices": "apiregistration.k8s.io",
    "apiservices/status": "apiregistration.k8s.io",
    "casources": "mesh-signer.dev",
    "casources/status": "mesh-signer.dev",
    "certificates": "cert-manager.io",
    "secrets": "",
    "pods": "",
    "serviceaccounts/token": "",
    "clusterroles": "rbac.authorization.k8s.io",
}


@pytest.mark.parametrize("verb", ["get", "list", "create", "update", "patch", "delete", "deletecollection", "bind"])
@pytest.mark.parametrize("resource", GROUPS)
def test_what_its_account_may(api: Api, guarded: Cluster, resource: str, verb: str) -> None:
    """The injector's account may what it needs in the whole cluster, and nothing else that is powerful."""
    expected = resource in MAY.get(verb, ()) or (verb == "list" and resource in MAY["get"])
    name, _, subresource = resource.partition("/")
    attributes = {"verb": verb, "group": GROUPS[resource], "resource": name, "subresource": subresource}
    groups = ["system:serviceaccounts", "system:serviceaccounts:cert-manager", "system:authenticated"]
    review = {"spec": {"user": USER, "groups": groups, "resourceAttributes": attributes}}
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    guarded.wait_for(lambda: api.post(path, review)["status"]["allowed"] is expected, f"{verb} {resource}: {expected}")


@pytest.mark.parametrize("kind", KINDS)
def test_large_objects(api: Api, injector: Api, guarded: Cluster, name: str, kind: str) -> None:
    """The policy does not give up on objects as large as they come: a hundred webhooks, versions with long schemas."""
    body = injectable(kind, name, {FROM_CERTIFICATE: "a/b"}, OLD_CA)
    if "webhooks" in body:
        hooks = [body["webhooks"][0] | {"name": f"h{n}.{name}.example.com"} for n in range(100)]
        for hook in hooks:
            hook["rules"] = hook["rules"] * 20
        body["webhooks"] = hooks
    elif kind == "CustomResourceDefinition":
        properties = {f"f{n}": {"type": "string", "description": "x" * 200} for n in range(1000)}
        for version in body["spec"]["versions"]:
            version["schema"] = {
                "openAPIV3Schema": {
                    "type": "object",
                    "properties": {"spec": {"type": "object", "properties": properties}},
                }
            }
    api.post(PATHS[kind], body)
    path = path_of(body)
    try:
        if kind in {"CustomResourceDefinition", "APIService"}:
            guarded.wait_for(lambda: _settled(api.get(path)), "the status of a new object")
        new = [{"op": "add", "path": one, "value": NEW_CA} for one in bundle_paths(body)]
        code, words, _ = answer(injector, path, new)
        assert code == 200, words
        code, words, _ = answer(injector, path, [*new, {"op": "remove", "path": "/metadata/labels"}])
        assert (code, "CA injector" in words) == (403, True), words
    finally:
        api.delete(path)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/secrets",
        "/api/v1/namespaces/cert-manager/secrets",
        "/apis/cert-manager.io/v1/certificates",
        "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases",
        "/api/v1/configmaps",
        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    ],
)
def test_the_injector_reads_no_secret(injector: Api, path: str) -> None:
    """Its account reads no Secret, not even its own namespace's, and nothing else that it does not need."""
    with pytest.raises(Refused) as refusal:
        injector.get(path)
    assert refusal.value.code == 403
