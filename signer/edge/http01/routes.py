"""The objects that make a gateway answer an HTTP-01 challenge, as they are applied. Pure: dicts from values.

Each says by labels what it is for, and is removed by them; names follow from the Challenge, so that a restart finds what
it made. Nothing but the challenge's own path is ever answered (B and C add the redirect that the user had).
Sources: RFC 8555, 8.3; https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPDirectResponse
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from issuers.acme.answers import TOKEN
from signer.api.gateway import GATEWAYS
from signer.api.httproute import HTTP_ROUTES, REFERENCE_GRANTS
from signer.api.ingress import CLASS_ANNOTATION, INGRESSES
from signer.api.labels import PART_OF
from signer.api.virtualservice import VIRTUAL_SERVICES
from signer.edge.host import Host

CHALLENGE_PATH = "/.well-known/acme-challenge/"
SOLVER_LABEL = "acme.cert-manager.io/http01-solver"
CHALLENGE_UID = "mesh-signer.dev/challenge-uid"
SOLVER_SERVICE = "mesh-signer-http01-solver"
SOLVER_PORT = 8089
"""The Service of manifests/base in the controllers' namespace; its Pods may listen on another port."""
_KEY = re.compile(r"[A-Za-z0-9_-]{22,128}\.[A-Za-z0-9_-]{43}", re.ASCII)
"""RFC 8555, 8.1: the token, a point, and the SHA-256 thumbprint of the account's key."""


MARK = "mesh-signer-acme-"
"""What is ours is named so: objects, and servers in a user's Gateway."""


def object_name(uid: str) -> str:
    """Name what is made for a Challenge, by its uid."""
    return f"{MARK}{hashlib.sha256(uid.encode()).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered, and where. The Challenge is named by its namespace, name and uid."""

    host: Host
    token: str
    key: str
    challenge: tuple[str, str, str]

    def __post_init__(self) -> None:
        """Refuse, with ValueError, what a hostile CA could have sent to be served or written into a route."""
        if not TOKEN.fullmatch(self.token):
            raise ValueError("the token is malformed: 22 to 128 characters of base64url are expected (RFC 8555, 8.1)")
        if not _KEY.fullmatch(self.key) or not self.key.startswith(f"{self.token}."):
            raise ValueError("the key authorization is not the token, a point, and a thumbprint (RFC 8555, 8.1)")
        if self.host.wildcard:
            raise ValueError("a wildcard cannot be proven by HTTP-01")

    @property
    def path(self) -> str:
        """The path that the CA asks for."""
        return CHALLENGE_PATH + self.token

    @property
    def object_name(self) -> str:
        """Name what is made for it, in whatever namespace."""
        return object_name(self.challenge[2])


@dataclass(frozen=True, slots=True)
class SolverService:
    """The Service whose Pods (every replica of ours) answer for modes D and E."""

    namespace: str
    name: str
    port: int


def _metadata(answer: Answer, namespace: str, annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
    challenge_namespace, challenge, uid = answer.challenge
    found: dict[str, Any] = {
        "name": answer.object_name,
        "namespace": namespace,
        "labels": {**PART_OF, SOLVER_LABEL: "true", CHALLENGE_UID: uid},
        "annotations": {"mesh-signer.dev/challenge": f"{challenge_namespace}/{challenge}", **(annotations or {})},
    }
    if namespace == challenge_namespace:
        found["ownerReferences"] = [
            {
                "apiVersion": "acme.cert-manager.io/v1",
                "kind": "Challenge",
                "name": challenge,
                "uid": uid,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ]
    return found


def virtual_service(
    answer: Answer,
    gateway: tuple[str, str],
    proxy_namespaces: Iterable[str],
    *,
    redirect: bool = False,
    http_port: int | None = 80,
    hosts: Iterable[str] = (),
) -> dict[str, Any]:
    """Mode A (and with `redirect` the route of B and C): a direct answer on this Gateway, in the Gateway's namespace.

    `http_port` is the number of the server that redirects, None where the Gateway has no other; `hosts`: the host in the
    letters of the Gateway's servers, since Istio compares by case.

    exportTo names the proxies' namespaces: Istio places such routes before every public one, so that no older
    VirtualService of the host stands in the way.
    """
    namespace, name = gateway
    http: list[dict[str, Any]] = [
        {
            "name": "acme-challenge",
            "match": [{"uri": {"exact": answer.path}}],
            "directResponse": {"status": 200, "body": {"string": answer.key}},
        }
    ]
    if redirect:
        # By port: the VirtualService may be on a Gateway that has port 443 too. By an expression: Istio moves what fits
        # everything (a prefix of "/", ".*", or no path) behind all other routes, and the user's would answer in the clear.
        everything = {**({"port": http_port} if http_port is not None else {}), "uri": {"regex": "/.*"}}
        http.append({"name": "to-https", "match": [everything], "redirect": {"scheme": "https"}})
    return {
        "apiVersion": VIRTUAL_SERVICES.api_version,
        "kind": VIRTUAL_SERVICES.kind,
        "metadata": _metadata(answer, namespace),
        "spec": {
            "hosts": list(hosts) or [str(answer.host)],
            "gateways": [f"{namespace}/{name}"],
            "exportTo": sorted(set(proxy_namespaces)),
            "http": http,
        },
    }


def own_gateway(
    answer: Answer, namespace: str, selector: Mapping[str, str], port: int = 80, *, bind: str = ""
) -> dict[str, Any]:
    """Mode B: a Gateway of our own on port 80 for exactly this host, on the proxies (and address) of the user's."""
    if not selector:
        raise ValueError("a Gateway without a selector would be on every proxy of the mesh")
    return {
        "apiVersion": GATEWAYS.api_version,
        "kind": GATEWAYS.kind,
        "metadata": _metadata(answer, namespace),
        "spec": {
            "selector": dict(selector),
            "servers": [
                {
                    "port": {"number": port, "name": "http-acme", "protocol": "HTTP"},
                    **({"bind": bind} if bind else {}),
                    "hosts": [f"./{answer.host}"],
                }
            ],
        },
    }


def ingress(answer: Answer, namespace: str, class_name: str, solver: SolverService) -> dict[str, Any]:
    """Mode D: an Ingress in the namespace of the solver's Service, since an Ingress reaches no other."""
    if namespace != solver.namespace:
        raise ValueError("an Ingress reaches Services of its own namespace only")
    backend = {"service": {"name": solver.name, "port": {"number": solver.port}}}
    paths = [{"path": answer.path, "pathType": "Exact", "backend": backend}]
    return {
        "apiVersion": INGRESSES.api_version,
        "kind": INGRESSES.kind,
        "metadata": _metadata(answer, namespace, {CLASS_ANNOTATION: class_name} if class_name else None),
        "spec": {"rules": [{"host": str(answer.host), "http": {"paths": paths}}]},
    }


def http_route(
    answer: Answer, gateway: tuple[str, str], sections: Iterable[str], solver: SolverService
) -> dict[str, Any]:
    """Mode E: an HTTPRoute in the Gateway's namespace on its listeners of port 80.

    Where the solver's Service is elsewhere, its namespace needs `reference_grant`.
    """
    namespace, name = gateway
    group = HTTP_ROUTES.group
    backend: dict[str, Any] = {"group": "", "kind": "Service", "name": solver.name, "port": solver.port, "weight": 1}
    if solver.namespace != namespace:
        backend["namespace"] = solver.namespace
    return {
        "apiVersion": HTTP_ROUTES.api_version,
        "kind": HTTP_ROUTES.kind,
        "metadata": _metadata(answer, namespace),
        "spec": {
            "hostnames": [str(answer.host)],
            "parentRefs": [
                {"group": group, "kind": "Gateway", "name": name, "namespace": namespace, "sectionName": section}
                for section in sections
            ],
            "rules": [
                {
                    "matches": [{"path": {"type": "Exact", "value": answer.path}, "method": "GET"}],
                    "backendRefs": [backend],
                }
            ],
        },
    }


def reference_grant(answer: Answer, namespace: str, solver: SolverService) -> dict[str, Any]:
    """What lets HTTPRoutes of a namespace reach the solver's Service, and nothing else of its namespace.

    One for each Challenge, so that it goes with the Challenge.
    """
    return {
        "apiVersion": REFERENCE_GRANTS.api_version,
        "kind": REFERENCE_GRANTS.kind,
        "metadata": _metadata(answer, solver.namespace),
        "spec": {
            "from": [{"group": HTTP_ROUTES.group, "kind": HTTP_ROUTES.kind, "namespace": namespace}],
            "to": [{"group": "", "kind": "Service", "name": solver.name}],
        },
    }
