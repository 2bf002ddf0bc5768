"""`make test-node` and `make test-node-istio`: build what a real node needs, run its tests in namespaces of its own, look at what is left.

`python -m tests.realnode build` only builds; `python -m tests.realnode test ARGUMENTS` hands more arguments to pytest, as in
`-k drain`; `--suite=istio` takes the tests with Istio. On a machine that cannot run a node the reason is printed, and the status is 0.
"""

import argparse
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.localmesh.build import find_program as find_server
from tests.localmesh.debian import NotHere
from tests.localmesh.errors import LocalMeshError
from tests.realnode import machine, namespaces, programs
from tests.realnode.suites import SUITES, Suite
from tests.realnode.systems import NODE, find_system

_FOLDER = Path(__file__).parent
LACKING = 77
"""The status of `inside` where the kernel lacks something: the one that Automake's tests have for it."""


def main() -> int:
    """Run one command; errors end with one message and status 1."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.realnode", description="A real node in namespaces of its own."
    )
    parser.add_argument("command", nargs="?", choices=["build", "test"], default="test")
    parser.add_argument("--suite", choices=list(SUITES), default="node", help="which tests, and what is built for them")
    options, rest = parser.parse_known_args()
    suite = SUITES[options.suite]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if reason := machine.lacking():
        return _skipped(reason)
    try:
        _build(suite)
        return 0 if options.command == "build" else _test(options.suite, rest)
    except NotHere as error:
        return _skipped(str(error))
    except LocalMeshError as error:
        print(f"realnode: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print()
        return 130


def _skipped(reason: str) -> int:
    print(f"realnode: skipped, this machine cannot run a node: {reason}", flush=True)
    return 0


def _build(suite: Suite) -> None:
    started = time.monotonic()
    find_system(NODE)
    for server in suite.servers:
        find_server(server)
    for program in programs.PROGRAMS:
        programs.find_program(program)
    suite.images()
    print(f"realnode: everything is built, after {time.monotonic() - started:.0f} s", flush=True)


def _test(suite: str, arguments: list[str]) -> int:
    name = f"mesh-signer-node-{secrets.token_hex(4)}"
    before = machine.state()
    work = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    told = os.environ | {
        "MESH_SIGNER_NODE": name,
        "MESH_SIGNER_NODE_SUITE": suite,
        "MESH_SIGNER_NODE_WORK": str(work),
        "MESH_SIGNER_NODE_BEFORE": json.dumps(before),
    }
    pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--durations=5"]
    try:
        (work / "tmp").mkdir()
        with machine.control_group(name) as group:
            seen = told | {"MESH_SIGNER_NODE_GROUP": group, "TMPDIR": str(work / "tmp")}
            inside = [sys.executable, "-m", "tests.realnode.enter", *pytest, *SUITES[suite].tests, *arguments]
            status = namespaces.run(inside, NODE.path() / "usr" / "bin" / "catatonit", seen)
        lived = (work / "namespaces.json").read_text() if (work / "namespaces.json").exists() else "{}"
        reason = (work / "lacking").read_text() if (work / "lacking").exists() else ""
    finally:
        shutil.rmtree(work, ignore_errors=True)
    outside = [*pytest, str(_FOLDER / "outside")]
    after = subprocess.run(outside, check=False, env=told | {"MESH_SIGNER_NODE_LIVED": lived}).returncode
    if status == LACKING and reason:
        return _skipped(reason) or after
    return status or after


if __name__ == "__main__":
    sys.exit(main())
