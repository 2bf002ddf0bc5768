"""Which Secrets a certificate must never be written to, however a Gateway names them.

Pure. istiod loads its CA from `cacerts`, its own certificate from `istiod-tls`, and remote clusters from any Secret with
the label istio/multiCluster: who may name a Secret must not thereby choose what the mesh trusts.
Source: Istio, pilot/pkg/bootstrap and security/pkg/pki/ca (names of Secrets); pilot/pkg/credentials (suffix -cacert).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from signer.api.secret import TLS_TYPE
from signer.api.text import shown
from signer.tenancy.verdict import Reason

RESERVED = frozenset(
    (
        "cacerts",
        "external-ca-cert",
        "istio-ca-root-cert",
        "istio-ca-secret",
        "istio-kubeconfig",
        "istiod-tls",
        "istio-ztunnel",
    )
)
READ_SUFFIXES = ("-cacert",)
READ_PREFIXES = ("istio-remote-secret-", "bootstrap-token-", "sh.helm.release.")
"""With RESERVED, what the admission policy of the controllers' Secrets has too (manifests/base/admission-controllers.yaml)."""
_OURS = "mesh-signer-"
_MULTI_CLUSTER = "istio/multiCluster"

RESERVED_NAME = "ReservedSecretName"


@dataclass(frozen=True, slots=True)
class Existing:
    """What there is under the name: never its key. `is_ca`: its certificate is a CA's, or an issuer signs with it."""

    uid: str
    type: str
    is_ca: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)


def read_by_istio(name: str) -> bool:
    """Tell whether a Secret of this name, made by us for whatever purpose, would be read by Istio or Kubernetes."""
    return name in RESERVED or name.endswith(READ_SUFFIXES) or name.startswith(READ_PREFIXES)


def reserved_name(name: str) -> Reason | None:
    """Tell when a Secret's name is not for certificates of gateways."""
    if read_by_istio(name) or name.startswith(_OURS):
        return Reason(RESERVED_NAME, f"{shown(name)} is a name that Istio or Kubernetes reads; choose another")
    return None


def in_the_way(name: str, existing: Existing | None, our_uid: str | None, *, issuers_ca: bool = False) -> Reason | None:
    """Tell when what is there must not be written over.

    `our_uid` is the uid of the Secret that we ourselves made, from our own record and not from its annotations;
    `issuers_ca`: an issuer names this Secret as its CA, whether it is there or not.
    """
    if issuers_ca or (existing is not None and existing.is_ca):
        return Reason("CASecret", f"Secret {shown(name)} is a CA's; choose another name")
    if existing is None:
        return None
    if _MULTI_CLUSTER in existing.labels:
        return Reason(
            "ForeignSecret", f"Secret {shown(name)} makes a remote cluster ({_MULTI_CLUSTER}); choose another"
        )
    if existing.uid == our_uid:
        return None
    if existing.type != TLS_TYPE:
        return Reason(
            "ForeignSecret", f"Secret {shown(name)} already exists with type {shown(existing.type)}; choose another"
        )
    return Reason(
        "ForeignSecret",
        f"Secret {shown(name)} already exists and was not made by mesh-signer for this; delete it, or choose another name",
    )
