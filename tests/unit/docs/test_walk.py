"""The walks in docs/architecture.md are those that are really taken: in the usual case no file is met before its row.

Each is taken once, in memory, and what is called is noted. What a walk has beyond that (the watches, HTTP, how a CA's certificate
is made) is not.
"""

import asyncio
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any, cast

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from issuers.acme.account import generate_key, load_key
from issuers.acme.client.session import Downloaded
from issuers.acme.client.session import Session as RealSession
from issuers.acme.order import Authorization, AuthorizationStatus, ChallengeStatus, OrderStatus, Wish
from issuers.acme.order import Challenge as Offered
from issuers.acme.order import Order as Placed
from issuers.acme.targets import origin
from signer.api.certificate import CERTIFICATES, Certificate
from signer.api.certificaterequest import CERTIFICATE_REQUESTS, CertificateRequest
from signer.api.challenge import CHALLENGES, Challenge
from signer.api.configmap import CONFIG_MAPS
from signer.api.edgepolicy import EdgePolicy
from signer.api.gateway import GATEWAYS, Gateway
from signer.api.hostclaim import HostClaim
from signer.api.issuer import Issuer, IssuerRef
from signer.api.namespace import NAMESPACES, NamespaceObject
from signer.api.order import ORDERS, Order
from signer.api.pod import PODS
from signer.api.secret import Secret
from signer.authorities.registry import Registry
from signer.authorities.state import IssuerState
from signer.certificates.controller import CertificateController
from signer.certificates.issuer_controller import IssuerController
from signer.certificates.objects import Key, Objects
from signer.certificates.requests.controller import RequestController
from signer.certificates.requests.record import RequestRecord
from signer.certificates.requests.requester import Requesters
from signer.certificates.watched import Watched, watch_certificates
from signer.certificates.well_known import FAO_LABEL
from signer.edge.challenges.controller import SCHEDULE, ChallengeController
from signer.edge.challenges.presenter import ByType
from signer.edge.gateways.by_hand import ByHand
from signer.edge.gateways.certificates import EdgeCertificates
from signer.edge.gateways.controller import EdgeOptions, GatewayController
from signer.edge.gateways.look import Known, Telling
from signer.edge.gateways.secrets import GatewaySecrets
from signer.edge.gateways.served.controller import ServedProbes
from signer.edge.gateways.sources import GatewaySources
from signer.edge.hosts.claims import Claims
from signer.edge.hosts.permit import Permitting
from signer.edge.http01.presenter import GatewayPresenter
from signer.edge.issuers.accounts import Account, Accounts
from signer.edge.issuers.choice import Alternatives
from signer.edge.issuers.metrics import AcmeMetrics
from signer.edge.issuers.spec import AcmeIssuer
from signer.edge.issuers.term import Term
from signer.edge.orders.controller import OrderController
from signer.edge.orders.family import OrderFamily
from signer.edge.orders.gate import OrderGate
from signer.edge.orders.requests import OrderedRequests
from signer.edge.proxies.find import Proxies
from signer.kube.encoding.codec import JsonCodec
from signer.kube.queue import WorkQueue
from signer.kube.reflector import Change, Reflector
from signer.mesh.reports import Reports
from signer.mesh.roots import MeshRoots
from signer.mesh.watcher import MeshWatcher
from signer.observe.audit import AuditLog
from signer.observe.metrics import Metrics
from signer.tenancy.tally import Tally
from signer.tenancy.verdict import Limits
from signer.tenancy.world import Settings, without_wall
from tests import pki
from tests.fakes.recorder import FakeRecorder
from tests.fakes.virtual_time import virtual_time
from tests.unit.authorities.world import watching
from tests.unit.csr.controller.mesh_scene import OWNED
from tests.unit.csr.controller.scene import running
from tests.unit.csr.crafted import FOO, ready, request
from tests.unit.docs.memory import NOW, Memory
from tests.unit.tenancy import indexed
from tests.unit.tenancy.worlds import world

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
# Read beside their tables, and woken by each change of what they watch.
CONDUCTORS = {
    "signer/csr/controller.py",
    "signer/certificates/controller.py",
    "signer/certificates/requests/controller.py",
    "signer/edge/gateways/controller.py",
    "signer/edge/orders/controller.py",
    "signer/edge/challenges/controller.py",
}


def rows(title: str, end: str) -> list[str]:
    """The files of a walk in the order of its rows, up to this text."""
    walk = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    assert end in walk
    return re.findall(r"^\| .+ \| `([\w/]+\.py)` \| ", walk.partition(end)[0], re.MULTILINE)


@contextmanager
def met(*, by_function: bool = False) -> Iterator[list[str]]:
    """The files of the product whose code is run meanwhile, by the first call into each; or FILE:FUNCTION, by its first call."""
    found: dict[str, None] = {}

    def called(frame: FrameType, event: str, _: object) -> None:
        path = frame.f_code.co_filename
        if event == "call" and path.startswith((f"{ROOT}/signer/", f"{ROOT}/issuers/")):
            file = path.removeprefix(f"{ROOT}/")
            found.setdefault(f"{file}:{frame.f_code.co_qualname}" if by_function else file)

    listed: list[str] = []
    before = sys.getprofile()
    sys.setprofile(called)
    try:
        yield listed
    finally:
        sys.setprofile(before)
        listed += found


def compare(walk: list[str], files: list[str], *, at_least: int) -> None:
    """What was met and has a row was met in the order of the rows."""
    kept = [file for file in walk if file not in CONDUCTORS]
    assert [file for file in files if file in kept] == [file for file in kept if file in files]
    assert len(set(kept) & set(files)) >= at_least


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes to a thread is done here, where calls are noted."""

    async def call(work: Callable[..., Any], *args: Any, **more: Any) -> Any:
        return work(*args, **more)

    monkeypatch.setattr(asyncio, "to_thread", call)


def registry_of(api: Memory) -> Registry:
    """Issuers: one with a CA."""
    registry = Registry(api.client, cluster_resource_namespace="cert-manager")
    registry._states[FOO] = ready()
    return registry


def of_certificates(api: Memory, registry: Registry) -> tuple[Watched, CertificateController, RequestController]:
    """The controllers of Certificates and CertificateRequests, with what they watch."""
    queue = WorkQueue[Key]()
    watched = Watched(api.client, watch_certificates(api.client, lambda _: None), on_restart=lambda _: None)
    api.watch(watched.certificates, "certificates", Certificate)
    api.watch(watched.requests, "certificaterequests", CertificateRequest)
    api.watch(watched.secrets, "secrets", Secret, FAO_LABEL)
    objects, wall = Objects(api.client, FakeRecorder().typed), without_wall()
    certificates = CertificateController(watched, objects, queue, registry=registry, owner_ref=False, clock=lambda: NOW)
    requests = RequestController(
        watched,
        registry,
        objects,
        WorkQueue[Key](),
        auto_approve=True,
        limits=Limits(),
        clock=lambda: NOW,
        record=RequestRecord(Metrics(), AuditLog(None), Tally(), registry, wall, lambda: NOW),
        requesters=Requesters(api.client, lambda: NOW),
    )
    return watched, certificates, requests


@virtual_time
async def test_csr() -> None:
    """An honest request of a mesh meets the files in the order of their rows, and none of the hot path that has no row."""
    async with running(world=world(bindings=OWNED)) as scene:
        mesh, raw = scene.mesh, request().raw
        assert mesh is not None
        await asyncio.sleep(0.1)
        with met() as files:
            read = scene.intake.read(raw)
            assert read is not None
            scene.reflector.put(read)
            await scene.until(lambda: mesh.told_issued)
    walk = rows("The walk of a CSR", "**Side paths**")
    compare(walk, files, at_least=25)
    assert {file for file in files if file.startswith(("signer/csr/", "signer/tenancy/"))} - set(walk) == set()


@pytest.mark.usefixtures("at_once")
async def test_certificate() -> None:
    """A new Certificate of an issuer with a CA meets the files in the order of their rows, until it is Ready."""
    api, key = Memory(), ("shop", "leaf")
    watched, certificates, requests = of_certificates(api, registry_of(api))
    spec = {"secretName": "leaf", "dnsNames": ["shop.example"], "issuerRef": {"name": "foo", "kind": "ClusterIssuer"}}
    with met() as files:
        await api.create(CERTIFICATES, {"metadata": {"name": "leaf", "namespace": "shop"}, "spec": spec})
        for _ in range(3):
            api.deliver()
            await certificates.reconcile(key)
            api.deliver()
            for one in tuple(watched.requests.store):
                await requests.reconcile(one)
    conditions = api.objects["certificates", "shop", "leaf"]["status"]["conditions"]
    assert [(one["type"], one["status"]) for one in conditions] == [("Ready", "True")]
    compare(rows("The walk of a Certificate", "From then on"), files, at_least=25)


@pytest.mark.usefixtures("at_once")
async def test_gateway() -> None:
    """A new Gateway meets the files in the order of their rows, until its Secret and Certificate are there."""
    api = Memory()
    registry, queue = registry_of(api), WorkQueue[str]()
    claims = Claims(api.client, clock=lambda: NOW)
    api.watch(claims.hosts, "hostclaims", HostClaim)
    api.watch(claims.edge_policies, "edgepolicies", EdgePolicy)
    api.watch(claims.namespaces, "namespaces", NamespaceObject)
    shared = watch_certificates(api.client, lambda _: None)
    api.watch(shared, "certificates", Certificate)
    sources = GatewaySources(api.client, queue.add)
    certificates = EdgeCertificates(api.client, shared, queue.add)
    is_ca = registry.is_ca_secret
    secrets = GatewaySecrets(api.client, is_ca, claims.secrets, certificates.made, clock=lambda: NOW)
    proxies, telling = Proxies(api.client), Telling(FakeRecorder().typed, lambda _: None)
    known = Known(sources, claims, certificates, secrets, proxies)
    by_hand = ByHand(api.client, certificates, sources, proxies, is_ca_secret=is_ca, clock=lambda: NOW)
    probes = ServedProbes(
        api.client, known, telling, WorkQueue[tuple[str, str]](), clock=lambda: NOW, on_states=lambda _: None
    )
    controller = GatewayController(known, by_hand, telling, queue, EdgeOptions(), on_kept=probes.expect)
    await api.create(NAMESPACES, {"metadata": {"name": "shop"}})
    await api.create(PODS, {"metadata": {"name": "proxy", "namespace": "shop", "labels": {"istio": "ingressgateway"}}})
    api.deliver()
    server = {
        "port": {"number": 443, "protocol": "HTTPS", "name": "https"},
        "hosts": ["shop.example.com"],
        "tls": {"mode": "SIMPLE", "credentialName": "shop-tls"},
    }
    meta = {"name": "web", "namespace": "shop", "annotations": {"cert-manager.io/cluster-issuer": "letsencrypt"}}
    body = {"metadata": meta | {"uid": "1"}, "spec": {"selector": {"istio": "ingressgateway"}, "servers": [server]}}
    gateway = msgspec.convert(body, Gateway)
    with met() as files:
        sources._keeper("Gateways")(Change("added", ("shop", "web"), None, gateway))
        await controller.reconcile("shop")
    assert {plural for plural, *_ in api.objects} >= {"hostclaims", "secrets", "certificates"}
    compare(rows("The walk of a Gateway", "**Certificate → CertificateRequest**"), files, at_least=18)


@pytest.mark.usefixtures("at_once")
async def test_renewed_ca() -> None:
    """A CA's Certificate that is issued again keeps its key, and meets what is different for a CA in the order of the rows."""
    api, key = Memory(), ("cert-manager", "root")
    registry, ref = registry_of(api), IssuerRef("ClusterIssuer", "", "self")
    body = {"metadata": {"name": "self"}, "spec": {"selfSigned": {}}}
    registry._states[ref] = IssuerState(
        ref, msgspec.convert(body, Issuer), "selfSigned", ready=True, reason="IsReady", message=""
    )
    watched, certificates, requests = of_certificates(api, registry)
    spec = {"secretName": "root", "commonName": "root", "isCA": True, "issuerRef": {"name": "self", "kind": ref.kind}}
    await api.create(CERTIFICATES, {"metadata": {"name": "root", "namespace": "cert-manager"}, "spec": spec})

    async def issue() -> None:
        for _ in range(3):
            api.deliver()
            await certificates.reconcile(key)
            api.deliver()
            for one in tuple(watched.requests.store):
                await requests.reconcile(one)

    await issue()
    before = api.objects["secrets", *key]["data"]
    await api.patch(CERTIFICATES, "root", {"spec": {"subject": {"organizations": ["mesh"]}}}, "cert-manager")
    certificates._views.clear()  # as after a restart: each version of a Secret is read once
    with met(by_function=True) as called:
        await issue()
    after = api.objects["secrets", *key]["data"]
    assert after["tls.key"] == before["tls.key"]
    assert after["tls.crt"] != before["tls.crt"]
    walk = PAGE.partition("\n## The walk of a CA\n")[2].partition("**Secret → issuer → mesh**")[0]
    steps = re.findall(r"^\| .+ \| `([\w/]+\.py)` \| `([\w.]+)`", walk, re.MULTILINE)
    taken = [f"{file}:{name}" for file, name in steps]
    assert [one for one in called if one in taken] == taken
    asked, read = (
        f"signer/certificates/requests/{one}"
        for one in ("controller.py:RequestController._private_key", "steps.py:usable_key")
    )
    assert called.index(asked) < called.index(read)


@pytest.mark.usefixtures("at_once")
async def test_ca(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CA in a Secret meets the files in the order of their rows, until its root is in the mesh config."""
    api, recorder = Memory(), FakeRecorder().typed
    monkeypatch.setattr(MeshWatcher, "_judge_sources", lambda _: False)  # the mesh's other sources count as read
    async with watching(monkeypatch) as scene:
        registry = scene.registry
        before = pki.CA("root", now=scene.wall() - timedelta(days=30))  # renewed since, with its key
        text = indexed.mesh("foo", pem=before.pem.decode())["mesh"]
        body = {"metadata": {"name": "istio", "namespace": "istio-system"}, "data": {"mesh": text}}
        await api.create(CONFIG_MAPS, body)
        statuses = IssuerController(registry, Objects(api.client, recorder), clock=lambda: NOW, later=lambda *_: None)
        with met() as files:
            scene.put_issuer()
            await asyncio.sleep(0)
            scene.put_secret(pki.CA("root", now=scene.wall()).intermediate("foo"))
            scene.sync()
            await scene.settle()
            watcher = MeshWatcher(api.client, registry, Reports(recorder, lambda: True), Settings(mode="audit"))
            watcher.world.unsynced = ""
            watcher.index.config_maps.put("istio", {"mesh": text})
            await asyncio.sleep(0)
            await watcher._records._reconcile(FOO)
            await statuses.reconcile(FOO)
            await MeshRoots(api.client, registry, watcher, recorder)._keep("istio", text)
    state = registry.get(FOO)
    assert state is not None
    assert state.ready
    assert "signerrecords" in {plural for plural, *_ in api.objects}
    assert api.objects["configmaps", "istio-system", "istio"]["data"]["mesh"] != text
    first = rows("The walk of a CA", "**Secret → issuer → mesh**")
    compare([file for file in rows("The walk of a CA", "From then on") if file not in first], files, at_least=17)


class Session:
    """An ACME CA that takes an order, waits for its proof, and issues. `steps`: what it was asked, each by its method's name."""

    account_url = "https://ca.example/account/1"

    def __init__(self) -> None:
        self.steps: list[str] = []
        self._csr: x509.CertificateSigningRequest | None = None

    def _placed(self, step: str, wish: Wish, status: OrderStatus) -> Placed:
        self.steps.append(step)
        at, authorizations = "https://ca.example/order/1", ("https://ca.example/authz/1",)
        placed = Placed(at, status, wish.identifiers, authorizations, "https://ca.example/finalize/1")
        return replace(placed, certificate="https://ca.example/cert/1") if status is OrderStatus.VALID else placed

    async def new_order(self, wish: Wish) -> Placed:
        return self._placed("new_order", wish, OrderStatus.PENDING)

    async def order(self, _url: str, wish: Wish) -> Placed:
        return self._placed("order", wish, OrderStatus.READY if self._csr is None else OrderStatus.VALID)

    async def finalize(self, _placed: Placed, csr: x509.CertificateSigningRequest, wish: Wish) -> Placed:
        self._csr = csr
        return self._placed("finalize", wish, OrderStatus.VALID)

    async def chains(self, _url: str, *, all_of_them: bool) -> Downloaded:
        self.steps.append("chains")
        assert self._csr is not None
        assert not all_of_them
        root = pki.CA("acme", now=NOW)
        names = self._csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        builder = x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(root.name)
        builder = builder.public_key(self._csr.public_key()).serial_number(1).add_extension(names, critical=True)
        builder = builder.not_valid_before(NOW).not_valid_after(NOW + timedelta(days=90))
        return Downloaded((pki.cert_pem(builder.sign(root.private, hashes.SHA256())) + root.pem,))

    async def authorization(self, url: str, wish: Wish) -> Authorization:
        self.steps.append("authorization")
        offered = Offered("http-01", "https://ca.example/chall/1", "t" * 43, ChallengeStatus.PENDING)
        return Authorization(url, wish.identifiers[0], AuthorizationStatus.PENDING, (offered,))


async def no_answer(_host: str) -> tuple[str, ...]:
    """Resolve no name."""
    return ()


@pytest.mark.usefixtures("at_once")
async def test_order() -> None:
    """A CertificateRequest of an ACME issuer meets the files in the order of their rows, up to the first self check.

    Once its Challenge is valid, its CA is asked as the walk says, and the certificate comes back to it.
    """
    api, ref = Memory(), IssuerRef("ClusterIssuer", "", "letsencrypt")
    registry = registry_of(api)
    body = {"metadata": {"name": "letsencrypt"}, "kind": "ClusterIssuer", "spec": {"acme": {}}}
    registry._states[ref] = IssuerState(
        ref, msgspec.convert(body, Issuer), "acme", ready=True, reason="ACMEAccountRegistered", message=""
    )
    claims = Claims(api.client, clock=lambda: NOW)
    api.watch(claims.hosts, "hostclaims", HostClaim)
    api.watch(claims.edge_policies, "edgepolicies", EdgePolicy)
    api.watch(claims.namespaces, "namespaces", NamespaceObject)
    watched = Watched(api.client, watch_certificates(api.client, lambda _: None), on_restart=lambda _: None)
    api.watch(watched.requests, "certificaterequests", CertificateRequest)
    orders = Reflector(api.client, ORDERS, JsonCodec(Order))
    challenges = Reflector(api.client, CHALLENGES, JsonCodec(Challenge))
    api.watch(orders, "orders", Order)
    api.watch(challenges, "challenges", Challenge)
    accounts, metrics, recorder = Accounts(clock=lambda: NOW), Metrics(), FakeRecorder().typed
    solver = {"http01": {"ingress": {"class": "istio"}}}
    issuer = AcmeIssuer(origin("https://ca.example/dir"), "https://ca.example/dir", "", "", "", solvers=(solver,))
    session = Session()
    accounts.put(ref, Account(issuer, load_key(generate_key()), cast("RealSession", session), b""))
    term = Term(api.client, recorder, accounts, AcmeMetrics(metrics), lambda: NOW)
    permit = Permitting(api.client, lambda: claims, ()).permit
    ordering = OrderedRequests(api.client, lambda: accounts, permit=permit, clock=lambda: NOW)
    gate = OrderGate(accounts, lambda: claims, clock=lambda: NOW)
    family = OrderFamily(api.client, challenges, lambda _: Alternatives(), lambda _: None)
    ordered = OrderController(term, orders, family, gate, WorkQueue[Key](), permit=permit)
    presenter = ByType({"HTTP-01": GatewayPresenter(api.client, resolve=no_answer)})
    proving = ChallengeController(term, family, orders, challenges, presenter, WorkQueue[Key]())
    ordering.follow(orders, challenges, gate)
    requests = RequestController(
        watched,
        registry,
        Objects(api.client, recorder),
        WorkQueue[Key](),
        auto_approve=True,
        limits=Limits(),
        ordering=ordering,
        clock=lambda: NOW,
        record=RequestRecord(metrics, AuditLog(None), Tally(), registry, without_wall(), lambda: NOW),
        requesters=Requesters(api.client, lambda: NOW),
    )
    await api.create(NAMESPACES, {"metadata": {"name": "shop"}})
    labels = {"istio": "ingressgateway"}
    running = {"phase": "Running", "podIP": "127.0.0.1"}
    await api.create(PODS, {"metadata": {"name": "proxy", "namespace": "shop", "labels": labels}, "status": running})
    server = {"port": {"number": 80, "protocol": "HTTP", "name": "http"}, "hosts": ["shop.example.com"]}
    spec: dict[str, Any] = {"selector": labels, "servers": [server]}
    await api.create(GATEWAYS, {"metadata": {"name": "web", "namespace": "shop"}, "spec": spec})
    api.deliver()
    names = x509.SubjectAlternativeName([x509.DNSName("shop.example.com")])
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).add_extension(names, critical=True)
    csr = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    spec = {"request": csr, "issuerRef": {"name": "letsencrypt", "kind": "ClusterIssuer"}}
    with met() as files:
        await api.create(CERTIFICATE_REQUESTS, {"metadata": {"name": "web-1", "namespace": "shop"}, "spec": spec})
        for _ in range(3):
            api.deliver()
            for one in tuple(watched.requests.store):
                await requests.reconcile(one)
            api.deliver()
            for one in tuple(orders.store):
                await ordered.reconcile(one)
            api.deliver()
            if challenges.store:
                await proving.reconcile(SCHEDULE)
            api.deliver()
            for one in tuple(challenges.store):
                await proving.reconcile(one)
    (found,) = challenges.store.values()
    assert found.status.presented
    assert found.status.reason
    order = rows("The walk of a Gateway", "| DNS-01: put there")
    first = set(rows("The walk of a Gateway", "**Certificate → CertificateRequest**"))
    compare([file for file in order if file not in first], files, at_least=35)
    session.steps.clear()
    with met() as after:
        proven = {"status": {"state": "valid"}}
        await api.patch(CHALLENGES, found.metadata.name, proven, found.metadata.namespace)
        api.deliver()
        for one in tuple(orders.store):
            await ordered.reconcile(one)
        api.deliver()
        for one in tuple(watched.requests.store):
            await requests.reconcile(one)
    assert api.objects["certificaterequests", "shop", "web-1"]["status"]["certificate"]
    last = rows("The walk of a Gateway", "| which hosts the gateway should serve")
    compare([file for file in last if file not in {*order, *first}], after, at_least=2)
    # As the row of the session and the sentence before the last table say, and each has its place in the conductor's row.
    assert session.steps == ["order", "finalize", "order", "chains"]
    assert re.search(r"after them `order`, `finalize`, `order` again, and `chains`", PAGE)
    done = [f"`OrderController.{name}`" for name in ("_place", "_read_proofs", "_read", "_finalize", "_fetch")]
    assert ", ".join(done) in PAGE
