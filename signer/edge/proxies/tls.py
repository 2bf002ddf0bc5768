"""One look at the certificate that a gateway's Pod shows for a host.

Used on the loop: the caller bounds how many at once. Nothing is sent but the handshake, and nothing of what is shown is kept
but the serial number: whether a client would trust it is not asked.
"""

import ssl

from issuers.x509 import loading
from signer.edge.host import Host
from signer.edge.proxies.dial import dialled
from signer.edge.proxies.values import GatewayAddress, Sight, asked_for


async def shown(host: Host, gateway: GatewayAddress, key_algorithm: str = "") -> Sight:
    """Ask one Pod. `key_algorithm`: of the certificate to be shown, where a gateway has two; "" for whichever."""
    try:
        async with dialled(gateway, 443, asked_for(host), key_algorithm) as (_, writer):
            found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True) or b""
        return Sight(host, gateway.address, loading.certificate(found).serial_number)
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
