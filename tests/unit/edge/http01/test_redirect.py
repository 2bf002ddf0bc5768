"""Mode C takes a redirect and gives it back: to the letter where nobody edits, and never at the cost of an edit."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.edge.http01.mode import ALLOW_REDIRECT_CHANGE
from signer.edge.http01.redirect import (
    MAX_RECORD,
    MOST_SERVERS,
    MOST_TAKEN,
    TAKEN,
    Record,
    giving_back,
    record_of,
    taken_for,
    taking,
    users_servers,
)
from signer.edge.http01.routes import MARK, object_name
from signer.tenancy.verdict import Reason
from tests.steps import steps
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
    return patched(obj, giving_back(obj, {uid}))


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
    assert giving_back(ONE, {"u"}) is None


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
    patch = giving_back(obj, {"u"})
    assert patch is None or patch["spec"]["servers"] == obj["spec"]["servers"]


def test_the_record_is_lost() -> None:
    """Without the annotation our mark alone says that the server redirected."""
    taken = take(MANY, "u", A)
    del taken["metadata"]["annotations"][TAKEN]
    assert f"./{A}" in redirecting(give(taken, "u"))


@pytest.mark.heavy
def test_as_many_as_a_gateway_has_challenges() -> None:
    """So many redirects of one Gateway are taken at once, and the next one waits; whatever is written is read again."""
    names = [f"{number}.example.com" for number in range(MOST_TAKEN + 1)]
    obj = gateway(http(*names, redirect=True))
    for uid, name in enumerate(names[:-1]):
        obj = take(obj, str(uid), name)
        assert users_servers(obj) == gateway(http(*names, redirect=True))["spec"]["servers"]
    found = taking(obj, "next", host(names[-1]))
    assert isinstance(found, Reason)
    assert "waits" in found.message
    back = giving_back(obj, taken_for(obj))
    assert patched(obj, back)["spec"]["servers"] == gateway(http(*names, redirect=True))["spec"]["servers"]


def test_as_many_servers_as_are_remembered() -> None:
    """Of a Gateway with more servers nothing is taken: what is taken can always be given back."""
    few = [http(f"{number}.example.com") for number in range(MOST_SERVERS - 1)]
    taken = take(gateway(http(A, redirect=True), *few), "u", A)
    assert users_servers(taken) == [http(A, redirect=True), *few]
    found = taking(gateway(http(A, redirect=True), *few, http(B)), "u", host(A))
    assert isinstance(found, Reason)
    assert "too many" in found.message


@pytest.mark.parametrize(
    "record",
    [
        {"original": [{}] * (MOST_SERVERS + 1), "taken": {"u": A}},
        {"original": [], "taken": {str(number): A for number in range(MOST_TAKEN + 1)}},
        {"original": [{"x": [[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}], "taken": {"u": A}},
    ],
    ids=["servers", "Challenges", "depth"],
)
def test_more_than_a_record_can_be(record: Json) -> None:
    """What no Gateway could have made us write is no record."""
    assert record_of({TAKEN: json.dumps(record)}) == Record()


def one_after_the_other(servers: list[Json], taken: dict[str, str]) -> list[Json]:
    """What is to come of it, said simply: for each Challenge in turn, all servers are walked through."""
    for uid, name in taken.items():
        changed: list[Json] = []
        for server in servers:
            hosts = server["hosts"]
            ours = [one for one in hosts if one.rpartition("/")[2].lower() == name]
            tls = server.get("tls", {})
            if not (tls.get("httpsRedirect") is True and server["port"].get("number") == 80 and ours):
                changed.append(server)
                continue
            mark = object_name(uid)
            count = sum(one.get("name", "").startswith(mark) for one in changed)
            new = {**server, "name": f"{mark}-{count}" if count else mark}
            new["tls"] = {key: value for key, value in tls.items() if key != "httpsRedirect"}
            if not new["tls"]:
                del new["tls"]
            if others := [one for one in hosts if one not in ours]:
                changed.append({**server, "hosts": others})
                new |= {"hosts": ours, "port": {**server["port"], "name": f"acme-{new['name'].removeprefix(MARK)}"}}
            changed.append(new)
        servers = changed
    return servers


UIDS = ("u", "v", "w")
SPLIT = f"acme-{object_name('u').removeprefix(MARK)}"
hosts = st.lists(st.sampled_from([A, B, C, f"./{A}", f"ns/{B}", A.upper(), "*.example.com"]), max_size=5)
servers = st.lists(
    st.builds(
        lambda hosts, name, port, tls: {"hosts": hosts, "port": port, **name, **tls},
        hosts,
        st.sampled_from([{}, {"name": "mine"}, {"name": MARK}, *({"name": object_name(uid)} for uid in UIDS)]),
        st.sampled_from(
            [{"number": 80, "name": "http"}, {"number": 80, "name": SPLIT}, {"number": 8080}, {"number": 80}]
        ),
        st.sampled_from([{}, *({"tls": {"httpsRedirect": True, **more}} for more in ({}, {"mode": "SIMPLE"}))]),
    ),
    max_size=5,
)
takes = st.dictionaries(st.sampled_from(UIDS), st.sampled_from([A, B, C, A.upper()]))


@given(servers, takes)
def test_each_challenge_opens_its_host(written: list[Json], taken: dict[str, str]) -> None:
    """In one walk through the servers comes out what a walk for each Challenge would bring: Gateways of before are understood."""
    obj = gateway(*one_after_the_other(written, taken))
    obj["metadata"]["annotations"][TAKEN] = Record(written, taken).text()
    if taken:
        assert users_servers(obj) == written


@given(servers, servers, takes, st.lists(st.sampled_from(UIDS)))
def test_whatever_the_note_and_the_servers_say(
    written: list[Json], original: list[Json], taken: dict[str, str], uids: list[str]
) -> None:
    """Whatever a user writes into both, no server is made and no host lost; giving back fails on nothing."""
    obj = gateway(*written)
    obj["metadata"]["annotations"][TAKEN] = Record(original, taken).text()
    patch = giving_back(obj, uids)
    if patch is None:
        return
    back = patch["spec"]["servers"]
    assert all("port" in one for one in back)
    if not patch["metadata"]["annotations"][TAKEN]:
        assert len(back) <= max(len(written), len(original))
        assert {name for one in back for name in one["hosts"]} == {name for one in written for name in one["hosts"]}


def _bomb(number: int) -> Json:
    """An annotation of two lengths, the servers that it is about, and a third."""
    names = [f"{index}.example.com" for index in range(number)]
    marked = [
        {**http(name), "name": object_name(name), "port": {"number": 80, "name": f"acme-{name}"}} for name in names
    ]
    obj = gateway(*marked, http(*names, redirect=True))
    original = [http(name, redirect=True) for name in names]
    obj["metadata"]["annotations"][TAKEN] = Record(original, {name: name for name in names}).text()
    return obj


@pytest.mark.heavy
@pytest.mark.parametrize("call", [users_servers, lambda obj: giving_back(obj, {"u", "0.example.com"}), taken_for])
def test_no_product_of_two_lengths(call: Any) -> None:
    """Four times as many servers, marks and Challenges cost about four times as much, not sixteen times."""
    few, many = _bomb(MOST_TAKEN // 4), _bomb(MOST_TAKEN)
    assert steps(lambda: call(many)) <= 8 * steps(lambda: call(few))
