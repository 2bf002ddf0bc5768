"""Issuers and ClusterIssuers of cert-manager.io/v1, as far as we read them.

Pure: reading never fails. What cannot be read is told in `problem`, so that one bad object does not stop the others.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import msgspec

from signer.api.meta import Condition, unsupported_fields
from signer.api.parts import HasStatus
from signer.kube.resource import Resource

GROUP = "cert-manager.io"
ISSUERS = Resource(GROUP, "v1", "issuers", "Issuer", namespaced=True)
CLUSTER_ISSUERS = Resource(GROUP, "v1", "clusterissuers", "ClusterIssuer", namespaced=False)

IssuerKind = Literal["Issuer", "ClusterIssuer"]


@dataclass(frozen=True, slots=True, order=True)
class IssuerRef:
    """Names one issuer of our group: `namespace` is "" for a ClusterIssuer."""

    kind: IssuerKind
    namespace: str
    name: str

    def __str__(self) -> str:
        """Name it as people do: "ClusterIssuer foo", "Issuer shop/foo"."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    @property
    def resource(self) -> Resource:
        """Where the API server has it."""
        return CLUSTER_ISSUERS if self.kind == "ClusterIssuer" else ISSUERS


class CAIssuer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """spec.ca: signs with the CA in a Secret."""

    secret_name: str = ""
    crl_distribution_points: tuple[str, ...] = ()
    ocsp_servers: tuple[str, ...] = ()
    issuing_certificate_urls: tuple[str, ...] = msgspec.field(name="issuingCertificateURLs", default=())


class SelfSignedIssuer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """spec.selfSigned: signs each certificate with its own key."""

    crl_distribution_points: tuple[str, ...] = ()


class IssuerSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The issuer's type is the one field that is set; acme, vault and venafi are kept as they are."""

    ca: CAIssuer | None = None
    self_signed: SelfSignedIssuer | None = None
    acme: dict[str, Any] | None = None
    vault: dict[str, Any] | None = None
    venafi: dict[str, Any] | None = None


class IssuerStatus(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """status: what the last look at the issuer found."""

    conditions: tuple[Condition, ...] = ()


class Issuer(HasStatus[IssuerSpec, IssuerStatus], frozen=True, kw_only=True, rename="camel", dict=True):
    """An Issuer or a ClusterIssuer. `raw_spec` and `raw_status` are as received; use `spec`, `status`, `problem`."""

    spec_type = IssuerSpec
    status_type = IssuerStatus
    api_version: str = "cert-manager.io/v1"
    kind: str = ""

    @cached_property
    def unsupported(self) -> tuple[str, ...]:
        """Fields that are set and that we know nothing of, as "spec.x"."""
        return unsupported_fields(self.raw_spec, IssuerSpec, "spec")

    @property
    def ref(self) -> IssuerRef:
        """The name of this issuer; the scope decides the kind, since lists may leave `kind` out."""
        namespace = self.metadata.namespace
        return IssuerRef("Issuer" if namespace else "ClusterIssuer", namespace, self.metadata.name)
