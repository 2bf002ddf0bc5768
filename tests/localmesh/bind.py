"""BIND, a real DNS server with dynamic updates (RFC 2136) and TSIG, on loopback.

One `Bind` is one `named` on a port of 127.0.0.1; it listens on no other address of 127.0.0.0/8, since no interface names
them. Secondaries copy their primary only when they are told to (`transfer`), so that a test decides how far one lags.
Aliases are followed from zone to zone, as a recursive server does. A root zone of its own keeps it from ever asking
elsewhere: all other names do not exist.

Synchronous; see processes.py for what may be called from where.
"""

import base64
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsig
import dns.update

from tests.localmesh.debian import find_packaged
from tests.localmesh.errors import LocalMeshError
from tests.localmesh.processes import Process, free_port

KEY_NAME = "acme-key"
_ADDRESS = "127.0.0.1"
_SECONDS = 5.0


class Bind(Process):
    """One name server at 127.0.0.1:`port`; its zones take updates that are signed with `secret` under KEY_NAME."""

    def __init__(
        self,
        folder: Path,
        zones: Mapping[str, Sequence[str]],
        *,
        primary: "Bind | None" = None,
        name: str = "named",
        keyed: bool = False,
    ) -> None:
        """A server that is started by `start`.

        Args:
            folder: a folder of its own is made in it.
            zones: for each zone its records as in a zone file, besides the SOA. Names may be relative to the zone.
            primary: when this is a secondary of that server, for the same zones.
            name: when there are several in one folder.
            keyed: the zones are in a view of those who have the key; others are shown one that has none of them.
        """
        self._keyed = keyed
        self._folder = folder / name
        self._folder.mkdir(parents=True)
        super().__init__(name, self._folder)
        self.port = free_port()
        self.secret: str = primary.secret if primary is not None else base64.b64encode(secrets.token_bytes(32)).decode()
        self.zones = tuple(zones)
        self._primary = primary
        for zone, records in zones.items():
            if primary is None:
                (self._folder / f"{zone}.zone").write_text(_zone_file(zone, records))
        (self._folder / "root.zone").write_text(
            "$TTL 60\n. SOA . . 1 86400 86400 864000 1\n. NS ns.\nns. A 127.0.0.1\n"
        )
        self._config = self._folder / "named.conf"
        self._config.write_text(self._configuration())

    @property
    def nameserver(self) -> str:
        """Where it answers, as an issuer has it."""
        return f"{_ADDRESS}:{self.port}"

    def start(self) -> None:  # type: ignore[override]  # the command is known here
        """Start it and wait until it answers for all of its zones."""
        program, env = find_packaged("named")
        super().start([program, "-g", "-4", "-n", "1", "-c", self._config], env=os.environ | env)
        self.wait_until(lambda: all(self._serves(zone) for zone in self.zones), "answer for its zones")

    def txt(self, name: str) -> set[str]:
        """The TXT values that it gives for a name."""
        answer = self._ask(dns.message.make_query(name, "TXT", flags=0))
        return {
            b"".join(one.strings).decode()
            for rrset in answer.answer
            if rrset.rdtype == dns.rdatatype.TXT
            for one in rrset
        }

    def add(self, zone: str, name: str, kind: str, value: str) -> None:
        """Add a record to a zone, as an administrator would."""
        update = self._update(zone)
        update.add(dns.name.from_text(name), 60, kind, value)
        self._ask(update)

    def remove(self, zone: str, name: str, kind: str) -> None:
        """Remove a name's records of a kind."""
        update = self._update(zone)
        update.delete(dns.name.from_text(name), kind)
        self._ask(update)

    def transfer(self) -> None:
        """A secondary: be told that the primary has something new."""
        for zone in self.zones:
            told = dns.message.make_query(zone, "SOA")
            told.set_opcode(dns.opcode.NOTIFY)
            told.flags |= dns.flags.AA
            self._ask(told)

    @property
    def _key(self) -> dns.tsig.Key:
        return dns.tsig.Key(KEY_NAME, self.secret, dns.tsig.HMAC_SHA256)

    def _update(self, zone: str) -> dns.update.UpdateMessage:
        return dns.update.UpdateMessage(zone, keyring=self._key)

    def _ask(self, message: dns.message.Message) -> dns.message.Message:
        if self._keyed and message.keyring is None:
            message.use_tsig(self._key)
        answer = dns.query.udp(message, _ADDRESS, _SECONDS, self.port)
        if answer.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            raise LocalMeshError(f"{self.name}: {dns.rcode.to_text(answer.rcode())} to {message.question}")
        return answer

    def _serves(self, zone: str) -> bool:
        query = dns.message.make_query(zone, "SOA", flags=0)
        if self._keyed:
            query.use_tsig(self._key)
        try:  # asked before it listens, nothing answers: so a short time, since this is polled
            answer = dns.query.udp(query, _ADDRESS, 0.5, self.port)
        except (OSError, dns.exception.DNSException):
            return False
        return answer.rcode() == dns.rcode.NOERROR and bool(answer.answer)

    def _configuration(self) -> str:
        root = 'zone "." { type primary; file "root.zone"; };\n'
        zones = root + "".join(self._zone(zone) for zone in self.zones)
        if self._keyed:
            others = f'view "others" {{ match-clients {{ any; }}; {root} }};'
            zones = f'view "keyed" {{ match-clients {{ key "{KEY_NAME}"; }}; {zones} }};\n{others}'
        return f"""
            options {{
                directory "{self._folder}";
                pid-file none; lock-file none; session-keyfile "{self._folder}/session.key";
                listen-on port {self.port} {{ {_ADDRESS}; }}; listen-on-v6 {{ none; }};
                recursion yes; dnssec-validation no; notify no; querylog yes;
                allow-query {{ any; }}; allow-recursion {{ any; }}; empty-zones-enable no; allow-transfer {{ any; }}; allow-notify {{ any; }};
                min-refresh-time 86400; min-retry-time 86400;
            }};
            controls {{ }};
            key "{KEY_NAME}" {{ algorithm hmac-sha256; secret "{self.secret}"; }};
            {zones}
        """

    def _zone(self, zone: str) -> str:
        if self._primary is None:
            return f'zone "{zone}" {{ type primary; file "{zone}.zone"; allow-update {{ key "{KEY_NAME}"; }}; }};\n'
        source = f"{_ADDRESS} port {self._primary.port}"
        return f'zone "{zone}" {{ type secondary; file "{zone}.zone"; primaries {{ {source}; }}; }};\n'


def _zone_file(zone: str, records: Sequence[str]) -> str:
    soa = f"@ SOA ns1.{zone}. admin.{zone}. 1 86400 86400 864000 1"
    return "\n".join([f"$ORIGIN {zone}.", "$TTL 60", soa, *records, ""])
