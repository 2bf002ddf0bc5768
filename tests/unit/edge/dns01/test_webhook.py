"""What is sent to a webhook, and what is made of any answer at all."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.edge.dns01.webhook import Proof, WebhookRecords, judged, payload
from signer.edge.issuers.dns01_spec import Webhook
from signer.kube.errors import ApiError, TimedOut, TooMuch, Unreachable, api_error

PROOF = Proof("shop.example.com", "uid-1", "team", ambient=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda one: st.lists(one) | st.dictionaries(st.text(), one)
)


def test_what_is_sent() -> None:
    """Names have their trailing dot, as cert-manager sends them, and the webhook's own settings are passed as they are."""
    sent = json.loads(payload("Present", PROOF, "_acme.example.org", "example.org", "v" * 43, b'{"a": [1]}'))
    assert sent == {
        "apiVersion": "webhook.acme.cert-manager.io/v1alpha1",
        "kind": "ChallengePayload",
        "request": {
            "uid": "uid-1",
            "action": "Present",
            "type": "dns-01",
            "dnsName": "shop.example.com",
            "key": "v" * 43,
            "resourceNamespace": "team",
            "resolvedFQDN": "_acme.example.org.",
            "resolvedZone": "example.org.",
            "allowAmbientCredentials": False,
            "config": {"a": [1]},
        },
    }
    assert "config" not in json.loads(payload("CleanUp", PROOF, "a.b", "b", "v", b""))["request"]


@pytest.mark.parametrize(
    ("response", "told"),
    [
        ({"success": True}, ""),
        ({"success": True, "uid": "x", "status": {"message": "left out"}}, ""),
        ({"success": False}, "failed, and does not say why"),
        ({"success": False, "status": {"message": ""}}, "failed, and does not say why"),
        ({"success": False, "status": {"message": "no zone\nhere"}}, "failed: 'no zone here'"),
        ({}, "failed, and does not say why"),
        (None, "gives a ChallengePayload without a response"),
    ],
)
def test_what_it_says(response: Any, told: str) -> None:
    """Success is what it says is one; a failure is told in its words."""
    assert judged(json.dumps({"kind": "ChallengePayload", "response": response}).encode()) == told


@given(
    st.one_of(
        st.binary(),
        JSON.map(lambda one: json.dumps(one).encode()),
        JSON.map(lambda one: json.dumps({"response": one}).encode()),
    )
)
def test_any_answer(body: bytes) -> None:
    """Nothing but a success counts as one, and whatever else comes is told in one short line."""
    said = judged(body)
    if said:
        assert len(said) < 700
        assert said.isprintable()
    else:
        assert json.loads(body)["response"]["success"] is True


@pytest.mark.parametrize("depth", [10, 100_000])
def test_deep_answers(depth: int) -> None:
    """An answer nested without end is told as one that cannot be read."""
    assert judged(b'{"response": ' + b"[" * depth) == "gives an answer that is no ChallengePayload"


class Scripted:
    """An API server with one answer."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.paths: list[str] = []

    async def request(self, method: str, path: str, **_: Any) -> Any:
        self.paths.append(f"{method} {path}")
        raise self.error


ERRORS: tuple[tuple[Exception, str], ...] = (
    (api_error(403, "Forbidden"), "may not be asked"),
    (api_error(404, "NotFound"), "is not there"),
    (api_error(503, "ServiceUnavailable"), "cannot be reached by the API server (503)"),
    (api_error(500), "cannot be reached by the API server (500)"),
    (api_error(429), "refuses the request (429)"),
    (api_error(400, "BadRequest", "x" * 5000), "refuses the request (400)"),
    (TimedOut("slow"), "gives no answer within 30 s"),
    (TooMuch("huge"), "gives an answer of more than"),
    (Unreachable("cut"), "cannot be asked: cut"),
)


@pytest.mark.parametrize(("error", "told"), ERRORS, ids=lambda one: str(one)[:20])
async def test_what_the_api_server_says(error: ApiError | Unreachable, told: str) -> None:
    """Each way in which a webhook is not there, or not for us, is told with its resource; taking away no less."""
    server = Scripted(error)

    async def zone(_: str) -> str:
        return "example.com"

    client: Any = server
    records = WebhookRecords(client, Webhook("acme.example.com", "hetzner"), PROOF, zone, b"key")
    for step in (records.add, records.remove):
        reason = await step("_acme-challenge.shop.example.com", "v" * 43)
        assert reason is not None
        assert told in reason.message
        assert "hetzner.acme.example.com" in reason.message
        assert len(reason.message) < 1000
    assert set(server.paths) == {"POST /apis/acme.example.com/v1alpha1/hetzner"}
