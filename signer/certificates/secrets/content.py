"""What a Certificate's Secret must look like, and whether the one that is there does.

Pure. Writing is server-side apply under one field manager, so that the entries of a secretTemplate that are gone from the
spec go from the Secret too, and what others put there stays.
"""

import base64
import csv
import hashlib
import io
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from issuers.x509.general_names import GeneralNames
from signer.api.certificate import CERTIFICATES, Certificate, IssuerReference, SecretTemplate
from signer.api.meta import controller_reference
from signer.api.secret import CA_CERT, TLS_CERT, TLS_KEY, TLS_TYPE, Secret
from signer.certificates import well_known
from signer.certificates.secrets.keystores import output_formats
from signer.certificates.secrets.leaf_names import leaf_names

_SUBJECT_ANNOTATIONS = {
    "organizations": NameOID.ORGANIZATION_NAME,
    "organizationalunits": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "countries": NameOID.COUNTRY_NAME,
    "provinces": NameOID.STATE_OR_PROVINCE_NAME,
    "localities": NameOID.LOCALITY_NAME,
    "postalcodes": NameOID.POSTAL_CODE,
    "streetaddresses": NameOID.STREET_ADDRESS,
}


@dataclass(frozen=True, slots=True)
class IssuedData:
    """What goes into the Secret's data; `ca` is empty when the issuer knows no root.

    `stores` are keystores by the name of their entry, `mark` says what they were made of. `issuer` is None for a
    temporary certificate. `issued_for` is the mark that says for what it was issued, "" where that is not known.
    """

    key: bytes = field(repr=False)
    chain: bytes
    ca: bytes
    issuer: IssuerReference | None
    stores: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    mark: str = ""
    issued_for: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """A Secret as we want it."""

    labels: dict[str, str]
    annotations: dict[str, str]
    data: dict[str, bytes] = field(repr=False)
    type: str
    owner: dict[str, Any] | None

    def apply_body(self, namespace: str, name: str, *, resource_version: str | None) -> dict[str, Any]:
        """The server-side apply configuration; with resourceVersion it fails when the Secret changed meanwhile."""
        metadata: dict[str, Any] = {
            "name": name,
            "namespace": namespace,
            "labels": self.labels,
            "annotations": self.annotations,
        }
        if resource_version:
            metadata["resourceVersion"] = resource_version
        if self.owner is not None:
            metadata["ownerReferences"] = [self.owner]
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "type": self.type,
            "data": {key: base64.b64encode(value).decode("ascii") for key, value in self.data.items()},
        }

    def differences(self, secret: Secret) -> tuple[str, ...]:
        """Name what must be written again: what is not as we want it, or is ours and no longer wanted; () for nothing."""
        meta = secret.metadata
        found = [key for key, value in self.data.items() if secret.data.get(key) != value]
        if CA_CERT not in self.data and secret.data.get(CA_CERT):
            found.append(CA_CERT)
        found += [f"label {key}" for key, value in self.labels.items() if meta.labels.get(key) != value]
        found += [f"annotation {key}" for key, value in self.annotations.items() if meta.annotations.get(key) != value]
        if self.owner is not None and not any(ref.uid == self.owner["uid"] for ref in meta.owner_references):
            found.append("ownerReferences")
        managed = secret.managed_by(well_known.FIELD_MANAGER)
        found += sorted(managed.data - self.data.keys() - set(found))
        found += sorted(f"label {key}" for key in managed.labels - self.labels.keys())
        found += sorted(f"annotation {key}" for key in managed.annotations - self.annotations.keys())
        found += sorted(f"fields of {name}" for name in former_managers(secret))
        return tuple(found)

    def wish(self, differences: Sequence[str]) -> Hashable:
        """What a write of these differences wants, by value: the same again says that somebody undid it.

        Keystores are made anew with other salts each time, so they count by what they are made of.
        """
        pair = tuple(hashlib.sha256(self.data.get(key, b"")).digest() for key in (TLS_KEY, TLS_CERT, CA_CERT))
        labels = tuple(sorted((*self.labels.items(), *self.annotations.items())))
        return tuple(differences), pair, tuple(entry for entry in labels if entry[0] != well_known.KEYSTORES)


def former_managers(secret: Secret) -> frozenset[str]:
    """Name those under whose names the Secret of a Certificate was written before: what is theirs is to become ours."""
    return frozenset(
        name
        for name in secret.appliers()
        if name == well_known.FORMER_MANAGER
        or (name.startswith(well_known.PEER_MANAGERS) and name != well_known.FIELD_MANAGER)
    )


def release_body(secret: Secret) -> dict[str, Any]:
    """The apply configuration by which a former manager gives up all that it had set, and what only it had set goes."""
    meta = secret.metadata
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": meta.name, "namespace": meta.namespace, "resourceVersion": meta.resource_version},
    }


def secret_content(
    certificate: Certificate, issued: IssuedData, leaf: x509.Certificate, *, existing: Secret | None, owner_ref: bool
) -> Content:
    """Compose the whole Secret: key, chain and root together, so that no reader ever sees halves of two issuances.

    The type of an existing Secret stays, since it cannot be changed.
    """
    template = certificate.spec.secret_template or SecretTemplate()
    data = {TLS_KEY: issued.key, TLS_CERT: issued.chain}
    if issued.ca:
        data[CA_CERT] = issued.ca
    data |= {**issued.stores, **output_formats(certificate.spec, issued.key, issued.chain)}
    annotations = {
        **template.annotations,
        **annotations_for(leaf),
        well_known.CERTIFICATE_NAME: certificate.metadata.name,
    }
    if issued.issuer is not None:
        annotations[well_known.ISSUER_NAME] = issued.issuer.name
        annotations[well_known.ISSUER_KIND] = issued.issuer.kind
        annotations[well_known.ISSUER_GROUP] = issued.issuer.group
    if issued.mark:
        annotations[well_known.KEYSTORES] = issued.mark
    if issued.issued_for:
        annotations[well_known.ISSUED_FOR] = issued.issued_for
    return Content(
        labels={**template.labels, well_known.FAO_LABEL: "true"},
        annotations=annotations,
        data=data,
        type=existing.type if existing is not None else TLS_TYPE,
        owner=owner_reference(certificate) if owner_ref else None,
    )


def issuer_of(secret: Secret, certificate: Certificate) -> IssuerReference:
    """The issuer that a Secret says its certificate came from, else the one of the spec."""
    notes = secret.metadata.annotations
    if well_known.ISSUER_NAME not in notes:
        return certificate.spec.issuer_ref
    return IssuerReference(
        name=notes[well_known.ISSUER_NAME],
        kind=notes.get(well_known.ISSUER_KIND, ""),
        group=notes.get(well_known.ISSUER_GROUP, ""),
    )


def owner_reference(certificate: Certificate) -> dict[str, Any]:
    """The Certificate as the controlling owner of what is made for it."""
    return controller_reference(CERTIFICATES, certificate.metadata)


def annotations_for(leaf: x509.Certificate) -> dict[str, str]:
    """Describe a certificate as cert-manager does on its Secrets: some entries are always there, if only empty."""
    read = leaf_names(leaf)
    found: dict[str, str] = {well_known.COMMON_NAME: ",".join(read.texts(NameOID.COMMON_NAME.dotted_string))}
    for name, oid in _SUBJECT_ANNOTATIONS.items():
        if values := read.texts(oid.dotted_string):
            found[well_known.SUBJECT_PREFIX + name] = _csv(values)
    if serial := read.texts(NameOID.SERIAL_NUMBER.dotted_string):
        found[well_known.SUBJECT_PREFIX + "serialnumber"] = serial[0]
    names = read.names or GeneralNames()
    found[well_known.ALT_NAMES] = _csv(names.dns_names)
    found[well_known.IP_SANS] = _csv(names.ip_addresses)
    found[well_known.URI_SANS] = _csv(names.uris)
    if names.email_addresses:
        found[well_known.EMAIL_SANS] = _csv(names.email_addresses)
    return found


def _csv(values: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue()
