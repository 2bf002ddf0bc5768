"""The Pods that serve a Gateway or an Ingress, and where they listen: the only addresses that a self check may dial.

Asked for when a challenge needs it. Used on the loop; nothing is remembered.
Sources: Istio Gateway `selector`; https://gateway-api.sigs.k8s.io/geps/gep-1762/ (the label of a Gateway's own Pods);
https://istio.io/latest/docs/tasks/traffic-management/ingress/gateway-api/#manual-deployment (a Service by hostname)
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from signer.api.gateway import APIGateway, Gateway
from signer.api.ingress import INGRESS_SELECTOR, Ingress
from signer.api.pod import PODS
from signer.edge.host import Host
from signer.edge.proxies.values import GatewayAddress, selects
from signer.kube.client import ApiClient
from signer.kube.resource import Resource
from signer.tenancy.verdict import Reason

SERVICES = Resource("", "v1", "services", "Service", namespaced=True)
GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name"
_PUBLIC = (80, 443)


@dataclass(frozen=True, slots=True)
class Served:
    """The namespaces in which Pods run, the Pods, and the public addresses, all of at least one Pod."""

    namespaces: tuple[str, ...]
    pods: tuple[GatewayAddress, ...]
    public: tuple[str, ...]


class GatewayPods:
    """Finds Pods. `gateway_namespaces` are those where administrators run gateways for others."""

    def __init__(self, client: ApiClient, gateway_namespaces: Collection[str]) -> None:
        self._client = client
        self._gateway_namespaces = frozenset(gateway_namespaces)

    async def find(self, carrier: Gateway | APIGateway | Ingress, host: Host) -> Served | Reason:
        """Find the Pods beside it, or where administrators run them; a reason says which are missing.

        Those of a Gateway of the Gateway API are beside it always. Raises ApiError, Unreachable.
        """
        own = carrier.metadata.namespace
        if isinstance(carrier, APIGateway):
            selectors, namespaces = await self._of_api_gateway(carrier), [own]
        else:
            selector = carrier.spec.selector if isinstance(carrier, Gateway) else INGRESS_SELECTOR
            selectors, namespaces = [selector], sorted({own, *self._gateway_namespaces})
        pods: dict[str, GatewayAddress] = {}
        public: list[str] = []
        places: list[str] = []
        shown = ""
        for selector in filter(None, selectors):
            shown = ",".join(f"{key}={value}" for key, value in sorted(selector.items()))
            for namespace in namespaces:
                found = await self._client.list(PODS, namespace, label_selector=shown)
                running = [one for one in found if _running(one)]
                if not running:
                    continue
                places.append(namespace)
                services = await self._client.list(SERVICES, namespace)
                for pod in running:
                    ports, addresses = _published(pod, services)
                    address = pod["status"]["podIP"]
                    pods[address] = GatewayAddress(address, ports)
                    public += [address, *addresses]
        if not places:
            what = "Ingress" if isinstance(carrier, Ingress) else "Gateway"
            return Reason(
                "NoGatewayPod",
                f"no Pod serves {what} {own}/{carrier.metadata.name} ({shown or 'it has no selector'}); {host} waits for one",
            )
        return Served(tuple(dict.fromkeys(places)), tuple(pods.values()), tuple(dict.fromkeys(public)))

    async def _of_api_gateway(self, gateway: APIGateway) -> list[Mapping[str, str]]:
        """The selectors of its Pods: of the Services that it names, else by the label that its own Pods have."""
        own = gateway.metadata.namespace
        named = [one.value for one in gateway.spec.addresses if one.type == "Hostname"]
        if not named:
            return [{GATEWAY_NAME: gateway.metadata.name}]
        # Only Services beside it: what another namespace runs is not for its owner to have dialled.
        wanted = {
            name for name, _, rest in (one.partition(".") for one in named) if rest.partition(".")[0] in ("", own)
        }
        services = await self._client.list(SERVICES, own)
        found = [one for one in services if one["metadata"]["name"] in wanted]
        return [selector for one in found if (selector := (one.get("spec") or {}).get("selector"))]


def _running(pod: Mapping[str, Any]) -> bool:
    status = pod.get("status") or {}
    return (
        bool(status.get("podIP")) and status.get("phase") == "Running" and not pod["metadata"].get("deletionTimestamp")
    )


def _published(pod: Mapping[str, Any], services: list[dict[str, Any]]) -> tuple[dict[int, int], tuple[str, ...]]:
    """Where a Pod listens for the public ports, by its Services; and the addresses of those."""
    ports: dict[int, int] = {}
    addresses: list[str] = []
    named = {
        one.get("name"): one.get("containerPort")
        for container in pod.get("spec", {}).get("containers") or ()
        for one in container.get("ports") or ()
    }
    for service in services:
        spec = service.get("spec") or {}
        if not spec.get("selector") or not selects(spec["selector"], pod["metadata"].get("labels") or {}):
            continue
        for one in spec.get("ports") or ():
            target = one.get("targetPort", one.get("port"))
            number = named.get(target) if isinstance(target, str) else target
            if one.get("port") in _PUBLIC and isinstance(number, int):
                ports.setdefault(one["port"], number)
        balancer = (service.get("status") or {}).get("loadBalancer") or {}
        addresses += [one["ip"] for one in balancer.get("ingress") or () if one.get("ip")]
        addresses += [*(spec.get("externalIPs") or ()), *(one for one in (spec.get("clusterIP"),) if one)]
    return ports, tuple(addresses)
