"""Objects of a cluster, as the Index is given them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from signer.api.issuer import IssuerRef
from signer.api.namespace import NamespaceObject
from signer.api.proxyconfig import ProxyConfig
from signer.api.signerbinding import SignerBinding
from signer.api.signerpolicy import SignerPolicy

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
FOO, BAR, SHOP = (IssuerRef("ClusterIssuer", "", name) for name in ("foo", "bar", "shop"))
DOMAIN = "clusterissuers.cert-manager.io"


def proxy_config(
    namespace: str,
    signer: str = "",
    name: str = "default",
    uid: str = "",
    selector: str = "",
    age: int = 0,
    version: str = "",
) -> ProxyConfig:
    spec: dict[str, Any] = {"environmentVariables": {"ISTIO_META_CERT_SIGNER": signer}} if signer else {}
    if selector:
        spec["selector"] = {"matchLabels": {"app": selector}}
    created = (NOW - timedelta(hours=age)).isoformat()
    metadata = {"namespace": namespace, "name": name, "uid": uid or f"{namespace}/{name}", "creationTimestamp": created}
    metadata["resourceVersion"] = version
    return msgspec.convert({"metadata": metadata, "spec": spec}, ProxyConfig)


def namespace_object(name: str, uid: str = "", **labels: str) -> NamespaceObject:
    return msgspec.convert({"metadata": {"name": name, "uid": uid or f"uid-{name}", "labels": labels}}, NamespaceObject)


def policy(name: str, *signers: str, **spec: Any) -> SignerPolicy:
    body = {"signers": [f"{DOMAIN}/{signer}" for signer in signers], **spec}
    return msgspec.convert({"metadata": {"name": name, "uid": name}, "spec": body}, SignerPolicy)


def binding(name: str, namespace: str, uid: str = "", *, own: str = "b", **status: str) -> SignerBinding:
    spec = {"signerName": f"{DOMAIN}/{name}", "namespace": namespace, "namespaceUID": uid or f"uid-{namespace}"}
    metadata = {"name": name, "uid": own, "creationTimestamp": "2026-01-01T00:00:00Z"}
    return msgspec.convert({"metadata": metadata, "spec": spec, "status": status}, SignerBinding)


def mesh(*signers: str, extra: str = "", pem: str = "x") -> dict[str, str]:
    listed = "".join(f"\n  - {DOMAIN}/{signer}" for signer in signers)
    text = f"caCertificates:\n- pem: {msgspec.json.encode(pem).decode()}\n  certSigners:{listed or ' []'}\n{extra}"
    return {"mesh": text}
