"""Every answer that mesh-signer gives while the tests run is held against what `mesh-signer explain` says of it.

Wherever a test has a signer run, a watch notes the requests that it answers, and every change of what answers rest on. When
a test ends, before anything is cleaned up, some of what came since is explained in this process, with the settings of the
process that answered, and must come out the same: the verdict, and the reason. A difference has one of these causes, or
it is a fault:

- what the answer rested on was changed after it (the resourceVersions tell);
- the server is away;
- the test says why: @pytest.mark.unexplained("reason").

Not compared are answers of ACME issuers and what depends on a Secret's key that is gone, which `explain` says itself.
"""

import asyncio
import contextlib
import json
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from signer.api.signername import parse_signer_name
from signer.commands.asking import Asking
from signer.commands.command import WALL_OPTIONS, NotFoundOut
from signer.commands.explanations.requests import read_certificate_request, read_object
from signer.commands.live import read_mesh
from signer.kube.access.config import load_config
from signer.kube.client import ApiClient
from signer.kube.errors import ApiError, Unreachable
from signer.settings.values import Settings, settings_from
from tests.localmesh import Cluster
from tests.localmesh.signer import FOLLOWERS, SignerProcess
from tests.watching import Following

Json = dict[str, Any]
_ANSWERED = (
    "/apis/certificates.k8s.io/v1/certificatesigningrequests",
    "/apis/cert-manager.io/v1/certificaterequests",
)
_RESTS_ON = (
    "/api/v1/namespaces",
    "/api/v1/configmaps",
    "/api/v1/secrets",
    "/apis/cert-manager.io/v1/issuers",
    "/apis/cert-manager.io/v1/clusterissuers",
    "/apis/networking.istio.io/v1beta1/proxyconfigs",
    "/apis/mesh-signer.dev/v1alpha1/signerpolicies",
    "/apis/mesh-signer.dev/v1alpha1/signerbindings",
    "/apis/mesh-signer.dev/v1alpha1/signerrecords",
    *(f"/apis/admissionregistration.k8s.io/v1/validatingadmission{kind}" for kind in ("policies", "policybindings")),
)
# Of each test: what differs in verdict, reason and signer first. An explanation takes some milliseconds.
_MOST = 6
_OURS = "mesh-signer"


@dataclass(frozen=True)
class Answer:
    """One answer of ours: the object with it, the verdict, and the code of its condition."""

    obj: Json
    verdict: str
    code: str = ""

    @property
    def version(self) -> int:
        return int(self.obj["metadata"]["resourceVersion"])

    @property
    def name(self) -> str:
        meta = self.obj["metadata"]
        return f"{self.obj['kind']} {meta.get('namespace', '')}/{meta['name']}"

    @property
    def alike(self) -> tuple[str, ...]:
        """What a few answers are chosen by."""
        spec = self.obj["spec"]
        signer = spec.get("signerName") or json.dumps(spec.get("issuerRef"), sort_keys=True)
        return self.obj["kind"], self.verdict, self.code, signer


def answer_of(obj: Json) -> Answer | None:
    """What we answered to a request, None when we have not, or somebody else did."""
    status, managed = obj.get("status", {}), obj["metadata"].get("managedFields", [])
    fields = json.dumps([one for one in managed if one["manager"] == _OURS])
    if status.get("certificate"):
        return Answer(obj, "issue") if '"f:certificate"' in fields or not managed else None
    if obj["kind"] == "CertificateSigningRequest":
        failed = next((one for one in status.get("conditions", []) if one["type"] == "Failed"), None)
        ours = failed is not None and ("Failed" in fields or (not managed and failed["reason"] != "Test"))
        return Answer(obj, "refuse", failed["reason"]) if failed is not None and ours else None
    ready = next((one for one in status.get("conditions", []) if one["type"] == "Ready"), None)
    denied = any(one["type"] == "Denied" for one in status.get("conditions", []))
    if ready is not None and ready["reason"] == "Failed" and not denied and "f:status" in fields:
        return Answer(obj, "refuse")
    return None


@dataclass
class Decisions:
    """What a cluster's signers answered, and when what they rest on was changed last. Filled by threads."""

    cluster: Cluster
    running: list[SignerProcess] = field(default_factory=list)
    ran: list[SignerProcess] = field(default_factory=list)
    new: dict[str, Answer] = field(default_factory=dict)
    following: Following | None = None
    _seen: set[str] = field(default_factory=set)
    _known: dict[str, str] = field(default_factory=dict)
    _changed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def told(self, event: str, obj: Json) -> None:
        """Note an event of a watch."""
        uid, kind = obj["metadata"]["uid"], obj.get("kind", "")
        if kind in ("CertificateSigningRequest", "CertificateRequest"):
            found = answer_of(obj) if event != "DELETED" else None
            with self._lock:
                if found is not None and uid not in self._seen:
                    self._seen.add(uid)
                    self.new[uid] = found
            return
        version = obj["metadata"]["resourceVersion"]
        # Who vouches for requesters counts from its last change, whatever was changed.
        now = version if event == "DELETED" or kind.startswith("Validating") else _what_counts(obj)
        with self._lock:
            if self._known.get(uid) != now:
                self._known[uid] = now
                self._changed = max(self._changed, int(version))

    def take(self) -> list[Answer]:
        """Some of what is new, as different as can be."""
        with self._lock:
            found, self.new = list(self.new.values()), {}
        groups: dict[tuple[str, ...], list[Answer]] = defaultdict(list)
        for one in found:
            groups[one.alike].append(one)
        return [group[-1] for group in sorted(groups.values(), key=lambda one: one[0].verdict, reverse=True)][:_MOST]

    def changed_since(self, answer: Answer) -> bool:
        """Whether something was changed after an answer that an answer may rest on."""
        with self._lock:
            return self._changed > answer.version


def _what_counts(obj: Json) -> str:
    """An object without what is told of it: counts, times, whoever wrote it."""
    status, metadata = obj.get("status", {}), obj["metadata"]
    counts = [obj.get("spec"), obj.get("data"), metadata.get("labels"), metadata.get("deletionTimestamp")]
    counts += [status.get(name) for name in ("namespaceUIDs", "claimEndedTime", "givenOut", "certificates")]
    if obj.get("kind") in ("Issuer", "ClusterIssuer"):
        counts.append([(one["type"], one["status"]) for one in status.get("conditions", [])])
    return json.dumps(counts, sort_keys=True)


FOLLOWED: list[Decisions] = []
_COMPARED: set[tuple[object, ...]] = set()


def _follow(process: SignerProcess, what: str) -> None:
    known = next((one for one in FOLLOWED if one.cluster is process.cluster), None)
    if what == "end":
        if known is not None and process in known.running:
            known.running.remove(process)
        return
    if known is None:
        known = Decisions(process.cluster)
        FOLLOWED.append(known)
        from tests.left_open import LEDGER  # noqa: PLC0415 - it is a plugin, and pytest is to import it first

        # It outlives the test that starts the process, for what comes of its answers until that is cleaned up.
        before, LEDGER.owner = LEDGER.owner, FOLLOWED
        try:
            known.following = Following(process.cluster, (*_ANSWERED, *_RESTS_ON), known.told, pause=2.0)
        finally:
            LEDGER.owner = before
    for processes in (known.running, known.ran):
        if process not in processes:
            processes.append(process)


def close_idle() -> None:
    """End the watches of clusters in which no signer runs any more. After each test's fixtures were cleaned up."""
    for decisions in [one for one in FOLLOWED if not one.running]:
        FOLLOWED.remove(decisions)
        if decisions.following is not None:
            decisions.following.close()


FOLLOWERS.append(_follow)


def settings_of(process: SignerProcess) -> Settings:
    """The settings that a process was given."""
    given = dict(one.removeprefix("--").split("=", 1) for one in process.options if one.startswith("--") and "=" in one)
    names = (*WALL_OPTIONS, "controllers")
    return settings_from({name.replace("-", "_"): given.get(name) for name in names}, {}, host="test", process=1)


def answering(decisions: Decisions, answer: Answer) -> Settings | None:
    """The settings of the one that answered; None where several may have, which differ."""
    wanted = "csr" if answer.obj["kind"] == "CertificateSigningRequest" else "certificaterequests"
    found = []
    for process in decisions.ran:
        settings = settings_of(process)
        if settings.controllers is None or wanted in settings.controllers:
            found.append(settings)
    alike = {(one.tenancy(), one.allow_ca_requests, one.auto_approve) for one in found}
    return found[0] if len(alike) == 1 else None


async def explained_otherwise(decisions: Decisions, answers: list[Answer]) -> list[str]:
    """Explain answers; what comes out otherwise, in words. Raises NotFoundOut, ApiError, Unreachable."""
    wrong: list[str] = []
    chosen = _by_settings(decisions, answers)
    if not chosen:
        return wrong
    config = load_config(str(decisions.cluster.kubeconfig()))
    async with ApiClient(config, connections=8) as client:
        for settings, some in chosen:
            now = datetime.now(UTC)
            mesh = await read_mesh(client, settings, now=now)
            asking = Asking(client, mesh, settings, now)
            for one in some:
                said = await _explained(asking, one)
                if said is not None and said != (one.verdict, one.code) and not decisions.changed_since(one):
                    wrong.append(f"{one.name}: {(one.verdict, one.code)} was answered, and explain says {said}")
    return wrong


def _by_settings(decisions: Decisions, answers: list[Answer]) -> list[tuple[Settings, list[Answer]]]:
    found: list[tuple[Settings, list[Answer]]] = []
    for one in answers:
        settings = answering(decisions, one)
        if settings is None:
            continue
        if settings.tenancy_mode == "off":
            # cert-manager's rules, the same in hundreds of tests: each outcome once.
            if (again := (decisions.cluster, *one.alike[:3])) in _COMPARED:
                continue
            _COMPARED.add(again)
        same = next((some for known, some in found if known == settings), None)
        if same is None:
            found.append((settings, [one]))
        else:
            same.append(one)
    return found


async def _explained(asking: Asking, answer: Answer) -> tuple[str, str] | None:
    """What `explain` says: the verdict, and the code where the answer has one. None where it says that it depends."""
    if answer.obj["kind"] == "CertificateSigningRequest":
        asked = read_object(answer.obj)
        signer = parse_signer_name(asked.signer_name)
        if signer is None:
            return None
        found = await asking.request(asked, signer)
    else:
        found = await asking.certificate_request(read_certificate_request(answer.obj), answer.name)
    if found.verdict == "ask":
        return None
    code = found.reasons[0].code if found.reasons and answer.code else ""
    return found.verdict, code


def contradictions(item: pytest.Item) -> list[str]:
    """Explain what was answered since the last call; what comes out otherwise, in words."""
    told = []
    for decisions in FOLLOWED:
        answers = decisions.take()
        if answers and not item.get_closest_marker("unexplained") and not item.get_closest_marker("fault"):
            # The server may be away, or not have what it had.
            with contextlib.suppress(NotFoundOut, ApiError, Unreachable, OSError):
                told += asyncio.run(explained_otherwise(decisions, answers))
        decisions.ran = list(decisions.running)
    return told
