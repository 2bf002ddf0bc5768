"""Every metric of ours, named in one place.

Labels are bounded: a signer's name becomes a label only when its issuer exists, a namespace only when it is one of the
busiest that exist; all other names are "other" (signer/observe/series.py). Each process has one Metrics; it is used on
the loop only. cert-manager's own names are kept where it has one (pkg/metrics), so that dashboards and alerts go on working.
"""

import os
import platform

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, disable_created_metrics
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from signer import __version__

OTHER = "other"
REVISION = "BUILD_REVISION"
"""The environment variable with the commit that an image was built from (Dockerfile)."""
# A second series for each of ours, with the time at which it began: nothing that we ship asks for it.
disable_created_metrics()  # type: ignore[no-untyped-call] # prometheus_client's
_LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """The metrics of one process, on a registry of their own, so that tests may have many.

    `component` is what the process does (`Settings.component`).
    """

    def __init__(self, component: str = "all") -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=self.registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=self.registry)

        tenant = ("signer", "namespace")
        build = gauge(
            "mesh_signer_build_info",
            "The running version: the commit of its image, its Python, and what this process does.",
            *("version", "commit", "python", "component"),
        )
        commit = os.environ.get(REVISION, "") or "unknown"
        build.labels(__version__, commit[:64], platform.python_version(), component).set(1)
        self.requests = counter(
            "mesh_signer_requests_total",
            "CertificateSigningRequests by signer and outcome: issued, refused, conflict, gone, invalid.",
            "signer",
            "outcome",
        )
        self.refusals = counter(
            "mesh_signer_refusals_total",
            "Refused CertificateSigningRequests by signer, namespace of the identity asked for, and reason.",
            *tenant,
            "reason",
        )
        self.would_refuse = counter(
            "mesh_signer_would_refuse_total",
            "Certificates issued in audit mode that enforcing would have refused, by its first reason.",
            *tenant,
            "reason",
        )
        self.issued = counter("mesh_signer_issued_total", "Certificates issued to the mesh.", *tenant)
        self.waits = counter(
            "mesh_signer_waits_total",
            "CertificateSigningRequests that had to wait, by signer, namespace of the identity asked for, and reason.",
            *tenant,
            "reason",
        )
        self.rate_limited = counter(
            "mesh_signer_rate_limited_total", "Requests that waited for the rate of a SignerPolicy.", *tenant
        )
        self.foreign = counter(
            "mesh_signer_foreign_certificates_total",
            "Certificates of mesh signers that somebody else wrote.",
            "signer",
        )
        self.latency = Histogram(
            "mesh_signer_request_duration_seconds",
            "From the moment a request was seen approved to its certificate being stored.",
            ("signer",),
            buckets=_LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.queue_wait = Histogram(
            "mesh_signer_queue_wait_seconds",
            "How long a request that got its certificate was ready and waited for its turn.",
            ("signer",),
            buckets=_LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.signing = Histogram(
            "mesh_signer_signing_duration_seconds",
            "How long a request that got its certificate was worked on: decision, signature and write.",
            ("signer",),
            buckets=_LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.queued = gauge("mesh_signer_queue_length", "Approved requests that wait for their turn.")
        self.waiting = gauge(
            "mesh_signer_waiting_requests", "Approved requests that wait for an issuer, by reason.", "reason"
        )
        self.in_flight = gauge("mesh_signer_in_flight_writes", "Status writes that are under way.")
        self.window = gauge("mesh_signer_write_window", "How many status writes may be under way at once.")
        self.api_errors = counter(
            "mesh_signer_api_errors_total", "Failed calls to the API server by code, or unreachable.", "code"
        )
        self.api_latency = Histogram(
            "mesh_signer_api_request_duration_seconds",
            "How long the API server took to answer a request, whatever it answered; without watches.",
            ("method",),
            buckets=_LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.loop_lag = Histogram(
            "mesh_signer_event_loop_lag_seconds",
            "How much later than asked for the event loop woke a timer: what everything in this process waits for.",
            buckets=_LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.watch_restarts = counter(
            "mesh_signer_watch_restarts_total", "Watches that had to be opened again, by resource.", "resource"
        )
        self.members = gauge("mesh_signer_replicas", "Signer replicas that are alive, as this one sees them.")
        self.clock_skew = gauge(
            "mesh_signer_clock_skew_seconds",
            "How far this process's clock is ahead of the API server's; below 0: behind.",
        )
        self.events_dropped = counter(
            "mesh_signer_events_dropped_total", "Events that were not written, being too many."
        )
        self.audit_lines = counter("mesh_signer_audit_lines_total", "Audit lines written, by kind.", "kind")
        self.audit_lost = counter(
            "mesh_signer_audit_lines_lost_total", "Audit lines that could not be written, nor kept."
        )
        self.audit_failing = gauge(
            "mesh_signer_audit_failing", "1 while audit lines cannot be written: a reason to wake somebody."
        )
        self.tenancy = gauge(
            "mesh_signer_tenancy_mode", "1 for the mode of the wall that is in force: enforce, audit or off.", "mode"
        )
        self.mesh_signers = gauge("mesh_signer_mesh_signers", "Signers of the mesh, behind the wall.")
        self.bindings = gauge("mesh_signer_bindings", "Signers that a namespace owns.")
        self.mesh_source_age = gauge(
            "mesh_signer_mesh_source_age_seconds", "How long ago a source of the wall was heard of.", "source"
        )
        self.leader = gauge("mesh_signer_leader", "Whether this process leads the controllers.")
        self.issuer_ready = gauge(
            "mesh_signer_issuer_ready",
            "Whether an issuer may sign, by its reason.",
            "kind",
            "namespace",
            "name",
            "reason",
        )
        self.ca_not_after = gauge(
            "mesh_signer_ca_not_after_timestamp_seconds", "When an issuer's CA expires.", "kind", "namespace", "name"
        )
        self.ca_not_before = gauge(
            "mesh_signer_ca_not_before_timestamp_seconds",
            "When an issuer's CA began to be valid.",
            *("kind", "namespace", "name"),
        )
        self.edge_certificates = gauge(
            "mesh_signer_edge_certificates",
            "Certificates that Gateways and Ingresses want: kept, waiting (for a gateway's Pod) or refused.",
            "state",
        )
        self.edge_served = gauge(
            "mesh_signer_edge_served_certificates",
            "Certificates of gateways by what their Pods show: served, waiting, other (another certificate) or unreached.",
            "state",
        )
        self.host_claims = gauge("mesh_signer_host_claims", "Public hosts that a namespace has.")
        self.acme_orders = counter(
            "mesh_signer_acme_orders_total",
            "Orders by issuer (a ClusterIssuer's name; other for Issuers) and what came of them: placed, held, valid, failed.",
            "issuer",
            "result",
        )
        self.acme_orders_left = gauge(
            "mesh_signer_acme_orders_left",
            "New orders that an issuer's account may still make before we hold them back, a third kept for renewals.",
            "issuer",
        )
        self.ca_injectables = gauge(
            "mesh_signer_ca_injectables",
            "Objects that ask for a CA by annotation, by kind and state: Injected, or the reason why it is not.",
            "kind",
            "state",
        )
        self.ca_injections = counter(
            "mesh_signer_ca_injections_total", "CA bundles written into an object, by its kind.", "kind"
        )
        self.bridges = gauge(
            "mesh_signer_tenant_bridges", "TenantBridges by state: Stands, or the reason why it does not.", "state"
        )
        self.bridge_certificates = counter(
            "mesh_signer_tenant_bridge_certificates_total", "Certificates written for clients of TenantBridges."
        )
        # cert-manager's names from here on.
        self.cluster_issuer_ready_status = gauge(
            "certmanager_clusterissuer_ready_status", "The ready status of a ClusterIssuer.", "name", "condition"
        )
        self.issuer_ready_status = gauge(
            "certmanager_issuer_ready_status", "The ready status of an Issuer.", "name", "namespace", "condition"
        )
        certificate = ("name", "namespace", "issuer_name", "issuer_kind", "issuer_group")
        self.certificate_ready_status = gauge(
            "certmanager_certificate_ready_status", "The ready status of a Certificate.", *certificate, "condition"
        )
        self.certificate_expiration = gauge(
            "certmanager_certificate_expiration_timestamp_seconds", "When a certificate expires.", *certificate
        )
        self.certificate_not_after = gauge(
            "certmanager_certificate_not_after_timestamp_seconds", "A certificate's notAfter.", *certificate
        )
        self.certificate_not_before = gauge(
            "certmanager_certificate_not_before_timestamp_seconds", "A certificate's notBefore.", *certificate
        )
        self.certificate_renewal = gauge(
            "certmanager_certificate_renewal_timestamp_seconds", "When a certificate is renewed.", *certificate
        )
        # Gauges that only grow: a Counter of this client would be exposed under another name, with _total at its end.
        exchange = ("scheme", "host", "action", "method", "status")
        self.acme_requests = gauge(
            "certmanager_http_acme_client_request_count",
            "Requests to ACME servers; host is other for the servers of Issuers.",
            *exchange,
        )
        self.acme_request_seconds = Summary(
            "certmanager_http_acme_client_request_duration_seconds",
            "How long requests to ACME servers took.",
            exchange,
            registry=self.registry,
        )
        self.challenge_status = gauge(
            "certmanager_certificate_challenge_status",
            "The state of Challenges.",
            "status",
            "domain",
            "reason",
            "processing",
            "name",
            "namespace",
            "type",
        )
        self.sync_calls = gauge("certmanager_controller_sync_call_count", "Syncs of a controller.", "controller")
        self.sync_errors = gauge(
            "certmanager_controller_sync_error_count", "Failed syncs of a controller.", "controller"
        )

    def api_error(self, code: int | str) -> None:
        """Count one failed call."""
        self.api_errors.labels(str(code)).inc()

    def api_took(self, method: str, seconds: float) -> None:
        """Take how long one call took."""
        self.api_latency.labels(method).observe(seconds)

    def watch_restarted(self, resource: str) -> None:
        """Count one watch that was opened again."""
        self.watch_restarts.labels(resource).inc()
