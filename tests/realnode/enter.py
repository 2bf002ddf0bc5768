"""The first thing that runs within the namespaces: prepares the node, looks whether the kernel has what it needs, runs the tests.

`python -m tests.realnode.enter COMMAND...`, with the environment that `__main__` sets.
"""

import json
import os
import sys
from pathlib import Path

from tests.realnode import machine
from tests.realnode.__main__ import LACKING
from tests.realnode.node import prepare
from tests.realnode.suites import SUITES


def main() -> int:
    """Become the command, or end with LACKING and the reason in the work folder."""
    work = Path(os.environ["MESH_SIGNER_NODE_WORK"])
    (work / "namespaces.json").write_text(json.dumps(machine.own_namespaces()))
    suite = SUITES[os.environ["MESH_SIGNER_NODE_SUITE"]]
    if reason := prepare(work, suite.images(), suite.probe):
        (work / "lacking").write_text(reason)
        return LACKING
    return os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
