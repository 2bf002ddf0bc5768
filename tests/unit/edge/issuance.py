"""Orders and Challenges for the tests of the edge, as the API server shows them."""

from datetime import datetime
from typing import Any

import msgspec

from signer.api.challenge import Challenge
from signer.api.order import ORDERS, Order
from tests.unit.edge.http01.test_routes import KEY, TOKEN

SOLVER = {"http01": {"ingress": {"class": "istio"}}}
DNS_SOLVER = {"dns01": {"rfc2136": {"nameserver": "127.0.0.1"}}}
CA = "https://ca.example"


def offered(kind: str = "http-01", number: int = 1, token: str = TOKEN) -> dict[str, Any]:
    return {"type": kind, "url": f"{CA}/chall/{kind}/{number}", "token": token}


def authorization(name: str = "a.example.com", number: int = 1, **fields: Any) -> dict[str, Any]:
    found = {"url": f"{CA}/authz/{number}", "identifier": name, "challenges": [offered(), offered("dns-01")]}
    return {**found, "initialState": "pending", **fields}


def order(status: Any = None, created: datetime | None = None, **spec: Any) -> Order:
    fields = {"request": "aGk=", "issuerRef": {"name": "le", "kind": "ClusterIssuer"}, "dnsNames": ["a.example.com"]}
    metadata = {"namespace": "istio-system", "name": "o", "uid": "order-uid"}
    if created is not None:
        metadata["creationTimestamp"] = created.isoformat()
    return msgspec.convert({"metadata": metadata, "spec": fields | spec, "status": status}, Order)


def pending(*authorizations: Any, **fields: Any) -> dict[str, Any]:
    status = {"url": f"{CA}/order/1", "finalizeURL": f"{CA}/finalize/1", "state": "pending"}
    return {**status, "authorizations": list(authorizations) or [authorization()], **fields}


def challenge(
    name: str = "c",
    *,
    owner: str = "order-uid",
    spec: dict[str, Any] | None = None,
    status: Any = None,
    **metadata: Any,
) -> Challenge:
    fields = {
        "url": f"{CA}/chall/http-01/1",
        "authorizationURL": f"{CA}/authz/1",
        "dnsName": "a.example.com",
        "type": "HTTP-01",
        "token": TOKEN,
        "key": KEY,
        "issuerRef": {"name": "le", "kind": "ClusterIssuer"},
        "solver": SOLVER,
    }
    meta = {
        "namespace": "istio-system",
        "name": name,
        "uid": f"uid-{name}",
        "creationTimestamp": "2026-06-01T12:00:00Z",
        "ownerReferences": [
            {"apiVersion": ORDERS.api_version, "kind": "Order", "name": "o", "uid": owner, "controller": True}
        ],
    }
    one = {"metadata": meta | metadata, "spec": fields | (spec or {}), "status": status}
    return msgspec.convert(one, Challenge)
