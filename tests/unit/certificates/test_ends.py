"""Whatever goes on with a Certificate, it is looked at when what Ready says stops being true."""

import base64
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.certificate import Certificate
from signer.api.certificaterequest import CertificateRequest
from signer.api.meta import to_rfc3339
from signer.api.secret import Secret
from signer.authorities.registry import Registry
from signer.certificates import steps
from signer.certificates.controller import CertificateController
from signer.certificates.objects import Key, Objects
from signer.certificates.policies import Facts, not_ready
from signer.certificates.secrets.view import SecretView, inspect
from signer.certificates.spec.matching import view_request
from signer.certificates.status import Status
from signer.certificates.watched import Watched, watch_certificates
from signer.kube.client import ApiClient
from signer.kube.queue import WorkQueue
from signer.kube.room import Room
from tests.unit.certificates import samples
from tests.unit.certificates.samples import NOW, Json
from tests.unit.certificates.test_stale_cache import KEY, ScriptedObjects

VIEW, ASKED = inspect(samples.secret()), view_request(samples.request())
MINUTES = st.integers(min_value=-400_000, max_value=400_000).map(lambda n: timedelta(minutes=n))


@given(ahead=MINUTES, ends=st.none() | MINUTES, later=st.floats(min_value=0, max_value=1))
def test_nothing_changes_before_that_moment(ahead: timedelta, ends: timedelta | None, later: float) -> None:
    """Of all dates: until the moment that is waited for, Ready would be the same; if there is none, for ever."""
    now = NOW + ahead
    view = replace(VIEW, trust_ends=NOW + ends if ends is not None else None)
    facts = Facts(samples.certificate(), view, ASKED, now)
    status = Status.of(facts.certificate).readiness(not_ready(facts), view.leaf, now, view.trust_ends)
    until = status.until(now)
    moment = now + (until - now if until is not None else timedelta(days=400)) * later
    if not_ready(facts) is None or until is None:
        assert said(view, moment) == said(view, now)
    assert said(view, now) is not None or (until is not None and until >= now)


def said(view: SecretView, now: datetime) -> str | None:
    defect = not_ready(Facts(samples.certificate(), view, ASKED, now))
    return defect.reason if defect is not None else None


class Quiet(ScriptedObjects):
    """Nothing is written that matters here, and what is asked for is there."""

    async def delete(self, *_: object) -> None:
        return None

    async def lives(self, _certificate: object) -> bool:
        return True


def waits_for(situation: str) -> tuple[Json, list[Json], list[Json]]:
    """A Certificate in a situation, with its requests and the Secrets that there are."""
    body, secret, requests = samples.certificate_json(), samples.secret_json(), [samples.request_json()]
    body["status"] |= {"notBefore": to_rfc3339(samples.ISSUED), "notAfter": to_rfc3339(END)}
    next_key: Json | None = None
    match situation:
        case "a renewal that nobody answers" | "a renewal that waits for somebody" | "a renewal that is answered badly":
            body["status"]["conditions"].append(
                {
                    "type": "Issuing",
                    "status": "True",
                    "reason": "Renewing",
                    "message": "because",
                    "lastTransitionTime": to_rfc3339(NOW),
                    "observedGeneration": 3,
                }
            )
            name = steps.key_secret_name(msgspec.convert(body, Certificate))
            body["status"]["nextPrivateKeySecretName"] = name
            asked = samples.request_json(2, 1)
            asked["status"] = {}
            if situation == "a renewal that waits for somebody":
                asked["status"]["conditions"] = [
                    {"type": "Ready", "status": "False", "reason": "Pending", "message": "x"}
                ]
            if situation == "a renewal that is answered badly":
                asked["status"]["conditions"] = [
                    {"type": "Ready", "status": "False", "reason": "Failed", "message": "x"}
                ]
            requests.append(asked)
            next_key = _next_key(body, name)
        case "a renewal that failed":
            body["status"] |= {"lastFailureTime": to_rfc3339(END - timedelta(minutes=10)), "failedIssuanceAttempts": 3}
    return body, [secret, *([next_key] if next_key else [])], requests


def _next_key(body: Json, name: str) -> Json:
    certificate = msgspec.convert(body, Certificate)
    made = steps.key_secret_body(certificate, name, samples.key_pem(1))
    made["data"] = {"tls.key": base64.b64encode(samples.key_pem(1)).decode()}
    return made


END = VIEW.leaf.not_valid_after_utc if VIEW.leaf is not None else NOW


@pytest.mark.parametrize(
    "situation",
    [
        "nothing",
        "a renewal that nobody answers",
        "a renewal that waits for somebody",
        "a renewal that is answered badly",
        "a renewal that failed",
    ],
)
async def test_looked_at_when_it_ends(situation: str) -> None:
    """Five minutes before its end, whatever a Certificate waits for, it is looked at again at the end."""
    body, secrets, requests = waits_for(situation)
    now = END - timedelta(minutes=5) if situation != "nothing" else NOW
    nowhere = cast("ApiClient", SimpleNamespace(room=Room()))
    watched = Watched(nowhere, watch_certificates(nowhere, lambda _name: None), on_restart=lambda _name: None)
    certificate = msgspec.convert(body, Certificate)
    watched.certificates.store[KEY] = certificate
    for one in secrets:
        watched.secrets.store["shop", one["metadata"]["name"]] = msgspec.convert(one, Secret)
    for one in requests:
        key = ("shop", one["metadata"]["name"])
        watched.requests.store[key] = msgspec.convert(one, CertificateRequest)
        watched._requests_of["uid-leaf"].add(key)
    watched._by_uid["uid-leaf"] = KEY
    objects = Quiet(samples.secret())
    queue = Noting()
    registry = Registry(nowhere, cluster_resource_namespace="cert-manager")
    tested = CertificateController(
        watched, cast("Objects", objects), queue, registry=registry, owner_ref=False, clock=lambda: now
    )
    await tested.reconcile(KEY)
    longest = 3600.0 if situation == "nothing" else 301.0
    assert queue.asked
    assert min(queue.asked) <= longest
    conditions: list[Any] = [one for patch in objects.patches for one in patch.get("conditions") or ()]
    assert all(one["status"] == "True" for one in conditions if one["type"] == "Ready")


class Noting(WorkQueue[Key]):
    """Remembers in how many seconds a key is to be looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[float] = []

    def add_after(self, key: Key, seconds: float) -> None:  # noqa: ARG002
        self.asked.append(seconds)
