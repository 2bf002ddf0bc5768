"""Pebble, the small real ACME server, and the server that answers its challenges and its DNS questions.

Both are Let's Encrypt's own test servers, built from their Go module. Pebble keeps everything in memory: a restart is
a CA that has forgotten every account and has a new root. It asks `ChallengeServer` for every name, and all names lead
to 127.0.0.1, so a challenge is answered by whoever listens on Pebble's `http_port` there.

Synchronous; see processes.py for what may be called from where.
"""

import json
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from tests.localmesh.build import find_program
from tests.localmesh.errors import LocalMeshError
from tests.localmesh.pki import Authority
from tests.localmesh.processes import Process, free_port

# One, because Pebble picks one at random for an order that names none.
PROFILES: Mapping[str, Any] = {"classic": {"description": "90 days", "validityPeriod": 90 * 86400}}


class Names(Protocol):
    """What Pebble looks names up in, and the port at which it asks for answers of HTTP-01."""

    @property
    def dns(self) -> str:
        """Address and port of a DNS server."""

    @property
    def http_port(self) -> int:
        """The port, on whatever address a name has."""


class ChallengeServer(Process):
    """pebble-challtestsrv: HTTP-01 answers, and a DNS server in which every name is 127.0.0.1 until told otherwise."""

    def __init__(self, folder: Path, *, http: bool = True) -> None:
        """`http=False` leaves Pebble's port 80 to somebody else, for instance to a gateway on `http_port`."""
        super().__init__("pebble-challtestsrv", folder)
        self.http_port = free_port()
        self.dns = f"127.0.0.1:{free_port()}"
        self._http = http
        self._management = f"127.0.0.1:{free_port()}"

    def start(self) -> None:  # type: ignore[override]  # the command is known here
        """Start it and wait until it answers."""
        flags = {
            "http01": f"127.0.0.1:{self.http_port}" if self._http else "",
            "https01": "",
            "tlsalpn01": "",
            "doh": "",
            "dnsserver": self.dns,
            "management": self._management,
            "defaultIPv4": "127.0.0.1",
            "defaultIPv6": "",
        }
        super().start([find_program("pebble-challtestsrv"), *(f"-{name}={value}" for name, value in flags.items())])
        self.wait_until(self._ready, "management")

    def _ready(self) -> bool:
        try:
            self._post("dns-request-history", host="ready")
        except OSError:
            return False
        return True

    def add_http(self, token: str, content: str) -> None:
        """Answer /.well-known/acme-challenge/<token> of every host."""
        self._post("add-http01", token=token, content=content)

    def remove_http(self, token: str) -> None:
        """Answer it no longer."""
        self._post("del-http01", token=token)

    def add_txt(self, host: str, value: str) -> None:
        """Add one TXT value; the values of a name add up."""
        self._post("set-txt", host=_absolute(host), value=value)

    def clear_txt(self, host: str) -> None:
        """Remove all TXT values of a name."""
        self._post("clear-txt", host=_absolute(host))

    def set_addresses(self, host: str, *addresses: str) -> None:
        """Give a name its own IPv4 addresses; without any, back to the default."""
        if addresses:
            self._post("add-a", host=_absolute(host), addresses=addresses)
        else:
            self._post("clear-a", host=_absolute(host))

    def set_default_address(self, address: str) -> None:
        """The IPv4 address of all other names; "" for none, so that they do not resolve."""
        self._post("set-default-ipv4", ip=address)

    def set_cname(self, host: str, target: str) -> None:
        """Make one name an alias of another."""
        self._post("set-cname", host=_absolute(host), target=_absolute(target))

    def set_servfail(self, host: str) -> None:
        """Answer SERVFAIL to every question for this name."""
        self._post("set-servfail", host=_absolute(host))

    def clear_servfail(self, host: str) -> None:
        """Answer questions for this name again."""
        self._post("clear-servfail", host=_absolute(host))

    def http_requests(self, host: str) -> list[dict[str, Any]]:
        """The HTTP-01 requests for a host that were seen, oldest first."""
        return json.loads(self._post("http-request-history", host=host) or b"null") or []

    def _post(self, method: str, **body: Any) -> bytes:
        request = urllib.request.Request(f"http://{self._management}/{method}", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=10) as answer:
            content: bytes = answer.read()
            return content


def _absolute(host: str) -> str:
    return host if host.endswith(".") else f"{host}."


class Pebble(Process):
    """One ACME server at `directory`; its own TLS certificate is of `authority`, to be trusted by a CA bundle only."""

    def __init__(
        self,
        folder: Path,
        challenges: Names,
        *,
        name: str = "pebble",
        profiles: Mapping[str, Any] = PROFILES,
        external_accounts: Mapping[str, str] | None = None,
        retry_after: int = 0,
        nonce_reject: int = 0,
        authz_reuse: int = 0,
        alternate_roots: int = 0,
        blocked: tuple[str, ...] = (),
        address: str = "127.0.0.1",
        host: str = "localhost",
    ) -> None:
        """A server that is started by `start`.

        Args:
            folder: for its log, configuration and certificate.
            challenges: its DNS server, and what its validations reach on `http_port`.
            name: when there are several in one folder.
            profiles: by name: {"description": ..., "validityPeriod": seconds}; one of them at random when none is asked.
            external_accounts: key id to base64url MAC key; when given, an account needs one of them.
            retry_after: seconds in Retry-After of orders and authorizations that are being worked on; 0 for no header.
            nonce_reject: per cent of good nonces that are refused.
            authz_reuse: per cent of valid authorizations that are used again.
            alternate_roots: how many other chains there are for each certificate.
            blocked: domains that are refused with rejectedIdentifier.
            address: where it listens.
            host: its name for those who ask it for certificates; we ask it by its address.
        """
        super().__init__(name, folder)
        self.authority = Authority(name)
        self.port = free_port(address)
        self.directory = f"https://{host}:{self.port}/dir"
        self._address = f"{address}:{self.port}"
        management = f"{address}:{free_port(address)}"
        self._management = f"https://{management}"
        self._dns = challenges.dns
        pair = self.authority.server(host, address)
        certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
        certificate.write_bytes(pair.certificate)
        key.write_bytes(pair.key)
        self._config = folder / f"{name}.json"
        self._config.write_text(
            json.dumps(
                {
                    "pebble": {
                        "listenAddress": self._address,
                        "managementListenAddress": management,
                        "certificate": str(certificate),
                        "privateKey": str(key),
                        "httpPort": challenges.http_port,
                        "tlsPort": free_port(),
                        "externalAccountBindingRequired": external_accounts is not None,
                        "externalAccountMACKeys": external_accounts or {},
                        "domainBlocklist": blocked,
                        "retryAfter": {"authz": retry_after, "order": retry_after},
                        "keyAlgorithm": "ecdsa",
                        "profiles": profiles,
                    }
                }
            )
        )
        self._env = {
            **os.environ,
            "PEBBLE_VA_NOSLEEP": "1",
            "PEBBLE_WFE_NONCEREJECT": str(nonce_reject),
            "PEBBLE_AUTHZREUSE": str(authz_reuse),
            "PEBBLE_ALTERNATE_ROOTS": str(alternate_roots),
        }
        self._context = ssl.create_default_context(cadata=self.authority.certificate.decode())

    def start(self) -> None:  # type: ignore[override]  # the command is known here
        """Start it and wait until it shows its root."""
        super().start(
            [find_program("pebble"), "-config", self._config, "-dnsserver", self._dns, "-strict=false"], env=self._env
        )
        self.wait_until(self._ready, "root certificate")

    def _ready(self) -> bool:
        try:
            return bool(self.root()) and bool(self._call(f"https://{self._address}/dir"))
        except OSError:
            return False

    def root(self, number: int = 0) -> bytes:
        """The root of issued certificates, PEM; others than 0 are the alternates."""
        return self._call(f"{self._management}/roots/{number}")

    def set_renewal_info(self, certificate: bytes, answer: str) -> None:
        """Say what renewalInfo answers for a certificate (PEM), word for word: it may be malformed."""
        body = {"Certificate": certificate.decode(), "ARIResponse": answer}
        self._call(f"{self._management}/set-renewal-info/", json.dumps(body).encode())

    def status(self, serial: int) -> str:
        """What became of a certificate: "Valid" or "Revoked"."""
        answer = json.loads(self._call(f"{self._management}/cert-status-by-serial/{serial:x}"))
        return str(answer["Status"])

    def orders(self) -> int:
        """How many orders it has made, by its log."""
        return self.log.read_text(errors="replace").count("Added order ")

    def _call(self, url: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(url, body, {"User-Agent": "localmesh"})
        try:
            with urllib.request.urlopen(request, timeout=10, context=self._context) as answer:
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError as error:
            with error:
                text = error.read().decode(errors="replace")
            raise LocalMeshError(f"{self.name}: {url}: {error.code} {text}") from None
