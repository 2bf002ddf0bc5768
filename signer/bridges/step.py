"""What a bridge needs next, as steps in the order in which they are taken. Pure.

The order is what was found on a real mesh: the Secret comes before the rules that name it, since a proxy that starts waits
for it; the rules go before the Secret, since deleting the Secret ends nothing. Only what the TenantBridge's own status
records as made by us is changed or deleted, and only with its uid.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from signer.api.destinationrule import Subset
from signer.api.tenantbridge import TenantBridgeStatus
from signer.bridges.bodies import identities, rule_name, rule_spec, secret_name
from signer.bridges.credential import Credential, fingerprint
from signer.bridges.read import Wish
from signer.kube.objects import Json
from signer.tenancy.verdict import Bridge, Reason

IN_THE_WAY = "InTheWay"
NO_ACCOUNTS = "NoServiceAccounts"
TOO_MANY_ACCOUNTS = "TooManyServiceAccounts"
MAX_IDENTITIES = 256
BACKDATE = timedelta(minutes=2)
"""As the wall dates certificates back (signer/tenancy/decide.py): no part of a lifetime."""
LEAST_AGE = timedelta(seconds=10)
"""A certificate is not renewed sooner, however short its CA or its bridge still lives."""
_PART_LEFT = 3


@dataclass(frozen=True, slots=True)
class Found:
    """An object of a name that is ours, as it was read live.

    `ours`: a rule by its label, which others cannot write; a Secret as recorded by its uid, or by its label while it is made.
    `leaving`: it is being deleted, and a finalizer holds it. `immutable`: what a Secret has cannot be changed.
    """

    uid: str
    version: str
    ours: bool
    spec: Json = field(default_factory=dict)
    credential: Credential | None = None
    leaving: bool = False
    immutable: bool = False


@dataclass(frozen=True, slots=True)
class Server:
    """The server's side: the CA of its namespace by how its certificates name it, its root (PEM), and when it ends."""

    authority_key_id: str
    root: str
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Announce:
    """Store in the status what is about to be made, before it is."""

    status: TenantBridgeStatus


@dataclass(frozen=True, slots=True)
class Issue:
    """Have a new certificate for a new key, and put it into the Secret: a new one, or the one of this uid and version."""

    why: str
    roots: tuple[str, ...]
    uid: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class PutRule:
    """Make a DestinationRule, or give the one of this uid and version this spec."""

    name: str
    spec: Json
    uid: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class DropRule:
    """Delete the DestinationRule of this uid."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class DropSecret:
    """Delete the Secret of this uid."""

    name: str
    uid: str


Step = Announce | Issue | PutRule | DropRule | DropSecret


@dataclass(frozen=True, slots=True)
class Sight:
    """What was read live in the client's namespace: the Secret, and the rules by name. What is not there is left out."""

    secret: Found | None = None
    rules: Mapping[str, Found] = field(default_factory=dict)


def take_away(wish: Wish, sight: Sight) -> tuple[Step, ...]:
    """End a bridge: the rules first, which ends requests, then the Secret. What is not ours stays."""
    steps: list[Step] = [DropRule(name, one.uid) for name, one in sorted(sight.rules.items()) if one.ours]
    if sight.secret is not None and sight.secret.ours:
        steps.append(DropSecret(secret_name(wish), sight.secret.uid))
    return tuple(steps)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A bridge that both hands allow, and what it is made of.

    `accounts` are the server's service accounts, `subsets` those of its own rules by host.
    """

    bridge: Bridge
    server: Server
    accounts: tuple[str, ...]
    subsets: Mapping[str, tuple[Subset, ...]] = field(default_factory=dict)


def build(
    wish: Wish, wanted: Wanted, planned: TenantBridgeStatus, sight: Sight, now: datetime, *, stored: TenantBridgeStatus
) -> tuple[Step, ...] | Reason:
    """Say what is missing of a bridge; nothing: it stands as it should.

    `planned` is the status that records what is seen and what is to be made (status.py), `stored` the one that is there.
    """
    bridge = wanted.bridge
    names = identities(bridge.client.trust_domain, wish.namespace, wanted.accounts)
    if (wrong := _accounts_problem(wish, len(names))) is not None:
        return wrong
    specs = {rule_name(wish, host): rule_spec(wish, host, names, wanted.subsets.get(host, ())) for host in wish.hosts}
    secret = sight.secret
    if secret is not None and not secret.ours:
        return _in_the_way("Secret", wish.client_namespace, secret_name(wish))
    if foreign := [name for name in sorted(specs) if name in sight.rules and not sight.rules[name].ours]:
        return _in_the_way("DestinationRule", wish.client_namespace, foreign[0])
    gone: list[Step] = [
        DropRule(name, one.uid)
        for name, one in sorted(sight.rules.items())
        if one.ours and (name not in specs or one.leaving)
    ]
    made: list[Step] = []
    roots = wanted_roots(planned, wanted.server, secret)
    why = renewal(bridge, wanted.server, secret, roots, now)
    useless = secret is not None and (secret.leaving or (secret.immutable and bool(why)))
    if secret is not None and useless:
        gone.append(DropSecret(secret_name(wish), secret.uid))
    if useless or any(sight.rules[name].leaving for name in specs if name in sight.rules):
        # What is to be made again must be gone first, and its record emptied: the next look does that.
        return tuple(gone)
    if why:
        made.append(Issue(why, roots, secret.uid if secret else "", secret.version if secret else ""))
    for name, spec in sorted(specs.items()):
        there = sight.rules.get(name)
        if there is None:
            made.append(PutRule(name, spec))
        elif there.spec != spec:
            made.append(PutRule(name, spec, there.uid, there.version))
    announced = [Announce(planned)] if made and planned != stored else []
    return (*announced, *gone, *made)


def _accounts_problem(wish: Wish, count: int) -> Reason | None:
    if not count:
        text = f"namespace {wish.namespace} has no service accounts: nobody could be accepted as its server"
        return Reason(NO_ACCOUNTS, text)
    if count > MAX_IDENTITIES:
        text = f"namespace {wish.namespace} has {count} service accounts: name those of the servers in spec.serviceAccounts"
        return Reason(TOO_MANY_ACCOUNTS, text)
    return None


def _in_the_way(kind: str, namespace: str, name: str) -> Reason:
    what = f"{kind} {namespace}/{name} is there and was not made for this bridge"
    return Reason(IN_THE_WAY, f"{what}: delete it, or choose another name for the bridge")


def wanted_roots(planned: TenantBridgeStatus, server: Server, secret: Found | None) -> tuple[str, ...]:
    """Name the roots of ca.crt: the server's, and for a while the one before, which servers that run may still have.

    Only what the status records as put there by us is kept of what stands in the Secret.
    """
    held = secret.credential if secret is not None else None
    kept = held.roots if held is not None else ()
    return (server.root, *(one for one in kept if fingerprint(one) == planned.former_root))


def renewal(bridge: Bridge, server: Server, secret: Found | None, roots: tuple[str, ...], now: datetime) -> str:
    """Say why a new certificate is needed; "" when the one that is there will do."""
    if secret is None:
        return "there is no Secret"
    held = secret.credential
    if held is None:
        return "the Secret has no certificate with its key"
    reasons = (
        (held.identity != str(bridge.client), "the certificate is for another identity"),
        (held.authority_key_id != server.authority_key_id, "the server's namespace has another CA"),
        (held.roots != roots, "ca.crt is not what the server's namespace trusts"),
        (bridge.ends is not None and held.not_after > bridge.ends, "the bridge ends before the certificate"),
        (held.not_after - now > bridge.lifetime + BACKDATE, "the certificate lives longer than it may"),
        (now >= due(bridge, server, held), "it is time to renew it"),
    )
    return next((why for so, why in reasons if so), "")


def due(bridge: Bridge, server: Server, held: Credential) -> datetime:
    """Tell when a certificate is to be renewed: when a third of its life is left, if a new one would live longer."""
    ends = min(one for one in (server.not_after, bridge.ends) if one is not None)
    if held.not_after + timedelta(seconds=1) >= ends:
        return held.not_after
    begins = held.not_before + BACKDATE
    return max(held.not_after - (held.not_after - begins) / _PART_LEFT, begins + LEAST_AGE)
