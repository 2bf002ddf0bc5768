"""An API server that answers a few requests and then takes more without a word."""

import socketserver
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
_KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: "http://127.0.0.1:{port}"}}}}]
contexts: [{{name: c, context: {{cluster: c}}}}]
current-context: c
"""


class Hanging:
    """Listens on loopback; answers the first `after` requests with an empty object, and lets the others wait."""

    def __init__(self, after: int) -> None:
        self.asked = 0
        self._after = after
        self._lock = threading.Lock()
        self._end = threading.Event()
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                outer._serve(self)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            request_queue_size = 64

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def _serve(self, handler: socketserver.StreamRequestHandler) -> None:
        while line := handler.rfile.readline():
            if line.strip():
                continue  # of the head; an empty line ends it
            with self._lock:
                self.asked += 1
                answers = self.asked <= self._after
            if answers:
                handler.wfile.write(_ANSWER)
            else:
                self._end.wait()

    def kubeconfig(self, folder: Path) -> Path:
        path = folder / "config"
        path.write_text(_KUBECONFIG.format(port=self._server.server_address[1]))
        return path

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
