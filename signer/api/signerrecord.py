"""SignerRecords of mesh-signer.dev/v1alpha1: what is remembered of a mesh signer. We write them, nobody else.

Pure: reading never fails. signer/tenancy/records.py says what one means.
"""

import msgspec

from signer.api.parts import HasStatus
from signer.api.signerpolicy import MESH_GROUP
from signer.kube.resource import Resource

SIGNER_RECORDS = Resource(MESH_GROUP, "v1alpha1", "signerrecords", "SignerRecord", namespaced=False)


class SignerRecordSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The spec: the full signer name."""

    signer_name: str = ""


class RecordedCertificate(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A certificate of a CA that the signer has or had: `role` is CA or Above; `certificate` DER in base64."""

    role: str = ""
    certificate: str = ""
    first_seen_time: str | None = None


class SignerRecordStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The status; times are RFC 3339 text."""

    certificates: tuple[RecordedCertificate, ...] = ()
    mesh_configs: tuple[str, ...] = ()
    given_out: bool = False
    given_out_until_time: str | None = None


class SignerRecord(
    HasStatus[SignerRecordSpec, SignerRecordStatus], frozen=True, kw_only=True, rename="camel", dict=True
):
    """A SignerRecord. `raw_spec` and `raw_status` are as received; use `spec`, `status`, `problem`."""

    spec_type = SignerRecordSpec
    status_type = SignerRecordStatus
