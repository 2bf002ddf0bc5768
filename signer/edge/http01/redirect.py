"""Mode C: the user's httpsRedirect taken from the server of one host, and given back, without losing an edit. Pure.

What was there stands in an annotation on the Gateway itself, so that whoever comes after a crash can give it back. While
the servers are as we left them, giving back restores them to the letter. Where the user has edited them meanwhile, only
the servers that still carry our mark change: they redirect again, and join the server that they were split from.
The annotation is the user's to write: what stands in it is only believed if it differs from the servers by our own change,
and if it is no more than one of ours can be. All of this takes steps by what is there, never by the product of two lengths.
"""

import heapq
import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from signer.api.gateway import server_host
from signer.api.notes import Bounds, json_note
from signer.edge.host import Host
from signer.edge.http01.mode import ALLOW_REDIRECT_CHANGE, HTTP_PORT
from signer.edge.http01.routes import MARK, object_name
from signer.tenancy.verdict import Reason

TAKEN = "mesh-signer.dev/http01-redirect-taken"
"""Annotation on a Gateway: JSON of what to give back, and for which Challenges it was taken."""
MAX_RECORD = 100_000
"""Characters; all annotations of an object have 256 KiB."""
MOST_TAKEN = 128
"""Challenges for which one Gateway's redirects are taken at once: more than run at once (challenges/schedule.py)."""
MOST_SERVERS = 1000
_BOUNDS = Bounds(characters=MAX_RECORD, depth=16, entries=20_000)
_MARK_LENGTH = len(object_name(""))
_PORT_NAME = "acme-"
Servers = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Record:
    """`original` are the servers as the user wrote them, `taken` the hosts by the uid of their Challenge, in order."""

    original: Servers = field(default_factory=list)
    taken: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """Return what the annotation holds."""
        return json.dumps({"original": self.original, "taken": dict(self.taken)}, separators=(",", ":"))


def record_of(annotations: Mapping[str, Any]) -> Record:
    """Read the annotation; an empty record where there is none, none that can be read, or more than one of ours can be."""
    found = json_note(annotations, TAKEN, _BOUNDS)
    if not isinstance(found, dict):
        return Record()
    original, taken = found.get("original"), found.get("taken")
    if not isinstance(original, list) or not isinstance(taken, dict):
        return Record()
    if len(original) > MOST_SERVERS or len(taken) > MOST_TAKEN:
        return Record()
    return Record(_servers(original), {str(uid): host for uid, host in taken.items() if isinstance(host, str)})


def users_servers(obj: Mapping[str, Any]) -> Servers:
    """Return the servers of a Gateway as its user has them: with every redirect that we took in its place."""
    servers = _servers((obj.get("spec") or {}).get("servers"))
    return _restored(servers, record_of((obj.get("metadata") or {}).get("annotations") or {}))


def taking(obj: Mapping[str, Any], uid: str, host: Host) -> dict[str, Any] | Reason | None:
    """Return the merge patch that takes the redirect of this host for a Challenge; None when it is taken already.

    The patch holds for this resourceVersion only. A reason: the user does not allow it (any more), or it cannot be done.
    """
    meta = obj["metadata"]
    name = f"Gateway {meta.get('namespace')}/{meta.get('name')}"
    annotations = meta.get("annotations") or {}
    if annotations.get(ALLOW_REDIRECT_CHANGE) != "true":
        return Reason("RedirectInTheWay", f"{name} redirects {host}, and does not allow that to be changed")
    servers = _servers((obj.get("spec") or {}).get("servers"))
    record = record_of(annotations)
    original = _restored(servers, record)
    if _opened(original, {uid: str(host)}) == original:
        return Reason("RedirectInTheWay", f"no server of {name} on port {HTTP_PORT} redirects {host} by name")
    following = Record(original, {**record.taken, uid: str(host)})
    if record == following and servers == _opened(original, following.taken):
        return None
    if len(following.taken) > MOST_TAKEN:
        return Reason("RedirectInTheWay", f"{name}: {MOST_TAKEN} redirects of it are taken already; this one waits")
    # A backslash for each letter beyond ASCII: characters are bytes here.
    if len(original) > MOST_SERVERS or json_note({TAKEN: following.text()}, TAKEN, _BOUNDS) is None:
        return Reason("RedirectInTheWay", f"{name} has too many servers to keep what is to be given back beside them")
    return _patch(meta, _opened(original, following.taken), following)


def giving_back(obj: Mapping[str, Any], uids: Collection[str]) -> dict[str, Any] | None:
    """Return the merge patch that gives back what was taken for these Challenges; None when nothing is.

    The patch holds for this resourceVersion only. What was taken for other Challenges stays taken.
    """
    meta = obj["metadata"]
    record = record_of(meta.get("annotations") or {})
    servers = _servers((obj.get("spec") or {}).get("servers"))
    marks = {object_name(uid) for uid in uids}
    if record.taken.keys().isdisjoint(uids) and all(_mark_of(server) not in marks for server in servers):
        return None
    original = _restored(servers, record)
    gone = frozenset(uids)
    others = {key: host for key, host in record.taken.items() if key not in gone}
    return _patch(meta, _opened(original, others), Record(original, others))


def taken_for(obj: Mapping[str, Any]) -> frozenset[str]:
    """Return the uids of the Challenges for which something was taken from this Gateway."""
    return frozenset(record_of((obj.get("metadata") or {}).get("annotations") or {}).taken)


def _patch(meta: Mapping[str, Any], servers: Servers, record: Record) -> dict[str, Any]:
    return {
        "metadata": {
            "resourceVersion": meta["resourceVersion"],
            "annotations": {TAKEN: record.text() if record.taken else None},
        },
        "spec": {"servers": servers},
    }


def _servers(found: Any) -> Servers:
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _opened(servers: Servers, taken: Mapping[str, str]) -> Servers:
    """The servers with httpsRedirect off for these hosts. A server with more hosts is split, so that theirs stays.

    A new one has a port name of its own, as Istio wants it, and its mark as its name. One after the other in the order of
    `taken`, so what is split off last stands first; of two with one host the first has it.
    """
    first: dict[str, tuple[int, str]] = {}
    for order, (uid, host) in enumerate(taken.items()):
        first.setdefault(host, (order, object_name(uid)))
    orders = {mark: order for order, mark in first.values()}
    changed: Servers = []
    # How many servers before this one have a mark: those that were opened, and those that have it of their user.
    named: Counter[str] = Counter()
    for server in servers:
        rest, ours = _parted(server, first)
        own = _mark_of(server)
        if not ours:
            changed.append(server)
            named[own] += 1
            continue
        if rest:
            changed.append({**server, "hosts": rest})
        last = max(ours)
        for found in sorted(ours, reverse=True):
            alone = ours[found] if len(ours) > 1 else None
            split = ours[found] if rest or found != last else None
            changed.append(_open(server, found[1], named[found[1]], split or alone, own_port=split is not None))
        named.update(mark for _, mark in ours)
        # Its own name is there until all of its hosts are taken.
        if own in orders and (rest or last[0] > orders[own]):
            named[own] += 1
    return changed


def _open(server: dict[str, Any], mark: str, count: int, hosts: list[str] | None, *, own_port: bool) -> dict[str, Any]:
    """A server without its redirect. `hosts`: None for those that it has; `count`: servers before it that have the mark."""
    name = f"{mark}-{count}" if count else mark
    opened = {**{key: value for key, value in server.items() if key != "tls"}, "name": name}
    if tls := {key: value for key, value in server["tls"].items() if key != "httpsRedirect"}:
        opened["tls"] = tls
    if hosts is not None:
        opened["hosts"] = hosts
    if own_port:
        opened["port"] = {**_port(server), "name": f"{_PORT_NAME}{name.removeprefix(MARK)}"}
    return opened


def _parted(
    server: dict[str, Any], taken: Mapping[str, tuple[int, str]]
) -> tuple[list[str], dict[tuple[int, str], list[str]]]:
    """The hosts of a server that keep their redirect, and those that lose it, by whom they are taken for."""
    rest: list[str] = []
    ours: dict[tuple[int, str], list[str]] = {}
    if not (_redirects(server) and _port(server).get("number") == HTTP_PORT):
        return rest, ours
    for one in _hosts(server):
        found = taken.get(server_host(one).name.lower())
        if found is None:
            rest.append(one)
        else:
            ours.setdefault(found, []).append(one)
    return rest, ours


def _restored(servers: Servers, record: Record) -> Servers:
    """The servers with all redirects in their places."""
    if record.taken and _opened(record.original, record.taken) == servers:
        return record.original
    if not any(_marked(server) for server in servers):
        return servers
    return _closed(servers, record.original)


def _closed(servers: Servers, original: Servers) -> Servers:
    """Edited servers: those with our mark redirect again under the names that they had, joined to where they came from."""
    came_from: dict[str, int] = {}
    for index, one in enumerate(original):
        if _redirects(one):
            for host in _hosts(one):
                came_from.setdefault(host, index)
    found: list[dict[str, Any] | None] = []
    split: list[tuple[int, int]] = []
    for server in servers:
        if not _marked(server):
            found.append(server)
            continue
        at = min((came_from[host] for host in _hosts(server) if host in came_from), default=None)
        before = original[at] if at is not None else {}
        closed = {**{key: value for key, value in server.items() if key != "name"}}
        if "name" in before:
            closed["name"] = before["name"]
        tls = server.get("tls")
        closed["tls"] = {**(tls if isinstance(tls, dict) else {}), "httpsRedirect": True}
        if at is not None and str(_port(server).get("name", "")).startswith(_PORT_NAME):
            split.append((len(found), at))
        found.append(closed)
    _join(found, split, original)
    return [one for one in found if one is not None]


def _join(found: list[dict[str, Any] | None], split: list[tuple[int, int]], original: Servers) -> None:
    """Put the hosts of what was split off (its place, and where in `original` it was) where they came from; None in its place."""
    kinds = [_but_hosts(one or {}) for one in found]
    places: dict[str, list[int]] = {}
    for index, kind in enumerate(kinds):
        places.setdefault(kind, []).append(index)  # in order, and so a heap
    names = Counter(_port_name(one or {}) for one in found)
    kinds_before = {at: _but_hosts(original[at]) for _, at in split}
    joined: dict[int, tuple[list[str], set[str], int]] = {}
    for place, at in split:
        if place in joined:
            continue  # others were put into it: it stays
        closed, before, kind = found[place] or {}, original[at], kinds_before[at]
        like_it = places.get(kind, [])
        while like_it and (like_it[0] == place or kinds[like_it[0]] != kind):
            heapq.heappop(like_it)
        if like_it:
            twin = like_it[0]
            listed = _hosts(found[twin] or {})
            hosts, known, _ = joined.get(twin, (listed, set(listed), at))
            hosts += [one for one in _hosts(closed) if one not in known]
            known.update(_hosts(closed))
            joined[twin] = hosts, known, at
            found[place], kinds[place] = None, ""
            names[_port_name(closed)] -= 1
        elif not names[_port_name(before)]:
            found[place] = renamed = {**closed, "port": {**_port(closed), "name": _port(before).get("name")}}
            names[_port_name(closed)] -= 1
            names[_port_name(renamed)] += 1
            kinds[place] = _but_hosts(renamed)
            heapq.heappush(places.setdefault(kinds[place], []), place)
        else:
            heapq.heappush(places.setdefault(kinds[place], []), place)
    for twin, (hosts, _, at) in joined.items():
        wanted = _hosts(original[at])
        found[twin] = {**(found[twin] or {}), "hosts": wanted if sorted(wanted) == sorted(hosts) else hosts}


def _but_hosts(one: Mapping[str, Any]) -> str:
    return json.dumps({**one, "hosts": None}, sort_keys=True)


def _port_name(one: Mapping[str, Any]) -> str:
    return json.dumps(_port(one).get("name"))


def _marked(server: Mapping[str, Any]) -> bool:
    return str(server.get("name", "")).startswith(MARK)


def _mark_of(server: Mapping[str, Any]) -> str:
    """The mark that a server's name begins with, if it is one of ours."""
    return str(server.get("name", ""))[:_MARK_LENGTH]


def _redirects(server: Mapping[str, Any]) -> bool:
    tls = server.get("tls")
    return isinstance(tls, dict) and tls.get("httpsRedirect") is True


def _hosts(server: Mapping[str, Any]) -> list[str]:
    found = server.get("hosts")
    return [str(one) for one in found] if isinstance(found, list) else []


def _port(server: Mapping[str, Any]) -> dict[str, Any]:
    found = server.get("port")
    return found if isinstance(found, dict) else {}
