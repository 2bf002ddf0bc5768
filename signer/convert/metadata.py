"""Metadata of converted objects: what only the API server sets goes, annotations get today's names. Pure."""

from typing import Any

from signer.convert.fields import Table
from signer.convert.note import Notes, mapping, shown

_OF_THE_SERVER = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "selfLink",
    "uid",
)
METADATA: Table = dict.fromkeys(
    (
        *_OF_THE_SERVER,
        "annotations",
        "clusterName",
        "finalizers",
        "generateName",
        "labels",
        "name",
        "namespace",
        "ownerReferences",
    )
)
"""All that an object's metadata ever had."""
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_OLD = "certmanager.k8s.io/"

_RENAMED = {
    "certmanager.k8s.io/issuer": "cert-manager.io/issuer",
    "certmanager.k8s.io/cluster-issuer": "cert-manager.io/cluster-issuer",
    "certmanager.k8s.io/common-name": "cert-manager.io/common-name",
    "certmanager.k8s.io/issue-temporary-certificate": "cert-manager.io/issue-temporary-certificate",
    "certmanager.k8s.io/acme-http01-edit-in-place": "acme.cert-manager.io/http01-edit-in-place",
    "certmanager.k8s.io/acme-http01-ingress-class": "acme.cert-manager.io/http01-ingress-class",
    "certmanager.k8s.io/allow-direct-injection": "cert-manager.io/allow-direct-injection",
    "certmanager.k8s.io/inject-apiserver-ca": "cert-manager.io/inject-apiserver-ca",
    "certmanager.k8s.io/inject-ca-from": "cert-manager.io/inject-ca-from",
    "certmanager.k8s.io/inject-ca-from-secret": "cert-manager.io/inject-ca-from-secret",
}
_GONE = {
    "certmanager.k8s.io/acme-challenge-type": "the issuer's solvers decide between http01 and dns01",
    "certmanager.k8s.io/acme-dns01-provider": "the issuer's solvers name the provider",
    "kubernetes.io/ingress.allow-http": (
        "Istio's gateways do not read it; httpsRedirect on the Gateway's port 80 does what is meant"
    ),
}


def todays_metadata(metadata: object, notes: Notes, *, cluster_scoped: bool = False) -> dict[str, Any]:
    """Return the metadata to apply: without what the API server sets, with annotations of today's names."""
    kept = {name: value for name, value in mapping(metadata).items() if name not in _OF_THE_SERVER}
    for name in ("ownerReferences", "finalizers"):
        if kept.pop(name, None):
            notes.add(f"metadata.{name}", "left out: it belongs to the cluster that the object was read from")
    if cluster_scoped and kept.pop("namespace", None):
        notes.add("metadata.namespace", "left out: the kind has no namespace; its Secrets are in the signer's own")
    annotations = _annotations(mapping(kept.pop("annotations", None)), notes)
    if annotations:
        kept["annotations"] = annotations
    return kept


def with_todays_annotations(obj: dict[str, Any], notes: Notes) -> dict[str, Any]:
    """Return an object of today's version whose annotations may still be of yesterday; nothing else is changed."""
    metadata = mapping(obj.get("metadata"))
    annotations = mapping(metadata.get("annotations"))
    if not any(key.startswith(_OLD) for key in annotations):
        return obj
    return {**obj, "metadata": {**metadata, "annotations": _annotations(annotations, notes)}}


def _annotations(old: dict[str, Any], notes: Notes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in old.items():
        place = f"metadata.annotations[{shown(key)}]"
        if key == _LAST_APPLIED:
            continue
        if key in _RENAMED:
            found.setdefault(_RENAMED[key], value)
        elif key in _GONE:
            notes.add(place, f"has no equivalent: {_GONE[key]}")
        elif key.startswith(_OLD):
            notes.add(place, "has no equivalent and is left out")
        else:
            found[key] = value
    return found
