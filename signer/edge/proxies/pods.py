"""The Pods that serve a Gateway or an Ingress, where they listen, and by which addresses the world reaches them.

Asked for when a challenge needs it. Used on the loop; nothing is remembered.
Sources: Istio Gateway `selector`; https://gateway-api.sigs.k8s.io/geps/gep-1762/ (the label of a Gateway's own Pods);
https://istio.io/latest/docs/tasks/traffic-management/ingress/gateway-api/#manual-deployment (a Service by hostname)
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from signer.api.gateway import APIGateway, Gateway
from signer.api.ingress import INGRESS_SELECTOR, Ingress
from signer.api.pod import PODS
from signer.edge.host import Host
from signer.edge.proxies.ports import Ports, joined, owners_word, ports_of
from signer.edge.proxies.values import GatewayAddress, selects
from signer.kube.client import ApiClient
from signer.kube.resource import Resource
from signer.tenancy.verdict import Reason

SERVICES = Resource("", "v1", "services", "Service", namespaced=True)
GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name"
_MAX_NAMES = 4
"""Names of load balancers that are looked up; one has one."""


@dataclass(frozen=True, slots=True)
class Served:
    """The namespaces in which Pods run, the Pods, and what leads to them: addresses, names of load balancers, ports."""

    namespaces: tuple[str, ...]
    pods: tuple[GatewayAddress, ...]
    public: tuple[str, ...]
    names: tuple[str, ...] = ()
    ports: Ports = field(default_factory=Ports)


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
        word = owners_word(carrier.metadata.annotations)
        if isinstance(word, Reason):
            return Reason(word.code, f"{_what(carrier)} {own}/{carrier.metadata.name}: {word.message}")
        pods: dict[str, GatewayAddress] = {}
        public: list[str] = []
        names: list[str] = []
        ports: list[Ports] = []
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
                    one = ports_of(pod, services).told(word)
                    ports.append(one)
                    address = pod["status"]["podIP"]
                    pods[address] = GatewayAddress(address, one.dialled())
                    leading, balancers = _leading(pod, services)
                    public += [address, *leading]
                    names += balancers
        if not places:
            return Reason(
                "NoGatewayPod",
                f"no Pod serves {_what(carrier)} {own}/{carrier.metadata.name} ({shown or 'it has no selector'});"
                f" {host} waits for one",
            )
        return Served(
            tuple(dict.fromkeys(places)),
            tuple(pods.values()),
            tuple(dict.fromkeys(public)),
            tuple(dict.fromkeys(names)),
            joined(ports),
        )

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


def _what(carrier: Gateway | APIGateway | Ingress) -> str:
    return "Ingress" if isinstance(carrier, Ingress) else "Gateway"


def _leading(pod: Mapping[str, Any], services: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """What leads to a Pod by its Services and its node: addresses, and the names of load balancers that have none here."""
    addresses: list[str] = []
    names: list[str] = []
    for service in services:
        spec = service.get("spec") or {}
        if not spec.get("selector") or not selects(spec["selector"], pod["metadata"].get("labels") or {}):
            continue
        balancer = (service.get("status") or {}).get("loadBalancer") or {}
        for one in balancer.get("ingress") or ():
            addresses += [one["ip"]] if one.get("ip") else []
            names += [one["hostname"]] if one.get("hostname") else []
        inside = spec.get("clusterIPs") or [spec.get("clusterIP")]
        addresses += [*(spec.get("externalIPs") or ()), *(one for one in inside if one and one != "None")]
    return addresses, names[:_MAX_NAMES]
