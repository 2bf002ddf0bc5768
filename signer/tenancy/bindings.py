"""What a SignerBinding says, and how one is written. Pure."""

from datetime import UTC, datetime
from typing import Any

from signer.api.issuer import IssuerRef
from signer.api.meta import from_rfc3339
from signer.api.names import is_label
from signer.api.signerbinding import SIGNER_BINDINGS, SignerBinding
from signer.api.signername import signer_name_of
from signer.api.text import shown
from signer.tenancy.world import Binding

_UNKNOWN = datetime.fromtimestamp(0, UTC)


def binding_name(signer: IssuerRef) -> str:
    """Name the SignerBinding of a ClusterIssuer: its own name, so that there can be one only.

    Raises ValueError for an Issuer: it belongs to its own namespace, and to no other.
    """
    if signer.kind != "ClusterIssuer":
        raise ValueError(f"{signer} needs no SignerBinding: it belongs to its own namespace")
    return signer.name


def new_binding(signer: IssuerRef, namespace: str, uid: str) -> dict[str, Any]:
    """Return the SignerBinding to create. Raises ValueError for an Issuer."""
    return {
        "apiVersion": SIGNER_BINDINGS.api_version,
        "kind": SIGNER_BINDINGS.kind,
        "metadata": {"name": binding_name(signer), "labels": {"app.kubernetes.io/part-of": "mesh-signer"}},
        "spec": {"signerName": signer_name_of(signer), "namespace": namespace, "namespaceUID": uid},
    }


def read_binding(obj: SignerBinding) -> Binding:
    """Read a SignerBinding; never raises.

    The object's name says which signer it is about, even if nothing else can be read: then `problem` is set, and the
    signer belongs to nobody until an admin mends or removes the object.
    """
    signer = IssuerRef("ClusterIssuer", "", obj.metadata.name)
    created = from_rfc3339(obj.metadata.creation_timestamp) or _UNKNOWN
    if problem := obj.problem or _problem(obj, signer):
        return Binding(signer, "", "", created, problem=problem)
    return Binding(
        signer,
        obj.spec.namespace,
        obj.spec.namespace_uid,
        created,
        claim_ended=from_rfc3339(obj.status.claim_ended_time),
        last_issued=from_rfc3339(obj.status.last_issued_time),
    )


def _problem(obj: SignerBinding, signer: IssuerRef) -> str:
    if obj.spec.signer_name != signer_name_of(signer):
        return f"spec.signerName: is {shown(obj.spec.signer_name)}, and by its name must be {signer_name_of(signer)}"
    if not is_label(obj.spec.namespace):
        return f"spec.namespace: {shown(obj.spec.namespace)} is not a valid namespace name"
    if not obj.spec.namespace_uid:
        return "spec.namespaceUID: is missing"
    return ""
