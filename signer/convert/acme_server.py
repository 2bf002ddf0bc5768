"""Addresses of ACME servers: version 1 of the protocol is gone, and addresses are misspelt. Pure.

Source: Let's Encrypt, "End of Life Plan for ACMEv1" (ended 2021-06-01) and its list of directories.
"""

from urllib.parse import urlsplit

from signer.convert.note import Notes, shown

_LETS_ENCRYPT = {
    "acme-v01.api.letsencrypt.org": "acme-v02.api.letsencrypt.org",
    "acme-staging.api.letsencrypt.org": "acme-staging-v02.api.letsencrypt.org",
    "acme-v02.api.letsencrypt.org": "acme-v02.api.letsencrypt.org",
    "acme-staging-v02.api.letsencrypt.org": "acme-staging-v02.api.letsencrypt.org",
}
_DIRECTORY = "/directory"


def todays_server(url: str, place: str, notes: Notes) -> str:
    """Return the directory of today for the one that was used."""
    try:
        parts = urlsplit(url)
        host, path = (parts.hostname or "").lower(), parts.path
    except ValueError:
        notes.add(place, f"{shown(url)} is no URL")
        return url
    if host not in _LETS_ENCRYPT:
        if parts.scheme != "https":
            notes.add(place, f"{shown(url)} is not https; only https is used")
        return url
    today = f"https://{_LETS_ENCRYPT[host]}{_DIRECTORY}"
    if _LETS_ENCRYPT[host] != host:
        notes.add(
            place, f"{shown(url)} spoke ACME version 1, which has ended; now {today}: the account is made anew there"
        )
    if path != _DIRECTORY:
        notes.add(place, f"misspelt: the path is {_DIRECTORY}, not {shown(path)}")
    elif parts.scheme != "https":
        notes.add(place, f"{shown(url)} is not https; now {today}")
    return today
