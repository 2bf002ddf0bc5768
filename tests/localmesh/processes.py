"""Child processes that cannot outlive us, and loopback ports that stay free while a server is down.

Concurrency: every child is started by one long-lived thread, see `Process.start`; the other methods may be
called from any thread. Nothing here is asynchronous; async tests call it directly (it blocks for milliseconds)
or through asyncio.to_thread.
"""

import concurrent.futures
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.localmesh.errors import LocalMeshError

# Linux kills a child with PR_SET_PDEATHSIG (1) when the *thread* that started it ends, in whatever way its process
# dies (SIGKILL and os._exit too, where atexit does not run). So all children come from one thread that lives as
# long as the interpreter; asyncio's or a test's own threads would take the servers with them.
_STARTER = concurrent.futures.ThreadPoolExecutor(1, "localmesh-starter")

# Set in the child itself, before the real program replaces it: subprocess's preexec_fn is not safe in a process
# with threads and warns since Python 3.12. The second line closes the race of a parent that died in between.
_GUARD = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]): os._exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


class Process:
    """One server: started, stopped, killed and started again, with its output in a log file."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs, else None."""
        return self.popen.pid if self.popen is not None and self.popen.poll() is None else None

    @property
    def started(self) -> bool:
        """Whether it should be running: started and not stopped or killed by us."""
        return self.popen is not None

    def start(
        self, command: Sequence[str | Path], env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        """Start it, in the folder `cwd`; it ends with us whatever happens. Its log is appended to."""
        if self.pid is not None:
            raise LocalMeshError(f"{self.name} runs already")
        guarded = [sys.executable, "-I", "-S", "-c", _GUARD, str(os.getpid()), *map(str, command)]
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C goes to us alone, and we stop the servers in order.
            self.popen = _STARTER.submit(
                subprocess.Popen,
                guarded,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=None if env is None else dict(env),
                cwd=cwd,
            ).result()

    def stop(self, timeout: float = 30) -> None:
        """End it with SIGTERM; SIGKILL after `timeout` seconds."""
        self._end(signal.SIGTERM, timeout)

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would."""
        self._end(signal.SIGKILL, 30)

    def _end(self, how: signal.Signals, timeout: float) -> None:
        if (process := self.popen) is None:
            return
        self.popen = None
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def check(self) -> None:
        """Raise LocalMeshError when it should be running and is not; the message has its last lines."""
        if self.popen is not None and self.popen.poll() is not None:
            raise LocalMeshError(f"{self.name} ended by itself with status {self.popen.returncode}\n{self.tail()}")

    def tail(self, lines: int = 15) -> str:
        """The last lines of its log, indented."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(f"  {line[:400]}" for line in text.splitlines()[-lines:]) or "  (its log is empty)"

    def wait_until(self, ready: Callable[[], bool], what: str, timeout: float = 60) -> None:
        """Poll `ready` until it is true; raises when the process ends, or after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise LocalMeshError(f"{self.name}: no {what} within {timeout:.0f} s\n{self.tail()}")
            time.sleep(0.05)


_GIVEN: set[int] = set()


def free_port(address: str = "127.0.0.1") -> int:
    """A free TCP port on an address of this machine, outside the range that the kernel gives to outgoing connections.

    A server must come back on the same port. From the kernel's own range, one of the clients that retry meanwhile
    could be given that port as its own, and on loopback even end up connected to itself.
    """
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(200):
        port = random.randrange(10_000, low) if low > 11_000 else random.randrange(1_025, 65_536)
        if port in _GIVEN:
            continue  # to a server that has not bound it yet
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((address, port))
            _GIVEN.add(port)
            return port
    raise LocalMeshError(f"no free port on {address}")
