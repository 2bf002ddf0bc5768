"""What a `credentialName` of a Gateway names: a Secret, in which namespace, or something else. Pure.

Source: Istio, pilot/pkg/model/credentials/resource.go.
"""

from typing import NamedTuple

from signer.api.names import is_label, is_subdomain
from signer.api.text import shown
from signer.tenancy.verdict import Reason

_SCHEMES = {
    "builtin": "a certificate of the mesh's own",
    "configmap": "a ConfigMap",
    "file": "a file of the proxy",
    "file-root": "a file of the proxy",
    "sds": "another secret server",
    "kubernetes-gateway": "a Secret that only Istio names so",
    "invalid": "nothing",
}
KUBERNETES = "kubernetes://"
NOT_OURS = "NotASecret"
INVALID_NAME = "InvalidSecretName"


class SecretName(NamedTuple):
    """What a credentialName names; `namespace` is "" where it does not say, which is the proxies' own."""

    name: str
    namespace: str = ""


def secret_named(credential: str) -> SecretName | Reason:
    """Return the Secret that a credentialName names, or why it names none; NOT_OURS is nothing wrong.

    A namespace may stand before it; Istio serves it where that is the proxies' own (credentials/resource.go, secretcontroller).
    """
    scheme, found, _ = credential.partition("://")
    if found and f"{scheme}://" != KUBERNETES:
        what = _SCHEMES.get(scheme)
        if what is None:
            return Reason(INVALID_NAME, f"{shown(credential)} has an unknown scheme")
        return Reason(NOT_OURS, f"{shown(credential)} names {what}, not a Secret")
    namespace, slash, name = credential.removeprefix(KUBERNETES).rpartition("/")
    if not is_subdomain(name) or (slash and not is_label(namespace)):
        return Reason(INVALID_NAME, f"{shown(credential)} is not a valid Secret name")
    return SecretName(name, namespace)
