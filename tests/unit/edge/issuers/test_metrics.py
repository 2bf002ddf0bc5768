"""The metrics of ACME: cert-manager's names, and labels that strangers cannot multiply."""

from typing import Any

import msgspec

from issuers.acme.client import NO_ANSWER, Exchange
from signer.api.challenge import Challenge
from signer.api.issuer import IssuerRef
from signer.edge.issuers.metrics import MOST_CHALLENGES, AcmeMetrics
from signer.kube.reflector import Change
from signer.observe.metrics import Metrics

REQUESTS = "certmanager_http_acme_client_request_count"
SECONDS = "certmanager_http_acme_client_request_duration_seconds"
STATUS = "certmanager_certificate_challenge_status"


def labels(host: str, action: str, status: str) -> dict[str, str]:
    return {"scheme": "https", "host": host, "action": action, "method": "POST", "status": status}


def samples(metrics: Metrics, name: str) -> list[Any]:
    return [one for family in metrics.registry.collect() for one in family.samples if one.name == name]


def test_requests() -> None:
    """A request to a ClusterIssuer's server is counted with host, cert-manager's action and status, and its time."""
    metrics = Metrics()
    acme = AcmeMetrics(metrics)
    for _ in range(2):
        acme.exchange(Exchange("ca.example", "new_order", "POST", 201, 0.5), tenants=False)
    acme.exchange(Exchange("ca.example", "accept", "POST", NO_ANSWER, 30.0), tenants=False)
    found = metrics.registry.get_sample_value
    assert found(REQUESTS, labels("ca.example", "authorize_order", "201")) == 2
    assert found(REQUESTS, labels("ca.example", "accept_challenge", "999")) == 1
    assert found(f"{SECONDS}_sum", labels("ca.example", "authorize_order", "201")) == 1.0


def test_servers_of_tenants() -> None:
    """Servers that tenants chose share a few series, whatever they are called and whatever they answer."""
    metrics = Metrics()
    acme = AcmeMetrics(metrics)
    for code in range(100, 1000):
        acme.exchange(Exchange(f"{code}.example", "new_order", "POST", code, 0.1), tenants=True)
    assert {one.labels["host"] for one in samples(metrics, REQUESTS)} == {"other"}
    assert {one.labels["status"] for one in samples(metrics, REQUESTS)} == {"2xx", "3xx", "4xx", "5xx", "999"}


def challenge(name: str, state: str = "pending", reason: str = "") -> Challenge:
    spec = {"dnsName": f"{name}.example", "type": "HTTP-01", "token": "t"}
    meta = {"name": name, "namespace": "shop", "uid": name}
    return msgspec.convert({"metadata": meta, "spec": spec, "status": {"state": state, "reason": reason}}, Challenge)


def test_challenges() -> None:
    """A Challenge has one series for each state while it exists, and its text is in none."""
    metrics = Metrics()
    acme = AcmeMetrics(metrics)
    first, second = challenge("a"), challenge("a", "valid", "a stranger's words")
    acme.challenge_changed(Change("added", ("shop", "a"), None, first))
    acme.challenge_changed(Change("modified", ("shop", "a"), first, second))
    found = {one.labels["status"]: one.value for one in samples(metrics, STATUS)}
    assert found["valid"] == 1
    assert sum(found.values()) == 1
    assert {one.labels["reason"] for one in samples(metrics, STATUS)} == {""}
    acme.challenge_changed(Change("deleted", ("shop", "a"), second, None))
    assert samples(metrics, STATUS) == []


def test_many_challenges() -> None:
    """A flood of Challenges makes no more series than the bound, and all go in the end."""
    metrics = Metrics()
    acme = AcmeMetrics(metrics)
    for one in range(MOST_CHALLENGES + 20):
        acme.challenge_changed(Change("added", ("shop", str(one)), None, challenge(str(one))))
    assert len({one.labels["name"] for one in samples(metrics, STATUS)}) == MOST_CHALLENGES
    acme.clear()
    assert samples(metrics, STATUS) == []


def test_orders() -> None:
    """Orders are counted by ClusterIssuer; those of tenants' Issuers together."""
    metrics = Metrics()
    acme = AcmeMetrics(metrics)
    acme.order(IssuerRef("ClusterIssuer", "", "le"), "placed")
    acme.order(IssuerRef("Issuer", "shop", "mine"), "held")
    acme.order(None, "failed")
    assert {
        (one.labels["issuer"], one.labels["result"]) for one in samples(metrics, "mesh_signer_acme_orders_total")
    } == {
        ("le", "placed"),
        ("other", "held"),
        ("other", "failed"),
    }
