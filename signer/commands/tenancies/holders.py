"""Who may have which signer, one line each, and SignerPolicies for what several namespaces share. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from signer.api.issuer import IssuerRef
from signer.api.meta import to_rfc3339
from signer.api.proxyconfig import CERT_SIGNER
from signer.api.signername import CLUSTER_ISSUER_DOMAIN, signer_name_of
from signer.api.text import shown
from signer.commands.command import NotFoundOut
from signer.commands.live import Mesh, told
from signer.tenancy.grants import Claimable, Granted, NotGranted, default_grace_ends
from signer.tenancy.policies import shut_out
from signer.tenancy.routes import MISSING, route
from signer.tenancy.shared import shared_roots
from signer.tenancy.verdict import Route
from signer.tenancy.world import NO_CLAIMS, Claims, World

GRANTED, FREE, KEPT = "granted", "at first request", "kept"
MALFORMED = "Malformed"


@dataclass(frozen=True, slots=True)
class Tenancy:
    """One namespace and one signer.

    `status` is GRANTED, FREE (it becomes the owner by asking), KEPT (it owns the signer and claims it no longer), or
    the code of the refusal, or of what it waits for; without `enforced` a refusal is told only (audit mode), and it is signed.
    `source` says where the grant comes from, or why there is none. `namespace` is "" for the last line of the mesh's default signer: `others` namespaces that claim nothing.
    """

    namespace: str
    signer: IssuerRef
    status: str
    source: str
    ca_ends: datetime | None = None
    last_issued: datetime | None = None
    others: int = 0
    enforced: bool = True

    @property
    def refused(self) -> bool:
        """Whether the namespace asks for a signer that it may not have. Those without one by a route for all may not be in the mesh."""
        return self.status not in {GRANTED, FREE, KEPT} and not (self.others and self.status == MISSING)


def tenancies(mesh: Mesh, now: datetime) -> list[Tenancy]:
    """List every namespace with every signer that it claims, owns, or is given by a policy; then the mesh default."""
    world = mesh.world
    found = [_tenancy(mesh, namespace, signer, now) for namespace, signer in sorted(set(_pairs(world, now)))]
    found += [
        Tenancy("", signer, "SignerClaimed", f"its SignerBinding: {binding.problem}")
        for signer, binding in sorted(world.bindings.items())
        if binding.problem and signer not in world.policies
    ]
    found += [
        Tenancy(namespace, _asked_for(world, claims.malformed), MALFORMED, _malformed(claims))
        for namespace, claims in sorted(world.claims.items())
        if claims.malformed
    ]
    found += _without(world, now)
    named = {one.namespace for one in found if one.signer in world.defaults or one.status == MALFORMED}
    for signer in sorted(world.defaults):
        others = (
            _tenancy(mesh, name, signer, now)
            for name in world.namespaces
            if name not in named and world.claims.get(name, NO_CLAIMS).whole is None
        )
        text = "the mesh's default signer, and they claim no other"
        given_out = f"{signer} is given out by SignerPolicies, and none of them covers these namespaces"
        # The same for all of them, but for one that has a grant of its own.
        sources = {GRANTED: text} | ({"TenantMismatch": given_out} if signer in world.policies else {})
        counted = Counter((one.status, sources.get(one.status, one.source), one.enforced) for one in others)
        found += [
            Tenancy("", signer, status, why, _ends(mesh, signer), others=count, enforced=enforced)
            for (status, why, enforced), count in sorted(counted.items())
        ]
    return found


def known_tenancies(mesh: Mesh, now: datetime) -> tuple[list[Tenancy], str]:
    """List what `tenancies` does; or nothing, and why it is not known: that must not look like a refusal."""
    unknown = "; ".join((*mesh.gaps, *([mesh.world.unsynced] if mesh.world.unsynced else ())))
    if unknown:
        return [], unknown
    try:
        return tenancies(mesh, now), ""
    except NotFoundOut as error:
        return [], str(error)


def document(row: Tenancy) -> dict[str, Any]:
    """Return what programs get of a line."""
    found: dict[str, Any] = {
        "namespace": row.namespace,
        "signer": signer_name_of(row.signer),
        "status": row.status,
        "refused": row.refused,
        "enforced": row.enforced,
        "why": row.source,
        "caEnds": to_rfc3339(row.ca_ends) if row.ca_ends else None,
        "lastIssued": to_rfc3339(row.last_issued) if row.last_issued else None,
    }
    return found | ({"others": row.others} if row.others else {})


def problems(mesh: Mesh, namespace: str | None = None) -> list[str]:
    """Say what is wrong beside the lines: with claims, the mesh config, objects, and roots that tenants share."""
    claims = [found for name, found in mesh.world.claims.items() if namespace in {None, name}]
    shared = map(str, shared_roots(mesh.world)) if namespace is None else ()
    general = (*mesh.world.config.problems, *shared, *mesh.remarks) if namespace is None else ()
    return [*general, *(one for each in claims for one in each.problems)]


def _asked_for(world: World, value: str) -> IssuerRef:
    """Write what workloads ask for, where it can name no issuer, as if it were one."""
    cluster = world.settings.signer_domain == CLUSTER_ISSUER_DOMAIN
    return IssuerRef("ClusterIssuer" if cluster else "Issuer", "", shown(value))


def _malformed(claims: Claims) -> str:
    """Say what is wrong with a claim that can name no issuer."""
    where = f"ProxyConfig {claims.speaker.name}: " if claims.speaker is not None else ""
    return f"{where}{CERT_SIGNER} names no issuer, and workloads ask for it all the same: they get no certificate"


def _pairs(world: World, now: datetime) -> Iterator[tuple[str, IssuerRef]]:
    for namespace, claims in world.claims.items():
        for signer in claims.signers:
            yield namespace, signer
    for signer, binding in world.bindings.items():
        if not binding.problem:
            yield binding.namespace, signer
    for signer, policies in world.policies.items():
        for policy in policies:
            yield from ((name, signer) for name in policy.namespaces)
            if policy.routes_all:
                ways = ((name, route(world, signer, name, now=now)) for name in world.namespaces)
                yield from ((name, signer) for name, way in ways if not _has_none(way))
            if policy.namespace_labels:
                yield from ((name, signer) for name, found in world.namespaces.items() if policy.covers(name, found))
    for signer in world.signers:
        if signer.namespace and signer not in world.policies:
            yield signer.namespace, signer
        if signer in world.defaults or _istios_own(world, signer):
            yield world.settings.istio_namespace, signer
    yield from _in_grace(world, now)


def _has_none(way: Route | NotGranted | None) -> bool:
    return isinstance(way, NotGranted) and way.reason.code == MISSING


def _without(world: World, now: datetime) -> Iterator[Tenancy]:
    """Count the namespaces without a signer of their own, where a policy routes all: nothing says that they are in the mesh."""
    for signer in sorted(world.routed):
        if not any(policy.routes_all for policy in world.policies.get(signer, ())):
            continue
        named = {name for policy in world.policies.get(signer, ()) for name in policy.namespaces}
        count = sum(_has_none(route(world, signer, name, now=now)) for name in world.namespaces.keys() - named)
        if count:
            yield Tenancy(
                "", signer, MISSING, "they have no signer of their own, and get nothing by identity", others=count
            )


def _in_grace(world: World, now: datetime) -> Iterator[tuple[str, IssuerRef]]:
    """Those that claim a signer of their own by now, and may still have the mesh's default."""
    for namespace in world.had_default:
        ends = default_grace_ends(world, namespace)
        if ends is not None and now < ends:
            yield from ((namespace, signer) for signer in world.defaults)


def _istios_own(world: World, signer: IssuerRef) -> bool:
    """Tell whether istiod has a signer by its namespace's name alone: nobody owns it, and no policy speaks about it."""
    named = (signer.kind, signer.name) == ("ClusterIssuer", world.settings.istio_namespace)
    return named and signer not in world.bindings and signer not in world.policies


def _tenancy(mesh: Mesh, namespace: str, signer: IssuerRef, now: datetime) -> Tenancy:
    world = mesh.world
    verdict = mesh.at_best(namespace, signer, now)
    binding = world.bindings.get(signer)
    owner = binding is not None and not binding.problem and binding.namespace == namespace
    last = binding.last_issued if binding is not None and owner else None
    way = route(world, signer, namespace, now=now) if signer in world.routed else None
    signs = way.signer if isinstance(way, Route) else signer
    claims = world.claims.get(namespace, NO_CLAIMS)
    enforced, enforces = True, world.settings.enforces(now) or signer in world.routed
    if isinstance(verdict, Granted):
        status, source = GRANTED, verdict.source
        if (limit := _shut_out(world, namespace, signs)) is not None:
            status, source, enforced = *limit, enforces
    elif isinstance(verdict, Claimable):
        status, source = FREE, "a claim of a signer that nobody owns yet"
    else:
        status, source = told(verdict)
        enforced = not isinstance(verdict, NotGranted) or enforces
        if isinstance(verdict, NotGranted) and owner and signer not in claims.signers and signer not in world.policies:
            status, source = KEPT, f"SignerBinding {signer.name}: no longer claimed; nobody else gets it"
    return Tenancy(namespace, signer, status, source, _ends(mesh, signs), last, enforced=enforced)


def _shut_out(world: World, namespace: str, signer: IssuerRef) -> tuple[str, str] | None:
    """Return code and sentence of a limit by which no workload gets what the policies give a namespace, None for none.

    istiod's own namespace is left out: istiod asks by DNS names, and in no trust domain.
    """
    covering = [one for one in world.policies.get(signer, ()) if one.covers(namespace, world.namespaces.get(namespace))]
    limits = [(one, shut_out(one, world.config.trust_domains, world.requesters)) for one in covering]
    if not limits or not all(found for _, found in limits) or namespace == world.settings.istio_namespace:
        return None
    policy, found = limits[0]
    return found[0].code, f"SignerPolicy {policy.name}: {found[0].message}"


def _ends(mesh: Mesh, signer: IssuerRef) -> datetime | None:
    authority = mesh.authority(signer)
    return authority.not_after if authority is not None else None


@dataclass(frozen=True, slots=True)
class Proposal:
    """A SignerPolicy for one signer: `namespaces` use it, `refused` claim it while it belongs to another."""

    signer: IssuerRef
    namespaces: tuple[str, ...]
    refused: tuple[str, ...] = ()


def proposals(world: World) -> list[Proposal]:
    """Find the signers that several namespaces claim and no policy speaks about, the mesh's default left out.

    Where a signer has an owner (a SignerBinding, or the namespace of its name) only he is proposed: another claim may
    be a theft, which nobody must grant by applying a file without reading it.
    """
    found = []
    for signer in sorted(world.signers - world.defaults):
        if signer in world.policies or signer.namespace:
            continue
        claimants = set(world.claimants.get(signer, ()))
        owner = _owner(world, signer)
        if owner:
            if others := sorted(claimants - {owner}):
                found.append(Proposal(signer, (owner,), tuple(others)))
        elif len(claimants) > 1:
            found.append(Proposal(signer, tuple(sorted(claimants))))
    return found


def _owner(world: World, signer: IssuerRef) -> str:
    binding = world.bindings.get(signer)
    exists = world.namespaces.get(binding.namespace) if binding is not None and not binding.problem else None
    if binding is not None and exists is not None and exists.uid == binding.namespace_uid:
        return binding.namespace
    return signer.name if signer.name in world.namespaces else ""


def manifest(found: Iterable[Proposal]) -> str:
    """Write the proposals as YAML for `kubectl apply`, with what is to be decided by a person as comments."""
    documents = []
    for one in found:
        name = signer_name_of(one.signer)
        lines = [f"# Each namespace listed here gets certificates of {one.signer}, and no other namespace does."]
        if one.refused:
            lines.append("# Those behind a # claim it and are refused today: remove the # only for the same tenant's.")
        lines += [
            "apiVersion: mesh-signer.dev/v1alpha1",
            "kind: SignerPolicy",
            f"metadata: {{name: {_quoted(one.signer.name)}}}",
            "spec:",
            "  signers:",
            f"    - {name}",
            "  namespaces:",
            "    names:",
            *(f"      - {_quoted(namespace)}" for namespace in one.namespaces),
            *(f"      # - {_quoted(namespace)}" for namespace in one.refused),
        ]
        documents.append("\n".join(lines))
    return "\n---\n".join(documents)


def _quoted(name: str) -> str:
    """A namespace may be named 007, true or null, which YAML takes for something else."""
    return f'"{name}"'
