"""Looks where a CA will look: at each address of a host's name, at port 80, along redirects, to other hosts too.

Whoever has a name chooses where it leads, and so does whoever answers there: each address is judged where it is dialled, and
none that is refused gets a packet. Used on the loop; a look has its own bounds (proxies/http.py).
"""

import asyncio
from collections.abc import Mapping

from issuers.acme.targets import AddressRule
from signer.edge.challenges.presenter import Found
from signer.edge.host import Host, read_host
from signer.edge.http01.check import Public, classify_public
from signer.edge.proxies.http import look
from signer.edge.proxies.pods import Served
from signer.edge.proxies.resolve import Resolve
from signer.edge.proxies.values import Asked, GatewayAddress

MAX_ADDRESSES = 8
"""Of a host's name, which are looked at; of one that has more, others each time, as its name servers turn them."""


class PublicLooks:
    """Looks for one answer. `rule`: which addresses a redirect may lead to; `ports`: where 80 and 443 are, if elsewhere."""

    def __init__(self, asked: Asked, resolve: Resolve, ports: Mapping[int, int], rule: AddressRule) -> None:
        self._asked = asked
        self._resolve = resolve
        self._ports = ports
        self._rule = rule

    async def at(self, addresses: tuple[str, ...], served: Served, rule: AddressRule) -> Found:
        """Look at these addresses, all at once; the first at which a CA would not find the answer is told.

        `served` says which are the gateway's own, `rule` which may be asked.
        """
        own = {*served.public}
        for found in await asyncio.gather(*(self._resolve(name) for name in served.names)):
            own.update(found or ())

        async def one_look(address: str) -> Public:
            if (refused := rule.refusal(address)) is not None:
                return Public(address, address in own, refused=f"{refused} is not asked")
            return Public(
                address, address in own, await look(self._asked, self._to(address), elsewhere=self._elsewhere)
            )

        looks = await asyncio.gather(*(one_look(one) for one in addresses[:MAX_ADDRESSES]))
        return classify_public(self._asked.host, self._asked.path, looks, served.public)

    async def _elsewhere(self, name: str) -> GatewayAddress | None:
        """Where another host is asked, to which an answer leads: at its first address that may be."""
        host = read_host(name)
        found = await self._resolve(str(host)) if isinstance(host, Host) and not host.wildcard else ()
        return next((self._to(one) for one in found or () if self._rule.refusal(one) is None), None)

    def _to(self, address: str) -> GatewayAddress:
        return GatewayAddress(address, self._ports)
