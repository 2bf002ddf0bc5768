"""dns-persist-01 with Pebble, which has it, BIND, and the real API server: a record that stands for good, and no credentials."""

import pytest

from signer.authorities.registry import Registry
from signer.edge.challenges.presenter import ByType, Presenter
from signer.edge.dns01.persist import PersistPresenter
from signer.edge.dns01.queries import Questions
from signer.kube.client import ApiClient
from tests.integration.edge.zones import HERE, ZONE, Servers, asked, issuer, names_of, tidied, told
from tests.integration.slow_controllers import world
from tests.localmesh import Cluster
from tests.localmesh.pebble import Pebble

pytestmark = pytest.mark.integration

CA = "pebble.letsencrypt.org"
"""Pebble's name for itself, as in CAA records."""


async def test_one_record_for_good(cluster: Cluster, namespace: str, servers: Servers, zone_ca: Pebble) -> None:
    """The Challenge says which record is to be written; a wildcard and its apex are proven by it, and again at the next order.

    A record of another account proves nothing, and nothing is written or taken away.
    """

    def presenting(_client: ApiClient, _registry: Registry) -> Presenter:
        questions = Questions(servers.recursive, {f"ns1.{ZONE}": servers.first.port})
        return ByType({"DNS-PERSIST-01": PersistPresenter(questions, reach=HERE)})

    async with world(cluster, namespace, presenting=presenting) as here:
        host = f"once.{namespace}.{ZONE}"
        name = f"_validation-persist.{host}"
        servers.first.add(ZONE, name, "TXT", f'"{CA}; accounturi=https://ca.example/another; policy=wildcard"')
        chosen = await issuer(here, zone_ca, {"persistent": {"issuerDomainName": CA}})
        await asked(here, chosen, host, f"*.{host}")
        said = await told(here, "policy=wildcard")
        assert name in said
        found = await here.get("ClusterIssuer", chosen)
        assert found is not None
        record = f"{CA}; accounturi={found['status']['acme']['uri']}; policy=wildcard"
        assert f'"{record}"' in said
        servers.first.add(ZONE, name, "TXT", f'"{record}"')
        assert await names_of(here) == [f"*.{host}", host]
        await tidied(here)
        assert record in servers.first.txt(name)
        await here.delete("Certificate", "web")
        await here.certificate("again", chosen, commonName=None, dnsNames=[f"*.{host}"])
        await here.ready("Certificate", "again")
