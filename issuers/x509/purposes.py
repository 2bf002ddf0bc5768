"""What certificates may be used for, as Go and as OpenSSL read the extended key usages of the CAs above them.

Go takes a usage for allowed where each CA lists it, or lists any, or lists none. OpenSSL looks at those of TLS and of email
alone, and there any counts for nothing. Sources: crypto/x509 checkChainForKeyUsage; OpenSSL's v3_purp.c. Pure functions.
"""

from collections.abc import Sequence

from issuers.x509 import usages

ANY = usages.EXTENDED_USAGES["any"]
SERVER = usages.EXTENDED_USAGES["server auth"]
CLIENT = usages.EXTENDED_USAGES["client auth"]
EMAIL = usages.EXTENDED_USAGES["email protection"]
_GATED = frozenset({usages.EXTENDED_USAGES["microsoft sgc"], usages.EXTENDED_USAGES["netscape sgc"]})

TLS = (SERVER, CLIENT, EMAIL)
ANY_IS_NONE = "extended key usage any in a CA counts for no purpose of TLS"


Purposes = tuple[tuple[str, frozenset[str]], ...]
"""The extended usages (dotted) of each CA that has any, with its name."""


def common(allowed: Purposes) -> bool:
    """Whether there is a purpose that all allow."""
    listed = [purposes for _, purposes in allowed if ANY not in purposes]
    return not listed or bool(frozenset.intersection(*listed))


def usable(wanted: tuple[str, ...], allowed: Purposes, *, go: bool) -> frozenset[str]:
    """Which of the wanted purposes all CAs allow, as Go or as OpenSSL reads them."""
    return frozenset(oid for oid in wanted if all(_allows(purposes, oid, go=go) for _, purposes in allowed))


def _allows(purposes: frozenset[str], oid: str, *, go: bool) -> bool:
    if oid in purposes:
        return True
    if go:
        return ANY in purposes
    # OpenSSL looks at a CA's usages for these alone, and takes the old names of server auth there.
    if oid not in TLS:
        return True
    return oid == SERVER and bool(purposes & _GATED)


def allowed_text(allowed: Purposes) -> str:
    """Say what each CA allows."""
    return ", ".join(f"{subject!r} allows only {purposes_text(sorted(oids))}" for subject, oids in allowed)


def purposes_text(oids: Sequence[str]) -> str:
    """Say usages by their names."""
    return " and ".join(usages.extended_usage_name(oid) or oid for oid in oids)
