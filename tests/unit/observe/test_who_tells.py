"""Whoever tells somebody something by an Event: what finds no room at first is told later, once; nobody takes it for told.

The table has each part of the program that tells; a part that is not in it makes a test fail.
"""

import ast
import asyncio
import functools
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

import issuers
import signer
from signer.api.certificatesigningrequest import CertificateSigningRequest
from signer.api.event import named
from signer.api.injectable import VALIDATING_WEBHOOKS
from signer.api.issuer import CLUSTER_ISSUERS, IssuerRef
from signer.api.meta import ObjectMeta, to_rfc3339
from signer.api.tenantbridge import TenantBridge
from signer.bridges.controller import BridgeController
from signer.certificates.filling import Filling
from signer.certificates.objects import Objects
from signer.certificates.secrets.keystores import NoKeystore
from signer.csr.queue.backlog import Pending
from signer.csr.queue.flow import NO_FLOW
from signer.csr.record import Around, Record
from signer.edge.challenges.writer import ChallengeWriter
from signer.edge.gateways.look import Look, Telling
from signer.edge.gateways.wish import Source
from signer.edge.hosts.decide import Asker
from signer.edge.orders.writer import OrderWriter
from signer.injector.asked import Defect
from signer.injector.told import Told
from signer.kube.client import ApiClient
from signer.kube.errors import ApiError
from signer.kube.reflector import Change
from signer.kube.superseded import Superseded
from signer.mesh.policies.statuses import PolicyStatuses
from signer.mesh.reports import Reports
from signer.mesh.roots import MeshRoots
from signer.observe.audit import AuditLog
from signer.observe.metrics import Metrics
from signer.observe.notices import TRY_AGAIN, Notice, Notices
from signer.observe.write_errors import WriteErrors
from signer.pods.bundles.controller import TAKEN, TrustBundles
from signer.tenancy.verdict import Reason
from signer.tenancy.world import World
from tests.fakes.recorder import FakeRecorder
from tests.fakes.virtual_time import virtual_time
from tests.unit.certificates import samples
from tests.unit.certificates.test_issuer_status import THEIRS, Rival
from tests.unit.edge.issuance import challenge, order, pending
from tests.unit.edge.orders import test_renewals as renewals
from tests.unit.mesh.policies.test_missing import policy
from tests.unit.tenancy.worlds import world

# Says something; called again it says the same, if it is what stands. The second one says that it is so no more.
Say = Callable[[], Awaitable[object]]
Teller = Callable[[FakeRecorder], tuple[Say, Say | None]]
NOBODY = cast("ApiClient", None)
ISSUER = IssuerRef("ClusterIssuer", "", "root")


def calling(function: Callable[[], object]) -> Say:
    async def call() -> object:
        return function()

    return call


def reports(recorder: FakeRecorder) -> tuple[Say, Say | None]:
    told = Reports(recorder.typed, lambda: True)
    about = named(CLUSTER_ISSUERS, "", "root", "u")
    return calling(lambda: told.problems(about, ["bad"])), calling(lambda: told.problems(about, []))


def mesh_roots(recorder: FakeRecorder) -> tuple[Say, Say | None]:
    """A mesh config that nobody can edit, and then one that needs no edit."""
    texts = {"istio": "caCertificates: {{"}

    async def get(*_: object) -> dict[str, Any]:
        return {
            "metadata": {"name": "istio", "namespace": "istio-system", "uid": "u"},
            "data": {"mesh": texts["istio"]},
        }

    world = World()
    mesh = SimpleNamespace(world=world, subscribe=lambda _: None, synced=asyncio.Event(), mesh_configs=lambda: texts)
    client, registry = SimpleNamespace(get=get), SimpleNamespace(states=tuple)
    made = MeshRoots(cast("Any", client), cast("Any", registry), cast("Any", mesh), recorder.typed)
    world.unsynced = ""
    mesh.synced.set()

    async def look() -> None:
        running = asyncio.create_task(made.run())
        await asyncio.sleep(5)
        running.cancel()
        await asyncio.wait([running])

    async def mend() -> None:
        texts["istio"] = "{}"
        await look()

    return look, mend


def missing_namespaces(recorder: FakeRecorder) -> tuple[Say, Say | None]:
    """A SignerPolicy names a namespace that does not exist; then it does."""
    policies = {"p": policy("p", "later")}
    mesh: Any = SimpleNamespace(policies=policies, world=world(), subscribe=lambda _: None)
    made = PolicyStatuses(NOBODY, cast("Any", None), mesh, cast("Any", None), recorder.typed)

    def mend() -> None:
        mesh.world.namespaces["later"] = mesh.world.namespaces["foo"]
        made._tell_of_missing()

    return calling(made._tell_of_missing), calling(mend)


def contested(recorder: FakeRecorder) -> tuple[Say, Say | None]:
    """Somebody undoes each write of an issuer's status; then its CA is another one."""
    rival = Rival(undoes=True, recorder=recorder)

    async def look() -> None:
        for _ in range(30):
            rival.see([THEIRS])
            await rival.controller.reconcile(rival.state.ref)
            rival.now += timedelta(seconds=1)

    async def mend() -> None:
        rival.state = replace(rival.state, message="Another CA")
        await rival.controller.reconcile(rival.state.ref)

    return look, mend


def keystores(recorder: FakeRecorder) -> tuple[Say, Say | None]:
    filling = Filling(cast("Any", None), Objects(NOBODY, recorder.typed))
    certificate = samples.certificate()
    return calling(lambda: filling.tell(certificate, NoKeystore("no password"))), calling(
        lambda: filling.tell(certificate, None)
    )


def of_certificates(recorder: FakeRecorder) -> tuple[Say, Say | None]:
    objects = Objects(NOBODY, recorder.typed)
    return calling(lambda: objects.emitter(CLUSTER_ISSUERS, samples.certificate())("Warning", "Bad", "bad")), None


def gateways(recorder: FakeRecorder) -> tuple[Say, Say | None]:
    telling = Telling(recorder.typed, lambda _: None)
    source, asker = Source("Gateway", "shop", "web", "u"), Asker("shop", "u", {})

    def look(*, bad: bool) -> None:
        one = Look(asker)
        if bad:
            one.tell((source,), Reason("HostNotGranted", "no"))
        telling.take("shop", one)

    return calling(lambda: look(bad=True)), calling(lambda: look(bad=False))


def gateways_events(recorder: FakeRecorder) -> tuple[Say, Say | None]:
    telling = Telling(recorder.typed, lambda _: None)
    source = Source("Gateway", "shop", "web", "u")
    return calling(lambda: telling.event((source,), "Normal", Reason("CreateCertificate", "made"))), None


def injector(recorder: FakeRecorder) -> tuple[Say, Say | None]:
    told, key = Told(recorder.typed, Metrics()), (VALIDATING_WEBHOOKS.plural, "hook")
    meta = ObjectMeta(name="hook", uid="u")
    defect = Defect("Waiting", "no answer yet")
    return calling(lambda: told.defect(key, VALIDATING_WEBHOOKS, meta, defect)), calling(lambda: told.forget(key))


def nearly_expired(recorder: FakeRecorder) -> tuple[Say, Say | None]:
    pem = renewals.leaf(89 * renewals.DAY, 90 * renewals.DAY)
    world = renewals.World(pem, None, lastFailureTime=to_rfc3339(renewals.NOW), failedIssuanceAttempts=1)
    world.controller._notices = Notices(recorder.typed)

    async def look() -> None:
        await world.controller.reconcile(renewals.KEY)

    return look, calling(lambda: world.controller._changed(Change("deleted", renewals.KEY, None, None)))


def orders(recorder: FakeRecorder) -> tuple[Say, Say | None]:
    writer = OrderWriter(NOBODY, recorder.typed)
    return calling(lambda: writer.emit(order(pending()), "Warning", "Failed", "no")), None


def challenges(recorder: FakeRecorder) -> tuple[Say, Say | None]:
    writer = ChallengeWriter(NOBODY, recorder.typed, Superseded())
    return calling(lambda: writer.emit(challenge("c"), "Warning", "LeftBehind", "no")), None


def record(recorder: FakeRecorder) -> Record:
    issuer = SimpleNamespace(issuer=SimpleNamespace(metadata=SimpleNamespace(uid="u")))
    around = Around(lambda _: cast("Any", issuer), World, lambda: 0.0, lambda: datetime(2026, 1, 1, tzinfo=UTC))
    return Record(recorder.typed, Metrics(), AuditLog(None), around)


CSR = cast(
    "CertificateSigningRequest",
    SimpleNamespace(
        name="r",
        uid="u",
        resource_version="1",
        signer_name="clusterissuers.cert-manager.io/root",
        asked=SimpleNamespace(username="somebody"),
    ),
)


def refused_writes(recorder: FakeRecorder) -> tuple[Say, Say | None]:
    made = WriteErrors(recorder.typed, clock=lambda: 0.0)
    about = named(CLUSTER_ISSUERS, "", "root", "u")
    return calling(lambda: made.refused(about, ApiError(403, "Forbidden", "no"))), None


def requests(recorder: FakeRecorder) -> tuple[Say, Say | None]:
    made, one = record(recorder), Pending(CSR, ISSUER, 0.0, NO_FLOW)
    return calling(lambda: made.waits(one, "Bad", "bad")), None


def bridges(recorder: FakeRecorder) -> tuple[Say, Say | None]:
    """A TenantBridge that no policy allows; then it stands, as it did before."""
    parts: Any = SimpleNamespace(
        client=None, registry=None, mesh=None, watched=None, notices=Notices(recorder.typed), record=None, clock=None
    )
    made = BridgeController(parts, cast("Any", None))
    meta = ObjectMeta(name="gateway", namespace="foo", uid="u")
    bridge = TenantBridge(metadata=meta, raw_status={"conditions": [{"type": "Ready", "status": "True"}]})
    reason = Reason("NotAllowed", "no TenantBridgePolicy lets it")
    return calling(lambda: made._tell(bridge, reason)), calling(lambda: made._say(bridge, None))


def trust_bundles(recorder: FakeRecorder) -> tuple[Say, Say | None]:
    """A bundle of somebody else's under our name; then there is none."""
    nobody: Any = SimpleNamespace(subscribe=lambda _: None)
    made = TrustBundles(NOBODY, nobody, nobody, recorder.typed, tuple)
    about = named(CLUSTER_ISSUERS, "", "root", "u")
    notice = Notice("Warning", TAKEN, "it is somebody else's")
    return calling(lambda: made._say(about, notice)), calling(lambda: made._notices.say(about, []))


def unapproved(recorder: FakeRecorder) -> tuple[Say, Say | None]:
    made = record(recorder)
    return calling(lambda: made.waits_for_approval(CSR)), calling(lambda: made.waits_no_more(CSR))


def misspelt(recorder: FakeRecorder) -> tuple[Say, Say | None]:
    made = record(recorder)
    return calling(lambda: made.misspelt(CSR, "is clusterissuers meant?")), None


def foreign(recorder: FakeRecorder) -> tuple[Say, Say | None]:
    made = record(recorder)
    return calling(lambda: made.foreign(CSR, ISSUER, told=True)), None


TELLERS: dict[str, tuple[str, Teller]] = {
    "objects of the mesh that cannot be read": ("signer/mesh/reports.py", reports),
    "roots that are not written": ("signer/mesh/roots.py", mesh_roots),
    "namespaces that a SignerPolicy names in vain": ("signer/mesh/policies/statuses.py", missing_namespaces),
    "an issuer's status that another writes": ("signer/certificates/issuer_controller.py", contested),
    "keystores without a password": ("signer/certificates/filling.py", keystores),
    "what the controllers of Certificates do": ("signer/certificates/objects.py", of_certificates),
    "Gateways that do not get what they want": ("signer/edge/gateways/look.py", gateways),
    "what is done for Gateways": ("signer/edge/gateways/look.py", gateways_events),
    "what cannot be injected": ("signer/injector/told.py", injector),
    "a certificate that has nearly expired": ("signer/edge/orders/renewals.py", nearly_expired),
    "what becomes of Orders": ("signer/edge/orders/writer.py", orders),
    "what becomes of Challenges": ("signer/edge/challenges/writer.py", challenges),
    "writes that are refused": ("signer/observe/write_errors.py", refused_writes),
    "requests that wait": ("signer/csr/record.py", requests),
    "bridges that do not stand": ("signer/bridges/run.py", bridges),
    "roots for Pods that are not published": ("signer/pods/bundles/controller.py", trust_bundles),
    "requests that nobody approves": ("signer/csr/record.py", unapproved),
    "requests for nearly our signers": ("signer/csr/record.py", misspelt),
    "another's certificates": ("signer/csr/record.py", foreign),
}
STANDING = [name for name, (_, teller) in TELLERS.items() if teller in {
    reports, mesh_roots, missing_namespaces, contested, keystores, gateways, injector, nearly_expired, unapproved, bridges, trust_bundles
}]  # fmt: skip
# Events that only repeat what is stored: they may be dropped.
REPEATS = {
    "signer/csr/record.py": "the request itself shows its certificate",
    "signer/injector/told.py": "the object shows its caBundle",
    "signer/edge/issuers/status.py": "the issuer's condition Ready",
    "signer/edge/run.py": "the object itself is still there, and the log says so",
    "signer/edge/orders/renewals.py": "the Certificate's condition Issuing",
}


@pytest.mark.parametrize("name", TELLERS)
@virtual_time
async def test_no_room_at_first(name: str) -> None:
    """Without room nothing is told; as soon as there is room it is, without anybody's doing, and once."""
    recorder = FakeRecorder(room=0)
    _, teller = TELLERS[name]
    say, _ = teller(recorder)
    await say()
    assert recorder.refused
    assert not recorder.taken
    recorder.room = None
    await asyncio.sleep(2 * TRY_AGAIN)
    assert len(recorder.taken) == 1
    if name in STANDING:
        await say()
    await asyncio.sleep(2 * TRY_AGAIN)
    assert len(recorder.taken) == 1
    assert not recorder.lost


@pytest.mark.parametrize("name", STANDING)
@virtual_time
async def test_mended_before_there_is_room(name: str) -> None:
    """What is no longer so when there is room is not told; when it is so again, it is."""
    recorder = FakeRecorder(room=0)
    say, mend = TELLERS[name][1](recorder)
    await say()
    assert recorder.refused
    assert mend is not None
    await mend()
    recorder.room = None
    await asyncio.sleep(2 * TRY_AGAIN)
    assert not recorder.taken


@functools.cache
def sources() -> list[tuple[str, ast.Module]]:
    found = []
    for package in (signer, issuers):
        root = Path(str(package.__file__)).parent
        found += [(str(file.relative_to(root.parent)), ast.parse(file.read_text())) for file in root.rglob("*.py")]
    return found


def named_so(node: ast.AST, attribute: str) -> bool:
    """Whether it is `recorder.<attribute>` or `self._recorder.<attribute>`."""
    if not isinstance(node, ast.Attribute) or node.attr != attribute:
        return False
    of = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
    return of.endswith("recorder")


def users(attribute: str) -> set[str]:
    return {path for path, tree in sources() if any(named_so(node, attribute) for node in ast.walk(tree))}


@pytest.mark.heavy
def test_nobody_else_offers() -> None:
    """Whether there was room is asked by those alone who try again."""
    assert users("offer") == {"signer/observe/notices.py"}


@pytest.mark.heavy
def test_nobody_else_repeats() -> None:
    """Who writes Events that may be dropped is listed, with what tells the same."""
    assert users("emit") == set(REPEATS)


@pytest.mark.heavy
def test_each_teller_is_tried() -> None:
    """Who remembers what was told is in the table above."""
    makes = set()
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if called in {"Notices", "notices"}:
                    makes.add(path)
    assert makes == {path for path, _ in TELLERS.values()}
