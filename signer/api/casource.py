"""CASources of mesh-signer.dev/v1alpha1: the CA injector asks for the CA of a Certificate or Secret, the controllers answer.

So whoever may write webhooks need not read Secrets. Pure: reading never fails; what cannot be read is told in `problem`.
"""

import hashlib

import msgspec

from signer.api.parts import HasStatus
from signer.api.signerpolicy import MESH_GROUP
from signer.kube.resource import Resource

CA_SOURCES = Resource(MESH_GROUP, "v1alpha1", "casources", "CASource", namespaced=False)


class CASourceSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whose CA is asked for. `kind` is Certificate or Secret."""

    kind: str = ""
    namespace: str = ""
    name: str = ""


class CASourceStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The answer: a bundle (PEM, as it is in ca.crt, byte for byte), or why there is none.

    `namespace_uid` is that of the namespace from which a bundle was given first; from another of its name none is given.
    """

    ca_bundle: bytes = msgspec.field(name="caBundle", default=b"")
    reason: str = ""
    message: str = ""
    namespace_uid: str = msgspec.field(name="namespaceUID", default="")


class CASource(HasStatus[CASourceSpec, CASourceStatus], frozen=True, kw_only=True, rename="camel", dict=True):
    """A CASource. `raw_spec` and `raw_status` are as received; use `spec`, `status`, `problem`."""

    spec_type = CASourceSpec
    status_type = CASourceStatus


def source_name(spec: CASourceSpec) -> str:
    """Name the one CASource that asks for this; two askers meet in it."""
    text = f"{spec.kind}/{spec.namespace}/{spec.name}".encode()
    return f"{spec.kind.lower()}-{hashlib.blake2b(text, digest_size=16).hexdigest()}"
