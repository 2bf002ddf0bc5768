"""Issuer and ClusterIssuer of cert-manager.io/v1alpha2 and certmanager.k8s.io/v1alpha1. Pure.

Version 1 of ACME is gone, and addresses of servers are misspelt: Let's Encrypt's become those of today.
Source: Let's Encrypt, "End of Life Plan for ACMEv1" (ended 2021-06-01) and its list of directories.
"""

from typing import Any
from urllib.parse import urlsplit

from signer.convert.fields import ANY, SECRET_KEY, Table, spelt
from signer.convert.metadata import todays_metadata
from signer.convert.note import Notes, listing, mapping, shown, text
from signer.convert.solver import V1ALPHA1, Wanted, old_solvers, solver_table, todays_solver

API_VERSION = "cert-manager.io/v1"
_ACME: Table = {
    "server": None,
    "email": None,
    "skipTLSVerify": None,
    "privateKeySecretRef": SECRET_KEY,
    "externalAccountBinding": {"keyID": None, "keySecretRef": SECRET_KEY, "keyAlgorithm": None},
    "http01": {"serviceType": None},
    "dns01": {"providers": None},
}
_LATER = ("preferredChain", "disableAccountKeyGeneration", "enableDurationFeature")
"""Fields of spec.acme that came to all versions but the first while these were served (to 1.5)."""
_SPEC: Table = {
    "ca": {"secretName": None, "crlDistributionPoints": None},
    "selfSigned": None,
    "vault": ANY,
    "venafi": ANY,
}
_LETS_ENCRYPT = {
    "acme-v01.api.letsencrypt.org": "acme-v02.api.letsencrypt.org",
    "acme-staging.api.letsencrypt.org": "acme-staging-v02.api.letsencrypt.org",
    "acme-v02.api.letsencrypt.org": "acme-v02.api.letsencrypt.org",
    "acme-staging-v02.api.letsencrypt.org": "acme-staging-v02.api.letsencrypt.org",
}
_DIRECTORY = "/directory"


def todays_issuer(obj: dict[str, Any], wanted: tuple[Wanted, ...], notes: Notes) -> dict[str, Any]:
    """Return the issuer of today. `wanted` is what the Certificates of the input say of how their names are proven."""
    kind = obj["kind"]
    spec = spelt(obj.get("spec"), _table(text(obj.get("apiVersion"))), "spec", notes)
    if "acme" in spec:
        spec["acme"] = _acme(mapping(spec["acme"]), wanted, notes)
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": todays_metadata(obj.get("metadata"), notes, cluster_scoped=kind == "ClusterIssuer"),
        "spec": spec,
    }


def _table(version: str) -> Table:
    """The fields of an issuer's spec in an API version."""
    later = () if version == V1ALPHA1 else _LATER
    return {**_SPEC, "acme": {**_ACME, **dict.fromkeys(later), "solvers": [solver_table(version)]}}


def _acme(acme: dict[str, Any], wanted: tuple[Wanted, ...], notes: Notes) -> dict[str, Any]:
    found = {name: value for name, value in acme.items() if name not in ("http01", "dns01", "solvers")}
    if server := text(found.get("server")):
        found["server"] = _todays_server(server, "spec.acme.server", notes)
    binding = mapping(found.get("externalAccountBinding"))
    if binding.pop("keyAlgorithm", None):
        notes.add("spec.acme.externalAccountBinding.keyAlgorithm", "no longer used: it is always HS256")
    # The longest-standing order: what a Certificate said of itself, the issuer's list, the issuer's one method.
    solvers = [todays_solver(mapping(one)) for one in listing(acme.get("solvers"))]
    own = old_solvers(acme, wanted, "spec.acme", notes)
    found["solvers"] = [*own, *(one for one in solvers if one not in own)]
    if not found["solvers"]:
        notes.add("spec.acme.solvers", "no way to prove a name is left; add a solver, such as http01: {ingress: {}}")
    return found


def _todays_server(url: str, place: str, notes: Notes) -> str:
    """Return the directory of today for the one that was used."""
    try:
        parts = urlsplit(url)
        host, path = (parts.hostname or "").lower(), parts.path
    except ValueError:
        notes.add(place, f"{shown(url)} is not a URL")
        return url
    if host not in _LETS_ENCRYPT:
        if parts.scheme != "https":
            notes.add(place, f"{shown(url)} is not https; only https is used")
        return url
    today = f"https://{_LETS_ENCRYPT[host]}{_DIRECTORY}"
    if _LETS_ENCRYPT[host] != host:
        notes.add(
            place, f"{shown(url)} spoke ACME version 1, which has ended; now {today}: a new account is made there"
        )
    if path != _DIRECTORY:
        notes.add(place, f"misspelt: the path is {_DIRECTORY}, not {shown(path)}")
    elif parts.scheme != "https":
        notes.add(place, f"{shown(url)} is not https; now {today}")
    return today
