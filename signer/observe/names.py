"""What a certificate names, as the audit log tells it: who reads the log must find every name that was given out.

Pure functions over frozen values.
"""

from issuers.request import SigningRequest
from signer.observe.printable import printable

MOST_NAMES = 50
"""How many names one line tells; a request may have a thousand, and two lines are written for it."""


def identity_of(request: SigningRequest) -> str:
    """Return the one URI of a request, which is a workload's SPIFFE ID; "" for a request of another kind."""
    return request.uris[0] if len(request.uris) == 1 else ""


def names_of(request: SigningRequest) -> tuple[str, ...]:
    """Return all that a certificate for this request names, as "kind:name"; () when that is `identity_of` alone.

    At most 50 of them, each cut where a message is; the last entry says how many more there are.
    """
    found = request.names
    kinds = (
        ("uri", found.uris),
        ("dns", found.dns_names),
        ("ip", found.ip_addresses),
        ("email", found.email_addresses),
    )
    told = [f"subject:{request.subject}"] if request.subject else []
    told += [f"{kind}:{name}" for kind, names in kinds for name in names]
    if found.others:
        told.append(f"{found.others} of other kinds")
    if len(told) == len(found.uris) == 1:
        return ()
    more = len(told) - MOST_NAMES
    return (*map(printable, told[:MOST_NAMES]), *([f"and {more} more"] if more > 0 else []))
