"""The two hands that let the shared gateway of a mesh into a tenant: an admin's policy, and the tenant's bridge. Pure."""

from typing import Any

from tests.localmesh.gateway import SELECTOR
from tests.localmesh.install import COMPONENTS
from tests.localmesh.istio_install import NAMESPACE

DOMAIN = "svc.cluster.local"
FILES = tuple(
    COMPONENTS / "bridges" / name for name in ("rbac.yaml", "objects.yaml", "credentials.yaml", "routes.yaml")
)
"""What the component brings, but for the option of the controllers."""
OPTION = "--tenant-bridges=true"


def policy(*servers: str, name: str = "shared-gateway", **spec: Any) -> dict[str, Any]:
    """An admin's word: these tenants may let the shared gateway in."""
    clients = [{"namespace": NAMESPACE, "serviceAccounts": ["istio-ingressgateway"]}]
    body = {"servers": {"names": list(servers)}, "clients": clients, **spec}
    return {
        "apiVersion": "mesh-signer.dev/v1alpha1",
        "kind": "TenantBridgePolicy",
        "metadata": {"name": name},
        "spec": body,
    }


def bridge(tenant: str, **spec: Any) -> dict[str, Any]:
    """A tenant's word: the shared gateway may come to its httpbin."""
    client = {"namespace": NAMESPACE, "serviceAccount": "istio-ingressgateway", "matchLabels": SELECTOR}
    return {
        "apiVersion": "mesh-signer.dev/v1alpha1",
        "kind": "TenantBridge",
        "metadata": {"name": "ingress", "namespace": tenant},
        "spec": {"client": client, "hosts": [f"httpbin.{tenant}.{DOMAIN}"], **spec},
    }
