"""spec.acme and status.acme of Issuers and ClusterIssuers: an ACME server and one's account there (RFC 8555).

Pure: reading never fails; what cannot be read is told in a sentence. signer/edge/issuers/spec.py says what is wanted of it.
Source: https://cert-manager.io/docs/reference/api-docs/#acme.cert-manager.io/v1.ACMEIssuer
"""

from typing import Any

import msgspec

from signer.api.issuer import Issuer
from signer.api.meta import read_part, unsupported_fields


class SecretKeyRef(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One entry of a Secret; an empty key is the use's default."""

    name: str = ""
    key: str = ""


class ExternalAccountBinding(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The account at the server's operator. keyAlgorithm is of the past: it is always HS256."""

    key_id: str = msgspec.field(name="keyID", default="")
    key_secret_ref: SecretKeyRef = SecretKeyRef()
    key_algorithm: str = ""


class AcmeSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """spec.acme as it is written; `ca_bundle` is PEM, and each solver is as received."""

    server: str = ""
    email: str = ""
    private_key_secret_ref: SecretKeyRef = SecretKeyRef()
    ca_bundle: bytes = b""
    skip_tls_verify: bool = msgspec.field(name="skipTLSVerify", default=False)
    external_account_binding: ExternalAccountBinding | None = None
    preferred_chain: str = ""
    profile: str = ""
    disable_account_key_generation: bool = False
    enable_duration_feature: bool = False
    solvers: tuple[Any, ...] = ()


class AcmeStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """status.acme: the account as it was last registered; the hash is of the public key, as cert-manager makes it.

    `last_server` and `last_external_account` are ours: the directory and the binding's keyID that the account was got with.
    """

    uri: str = ""
    last_registered_email: str = ""
    last_private_key_hash: str = ""
    last_server: str = ""
    last_external_account: str = ""


def read_acme(issuer: Issuer) -> tuple[AcmeSpec, str]:
    """Return spec.acme and "", or an empty one and a sentence that names the field."""
    raw = issuer.raw_spec if isinstance(issuer.raw_spec, dict) else {}
    return read_part(raw.get("acme"), AcmeSpec, "spec.acme")


def unsupported(issuer: Issuer) -> tuple[str, ...]:
    """Name the fields of spec.acme that are set and that we know nothing of."""
    raw = issuer.raw_spec if isinstance(issuer.raw_spec, dict) else {}
    return unsupported_fields(raw.get("acme"), AcmeSpec, "spec.acme")


def read_acme_status(issuer: Issuer) -> AcmeStatus:
    """Return status.acme, empty when it cannot be read: it is ours to write again."""
    raw = issuer.raw_status if isinstance(issuer.raw_status, dict) else {}
    return read_part(raw.get("acme"), AcmeStatus, "status.acme")[0]
