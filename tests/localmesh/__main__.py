"""`python -m tests.localmesh build [NAME...]` and `python -m tests.localmesh up`."""

import argparse
import signal
import sys
import time

from tests import verifying
from tests.localmesh import certmanager, certmanagerpki, dnswebhook, ztunnel
from tests.localmesh.build import MODULE_FILES, PROGRAMS, build_all, cache_folder, find_module_file, find_programs
from tests.localmesh.cluster import LocalCluster
from tests.localmesh.debian import BROWSER, PACKAGES, NotHere, find_packaged
from tests.localmesh.errors import LocalMeshError
from tests.localmesh.rust import ZTUNNEL, find_rust


def main() -> int:
    """Run one command; errors end with one message and status 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.localmesh", description="Real servers on loopback.")
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help=f"build the servers into {cache_folder()}")
    build.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PROGRAMS)} (default: all)")
    build.add_argument("--tests", action="store_true", help="also the programs that only tests need")
    up = commands.add_parser("up", help="start a cluster and keep it until Ctrl-C")
    up.add_argument("--api-flag", action="append", default=[], help="one more flag for kube-apiserver")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped and the folder removed
    try:
        return _build(options.names, tests=options.tests) if options.command == "build" else _up(options.api_flag)
    except LocalMeshError as error:
        print(f"localmesh: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print()
        return 130


def _build(names: list[str], *, tests: bool) -> int:
    for name in names:
        if name not in PROGRAMS:
            raise LocalMeshError(f"build: there is no {name}; there are {', '.join(PROGRAMS)}")
    find_programs(names or PROGRAMS)
    if tests:  # else the first test that asks for one builds it beside all the others
        build_all(
            [
                certmanager.PROGRAM,
                certmanagerpki.PROGRAM,
                dnswebhook.PROGRAM,
                verifying.PROGRAM,
                ztunnel.PROGRAM,
            ]
        )
        try:
            find_rust(ZTUNNEL)
        except NotHere as error:  # its tests say the same when they are skipped
            print(f"localmesh: without ztunnel's crates: {error}", file=sys.stderr)
    for file in () if names else MODULE_FILES:
        find_module_file(file)
    for name in () if names else PACKAGES.keys() - {BROWSER}:  # which has 400 MB, and tests of its own
        try:
            find_packaged(name)
        except NotHere as error:  # its tests say the same when they are skipped
            print(f"localmesh: without {name}: {error}", file=sys.stderr)
    return 0


def _up(api_flags: list[str]) -> int:
    started = time.monotonic()
    with LocalCluster(api_flags=api_flags) as cluster:
        print(
            f"localmesh: {cluster.api.url} is ready after {time.monotonic() - started:.1f} s; logs in {cluster.folder}"
        )
        print(f"export KUBECONFIG={cluster.kubeconfig()}")
        print("localmesh: Ctrl-C ends it", flush=True)
        while True:
            cluster.check()
            time.sleep(1)


if __name__ == "__main__":
    sys.exit(main())
