"""The Order for a CertificateRequest: its hosts, its body, and whether one that is there is what we would make. Pure.

The same request has the same Order, and one more for the rehearsal.
"""

import hashlib
from base64 import b64encode
from collections.abc import Collection, Sequence
from typing import Any

from issuers.acme.identifiers import MAX_IDENTIFIERS
from issuers.request import SigningRequest
from issuers.x509.subject import COMMON_NAME
from signer.api.certificate import IssuerReference
from signer.api.certificaterequest import CERTIFICATE_REQUESTS, CertificateRequest
from signer.api.issuer import IssuerRef
from signer.api.labels import PART_OF
from signer.api.meta import controller_reference
from signer.api.names import shortened
from signer.api.order import ORDERS, Order
from signer.api.text import shown
from signer.edge.host import Host, read_host
from signer.edge.issuers.choice import Alternatives

_REHEARSAL = "\0rehearsal"


def order_name(name: str, uid: str, *, rehearsal: bool = False) -> str:
    """Name the Order of the CertificateRequest of this name and UID."""
    digest = hashlib.sha256(f"{uid}{_REHEARSAL if rehearsal else ''}".encode()).hexdigest()[:10]
    return f"{shortened(name, 240)}-{digest}"


def is_rehearsal(order: Order) -> bool:
    """Tell whether an Order is the rehearsal of another: by its name, as we made it."""
    return any(
        order.metadata.name == order_name(owner.name, owner.uid, rehearsal=True)
        for owner in order.metadata.owner_references
        if owner.controller
    )


def order_body(
    request: CertificateRequest,
    names: Sequence[Host],
    *,
    profile: str = "",
    replaces: str = "",
    issuer: IssuerReference | None = None,
    rehearsal: bool = False,
) -> dict[str, Any]:
    """Return the Order for a CertificateRequest, whose PKCS #10 is for these names; `issuer` is the request's by default."""
    meta = request.metadata
    raw = request.raw_spec if isinstance(request.raw_spec, dict) else {}
    named = issuer or request.spec.issuer_ref
    spec: dict[str, Any] = {
        "request": _base64(raw.get("request", "")),
        "issuerRef": dict(zip(("name", "kind", "group"), named.normal(), strict=True)),
        "dnsNames": [str(name) for name in names],
    }
    optional = {"profile": profile, "replaces": replaces, "duration": request.spec.duration}
    spec |= {field: value for field, value in optional.items() if value}
    return {
        "apiVersion": ORDERS.api_version,
        "kind": ORDERS.kind,
        "metadata": {
            "name": order_name(meta.name, meta.uid, rehearsal=rehearsal),
            "namespace": meta.namespace,
            "labels": dict(PART_OF),
            "ownerReferences": [controller_reference(CERTIFICATE_REQUESTS, meta)],
        },
        "spec": spec,
    }


def _base64(request: object) -> object:
    """A request as it stands in the API, however it is kept (`compact` of CertificateRequests)."""
    return b64encode(request).decode() if isinstance(request, bytes) else request


def genuine_order(
    order: Order, request: CertificateRequest, names: Sequence[Host], others: Alternatives | None = None
) -> bool:
    """Tell whether an Order is one that we would make for this request: any other is never worked on.

    Profile and replaces are what was decided when it was made, and the issuer is the request's or one of those that its
    issuer names (`others`); all else follows from the request.
    """
    others, rehearsal = others or Alternatives(), is_rehearsal(order)
    reference = order.spec.issuer_ref
    ref = reference.resolve(order.metadata.namespace)
    own = request.spec.issuer_ref.resolve(request.metadata.namespace)
    allowed: Collection[IssuerRef | None] = (others.rehearsal,) if rehearsal else (own, *others.fallbacks)
    if ref is None or ref not in allowed:
        return False
    wanted = order_body(
        request,
        names,
        profile=order.spec.profile,
        replaces=order.spec.replaces,
        issuer=reference,
        rehearsal=rehearsal,
    )
    return bool(
        not order.problem
        and order.metadata.name == wanted["metadata"]["name"]
        and order.metadata.namespace == request.metadata.namespace
        and order.metadata.owned_by(request.metadata, CERTIFICATE_REQUESTS)
        and order.raw_spec == wanted["spec"]
    )


def hosts_of(csr: SigningRequest) -> tuple[Host, ...] | str:
    """The hosts that a CSR asks for, sorted; or a sentence that says why no public CA would sign it."""
    others = {
        "ipAddresses": csr.ip_addresses,  # RFC 8738; nobody can be asked who has an address, as HostClaims say of a host
        "uris": csr.uris,
        "emailAddresses": csr.email_addresses,
        "otherNames": csr.other_names,
    }
    if extra := [f"spec.{field}" for field, values in others.items() if values]:
        return f"{', '.join(extra)}: an ACME issuer issues certificates for DNS names only; the request has other names too"
    wanted = [*csr.dns_names, *_common_names(csr)]
    found: set[Host] = set()
    for name in wanted:
        host = read_host(name)
        if isinstance(host, str):
            return host
        found.add(host)
    if not found:
        return "the request has no DNS name"
    if len(found) > MAX_IDENTIFIERS:
        return f"the request has {len(found)} names; a certificate has {MAX_IDENTIFIERS} at most"
    if csr.is_ca:
        return "an ACME issuer issues no CA certificates"
    long = [str(host) for host in found if len(str(host)) > 253]
    return f"{shown(long[0])} is too long" if long else tuple(sorted(found))


def _common_names(csr: SigningRequest) -> tuple[str, ...]:
    return tuple(text for pairs in csr.subject_names for kind, text in pairs if kind == COMMON_NAME)
