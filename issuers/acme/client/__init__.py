"""The network part of `issuers.acme`: `Session` for one account's steps, `Server` to say where."""

from issuers.acme.client.session import RenewalInfo, Session
from issuers.acme.client.transport import NO_ANSWER, Exchange, Server

__all__ = ["NO_ANSWER", "Exchange", "RenewalInfo", "Server", "Session"]
