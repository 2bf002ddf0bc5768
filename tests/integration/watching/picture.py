"""Takes docs/dashboard.svg: the panels of the shipped dashboard, drawn from what a real Prometheus answers to their queries.

    .venv/bin/python -m tests.integration.watching.picture

Not Grafana's own drawing: Grafana is in no registry under a licence that this project could use in its tests. Titles, queries,
units, legends and places are the dashboard's, the values those of two processes on a local API server that is slow and sometimes
fails, under load. Drawing is pure; `main` is synchronous but for the load.
"""

import contextlib
import math
import re
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from manifests.generate.dashboard import ROWS, Panel
from tests.faults.proxy import Proxy
from tests.integration.hot_path import ASKERS
from tests.integration.tenants import meshed
from tests.integration.watching.prometheus import Prometheus
from tests.integration.watching.rules import shipped
from tests.integration.watching.test_dashboard import busy, load
from tests.localmesh import LocalCluster
from tests.localmesh.install import install
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, NAMESPACE, SignerProcess

PICTURE = Path(__file__).resolve().parents[3] / "docs" / "dashboard.svg"
SECONDS, STEP = 240, 4
ACROSS, WIDE, HIGH, GAP, HEAD = 3, 400, 212, 10, 26
MOST = 4
"""Series of a panel with a name below it; all are drawn."""
_FONT = "ui-sans-serif, system-ui, 'Segoe UI', 'DejaVu Sans', 'Liberation Sans', sans-serif"
# Colours that can be told apart, also by those who see red and green alike (Okabe and Ito), on light and on dark.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#a08000", "#56b4e9", "#8a8a8a")
_CSS = """\
.bg{fill:#f6f8fa}.box{fill:#ffffff;stroke:#d0d7de}.t{fill:#1f2328}.d{fill:#59636e}.g{stroke:#d0d7de}
@media (prefers-color-scheme:dark){.bg{fill:#010409}.box{fill:#0d1117;stroke:#30363d}.t{fill:#e6edf3}.d{fill:#9198a1}.g{stroke:#30363d}}
"""
Points = Sequence[tuple[float, float]]
Series = Sequence[tuple[str, Points]]


@dataclass(frozen=True)
class Drawn:
    """A panel with what its queries gave: legend and points (seconds, value) of each series."""

    title: str
    unit: str
    series: Series


def legend(form: str, labels: Mapping[str, str]) -> str:
    """A legend as Grafana fills it in: `{{label}}` is the label's value."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), form).strip()


def scale(highest: float) -> float:
    """The top of an axis from 0: the next of 1, 2, 5 times a power of ten."""
    if not highest > 0 or not math.isfinite(highest):
        return 1.0
    power = 10.0 ** math.floor(math.log10(highest))
    return next(top for top in (power, 2 * power, 5 * power, 10 * power) if highest <= top * (1 + 1e-9))


def measure(highest: float, unit: str) -> tuple[float, str]:
    """In what a panel's axis counts: how much one of it is in Grafana's unit (`s`, `bytes`, `reqps`), and its name."""
    if unit == "bytes":
        return float(1 << 20), " MiB"
    if unit == "s":
        sizes = ((172_800, 86_400.0, " d"), (7_200, 3_600.0, " h"), (1, 1.0, " s"), (1e-3, 1e-3, " ms"))
        return next(((size, name) for least, size, name in sizes if highest >= least), (1e-6, " µs"))
    return 1.0, " req/s" if unit == "reqps" else ""


def draw(rows: Mapping[str, Sequence[Drawn]], title: str) -> str:
    """All panels as an SVG, three in a line; it needs no font, script or file from anywhere."""
    body, y = list[str](), GAP
    for name, panels in rows.items():
        body.append(_text("t", GAP, y + 18, name, weight=True))
        y += HEAD
        for number, panel in enumerate(panels):
            down, across = divmod(number, ACROSS)
            body += _panel(panel, GAP + across * (WIDE + GAP), y + down * (HIGH + GAP))
        y += -(-len(panels) // ACROSS) * (HIGH + GAP)
    width = ACROSS * (WIDE + GAP) + GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y}" viewBox="0 0 {width} {y}" role="img" '
        f'font-family="{_FONT}" font-size="11">\n<title>{escape(title)}</title>\n<style>{_CSS}</style>\n'
        f'<rect class="bg" width="{width}" height="{y}"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _panel(panel: Drawn, x: float, y: float) -> list[str]:
    left, right, top, bottom = x + 62, x + WIDE - 12, y + 34, y + HIGH - 56
    points = [point for _, series in panel.series for point in series]
    begin, end = min((at for at, _ in points), default=0.0), max((at for at, _ in points), default=1.0)
    highest = max((one for _, one in points), default=0.0)
    size, name = measure(highest, panel.unit)
    most = scale(highest / size)
    body = [
        f'<rect class="box" x="{x}" y="{y}" width="{WIDE}" height="{HIGH}" rx="4"/>',
        _text("t", x + 12, y + 20, panel.title, weight=True),
    ]
    for share in (0, 0.5, 1):
        line = bottom - share * (bottom - top)
        body.append(f'<line class="g" x1="{left}" x2="{right}" y1="{line:.1f}" y2="{line:.1f}"/>')
        body.append(_text("d", left - 6, line + 4, f"{most * share:g}{name if share else ''}", anchor="end"))
    for number, (_, series) in enumerate(panel.series):
        places = " ".join(
            f"{left + (at - begin) / max(end - begin, 1e-9) * (right - left):.1f},{bottom - one / size / most * (bottom - top):.1f}"
            for at, one in series
        )
        colour = _COLOURS[number % len(_COLOURS)]
        body.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{places}"/>')
    for number, (form, _) in enumerate(panel.series[:MOST]):
        across, down = x + 12 + number % 2 * (WIDE / 2 - 8), bottom + 20 + number // 2 * 16
        body.append(
            f'<rect fill="{_COLOURS[number % len(_COLOURS)]}" x="{across}" y="{down - 7}" width="10" height="4"/>'
        )
        body.append(_text("d", across + 15, down, form if len(form) <= 30 else f"{form[:29]}…"))
    if len(panel.series) > MOST:
        body.append(_text("d", x + WIDE - 12, y + 20, f"{len(panel.series)} series", anchor="end"))
    return body


def _text(style: str, x: float, y: float, text: str, *, anchor: str = "start", weight: bool = False) -> str:
    bold = ' font-weight="bold"' if weight else ""
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{bold}>{escape(text)}</text>'


def asked(prometheus: Prometheus, panel: Panel, begin: float, end: float, token: str) -> Drawn:
    """A panel with what its queries give; `token` is what a test's names have behind them."""
    series: list[tuple[str, Points]] = []
    for query, form in panel.queries:
        expression = query.replace("$__rate_interval", "20s").replace("$namespace", ".*")
        for labels, points in prometheus.range(expression, begin, end, STEP):
            good = [(at, one) for at, one in points if math.isfinite(one)]
            if good:
                series.append((legend(form, labels).replace(f"-{token}", ""), good))
    return Drawn(panel.title, panel.unit, series)


def main() -> int:
    """Write the picture; exit status 1, and no picture, while a panel is empty."""
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(LocalCluster())
        install(cluster)
        allow_askers(cluster)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        prometheus = stack.enter_context(Prometheus(folder, shipped()))
        tenants = stack.enter_context(meshed(cluster))
        tenants.add("foo", "bar", "gone")
        proxy = stack.enter_context(Proxy(cluster))
        config = proxy.kubeconfig(cluster.service_account_kubeconfig(NAMESPACE, "mesh-signer"))
        signer = SignerProcess(
            cluster, "--controllers=csr", f"--kubeconfig={config}", name="mesh-signer-0", tenancy="enforce"
        )
        slow = SignerProcess(
            cluster,
            "--controllers=issuers,certificates,certificaterequests,policies",
            account=CONTROLLERS_ACCOUNT,
            name="mesh-signer-controllers-0",
            tenancy="enforce",
        )
        for process in (signer, slow):
            stack.enter_context(process)
            prometheus.watch(process)
        tenants.place.answered(tenants.ask("foo"))
        tenants.place.delete_secret(tenants.name("gone"))
        actions = busy()
        proxy.rule = lambda method, path: next(actions) if method == "PUT" and "/status" in path else None
        begin = time.time()
        with load(tenants):
            time.sleep(SECONDS)
        end = time.time()
        rows = {
            name: [asked(prometheus, panel, begin + 30, end, tenants.token) for panel in panels]
            for name, panels in ROWS.items()
        }
    empty = [panel.title for panels in rows.values() for panel in panels if not panel.series]
    if empty:
        print(f"picture: nothing in {', '.join(empty)}: nothing is written", file=sys.stderr)
        return 1
    PICTURE.write_text(draw(rows, "The dashboard's panels, over some minutes of load on a local cluster"))
    return 0


def allow_askers(cluster: LocalCluster) -> None:
    """Requesters that are made up may create requests."""
    role, resource = ("clusterrole", ASKERS), "certificatesigningrequests.certificates.k8s.io"
    cluster.kubectl("create", *role, "--verb=create", f"--resource={resource}")
    cluster.kubectl("create", "clusterrolebinding", ASKERS, f"--clusterrole={ASKERS}", f"--group={ASKERS}")


if __name__ == "__main__":
    sys.exit(main())
