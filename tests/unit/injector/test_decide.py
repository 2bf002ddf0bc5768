"""What is written into an object that asks for a CA: caBundle, wherever it may be, and nothing else whatever the object is."""

import base64
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.crd import CUSTOM_RESOURCE_DEFINITIONS
from signer.api.injectable import API_SERVICES, INJECTABLES, MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS
from signer.injector.asked import Defect
from signer.injector.decide import Injection, injection, writers
from signer.kube.resource import Resource
from tests import pki

Json = dict[str, Any]
CA = pki.CA("ca", now=pki.ANY_TIME).pem
TEXT = base64.b64encode(CA).decode()

_words = st.text(max_size=8)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | _words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_words, inner, max_size=3),
    max_leaves=8,
)


def _some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    """A mapping with some of these fields, and others."""
    known = st.fixed_dictionaries({}, optional=fields)
    return st.builds(lambda others, known: {**others, **known}, st.dictionaries(_words, _values, max_size=2), known)


_config = _some(caBundle=st.sampled_from(["", TEXT, "b3RoZXI="]), url=_words, service=_values)
_conversion = _some(
    strategy=st.sampled_from(["Webhook", "None"]), webhook=_some(clientConfig=_config | _values) | _values
)
OBJECTS = {
    VALIDATING_WEBHOOKS: _some(
        webhooks=st.lists(_some(clientConfig=_config | _values) | _values, max_size=3) | _values
    ),
    MUTATING_WEBHOOKS: _some(webhooks=st.lists(_some(clientConfig=_config), max_size=3)),
    CUSTOM_RESOURCE_DEFINITIONS: _some(spec=_some(conversion=_conversion | _values) | _values),
    API_SERVICES: _some(spec=_some(service=_values, insecureSkipTLSVerify=st.booleans(), caBundle=_words) | _values),
}


def patched(obj: Json, injected: Injection) -> Json:
    """Apply the patch as the API server does (RFC 6902: add and replace, each in a place whose parent is there)."""
    new: Any = deepcopy(obj)
    for step in injected.patch:
        *parents, last = step["path"].split("/")[1:]
        place = new
        for one in parents:
            place = place[int(one)] if isinstance(place, list) else place[one]
        assert step["op"] == "add" or last in place
        place[last] = step["value"]
    return dict(new)


def without_bundles(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: without_bundles(value) for key, value in part.items() if key != "caBundle"}
    return [without_bundles(one) for one in part] if isinstance(part, list) else part


@pytest.mark.parametrize("resource", INJECTABLES, ids=str)
@given(data=st.data())
def test_nothing_but_bundles(resource: Resource, data: st.DataObject) -> None:
    """Whatever an object is like, only its caBundles change, all of them have the CA then, and a second look finds it so."""
    obj = data.draw(OBJECTS[resource]) | {"metadata": {"name": "x", "resourceVersion": "7"}}
    before = deepcopy(obj)
    found = injection(resource, obj, CA)
    assert obj == before
    if isinstance(found, Defect):
        return
    new = patched(obj, found)
    assert without_bundles(new) == without_bundles(obj)
    assert {step["path"].rpartition("/")[2] for step in found.patch} <= {"caBundle", "resourceVersion"}
    assert injection(resource, new, CA) == Injection([])
    if found.patch:
        assert found.patch[0] == {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"}
        assert len(found.patch) > 1


def webhooks(*bundles: str | None) -> Json:
    hooks = [{"name": str(n), "clientConfig": {"caBundle": one} if one else {}} for n, one in enumerate(bundles)]
    return {"metadata": {"resourceVersion": "7"}, "webhooks": hooks}


@pytest.mark.parametrize(
    ("bundles", "written"),
    [
        ((None, None), [0, 1]),
        ((TEXT, None), [1]),
        ((None, TEXT), [0]),
        (("b3RoZXI=", TEXT), [0]),
        ((TEXT, TEXT), []),
        ((), []),
    ],
)
@pytest.mark.parametrize("resource", [VALIDATING_WEBHOOKS, MUTATING_WEBHOOKS], ids=str)
def test_only_webhooks_that_need_it(resource: Resource, bundles: tuple[str | None, ...], written: list[int]) -> None:
    """Those webhooks are written that have no CA or another one."""
    found = injection(resource, webhooks(*bundles), CA)
    assert isinstance(found, Injection)
    places = [step["path"] for step in found.patch if step["op"] == "add"]
    assert places == [f"/webhooks/{index}/clientConfig/caBundle" for index in written]


SERVICE = {"name": "a", "namespace": "b"}
CONVERSION = {"strategy": "Webhook", "webhook": {"clientConfig": {"service": SERVICE}}}


@pytest.mark.parametrize(
    ("resource", "spec", "outcome"),
    [
        (API_SERVICES, {"service": SERVICE}, "/spec/caBundle"),
        (API_SERVICES, {"service": SERVICE, "caBundle": "b3RoZXI="}, "/spec/caBundle"),
        (API_SERVICES, {"service": SERVICE, "insecureSkipTLSVerify": True}, "TLSNotVerified"),
        (API_SERVICES, {}, "NoService"),
        (API_SERVICES, {"service": None}, "NoService"),
        (CUSTOM_RESOURCE_DEFINITIONS, {"conversion": CONVERSION}, "/spec/conversion/webhook/clientConfig/caBundle"),
        (CUSTOM_RESOURCE_DEFINITIONS, {"conversion": {"strategy": "None"}}, "NoConversionWebhook"),
        (CUSTOM_RESOURCE_DEFINITIONS, {"conversion": CONVERSION | {"strategy": "None"}}, "NoConversionWebhook"),
        (CUSTOM_RESOURCE_DEFINITIONS, {"conversion": {"strategy": "Webhook"}}, "NoConversionWebhook"),
        (CUSTOM_RESOURCE_DEFINITIONS, {}, "NoConversionWebhook"),
    ],
)
def test_definitions_and_api_services(resource: Resource, spec: Json, outcome: str) -> None:
    """There is one place to write to, or a reason why there is none, which names the field."""
    found = injection(resource, {"metadata": {"resourceVersion": "7"}, "spec": spec}, CA)
    if isinstance(found, Defect):
        assert found.reason == outcome
        assert found.message.startswith("spec.")
    else:
        assert [step["path"] for step in found.patch] == ["/metadata/resourceVersion", outcome]


def test_who_else_writes() -> None:
    """Whoever set a caBundle is named, but not those who set other fields, nor ourselves."""
    bundle: Json = {"f:webhooks": {'k:{"name":"a"}': {"f:clientConfig": {"f:caBundle": {}}}}}
    entries = [
        {"manager": "some-sync", "fieldsV1": bundle},
        {"manager": "ours", "fieldsV1": bundle},
        {"manager": "kubectl", "fieldsV1": {"f:webhooks": {}}},
        {"manager": "some-sync", "fieldsV1": bundle},
        {"manager": "broken", "fieldsV1": "x"},
        "broken",
    ]
    assert writers({"metadata": {"managedFields": entries}}, "ours") == ("some-sync",)
    assert writers({"metadata": {}}, "ours") == ()
    assert writers({}, "ours") == ()
