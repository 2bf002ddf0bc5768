"""Which solver of an issuer proves a name: cert-manager's precedence, and no other.

Pure. Of the solvers whose selector fits: one that names the host, then the longest zone, then the most labels, then the
first. A solver that cannot be read is passed over.
Source: https://cert-manager.io/docs/configuration/acme/#adding-multiple-solver-types, pkg/util/solverpicker
"""

from collections.abc import Iterable, Mapping
from typing import Any

from issuers.acme.order import DNS_PERSIST01
from signer.api.order import Authorization, OfferedChallenge
from signer.edge.host import Host
from signer.tenancy.verdict import Reason, Refuse

_KINDS = {"http-01": "http01", "dns-01": "dns01", DNS_PERSIST01: "dns01"}


def solver_for(
    authorization: Authorization, solvers: Iterable[Any], labels: Mapping[str, str]
) -> tuple[dict[str, Any], OfferedChallenge] | Refuse:
    """Return the solver and the challenge that it takes; or why there is none, for a person.

    `labels` are those of the Certificate.
    """
    name = str(Host(authorization.identifier, wildcard=authorization.wildcard))
    best: tuple[tuple[int, int, int], dict[str, Any], OfferedChallenge] | None = None
    listed = [one for one in solvers if isinstance(one, dict)]
    for solver in listed:
        challenge = _challenge(solver, authorization)
        score = _score(solver.get("selector"), name, labels) if challenge is not None else None
        if challenge is None or score is None:
            continue
        if best is None or score > best[0]:
            best = (score, solver, challenge)
    if best is not None:
        return best[1], best[2]
    if authorization.wildcard and not any("dns01" in solver for solver in listed):
        message = f"{name} is a wildcard and needs DNS-01; the issuer has no dns01 solver"
    elif not listed:
        message = "the issuer has no solvers (spec.acme.solvers)"
    else:
        offered = ", ".join(sorted({one.type[:40] for one in authorization.challenges})) or "nothing"
        message = f"none of the issuer's solvers fits {name}: look at the selectors; the CA offers {offered}"
    return Refuse((Reason("NoSolver", message),))


def _challenge(solver: Mapping[str, Any], authorization: Authorization) -> OfferedChallenge | None:
    """The first challenge on offer that the solver can take. HTTP-01 proves no wildcard, whatever is offered."""
    for one in authorization.challenges:
        kind = _KINDS.get(one.type)
        if kind is None or kind not in solver or (kind == "http01" and authorization.wildcard):
            continue
        settings = solver[kind]
        persistent = isinstance(settings, dict) and "persistent" in settings
        if persistent == (one.type == DNS_PERSIST01):
            return one
    return None


def _score(selector: Any, name: str, labels: Mapping[str, str]) -> tuple[int, int, int] | None:
    """How well a selector fits: whether it names the host, labels of its longest zone, its labels; None: not at all."""
    if selector is None:
        return (0, 0, 0)
    if not isinstance(selector, dict):
        return None
    names, zones, wanted = (selector.get(key) or () for key in ("dnsNames", "dnsZones", "matchLabels"))
    if not isinstance(names, (list, tuple)) or not isinstance(zones, (list, tuple)):
        return None
    if not isinstance(wanted, (dict, tuple)):
        return None
    if names and name.lower() not in {_plain(one) for one in names}:
        return None
    longest = max((_labels_of_zone(zone, name) for zone in zones), default=0)
    if zones and not longest:
        return None
    pairs = dict(wanted)
    if any(labels.get(key) != value for key, value in pairs.items()):
        return None
    return (int(bool(names)), longest, len(pairs))


def _plain(name: object) -> str:
    """A name as the DNS compares it: without regard to case, and to a dot at its end."""
    return name.lower().removesuffix(".") if isinstance(name, str) else ""


def _labels_of_zone(zone: object, name: str) -> int:
    if not isinstance(zone, str):
        return 0
    lower = zone.lower().strip(".")
    fits = bool(lower) and (name.lower() == lower or name.lower().endswith(f".{lower}"))
    return lower.count(".") + 1 if fits else 0
