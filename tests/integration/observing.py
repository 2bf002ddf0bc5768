"""What tests of the hot path ask again and again: who waits for what, what was left alone, who may reference whom."""

from typing import Any

from tests.integration.hot_path import Place
from tests.localmesh.signer import SignerProcess


def untouched(place: Place, made: str, before: dict[str, Any], ca: str) -> None:
    """A later request was answered, and this one is as it was, to the resourceVersion."""
    place.issue(ca)
    assert place.look(made) == before


def waits(place: Place, request: str, reason: str, other: str) -> str:
    """A request waits: one Event says why (its message is returned), no condition, and others go on meanwhile."""
    event = place.event(request, reason)
    assert event["type"] == "Warning"
    place.issue(other)
    status = place.look(request)["status"]
    assert [one["type"] for one in status["conditions"]] == ["Approved"]
    assert "certificate" not in status
    return str(event["message"])


def once(place: Place, request: str, reason: str) -> None:
    """The Event with this reason was written once."""
    found = [event for event in place.events(request) if event["reason"] == reason]
    assert [event["count"] for event in found] == [1]


def metric(signer: SignerProcess, metric: str, issuer: str) -> float:
    """A metric that is labelled with an issuer's name."""
    return signer.metric(metric, kind="ClusterIssuer", name=issuer)


def grant(place: Place, namespace: str, issuer: str, user: str) -> None:
    """Give a user the verb `reference` on an Issuer ("*": on all) of a namespace."""
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    role = f"reference-{user}"
    rule = {
        "apiGroups": ["cert-manager.io"],
        "resources": ["signers"],
        "resourceNames": [issuer],
        "verbs": ["reference"],
    }
    place.api.post(f"{rbac}/roles", {"metadata": {"name": role}, "rules": [rule]})
    subject = {"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}
    ref = {"kind": "Role", "name": role, "apiGroup": "rbac.authorization.k8s.io"}
    place.api.post(f"{rbac}/rolebindings", {"metadata": {"name": role}, "roleRef": ref, "subjects": [subject]})
