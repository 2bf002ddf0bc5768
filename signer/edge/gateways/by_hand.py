"""A placeholder for the Secret of a Certificate that a user wrote for a Gateway, as the guides of cert-manager have it.

Without one the gateway resets port 443, and a challenge that is redirected there waits forever. Only Certificates whose
Secret an Istio Gateway names, in a namespace where a proxy of that Gateway runs. The Secret says that it is this
Certificate's, so the certificate takes its place; nothing is ever written over.
Used on the loop, in the leader.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from datetime import datetime

from signer.api.certificate import Certificate
from signer.api.secret import SECRETS
from signer.edge.credential_name import SecretName
from signer.edge.gateways.bodies import by_hand_secret
from signer.edge.gateways.certificates import EdgeCertificates, Key
from signer.edge.gateways.placeholder import new_placeholder, own_hosts, placeholder_left, selectors_naming, waits
from signer.edge.gateways.placement import NO_POD_RECHECK
from signer.edge.gateways.sources import GatewaySources
from signer.edge.proxies.find import Proxies
from signer.edge.proxies.values import selects
from signer.kube.client import ApiClient
from signer.kube.errors import AlreadyExists, NotFound


class ByHand:
    """Looks after users' Certificates of one namespace at a time."""

    def __init__(
        self,
        client: ApiClient,
        certificates: EdgeCertificates,
        sources: GatewaySources,
        proxies: Proxies,
        *,
        is_ca_secret: Callable[[str, str], bool],
        clock: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._certificates = certificates
        self._sources = sources
        self._proxies = proxies
        self._is_ca_secret = is_ca_secret
        self._clock = clock
        self._missing: dict[Key, datetime] = {}

    async def serve(self, namespace: str) -> float | None:
        """Write what is missing in a namespace; after how many seconds to look again. Raises ApiError, Unreachable."""
        again: list[float] = []
        waiting = [one for one in self._certificates.by_hand_in(namespace) if waits(one)]
        selectors = selectors_naming(self._sources.istio_gateways()) if waiting else {}
        still = set()
        for certificate in waiting:
            key = (namespace, certificate.spec.secret_name)
            naming = [one for where in ("", namespace) for one in selectors.get(SecretName(key[1], where), [])]
            left = await self._serve(certificate, key, naming)
            if left is not None:
                again.append(left)
                still.add(key)
        for key in [key for key in self._missing if key[0] == namespace and key not in still]:
            del self._missing[key]
        return min(again, default=None)

    async def _serve(self, certificate: Certificate, key: Key, selectors: list[Mapping[str, str]]) -> float | None:
        hosts = own_hosts(certificate)
        if not hosts or not selectors or self._is_ca_secret(*key) or await self._is_there(key):
            return None
        now = self._clock()
        left = placeholder_left(certificate, self._missing.setdefault(key, now), now)
        if left is not None:
            return left
        for selector in selectors:
            pods = await self._proxies.find(selector, (key[0],))
            if any(pod.namespace == key[0] and selects(selector, pod.labels) for pod in pods):
                break
        else:
            return NO_POD_RECHECK
        data = await asyncio.to_thread(new_placeholder, hosts, now)
        with contextlib.suppress(AlreadyExists):
            await self._client.create(SECRETS, by_hand_secret(certificate, data))
        return None

    async def _is_there(self, key: Key) -> bool:
        try:
            await self._client.get(SECRETS, key[1], key[0])
        except NotFound:
            return False
        return True
