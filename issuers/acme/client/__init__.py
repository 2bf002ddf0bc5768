"""The network part of `issuers.acme`: `Sessions` for asynchronous callers, `Session` underneath, `Server` to say where."""

from issuers.acme.client.session import RenewalInfo, Session
from issuers.acme.client.sessions import Sessions
from issuers.acme.client.transport import Server

__all__ = ["RenewalInfo", "Server", "Session", "Sessions"]
