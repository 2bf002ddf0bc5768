"""CertificateRequests as a user makes them, and as an approver decides."""

import base64

from cryptography import x509

from issuers.compose import compose_request
from issuers.private_key import generate_key
from issuers.x509.subject import Subject
from tests.integration.slow_controllers import Json, World, chain

KEY = generate_key("ECDSA", 256)
CSR = compose_request(KEY, subject=Subject(common_name="user"), dns_names=["user.example"])


async def ask(here: World, issuer: str, name: str = "asked", *, notes: Json | None = None, **fields: object) -> Json:
    spec: Json = {
        "request": base64.b64encode(CSR).decode(),
        "issuerRef": {"name": issuer, "kind": "ClusterIssuer"},
    } | fields
    return await here.create("CertificateRequest", name, spec, annotations=notes or {})


def certificate_of(request: Json) -> x509.Certificate:
    return chain(base64.b64decode(request["status"]["certificate"]))[0]
