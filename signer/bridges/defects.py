"""What would make a bridge's requests fail, and what lets others use it or outlives its end: each found on a real mesh.

Pure. Two conditions tell it: Working and Contained (docs/bridges.md has each line with its remedy). Nothing is refused for it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from signer.api.destinationrule import DestinationRule
from signer.api.labels import BRIDGE_NAME, BRIDGE_UID
from signer.api.notes import text_note
from signer.api.text import shown, some
from signer.bridges.read import Wish
from signer.kube.objects import Json
from signer.tenancy.verdict import Reason

WORKING, CONTAINED = "Working", "Contained"
NOT_STRICT = "ServerNotStrict"
NOT_FOUND = "HostNotFound"
HIDDEN = "HostHidden"
IN_FRONT = "RuleInFront"
NO_RIGHT = "NoRightToSecrets"
NO_CLIENT = "NoClient"
NO_ACCOUNT = "ServiceAccountNotFound"
WIDE_RIGHT = "WideRightToSecrets"
OUTLIVES = "OpenConnections"
WILDCARD = "AllServices"
NOTHING_FOUND = "NothingFound"

_HTTP = frozenset({"http", "http2", "https", "grpc", "grpc-web"})
STRICT = "STRICT"


@dataclass(frozen=True, slots=True)
class Protection:
    """Which mode of mTLS a namespace's workloads have; None: not known. `weaker` names policies for some that are not STRICT."""

    mode: str | None
    weaker: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hosted:
    """What stands behind a host: `kind` is Service, ServiceEntry or "" for nothing; who sees it; its ports' protocols."""

    kind: str
    export_to: tuple[str, ...]
    protocols: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A Sidecar of the client's namespace: for which Pods (empty: all), and which hosts they see."""

    name: str
    labels: Mapping[str, str]
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """What stands around a bridge. Rights are None where the API server was not asked."""

    protection: Protection = Protection(None, ())
    hosted: Mapping[str, Hosted] = field(default_factory=dict)
    sidecars: tuple[Sidecar, ...] = ()
    root_namespace: str = ""
    lists_own: bool | None = None
    lists_all: bool | None = None
    client_accounts: tuple[str, ...] | None = None
    """The service accounts that the Pods which the bridge selects run as; those that are over are no Pods."""
    missing_accounts: tuple[str, ...] = ()
    """NAMESPACE/NAME of the service accounts that the bridge names and that are not there."""


def as_map(value: object) -> Mapping[str, Any]:
    """Return a mapping, empty for what is none: others wrote it."""
    return value if isinstance(value, dict) else {}


def as_texts(value: object) -> tuple[str, ...]:
    """Return the texts in a list; none for what is no list."""
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def protection_of(own: Iterable[Json], root: Iterable[Json]) -> Protection:
    """Read which mode of mTLS a namespace has: by its own PeerAuthentication, else the mesh's; the oldest counts.

    Source: https://istio.io/latest/docs/reference/config/security/peer_authentication/
    """
    own = sorted(own, key=_age)
    weaker: list[str] = []
    for one in own:
        spec = as_map(one.get("spec"))
        mode = _mode(spec)
        modes = {mode} if _selects(spec) else set()
        modes |= {_mode({"mtls": port}) for port in as_map(spec.get("portLevelMtls")).values()}
        if modes & {"PERMISSIVE", "DISABLE"}:
            weaker.append(str(as_map(one.get("metadata")).get("name", "")))
    found = [_mode(spec) for one in own if not _selects(spec := as_map(one.get("spec")))][:1]
    found += [_mode(spec) for one in sorted(root, key=_age) if not _selects(spec := as_map(one.get("spec")))][:1]
    return Protection(next((one for one in found if one), "PERMISSIVE"), tuple(weaker))


def _age(obj: Json) -> tuple[str, str]:
    meta = as_map(obj.get("metadata"))
    return str(meta.get("creationTimestamp", "")), str(meta.get("name", ""))


def _selects(spec: Mapping[str, Any]) -> bool:
    return bool(as_map(as_map(spec.get("selector")).get("matchLabels")))


def _mode(spec: Mapping[str, Any]) -> str:
    mode = as_map(spec.get("mtls")).get("mode")
    return mode if isinstance(mode, str) and mode != "UNSET" else ""


def sidecar_of(obj: Json) -> Sidecar:
    """Read a Sidecar."""
    spec = as_map(obj.get("spec"))
    labels = as_map(as_map(spec.get("workloadSelector")).get("labels"))
    egress = spec.get("egress")
    hosts = (
        [host for one in egress if isinstance(one, dict) for host in as_texts(one.get("hosts"))]
        if isinstance(egress, list)
        else []
    )
    name = str(as_map(obj.get("metadata")).get("name", ""))
    return Sidecar(name, {str(key): str(value) for key, value in labels.items()}, tuple(hosts))


def working(wish: Wish, facts: Facts, rules: Iterable[DestinationRule]) -> tuple[Reason, ...]:
    """Say what would make requests over the bridge fail. `rules` are those of the client's namespace."""
    return tuple(
        one
        for one in (
            _not_strict(wish, facts.protection),
            *(_unseen(wish, host, hosted) for host, hosted in sorted(facts.hosted.items())),
            _cut_off(wish, facts.sidecars),
            in_front(wish, rules, facts.root_namespace),
            _no_account(facts),
            _no_client(wish, facts),
            _no_right(wish, facts),
        )
        if one is not None
    )


def contained(wish: Wish, facts: Facts) -> tuple[Reason, ...]:
    """Say who else could use the bridge, and what would outlive it."""
    found = []
    account = f"{wish.client_namespace}/{wish.client_account}"
    if facts.lists_all:
        text = (
            f"service account {account} may list the Secrets of all namespaces: a bridge needs those of {wish.client_namespace} "
            "alone (a Role there, with the verbs get, watch and list)"
        )
        found.append(Reason(WIDE_RIGHT, text))
    if tcp := sorted(host for host, one in facts.hosted.items() if _is_tcp(one)):
        text = (
            f"{some(tcp)} has ports that are not HTTP: connections that are open when the bridge ends live on, until an "
            f"AuthorizationPolicy in namespace {wish.namespace} denies {account}"
        )
        found.append(Reason(OUTLIVES, text))
    if wish.wildcards:
        text = f"{wish.wildcards[0]} is every service of the namespace, those that come later too"
        found.append(Reason(WILDCARD, text))
    return tuple(found)


def _not_strict(wish: Wish, protection: Protection) -> Reason | None:
    mode = protection.mode
    if mode is not None and mode != STRICT:
        text = (
            f"mTLS is {mode} in namespace {wish.namespace}: servers there answer a bridge with 503, or a TLS error, and others "
            "in plain text. A PeerAuthentication there with mtls.mode STRICT ends both"
        )
        return Reason(NOT_STRICT, text)
    if protection.weaker:
        text = (
            f"PeerAuthentication {some(protection.weaker)} in namespace {wish.namespace} sets another mode than STRICT for some "
            "workloads or ports: those answer a bridge with 503"
        )
        return Reason(NOT_STRICT, text)
    return None


def _unseen(wish: Wish, host: str, hosted: Hosted) -> Reason | None:
    if not hosted.kind:
        return Reason(NOT_FOUND, f"there is no Service or ServiceEntry of namespace {wish.namespace} for {host}")
    seen = hosted.export_to
    if not seen or "*" in seen or wish.client_namespace in seen:
        return None
    text = (
        f"the {hosted.kind} of {host} is exported to {some(seen)} only (exportTo): proxies in namespace {wish.client_namespace} do not "
        "see it"
    )
    return Reason(HIDDEN, text)


def _cut_off(wish: Wish, sidecars: Iterable[Sidecar]) -> Reason | None:
    """A Sidecar that selects the client counts before one for the whole namespace."""
    listed = list(sidecars)
    chosen = [one for one in listed if one.labels and one.labels.items() <= wish.client_labels.items()]
    applying = chosen or [one for one in listed if not one.labels]
    for one in applying[:1]:
        if one.hosts and (missing := [host for host in wish.hosts if not _lets(wish, one.hosts, host)]):
            text = (
                f"Sidecar {one.name} of namespace {wish.client_namespace} does not let its proxies see {some(missing)} "
                f"(spec.egress.hosts lacks {wish.namespace}/*)"
            )
            return Reason(HIDDEN, text)
    return None


def _lets(wish: Wish, hosts: Iterable[str], host: str) -> bool:
    for one in hosts:
        namespace, _, name = one.partition("/")
        if namespace not in ("*", wish.namespace):
            continue
        if name in ("*", host) or (name.startswith("*.") and host.endswith(name[1:])):
            return True
    return False


def in_front(wish: Wish, rules: Iterable[DestinationRule], root_namespace: str) -> Reason | None:
    """Say which rule of the client's namespace counts in the place of the bridge's.

    Istio takes the rules of the longest host that fits: one for a single host counts before ours for "*.", whomever it selects. Among
    rules for the same host the oldest whose selector fits the proxy counts, and one without a selector after all of them. In its
    root namespace only what is exported to nobody else is looked at.
    Source: istio, pilot/pkg/model push_context.go (destinationRule, sortConfigBySelectorAndCreationTime), sidecar.go (DestinationRule).
    """
    listed = tuple(rules)
    ours = {one.spec.host: _turn(one) for one in listed if one.metadata.labels.get(BRIDGE_UID) == wish.uid}
    at_root = wish.client_namespace == root_namespace
    for rule in sorted(listed, key=_turn):
        if rule.metadata.labels.get(BRIDGE_UID) == wish.uid or not _looked_at(rule, wish.client_namespace, at_root):
            continue
        host, selector = rule.spec.host, rule.spec.workload_selector
        selects = selector is not None and selector.match_labels.items() <= wish.client_labels.items()
        for own in wish.hosts:
            below = own.startswith("*.") and not host.startswith("*.") and host.endswith(own[1:])
            below = below and host not in wish.hosts
            if below or (host == own and selects and _turn(rule) < ours.get(own, _LAST)):
                return Reason(IN_FRONT, _hides(wish, rule))
    return None


_LAST = ("~", "")


def _turn(rule: DestinationRule) -> tuple[str, str]:
    return rule.metadata.creation_timestamp or "", rule.metadata.name


def _looked_at(rule: DestinationRule, namespace: str, at_root: bool) -> bool:
    """Whether Istio looks at a rule for the proxies of its own namespace before all others."""
    exported = set(rule.spec.export_to) if rule.spec.workload_selector is None else {"."}
    if at_root:
        return len(exported) == 1 and exported <= {".", namespace}
    return not exported or bool(exported & {"*", ".", namespace})


def _hides(wish: Wish, rule: DestinationRule) -> str:
    host = rule.spec.host
    if rule.metadata.labels.get(BRIDGE_UID) and (name := text_note(rule.metadata.annotations, BRIDGE_NAME)):
        return (
            f"TenantBridge {shown(name)} is for {host} and this client too, and counts in the place of this one. Delete one of the "
            "two, or name another host"
        )
    return (
        f"DestinationRule {rule.metadata.name} of namespace {wish.client_namespace} is for {host} too, and stands in "
        "front of the bridge: requests to it fail with 503. Remove it, or name another host"
    )


def _no_account(facts: Facts) -> Reason | None:
    if not facts.missing_accounts:
        return None
    text = (
        f"there is no service account {some(facts.missing_accounts)}: correct spec.client.serviceAccount or spec.serviceAccounts, or "
        "make it"
    )
    return Reason(NO_ACCOUNT, text)


def _no_client(wish: Wish, facts: Facts) -> Reason | None:
    """The bridge's rules are for the Pods that its labels select, and its certificate is for its account: both must meet."""
    if facts.client_accounts is None or wish.client_account in facts.client_accounts:
        return None
    if not facts.client_accounts:
        labels = ",".join(f"{key}={value}" for key, value in sorted(wish.client_labels.items()))
        text = f"no Pod of namespace {wish.client_namespace} has the labels {labels} (spec.client.matchLabels): nobody uses the bridge"
        return Reason(NO_CLIENT, text)
    text = (
        f"no Pod of namespace {wish.client_namespace} that spec.client.matchLabels selects runs as service account "
        f"{wish.client_account}, but as {some(facts.client_accounts)}: correct spec.client"
    )
    return Reason(NO_CLIENT, text)


def _no_right(wish: Wish, facts: Facts) -> Reason | None:
    if facts.lists_own is not False:
        return None
    text = (
        f"service account {wish.client_namespace}/{wish.client_account} may not list Secrets in its namespace: istiod gives its "
        "proxies no certificate (a Role there, with the verbs get, watch and list; resourceNames is not enough)"
    )
    return Reason(NO_RIGHT, text)


def _is_tcp(hosted: Hosted) -> bool:
    return bool(hosted.kind) and any(one.lower() not in _HTTP for one in hosted.protocols)
