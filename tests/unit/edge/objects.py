"""Gateways, Ingresses and the like for the tests of the edge, as users write them."""

from collections.abc import Mapping
from typing import Any

import msgspec

from signer.api.certificate import IssuerReference
from signer.api.gateway import APIGateway, Gateway
from signer.api.ingress import Ingress
from signer.edge.host import Host, read_host

LE = IssuerReference(name="le", kind="ClusterIssuer", group="cert-manager.io")


def meta(namespace: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"namespace": namespace, "name": name, "uid": f"uid-{namespace}-{name}", **fields}


def https(
    *hosts: str, credential: Any = "tls", mode: str | None = "SIMPLE", port: int = 443, **tls: Any
) -> dict[str, Any]:
    named: dict[str, Any] = {"credentialNames": credential} if isinstance(credential, list) else {}
    if isinstance(credential, str) and credential:
        named = {"credentialName": credential}
    if mode is not None:
        named["mode"] = mode
    return {
        "port": {"number": port, "name": f"https-{port}", "protocol": "HTTPS"},
        "hosts": list(hosts),
        "tls": {**named, **tls},
    }


def http(*hosts: str, redirect: bool = False, port: int = 80) -> dict[str, Any]:
    found: dict[str, Any] = {"port": {"number": port, "name": "http", "protocol": "HTTP"}, "hosts": list(hosts)}
    return {**found, "tls": {"httpsRedirect": True}} if redirect else found


def gateway(
    *servers: Any, namespace: str = "foo", name: str = "shop", annotations: Mapping[str, str] | None = None
) -> Gateway:
    spec = {"selector": {"istio": "ingressgateway"}, "servers": list(servers)}
    metadata = meta(namespace, name, annotations=dict(annotations or {}))
    return msgspec.convert({"metadata": metadata, "spec": spec}, Gateway)


def api_gateway(*listeners: Any, namespace: str = "foo", name: str = "shop") -> APIGateway:
    spec = {"gatewayClassName": "istio", "listeners": list(listeners)}
    return msgspec.convert({"metadata": meta(namespace, name), "spec": spec}, APIGateway)


def listener(name: str, port: int, hostname: str = "", **fields: Any) -> dict[str, Any]:
    protocol = "HTTPS" if "tls" in fields else "HTTP"
    return {"name": name, "port": port, "protocol": protocol, "hostname": hostname, **fields}


def ingress(*tls: Any, rules: tuple[str, ...] = (), class_name: str = "istio") -> Ingress:
    spec = {"ingressClassName": class_name, "tls": list(tls), "rules": [{"host": host} for host in rules]}
    return msgspec.convert({"metadata": meta("foo", "shop"), "spec": spec}, Ingress)


def host(text: str) -> Host:
    found = read_host(text)
    assert isinstance(found, Host), found
    return found
