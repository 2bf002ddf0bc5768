"""What keeps a process from starting or working: one warning or error, with what to do; and its log's level."""

import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable
from functools import partial

import pytest

from tests.clock.__main__ import shifted
from tests.faults.proxy import Action, Answer, Drop, Proxy
from tests.integration.hot_path import Place
from tests.integration.watching.log_lines import Line, warnings
from tests.localmesh import Cluster, LocalCluster
from tests.localmesh.debian import NotHere, find_library
from tests.localmesh.signer import NAMESPACE, SignerProcess

pytestmark = pytest.mark.integration
PATIENCE = 60.0


# What keeps a process from starting.


def ended(installed: Cluster, *options: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Status and output of a process that ends by itself."""
    process = SignerProcess(installed, "--log-format=json", "--controllers=csr", *options, env=env)
    process.prepare()()
    popen = process._process.popen
    assert popen is not None
    status = popen.wait(PATIENCE)
    process._process.popen = None
    return status, process.log


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--kubeconfig=/nowhere/config", "/nowhere/config: no such file"),
        ("--audit-log=/nowhere/audit", "--audit-log: /nowhere/audit: No such file"),
        ("--bind=127.0.0.1:{port}", "--bind: 127.0.0.1:{port}: .*address already in use"),
    ],
)
def test_what_cannot_start(installed: Cluster, option: str, words: str) -> None:
    """It ends with status 2 and one error that names the option or the file, whatever else it has said."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, log = ended(installed, option.replace("{port}", port))
    assert status == 2
    (line,) = [one for one in map(json.loads, log.splitlines()) if one["level"] in ("warning", "error")]
    assert re.search(words.replace("{port}", port), line["message"]), line["message"]


# What is about one process.


def about_it(process: SignerProcess) -> list[Line]:
    return [line for line in warnings(process) if line["logger"] != "signer.observe.issuers"]


def only(process: SignerProcess, words: str) -> Line:
    """Wait for the one line of level warning or error, but for issuers that other tests have left."""
    deadline = time.monotonic() + PATIENCE
    while not about_it(process) and time.monotonic() < deadline:
        time.sleep(0.3)
    time.sleep(3)  # for what should not come
    found = about_it(process)
    assert len(found) == 1, found
    (line,) = found
    assert re.search(words, line["message"]), line["message"]
    return line


def test_a_clock_that_is_off(installed: Cluster) -> None:
    """A node whose clock is two minutes behind: both times, and what to do."""
    try:
        library = find_library("faketime/libfaketimeMT.so.1", "libfaketime")
    except NotHere as error:
        pytest.skip(f"no libfaketime: {error}")
    moved = shifted(library, "-120s")
    with SignerProcess(installed, "--log-format=json", "--controllers=csr", env=dict(moved)) as process:
        only(process, r"clock here is 0:0[12]:\d\d behind .* Set the clock of this node")


def test_an_audit_log_on_a_full_disk(installed: Cluster, place: Place, ca: str) -> None:
    """One error for all that cannot be written, with the system's word."""
    options = ("--log-format=json", "--controllers=csr", "--audit-log=/dev/full")
    with SignerProcess(installed, *options) as process:
        for _ in range(3):
            place.issue(ca)
        assert only(process, r"audit log /dev/full \(--audit-log\): No space left on device")["level"] == "error"


def refusing(code: int, reason: str) -> Callable[[str, str], Action]:
    """Refuse the watch of SignerPolicies as an API server does that has no role, or no definition, for it."""
    status = {"kind": "Status", "code": code, "reason": reason, "message": f"signerpolicies: {reason}"}
    answer = Answer(code, {"Content-Type": "application/json"}, json.dumps(status).encode())
    return lambda _method, path: answer if "/signerpolicies" in path else None


@pytest.mark.parametrize(
    ("code", "reason", "words"),
    [
        (403, "Forbidden", "signerpolicies.*403 Forbidden.*apply the roles again"),
        (404, "NotFound", "signerpolicies.*404 NotFound.*apply the CRDs"),
    ],
)
def test_a_role_or_a_definition_is_missing(installed: Cluster, code: int, reason: str, words: str) -> None:
    """However often it is tried, one line says which resource, and what to apply."""
    if not isinstance(installed, LocalCluster):
        pytest.skip("the proxy knows the local cluster's authority alone")
    with Proxy(installed) as proxy:
        proxy.rule = refusing(code, reason)
        config = proxy.kubeconfig(installed.service_account_kubeconfig(NAMESPACE, "mesh-signer"))
        options = ("--log-format=json", "--controllers=csr", f"--kubeconfig={config}")
        process = SignerProcess(installed, *options, tenancy="enforce").start(wait=False)
        try:
            only(process, words)
        finally:
            process.stop()


def test_an_api_server_that_is_away(installed: Cluster) -> None:
    """A dozen watches, Leases and writes: one warning for all, and one line when it is back."""
    if not isinstance(installed, LocalCluster):
        pytest.skip("the proxy knows the local cluster's authority alone")
    away = False
    with Proxy(installed) as proxy:
        config = proxy.kubeconfig(installed.service_account_kubeconfig(NAMESPACE, "mesh-signer"))
        proxy.rule = lambda _method, _path: Drop() if away else None
        options = ("--log-format=json", "--controllers=csr", f"--kubeconfig={config}")
        with SignerProcess(installed, *options, tenancy="enforce") as process:
            away = True
            proxy.cut_watches()
            line = only(process, "the API server does not answer")
            away = False
            assert line["error"]
            deadline = time.monotonic() + PATIENCE
            while "answers again" not in process.log and time.monotonic() < deadline:
                time.sleep(0.3)
            assert process.log.count("answers again") == 1
            assert len(about_it(process)) == 1


def test_the_level_by_a_signal(installed: Cluster, place: Place, ca: str) -> None:
    """SIGUSR1 shows each certificate, with its duration; SIGUSR2 what the option says."""
    with SignerProcess(installed, "--log-format=json", "--controllers=csr") as process:
        assert process.pid is not None
        for count, number in enumerate((signal.SIGUSR1, signal.SIGUSR2)):
            os.kill(process.pid, number)
            place.until("a word about the level", partial(words_about_the_level, process, count + 1))
            name = place.issue(ca).name
            time.sleep(0.5)
            lines = [line for line in map(json.loads, process.log.splitlines()) if line.get("request") == name]
            assert [line["message"] for line in lines] == ([f"request {name} issued"] if count == 0 else [])
            assert all(line["duration"] >= 0 for line in lines)


def words_about_the_level(process: SignerProcess, count: int) -> bool:
    return process.log.count("by a signal") == count
