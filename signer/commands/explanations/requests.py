"""Requests to be explained: one of the cluster's, one in a file, or the one that a workload would make. Pure."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import msgspec
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from issuers.spiffe import parse_spiffe_id
from signer.api.certificaterequest import CertificateRequest
from signer.api.certificatesigningrequest import RequestContent
from signer.api.meta import from_rfc3339
from signer.api.names import is_label, is_subdomain
from signer.api.text import shown
from signer.commands.command import NotFoundOut
from signer.tenancy.meshconfig.yaml import UnreadableYAML, read_yaml
from signer.tenancy.rules import WORKLOAD_USAGES

_PEM = "-----BEGIN CERTIFICATE REQUEST-----"
_DAY_SECONDS = 86400

DEFAULT_KEY = "RSA-2048"
KEYS = (DEFAULT_KEY, "ECDSA-P256")
"""What Istio's agents make: the first unless ECC_SIGNATURE_ALGORITHM=ECDSA is set for them (pkg/security of Istio)."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: what it is, whom it asks (a full signer name), and what became of it so far ("" for nothing).

    `stored`: it is an object of the cluster, whose conditions say whether it is approved.
    """

    title: str
    signer_name: str
    content: RequestContent = field(repr=False)
    became: str = ""
    approved: bool = True
    stored: bool = False


@cache
def _key(kind: str) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    """A key of this kind: any will do, nothing is signed with it but questions."""
    if kind == DEFAULT_KEY:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


def workload_request(
    trust_domain: str, namespace: str, service_account: str, signer_name: str, key: str = DEFAULT_KEY
) -> Asked:
    """Return the request that istiod would make for a workload with a key of this kind (KEYS). Raises NotFoundOut."""
    identity = f"spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}"
    if not is_label(namespace) or not is_subdomain(service_account) or parse_spiffe_id(identity) is None:
        raise NotFoundOut(
            f"{shown(namespace)} and {shown(service_account)} are not a valid namespace and service account name"
        )
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(names, critical=True)
    pem = builder.sign(_key(key), hashes.SHA256()).public_bytes(Encoding.PEM)
    title = (
        f"a workload of service account {service_account} in namespace {namespace} that asks now, with a key of {key}"
    )
    return Asked(title, signer_name, _istiods(pem))


def read_file(text: str, signer_name: str) -> Asked | CertificateRequest:
    """Read a request of either kind (YAML or JSON), or a CSR in PEM, which asks `signer_name`. Raises NotFoundOut."""
    if _PEM in text and not text.lstrip().startswith(("{", "apiVersion", "kind", "---\n", "#")):
        if not signer_name:
            raise NotFoundOut("a CSR in PEM names no signer: add --signer")
        return Asked("the CSR in the file", signer_name, _istiods(text.encode()))
    try:
        read_yaml(text)  # within bounds; but it reads no numbers
        document = yaml.safe_load(text)
    except (UnreadableYAML, yaml.YAMLError, ValueError, RecursionError) as error:
        raise NotFoundOut(f"the file cannot be read: {error}") from None
    kind = document.get("kind") if isinstance(document, dict) else None
    if kind == "CertificateRequest":
        return read_certificate_request(document)
    if kind != "CertificateSigningRequest":
        raise NotFoundOut("the file is not a CertificateSigningRequest, a CertificateRequest or a CSR in PEM")
    return read_object(document, "the request in the file")


def read_certificate_request(obj: Mapping[str, Any]) -> CertificateRequest:
    """Read a CertificateRequest of cert-manager.io/v1; without a namespace it is in `default`. Raises NotFoundOut."""
    try:
        found = msgspec.convert(obj, CertificateRequest)
    except msgspec.ValidationError as error:
        raise NotFoundOut(f"the CertificateRequest cannot be read: {error}") from None
    if found.metadata.namespace:
        return found
    return msgspec.structs.replace(found, metadata=msgspec.structs.replace(found.metadata, namespace="default"))


def read_object(obj: Mapping[str, Any], title: str = "") -> Asked:
    """Read a CertificateSigningRequest of certificates.k8s.io/v1. Raises NotFoundOut."""
    metadata, spec, status = (_mapping(obj, name) for name in ("metadata", "spec", "status"))
    try:
        request = base64.b64decode(_text(spec["request"]), validate=True)
        signer_name = _text(spec["signerName"])
        expiration = spec.get("expirationSeconds")
        seconds = None if expiration is None else int(expiration)
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise NotFoundOut(
            f"the request has no readable spec.request, signerName or expirationSeconds: {error}"
        ) from None
    created = metadata.get("creationTimestamp")
    moment = from_rfc3339(created) if isinstance(created, str) else None
    extra = _mapping(spec, "extra")
    content = RequestContent(
        request=request,
        usages=tuple(map(str, spec.get("usages") or ())),
        expiration_seconds=seconds,
        annotations={str(key): str(value) for key, value in _mapping(metadata, "annotations").items()},
        username=str(spec.get("username") or ""),
        user_uid=str(spec.get("uid") or ""),
        groups=tuple(map(str, spec.get("groups") or ())),
        extra={str(key): tuple(map(str, values or ())) for key, values in extra.items()},
        created=int(moment.timestamp()) if moment is not None else 0,
    )
    conditions = {str(one.get("type")): one for one in status.get("conditions") or () if isinstance(one, dict)}
    name = title or f"CertificateSigningRequest {metadata.get('name', '')}"
    approved = "Approved" in conditions or bool(title)
    return Asked(name, signer_name, content, _became(conditions, status), approved, stored=not title)


def as_requester(asked: Asked, user: str) -> Asked:
    """Return the request as if this user had made it."""
    return replace(asked, content=replace(asked.content, username=user))


def _became(conditions: Mapping[str, Mapping[str, Any]], status: Mapping[str, Any]) -> str:
    if status.get("certificate"):
        return "it has its certificate"
    for kind in ("Denied", "Failed"):
        if (found := conditions.get(kind)) is not None:
            return f"{kind}: {found.get('reason', '')}: {found.get('message', '')}"
    return ""


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("it is not text")
    return value


def _mapping(obj: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = obj.get(name)
    return found if isinstance(found, dict) else {}


def _istiods(pem: bytes) -> RequestContent:
    return content_of(pem, usages=WORKLOAD_USAGES, expiration_seconds=_DAY_SECONDS)


def content_of(
    pem: bytes, *, usages: tuple[str, ...], expiration_seconds: int | None = None, username: str = ""
) -> RequestContent:
    """Return what a request asks for that has nothing but these."""
    return RequestContent(
        request=pem,
        usages=usages,
        expiration_seconds=expiration_seconds,
        annotations={},
        username=username,
        user_uid="",
        groups=(),
        extra={},
    )
