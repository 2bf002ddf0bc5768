"""What an object asks for by its annotations: which CA, or what is wrong with the question. Pure.

Of several annotations the first in the order of ASKING counts, as with cert-manager. Who may write these annotations may
write webhooks, so a reference may point into any namespace; `--ca-injector-namespaces` narrows that.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from signer.api.casource import CASourceSpec
from signer.api.injectable import INJECT_API_SERVER_CA, INJECT_CA_FROM, INJECT_CA_FROM_SECRET
from signer.api.names import is_label, is_subdomain
from signer.api.text import shown


@dataclass(frozen=True, slots=True)
class ApiServerCA:
    """The CA by which this process knows the API server."""


Source = CASourceSpec | ApiServerCA


@dataclass(frozen=True, slots=True)
class Defect:
    """Why nothing is injected: a reason in CamelCase, and a sentence with object, field and remedy."""

    reason: str
    message: str


_KINDS = {INJECT_CA_FROM: "Certificate", INJECT_CA_FROM_SECRET: "Secret"}


def asked_for(annotations: Mapping[str, str], namespaces: Collection[str] = ()) -> Source | Defect | None:
    """Read what an object asks for; None when it asks for nothing. `namespaces` are those allowed, empty: all."""
    for annotation, kind in _KINDS.items():
        if value := annotations.get(annotation, ""):
            return _reference(annotation, kind, value, namespaces)
    value = annotations.get(INJECT_API_SERVER_CA, "")
    if value == "true":
        return ApiServerCA()
    if value in {"", "false"}:
        return None
    return Defect("InvalidAnnotation", f'{INJECT_API_SERVER_CA}: {shown(value)} is neither "true" nor "false"')


def _reference(annotation: str, kind: str, value: str, namespaces: Collection[str]) -> Source | Defect:
    namespace, slash, name = value.partition("/")
    if not slash or not is_label(namespace) or not is_subdomain(name):
        return Defect(
            "InvalidAnnotation", f"{annotation}: {shown(value)} does not name a {kind}: write it as NAMESPACE/NAME"
        )
    if namespaces and namespace not in namespaces:
        return Defect(
            "NamespaceNotAllowed",
            f"{annotation}: no CA is taken from namespace {namespace}: it is not in --ca-injector-namespaces",
        )
    return CASourceSpec(kind=kind, namespace=namespace, name=name)
