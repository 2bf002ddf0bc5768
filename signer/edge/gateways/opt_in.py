"""Who asked for certificates, and from which issuer: annotations on the object, else on its namespace, else the default.

Pure. An empty annotation on an object says no, whatever its namespace says.
Source: https://cert-manager.io/docs/usage/ingress/#supported-annotations
"""

import itertools
import re
from collections.abc import Iterator, Mapping

from signer.api.certificate import IssuerReference
from signer.api.ignored import IGNORED, TLS_ACME, TLS_ACME_ALONE, remedies
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
_NUMBERS = ("cert-manager.io/private-key-size", "cert-manager.io/revision-history-limit")
_MOST_TOLD = 8
_MAX_VALUE = 253
_NO_LETTER = re.compile(r"[^a-z0-9]")
_FORMER_GROUP = "certmanager.k8s.io/"
_MEANT = {_NO_LETTER.sub("", one): one for one in (CLUSTER_ISSUER, ISSUER, ISSUER_KIND, ISSUER_GROUP)}
_LONGEST_KEY = 64
# Tenants write as many annotations as they like, and each costs a look.
_LOOKED_AT = 64
# One letter too many, missing or another: cert-manager's other annotations are further off.
_NEAR = 0.94
_PREFIXES = (f"{GROUP}/", f"acme.{GROUP}/", _FORMER_GROUP, f"acme.{_FORMER_GROUP}")
_KNOWN = {
    _NO_LETTER.sub("", one): one for one in (*_OPTIONS, *IGNORED) if one.partition("/")[0] in (GROUP, f"acme.{GROUP}")
}


def effort_of_a_look() -> Effort:
    """What all objects of a namespace may cost together, each time that they are looked at."""
    return Effort(names=4000, characters=30_000)


def misspelt(annotations: Mapping[str, str], effort: Effort) -> Reason | None:
    """Name an annotation that is nearly one by which a certificate is asked for, and so asks for nothing; None for no such."""
    for key in effort.of(itertools.islice(annotations, _LOOKED_AT)):
        if (meant := _meant(key, effort)) is not None:
            return Reason("MisspeltAnnotation", f"{shown(key)} asks for nothing: is {meant} meant?")
    return None


def ignored(annotations: Mapping[str, str], effort: Effort) -> tuple[Reason, ...]:
    """Name what an object that asks for a certificate says of it, and what nothing comes of, each with its remedy."""
    return tuple(itertools.islice(_ignored(annotations, effort), _MOST_TOLD))


def asks_for_nothing(annotations: Mapping[str, str]) -> tuple[Reason, ...]:
    """Name what asks for a certificate at cert-manager, and for none here, on an object for which nobody else asks."""
    if CLUSTER_ISSUER in annotations or ISSUER in annotations or annotations.get(TLS_ACME) != "true":
        return ()
    return (Reason("AnnotationIgnored", f"{TLS_ACME} is not carried out: {TLS_ACME_ALONE}"),)


def _ignored(annotations: Mapping[str, str], effort: Effort) -> Iterator[Reason]:
    for key, remedy in remedies(annotations, asked=True):
        yield Reason("AnnotationIgnored", f"{key} is not carried out: {remedy}")
    for key in _OPTIONS:
        value = annotations.get(key, "")
        if len(value) > _MAX_VALUE or (key in _NUMBERS and value and not (value.isascii() and value.isdigit())):
            what = "longer than 253 characters" if len(value) > _MAX_VALUE else f"{shown(value)}, which is no number"
            yield Reason("AnnotationIgnored", f"{key} is not carried out: it is {what}")
    for key in effort.of(itertools.islice(annotations, _LOOKED_AT)):
        if key in _OPTIONS or key in IGNORED or key in _MEANT.values() or not key.startswith(_PREFIXES):
            continue
        letters = _NO_LETTER.sub("", key.lower().replace(_FORMER_GROUP, f"{GROUP}/"))
        near = letters if letters in _KNOWN else nearest(letters, _KNOWN, _NEAR, effort)
        if near and len(key) <= _LONGEST_KEY and _meant(key, effort) is None:
            yield Reason("AnnotationIgnored", f"{shown(key)} is not carried out: is {_KNOWN[near]} meant?")


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
