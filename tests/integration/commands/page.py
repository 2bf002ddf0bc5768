"""`mesh-signer ui` in a process of its own, and what its page gets."""

import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

# It looks at a cluster that it took long to read more seldom: ten times as long as that took, and others' tests leave much.
_SECONDS = 300.0


class Page:
    """The command in a process of its own, and the state that its page gets."""

    def __init__(self, *options: str) -> None:
        # A shell starts what it does not wait for deaf to Ctrl-C, and that is inherited: the command must hear it.
        deaf = signal.signal(signal.SIGINT, signal.SIG_DFL)
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "signer", "ui", *options],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        finally:
            signal.signal(signal.SIGINT, deaf)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        place, _, self.token = self.url.partition("/#token=")
        self.port = int(place.removeprefix("http://127.0.0.1:"))

    def ask(self, path: str = "/state", token: str | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(
                "GET", path, headers={"Authorization": f"Bearer {self.token if token is None else token}"}
            )
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    @property
    def state(self) -> Any:
        status, body = self.ask()
        assert status == 200
        return json.loads(body)

    def view(self, wanted: Callable[[Any], object] = lambda _: True) -> Any:
        """What is shown, once the cluster was read and it is as wanted."""
        return self.until(lambda state: state["view"] is not None and wanted(state["view"]))["view"]

    def until(self, wanted: Callable[[Any], object]) -> Any:
        """The state, once it is as wanted."""
        end = time.monotonic() + _SECONDS
        while not wanted(found := self.state):
            assert time.monotonic() < end, f"not within {_SECONDS} s: {found}"
            time.sleep(0.2)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.communicate()
