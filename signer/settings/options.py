"""The options of `mesh-signer run` as a person sees them: names, help, choices. What they mean is in `settings`."""

from collections.abc import Collection
from typing import Any

from signer.api.signername import CLUSTER_ISSUER_DOMAIN, ISSUER_DOMAIN
from signer.settings.edge import add_edge_options
from signer.settings.values import AUDIT_FAILURE, CONTROLLERS, TENANCY_MODES, UNBOUND

GROUPS: dict[str, tuple[str, ...]] = {
    "where it runs": (
        "kubeconfig",
        "cluster-resource-namespace",
        "controllers",
        "namespace",
        "identity",
        "leader-elect",
        "drain-seconds",
        "write-window",
        "namespace-memory",
    ),
    "what is seen of it": ("bind", "log-format", "log-level", "audit-log", "audit-failure"),
    "requests and Certificates": (
        "allow-ca-requests",
        "auto-approve",
        "enable-certificate-owner-ref",
        "ca-injector-namespaces",
    ),
    "the mesh and the wall": (
        "tenancy",
        "audit-until",
        "unbound",
        "grace",
        "max-workload-lifetime",
        "istio-namespace",
        "istiod-accounts",
        "istiod-dns-names",
        "cert-signer-domain",
        "shared-mesh-config",
        "manage-mesh-config",
        "tenant-bridges",
    ),
    "the edge: certificates for public hosts": (
        "http01-check-dns",
        "http01-solver-bind",
        "recursive-nameservers",
        "dns01-recursive-nameservers-only",
        "gateway-namespaces",
        "default-issuer-name",
        "default-issuer-kind",
    ),
}
"""How `run --help` puts them together: each is in one group."""


def add_groups(parser: Any) -> None:
    """Add all options of `mesh-signer run` to a parser, in groups."""
    for title, names in GROUPS.items():
        add_arguments(parser.add_argument_group(title), names)


def add_arguments(parser: Any, only: Collection[str] | None = None) -> None:
    """Add the options of `mesh-signer run` to a parser or a group of its, or `only` some.

    None has a default there: see `settings_from`.
    """

    def option(name: str, text: str, **kwargs: Any) -> None:
        if only is not None and name not in only:
            return
        # Not argparse's choices: what is wrong is told as from the environment, in one line.
        if choices := kwargs.pop("choices", ()):
            kwargs["metavar"] = "|".join(choices)
        parser.add_argument(f"--{name}", default=None, help=text, **kwargs)

    option(
        "kubeconfig", "kubeconfig file; without it, the Pod's own ServiceAccount, or else KUBECONFIG and ~/.kube/config"
    )
    option("cluster-resource-namespace", "namespace of the CA Secrets of ClusterIssuers (default cert-manager)")
    option(
        "controllers",
        f"comma-separated: {', '.join(CONTROLLERS)}, or * for all (default: all; beside a real cert-manager, where the "
        "cert-manager.io CRDs are not ours, only csr, podcertificates, trustbundles and policies)",
    )
    option("namespace", "namespace of our own Leases (default: the Pod's, else the cluster resource namespace)")
    option("identity", "name of this replica (default: POD_NAME, else host name and process id)")
    option(
        "bind",
        "address and port of /metrics, /livez and /readyz (default 127.0.0.1:9402; port 0 takes any free one, none serves nothing)",
    )
    option("log-format", "text or json (default text)", choices=("text", "json"))
    option("log-level", "debug, info, warning or error (default info)", choices=("debug", "info", "warning", "error"))
    option("audit-log", "file for the audit log; - is standard output, none keeps no log (default -)")
    option(
        "allow-ca-requests",
        "whether a CertificateSigningRequest may ask for a CA certificate (default true)",
        metavar="BOOL",
    )
    option(
        "auto-approve",
        "whether mesh-signer approves CertificateRequests itself, instead of leaving that to an approver (default true)",
        metavar="BOOL",
    )
    option(
        "enable-certificate-owner-ref",
        "whether a Certificate owns its Secret, so that both are deleted together (default false)",
        metavar="BOOL",
    )
    option("write-window", "how many status writes may be under way at once (default 64)", metavar="N")
    option(
        "namespace-memory",
        "MiB of memory for the objects of one namespace; what is more is not read, and says so (default 6)",
        metavar="N",
    )
    option("drain-seconds", "how long to finish pending work after SIGTERM (default 20)", metavar="SECONDS")
    option(
        "leader-elect", "whether the slow controllers work only while holding a Lease (default true)", metavar="BOOL"
    )
    option(
        "tenancy",
        "the wall between tenants: enforce; audit, which until --audit-until signs what it would refuse, and says so; or "
        "off (default enforce)",
        choices=TENANCY_MODES,
    )
    option(
        "audit-until", "when --tenancy=audit ends and the wall enforces, such as 2026-12-31T00:00:00Z", metavar="TIME"
    )
    option(
        "unbound",
        "how to treat signers outside the mesh: allow, as cert-manager does, or deny (default allow)",
        choices=UNBOUND,
    )
    option(
        "grace",
        "how long after its last certificate a namespace may renew from a signer that it no longer claims (default 24h)",
        metavar="DURATION",
    )
    add_edge_options(option)
    option("istio-namespace", "istiod's namespace (default istio-system)")
    option(
        "istiod-accounts",
        "comma-separated users who ask on behalf of workloads (default: the service accounts istiod and istiod-REVISION "
        "in Istio's namespace)",
        metavar="USERS",
    )
    option(
        "cert-signer-domain",
        f"istiod's CERT_SIGNER_DOMAIN (default {CLUSTER_ISSUER_DOMAIN})",
        choices=(CLUSTER_ISSUER_DOMAIN, ISSUER_DOMAIN),
    )
    option(
        "max-workload-lifetime",
        "longest lifetime of a workload's certificate, unless a SignerPolicy says otherwise (default 24h)",
        metavar="DURATION",
    )
    option(
        "istiod-dns-names",
        "comma-separated names that istiod's own certificate may have besides its usual ones",
        metavar="NAMES",
    )
    option(
        "shared-mesh-config",
        "istiod's SHARED_MESH_CONFIG: a ConfigMap in Istio's namespace (default none)",
        metavar="NAME",
    )
    option(
        "audit-failure",
        "what to do when the audit log cannot be written: stop signing, or continue (default continue)",
        choices=AUDIT_FAILURE,
    )
    option(
        "manage-mesh-config",
        "whether meshConfig.caCertificates is kept in step with the mesh signers' CAs (default false)",
        metavar="BOOL",
    )
    option(
        "tenant-bridges",
        "whether TenantBridges are built, with the rights of manifests/components/bridges (default false)",
        metavar="BOOL",
    )
    option(
        "ca-injector-namespaces",
        "comma-separated namespaces from whose Certificates and Secrets cainjector takes CAs (default: all)",
        metavar="NAMES",
    )
