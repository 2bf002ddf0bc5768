"""Connects to a gateway's Pod, for one look. Only the Pod's own address is dialled, whatever a host resolves to.

A Pod may be a tenant's: a connection and its handshake have one end that no slow answer moves, what is read lies in a
bounded buffer, and nothing stays open. Used on the loop.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

from signer.edge.proxies.values import GatewayAddress

LONGEST_LINE = 8192
"""Bytes that are looked through for an end; about twice as many are read ahead."""
_SECONDS = 5.0
_CIPHERS = {"RSA": "aRSA", "ECDSA": "aECDSA"}


@asynccontextmanager
async def dialled(
    gateway: GatewayAddress, public: int, server_name: str | None = None, key_algorithm: str = ""
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect to where a Pod listens for this public port; with TLS if there is a `server_name`. Closed with the block.

    `key_algorithm`: of the certificate to be shown, where a gateway has two; "" for whichever. Raises OSError, of which
    TimeoutError and ssl.SSLError are some.
    """
    async with asyncio.timeout(_SECONDS):
        reader, writer = await asyncio.open_connection(
            gateway.address,
            gateway.ports.get(public, public),
            limit=LONGEST_LINE,
            ssl=_whatever_is_shown(key_algorithm) if server_name is not None else None,
            server_hostname=server_name,
        )
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


@cache
def _whatever_is_shown(key_algorithm: str) -> ssl.SSLContext:
    """As a CA does on the way of a redirect (RFC 8555, 8.3). It reads no roots, which would cost more than all the rest."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if key_algorithm in _CIPHERS:
        # Only up to TLS 1.2 do the ciphers say which kind of certificate is wanted.
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_CIPHERS[key_algorithm])
    return context
