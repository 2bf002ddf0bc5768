"""Mode C: the user's httpsRedirect taken from the server of one host, and given back, without losing an edit. Pure.

What was there stands in an annotation on the Gateway itself, so that whoever comes after a crash can give it back. While
the servers are as we left them, giving back restores them to the letter. Where the user has edited them meanwhile, only
the servers that still carry our mark change: they redirect again, and join the server that they were split from.
The annotation is the user's to write: what stands in it is only believed if it differs from the servers by our own change.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from signer.edge.host import Host
from signer.edge.http01.mode import ALLOW_REDIRECT_CHANGE, HTTP_PORT
from signer.edge.http01.routes import MARK, object_name
from signer.tenancy.verdict import Reason

TAKEN = "mesh-signer.dev/http01-redirect-taken"
"""Annotation on a Gateway: JSON of what to give back, and for which Challenges it was taken."""
MAX_RECORD = 100_000
"""Characters; all annotations of an object have 256 KiB."""
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


def record_of(annotations: Mapping[str, str]) -> Record:
    """Read the annotation; an empty record where there is none, or none that can be read."""
    text = annotations.get(TAKEN, "")
    try:
        found = json.loads(text) if len(text) <= MAX_RECORD else {}
    except (ValueError, RecursionError):
        return Record()
    if not isinstance(found, dict):
        return Record()
    original, taken = found.get("original"), found.get("taken")
    if not isinstance(original, list) or not isinstance(taken, dict):
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
    if len(following.text()) > MAX_RECORD:
        return Reason("RedirectInTheWay", f"{name} has too many servers to keep what is to be given back beside them")
    return _patch(meta, _opened(original, following.taken), following)


def giving_back(obj: Mapping[str, Any], uid: str) -> dict[str, Any] | None:
    """Return the merge patch that gives back what was taken for a Challenge; None when nothing is.

    The patch holds for this resourceVersion only. What was taken for other Challenges stays taken.
    """
    meta = obj["metadata"]
    record = record_of(meta.get("annotations") or {})
    servers = _servers((obj.get("spec") or {}).get("servers"))
    marked = any(_marked(server, object_name(uid)) for server in servers)
    if uid not in record.taken and not marked:
        return None
    original = _restored(servers, record)
    others = {key: host for key, host in record.taken.items() if key != uid}
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
    """The servers without the redirects of these hosts."""
    for uid, host in taken.items():
        servers = _open(servers, host, object_name(uid))
    return servers


def _open(servers: Servers, host: str, mark: str) -> Servers:
    """The servers with httpsRedirect off for one host. A server with more hosts is split, so that theirs stays.

    The new one has a port name of its own, as Istio wants it, and the mark as its name.
    """
    changed: Servers = []
    for server in servers:
        hosts = _hosts(server)
        ours = [one for one in hosts if one.rpartition("/")[2].lower() == host]
        if not (_redirects(server) and _port(server).get("number") == HTTP_PORT and ours):
            changed.append(server)
            continue
        count = sum(_marked(one, mark) for one in changed)
        name = f"{mark}-{count}" if count else mark
        rest = {key: value for key, value in server["tls"].items() if key != "httpsRedirect"}
        opened = {**{key: value for key, value in server.items() if key != "tls"}, "name": name}
        if rest:
            opened["tls"] = rest
        others = [one for one in hosts if one not in ours]
        if others:
            changed.append({**server, "hosts": others})
            opened |= {"hosts": ours, "port": {**_port(server), "name": f"{_PORT_NAME}{name.removeprefix(MARK)}"}}
        changed.append(opened)
    return changed


def _restored(servers: Servers, record: Record) -> Servers:
    """The servers with all redirects in their places."""
    if record.taken and _opened(record.original, record.taken) == servers:
        return record.original
    if not any(_marked(server) for server in servers):
        return servers
    return _closed(servers, record.original)


def _closed(servers: Servers, original: Servers) -> Servers:
    """Edited servers: those with our mark redirect again under the names that they had, joined to where they came from."""
    found: Servers = []
    split: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for server in servers:
        if not _marked(server):
            found.append(server)
            continue
        before = next((one for one in original if _redirects(one) and set(_hosts(one)) & set(_hosts(server))), {})
        closed = {**{key: value for key, value in server.items() if key != "name"}}
        if "name" in before:
            closed["name"] = before["name"]
        tls = server.get("tls")
        closed["tls"] = {**(tls if isinstance(tls, dict) else {}), "httpsRedirect": True}
        if str(_port(server).get("name", "")).startswith(_PORT_NAME) and before:
            split.append((closed, before))
        found.append(closed)
    for closed, before in split:
        place = next(index for index, one in enumerate(found) if one is closed)
        twin = next(
            (index for index, one in enumerate(found) if one is not closed and _same_but_hosts(one, before)), None
        )
        name = _port(before).get("name")
        if twin is not None:
            hosts = [*_hosts(found[twin]), *(one for one in _hosts(closed) if one not in _hosts(found[twin]))]
            listed = _hosts(before)
            found[twin] = {**found[twin], "hosts": listed if sorted(listed) == sorted(hosts) else hosts}
            del found[place]
        elif all(_port(one).get("name") != name for one in found):
            found[place] = {**closed, "port": {**_port(closed), "name": name}}
    return found


def _same_but_hosts(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return {**one, "hosts": None} == {**other, "hosts": None}


def _marked(server: Mapping[str, Any], mark: str = MARK) -> bool:
    return str(server.get("name", "")).startswith(mark)


def _redirects(server: Mapping[str, Any]) -> bool:
    tls = server.get("tls")
    return isinstance(tls, dict) and tls.get("httpsRedirect") is True


def _hosts(server: Mapping[str, Any]) -> list[str]:
    found = server.get("hosts")
    return [str(one) for one in found] if isinstance(found, list) else []


def _port(server: Mapping[str, Any]) -> dict[str, Any]:
    found = server.get("port")
    return found if isinstance(found, dict) else {}
