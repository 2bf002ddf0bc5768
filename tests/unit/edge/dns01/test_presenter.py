"""How DNS-01 deals with name servers that are slow or away. The rest is in tests/integration/edge, with BIND."""

from typing import Any, cast

import dns.message
import msgspec
import pytest

from signer.api.challenge import Challenge
from signer.authorities.registry import Registry
from signer.edge.challenges.presenter import Cause
from signer.edge.dns01 import presenter as dns_presenter
from signer.edge.dns01.presenter import DnsPresenter
from signer.edge.dns01.queries import Questions
from signer.kube.client import ApiClient
from tests.fakes.dns_faults import scripted

NOBODY: Any = None  # neither the API server nor an issuer is asked before the DNS was


def challenge(**spec: Any) -> Challenge:
    """One of a ClusterIssuer."""
    fields = {
        "type": "DNS-01",
        "dnsName": "a.example.com",
        "key": "v" * 43,
        "issuerRef": {"name": "acme", "kind": "ClusterIssuer"},
        "solver": {"dns01": {"rfc2136": {"nameserver": "127.0.0.1"}}},
    } | spec
    return msgspec.convert({"metadata": {"name": "c", "namespace": "foo", "uid": "u"}, "spec": fields}, Challenge)


def presenter(port: int) -> DnsPresenter:
    """One that knows a recursive server at this port."""
    questions = Questions([("127.0.0.1", port)])
    client, registry = cast("ApiClient", NOBODY), cast("Registry", NOBODY)
    return DnsPresenter(client, registry, questions, cluster_resource_namespace="cert-manager", rules=NOBODY)


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who gives no answer is not waited for as long as in earnest."""
    monkeypatch.setattr(dns_presenter, "_STEP_SECONDS", 1.0)


async def test_slow_servers() -> None:
    """A zone whose servers are slow has a worker for a while only, and the Challenge says so."""
    async with scripted(lambda _: []) as port:
        one = presenter(port)
        found, reason = await one.check(challenge()), await one.present(challenge())
    assert found.cause is Cause.NOT_RESOLVED
    assert reason is not None
    for message in (found.message, reason.message):
        assert "the name servers did not finish within" in message
        assert "_acme-challenge.a.example.com" in message


async def test_pauses() -> None:
    """What failed is said again at once, and tried again after a pause only."""
    asked: list[dns.message.Message] = []

    def silent(query: dns.message.Message) -> list[dns.message.Message]:
        asked.append(query)
        return []

    async with scripted(silent) as port:
        one = presenter(port)
        first = await one.present(challenge())
        before = len(asked)
        assert before
        assert await one.present(challenge()) == first
        assert len(asked) == before


@pytest.mark.parametrize(
    ("solver", "told"),
    [
        ({"dns01": {"rout53": {}}}, "rout53: not supported"),
        ({"dns01": {"rfc2136": {"nameserver": ""}}}, "spec.solver.dns01.rfc2136.nameserver"),
        ({"http01": {}}, "spec.solver.dns01: an object is expected"),
    ],
)
async def test_what_it_cannot_use(solver: dict[str, Any], told: str) -> None:
    """A solver that cannot be used is told with its field, before anything is asked."""
    reason = await presenter(9).present(challenge(solver=solver))
    assert reason is not None
    assert told in reason.message


async def test_nothing_was_written() -> None:
    """A Challenge without a note of a record has none to take away, and nobody is asked."""
    assert await presenter(9).clean_up(challenge()) is None
