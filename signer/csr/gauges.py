"""What the hot path shows of itself at any moment: its queue, its window, the audit log's state, and the wall's mode."""

from collections.abc import Callable
from datetime import datetime

from signer.csr.answers.delivery import Delivery
from signer.csr.queue.backlog import Backlog
from signer.observe.audit import AuditLog
from signer.observe.metrics import Metrics
from signer.tenancy.world import World


class Gauges:
    """Fills the gauges of `metrics`. `world` gives what is decided from, `wall` the time of day."""

    def __init__(
        self,
        metrics: Metrics,
        backlog: Backlog,
        delivery: Delivery,
        audit: AuditLog,
        world: Callable[[], World],
        wall: Callable[[], datetime],
    ) -> None:
        self._metrics = metrics
        self._world = world
        self._wall = wall
        metrics.queued.set_function(lambda: backlog.ready)
        metrics.in_flight.set_function(lambda: delivery.in_flight)
        metrics.window.set_function(lambda: delivery.window.size)
        metrics.audit_failing.set_function(lambda: bool(audit.trouble))

    def turn(self) -> None:
        """Show the wall's mode, which ends by the clock. To be called each second or so."""
        settings = self._world().settings
        mode = settings.mode if settings.mode == "off" else "enforce" if settings.enforces(self._wall()) else "audit"
        for each in ("enforce", "audit", "off"):
            self._metrics.tenancy.labels(each).set(each == mode)
