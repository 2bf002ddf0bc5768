"""Certificates of cert-manager.io/v1alpha2 to v1beta1 and certmanager.k8s.io/v1alpha1. Pure.

Source: cert-manager, "Migrating Deprecated API Resources" and the API documentation of v0.13.
"""

import re
from typing import Any

from signer.api.duration import InvalidDuration, parse_duration
from signer.convert.fields import ANY, ISSUER_REF, Table, spelt
from signer.convert.issuer import API_VERSION
from signer.convert.metadata import todays_metadata
from signer.convert.note import Notes, listing, mapping, shown, text
from signer.convert.solver import CONFIG, V1ALPHA1, Wanted, wanted_of

_SPEC: Table = {
    "acme": {"config": [CONFIG]},
    "commonName": None,
    "dnsNames": None,
    "duration": None,
    "emailSANs": None,
    "ipAddresses": None,
    "isCA": None,
    "issuerRef": ISSUER_REF,
    "keyAlgorithm": None,
    "keyEncoding": None,
    "keySize": None,
    "keystores": ANY,
    "organization": None,
    "privateKey": {"rotationPolicy": None, "algorithm": None, "encoding": None, "size": None},
    "renewBefore": None,
    "secretName": None,
    "subject": ANY,
    "uriSANs": None,
    "usages": None,
}
_LATER = ("encodeUsagesInRequest", "revisionHistoryLimit")
"""Fields that came to all versions but the first while these were served (to 1.5)."""
_RENAMED = {"emailSANs": "emailAddresses", "uriSANs": "uris"}
_ALGORITHMS = {"rsa": "RSA", "ecdsa": "ECDSA"}
_ENCODINGS = {"pkcs1": "PKCS1", "pkcs8": "PKCS8"}
_DAYS = re.compile(r"([0-9]{1,5})d", re.ASCII)


def todays_certificate(obj: dict[str, Any], notes: Notes) -> dict[str, Any]:
    """Return the Certificate of today; spec.acme goes to the issuer (see `issuer_wishes`)."""
    old = spelt(obj.get("spec"), _table(obj), "spec", notes)
    spec: dict[str, Any] = {}
    for name, value in old.items():
        if name in ("acme", "organization", "keyAlgorithm", "keyEncoding", "keySize", "privateKey"):
            continue
        spec[_RENAMED.get(name, name)] = todays_duration(value, f"spec.{name}", notes) if name in _TIMES else value
    if listing(old.get("organization")):
        subject = mapping(spec.get("subject"))
        listed = [*listing(subject.get("organizations")), *listing(old["organization"])]
        spec["subject"] = {**subject, "organizations": list(dict.fromkeys(map(str, listed)))}
    if key := _private_key(old, notes):
        spec["privateKey"] = key
    return {
        "apiVersion": API_VERSION,
        "kind": "Certificate",
        "metadata": todays_metadata(obj.get("metadata"), notes),
        "spec": spec,
    }


def _table(obj: dict[str, Any]) -> Table:
    """The fields of a Certificate's spec in the API version of this one."""
    return _SPEC if text(obj.get("apiVersion")) == V1ALPHA1 else {**_SPEC, **dict.fromkeys(_LATER)}


_TIMES = ("duration", "renewBefore")


def todays_duration(value: Any, place: str, notes: Notes) -> Any:
    """Return a duration that Go reads; days, which it does not know, as hours."""
    written = text(value)
    if match := _DAYS.fullmatch(written):
        hours = f"{int(match[1]) * 24}h"
        notes.add(place, f"{written} is not a duration (there is no unit d); now {hours}")
        return hours
    try:
        parse_duration(written)
    except InvalidDuration as error:
        _, _, remedy = str(error).partition("; ")
        notes.add(place, f"{shown(value)} is not a duration; {remedy or 'write it as 2160h'}, before you apply it")
    return value


def _private_key(old: dict[str, Any], notes: Notes) -> dict[str, Any]:
    key = dict(mapping(old.get("privateKey")))
    for name, to, words in (
        ("keyAlgorithm", "algorithm", _ALGORITHMS),
        ("keyEncoding", "encoding", _ENCODINGS),
    ):
        if name in old:
            word = text(old[name])
            key[to] = words.get(word.lower(), word)
            if word.lower() not in words:
                notes.add(f"spec.{name}", f"{shown(old[name])} is not known; one of {', '.join(words.values())}")
    if "keySize" in old:
        key["size"] = old["keySize"]
    return key


def issuer_wishes(obj: dict[str, Any]) -> tuple[tuple[str, str, str], tuple[Wanted, ...]]:
    """Say which issuer (kind, namespace, name) a Certificate names, and how it wants its names to be proven."""
    quiet = Notes()
    spec = spelt(obj.get("spec"), _table(obj), "spec", quiet)
    ref = mapping(spec.get("issuerRef"))
    kind = text(ref.get("kind")) or "Issuer"
    namespace = text(mapping(obj.get("metadata")).get("namespace")) if kind == "Issuer" else ""
    found = tuple(filter(None, map(wanted_of, listing(mapping(spec.get("acme")).get("config")))))
    return (kind, namespace, text(ref.get("name"))), found
