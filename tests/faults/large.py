"""The worst that a tenant may write, of every kind that one of our processes watches or lists.

Four shapes in turn, since each wears out another bound: more than is read of any object; nearly as much as is read; a
thousand short texts, which take ten times their bytes once they are read, in an object so small that it counts against
nothing; and a large annotation. Maps of thousands of keys, which cost the API server seconds each, are left to it.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests import pki

Json = dict[str, Any]

SIZE = 1_000_000
"""Bytes of what fills an object; the API server takes up to 1.5 MB."""
_READ = 200_000
_FREE = 5_000
GATEWAY_LABELS = {"istio": "ingressgateway"}


@dataclass(frozen=True, slots=True)
class Filling:
    """One shape: a `text`, or many short `names`, and an annotation of so many bytes."""

    text: str = ""
    names: tuple[str, ...] = ()
    note: int = 0


MANY = (
    Filling(names=tuple(f"a{number:03x}" for number in range(500)), note=9_000),
    Filling(text="x" * 6_000, note=8_000),
)
"""Of some 15 KB, none of which is large: what counts is how many there are, and what they take once they are read."""

SHAPES = (
    Filling(text="x" * SIZE),
    Filling(text="x" * _READ),
    Filling(names=tuple(f"a{number:03x}" for number in range(_FREE // 8))),
    Filling(text="x", note=_READ),
)


@dataclass(frozen=True, slots=True)
class Kind:
    """Where objects of a kind are, and what one that is filled looks like. `told`: over a bound, it says so itself."""

    path: str
    api_version: str
    kind: str
    fill: Callable[[Filling], Json]
    told: bool = True

    def body(self, shape: Filling, namespace: str, name: str) -> Json:
        """One object."""
        made = self.fill(shape)
        meta = made.pop("metadata", {}) | {"name": name}
        if "{ns}" in self.path:
            meta["namespace"] = namespace
        meta["annotations"] = meta.get("annotations", {}) | {"a.example/note": "x" * shape.note}
        return {"apiVersion": self.api_version, "kind": self.kind, "metadata": meta, **made}

    def where(self, namespace: str) -> str:
        """The path of the collection."""
        return self.path.format(ns=namespace)


def _hosts(filling: Filling) -> list[str]:
    if filling.names:
        return [f"{one}.b" for one in filling.names[:500]]
    label = ".".join([filling.text[:60]] * 3)
    return [f"{n}.{label}.b" for n in range(max(1, len(filling.text) // 200))]


def _issuer(filling: Filling) -> Json:
    points = list(filling.names) or [filling.text[:4000]] * max(1, len(filling.text) // 4000)
    return {"spec": {"ca": {"secretName": "s", "crlDistributionPoints": points}}}


def _certificate(filling: Filling) -> Json:
    return {"spec": {"secretName": "s", "dnsNames": _hosts(filling), "issuerRef": {"name": "i"}}}


def _certificate_request(filling: Filling) -> Json:
    text = filling.text or "".join(filling.names)
    return {"spec": {"request": base64.b64encode(text.encode()).decode(), "issuerRef": {"name": "i"}}}


def _secret(filling: Filling) -> Json:
    labels = {"controller.cert-manager.io/fao": "true"}
    entries = dict.fromkeys(filling.names[:100], "x") or {
        "tls.crt": filling.text[:500_000],
        "o": filling.text[:250_000],
    }
    return {"type": "Opaque", "stringData": entries, "metadata": {"labels": labels}}


def _gateway(filling: Filling) -> Json:
    port = {"number": 443, "name": "https", "protocol": "HTTPS"}
    server = {"port": port, "hosts": _hosts(filling), "tls": {"mode": "SIMPLE", "credentialName": "s"}}
    annotations = {"cert-manager.io/issuer": "i"}
    return {"spec": {"selector": GATEWAY_LABELS, "servers": [server]}, "metadata": {"annotations": annotations}}


def _api_gateway(filling: Filling) -> Json:
    # More listeners take the API server seconds each.
    options = {f"a.example/{n}": filling.text[:4096] for n in range(16 if filling.text else 1)}
    tls = {"mode": "Terminate", "certificateRefs": [{"name": "s"}], "options": options}
    listeners = [
        {"name": f"l{n}", "port": 443, "protocol": "HTTPS", "hostname": f"h{n}.example.com", "tls": tls}
        for n in range(1 + min(5, len(filling.text) // 60_000))
    ]
    annotations = {"cert-manager.io/issuer": "i"}
    return {"spec": {"gatewayClassName": "istio", "listeners": listeners}, "metadata": {"annotations": annotations}}


def _ingress(filling: Filling) -> Json:
    back = {"service": {"name": "s", "port": {"number": 80}}}
    paths = [{"path": f"/{name}", "pathType": "Prefix", "backend": back} for name in filling.names[:50]]
    paths = paths or [{"path": f"/{filling.text[:900_000]}", "pathType": "Prefix", "backend": back}]
    rules = [{"host": "a.example.com", "http": {"paths": paths}}]
    tls = [{"hosts": ["a.example.com"], "secretName": "s"}]
    spec = {"ingressClassName": "istio", "rules": rules, "tls": tls}
    return {"spec": spec, "metadata": {"annotations": {"cert-manager.io/issuer": "i"}}}


def _virtual_service(filling: Filling) -> Json:
    labels = {"acme.cert-manager.io/http01-solver": "true"}
    route = [{"route": [{"destination": {"host": "a"}}]}]
    spec = {"hosts": _hosts(filling), "gateways": ["g"], "http": route}
    return {"spec": spec, "metadata": {"labels": labels}}


def _proxy_config(filling: Filling) -> Json:
    variables = {f"V{name}": "x" for name in filling.names[:100]} | {"ISTIO_META_CERT_SIGNER": filling.text}
    labels = dict.fromkeys(filling.names[:50], "x")
    return {"spec": {"environmentVariables": variables, "selector": {"matchLabels": labels}}}


def _order(filling: Filling) -> Json:
    request = base64.b64encode((filling.text[:700_000] or "x").encode()).decode()
    spec = {"request": request, "issuerRef": {"name": "i"}, "dnsNames": _hosts(filling)[:1000]}
    return {"spec": spec}


def _challenge(filling: Filling) -> Json:
    spec = {
        "type": "HTTP-01",
        "url": "https://a.example.com",
        "authorizationURL": "https://a.example.com",
        "dnsName": "a.example.com",
        "token": "t",
        "key": filling.text or "k",
        "issuerRef": {"name": "i"},
        "solver": {"http01": {"ingress": {"class": "istio"}}, "selector": {"dnsNames": list(filling.names)}},
    }
    return {"spec": spec}


def _pod(filling: Filling) -> Json:
    variables = [{"name": f"V{name}", "value": "x"} for name in filling.names[:100]] or [
        {"name": "V", "value": filling.text}
    ]
    container = {"name": "istio-proxy", "image": "none", "env": variables}
    spec = {"serviceAccountName": "none", "automountServiceAccountToken": False, "containers": [container]}
    return {"spec": spec, "metadata": {"labels": GATEWAY_LABELS}}


def _namespace(filling: Filling) -> Json:
    notes = {"a.example/b": filling.text[:250_000] if not filling.note else ""}
    return {"metadata": {"annotations": notes, "labels": {f"b.example/{name}": "x" for name in filling.names[:100]}}}


def _config_map(filling: Filling) -> Json:
    return {"data": {f"k{name}": "x" for name in filling.names[:100]} or {"mesh": filling.text}}


def _signing_request(filling: Filling) -> Json:
    text = filling.text or "\n".join(filling.names)
    request = base64.b64encode(text[: SIZE // 2].encode() + b"\n" + pki.workload_csr("foo")).decode()
    signer = "clusterissuers.cert-manager.io/nobodys"
    return {"spec": {"request": request, "signerName": signer, "usages": list(pki.WORKLOAD_USAGES)}}


CERT_MANAGER, ACME = "cert-manager.io/v1", "acme.cert-manager.io/v1"
ISTIO, ISTIO_CONFIG, API = "networking.istio.io/v1", "networking.istio.io/v1beta1", "gateway.networking.k8s.io/v1"


def _named(api_version: str, kind: str, fill: Callable[[Filling], Json], **options: Any) -> Kind:
    root = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
    plural = f"{kind.lower()}{'es' if kind.endswith('ss') else 's'}"
    return Kind(f"{root}/namespaces/{{ns}}/{plural}", api_version, kind, fill, **options)


KINDS: dict[str, Kind] = {
    "Issuer": _named(CERT_MANAGER, "Issuer", _issuer),
    "Certificate": _named(CERT_MANAGER, "Certificate", _certificate),
    "CertificateRequest": _named(CERT_MANAGER, "CertificateRequest", _certificate_request),
    # Whoever needs it reads it by itself; that the watch does not is in the log.
    "Secret": _named("v1", "Secret", _secret, told=False),
    "Gateway": _named(ISTIO, "Gateway", _gateway),
    "Gateway of the Gateway API": _named(API, "Gateway", _api_gateway),
    "Ingress": _named("networking.k8s.io/v1", "Ingress", _ingress),
    "VirtualService": _named(ISTIO, "VirtualService", _virtual_service),
    "ProxyConfig": _named(ISTIO_CONFIG, "ProxyConfig", _proxy_config),
    # Those that somebody wrote by hand are left alone.
    "Order": _named(ACME, "Order", _order, told=False),
    "Challenge": _named(ACME, "Challenge", _challenge, told=False),
    # Of what is listed for a moment, and of what is made small when it is read, nothing is over a bound.
    "Pod": _named("v1", "Pod", _pod, told=False),
    "ConfigMap": _named("v1", "ConfigMap", _config_map, told=False),
    "Namespace": Kind("/api/v1/namespaces", "v1", "Namespace", _namespace, told=False),
    "CertificateSigningRequest": Kind(
        "/apis/certificates.k8s.io/v1/certificatesigningrequests",
        "certificates.k8s.io/v1",
        "CertificateSigningRequest",
        _signing_request,
        told=False,
    ),
}
