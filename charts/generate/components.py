"""The components of manifests/components that the chart has as values: one line for each, in the order of the chart. Pure."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Component:
    """A folder below manifests/components, and what its value is when nobody says.

    `text` says what it brings. `beside`: whether it has a meaning beside a real cert-manager. `without`: the component that
    is applied in its place where the value is false.
    """

    folder: str
    default: bool
    text: str
    beside: bool = True
    without: str = ""

    @property
    def value(self) -> str:
        """Its name below `components` in the values: the folder's, in camel case."""
        return camel(self.folder)


COMPONENTS = (
    Component("admission", True, "the admission policies beside the wall between tenants"),
    Component(
        "edge",
        True,
        "certificates for public hosts: the controllers of Gateways, Orders and Challenges, the solver's Service, and the "
        "admission policies that limit what they write. Not beside cert-manager, whatever is set",
        beside=False,
        without="without-edge",
    ),
    Component(
        "bridges",
        False,
        "TenantBridges: named workloads reach another tenant, with the right to write DestinationRules, and the admission "
        "policies that keep tenants from using each other's bridges. See docs/bridges.md. Not beside cert-manager, where no controllers run",
        beside=False,
    ),
    Component(
        "ca-injector",
        False,
        "cert-manager's annotations `inject-ca-from` and the like on webhooks, CustomResourceDefinitions and APIServices, by a "
        "Deployment of its own. Not beside cert-manager, which has its own",
        beside=False,
    ),
    Component(
        "pod-certificates",
        False,
        "certificates and roots for Pods by their kubelets, without istiod: PodCertificateRequests and ClusterTrustBundles, which "
        "Kubernetes serves from 1.37 on, or from 1.36 where they are switched on; see docs/pod-certificates.md. Not beside "
        "cert-manager, where it is set up by hand",
        beside=False,
    ),
    Component(
        "manage-mesh-config",
        False,
        "keep `meshConfig.caCertificates` in step with the CAs of the mesh's signers, with the right to write Istio's "
        "ConfigMap `istio`, and `istio-REVISION` for each of `istio.revisions`",
        beside=False,
    ),
    Component(
        "namespaced-issuers",
        False,
        "a ClusterRole to bind in the namespaces of tenants with Issuers of their own; "
        "`namespacedIssuers.namespaces` binds it",
    ),
    Component(
        "network-policy",
        False,
        "a NetworkPolicy for the Pods. **Where the API server's Pods listen on another port than 443 and 6443, name it in "
        "`networkPolicy.apiServerPorts`**, or nothing works",
    ),
    Component("pod-monitor", False, "a PodMonitor, for clusters with the Prometheus operator"),
    Component("service-monitor", False, "a ServiceMonitor, for a Prometheus that takes no PodMonitor"),
    Component("alerts", False, "a PrometheusRule, for clusters with the Prometheus operator: see docs/runbooks.md"),
    Component("dashboard", False, "a dashboard for Grafana, in a ConfigMap with the label that its sidecar looks for"),
    Component(
        "requester",
        False,
        "Kubernetes 1.36 or newer: the API server writes the requester into each CertificateRequest",
        beside=False,
    ),
)


def camel(name: str) -> str:
    """Write a name with dashes in camel case, as names of values are."""
    return re.sub(r"-(\w)", lambda found: found[1].upper(), name)
