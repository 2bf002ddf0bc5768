"""What is made for a wish: the Certificate, the first Secret. Pure: dicts from values, names that follow.

Nothing of the user's labels and annotations is carried over: on a Secret `istio/multiCluster` would make a remote cluster,
and others would draw other controllers.
"""

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from signer.api.certificate import CERTIFICATES, Certificate, PrivateKeySpec
from signer.api.gateway import API_GATEWAYS, GATEWAYS
from signer.api.ingress import INGRESSES
from signer.api.labels import EDGE_LABEL, PART_OF, SOURCE_NAMESPACE, SOURCE_NAMESPACE_UID
from signer.api.retry import RETRY
from signer.api.secret import SECRETS, TLS_TYPE
from signer.edge.gateways.wish import Source, Wish
from signer.edge.host import Host
from signer.kube.resource import Resource

SOURCES = "mesh-signer.dev/sources"
PLACEHOLDER = "mesh-signer.dev/placeholder"
UNUSED_SINCE = "mesh-signer.dev/unused-since"
CERTIFICATE_NAME = "cert-manager.io/certificate-name"
SECRET_UID = "mesh-signer.dev/secret-uid"  # noqa: S105 - the annotation's name
FAO_LABEL = "controller.cert-manager.io/fao"
"""Which Secrets the controller of Certificates watches."""
_SOURCES_SHOWN = 16
_RESOURCES: Mapping[str, Resource] = {"Gateway": GATEWAYS, "APIGateway": API_GATEWAYS, "Ingress": INGRESSES}
_DEFAULT_KEY = PrivateKeySpec(algorithm="ECDSA", size=256, rotation_policy="Always")


def certificate_body(wish: Wish, namespace: str, *, source_namespace_uid: str, secret_uid: str = "") -> dict[str, Any]:
    """Return the Certificate for a wish, in the namespace where the proxy reads the Secret; it has the Secret's name.

    An ECDSA key unless annotations say otherwise: all of today's browsers take it, and a gateway serves more of them.
    `secret_uid`: of the Secret that we made beside it; no other is then written.
    """
    source = wish.sources[0].namespace
    metadata = _metadata(wish.secret_name, namespace, source, source_namespace_uid)
    metadata["annotations"][SOURCES] = ",".join(
        f"{one.kind}/{one.namespace}/{one.name}" for one in wish.sources[:_SOURCES_SHOWN]
    )
    if secret_uid:
        metadata["annotations"][SECRET_UID] = secret_uid
    if retry := wish.options.get("retry"):
        metadata["annotations"][RETRY] = retry
    if namespace == source:
        # The garbage collector removes it when the last of them is gone; no owner is of another namespace.
        metadata["ownerReferences"] = [_owner(one) for one in wish.sources[:_SOURCES_SHOWN]]
    spec: dict[str, Any] = {
        "secretName": wish.secret_name,
        "dnsNames": _names(wish.hosts),
        "issuerRef": dict(zip(("name", "kind", "group"), wish.issuer.normal(), strict=True)),
        "privateKey": _private_key(wish),
    }
    for field in ("commonName", "duration", "renewBefore"):
        if field in wish.options:
            spec[field] = wish.options[field]
    limit = wish.options.get("revisionHistoryLimit", "")
    if limit.isascii() and limit.isdigit() and 0 < int(limit[:4]) == int(limit):
        spec["revisionHistoryLimit"] = int(limit)
    return {"apiVersion": CERTIFICATES.api_version, "kind": CERTIFICATES.kind, "metadata": metadata, "spec": spec}


def _names(hosts: Iterable[Host]) -> list[str]:
    """The fewest names that serve all of these: CAs refuse a name beside a wildcard that covers it (Let's Encrypt)."""
    listed = list(hosts)
    wildcards = [str(one) for one in listed if one.wildcard]
    return [str(one) for one in listed if one.wildcard or not one.is_in(wildcards)]


def _private_key(wish: Wish) -> dict[str, Any]:
    options = wish.options
    algorithm = wish.key_algorithm or options.get("privateKey.algorithm", "") or _DEFAULT_KEY.algorithm
    found: dict[str, Any] = {
        "algorithm": algorithm,
        "rotationPolicy": options.get("privateKey.rotationPolicy") or _DEFAULT_KEY.rotation_policy,
    }
    size = options.get("privateKey.size", "")
    if size.isascii() and size.isdigit() and len(size) <= 5 and not wish.key_algorithm:
        found["size"] = int(size)
    elif algorithm == _DEFAULT_KEY.algorithm:
        found["size"] = _DEFAULT_KEY.size
    return found


def gateway_secret(
    wish: Wish, namespace: str, *, source_namespace_uid: str, data: Mapping[str, bytes], placeholder: bool
) -> dict[str, Any]:
    """Return the Secret to create (never to apply) before the certificate is there. `data`: certificate and key, PEM."""
    metadata = _metadata(wish.secret_name, namespace, wish.sources[0].namespace, source_namespace_uid)
    metadata["labels"][FAO_LABEL] = "true"
    metadata["annotations"][CERTIFICATE_NAME] = wish.secret_name
    if placeholder:
        metadata["annotations"][PLACEHOLDER] = "true"
    return _secret(metadata, data)


def by_hand_secret(certificate: Certificate, data: Mapping[str, bytes]) -> dict[str, Any]:
    """Return the Secret to create for a Certificate that a user wrote, with a placeholder: in all else it is the user's."""
    metadata = {
        "name": certificate.spec.secret_name,
        "namespace": certificate.metadata.namespace,
        "labels": {FAO_LABEL: "true"},
        "annotations": {CERTIFICATE_NAME: certificate.metadata.name},
    }
    return _secret(metadata, data)


def _secret(metadata: dict[str, Any], data: Mapping[str, bytes]) -> dict[str, Any]:
    return {
        "apiVersion": SECRETS.api_version,
        "kind": SECRETS.kind,
        "metadata": metadata,
        "type": TLS_TYPE,
        "data": {name: base64.b64encode(value).decode("ascii") for name, value in data.items()},
    }


def _metadata(name: str, namespace: str, source: str, source_uid: str) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": namespace,
        "labels": {**PART_OF, EDGE_LABEL: "true", SOURCE_NAMESPACE: source},
        "annotations": {SOURCE_NAMESPACE_UID: source_uid},
    }


def _owner(source: Source) -> dict[str, Any]:
    resource = _RESOURCES[source.kind]
    return {"apiVersion": resource.api_version, "kind": resource.kind, "name": source.name, "uid": source.uid}
