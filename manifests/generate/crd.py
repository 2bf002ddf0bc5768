"""Puts schemas into CustomResourceDefinitions: names, columns, subresources, and the mark that says they are ours."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from manifests.generate.casource import source_spec, source_status
from manifests.generate.certificate import certificate_spec, certificate_status
from manifests.generate.certificaterequest import REQUEST_RULES, request_spec, request_status
from manifests.generate.edgepolicy import edge_policy_spec, edge_policy_status
from manifests.generate.hostclaim import CLAIM_RULES, claim_spec, claim_status
from manifests.generate.issuer import issuer_spec, issuer_status
from manifests.generate.order import challenge_spec, challenge_status, order_spec, order_status
from manifests.generate.schema import Rule, Schema, record, string
from manifests.generate.signerbinding import BINDING_RULES, binding_spec, binding_status
from manifests.generate.signerpolicy import policy_spec, policy_status
from manifests.generate.signerrecord import record_spec, record_status
from manifests.generate.tenantbridge import (
    BRIDGE_RULES,
    bridge_policy_spec,
    bridge_policy_status,
    bridge_spec,
    bridge_status,
)
from signer.api.casource import CA_SOURCES
from signer.api.certificate import CERTIFICATES
from signer.api.certificaterequest import CERTIFICATE_REQUESTS
from signer.api.challenge import CHALLENGES
from signer.api.crd import OURS_ANNOTATION
from signer.api.edgepolicy import EDGE_POLICIES
from signer.api.hostclaim import HOST_CLAIMS
from signer.api.issuer import CLUSTER_ISSUERS, ISSUERS
from signer.api.order import ORDERS
from signer.api.signerbinding import SIGNER_BINDINGS
from signer.api.signerpolicy import MESH_GROUP, SIGNER_POLICIES
from signer.api.signerrecord import SIGNER_RECORDS
from signer.api.tenantbridge import TENANT_BRIDGES
from signer.api.tenantbridgepolicy import TENANT_BRIDGE_POLICIES
from signer.kube.resource import Resource

OURS = {"app.kubernetes.io/part-of": "mesh-signer"}


def condition_column(name: str, condition: str, what: str = "status", *, wide: bool = False) -> dict[str, Any]:
    """A printer column that shows one condition's status or message."""
    return column(name, f'.status.conditions[?(@.type == "{condition}")].{what}', wide=wide)


def column(name: str, path: str, *, kind: str = "string", wide: bool = False) -> dict[str, Any]:
    """A printer column; `wide` ones are shown with `kubectl get -o wide` only."""
    return {"name": name, "type": kind, "jsonPath": path, **({"priority": 1} if wide else {})}


_AGE = column("Age", ".metadata.creationTimestamp", kind="date")
_STATUS = condition_column("Status", "Ready", "message", wide=True)
_ISSUER_FIELDS = tuple(f".spec.issuerRef.{name}" for name in ("group", "kind", "name"))


@dataclass(frozen=True)
class Kind:
    """What is different from one CustomResourceDefinition to the next."""

    resource: Resource
    description: str
    spec: Schema
    status: Schema
    columns: tuple[dict[str, Any], ...]
    short_names: tuple[str, ...] = ()
    spec_required: bool = False
    selectable: tuple[str, ...] = ()
    rules: Iterable[Rule] = field(default=())
    categories: tuple[str, ...] = ("cert-manager",)


_acme_kind = partial(
    Kind, spec_required=True, selectable=_ISSUER_FIELDS, categories=("cert-manager", "cert-manager-acme")
)
_mesh_kind = partial(Kind, spec_required=True, categories=("mesh-signer",))


def kinds() -> tuple[Kind, ...]:
    """The four kinds of cert-manager.io/v1."""
    return (
        Kind(
            resource=CLUSTER_ISSUERS,
            description="A ClusterIssuer signs certificates for every namespace.",
            spec=issuer_spec(),
            status=issuer_status(),
            columns=(condition_column("Ready", "Ready"), _STATUS, _AGE),
            short_names=("ciss",),
            spec_required=True,
        ),
        Kind(
            resource=ISSUERS,
            description="An Issuer signs certificates for its own namespace.",
            spec=issuer_spec(),
            status=issuer_status(),
            columns=(condition_column("Ready", "Ready"), _STATUS, _AGE),
            short_names=("iss",),
            spec_required=True,
        ),
        Kind(
            resource=CERTIFICATES,
            description="A Certificate keeps a key and a valid certificate in a Secret, renewed in time.",
            spec=certificate_spec(),
            status=certificate_status(),
            columns=(
                condition_column("Ready", "Ready"),
                column("Secret", ".spec.secretName"),
                column("Issuer", ".spec.issuerRef.name", wide=True),
                _STATUS,
                _AGE,
            ),
            short_names=("cert", "certs"),
            selectable=_ISSUER_FIELDS,
        ),
        Kind(
            resource=CERTIFICATE_REQUESTS,
            description="A CertificateRequest asks an issuer for one certificate, once.",
            spec=request_spec(),
            status=request_status(),
            columns=(
                condition_column("Approved", "Approved"),
                condition_column("Denied", "Denied"),
                condition_column("Ready", "Ready"),
                column("Issuer", ".spec.issuerRef.name"),
                column("Requester", ".spec.username"),
                _STATUS,
                _AGE,
            ),
            short_names=("cr", "crs"),
            selectable=_ISSUER_FIELDS,
            rules=REQUEST_RULES,
        ),
    )


def acme_kinds() -> tuple[Kind, ...]:
    """The two kinds of acme.cert-manager.io/v1."""
    reason = column("Reason", ".status.reason", wide=True)
    return (
        _acme_kind(
            resource=ORDERS,
            description="An Order is one issuance by an ACME server. mesh-signer makes it, and works only on its own.",
            spec=order_spec(),
            status=order_status(),
            columns=(
                column("State", ".status.state"),
                column("Issuer", ".spec.issuerRef.name", wide=True),
                reason,
                _AGE,
            ),
        ),
        _acme_kind(
            resource=CHALLENGES,
            description="A Challenge proves one name of an Order. mesh-signer makes it, and works only on its own.",
            spec=challenge_spec(),
            status=challenge_status(),
            columns=(column("State", ".status.state"), column("Domain", ".spec.dnsName"), reason, _AGE),
        ),
    )


def mesh_kinds() -> tuple[Kind, ...]:
    """The eight kinds of mesh-signer.dev/v1alpha1."""
    return (
        _mesh_kind(
            resource=SIGNER_POLICIES,
            description="A SignerPolicy gives signers to namespaces, within limits. Admins write it.",
            spec=policy_spec(),
            status=policy_status(),
            columns=(
                condition_column("Ready", "Ready"),
                column("Signers", ".spec.signers"),
                column("Namespaces", ".status.namespaceCount", kind="integer"),
                condition_column("Conflict", "Conflict"),
                column("Issued", ".status.issued", kind="integer", wide=True),
                column("Refused", ".status.refused", kind="integer", wide=True),
                _STATUS,
                _AGE,
            ),
            short_names=("spol",),
        ),
        _mesh_kind(
            resource=SIGNER_BINDINGS,
            description="A SignerBinding keeps which namespace owns a signer. mesh-signer makes it, admins remove it.",
            spec=binding_spec(),
            status=binding_status(),
            columns=(
                column("Namespace", ".spec.namespace"),
                column("Last issued", ".status.lastIssuedTime", kind="date"),
                column("Claim ended", ".status.claimEndedTime", kind="date"),
                _AGE,
            ),
            short_names=("sbind",),
            rules=BINDING_RULES,
        ),
        _mesh_kind(
            resource=SIGNER_RECORDS,
            description="A SignerRecord keeps what is remembered of a mesh signer. mesh-signer alone writes it.",
            spec=record_spec(),
            status=record_status(),
            columns=(
                column("Signer", ".spec.signerName"),
                column("Given out", ".status.givenOut", kind="boolean"),
                _AGE,
            ),
            short_names=("srec",),
        ),
        _mesh_kind(
            resource=EDGE_POLICIES,
            description="An EdgePolicy gives public hosts to namespaces, within limits. Admins write it.",
            spec=edge_policy_spec(),
            status=edge_policy_status(),
            columns=(
                condition_column("Ready", "Ready"),
                column("Hosts", ".spec.hostSuffixes"),
                column("Claimed", ".status.hosts", kind="integer"),
                _STATUS,
                _AGE,
            ),
            short_names=("epol",),
        ),
        _mesh_kind(
            resource=HOST_CLAIMS,
            description="A HostClaim keeps which namespace has a public host. mesh-signer makes it, admins remove it.",
            spec=claim_spec(),
            status=claim_status(),
            columns=(
                column("Host", ".spec.host"),
                column("Namespace", ".spec.namespace"),
                condition_column("Conflict", "Conflict"),
                column("Unused", ".status.unusedSince", kind="date"),
                _AGE,
            ),
            short_names=("hclaim",),
            rules=CLAIM_RULES,
        ),
        _mesh_kind(
            resource=CA_SOURCES,
            description="A CASource asks for the CA of a Certificate or Secret, to inject it. mesh-signer alone writes it.",
            spec=source_spec(),
            status=source_status(),
            columns=(
                column("Kind", ".spec.kind"),
                column("Namespace", ".spec.namespace"),
                column("Source", ".spec.name"),
                column("Reason", ".status.reason"),
                column("Status", ".status.message", wide=True),
                _AGE,
            ),
            short_names=("casrc",),
        ),
        _mesh_kind(
            resource=TENANT_BRIDGES,
            description="A TenantBridge lets one workload of another tenant reach services of its namespace.",
            spec=bridge_spec(),
            status=bridge_status(),
            columns=(
                condition_column("Ready", "Ready"),
                column("Client", ".spec.client.namespace"),
                column("Account", ".spec.client.serviceAccount"),
                column("Hosts", ".spec.hosts"),
                condition_column("Working", "Working"),
                condition_column("Contained", "Contained"),
                column("Until", ".spec.endTime", kind="date", wide=True),
                _STATUS,
                _AGE,
            ),
            short_names=("bridge",),
            rules=BRIDGE_RULES,
        ),
        _mesh_kind(
            resource=TENANT_BRIDGE_POLICIES,
            description="A TenantBridgePolicy says which tenants may be joined by bridges. Admins write it.",
            spec=bridge_policy_spec(),
            status=bridge_policy_status(),
            columns=(
                condition_column("Ready", "Ready"),
                column("Bridges", ".status.bridges", kind="integer"),
                _STATUS,
                _AGE,
            ),
            short_names=("bpol",),
        ),
    )


def definition(kind: Kind) -> Mapping[str, Any]:
    """The CustomResourceDefinition of one kind, as it is sent to the API server."""
    resource = kind.resource
    root = record(
        kind.description,
        {
            "apiVersion": string(resource.api_version),
            "kind": string(resource.kind),
            "metadata": {"type": "object"},
            "spec": kind.spec,
            "status": kind.status,
        },
        required=["spec"] if kind.spec_required else [],
        rules=kind.rules,
    )
    version: dict[str, Any] = {
        "name": resource.version,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": list(kind.columns),
    }
    if kind.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in kind.selectable]
    version["schema"] = {"openAPIV3Schema": root}
    names: dict[str, Any] = {
        "kind": resource.kind,
        "listKind": f"{resource.kind}List",
        "plural": resource.plural,
        "singular": resource.kind.lower(),
        "categories": list(kind.categories),
    }
    if kind.short_names:
        names["shortNames"] = list(kind.short_names)
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": str(resource),
            "labels": dict(OURS),
            # On our own kinds it would say nothing: nobody else has them.
            **({} if resource.group == MESH_GROUP else {"annotations": {OURS_ANNOTATION: "v1"}}),
        },
        "spec": {
            "group": resource.group,
            "names": names,
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "versions": [version],
        },
    }
