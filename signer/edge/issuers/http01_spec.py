"""What a solver's `http01` says of our self check: where it looks, by which name servers, at which addresses. Pure.

`selfCheck` is ours: cert-manager has nothing of the kind. The rest of `http01` says which class of object serves the host
there, and is not needed here (ADR 28). All that is wrong is told at once, each with its field.
"""

import ipaddress
from dataclasses import dataclass
from typing import Any, Literal

from issuers.acme.targets import AddressRule
from signer.api.text import shown

Where = Literal["Public", "Gateway", "None"]
WHERES: tuple[Where, ...] = ("Public", "Gateway", "None")
MOST = 8
"""Name servers, and addresses."""
_FIELDS = ("mode", "nameservers", "addresses")
_DNS_PORT = 53


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """`mode` Public: the gateway's Pods, then where the name leads; Gateway: the Pods; None: nothing is looked at.

    `nameservers`: who is asked where the name leads, in place of those of the process. `addresses`: what is dialled in
    place of what the name leads to, where that can be reached from outside alone.
    """

    mode: Where = "Public"
    nameservers: tuple[tuple[str, int], ...] = ()
    addresses: tuple[str, ...] = ()


def read_self_check(settings: Any, place: str, *, rule: AddressRule) -> SelfCheck | tuple[str, ...]:
    """Read a solver's `http01`, or return what is wrong with its self check. `place` is its path in the issuer.

    `rule`: which addresses its author may have asked and dialled.
    """
    given = settings.get("selfCheck") if isinstance(settings, dict) else None
    if given is None:
        return SelfCheck()
    place = f"{place}.selfCheck"
    if not isinstance(given, dict):
        return (f"{place}: an object is expected",)
    problems = [f"{place}.{shown(str(name))[1:-1]}: no such field" for name in given if name not in _FIELDS]
    mode = given.get("mode") or "Public"
    chosen = next((one for one in WHERES if one == mode), None)
    if chosen is None:
        problems.append(f"{place}.mode: {shown(str(mode))} is none of {', '.join(WHERES)}")
    lists: dict[str, list[tuple[str, int]]] = {}
    for name in _FIELDS[1:]:
        listed = given.get(name) or ()
        if not isinstance(listed, list | tuple) or len(listed) > MOST:
            problems.append(f"{place}.{name}: a list of {MOST} at most is expected")
            continue
        for index, text in enumerate(listed):
            where = f"{place}.{name}[{index}]"
            found = _address(text, port=name == "nameservers")
            if found is None:
                like = "192.0.2.53 or 192.0.2.53:53" if name == "nameservers" else "192.0.2.7"
                problems.append(f"{where}: {shown(str(text))} is not an IP address, such as {like}")
            elif why := rule.refusal(found[0]):
                problems.append(f"{where}: {found[0]} is {why}, which is not asked for this kind of issuer")
            else:
                lists.setdefault(name, []).append(found)
    if problems or chosen is None:
        return tuple(problems)
    addresses = tuple(dict.fromkeys(address for address, _ in lists.get("addresses", ())))
    return SelfCheck(chosen, tuple(dict.fromkeys(lists.get("nameservers", ()))), addresses)


def _address(text: object, *, port: bool) -> tuple[str, int] | None:
    """Read an IP address, with `port` also one with a port, an IPv6 address in brackets then."""
    if not isinstance(text, str):
        return None
    host, number = text.strip(), str(_DNS_PORT)
    if port and ("]:" in host or host.count(":") == 1):
        host, _, number = host.rpartition(":")
    if not (number.isascii() and number.isdigit() and len(number) <= 5 and 0 < int(number) < 65536):
        return None
    try:
        return str(ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))), int(number)
    except ValueError:
        return None
