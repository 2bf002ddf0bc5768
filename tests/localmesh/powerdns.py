"""PowerDNS, another real DNS server that takes updates (RFC 2136), on loopback: its own reading of prerequisites, TSIG and names.

One zone in SQLite, by the schema that its package brings. Synchronous; see processes.py for what may be called from where.
"""

import base64
import os
import secrets
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rdatatype

from tests.localmesh.debian import find_packaged, unpacked
from tests.localmesh.errors import LocalMeshError
from tests.localmesh.processes import Process, free_port

KEY_NAME = "acme-key"
_ADDRESS, _SECONDS = "127.0.0.1", 5.0


class PowerDns(Process):
    """One server at 127.0.0.1:`port` for one zone; `records` are name, type and content, the names in full."""

    def __init__(self, folder: Path, zone: str, records: Sequence[tuple[str, str, str]]) -> None:
        """Raises NotHere where the machine neither has it nor can get it."""
        super().__init__("pdns", folder)
        self._program, self._env = find_packaged("pdns_server")
        self._zone = zone
        self.port = free_port()
        self.secret = base64.b64encode(secrets.token_bytes(32)).decode()
        package = unpacked("pdns-backend-sqlite3", "pdns_server is not on PATH")
        schema = next(package.rglob("schema/schema.sqlite3.sql"), None)
        backend = next(package.rglob("libgsqlite3backend.so"), None)
        if schema is None or backend is None:
            raise LocalMeshError(f"{package}: the package pdns-backend-sqlite3 has no schema or no backend")
        database = folder / "pdns.sqlite3"
        with sqlite3.connect(database) as made:
            made.executescript(schema.read_text())
            made.execute("INSERT INTO domains (id, name, type) VALUES (1, ?, 'NATIVE')", (zone,))
            soa = (zone, "SOA", f"ns1.{zone} admin.{zone} 1 86400 86400 864000 1")
            made.executemany(
                "INSERT INTO records (domain_id, name, type, content, ttl, auth) VALUES (1, ?, ?, ?, 60, 1)",
                [soa, *records],
            )
            key = (KEY_NAME, "hmac-sha256", self.secret)
            made.execute("INSERT INTO tsigkeys (name, algorithm, secret) VALUES (?, ?, ?)", key)
            kept = [("TSIG-ALLOW-DNSUPDATE", KEY_NAME), ("ALLOW-DNSUPDATE-FROM", "127.0.0.0/8")]
            made.executemany("INSERT INTO domainmetadata (domain_id, kind, content) VALUES (1, ?, ?)", kept)
        made.close()
        self._flags = {
            "config-dir": folder,
            "module-dir": backend.parent,
            "launch": "gsqlite3",
            "gsqlite3-database": database,
            "local-address": _ADDRESS,
            "local-port": self.port,
            "socket-dir": folder,
            "daemon": "no",
            "guardian": "no",
            "dnsupdate": "yes",
            # What it answered a moment ago must not hide what was written since.
            "cache-ttl": 0,
            "query-cache-ttl": 0,
            "negquery-cache-ttl": 0,
            "zone-cache-refresh-interval": 0,
            "security-poll-suffix": "",
        }

    @property
    def nameserver(self) -> str:
        """Where it answers, as an issuer has it."""
        return f"{_ADDRESS}:{self.port}"

    @property
    def dns(self) -> str:
        """For Pebble."""
        return self.nameserver

    @property
    def http_port(self) -> int:
        """For Pebble; nobody asks it."""
        return self.port

    def start(self) -> None:  # type: ignore[override]  # the command is known here
        """Start it and wait until it answers for its zone."""
        flags = [f"--{name}={value}" for name, value in self._flags.items()]
        super().start([self._program, *flags], env=os.environ | self._env)
        self.wait_until(self._serves, "answer for its zone")

    def txt(self, name: str) -> set[str]:
        """The TXT values that it gives for a name."""
        answer = dns.query.udp(dns.message.make_query(name, "TXT", flags=0), _ADDRESS, _SECONDS, self.port)
        return {
            b"".join(one.strings).decode()
            for rrset in answer.answer
            if rrset.rdtype == dns.rdatatype.TXT
            for one in rrset
        }

    def _serves(self) -> bool:
        try:
            answer = dns.query.udp(dns.message.make_query(self._zone, "SOA"), _ADDRESS, 1.0, self.port)
        except (dns.exception.DNSException, OSError):
            return False
        return bool(answer.answer)
