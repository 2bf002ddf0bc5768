"""What one look at a cluster gives the page. Values only."""

from dataclasses import dataclass, field

import msgspec

from signer.api.certificate import CERTIFICATES, IssuerReference
from signer.api.meta import ObjectMeta
from signer.commands.checks.facts import Facts
from signer.commands.hosts import Lists
from signer.commands.live import Listing


class Involved(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The object that an Event is about."""

    kind: str = ""
    namespace: str = ""
    name: str = ""


class Warned(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An Event of type Warning, as far as the page shows it."""

    metadata: ObjectMeta
    involved_object: Involved = Involved()
    reason: str = ""
    message: str = ""
    count: int = 1
    last_timestamp: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """The cluster at one moment. Each Listing says by itself when it could not be read.

    `server` is the API server's URL; `lists` are what public hosts rest on, Certificates among it; `default` is the issuer of
    hosts that name none. `warned` are our Events of type Warning, and `events_problem` says why there are none.
    """

    server: str
    facts: Facts
    requests: Listing
    certificate_requests: Listing
    lists: Lists
    default: IssuerReference | None = None
    warned: tuple[Warned, ...] = field(default=())
    events_problem: str = ""

    @property
    def certificates(self) -> Listing:
        """The Certificates of all namespaces."""
        return self.lists.get(CERTIFICATES, Listing())
