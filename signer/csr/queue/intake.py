"""How requests are read from the watch: which are kept, and how much of them. Used on the loop only."""

from collections.abc import Callable

from signer.api.certificatesigningrequest import CertificateSigningRequest, Head, read_head, read_object
from signer.api.signername import misspelt_signer, parse_signer_name


def is_ours(csr: CertificateSigningRequest) -> bool:
    """Tell whether a request is for one of our signer domains and still unanswered."""
    return not csr.answered and parse_signer_name(csr.signer_name) is not None


class Intake:
    """Reads requests. What is answered is not kept, but whoever subscribed sees it once, certificate and all.

    `spare` may be set: it tells of an object's head and bytes that nobody here needs to know more; then it is as absent.
    """

    def __init__(self) -> None:
        self._handlers: list[Callable[[CertificateSigningRequest], None]] = []
        self._slips: list[Callable[[CertificateSigningRequest, str], None]] = []
        self.spare: Callable[[Head, bytes], bool] = lambda _head, _raw: False

    def subscribe(self, handler: Callable[[CertificateSigningRequest], None]) -> None:
        """Call `handler` with each request that has a certificate, before the watch tells that it is gone."""
        self._handlers.append(handler)

    def subscribe_slips(self, handler: Callable[[CertificateSigningRequest, str], None]) -> None:
        """Call `handler` with each unanswered request whose signer is nobody's and nearly ours, and with what is wrong with it."""
        self._slips.append(handler)

    def read(self, raw: bytes) -> CertificateSigningRequest | None:
        """Read a request's protobuf message; None when it is not to be kept. Raises ProtobufError."""
        head = read_head(raw)
        if head is not None and head.state != "approved" and self.spare(head, raw):
            return None
        csr = read_object(raw)
        if not is_ours(csr):
            if csr.has_certificate:
                for handler in self._handlers:
                    handler(csr)
            elif not csr.answered and (wrong := misspelt_signer(csr.signer_name)):
                for tell in self._slips:
                    tell(csr, wrong)
            return None
        # Anybody may create requests of a megabyte each: the bytes of those that nobody approved are not kept. The
        # approval brings the object once more.
        return csr if csr.approved else csr.without_bytes()
