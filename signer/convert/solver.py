"""Solvers: how names are proven. Once part of each Certificate and of named providers, now a list of the issuer. Pure.

Source: cert-manager, "Upgrading from v0.7 to v0.8", and the API documentation of v0.13 and v1.
"""

from dataclasses import dataclass
from typing import Any

from signer.convert.fields import ANY, SECRET_KEY, Table, spelt
from signer.convert.note import Notes, listing, mapping, shown, text

_INGRESS: Table = {
    "class": None,
    "name": None,
    "serviceType": None,
    "ingressClassName": None,
    "podTemplate": ANY,
    "ingressTemplate": ANY,
}
_PROVIDERS: Table = {
    "acmedns": {"host": None, "accountSecretRef": SECRET_KEY},
    "akamai": {
        "serviceConsumerDomain": None,
        "clientTokenSecretRef": SECRET_KEY,
        "clientSecretSecretRef": SECRET_KEY,
        "accessTokenSecretRef": SECRET_KEY,
    },
    "azuredns": ANY,
    "clouddns": {"project": None, "serviceAccountSecretRef": SECRET_KEY, "hostedZoneName": None},
    "cloudflare": {"email": None, "apiKeySecretRef": SECRET_KEY, "apiTokenSecretRef": SECRET_KEY},
    "digitalocean": {"tokenSecretRef": SECRET_KEY},
    "rfc2136": {
        "nameserver": None,
        "tsigKeyName": None,
        "tsigAlgorithm": None,
        "tsigSecretSecretRef": SECRET_KEY,
    },
    "route53": {
        "accessKeyID": None,
        "secretAccessKeySecretRef": SECRET_KEY,
        "role": None,
        "hostedZoneID": None,
        "region": None,
    },
    "webhook": {"groupName": None, "solverName": None, "config": None},
}
_TODAYS_NAMES = {"acmedns": "acmeDNS", "azuredns": "azureDNS", "clouddns": "cloudDNS"}
_DNS01: Table = {"cnameStrategy": None, **_PROVIDERS}
_SELECTOR: Table = {"matchLabels": None, "dnsNames": None, "dnsZones": None}
_GATEWAY_ROUTE: Table = {"labels": None, "serviceType": None, "parentRefs": None}
V1ALPHA1, V1BETA1 = "certmanager.k8s.io/v1alpha1", "cert-manager.io/v1beta1"


def solver_table(version: str) -> Table:
    """The fields of a solver in an API version: Gateways came to all but the first, and the last spells providers as today."""
    dns01: Table = _DNS01
    if version == V1BETA1:
        dns01 = {_TODAYS_NAMES.get(name, name): value for name, value in _DNS01.items()}
    http01: Table = {"ingress": _INGRESS}
    if version != V1ALPHA1:
        http01 = {**http01, "gatewayHTTPRoute": _GATEWAY_ROUTE}
    return {"selector": _SELECTOR, "http01": http01, "dns01": dns01}


PROVIDER: Table = {"name": None, **_DNS01}
CONFIG: Table = {"domains": None, "http01": {"ingress": None, "ingressClass": None}, "dns01": {"provider": None}}
_NO_CLASS = "none"
ISTIO = "istio"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a Certificate said of its own proof: these names, through this Ingress class or name, or this provider."""

    names: tuple[str, ...]
    http01: bool = False
    ingress_class: str = ""
    ingress: str = ""
    provider: str = ""


def wanted_of(config: object) -> Wanted | None:
    """Read one entry of a Certificate's spec.acme.config (v1alpha1); None when it says nothing."""
    entry = mapping(config)
    names = tuple(name for name in listing(entry.get("domains")) if isinstance(name, str))
    http01, dns01 = mapping(entry.get("http01")), mapping(entry.get("dns01"))
    if dns01:
        return Wanted(names, provider=text(dns01.get("provider")))
    if "http01" not in entry:
        return None
    return Wanted(
        names, http01=True, ingress_class=text(http01.get("ingressClass")), ingress=text(http01.get("ingress"))
    )


def todays_solver(solver: dict[str, Any]) -> dict[str, Any]:
    """Return a solver (v1alpha2; v1alpha1 from 0.8 on) in today's words; its fields are checked before."""
    found = dict(solver)
    if "dns01" in found:
        found["dns01"] = todays_dns01(mapping(found["dns01"]))
    if "http01" in found:
        http01 = mapping(found["http01"])
        found["http01"] = http01 or {"ingress": {}}
    if not found.get("selector"):
        found.pop("selector", None)
    return found


def todays_dns01(dns01: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a DNS provider under today's name."""
    return {_TODAYS_NAMES.get(name, name): value for name, value in dns01.items() if name != "name"}


def old_solvers(acme: dict[str, Any], wanted: tuple[Wanted, ...], place: str, notes: Notes) -> list[dict[str, Any]]:
    """Make solvers of spec.acme.http01, spec.acme.dns01.providers, and what the Certificates in the same input said.

    A Certificate's own words become a solver for exactly its names, which is the most specific; then the issuer's.
    """
    found: list[dict[str, Any]] = []
    providers = {}
    for index, one in enumerate(listing(mapping(acme.get("dns01")).get("providers"))):
        checked = spelt(one, PROVIDER, f"{place}.dns01.providers[{index}]", notes)
        providers[text(checked.get("name"))] = todays_dns01(checked)
    for one in wanted:
        if one.provider:
            if one.provider not in providers:
                notes.add(f"{place}.dns01.providers", f"a Certificate names {shown(one.provider)}, which is not there")
                continue
            kind: dict[str, Any] = {"dns01": providers[one.provider]}
        elif one.http01:
            kind = {"http01": {"ingress": _ingress(one, place, notes)}}
        else:
            continue
        found.append({"selector": {"dnsNames": list(one.names)}, **kind} if one.names else kind)
    if "http01" in acme:
        http01 = mapping(acme["http01"])
        service = {"serviceType": http01["serviceType"]} if http01.get("serviceType") else {}
        found.append({"http01": {"ingress": service}})
    named = {one.provider for one in wanted}
    for name, provider in providers.items():
        if name in named:
            continue
        if "http01" in acme or len(providers) > 1:
            notes.add(
                f"{place}.dns01.providers",
                f"{shown(name)}: no Certificate in this input says which names are its;"
                " a solver with a selector (dnsNames or dnsZones) is needed for it",
            )
        else:
            found.append({"dns01": provider})
    return _once(found)


def _ingress(wanted: Wanted, place: str, notes: Notes) -> dict[str, Any]:
    if wanted.ingress:
        return {"name": wanted.ingress}
    if wanted.ingress_class == _NO_CLASS:
        notes.add(
            f"{place}.solvers",
            f'ingressClass "none" of {shown(", ".join(wanted.names))} meant that the route was made by hand; it is made'
            " for you now",
        )
        return {"class": ISTIO}
    return {"class": wanted.ingress_class} if wanted.ingress_class else {}


def _once(solvers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for one in solvers:
        if one not in found:
            found.append(one)
    return found
