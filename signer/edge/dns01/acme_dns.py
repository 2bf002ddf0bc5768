"""acme-dns: a name server that keeps one record for each account, and takes its values by https.

Whoever has a zone leads `_acme-challenge.HOST` to an account's name by a CNAME, once: with that account's password this
host can be proven, and nothing else of the zone be changed. The server keeps an account's two newest values and forgets
older ones itself. So nothing is taken away, and a value that is there is not sent again: it would push out the other
one, as of a wildcard beside its apex.
The issuer's author chose the server, so its address is judged where it is dialled. Used on the loop; nothing is kept.
Sources: https://github.com/joohoi/acme-dns#api; cert-manager v1.20, pkg/issuer/acme/dns/acmedns.
"""

import re

import msgspec

from issuers.acme.client.transport import Server, Transport
from issuers.acme.errors import ForbiddenTarget, MalformedAnswer, Unreachable
from signer.edge.dns01.record import FAILED, apex, is_name
from signer.tenancy.verdict import Reason

_CREDENTIAL = re.compile(r"[!-~]{1,256}", re.ASCII)
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", re.ASCII)
_MEANINGS = {
    400: ", as for a value or a subdomain that it does not know",
    401: ": it does not take the account's username and password, or not from this address (allowfrom)",
    403: ": it does not take the account's username and password, or not from this address (allowfrom)",
    404: ": there is no acme-dns at this path",
}


class Account(msgspec.Struct, frozen=True):
    """What the server answered when the account was made (`POST /register`); texts."""

    username: str
    password: str
    fulldomain: str
    subdomain: str


def read_account(data: bytes, host: str) -> Account:
    """Read the account for a host out of a Secret's value: a JSON object of accounts by the hosts' names, as cert-manager has it.

    Names are compared without case and trailing dot; a wildcard's account is its apex's. Raises ValueError without any of it.
    """
    try:
        accounts = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError("is not a JSON object of accounts by host") from None
    wanted = apex(host)
    found = next((one for name, one in accounts.items() if apex(name) == wanted), None)
    if found is None:
        raise ValueError(f"has no account for {wanted}")
    try:
        account = msgspec.json.decode(found, type=Account)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError(f"needs username, password, fulldomain and subdomain of {wanted}, as texts") from None
    full = account.fulldomain.lower().rstrip(".")
    if not is_name(full) or not _SUBDOMAIN.fullmatch(account.subdomain):
        raise ValueError(f"has an account for {wanted} whose fulldomain or subdomain is not a name")
    if not _CREDENTIAL.fullmatch(account.username) or not _CREDENTIAL.fullmatch(account.password):
        raise ValueError(f"has an account for {wanted} whose username or password is empty, or no line of ASCII")
    return msgspec.structs.replace(account, fulldomain=full)


async def update(server: Server, account: Account, value: str) -> Reason | None:
    """Have the account's record hold a value besides the newest that it has. A reason tells what is wrong.

    `server` has the acme-dns server's URL for a directory, and the addresses that may be dialled.
    """
    body = msgspec.json.encode({"subdomain": account.subdomain, "txt": value})
    headers = {
        "Content-Type": "application/json",
        "X-Api-User": account.username,
        "X-Api-Key": account.password,
    }
    try:
        transport = Transport(server)
        try:
            answer = await transport.exchange("POST", f"{server.directory}/update", body=body, headers=headers)
        finally:
            await transport.close()
    except (ForbiddenTarget, Unreachable, MalformedAnswer) as error:
        return Reason(FAILED, f"acme-dns server {error}")
    if answer.status == 200:
        return None
    return Reason(
        FAILED, f"acme-dns server {server.directory} answers {answer.status}{_MEANINGS.get(answer.status, '')}"
    )
