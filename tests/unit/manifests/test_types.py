"""What the CRDs say of a field and what the program takes it for are one thing: names, types, nesting, choices."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec import inspect

from issuers.x509.usages import EXTENDED_USAGES, key_usage_names
from manifests.generate.crd import acme_kinds, kinds, mesh_kinds
from manifests.generate.references import KEY_USAGES
from manifests.generate.schema import Schema
from signer.api import (
    casource,
    certificate,
    certificaterequest,
    challenge,
    edgepolicy,
    hostclaim,
    issuer,
    order,
    signerbinding,
    signerpolicy,
    signerrecord,
    tenantbridge,
    tenantbridgepolicy,
)
from signer.api.acmeissuer import AcmeSpec, AcmeStatus

READ: dict[str, tuple[type[msgspec.Struct], type[msgspec.Struct]]] = {
    "CASource": (casource.CASourceSpec, casource.CASourceStatus),
    "Certificate": (certificate.CertificateSpec, certificate.CertificateStatus),
    "CertificateRequest": (certificaterequest.CertificateRequestSpec, certificaterequest.CertificateRequestStatus),
    "Challenge": (challenge.ChallengeSpec, challenge.ChallengeStatus),
    "ClusterIssuer": (issuer.IssuerSpec, issuer.IssuerStatus),
    "EdgePolicy": (edgepolicy.EdgePolicySpec, edgepolicy.EdgePolicyStatus),
    "HostClaim": (hostclaim.HostClaimSpec, hostclaim.HostClaimStatus),
    "Issuer": (issuer.IssuerSpec, issuer.IssuerStatus),
    "Order": (order.OrderSpec, order.OrderStatus),
    "SignerBinding": (signerbinding.SignerBindingSpec, signerbinding.SignerBindingStatus),
    "SignerRecord": (signerrecord.SignerRecordSpec, signerrecord.SignerRecordStatus),
    "TenantBridge": (tenantbridge.TenantBridgeSpec, tenantbridge.TenantBridgeStatus),
    "TenantBridgePolicy": (tenantbridgepolicy.TenantBridgePolicySpec, tenantbridgepolicy.TenantBridgePolicyStatus),
    "SignerPolicy": (signerpolicy.SignerPolicySpec, signerpolicy.SignerPolicyStatus),
}
KINDS = {kind.resource.kind: kind for kind in (*kinds(), *acme_kinds(), *mesh_kinds())}
# cert-manager's CRD of requests alone has it not; it is not written there.
NOT_THERE = {("CertificateRequest", "status.conditions[].observedGeneration")}
WORDS: dict[Any, dict[str, str]] = {
    inspect.BoolType: {"type": "boolean"},
    inspect.BytesType: {"type": "string", "format": "byte"},
    inspect.DictType: {"type": "object"},
    inspect.IntType: {"type": "integer"},
    inspect.StrType: {"type": "string"},
    inspect.StructType: {"type": "object"},
    inspect.VarTupleType: {"type": "array"},
}


def differences(schema: Schema, struct: type[msgspec.Struct], path: str) -> Iterator[str]:
    """Name what a Struct reads that the schema has not, or has otherwise."""
    for field in msgspec.structs.fields(struct):
        where = f"{path}.{field.encode_name}"
        found = schema["properties"].get(field.encode_name)
        yield from [where] if found is None else _of_type(found, inspect.type_info(field.type), where)


def _of_type(schema: Schema, kind: Any, where: str) -> Iterator[str]:
    if isinstance(kind, inspect.UnionType):
        (kind,) = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
    if isinstance(kind, inspect.AnyType):
        return
    if isinstance(kind, inspect.LiteralType):
        if schema["type"] != "string" or set(schema["enum"]) != set(kind.values) - {""}:
            yield f"{where}: {kind.values}"
    elif not WORDS[type(kind)].items() <= schema.items():
        yield f"{where}: {WORDS[type(kind)]}"
    elif isinstance(kind, inspect.StructType):
        yield from differences(schema, kind.cls, where)
    elif isinstance(kind, inspect.VarTupleType):
        yield from _of_type(schema["items"], kind.item_type, f"{where}[]")
    elif isinstance(kind, inspect.DictType) and "additionalProperties" in schema:
        yield from _of_type(schema["additionalProperties"], kind.value_type, f"{where}[]")


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_is_read_is_there(kind: str) -> None:
    """Each field that we read or write is one of the CRD, of the type that we take it for: else it would be pruned."""
    spec, status = READ[kind]
    found = {*differences(KINDS[kind].spec, spec, "spec"), *differences(KINDS[kind].status, status, "status")}
    assert {(kind, one) for one in found} == {one for one in NOT_THERE if one[0] == kind}


@pytest.mark.parametrize("kind", ["ClusterIssuer", "Issuer"])
def test_what_is_read_of_acme(kind: str) -> None:
    """The same of an issuer's ACME server and account, which are read apart."""
    spec, status = (part["properties"]["acme"] for part in (KINDS[kind].spec, KINDS[kind].status))
    assert [*differences(spec, AcmeSpec, "spec.acme"), *differences(status, AcmeStatus, "status.acme")] == []


def test_usages() -> None:
    """Each usage that may be written is one that we can put into a certificate, and no such is missing."""
    assert set(KEY_USAGES) == {"signing", *key_usage_names((1 << 9) - 1), *EXTENDED_USAGES}
