"""DNS-01 by RFC 2136 at a real PowerDNS, which reads updates in its own way, with Pebble and the real API server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from signer.authorities.registry import Registry
from signer.edge.dns01.presenter import DnsPresenter
from signer.edge.dns01.queries import Questions
from signer.kube.client import ApiClient
from tests.integration.edge.zones import ANYTHING, HERE, asked, issuer, key, names_of, tidied, told
from tests.integration.slow_controllers import world
from tests.localmesh import Cluster
from tests.localmesh.debian import NotHere
from tests.localmesh.pebble import Pebble
from tests.localmesh.powerdns import KEY_NAME, PowerDns

pytestmark = pytest.mark.integration

ZONE = "powerdns.test"
RECORDS = ((ZONE, "NS", f"ns1.{ZONE}"), (f"ns1.{ZONE}", "A", "127.0.0.1"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PowerDns]:
    try:
        started = PowerDns(tmp_path, ZONE, RECORDS)
    except NotHere as error:
        pytest.skip(str(error))
    started.start()
    yield started
    started.stop()


@pytest.fixture
def ca(tmp_path: Path, server: PowerDns) -> Iterator[Pebble]:
    """A CA that looks names up there."""
    started = Pebble(tmp_path, server)
    started.start()
    yield started
    started.stop()


async def test_wildcard_and_apex(cluster: Cluster, namespace: str, server: PowerDns, ca: Pebble) -> None:
    """A wildcard and its apex get one certificate; a wrong key is told, and afterwards nothing is left."""

    def presenting(client: ApiClient, registry: Registry) -> DnsPresenter:
        questions = Questions([("127.0.0.1", server.port)], {f"ns1.{ZONE}": server.port})
        return DnsPresenter(
            client, registry, questions, cluster_resource_namespace=namespace, rules=ANYTHING, reach=HERE
        )

    async with world(cluster, namespace, presenting=presenting) as here:
        host = f"both.{namespace}.{ZONE}"
        solver = {
            "rfc2136": {
                "nameserver": server.nameserver,
                "tsigKeyName": KEY_NAME,
                "tsigAlgorithm": "HMACSHA256",
                "tsigSecretSecretRef": {"name": "tsig", "key": "secret"},
            }
        }
        await key(here, "d3Jvbmc=")
        await asked(here, await issuer(here, ca, solver), host, f"*.{host}")
        await told(here, "name server")
        await here.edit("Secret", "tsig", {"stringData": {"secret": server.secret}})
        assert await names_of(here) == [f"*.{host}", host]
        await tidied(here)
        assert server.txt(f"_acme-challenge.{host}") == set()
