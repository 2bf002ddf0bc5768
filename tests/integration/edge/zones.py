"""DNS zones at BIND, a CA that looks names up in them, and controllers that write records there.

Fixtures (`servers`, `zone_ca`, `zoned`; the conftest imports them) and what the tests of DNS-01 ask again and again.
"""

import base64
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from issuers.acme.targets import AddressRule
from signer.api.challenge import Challenge
from signer.authorities.registry import Registry
from signer.edge.dns01.presenter import DnsPresenter
from signer.edge.dns01.queries import Questions
from signer.edge.hosts.permit import RecordRules
from signer.edge.proxies.reach import Reach
from signer.kube.client import ApiClient
from signer.kube.errors import NotFound
from signer.tenancy.verdict import Reason
from tests.integration.pebbles import spec
from tests.integration.slow_controllers import Json, World, chain, world
from tests.localmesh import Cluster
from tests.localmesh.bind import KEY_NAME, Bind
from tests.localmesh.debian import NotHere, find_packaged
from tests.localmesh.pebble import Pebble

ZONE, OTHER, SLOW = "example.test", "acme.test", "slow.test"
ONE_SERVER = ("@ NS ns1", "ns1 A 127.0.0.1")
TWO_SERVERS = ("@ NS ns1", "@ NS ns2", "ns1 A 127.0.0.1", "ns2 A 127.0.0.1")
HERE = Reach(*[AddressRule(allowed=(ip_network("127.0.0.1/32"),))] * 2)


class Anything:
    """Where no HostClaims are kept: whose a name is, other tests ask."""

    async def may_write(self, challenge: Challenge, name: str) -> Reason | None:  # noqa: ARG002 - the protocol's
        """Whatever it is."""
        return None

    async def holds(self, challenge: Challenge, name: str) -> bool:  # noqa: ARG002 - the protocol's
        """Nobody has a host."""
        return False


ANYTHING = Anything()


@dataclass(frozen=True)
class Servers:
    """The zones' primary, a secondary of SLOW, and how they are asked."""

    first: Bind
    second: Bind

    @property
    def dns(self) -> str:
        """For Pebble."""
        return self.first.nameserver

    @property
    def http_port(self) -> int:
        """For Pebble; nobody asks it."""
        return self.first.port

    @property
    def recursive(self) -> list[tuple[str, int]]:
        """For the controllers."""
        return [("127.0.0.1", self.first.port)]

    def presenter(
        self,
        client: ApiClient,
        registry: Registry,
        namespace: str,
        reach: Reach = HERE,
        rules: RecordRules = ANYTHING,
    ) -> DnsPresenter:
        """As the process makes it, but that the zones' servers are not at port 53."""
        ports = {f"ns1.{zone}": self.first.port for zone in (ZONE, OTHER, SLOW)} | {f"ns2.{SLOW}": self.second.port}
        questions = Questions(self.recursive, ports)
        return DnsPresenter(client, registry, questions, cluster_resource_namespace=namespace, rules=rules, reach=reach)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """One pair of name servers for the module; the tests have names of their own."""
    try:
        find_packaged("named")
    except NotHere as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("bind")
    first = Bind(folder, {ZONE: ONE_SERVER, OTHER: ONE_SERVER, SLOW: TWO_SERVERS})
    second = Bind(folder, {SLOW: TWO_SERVERS}, primary=first, name="second")
    with contextlib.ExitStack() as started:
        for server in (first, second):
            started.callback(server.stop)
            server.start()
        yield Servers(first, second)


@pytest.fixture
def zone_ca(servers: Servers, tmp_path: Path) -> Iterator[Pebble]:
    """A CA that looks names up in BIND."""
    started = Pebble(tmp_path, servers)
    started.start()
    yield started
    started.stop()


@pytest.fixture
async def zoned(cluster: Cluster, namespace: str, servers: Servers) -> AsyncIterator[World]:
    """The controllers, with DNS-01 as the process has it."""

    def presenting(client: ApiClient, registry: Registry) -> DnsPresenter:
        return servers.presenter(client, registry, namespace)

    async with world(cluster, namespace, presenting=presenting) as found:
        yield found


def rfc2136(server: Bind, **fields: Any) -> Json:
    """A provider for this server, with the key in the Secret `tsig`."""
    return {
        "rfc2136": {
            "nameserver": server.nameserver,
            "tsigKeyName": KEY_NAME,
            "tsigAlgorithm": "HMACSHA256",
            "tsigSecretSecretRef": {"name": "tsig", "key": "secret"},
            **fields,
        }
    }


async def key(here: World, secret: str) -> None:
    """Store a TSIG secret as name servers have it."""
    await here.create("Secret", "tsig", {"stringData": {"secret": secret}})


async def issuer(here: World, ca: Pebble, dns01: Json) -> str:
    """A ClusterIssuer with this solver."""
    return await here.issuer("acme", spec(ca, solvers=[{"dns01": dns01}]))


async def asked(here: World, issuer: str, *names: str, kind: str = "ClusterIssuer") -> None:
    """A Certificate for these names."""
    await here.certificate("web", "", commonName=None, dnsNames=list(names), issuerRef={"name": issuer, "kind": kind})


async def names_of(here: World) -> list[str]:
    """The names in the certificate, once it is there."""
    await here.ready("Certificate", "web")
    secret = await here.get("Secret", "web")
    assert secret is not None
    leaf = chain(base64.b64decode(secret["data"]["tls.crt"]))[0]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return sorted(names.get_values_for_type(x509.DNSName))


async def told(here: World, *texts: str) -> str:
    """Wait until a Challenge's reason has one of these texts."""

    async def ask() -> str:
        reasons = [str(one.get("status", {}).get("reason", "")) for one in await here.list("Challenge")]
        return next((reason for reason in reasons if any(text in reason for text in texts)), "")

    found: str = await here.until(f"a reason with {texts}", ask)
    return found


async def tidied(here: World) -> None:
    """Wait until no Challenge is left: what it presented is taken away before."""

    async def gone() -> bool:
        return not await here.list("Challenge")

    await here.until("no Challenge is left", gone)


async def given_up(here: World) -> None:
    """Delete the Certificate, and all that came of it."""
    for kind in ("Certificate", "CertificateRequest", "Order", "Challenge"):
        for one in await here.list(kind):
            with contextlib.suppress(NotFound):  # the garbage collector may be first
                await here.delete(kind, one["metadata"]["name"])
