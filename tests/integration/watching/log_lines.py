"""The lines of a process that writes JSON."""

import json
from typing import Any

from tests.localmesh.signer import SignerProcess

Line = dict[str, Any]


def warnings(process: SignerProcess) -> list[Line]:
    """The lines of level warning and error."""
    lines = [json.loads(line) for line in process.log.splitlines() if line.startswith("{")]
    return [line for line in lines if line["level"] in ("warning", "error")]
