"""What the controllers answer to a CASource: the CA of a Certificate or Secret, or why there is none. Pure.

A Certificate's CA counts while the Certificate is Ready and the Secret is its own (cert-manager asks for the second alone);
a Secret's when whoever wrote it allowed that. A key never gets here: of a Secret only ca.crt is kept.
"""

import base64

import msgspec

from signer.api.casource import CASource, CASourceSpec, CASourceStatus
from signer.api.certificate import Certificate
from signer.api.injectable import ALLOW_DIRECT_INJECTION
from signer.api.meta import ObjectMeta, find_condition
from signer.api.secret import CA_CERT
from signer.injector.bundle import MAX_BYTES, defect_of
from signer.kube.objects import Json

CERTIFICATE_NAME = "cert-manager.io/certificate-name"
AVAILABLE = "Available"


class SourceSecret(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Of a Secret: its name, the two annotations that count, and ca.crt, cut where it is too long to be taken."""

    metadata: ObjectMeta
    data: dict[str, bytes] = {}

    def __repr__(self) -> str:
        """Name the Secret, never a value."""
        return f"SourceSecret({self.metadata.namespace}/{self.metadata.name})"


def slim(secret: SourceSecret) -> SourceSecret:
    """Drop everything but what is needed, keys first."""
    meta = secret.metadata
    annotations = {
        name: meta.annotations[name] for name in (CERTIFICATE_NAME, ALLOW_DIRECT_INJECTION) if name in meta.annotations
    }
    data = {CA_CERT: secret.data[CA_CERT][: MAX_BYTES + 1]} if CA_CERT in secret.data else {}
    kept = ObjectMeta(name=meta.name, namespace=meta.namespace, uid=meta.uid, annotations=annotations)
    return SourceSecret(metadata=kept, data=data)


def secret_of(spec: CASourceSpec, certificate: Certificate | None) -> str:
    """Name the Secret, in the source's namespace, that the answer depends on; "" for none."""
    if spec.kind == "Secret":
        return spec.name
    return certificate.spec.secret_name if certificate is not None and not certificate.problem else ""


def answer(spec: CASourceSpec, certificate: Certificate | None, secret: SourceSecret | None) -> CASourceStatus:
    """Answer a CASource. `certificate` is the one that it names, `secret` that of `secret_of`; None: there is none."""
    if spec.kind == "Certificate":
        return _from_certificate(spec, certificate, secret)
    if spec.kind != "Secret":
        return _no("InvalidSource", "spec.kind is neither Certificate nor Secret")
    where = f"Secret {spec.namespace}/{spec.name}"
    if secret is None:
        return _no("SecretNotFound", f"{where} does not exist")
    if secret.metadata.annotations.get(ALLOW_DIRECT_INJECTION) != "true":
        return _no("InjectionNotAllowed", f'{where} has no annotation {ALLOW_DIRECT_INJECTION}: "true"')
    return _from_secret(where, secret)


def bound(found: CASourceStatus, source: CASource, namespace_uid: str) -> CASourceStatus:
    """Bind an answer to the namespace from which a bundle was given first. `namespace_uid` is that of the one of today.

    Whoever makes a namespace again after its end may be somebody else, and his CA is not what an administrator asked for.
    """
    first = source.status.namespace_uid
    if found.reason != AVAILABLE:
        return msgspec.structs.replace(found, namespace_uid=first)
    if first in ("", namespace_uid):
        return msgspec.structs.replace(found, namespace_uid=namespace_uid)
    message = (
        f"namespace {source.spec.namespace} was deleted and made again since its CA was taken first, perhaps by somebody "
        f"else; if its CA is to be taken, delete CASource {source.metadata.name}"
    )
    return msgspec.structs.replace(_no("NamespaceRemade", message), namespace_uid=first)


def _from_certificate(
    spec: CASourceSpec, certificate: Certificate | None, secret: SourceSecret | None
) -> CASourceStatus:
    where = f"Certificate {spec.namespace}/{spec.name}"
    if certificate is None:
        return _no("CertificateNotFound", f"{where} does not exist")
    if certificate.problem:
        return _no("CertificateNotReady", f"{where} cannot be read: {certificate.problem}")
    ready = find_condition(certificate.status.conditions, "Ready")
    if ready is None or ready.status != "True":
        return _no("CertificateNotReady", f"{where} is not Ready{f': {ready.message}' if ready is not None else ''}")
    holder = f"Secret {spec.namespace}/{certificate.spec.secret_name}"
    if secret is None:
        return _no("SecretNotFound", f"{holder} of {where} does not exist")
    if secret.metadata.annotations.get(CERTIFICATE_NAME) != spec.name:
        return _no("SecretNotOwned", f"{holder} does not belong to {where}: {CERTIFICATE_NAME} names another, or none")
    return _from_secret(holder, secret)


def _from_secret(where: str, secret: SourceSecret) -> CASourceStatus:
    bundle = secret.data.get(CA_CERT, b"")
    if not bundle:
        return _no("NoCA", f"{where} has no {CA_CERT}: its issuer gave none")
    if defect := defect_of(bundle):
        return _no("InvalidCA", f"{where}: {CA_CERT} {defect}")
    return CASourceStatus(ca_bundle=bundle, reason=AVAILABLE, message=f"from {where}")


def _no(reason: str, message: str) -> CASourceStatus:
    return CASourceStatus(reason=reason, message=message[:1024])


def body(status: CASourceStatus, resource_version: str) -> Json:
    """Write an answer as a merge patch of the CASource's status, for the version that was read."""
    bundle = base64.b64encode(status.ca_bundle).decode("ascii") if status.ca_bundle else None
    return {
        "metadata": {"resourceVersion": resource_version},
        "status": {
            "caBundle": bundle,
            "reason": status.reason,
            "message": status.message,
            "namespaceUID": status.namespace_uid or None,
        },
    }
