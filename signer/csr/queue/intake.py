"""How requests are read from the watch: which are kept, and how much of them. Used on the loop only."""

from collections.abc import Callable
from dataclasses import replace

from signer.api.certificatesigningrequest import CertificateSigningRequest, read_object
from signer.api.signername import parse_signer_name


def is_ours(csr: CertificateSigningRequest) -> bool:
    """Tell whether a request is for one of our signer domains and still unanswered."""
    return not csr.answered and parse_signer_name(csr.signer_name) is not None


class Intake:
    """Reads requests. What is answered is not kept, but whoever subscribed sees it once, certificate and all."""

    def __init__(self) -> None:
        self._handlers: list[Callable[[CertificateSigningRequest], None]] = []

    def subscribe(self, handler: Callable[[CertificateSigningRequest], None]) -> None:
        """Call `handler` with each request that has a certificate, before the watch tells that it is gone."""
        self._handlers.append(handler)

    def read(self, raw: bytes) -> CertificateSigningRequest | None:
        """Read a request's protobuf message; None when it is not to be kept. Raises ProtobufError."""
        csr = read_object(raw)
        if not is_ours(csr):
            if csr.has_certificate:
                for handler in self._handlers:
                    handler(csr)
            return None
        # Anybody may create requests of a megabyte each: the bytes of those that nobody approved are not kept. The
        # approval brings the object once more.
        return csr if csr.approved else replace(csr, raw=b"")
