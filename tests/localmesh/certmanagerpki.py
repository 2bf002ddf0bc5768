"""Go as a reader of the same bytes: cert-manager's own package and Go's parsers, in one process that answers line by line.

One owner at a time: a question waits for its answer.
"""

import base64
import ipaddress
import json
import subprocess
from pathlib import Path
from typing import Any

from issuers.request import SigningRequest
from tests.localmesh.build import GOTOOLS, Program, build

PROGRAM = Program("certmanagerpki", (GOTOOLS / "certmanagerpki").resolve(), ".")


class Peer:
    """The Go program: one question, one answer."""

    def __init__(self, program: Path) -> None:
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **question: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(timeout=10)
        self.process.stdout.close()


def build_peer() -> Peer:
    """Build the Go program if need be, with progress, and start it."""
    return Peer(build(PROGRAM))


def built_peer() -> Peer | None:
    """Start the Go program if it was built before; None where it was not."""
    program = PROGRAM.path()
    return Peer(program) if program.exists() else None


def assert_go_reads_the_same(peer: Peer, text: bytes, ours: SigningRequest) -> None:
    """What we take, Go takes too, and sees the same key, subject and names."""
    theirs = peer.ask(op="read", csr=text.decode("latin-1"))
    assert "error" not in theirs, (theirs["error"], text)
    reading = theirs["reading"]

    def raw(value: str | None) -> bytes:
        return base64.b64decode(value or "")

    assert raw(reading["subject"]) == ours.subject_der
    assert raw(reading["spki"]) == ours.spki
    assert (reading["dnsNames"] or []) == list(ours.dns_names)
    assert (reading["emails"] or []) == list(ours.email_addresses)
    assert (reading["uris"] or []) == list(ours.uris)
    assert [raw(ip) for ip in reading["ips"] or []] == [ipaddress.ip_address(ip).packed for ip in ours.ip_addresses]
    assert reading["otherNames"] == ours.other_names
    assert reading["sans"] == (0 if ours.san_der is None else 1)
    assert raw(reading["san"]) == (ours.san_der or b"")


def assert_go_reads_the_blocks(peer: Peer, text: bytes, blocks: list[tuple[str, bytes]]) -> None:
    """The PEM blocks that Go finds in a text, one after the other, are these."""
    found = peer.ask(op="pem", data=base64.b64encode(text).decode())["blocks"] or []
    assert [(one["type"], base64.b64decode(one["bytes"] or "")) for one in found] == blocks, text
