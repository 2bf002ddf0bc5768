"""Who asked for certificates, and from which issuer: annotations on the object, else on its namespace, else the default.

Pure. An empty annotation on an object says no, whatever its namespace says.
Source: https://cert-manager.io/docs/usage/ingress/#supported-annotations
"""

import itertools
import re
from collections.abc import Mapping

from signer.api.certificate import IssuerReference
from signer.api.issuer import GROUP
from signer.api.meant import Effort, nearest
from signer.api.retry import RETRY
from signer.api.text import shown
from signer.tenancy.verdict import Reason

CLUSTER_ISSUER = "cert-manager.io/cluster-issuer"
ISSUER = "cert-manager.io/issuer"
ISSUER_KIND = "cert-manager.io/issuer-kind"
ISSUER_GROUP = "cert-manager.io/issuer-group"
_OPTIONS = {
    "cert-manager.io/common-name": "commonName",
    "cert-manager.io/duration": "duration",
    "cert-manager.io/renew-before": "renewBefore",
    "cert-manager.io/private-key-algorithm": "privateKey.algorithm",
    "cert-manager.io/private-key-size": "privateKey.size",
    "cert-manager.io/private-key-rotation-policy": "privateKey.rotationPolicy",
    "cert-manager.io/revision-history-limit": "revisionHistoryLimit",
    RETRY: "retry",
}
_MAX_VALUE = 253
_NO_LETTER = re.compile(r"[^a-z0-9]")
_FORMER_GROUP = "certmanager.k8s.io/"
_MEANT = {_NO_LETTER.sub("", one): one for one in (CLUSTER_ISSUER, ISSUER, ISSUER_KIND, ISSUER_GROUP)}
_LONGEST_KEY = 64
# Tenants write as many annotations as they like, and each costs a look.
_LOOKED_AT = 64
# One letter too many, missing or another: cert-manager's other annotations are further off.
_NEAR = 0.94


def effort_of_a_look() -> Effort:
    """What all objects of a namespace may cost together, each time that they are looked at."""
    return Effort(names=4000, characters=30_000)


def misspelt(annotations: Mapping[str, str], effort: Effort) -> Reason | None:
    """Name an annotation that is nearly one by which a certificate is asked for, and so asks for nothing; None for no such."""
    for key in effort.of(itertools.islice(annotations, _LOOKED_AT)):
        if (meant := _meant(key, effort)) is not None:
            return Reason("MisspeltAnnotation", f"{shown(key)} asks for nothing: is {meant} meant?")
    return None


def _meant(key: str, effort: Effort) -> str | None:
    if key in _MEANT.values() or len(key) > _LONGEST_KEY:
        return None
    letters = _NO_LETTER.sub("", key.lower().replace(_FORMER_GROUP, f"{GROUP}/"))
    if letters in _MEANT:
        return _MEANT[letters]
    near = nearest(letters, _MEANT, _NEAR, effort)
    return _MEANT[near] if near and abs(len(near) - len(letters)) <= 1 else None


def wanted_issuer(
    own: Mapping[str, str], namespace: Mapping[str, str], default: IssuerReference | None
) -> IssuerReference | Reason | None:
    """Return the issuer to ask, None when nobody asked for a certificate, or why it cannot be told."""
    for annotations in (own, namespace):
        cluster, issuer = annotations.get(CLUSTER_ISSUER), annotations.get(ISSUER)
        if cluster is None and issuer is None:
            continue
        if cluster and issuer:
            return Reason("TwoIssuers", f"both {CLUSTER_ISSUER} and {ISSUER} are set; one is enough")
        if not cluster and not issuer:
            return None
        kind, group = annotations.get(ISSUER_KIND, ""), annotations.get(ISSUER_GROUP, "")
        if group not in ("", GROUP):
            return Reason(
                "ForeignIssuer", f"{ISSUER_GROUP}: {shown(group)} is not {GROUP}; not one of our ACME issuers"
            )
        if cluster:
            return IssuerReference(name=cluster, kind="ClusterIssuer", group=GROUP)
        if kind not in ("", "Issuer", "ClusterIssuer"):
            return Reason("ForeignIssuer", f"{ISSUER_KIND}: {shown(kind)} is neither Issuer nor ClusterIssuer")
        return IssuerReference(name=issuer or "", kind=kind or "Issuer", group=GROUP)
    return default


def options_of(annotations: Mapping[str, str]) -> dict[str, str]:
    """Return what annotations say of the Certificate's spec, by field; its own check finds wrong values.

    "retry" is none of the spec's: that annotation goes on to the Certificate.
    """
    return {
        field: annotations[key] for key, field in _OPTIONS.items() if 0 < len(annotations.get(key, "")) <= _MAX_VALUE
    }
