"""What the CA injector writes into, and cert-manager's annotations that ask for it. Of an object only those are kept.

Pure. Source: cert-manager v1.20, pkg/apis/certmanager/v1 and pkg/controller/cainjector.
"""

import msgspec

from signer.api.crd import CUSTOM_RESOURCE_DEFINITIONS
from signer.api.meta import ObjectMeta
from signer.kube.resource import Resource

_REGISTRATION = "admissionregistration.k8s.io"
VALIDATING_WEBHOOKS = Resource(
    _REGISTRATION, "v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", namespaced=False
)
MUTATING_WEBHOOKS = Resource(
    _REGISTRATION, "v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", namespaced=False
)
API_SERVICES = Resource("apiregistration.k8s.io", "v1", "apiservices", "APIService", namespaced=False)
INJECTABLES = (VALIDATING_WEBHOOKS, MUTATING_WEBHOOKS, CUSTOM_RESOURCE_DEFINITIONS, API_SERVICES)

INJECT_CA_FROM = "cert-manager.io/inject-ca-from"
INJECT_CA_FROM_SECRET = "cert-manager.io/inject-ca-from-secret"  # noqa: S105 - the annotation's name
INJECT_API_SERVER_CA = "cert-manager.io/inject-apiserver-ca"
ASKING = (INJECT_CA_FROM, INJECT_CA_FROM_SECRET, INJECT_API_SERVER_CA)
# On a Secret: its CA may be taken without a Certificate.
ALLOW_DIRECT_INJECTION = "cert-manager.io/allow-direct-injection"


class Injectable(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An object that asks for a CA; `metadata.annotations` are those of ASKING alone."""

    metadata: ObjectMeta


def asking(obj: Injectable) -> Injectable | None:
    """Keep of an object what names it and what it asks for; None when it asks for nothing."""
    meta = obj.metadata
    asked = {name: meta.annotations[name] for name in ASKING if meta.annotations.get(name)}
    if not asked:
        return None
    kept = ObjectMeta(name=meta.name, uid=meta.uid, resource_version=meta.resource_version, annotations=asked)
    return Injectable(metadata=kept)
