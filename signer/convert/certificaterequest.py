"""CertificateRequests of cert-manager.io/v1alpha2 and certmanager.k8s.io/v1alpha1. Pure."""

import base64
import binascii
from typing import Any

from signer.convert.certificate import todays_duration
from signer.convert.fields import ISSUER_REF, Table, spelt
from signer.convert.issuer import API_VERSION
from signer.convert.metadata import todays_metadata
from signer.convert.note import Notes, text

_SPEC: Table = {"csr": None, "request": None, "duration": None, "isCA": None, "issuerRef": ISSUER_REF, "usages": None}
_BEGIN = b"-----BEGIN"


def todays_request(obj: dict[str, Any], notes: Notes) -> dict[str, Any] | None:
    """Return the CertificateRequest of today; None when it holds no request that anyone could sign."""
    spec = spelt(obj.get("spec"), _SPEC, "spec", notes)
    csr, request = spec.pop("csr", None), spec.pop("request", None)
    request = "".join(text(csr or request).split())
    if not _is_pem(request):
        notes.add("spec.csr", "holds no PEM in base64; the object is left out. A Certificate makes its own requests")
        return None
    if "duration" in spec:
        spec["duration"] = todays_duration(spec["duration"], "spec.duration", notes)
    return {
        "apiVersion": API_VERSION,
        "kind": "CertificateRequest",
        "metadata": todays_metadata(obj.get("metadata"), notes),
        "spec": {"request": request, **spec},
    }


def _is_pem(request: str) -> bool:
    try:
        return base64.b64decode(request, validate=True).lstrip().startswith(_BEGIN)
    except (binascii.Error, ValueError):
        return False
