"""Asks the recursive DNS servers that an operator names, in place of the system's: for the checks before a CA is told.

A host that an outside CA can find may be unknown, or another, to a cluster's own DNS. Used on the loop.
Source: RFC 1034, 5.3.1 (a stub resolver); the question is for the name as it is written, without search domains.
"""

import asyncio
from collections.abc import Sequence

from dns.asyncresolver import Resolver
from dns.exception import DNSException
from dns.nameserver import Do53Nameserver
from dns.rdatatype import AAAA, A, RdataType

from signer.edge.proxies.http import Resolve, system_resolver

_SECONDS = 5.0


def recursive_resolver(nameservers: Sequence[tuple[str, int]]) -> Resolver:
    """A resolver that asks these servers in turn, for `_SECONDS` in all, and nobody else; it keeps no cache."""
    resolver = Resolver(configure=False)
    resolver.nameservers = [Do53Nameserver(host, port) for host, port in nameservers]
    resolver.lifetime = _SECONDS
    return resolver


def asking(nameservers: Sequence[tuple[str, int]]) -> Resolve:
    """Return how a host's addresses are found: at these servers, or by the system if none is named.

    A server that cannot be asked now is as good as no answer.
    """
    if not nameservers:
        return system_resolver
    resolver = recursive_resolver(nameservers)

    async def addresses(host: str, kind: RdataType) -> list[str]:
        try:
            answer = await resolver.resolve(f"{host}.", kind, search=False)
        except (DNSException, OSError):
            return []
        return [str(record.address) for record in answer]

    async def resolve(host: str) -> tuple[str, ...] | None:
        found = await asyncio.gather(addresses(host, A), addresses(host, AAAA))
        return tuple(dict.fromkeys(found[0] + found[1]))

    return resolve
