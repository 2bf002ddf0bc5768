"""DNS-01 against BIND, Pebble and the real API server: Pebble looks names up in BIND, and in nothing else."""

import asyncio
import base64
from pathlib import Path

import msgspec
import pytest

from issuers.acme.targets import ANYWHERE
from signer.api.challenge import CHALLENGES, Challenge
from signer.authorities.registry import Registry
from signer.edge.dns01.queries import Questions
from signer.edge.dns01.record import DNS_ENDPOINTS
from signer.edge.dns01.rfc2136 import Updates
from signer.edge.issuers.dns01_spec import ALGORITHMS, Rfc2136, Tsig
from signer.edge.proxies.reach import Reach
from tests.integration.edge.zones import (
    ONE_SERVER,
    OTHER,
    SLOW,
    ZONE,
    Servers,
    asked,
    issuer,
    key,
    names_of,
    rfc2136,
    tidied,
    told,
)
from tests.integration.external_dns import ENDPOINT_CRD
from tests.integration.pebbles import spec
from tests.integration.slow_controllers import Json, World, world
from tests.localmesh import Cluster
from tests.localmesh.bind import KEY_NAME, Bind
from tests.localmesh.pebble import Pebble
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, SignerProcess

pytestmark = pytest.mark.integration


async def test_wildcard_and_apex(zoned: World, zone_ca: Pebble, servers: Servers) -> None:
    """A wildcard and its apex get one certificate; both values of the one name go again, and a third one stays."""
    record = f"_acme-challenge.both.{ZONE}"
    servers.first.add(ZONE, record, "TXT", '"somebody-elses"')
    await key(zoned, servers.first.secret)
    await asked(zoned, await issuer(zoned, zone_ca, rfc2136(servers.first)), f"both.{ZONE}", f"*.both.{ZONE}")
    assert await names_of(zoned) == [f"*.both.{ZONE}", f"both.{ZONE}"]
    await tidied(zoned)
    assert servers.first.txt(record) == {"somebody-elses"}
    assert zone_ca.orders() == 1


async def test_a_delegated_name(zoned: World, zone_ca: Pebble, servers: Servers) -> None:
    """With cnameStrategy Follow the record is written where the CNAME leads, into another zone, and nowhere else."""
    target = f"shop.{OTHER}"
    servers.first.add(ZONE, f"_acme-challenge.delegated.{ZONE}", "CNAME", f"{target}.")
    await key(zoned, servers.first.secret)
    dns01 = {"cnameStrategy": "Follow", **rfc2136(servers.first, protocol="TCP")}
    await asked(zoned, await issuer(zoned, zone_ca, dns01), f"*.delegated.{ZONE}")
    assert await names_of(zoned) == [f"*.delegated.{ZONE}"]
    assert any(f"adding an RR at '{target}'" in line for line in servers.first.log.read_text().splitlines())
    await tidied(zoned)
    assert servers.first.txt(target) == set()


async def test_an_alias_that_is_not_followed(zoned: World, zone_ca: Pebble, servers: Servers) -> None:
    """An alias keeps a record from being seen: that is told, with what to change, and waited for."""
    record = f"_acme-challenge.aliased.{ZONE}"
    servers.first.add(ZONE, record, "CNAME", f"elsewhere.{OTHER}.")
    await key(zoned, servers.first.secret)
    await asked(zoned, await issuer(zoned, zone_ca, rfc2136(servers.first)), f"aliased.{ZONE}")
    assert "cnameStrategy: Follow" in await told(zoned, "alias")
    servers.first.remove(ZONE, record, "CNAME")
    assert await names_of(zoned) == [f"aliased.{ZONE}"]


async def test_a_wildcards_alias(zoned: World, zone_ca: Pebble, servers: Servers) -> None:
    """An alias that a wildcard makes up is no delegation: the record goes under the name itself, followed or not."""
    for number, strategy in enumerate(("None", "Follow")):
        servers.first.add(ZONE, f"*.starred{number}.{ZONE}", "CNAME", f"web.{OTHER}.")
        if not number:
            await key(zoned, servers.first.secret)
        dns01 = {"cnameStrategy": strategy, **rfc2136(servers.first)}
        named = await zoned.issuer(f"acme{number}", spec(zone_ca, solvers=[{"dns01": dns01}]))
        secret, host = f"web{number}", f"shop.starred{number}.{ZONE}"
        issuer_ref = {"name": named, "kind": "ClusterIssuer"}
        await zoned.certificate(secret, "", commonName=None, dnsNames=[host], issuerRef=issuer_ref, secretName=secret)
        await zoned.ready("Certificate", secret)
        await tidied(zoned)
        log = servers.first.log.read_text()
        assert f"adding an RR at '_acme-challenge.{host}'" in log
        assert f"adding an RR at 'web.{OTHER}'" not in log


async def test_an_alias_beside_wildcards(tmp_path: Path) -> None:
    """A name's own alias is told from a wildcard's, also where wildcards above and below it lead to the same place."""
    server = Bind(tmp_path, {ZONE: ONE_SERVER})
    await asyncio.to_thread(server.start)
    try:
        target = f"there.{ZONE}"
        for owner in ("own", "*.own", "both.other", "*.both.other", "*.other", "*.above"):
            await asyncio.to_thread(server.add, ZONE, f"{owner}.{ZONE}", "CNAME", f"{target}.")
        questions = Questions([("127.0.0.1", server.port)])
        for name in ("own", "both.other"):
            assert await questions.delegated(f"{name}.{ZONE}") == target
        for name in ("x.own", "x.other", "x.both.other", "x.above", "x.y.above"):
            assert await questions.delegated(f"{name}.{ZONE}") == f"{name}.{ZONE}"
    finally:
        await asyncio.to_thread(server.stop)


async def test_a_view_by_the_key(tmp_path: Path) -> None:
    """A name server that shows its zones to those alone who have the key is asked for the zone with the key."""
    server = Bind(tmp_path, {ZONE: ONE_SERVER}, keyed=True)
    await asyncio.to_thread(server.start)
    try:
        tsig = Tsig(KEY_NAME, ALGORITHMS["HMACSHA256"], "tsig", "secret")
        settings = Rfc2136("127.0.0.1", server.port, tsig=tsig)
        updates = Updates(Questions(), settings, server.secret.encode(), ANYWHERE)
        name, value = f"_acme-challenge.seen.{ZONE}", "v" * 43
        assert await updates.add(name, value) is None
        assert await asyncio.to_thread(server.txt, name) == {value}
        assert await updates.remove(name, value) is None
        assert await asyncio.to_thread(server.txt, name) == set()
    finally:
        await asyncio.to_thread(server.stop)


async def test_a_delegation_to_somebodys_host(zoned: World, zone_ca: Pebble, servers: Servers) -> None:
    """Nobody makes a host lose the addresses that a wildcard gives it by leading a record to it."""
    servers.first.add(OTHER, f"*.wild.{OTHER}", "A", "192.0.2.1")
    servers.first.add(ZONE, f"_acme-challenge.evil.{ZONE}", "CNAME", f"victim.wild.{OTHER}.")
    await key(zoned, servers.first.secret)
    dns01 = {"cnameStrategy": "Follow", **rfc2136(servers.first)}
    await asked(zoned, await issuer(zoned, zone_ca, dns01), f"evil.{ZONE}")
    assert "could hide them" in await told(zoned, "has addresses")
    assert servers.first.txt(f"victim.wild.{OTHER}") == set()


async def test_a_wrong_key(zoned: World, zone_ca: Pebble, servers: Servers) -> None:
    """A TSIG secret that the name server does not take is told, without it, and the challenge goes on once it is mended."""
    wrong = base64.b64encode(b"x" * 32).decode()
    await key(zoned, wrong)
    await asked(zoned, await issuer(zoned, zone_ca, rfc2136(servers.first)), f"wrong-key.{ZONE}")
    reason = await told(zoned, "BADSIG")
    assert KEY_NAME in reason
    assert wrong not in reason
    await zoned.edit("Secret", "tsig", {"stringData": {"secret": servers.first.secret + "\n"}})
    assert await names_of(zoned) == [f"wrong-key.{ZONE}"]
    await tidied(zoned)
    assert servers.first.txt(f"_acme-challenge.wrong-key.{ZONE}") == set()


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        (f"a.{ZONE}", {"tsigKeyName": "unknown-key"}, "BADKEY"),
        ("a.nowhere.test", {}, "does not have the zone of"),
        (f"b.{ZONE}", {"tsigSecretSecretRef": {"name": "missing", "key": "secret"}}, "not found"),
        (f"c.{ZONE}", {"tsigSecretSecretRef": {"name": "tsig", "key": "text"}}, "not base64"),
        (f"d.{ZONE}", {"nameserver": "no-such-host.invalid"}, "does not resolve"),
    ],
    ids=["key", "zone", "secret", "base64", "server"],
)
async def test_what_is_wrong(
    zoned: World, zone_ca: Pebble, servers: Servers, name: str, fields: Json, said: str
) -> None:
    """What keeps a record from being written stands in the Challenge, and in the Certificate's request."""
    await zoned.create("Secret", "tsig", {"stringData": {"secret": servers.first.secret, "text": "no secret!"}})
    await asked(zoned, await issuer(zoned, zone_ca, rfc2136(servers.first, **fields)), name)
    await told(zoned, said)

    async def passed_on() -> bool:
        return any(said in str(one.get("status")) for one in await zoned.list("CertificateRequest"))

    await zoned.until("the reason is in the request", passed_on)


async def test_a_server_that_lags(zoned: World, zone_ca: Pebble, servers: Servers) -> None:
    """The CA is told only when every server of the zone gives the value; the one that lacks it is named."""
    await key(zoned, servers.first.secret)
    await asked(zoned, await issuer(zoned, zone_ca, rfc2136(servers.first)), f"*.late.{SLOW}")
    reason = await told(zoned, "does not have the value yet")
    assert f"ns2.{SLOW}" in reason
    assert "1 of 2" in reason
    (challenge,) = await zoned.list("Challenge")
    assert challenge["status"]["state"] == "pending"
    await asyncio.to_thread(servers.second.transfer)
    assert await names_of(zoned) == [f"*.late.{SLOW}"]


async def test_a_server_that_is_away(zoned: World, zone_ca: Pebble, servers: Servers) -> None:
    """A server of the zone that gives no answer is waited for, since a CA may ask it; it is named."""
    await key(zoned, servers.first.secret)
    servers.second.stop()
    try:
        await asked(zoned, await issuer(zoned, zone_ca, rfc2136(servers.first)), f"away.{SLOW}")
        assert f"ns2.{SLOW}" in await told(zoned, "gives no answer", "refuses connections")
    finally:
        servers.second.start()
    await asyncio.to_thread(servers.second.transfer)
    assert await names_of(zoned) == [f"away.{SLOW}"]


async def test_what_a_tenant_may_not_reach(zoned: World, servers: Servers) -> None:
    """An Issuer's name server and its zones' servers get no question on this machine: a tenant reaches public ones only."""
    registry = Registry(zoned.client, cluster_resource_namespace=zoned.namespace, clock=zoned.now)
    presenter = servers.presenter(zoned.client, registry, zoned.namespace, Reach())
    await key(zoned, servers.first.secret)
    for number, kind in enumerate(("ClusterIssuer", "Issuer")):
        name = f"tenant{number}.{ZONE}"
        issuer_ref = {"name": "own", "kind": kind}
        solver = {"dns01": rfc2136(servers.first, nameserver=f"localhost:{servers.first.port}")}
        raw = {"type": "DNS-01", "dnsName": name, "key": "x" * 43, "issuerRef": issuer_ref, "solver": solver}
        raw |= {"url": "https://ca.test/1", "authorizationURL": "https://ca.test/2", "token": "t" * 43}
        meta = {"name": f"challenge-{number}", "namespace": zoned.namespace}
        made = await zoned.client.create(CHALLENGES, {"metadata": meta, "spec": raw})
        challenge = msgspec.convert(made, Challenge)
        reason, found = await presenter.present(challenge), await presenter.check(challenge)
        assert f"ns1.{ZONE} has only addresses that are not asked (a loopback address)" in found.message
        if kind == "ClusterIssuer":
            assert reason is None
            assert servers.first.txt(f"_acme-challenge.{name}")
        else:
            assert reason is not None
            assert "a loopback address, which an Issuer may not reach" in reason.message
            assert not servers.first.txt(f"_acme-challenge.{name}")


class TestExternalDNS:
    @pytest.fixture(autouse=True)
    def crd(self, cluster: Cluster) -> None:
        """External-DNS' CRD, as far as it is used."""
        cluster.apply(ENDPOINT_CRD)
        cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd/dnsendpoints.externaldns.k8s.io")

    async def test_records_by_objects(self, zoned: World, zone_ca: Pebble, servers: Servers) -> None:
        """A DNSEndpoint is made for a name, waits for External-DNS to carry it out, and is gone afterwards."""
        await asked(zoned, await issuer(zoned, zone_ca, {"externalDNS": {}}), f"*.objects.{ZONE}")

        async def made() -> Json | None:
            found = await zoned.client.list(DNS_ENDPOINTS, zoned.namespace)
            return found[0] if found else None

        (endpoint,) = (await zoned.until("a DNSEndpoint", made))["spec"]["endpoints"]
        assert (endpoint["dnsName"], endpoint["recordType"]) == (f"_acme-challenge.objects.{ZONE}", "TXT")
        await told(zoned, "does not have the value yet")
        for target in endpoint["targets"]:  # as External-DNS does it
            servers.first.add(ZONE, endpoint["dnsName"], "TXT", target)
        assert await names_of(zoned) == [f"*.objects.{ZONE}"]
        await tidied(zoned)
        assert await zoned.client.list(DNS_ENDPOINTS, zoned.namespace) == []


async def test_as_installed(
    installed: Cluster, namespace: str, zone_ca: Pebble, servers: Servers, cluster: Cluster
) -> None:
    """The process with the rights that the manifests give it, and no more, gets a wildcard by DNS-01."""
    async with world(cluster, namespace) as zoned:
        await zoned.stop()
        await key(zoned, servers.first.secret)
        options = (
            "--controllers=issuers,certificates,certificaterequests,acmeissuers,orders,challenges",
            f"--cluster-resource-namespace={namespace}",
            "--leader-elect=false",
            f"--recursive-nameservers={servers.first.nameserver}",
            "--dns01-recursive-nameservers-only=true",
        )
        signer = SignerProcess(installed, *options, account=CONTROLLERS_ACCOUNT)
        await asyncio.to_thread(signer.start)
        try:
            await asked(zoned, await issuer(zoned, zone_ca, rfc2136(servers.first)), f"*.installed.{ZONE}")
            assert await names_of(zoned) == [f"*.installed.{ZONE}"]
            await tidied(zoned)
            assert servers.first.txt(f"_acme-challenge.installed.{ZONE}") == set()
        finally:
            await asyncio.to_thread(signer.stop)
