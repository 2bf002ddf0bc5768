"""A Certificate that is in perfect order, with its Secret and its request, for tests that then spoil one thing.

Made once: keys are real, the certificate is signed by the code under use, all at a fixed time.
"""

import base64
import copy
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import msgspec

from issuers.certificate import self_sign, template_for
from issuers.private_key import encode_key, generate_key
from issuers.request import read_request
from issuers.x509.keys import PrivateKey
from signer.api.certificate import CERTIFICATES, Certificate
from signer.api.certificaterequest import CertificateRequest
from signer.api.secret import Secret
from signer.certificates.secrets.view import KeyView, view_key
from signer.certificates.spec.compose import compose_csr

Json = dict[str, Any]
NOW = datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC)
ISSUED = NOW - timedelta(days=10)

SPEC: Json = {
    "secretName": "leaf",
    "issuerRef": {"name": "root", "kind": "ClusterIssuer"},
    "commonName": "leaf.example",
    "subject": {"organizations": ["Org"], "countries": ["DE"], "serialNumber": "7"},
    "dnsNames": ["leaf.example", "www.leaf.example"],
    "ipAddresses": ["10.0.0.1", "fd00::1"],
    "uris": ["spiffe://td/ns/a/sa/b"],
    "emailAddresses": ["a@leaf.example"],
    "otherNames": [{"oid": "1.3.6.1.4.1.311.20.2.3", "utf8Value": "upn"}],
    "duration": "2160h",
    "usages": ["digital signature", "server auth"],
    "privateKey": {"algorithm": "ECDSA", "size": 256},
}


@cache
def key(_number: int) -> PrivateKey:
    """One of some keys that differ."""
    return generate_key("ECDSA", 256)


def key_pem(number: int = 0) -> bytes:
    return encode_key(key(number), "PKCS8")


def key_view(number: int = 0) -> KeyView:
    return view_key(key(number))


def certificate_json(**spec: Any) -> Json:
    """The sample's JSON; a field given as None is left out."""
    merged = {name: value for name, value in (copy.deepcopy(SPEC) | spec).items() if value is not None}
    return {
        "metadata": {
            "name": "leaf",
            "namespace": "shop",
            "uid": "uid-leaf",
            "generation": 3,
            "resourceVersion": "100",
        },
        "spec": merged,
        "status": {
            "revision": 1,
            "conditions": [
                {
                    "type": "Ready",
                    "status": "True",
                    "reason": "Ready",
                    "message": "Certificate is up to date and has not expired",
                    "lastTransitionTime": "2026-05-22T12:00:00Z",
                    "observedGeneration": 3,
                }
            ],
        },
    }


def certificate(**spec: Any) -> Certificate:
    return msgspec.convert(certificate_json(**spec), Certificate)


def with_status(found: Certificate, **status: Any) -> Certificate:
    """The same with other status fields; None removes one."""
    merged = {k: v for k, v in ((found.raw_status or {}) | status).items() if v is not None}
    return msgspec.structs.replace(found, raw_status=merged)


def request_json(revision: int = 1, key_number: int = 0, **spec: Any) -> Json:
    """The request that asked for the sample, answered with its certificate."""
    wanted = certificate(**spec)
    csr = compose_csr(wanted.spec, key(key_number))
    return {
        "metadata": {
            "name": f"leaf-{revision}",
            "namespace": "shop",
            "uid": f"uid-request-{revision}",
            "resourceVersion": "50",
            "annotations": {
                "cert-manager.io/certificate-name": "leaf",
                "cert-manager.io/certificate-revision": str(revision),
                "cert-manager.io/private-key-secret-name": "leaf-key",
            },
            "ownerReferences": [
                {
                    "apiVersion": CERTIFICATES.api_version,
                    "kind": "Certificate",
                    "name": "leaf",
                    "uid": "uid-leaf",
                    "controller": True,
                }
            ],
        },
        "spec": {
            "request": base64.b64encode(csr).decode(),
            "issuerRef": wanted.raw_spec["issuerRef"],
            "isCA": wanted.spec.is_ca,
            "usages": list(wanted.spec.usages),
            **({"duration": wanted.spec.duration} if wanted.spec.duration else {}),
        },
        "status": {
            "certificate": base64.b64encode(leaf_pem(csr, key_number)).decode(),
            "ca": base64.b64encode(b"the root").decode(),
            "conditions": [
                {"type": "Approved", "status": "True", "reason": "cert-manager.io", "message": "ok"},
                {"type": "Ready", "status": "True", "reason": "Issued", "message": "ok"},
            ],
        },
    }


def leaf_pem(csr: bytes, key_number: int = 0, issued: datetime = ISSUED, days: int = 90) -> bytes:
    read = read_request(csr)
    usages = ["digital signature", "server auth"]
    template = template_for(read, usages=usages, duration=timedelta(days=days), is_ca=False, now=issued)
    return self_sign(template, key(key_number), serial=5).pem


def request(revision: int = 1, key_number: int = 0, **spec: Any) -> CertificateRequest:
    return msgspec.convert(request_json(revision, key_number, **spec), CertificateRequest)


def secret_json() -> Json:
    answered = request_json()
    return {
        "metadata": {
            "name": "leaf",
            "namespace": "shop",
            "uid": "uid-secret",
            "resourceVersion": "70",
            "labels": {"controller.cert-manager.io/fao": "true"},
            "annotations": {
                "cert-manager.io/certificate-name": "leaf",
                "cert-manager.io/issuer-name": "root",
                "cert-manager.io/issuer-kind": "ClusterIssuer",
                "cert-manager.io/issuer-group": "",
            },
        },
        "type": "kubernetes.io/tls",
        "data": {
            "tls.key": base64.b64encode(key_pem()).decode(),
            "tls.crt": answered["status"]["certificate"],
            "ca.crt": answered["status"]["ca"],
        },
    }


def secret(**changes: Any) -> Secret:
    return msgspec.convert(secret_json() | changes, Secret)
