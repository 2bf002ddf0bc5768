"""Mode C takes a redirect and gives it back: to the letter where nobody edits, and never at the cost of an edit."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.edge.http01.mode import ALLOW_REDIRECT_CHANGE
from signer.edge.http01.redirect import MAX_RECORD, TAKEN, giving_back, taken_for, taking, users_servers
from signer.edge.http01.routes import object_name
from signer.tenancy.verdict import Reason
from tests.unit.edge.objects import host, http, https

A, B, C = "a.example.com", "b.example.com", "c.example.com"
Json = dict[str, Any]


def gateway(*servers: Json, allowed: bool = True) -> Json:
    annotations = {ALLOW_REDIRECT_CHANGE: "true"} if allowed else {}
    metadata = {"name": "shop", "namespace": "foo", "resourceVersion": "1", "annotations": annotations}
    return {"metadata": metadata, "spec": {"selector": {"istio": "x"}, "servers": copy.deepcopy(list(servers))}}


def patched(obj: Json, patch: Json | Reason | None) -> Json:
    """What the API server makes of a merge patch."""
    assert isinstance(patch, dict), patch
    assert patch["metadata"]["resourceVersion"] == obj["metadata"]["resourceVersion"]
    changed = copy.deepcopy(obj)
    changed["spec"]["servers"] = json.loads(json.dumps(patch["spec"]["servers"]))
    for name, value in patch["metadata"]["annotations"].items():
        changed["metadata"]["annotations"].pop(name, None)
        if value is not None:
            changed["metadata"]["annotations"][name] = value
    changed["metadata"]["resourceVersion"] += "1"
    return changed


def take(obj: Json, uid: str, name: str) -> Json:
    return patched(obj, taking(obj, uid, host(name)))


def give(obj: Json, uid: str) -> Json:
    return patched(obj, giving_back(obj, uid))


def redirecting(obj: Json) -> set[str]:
    return {
        one
        for server in obj["spec"]["servers"]
        if server.get("tls", {}).get("httpsRedirect")
        for one in server["hosts"]
    }


ONE = gateway(https(A, mode="MUTUAL"), http(A, redirect=True))
MANY = gateway(https(A, B, C, mode="MUTUAL"), http(f"./{A}", B, C, redirect=True), http("d.example.com"))


def test_taken() -> None:
    """The redirect of this host's server is off, and nothing else is changed."""
    taken = take(ONE, "u", A)
    assert taken["spec"]["servers"][0] == ONE["spec"]["servers"][0]
    assert taken["spec"]["servers"][1] == {**http(A), "name": object_name("u")}
    assert taken_for(taken) == {"u"}
    assert giving_back(ONE, "u") is None


def test_a_server_with_more_hosts_is_split() -> None:
    """The other hosts of a server keep their redirect, under the port name that they had."""
    taken = take(MANY, "u", A)
    assert redirecting(taken) == {B, C}
    rest, ours = taken["spec"]["servers"][1:3]
    assert (rest["port"]["name"], ours["hosts"]) == ("http", [f"./{A}"])
    assert len({server["port"]["name"] for server in taken["spec"]["servers"][1:3]}) == 2


def test_taken_once() -> None:
    """Whoever comes after a crash finds it taken, and what is to be given back is still what the user wrote."""
    taken = take(MANY, "u", A)
    assert taking(taken, "u", host(A)) is None
    assert users_servers(taken) == MANY["spec"]["servers"]


@given(st.permutations(["u", "v", "w"]), st.permutations(["u", "v", "w"]))
def test_given_back_in_any_order(first: list[str], last: list[str]) -> None:
    """However many challenges take and give back, in whatever order: what the user wrote is there to the letter."""
    names = dict(zip(("u", "v", "w"), (A, B, C), strict=True))
    obj = MANY
    for uid in first:
        obj = take(obj, uid, names[uid])
    assert not redirecting(obj)
    assert users_servers(obj) == MANY["spec"]["servers"]
    for left, uid in enumerate(last, 1):
        obj = give(obj, uid)
        assert len(redirecting(obj)) == left
    assert obj["spec"] == MANY["spec"]
    assert obj["metadata"]["annotations"] == MANY["metadata"]["annotations"]


def edited(obj: Json, change: Any) -> Json:
    changed = copy.deepcopy(obj)
    change(changed["spec"]["servers"])
    return changed


def test_another_server_is_edited() -> None:
    """What the user adds meanwhile stays, and the redirect comes back to its server."""
    more = https("new.example.com", credential="new")
    back = give(edited(take(MANY, "u", A), lambda servers: servers.append(more)), "u")
    assert back["spec"]["servers"] == [*MANY["spec"]["servers"], more]


def test_the_hosts_are_edited() -> None:
    """A host that the user adds to the split server, or takes from it, is added and taken; nothing is listed twice."""
    taken = take(MANY, "u", A)
    back = give(edited(taken, lambda servers: servers[1]["hosts"].append("new.example.com")), "u")
    assert redirecting(back) == {f"./{A}", B, C, "new.example.com"}
    back = give(edited(taken, lambda servers: servers[1]["hosts"].remove(B)), "u")
    assert redirecting(back) == {f"./{A}", C}
    assert len(back["spec"]["servers"]) == 3


def test_our_server_is_edited() -> None:
    """A host that the user adds to the opened server redirects afterwards as the server did before."""
    back = give(edited(take(ONE, "u", A), lambda servers: servers[1]["hosts"].append(B)), "u")
    assert back["spec"]["servers"][1] == http(A, B, redirect=True)


def test_applied_anew() -> None:
    """Who applies the manifest again has the redirect back: nothing is changed then but the annotation, or it is taken anew."""
    taken = take(MANY, "u", A)
    again = edited(taken, lambda servers: servers.__setitem__(slice(None), copy.deepcopy(MANY["spec"]["servers"])))
    assert give(again, "u")["spec"] == MANY["spec"]
    assert redirecting(take(again, "u", A)) == {B, C}


def test_the_redirect_is_removed() -> None:
    """A user who takes the redirect away for good, by applying the server without it, does not find it there again."""
    without = [https(A, mode="MUTUAL"), http(A)]
    obj = edited(take(ONE, "u", A), lambda servers: servers.__setitem__(slice(None), without))
    back = give(obj, "u")
    assert back["spec"]["servers"] == without
    assert TAKEN not in back["metadata"]["annotations"]


def test_the_server_is_removed() -> None:
    """A server that the user removed meanwhile is not made again."""
    back = give(edited(take(MANY, "u", A), lambda servers: servers.__delitem__(2)), "u")
    assert redirecting(back) == {B, C}


def test_the_servers_name_comes_back() -> None:
    """A server that had a name has it again, also after an edit."""
    named = gateway({**http(A, redirect=True), "name": "mine"})
    assert give(take(named, "u", A), "u")["spec"] == named["spec"]
    back = give(edited(take(named, "u", A), lambda servers: servers.append(http("d.example.com"))), "u")
    assert back["spec"]["servers"][0] == named["spec"]["servers"][0]


@pytest.mark.parametrize(
    ("obj", "why"),
    [
        (gateway(http(A, redirect=True), allowed=False), "does not allow"),
        (gateway(http(B, redirect=True)), "redirects"),
        (gateway(http("*.example.com", redirect=True)), "redirects"),
        (gateway(http(A, redirect=True, port=8080)), "port 80"),
        (gateway(http(A, redirect=True), http(*(f"{number:0240}.example.com" for number in range(500)))), "too many"),
    ],
    ids=["not allowed", "another host", "a wildcard", "another port", "too large"],
)
def test_not_taken(obj: Json, why: str) -> None:
    """Without consent, or where this host is not redirected by name, nothing is changed and the reason is told."""
    found = taking(obj, "u", host(A))
    assert isinstance(found, Reason)
    assert why in found.message


@pytest.mark.parametrize(
    "record",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"original": 1, "taken": []}',
        '{"original": [1, {"hosts": 1, "port": 1}], "taken": {"u": "a.example.com"}}',
        "[" * 5000,
        json.dumps({"original": [https("evil.example.com")], "taken": {"u": A}}),
        json.dumps({"original": [http("evil.example.com", redirect=True)], "taken": {"u": A}}),
        " " * (MAX_RECORD + 1),
    ],
)
def test_a_forged_record(record: str) -> None:
    """What a user writes into the annotation makes us write no server that was not there."""
    obj = gateway(https(A, mode="MUTUAL"), http(A))
    obj["metadata"]["annotations"][TAKEN] = record
    assert users_servers(obj) == obj["spec"]["servers"]
    patch = giving_back(obj, "u")
    assert patch is None or patch["spec"]["servers"] == obj["spec"]["servers"]


def test_the_record_is_lost() -> None:
    """Without the annotation our mark alone says that the server redirected."""
    taken = take(MANY, "u", A)
    del taken["metadata"]["annotations"][TAKEN]
    assert f"./{A}" in redirecting(give(taken, "u"))
