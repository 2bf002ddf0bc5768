"""Which caBundle fields of an object must change, as a JSON patch that cannot touch anything else. Pure.

The patch names the resourceVersion that was read, so that the API server refuses it (409) when the object changed since.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from signer.api.crd import CUSTOM_RESOURCE_DEFINITIONS
from signer.api.injectable import API_SERVICES
from signer.api.text import shown
from signer.injector.asked import Defect
from signer.kube.objects import Json, JsonPatch
from signer.kube.resource import Resource


@dataclass(frozen=True, slots=True)
class Injection:
    """What to write (RFC 6902): nothing when every field has the bundle."""

    patch: JsonPatch


def injection(resource: Resource, obj: Json, bundle: bytes) -> Injection | Defect:
    """Decide what an object of this resource, as the API server gave it, needs so that it has this bundle (PEM)."""
    if resource == API_SERVICES:
        found = _api_service(obj)
    elif resource == CUSTOM_RESOURCE_DEFINITIONS:
        found = _conversion(obj)
    else:
        found = _webhooks(obj)
    if isinstance(found, Defect):
        return found
    text = base64.b64encode(bundle).decode("ascii")
    stale = [place for place, config in found if config.get("caBundle") != text]
    if not stale:
        return Injection([])
    version = _part(obj, "metadata").get("resourceVersion")
    patch: JsonPatch = [{"op": "replace", "path": "/metadata/resourceVersion", "value": version}]
    patch += [{"op": "add", "path": f"{place}/caBundle", "value": text} for place in stale]
    return Injection(patch)


def writers(obj: Json, own: str) -> tuple[str, ...]:
    """Name the managers but our own that have set a caBundle, in the order of metadata.managedFields."""
    entries = _part(obj, "metadata").get("managedFields")
    found = [one for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []
    names = [str(one.get("manager", "")) for one in found if _sets_bundle(one.get("fieldsV1"))]
    return tuple(dict.fromkeys(name for name in names if name and name != own))


Places = Sequence[tuple[str, Json]]


def _webhooks(obj: Json) -> Places:
    hooks = obj.get("webhooks")
    return [
        (f"/webhooks/{index}/clientConfig", hook["clientConfig"])
        for index, hook in enumerate(hooks if isinstance(hooks, list) else ())
        if isinstance(hook, dict) and isinstance(hook.get("clientConfig"), dict)
    ]


def _conversion(obj: Json) -> Places | Defect:
    conversion = _part(_part(obj, "spec"), "conversion")
    config = _part(conversion, "webhook").get("clientConfig")
    if conversion.get("strategy") != "Webhook" or not isinstance(config, dict):
        strategy = shown(str(conversion.get("strategy", "None")))
        return Defect(
            "NoConversionWebhook",
            f"spec.conversion.strategy is {strategy}: without a conversion webhook there is nothing to inject into; "
            "remove the annotation",
        )
    return [("/spec/conversion/webhook/clientConfig", config)]


def _api_service(obj: Json) -> Places | Defect:
    spec = _part(obj, "spec")
    if not isinstance(spec.get("service"), dict):
        return Defect("NoService", "spec.service: the API server answers this APIService itself; remove the annotation")
    if spec.get("insecureSkipTLSVerify"):
        return Defect("TLSNotVerified", "spec.insecureSkipTLSVerify is true, and then no CA may be set: remove it")
    return [("/spec", spec)]


def _part(obj: Json, name: str) -> Json:
    found = obj.get(name)
    return found if isinstance(found, dict) else {}


def _sets_bundle(fields: Any) -> bool:
    """Whether a tree of managed fields has a caBundle; it is as deep as the API server made it, some ten levels."""
    waiting = [fields]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if "f:caBundle" in one:
                return True
            waiting.extend(one.values())
    return False
