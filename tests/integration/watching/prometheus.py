"""A real Prometheus that scrapes our processes with the labels that the operator sets for a PodMonitor. Synchronous."""

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.integration.watching.rules import program
from tests.localmesh.processes import Process, free_port
from tests.localmesh.signer import NAMESPACE, SignerProcess

SILENCE = 75
"""Seconds without news after which what the wall knows counts as old in these tests, in place of 300. A watch on which nothing
happens hears a bookmark each minute."""
Start = Callable[..., SignerProcess]
"""Starts a process with these options, watched until the test ends."""
PATIENCE = 90.0
"""A safety net for a busy machine; no test waits that long when it passes."""


class Prometheus:
    """Runs while its block lasts; `watch` adds a process to what is scraped, each second."""

    def __init__(self, folder: Path, rules: Mapping[str, Any]) -> None:
        self._folder = folder
        self._program, self._env = program("prometheus")
        self._process = Process("prometheus", folder)
        self._port = free_port()
        self._targets: dict[str, SignerProcess] = {}
        (folder / "rules.yaml").write_text(yaml.safe_dump(dict(rules)))
        self._write_targets()
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(folder / "rules.yaml")],
            "scrape_configs": [
                {
                    "job_name": f"podMonitor/{NAMESPACE}/mesh-signer/0",
                    "honor_labels": True,
                    "file_sd_configs": [{"files": [str(folder / "targets.json")]}],
                }
            ],
        }
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))

    def __enter__(self) -> Self:
        command: list[str | Path] = [
            self._program,
            f"--config.file={self._folder}/prometheus.yaml",
            f"--storage.tsdb.path={self._folder}/data",
            f"--web.listen-address=127.0.0.1:{self._port}",
        ]
        self._process.start(command, env=self._env)
        self._process.wait_until(self._ready, "readiness")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stop()

    def watch(self, process: SignerProcess) -> None:
        """Scrape a process from now on, at the port that it has now."""
        self._targets[process.name] = process
        self._write_targets()

    def forget(self, process: SignerProcess) -> None:
        """Scrape it no more: its series end."""
        self._targets.pop(process.name, None)
        self._write_targets()

    def _write_targets(self) -> None:
        """As the operator relabels a Pod: its job is the PodMonitor's, its namespace the Pod's."""
        found = [
            {
                "targets": [f"127.0.0.1:{process.port}"],
                "labels": {
                    "namespace": NAMESPACE,
                    "pod": name,
                    "container": "mesh-signer",
                    "endpoint": "http-metrics",
                    "job": f"{NAMESPACE}/mesh-signer",
                },
            }
            for name, process in self._targets.items()
        ]
        new = self._folder / "targets.new"
        new.write_text(json.dumps(found))
        new.rename(self._folder / "targets.json")

    def _ready(self) -> bool:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self._port}/-/ready", timeout=10):
            return True
        return False

    def _ask(self, path: str, **query: str) -> Any:
        self._process.check()
        url = f"http://127.0.0.1:{self._port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.loads(answer.read())["data"]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """What an expression gives now: labels and value of each series."""
        found = self._ask("query", query=expression)["result"]
        return [(one["metric"], float(one["value"][1])) for one in found]

    def range(
        self, expression: str, begin: float, end: float, step: float
    ) -> list[tuple[dict[str, str], list[tuple[float, float]]]]:
        """What an expression gave between two times (seconds since 1970): labels of each series, and its (time, value)."""
        times = {"start": f"{begin:.3f}", "end": f"{end:.3f}", "step": f"{step:g}"}
        found = self._ask("query_range", query=expression, **times)["result"]
        return [(one["metric"], [(float(at), float(value)) for at, value in one["values"]]) for one in found]

    def firing(self) -> list[dict[str, Any]]:
        """The alerts that fire now, with labels and annotations."""
        return [one for one in self._ask("alerts")["alerts"] if one["state"] == "firing"]

    def until(self, expression: str, timeout: float = PATIENCE) -> None:
        """Wait until an expression gives something."""
        deadline = time.monotonic() + timeout
        while not self.query(expression):
            assert time.monotonic() < deadline, f"{expression}: nothing after {timeout:.0f} s"
            time.sleep(0.2)

    def fires(self, name: str, timeout: float = PATIENCE, /, **labels: str) -> dict[str, Any]:
        """Wait until an alert fires that has these labels; returns it. Its texts were filled in."""
        deadline = time.monotonic() + timeout
        while True:
            found = [one for one in self.firing() if one["labels"]["alertname"] == name]
            for one in found:
                if labels.items() <= one["labels"].items():
                    text = " ".join(one["annotations"].values())
                    assert "<no value>" not in text, text
                    assert "error" not in text.lower().replace("apierrors", ""), text
                    return one
            assert time.monotonic() < deadline, f"{name} {labels} does not fire; of this name: {found}"
            time.sleep(0.2)

    def within(self, seconds: float, name: str, /, **labels: str) -> bool:
        """Whether an alert that has these labels fires by then."""
        try:
            self.fires(name, seconds, **labels)
        except AssertionError:
            return False
        return True

    def quiet(self, name: str, timeout: float = PATIENCE) -> None:
        """Wait until no alert of this name fires any more."""
        deadline = time.monotonic() + timeout
        while [one for one in self.firing() if one["labels"]["alertname"] == name]:
            assert time.monotonic() < deadline, f"{name} still fires"
            time.sleep(0.2)
