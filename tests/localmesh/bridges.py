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


GATEWAY = (NAMESPACE, "istio-ingressgateway")
"""The shared gateway: its namespace and its service account."""


def policy(
    *servers: str, name: str = "shared-gateway", client: tuple[str, str] = GATEWAY, **spec: Any
) -> dict[str, Any]:
    """An admin's word: these tenants may let the client in."""
    clients = [{"namespace": client[0], "serviceAccounts": [client[1]]}]
    return {
        "apiVersion": "mesh-signer.dev/v1alpha1",
        "kind": "TenantBridgePolicy",
        "metadata": {"name": name},
        "spec": {"servers": {"names": list(servers)}, "clients": clients, **spec},
    }


def bridge(tenant: str, *, name: str = "ingress", client: tuple[str, str] = GATEWAY, **spec: Any) -> dict[str, Any]:
    """A tenant's word: the client may come to its httpbin. `spec` replaces what it says."""
    who = {"namespace": client[0], "serviceAccount": client[1], "matchLabels": SELECTOR}
    return {
        "apiVersion": "mesh-signer.dev/v1alpha1",
        "kind": "TenantBridge",
        "metadata": {"name": name, "namespace": tenant},
        "spec": {"client": who, "hosts": [f"httpbin.{tenant}.{DOMAIN}"], **spec},
    }
