"""Whose a TXT record of DNS-01 is, judged by the name that it is written under: where a CNAME leads, its owner chose. Pure.

A record proves the host below whose `_acme-challenge.` it lies, and that host's wildcard, to whoever may choose its value:
with an Issuer of one's own that is its author, since the CA that it names is his too.
"""

from collections.abc import Iterator
from dataclasses import replace

from signer.api.certificate import IssuerReference
from signer.api.text import shown
from signer.edge.host import Host, read_host
from signer.edge.hosts.decide import Asker, EdgeWorld, decide, granted_by_policy
from signer.edge.hosts.policy import indexed
from signer.tenancy.verdict import Reason, Refuse, Unready

# No host is taken by a delegation, so none counts.
_UNCOUNTED = "TooManyHosts"


def proven_by(name: str) -> tuple[Host, ...] | str:
    """The hosts that a record under this name is about; a sentence when it is about none that anybody can have.

    What stands above the last label with an underscore: the host and its wildcard, as ACME proves both under one name.
    """
    labels = name.split(".")
    marked = [index for index, label in enumerate(labels) if "_" in label]
    host = read_host(".".join(labels[marked[-1] + 1 :] if marked else labels))
    if isinstance(host, str):
        return host
    if not marked:
        return (host,)
    wildcard = read_host(f"*.{host}")
    return wildcard if isinstance(wildcard, str) else (host, wildcard)


def judge_record(
    name: str, asker: Asker, issuer: IssuerReference, world: EdgeWorld, *, own_name: bool
) -> Reason | Unready | None:
    """Tell why this namespace may not have a record under this name, by credentials that are not its own; None: it may.

    `own_name`: no CNAME led away from the name of a host that it was permitted. By a ClusterIssuer, of which administrators
    say where it goes, the name it ends at must be free for it; by an Issuer of its own an EdgePolicy must grant it.
    """
    tenants = issuer.normal()[1] != "ClusterIssuer"
    if own_name and not tenants:
        return None
    hosts = proven_by(name)
    if isinstance(hosts, str):
        return Reason("BadDelegation", f"a record under {shown(name)} is nobody's to ask for: {hosts}")
    policies = indexed(world.policies)
    if not tenants:
        # Which CA is asked was decided for the host that is ordered: this one gets no certificate.
        policies = policies.of_any_issuer
    asked = replace(world, policies=policies)
    for reason in _reasons(hosts, asker, issuer, asked):
        if isinstance(reason, Unready):
            return reason
        return Reason("RecordNotGranted", f"no record is written under {shown(name)}: {reason.message}")
    if tenants and not all(granted_by_policy(host, asker, policies) for host in hosts):
        why = (
            f"no record is written under {shown(name)}: an Issuer uses DNS credentials that are not its namespace's only for hosts"
            f" that an EdgePolicy grants the namespace, and none grants {hosts[0]}; use a ClusterIssuer, or credentials of your own"
        )
        return Reason("RecordNotGranted", why)
    return None


def has(name: str, asker: Asker, world: EdgeWorld) -> bool:
    """Tell whether a namespace has a host: by a claim of it, or of a wildcard above it, or by an EdgePolicy."""
    labels = name.split(".")
    over = [Host(".".join(labels[start:]), wildcard=True) for start in range(1, len(labels))]
    claims = (world.claims.get(host.claim_name) for host in (Host(name), *over))
    held = any(
        one is not None and not one.problem and (one.namespace, one.namespace_uid) == (asker.namespace, asker.uid)
        for one in claims
    )
    return held or granted_by_policy(Host(name), asker, world.policies)


def _reasons(
    hosts: tuple[Host, ...], asker: Asker, issuer: IssuerReference, world: EdgeWorld
) -> Iterator[Reason | Unready]:
    for host in hosts:
        match decide(host, asker, issuer, world):
            case Unready() as unready:
                yield unready
            case Refuse(reasons):
                yield from (one for one in reasons if one.code != _UNCOUNTED)
            case _:
                pass
