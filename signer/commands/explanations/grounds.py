"""What a decision about a namespace and a signer rests on, in plain words. Pure."""

from collections.abc import Iterator
from datetime import UTC, datetime

from signer.api.issuer import IssuerRef
from signer.api.meta import to_rfc3339
from signer.api.text import some
from signer.commands.live import Mesh
from signer.commands.tables import ago
from signer.tenancy.grants import grace_ends
from signer.tenancy.world import NO_CLAIMS

SHOWN = 8
"""So many names of a list are told."""
CA_UNREAD = "the CA's Secret may not be read by you, so the CA itself was not looked at"


def mode_notes(mesh: Mesh, now: datetime) -> Iterator[str]:
    """Say that the wall is off, or only watches."""
    settings = mesh.world.settings
    if settings.mode == "off":
        yield "the wall is off (--tenancy=off): everything is signed that cert-manager would sign"
    elif not settings.enforces(now) and settings.audit_until is not None:
        yield f"the wall only reports until {to_rfc3339(settings.audit_until)} (--tenancy=audit)"


def known(mesh: Mesh, namespace: str, signer: IssuerRef, now: datetime) -> Iterator[tuple[str, str]]:
    """Say what a decision about this namespace and this signer rests on."""
    world = mesh.world
    yield str(signer), _issuer_text(mesh, signer, now)
    yield "mesh signer", _mesh_signer_text(mesh, signer)
    if namespace:
        claims = world.claims.get(namespace, NO_CLAIMS)
        yield f"namespace {namespace}", _namespace_text(mesh, namespace)
        for problem in claims.problems:
            yield "problem", problem
    if signer.kind == "ClusterIssuer":
        yield "owner", _owner_text(mesh, signer, now)
    if claimants := sorted(world.claimants.get(signer, ())):
        yield "claimed by", some(claimants, SHOWN)
    for policy in world.policies.get(signer, ()):
        exists = world.namespaces.get(namespace)
        covers = f"covers namespace {namespace}" if policy.covers(namespace, exists) else "does not cover it"
        yield f"SignerPolicy {policy.name}", f"cannot be read: {policy.problem}" if policy.problem else covers
    defaults = ", ".join(map(str, sorted(world.defaults)))
    yield "mesh default", defaults or "none: a namespace that claims nothing has no signer"
    for problem in (*world.config.problems, *mesh.remarks):
        yield "problem", problem


def _issuer_text(mesh: Mesh, signer: IssuerRef, now: datetime) -> str:
    state = mesh.issuers.get(signer)
    if state is None and signer in mesh.world.routed:
        return "needs no issuer: a SignerPolicy routes it by identity"
    if state is None:
        known = ", ".join(sorted(ref.name for ref in mesh.issuers if ref.kind == signer.kind)[:SHOWN])
        return f"does not exist; there are: {known or 'none'}"
    if state.authority is not None:
        ends = state.authority.not_after
        return f"ready; its CA expires {to_rfc3339(ends)} ({ago(ends, now)})"
    if state.ready:
        return f"ready, of the type {state.kind}, without a CA"
    return f"not ready: {state.message}"


def _mesh_signer_text(mesh: Mesh, signer: IssuerRef) -> str:
    world = mesh.world
    why = []
    if signer in world.config.signers:
        why.append("meshConfig.caCertificates names it")
    if signer in world.defaults:
        why.append("it is the mesh's default")
    if signer in world.policies:
        why.append("a SignerPolicy names it")
    if signer in world.bindings:
        why.append("it has an owner")
    authority = mesh.authority(signer)
    if authority is not None and signer not in world.signers:
        others = sorted(map(str, world.keys.get(authority.key_id, ())))
        if others:
            why.append(f"its CA has the key of {', '.join(others)}")
    if not why and signer in world.signers:
        why.append("a mesh config named it before")
    return "yes: " + "; ".join(why) if why else "no: no mesh config, SignerPolicy or SignerBinding names it"


def _namespace_text(mesh: Mesh, namespace: str) -> str:
    if namespace not in mesh.world.namespaces:
        return "does not exist, and was never known"
    claims = mesh.world.claims.get(namespace, NO_CLAIMS)
    if not claims.signers:
        named = f" (ProxyConfig {claims.speaker.name} names none)" if claims.speaker is not None else ""
        return f"claims no signer{named}"
    parts = []
    for signer, name in sorted(claims.signers.items()):
        scope = "for all its workloads" if signer == claims.whole else "for some of its workloads"
        parts.append(f"claims {signer} {scope} (ProxyConfig {name.name})")
    return "; ".join(parts)


def _owner_text(mesh: Mesh, signer: IssuerRef, now: datetime) -> str:
    world = mesh.world
    binding = world.bindings.get(signer)
    if binding is None:
        if signer in world.policies:
            return "nobody: SignerPolicies give it out"
        if signer not in world.signers:
            return "nobody: it is not a signer of the mesh"
        if signer.name in world.namespaces:
            return f"nobody yet; namespace {signer.name} alone can own it, having its name"
        return "nobody yet; the first namespace that claims it will"
    if binding.problem:
        return f"SignerBinding {signer.name} cannot be read: {binding.problem}"
    text = f"namespace {binding.namespace} since {to_rfc3339(binding.created)}"
    exists = world.namespaces.get(binding.namespace)
    if exists is None:
        return f"{text}, which is gone; nobody else gets it before it is released"
    if exists.uid != binding.namespace_uid:
        return f"{text}, which is gone; the one of its name now is another (its uid is {exists.uid})"
    if binding.last_issued is not None:
        text += f", last certificate {ago(binding.last_issued, now)}"
    if signer not in world.claims.get(binding.namespace, NO_CLAIMS).signers:
        end = grace_ends(binding, world.settings.grace, now=now).astimezone(UTC)
        text += f"; it claims it no longer, and may renew until {to_rfc3339(end)}"
    return text
