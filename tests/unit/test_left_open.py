"""The check that a test left nothing open: it must blame the right test, or it is worse than none."""

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = """
    import asyncio
    import gc
    import socket
    import subprocess
    import sys
    import threading
    import time

    import aiohttp
    import pytest

    KEPT = []

    @pytest.fixture(scope="module")
    def server():
        with socket.create_server(("127.0.0.1", 0)) as listening:
            yield listening

    @pytest.fixture(scope="module")
    def careless():
        KEPT.append(socket.create_server(("127.0.0.1", 0)))

    @pytest.fixture
    def dialled():
        KEPT.append(socket.socket())
        yield KEPT[-1]
        KEPT[-1].close()

    def test_good(server, dialled):
        with socket.create_connection(server.getsockname()), server.accept()[0]:
            pass

    def test_good_thread():
        made = threading.Event()
        def work():
            with socket.socket():
                made.set()
                time.sleep(0.3)
        threading.Thread(target=work).start()
        made.wait()

    async def test_good_transport(server):
        _, writer = await asyncio.open_connection(*server.getsockname())
        writer.close()
        await writer.wait_closed()
        server.accept()[0].close()

    def test_bad_socket():
        KEPT.append(socket.socket())

    def test_bad_socket_in_a_circle(server):
        circle = [socket.socket()]
        circle.append(circle)

    def test_bad_transport(server):
        loop = asyncio.new_event_loop()
        KEPT.append(loop.run_until_complete(asyncio.open_connection(*server.getsockname())))
        loop.close()
        server.accept()[0].close()

    async def test_bad_task():
        KEPT.append(asyncio.create_task(asyncio.sleep(100)))
        await asyncio.sleep(0)

    async def test_bad_session():
        KEPT.append(aiohttp.ClientSession())

    def test_bad_loop():
        KEPT.append(asyncio.new_event_loop())

    def test_bad_process():
        KEPT.append(subprocess.Popen([sys.executable, "-c", "pass"]))

    def test_bad_thread():
        thread = threading.Thread(target=lambda: KEPT.append(socket.socket()))
        thread.start()
        thread.join()

    def test_good_again(server, careless):
        pass

    def test_last():
        for one in KEPT:
            if isinstance(one, subprocess.Popen):
                one.wait()
        gc.disable()
"""


@pytest.fixture(scope="module")
def blamed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Which test was blamed for what."""
    file = tmp_path_factory.mktemp("open") / "test_them.py"
    file.write_text(textwrap.dedent(TESTS))
    options = [
        "-q",
        "--tb=no",
        "-p",
        "tests.left_open",
        "-p",
        "no:cacheprovider",
        "-W",
        "ignore",
        "-o",
        "asyncio_mode=auto",
    ]
    command = [sys.executable, "-m", "pytest", *options, f"--rootdir={file.parent}", str(file)]
    # What was on the path stays there: under a shifted clock it holds the `time.sleep` that libfaketime cannot break.
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    env = os.environ | {"COLUMNS": "1000", "PYTHONPATH": path}
    done = subprocess.run(command, env=env, cwd=file.parent, capture_output=True, text=True, check=False)
    assert "13 passed" in done.stdout, done.stdout
    return dict(re.findall(r"^ERROR \S+::(\w+) - tests\.left_open\.LeftOpen: (.*)$", done.stdout, re.MULTILINE))


@pytest.mark.heavy
def test_the_right_ones(blamed: dict[str, str]) -> None:
    """Each test that leaves something open is blamed itself; a fixture of a module is blamed at the module's end."""
    bad = set(re.findall(r"def (test_bad_\w+)", TESTS))
    assert set(blamed) == bad | {"test_last"}
    assert blamed["test_last"].startswith("careless left open")
