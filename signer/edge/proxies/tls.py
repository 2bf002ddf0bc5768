"""One look at the certificate that a gateway's Pod shows for a host. Only the Pod's own address is dialled.

Blocking, in a thread: the caller bounds how many at once. Nothing is sent but the handshake, and nothing of what is shown
is kept but the serial number: whether a client would trust it is not asked.
"""

import socket
import ssl
from dataclasses import dataclass

from cryptography import x509

from signer.edge.host import Host
from signer.edge.proxies.dial import in_thread
from signer.edge.proxies.http import GatewayAddress

_SECONDS = 5.0
_CIPHERS = {"RSA": "aRSA", "ECDSA": "aECDSA"}


@dataclass(frozen=True, slots=True)
class Sight:
    """What one Pod showed for one host: a serial number, or what kept it from it ("refused", "reset", "timeout", "tls")."""

    host: Host
    address: str
    serial: int | None = None
    error: str = ""


async def shown(host: Host, gateway: GatewayAddress, key_algorithm: str = "") -> Sight:
    """Ask one Pod. `key_algorithm`: of the certificate to be shown, where a gateway has two; "" for whichever."""
    return await in_thread(lambda: _shown(host, gateway, key_algorithm))


def _shown(host: Host, gateway: GatewayAddress, key_algorithm: str) -> Sight:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if key_algorithm in _CIPHERS:
        # Only up to TLS 1.2 do the ciphers say which kind of certificate is wanted.
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_CIPHERS[key_algorithm])
    try:
        with (
            socket.create_connection((gateway.address, gateway.ports.get(443, 443)), timeout=_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=asked_for(host)) as secured,
        ):
            shown_certificate = secured.getpeercert(binary_form=True) or b""
        return Sight(host, gateway.address, x509.load_der_x509_certificate(shown_certificate).serial_number)
    except TimeoutError:
        return Sight(host, gateway.address, error="timeout")
    except ConnectionRefusedError:
        return Sight(host, gateway.address, error="refused")
    except ssl.SSLEOFError:
        return Sight(host, gateway.address, error="reset")
    except (ssl.SSLError, ValueError):
        return Sight(host, gateway.address, error="tls")
    except OSError:
        return Sight(host, gateway.address, error="reset")


def asked_for(host: Host) -> str:
    """The name to ask a gateway for: a wildcard's is one that nobody has of his own."""
    return f"mesh-signer-probe.{host.name}" if host.wildcard else host.name
