"""Finds the addresses of names: as the system does, or at the recursive DNS servers that an operator names in its place.

A host that an outside CA can find may be unknown, or another, to a cluster's own DNS. Used on the loop. The system is asked
in threads of its own: getaddrinfo blocks and cannot be told to stop, and what it reads besides DNS (/etc/hosts,
hostAliases of a Pod) nothing else here does. Who asks for names whose servers hang fills those threads, and nothing else.
Source: RFC 1034, 5.3.1 (a stub resolver); the question is for the name as it is written, without search domains.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from dns.asyncresolver import Resolver
from dns.exception import DNSException
from dns.nameserver import Do53Nameserver
from dns.rdatatype import AAAA, A, RdataType

T = TypeVar("T")
_SECONDS = 5.0
_threads = ThreadPoolExecutor(16, thread_name_prefix="resolve")
Resolve = Callable[[str], Awaitable[tuple[str, ...] | None]]
"""The addresses of a host; () when there is none, None when DNS is not asked."""


async def addresses(host: str, port: int, kind: socket.SocketKind, seconds: float) -> tuple[str, ...]:
    """The addresses of a name as any program here finds them, each once. Raises OSError, UnicodeError."""
    asked = asyncio.get_running_loop().run_in_executor(_threads, lambda: socket.getaddrinfo(host, port, type=kind))
    async with asyncio.timeout(seconds):
        found = await asked
    return tuple(dict.fromkeys(str(one[4][0]) for one in found))


async def system_resolver(host: str) -> tuple[str, ...] | None:
    """Ask as any program here would; a resolver that cannot be asked now is as good as no answer."""
    try:
        return await addresses(f"{host}.", 80, socket.SOCK_STREAM, _SECONDS)
    except OSError:  # TimeoutError is one
        return ()


async def no_resolver(_host: str) -> tuple[str, ...] | None:
    """Leave DNS to the CA."""
    return None


async def heeded(asked: Awaitable[T]) -> T:
    """Wait for what dnspython gives, and end where the task was told to, though an answer or an error came all the same.

    It waits by `asyncio.wait_for`, which in Python 3.11 drops a cancellation that comes in the same turn of the loop as what is
    waited for (https://github.com/python/cpython/issues/86296): who stops the task would wait for one that goes on for good.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    try:
        return await asked
    finally:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError


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

    async def found(host: str, kind: RdataType) -> list[str]:
        try:
            answer = await heeded(resolver.resolve(f"{host}.", kind, search=False))
        except (DNSException, OSError):
            return []
        return [str(record.address) for record in answer]

    async def resolve(host: str) -> tuple[str, ...] | None:
        of_both = await asyncio.gather(found(host, A), found(host, AAAA))
        return tuple(dict.fromkeys(of_both[0] + of_both[1]))

    return resolve
