"""Where the Pods run that serve a Gateway: asked for when it matters, since watching all Pods of a cluster would cost more.

Used on the loop. Only namespaces that may receive a Secret are asked about, and one Pod of each is enough.
"""

from collections.abc import Iterable, Mapping

import msgspec

from signer.api.pod import PODS
from signer.edge.proxies.values import GatewayPod
from signer.kube.client import ApiClient
from signer.kube.encoding.depth import reader
from signer.kube.errors import ApiError


class _Meta(msgspec.Struct, frozen=True):
    namespace: str = ""
    labels: dict[str, str] = {}


class _Pod(msgspec.Struct, frozen=True):
    metadata: _Meta


class _Pods(msgspec.Struct, frozen=True):
    items: tuple[_Pod, ...] = ()


_read = reader(msgspec.json.Decoder(_Pods).decode)


class Proxies:
    """Asks for Pods by a Gateway's selector."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def find(self, selector: Mapping[str, str], namespaces: Iterable[str]) -> list[GatewayPod]:
        """Return one Pod of each of these namespaces that the selector takes.

        No other is asked about: a selector is a tenant's word, and a list of the whole cluster is dear. A selector that can be
        no label's takes no Pod. Raises ApiError, Unreachable.
        """
        text = ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
        return [pod for one in dict.fromkeys(namespaces) for pod in await self._ask(text, one)]

    async def _ask(self, selector: str, namespace: str) -> list[GatewayPod]:
        query: dict[str, str | int | bool] = {"labelSelector": selector, "limit": 1}
        try:
            answer = await self._client.request("GET", PODS.path(namespace), query=query)
        except ApiError as error:
            if error.status == 400:
                return []
            raise
        return [GatewayPod(pod.metadata.namespace, pod.metadata.labels) for pod in _read(answer.body).items]
