"""DNS-01 against BIND, Pebble and the real API server: Pebble looks names up in BIND, and in nothing else."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography import x509

from issuers.acme.targets import AddressRule
from signer.api.challenge import CHALLENGES, Challenge
from signer.authorities.registry import Registry
from signer.edge.dns01 import DNS_ENDPOINTS
from signer.edge.dns_presenter import NOTE, DnsPresenter, Reach
from signer.edge.dns_queries import Questions
from signer.kube.client import ApiClient
from signer.kube.errors import NotFound
from tests.integration.edge.conftest import spec
from tests.integration.external_dns import ENDPOINT_CRD
from tests.integration.slow_controllers import Json, World, chain, world
from tests.localmesh import Cluster
from tests.localmesh.bind import KEY_NAME, Bind
from tests.localmesh.debian import NotHere, find_packaged
from tests.localmesh.pebble import Pebble
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, SignerProcess

pytestmark = pytest.mark.integration

ZONE, OTHER, SLOW = "example.test", "acme.test", "slow.test"
ONE_SERVER = ("@ NS ns1", "ns1 A 127.0.0.1")
TWO_SERVERS = ("@ NS ns1", "@ NS ns2", "ns1 A 127.0.0.1", "ns2 A 127.0.0.1")
HERE = Reach(*[AddressRule(allowed=(ip_network("127.0.0.1/32"),))] * 2)


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

    def presenter(self, client: ApiClient, registry: Registry, namespace: str, reach: Reach = HERE) -> DnsPresenter:
        """As the process makes it, but that the zones' servers are not at port 53."""
        ports = {f"ns1.{zone}": self.first.port for zone in (ZONE, OTHER, SLOW)} | {f"ns2.{SLOW}": self.second.port}
        questions = Questions(self.recursive, ports)
        return DnsPresenter(client, registry, questions, cluster_resource_namespace=namespace, reach=reach)


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
def ca(servers: Servers, tmp_path: Path) -> Iterator[Pebble]:
    """A CA that looks names up in BIND."""
    started = Pebble(tmp_path, servers)
    started.start()
    yield started
    started.stop()


@pytest.fixture
async def here(cluster: Cluster, namespace: str, servers: Servers) -> AsyncIterator[World]:
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


async def test_wildcard_and_apex(here: World, ca: Pebble, servers: Servers) -> None:
    """A wildcard and its apex get one certificate; both values of the one name go again, and a third one stays."""
    record = f"_acme-challenge.both.{ZONE}"
    servers.first.add(ZONE, record, "TXT", '"somebody-elses"')
    await key(here, servers.first.secret)
    await asked(here, await issuer(here, ca, rfc2136(servers.first)), f"both.{ZONE}", f"*.both.{ZONE}")
    assert await names_of(here) == [f"*.both.{ZONE}", f"both.{ZONE}"]
    await tidied(here)
    assert servers.first.txt(record) == {"somebody-elses"}
    assert ca.orders() == 1


async def test_a_delegated_name(here: World, ca: Pebble, servers: Servers) -> None:
    """With cnameStrategy Follow the record is written where the CNAME leads, into another zone, and nowhere else."""
    target = f"shop.{OTHER}"
    servers.first.add(ZONE, f"_acme-challenge.delegated.{ZONE}", "CNAME", f"{target}.")
    await key(here, servers.first.secret)
    dns01 = {"cnameStrategy": "Follow", **rfc2136(servers.first, protocol="TCP")}
    await asked(here, await issuer(here, ca, dns01), f"*.delegated.{ZONE}")
    assert await names_of(here) == [f"*.delegated.{ZONE}"]
    assert any(f"adding an RR at '{target}'" in line for line in servers.first.log.read_text().splitlines())
    await tidied(here)
    assert servers.first.txt(target) == set()


async def test_an_alias_that_is_not_followed(here: World, ca: Pebble, servers: Servers) -> None:
    """An alias keeps a record from being seen: that is told, with what to change, and waited for."""
    record = f"_acme-challenge.aliased.{ZONE}"
    servers.first.add(ZONE, record, "CNAME", f"elsewhere.{OTHER}.")
    await key(here, servers.first.secret)
    await asked(here, await issuer(here, ca, rfc2136(servers.first)), f"aliased.{ZONE}")
    assert "cnameStrategy: Follow" in await told(here, "alias")
    servers.first.remove(ZONE, record, "CNAME")
    assert await names_of(here) == [f"aliased.{ZONE}"]


async def test_a_delegation_to_somebodys_host(here: World, ca: Pebble, servers: Servers) -> None:
    """Nobody makes a host lose the addresses that a wildcard gives it by leading a record to it."""
    servers.first.add(OTHER, f"*.wild.{OTHER}", "A", "192.0.2.1")
    servers.first.add(ZONE, f"_acme-challenge.evil.{ZONE}", "CNAME", f"victim.wild.{OTHER}.")
    await key(here, servers.first.secret)
    dns01 = {"cnameStrategy": "Follow", **rfc2136(servers.first)}
    await asked(here, await issuer(here, ca, dns01), f"evil.{ZONE}")
    assert "could hide them" in await told(here, "has addresses")
    assert servers.first.txt(f"victim.wild.{OTHER}") == set()


async def test_a_wrong_key(here: World, ca: Pebble, servers: Servers) -> None:
    """A TSIG secret that the name server does not take is told, without it, and the challenge goes on once it is mended."""
    wrong = base64.b64encode(b"x" * 32).decode()
    await key(here, wrong)
    await asked(here, await issuer(here, ca, rfc2136(servers.first)), f"wrong-key.{ZONE}")
    reason = await told(here, "BADSIG")
    assert KEY_NAME in reason
    assert wrong not in reason
    await here.edit("Secret", "tsig", {"stringData": {"secret": servers.first.secret + "\n"}})
    assert await names_of(here) == [f"wrong-key.{ZONE}"]
    await tidied(here)
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
async def test_what_is_wrong(here: World, ca: Pebble, servers: Servers, name: str, fields: Json, said: str) -> None:
    """What keeps a record from being written stands in the Challenge, and in the Certificate's request."""
    await here.create("Secret", "tsig", {"stringData": {"secret": servers.first.secret, "text": "no secret!"}})
    await asked(here, await issuer(here, ca, rfc2136(servers.first, **fields)), name)
    await told(here, said)

    async def passed_on() -> bool:
        return any(said in str(one.get("status")) for one in await here.list("CertificateRequest"))

    await here.until("the reason is in the request", passed_on)


async def test_a_server_that_lags(here: World, ca: Pebble, servers: Servers) -> None:
    """The CA is told only when every server of the zone gives the value; the one that lacks it is named."""
    await key(here, servers.first.secret)
    await asked(here, await issuer(here, ca, rfc2136(servers.first)), f"*.late.{SLOW}")
    reason = await told(here, "does not have the value yet")
    assert f"ns2.{SLOW}" in reason
    assert "1 of 2" in reason
    (challenge,) = await here.list("Challenge")
    assert challenge["status"]["state"] == "pending"
    await asyncio.to_thread(servers.second.transfer)
    assert await names_of(here) == [f"*.late.{SLOW}"]


async def test_a_server_that_is_away(here: World, ca: Pebble, servers: Servers) -> None:
    """A server of the zone that gives no answer is waited for, since a CA may ask it; it is named."""
    await key(here, servers.first.secret)
    servers.second.stop()
    try:
        await asked(here, await issuer(here, ca, rfc2136(servers.first)), f"away.{SLOW}")
        assert f"ns2.{SLOW}" in await told(here, "gives no answer", "refuses connections")
    finally:
        servers.second.start()
    await asyncio.to_thread(servers.second.transfer)
    assert await names_of(here) == [f"away.{SLOW}"]


async def test_a_restart_takes_away_what_was_written(here: World, ca: Pebble, servers: Servers) -> None:
    """A process that ends after it wrote a record is followed by one that takes it away when the Certificate goes."""
    record = f"_acme-challenge.killed.{SLOW}"
    await key(here, servers.first.secret)
    await asked(here, await issuer(here, ca, rfc2136(servers.first)), f"killed.{SLOW}")
    await told(here, "does not have the value yet")
    await here.stop()
    assert len(servers.first.txt(record)) == 1
    await given_up(here)
    await here.start()
    await tidied(here)
    assert servers.first.txt(record) == set()


async def test_a_server_that_is_away_at_the_end(here: World, ca: Pebble, servers: Servers) -> None:
    """What cannot be taken away now is told by an Event, keeps the Challenge, and goes when the server is back."""
    record = f"_acme-challenge.stays.{SLOW}"
    await key(here, servers.first.secret)
    await asked(here, await issuer(here, ca, rfc2136(servers.first)), f"stays.{SLOW}")
    await told(here, "does not have the value yet")
    (challenge,) = await here.list("Challenge")
    name = challenge["metadata"]["name"]
    servers.first.stop()
    try:
        await given_up(here)

        async def tried() -> bool:
            return "UpdateFailed" in await here.events(name)

        await here.until("an Event", tried)
        assert await here.get("Challenge", name)
    finally:
        servers.first.start()
    assert len(servers.first.txt(record)) == 1
    await tidied(here)
    assert servers.first.txt(record) == set()


async def test_an_issuer_that_is_gone(here: World, ca: Pebble, servers: Servers) -> None:
    """Without its issuer nobody can take a record away: the Challenge goes all the same, and the record is told."""
    record = f"_acme-challenge.orphan.{SLOW}"
    await key(here, servers.first.secret)
    issuer_name = await issuer(here, ca, rfc2136(servers.first))
    await asked(here, issuer_name, f"orphan.{SLOW}")
    await told(here, "does not have the value yet")
    (challenge,) = await here.list("Challenge")
    await here.delete("ClusterIssuer", issuer_name)
    await given_up(here)
    await tidied(here)

    async def event() -> bool:
        return "LeftBehind" in await here.events(challenge["metadata"]["name"])

    await here.until("an Event", event)
    assert len(servers.first.txt(record)) == 1
    servers.first.remove(SLOW, record, "TXT")


async def test_a_forged_challenge_changes_nothing(here: World, ca: Pebble, servers: Servers) -> None:
    """A Challenge that somebody wrote does not take another's value away, though it names issuer, solver and name."""
    record = f"_acme-challenge.forged.{SLOW}"
    await key(here, servers.first.secret)
    await asked(here, await issuer(here, ca, rfc2136(servers.first)), f"forged.{SLOW}")
    await told(here, "does not have the value yet")
    (real,) = await here.list("Challenge")
    meta = {
        "name": "forged",
        "namespace": here.namespace,
        "annotations": {NOTE: real["metadata"]["annotations"][NOTE]},
        "finalizers": real["metadata"]["finalizers"],
    }
    await here.client.create(CHALLENGES, {"metadata": meta, "spec": real["spec"]})
    status = {"status": {"presented": True, "processing": True, "state": "valid"}}
    await here.edit("Challenge", "forged", status, "status")
    await here.delete("Challenge", "forged")

    async def gone() -> bool:
        return await here.get("Challenge", "forged") is None

    await here.until("the forged Challenge is gone", gone)
    assert len(servers.first.txt(record)) == 1


async def test_what_a_tenant_may_not_reach(here: World, servers: Servers) -> None:
    """An Issuer's name server and its zones' servers get no question on this machine: a tenant reaches public ones only."""
    registry = Registry(here.client, cluster_resource_namespace=here.namespace)
    presenter = servers.presenter(here.client, registry, here.namespace, Reach())
    await key(here, servers.first.secret)
    for number, kind in enumerate(("ClusterIssuer", "Issuer")):
        name = f"tenant{number}.{ZONE}"
        issuer_ref = {"name": "own", "kind": kind}
        solver = {"dns01": rfc2136(servers.first, nameserver=f"localhost:{servers.first.port}")}
        raw = {"type": "DNS-01", "dnsName": name, "key": "x" * 43, "issuerRef": issuer_ref, "solver": solver}
        raw |= {"url": "https://ca.test/1", "authorizationURL": "https://ca.test/2", "token": "t" * 43}
        meta = {"name": f"challenge-{number}", "namespace": here.namespace}
        made = await here.client.create(CHALLENGES, {"metadata": meta, "spec": raw})
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

    async def test_records_by_objects(self, here: World, ca: Pebble, servers: Servers) -> None:
        """A DNSEndpoint is made for a name, waits for External-DNS to carry it out, and is gone afterwards."""
        await asked(here, await issuer(here, ca, {"externalDNS": {}}), f"*.objects.{ZONE}")

        async def made() -> Json | None:
            found = await here.client.list(DNS_ENDPOINTS, here.namespace)
            return found[0] if found else None

        (endpoint,) = (await here.until("a DNSEndpoint", made))["spec"]["endpoints"]
        assert (endpoint["dnsName"], endpoint["recordType"]) == (f"_acme-challenge.objects.{ZONE}", "TXT")
        await told(here, "does not have the value yet")
        for target in endpoint["targets"]:  # as External-DNS does it
            servers.first.add(ZONE, endpoint["dnsName"], "TXT", target)
        assert await names_of(here) == [f"*.objects.{ZONE}"]
        await tidied(here)
        assert await here.client.list(DNS_ENDPOINTS, here.namespace) == []


async def test_as_installed(installed: Cluster, namespace: str, ca: Pebble, servers: Servers, cluster: Cluster) -> None:
    """The process with the rights that the manifests give it, and no more, gets a wildcard by DNS-01."""
    async with world(cluster, namespace) as here:
        await here.stop()
        await key(here, servers.first.secret)
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
            await asked(here, await issuer(here, ca, rfc2136(servers.first)), f"*.installed.{ZONE}")
            assert await names_of(here) == [f"*.installed.{ZONE}"]
            await tidied(here)
            assert servers.first.txt(f"_acme-challenge.installed.{ZONE}") == set()
        finally:
            await asyncio.to_thread(signer.stop)
