"""Whether this process can do its work: the questions of /readyz and /livez, and the server that answers them.

Each question reads what the parts know of themselves; it waits for nothing and asks nobody. One loop.
"""

import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable

import msgspec

from signer.api.certificatesigningrequest import CertificateSigningRequest
from signer.authorities.registry import Registry
from signer.csr.controller import RequestController
from signer.kube.reflector import Reflector
from signer.mesh.watcher import MeshWatcher
from signer.observe.audit import AuditLog
from signer.observe.health import HealthServer
from signer.observe.metrics import Metrics
from signer.settings.given import SettingsError

log = logging.getLogger(__name__)

# Beyond this silence on a watch that sends a bookmark each minute, the process is of no use: start it again.
_DEAF_SECONDS = 600.0


class Readiness(msgspec.Struct):
    """The questions to the parts of a process; None for a part that it does not have, or not yet.

    Each question gives "" when all is well, else what is not, in one line.
    """

    registry: Registry | None
    audit: AuditLog
    mesh: MeshWatcher | None = None
    requests: RequestController | None = None
    reflector: Reflector[CertificateSigningRequest] | None = None
    injector: Callable[[], str] | None = None
    connection: Callable[[], str] = lambda: ""
    clock: Callable[[], float] = time.monotonic

    def issuers_ready(self) -> str:
        """Tell whether issuers and Secrets were read."""
        return (
            ""
            if self.registry is None or self.registry.synced.is_set()
            else "issuers and their Secrets were not read yet"
        )

    def credentials_taken(self) -> str:
        """Tell whether the API server takes our credentials."""
        return self.connection()

    def requests_ready(self) -> str:
        """Tell whether the requests were read."""
        if self.reflector is None or self.reflector.synced.is_set():
            return ""
        return f"requests were not read yet: {self.reflector.trouble or 'starting'}"

    def mesh_ready(self) -> str:
        """Tell whether the mesh was read."""
        if self.mesh is None or not self.mesh.world.unsynced:
            return ""
        return f"not read yet: {self.mesh.world.unsynced}"

    def audit_ready(self) -> str:
        """Tell whether what is issued can be written down, where it must be."""
        return f"nothing is issued, as it cannot be written down: {self.audit.trouble}" if self.audit.blocked else ""

    def audit_remark(self) -> str:
        """Tell what is wrong with the audit log though work goes on."""
        return f"works, but lines cannot be written: {self.audit.trouble}" if self.audit.trouble else ""

    def nobody_else_signs(self) -> str:
        """Tell whether another program answers the requests for our signers."""
        return self.requests.foreign.trouble if self.requests is not None else ""

    def inquiries_answered(self) -> str:
        """Tell whether the wall's questions can be answered: owners stored, claims read."""
        return self.requests.waiting.trouble if self.requests is not None else ""

    def nobody_else_injects(self) -> str:
        """Tell whether the CA injector, where it is all that runs here, can do its work."""
        return self.injector() if self.injector is not None else ""

    def watch_alive(self) -> str:
        """Tell whether the API server was heard of late on the watch of the requests."""
        if self.reflector is None or not self.reflector.synced.is_set():
            return ""
        silence = self.clock() - self.reflector.last_contact
        # An API server that is away is no reason to start again; a watch that should have noticed is.
        if silence > _DEAF_SECONDS and not self.reflector.trouble:
            return f"nothing was heard from the API server for {silence:.0f} s"
        return ""

    @contextlib.asynccontextmanager
    async def served(self, bind: str, metrics: Metrics) -> AsyncIterator[None]:
        """Serve metrics and health on `bind` (ADDRESS:PORT, or none). Raises SettingsError when that cannot be had."""
        if bind == "none":
            yield
            return
        server = HealthServer(
            bind,
            metrics.registry,
            ready={
                "credentials": self.credentials_taken,
                "issuers": self.issuers_ready,
                "requests": self.requests_ready,
                "mesh": self.mesh_ready,
                "audit": self.audit_ready,
                "certificates": self.nobody_else_signs,
                "inquiries": self.inquiries_answered,
                "injector": self.nobody_else_injects,
            },
            live={"watch": self.watch_alive},
            remarks={"audit": self.audit_remark},
        )
        async with contextlib.AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(server)
            except OSError as error:
                raise SettingsError(f"--bind: {bind}: {error.strerror}") from error
            log.info("metrics and health on port %d", server.port)
            yield
