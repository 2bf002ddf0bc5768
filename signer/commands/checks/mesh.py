"""Signers and tenants: whether what the mesh says of each agrees with what there is. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial

from issuers.authority import Authority
from issuers.istio_request import uri_name
from issuers.line import by_some
from issuers.request import read_request
from issuers.template import mesh_template
from issuers.verify import as_signed
from signer.api.duration import format_duration
from signer.api.issuer import IssuerRef
from signer.api.meta import to_rfc3339
from signer.api.proxyconfig import CERT_SIGNER
from signer.api.signername import signer_name_of
from signer.api.text import some
from signer.authorities.state import IssuerState
from signer.commands.checks.facts import (
    DEFINITIONS,
    Facts,
    Finding,
    Severity,
    at,
    containers,
    field_in,
    namespace_of,
    or_near,
)
from signer.commands.checks.fields import lacking
from signer.commands.command import NotFoundOut
from signer.commands.explanations.requests import workload_request
from signer.commands.live import told
from signer.tenancy.coverage import loses, read_coverage, would_have
from signer.tenancy.decide import BACKDATE
from signer.tenancy.grants import Claimable, Granted, NotGranted, granted, held_back
from signer.tenancy.policies import remarks, shut_out
from signer.tenancy.rules import WORKLOAD_USAGES
from signer.tenancy.world import DEFAULT_TRUST_DOMAIN, NO_CLAIMS, Policy

# A root has to reach the mesh config, and every workload by its next certificate (24 h), before the old one ends.
_SOON = timedelta(days=3)
_PROXY = "istio-proxy"
_READMIT = "if it is the same tenant's: mesh-signer tenants readmit, with the namespace that this names; else take it out of the policy"
_POLICIES_CRD = "signerpolicies.mesh-signer.dev"
_ENDED = {"Succeeded", "Failed"}


def check_cas(facts: Facts) -> Iterator[Finding]:
    """Whether each signer of the mesh exists, is ready, and does not end soon."""
    mesh = facts.mesh
    if mesh.issuer_gaps:
        return  # told by check_gaps: what may not be read is not what is not there
    for ref in sorted(mesh.world.signers):
        state = mesh.issuers.get(ref)
        if ref in mesh.unread or (state is None and ref in mesh.world.routed):
            continue
        if state is None:
            if ref in mesh.world.config.signers or ref in mesh.world.policies:
                text = f"{ref} is a signer of the mesh and does not exist"
                yield Finding(
                    "warning",
                    "cas",
                    text,
                    _named_by(facts, ref),
                    or_near(facts, ref, f"make {ref}, or remove its name there"),
                    code="SignerAbsent",
                )
        elif not state.ready:
            yield Finding(
                "error",
                "cas",
                f"{ref} is not ready: {state.message}",
                str(ref),
                _mend_issuer(ref, state),
                code="CANotReady",
            )
        elif state.authority is None:
            text = f"{ref} is of the type {state.kind}: it has no CA, so every mesh request for it is refused"
            yield Finding("error", "cas", text, str(ref), "give it spec.ca", code="SignerHasNoCA")
        elif against := _unverifiable(facts, ref, state.authority):
            text = f"{ref}: workloads would not accept what its CA signs, so each request is refused: {against[0]}"
            yield Finding(
                "error",
                "cas",
                text,
                str(ref),
                f"replace the CA in Secret {state.ca.secret_name} (spec.ca.secretName), and put its chain into that Secret",
                code="CANotAccepted",
            )
        elif state.authority.not_after - facts.now < _SOON:
            text = f"{ref}: its CA expires {to_rfc3339(state.authority.not_after)}"
            yield Finding(
                "error",
                "cas",
                text,
                str(ref),
                f"{_renew(state.authority)}, then mesh-signer mesh-config {signer_name_of(ref)} --write",
                code="CAEnds",
            )
        elif state.warning:
            yield Finding(
                "warning",
                "cas",
                f"{ref}: {state.warning}",
                str(ref),
                _renew(state.authority),
                code="CAWarning",
            )


def _renew(authority: Authority) -> str:
    """Say how a CA is to last longer: one that never had so long is not mended by being issued again as it was."""
    if authority.not_after - authority.not_before <= _SOON + BACKDATE:
        return (
            f"set spec.duration of the Certificate of its Secret to more than {_SOON.days} days, such as 2160h (and spec.renewBefore "
            "below that): as it is, each CA lives "
            f"{format_duration(authority.not_after - authority.not_before)} in all, and a renewed one ends as soon"
        )
    return "renew the Certificate of its Secret (mesh-signer renew)"


def _mend_issuer(ref: IssuerRef, state: IssuerState) -> str:
    """Say which object to mend: the Secret of a `ca` issuer, or its spec."""
    name = state.ca.secret_name
    secret = f"Secret {name} (spec.ca.secretName) in the namespace that the message names" if name else f"spec of {ref}"
    return f"mend {secret}: it says what is missing"


def _unverifiable(facts: Facts, ref: IssuerRef, authority: Authority) -> tuple[object, ...]:
    """What workloads would have against a certificate of this CA, for one of those that may ask it."""
    world = facts.mesh.world
    binding = world.bindings.get(ref)
    named = (name for policy in world.policies.get(ref, ()) for name in sorted(policy.namespaces))
    owner = (binding.namespace,) if binding is not None and not binding.problem else ()
    namespace = next(iter((*owner, *sorted(world.claimants.get(ref, ())), *named)), "default")
    domain = next(iter(sorted(world.config.trust_domains)), DEFAULT_TRUST_DOMAIN)
    asked = workload_request(domain, namespace, "default", signer_name_of(ref))
    request = read_request(asked.content.request, one_block=True)
    template = mesh_template(
        request,
        san=uri_name(request.uris[0]),
        usages=WORKLOAD_USAGES,
        not_before=facts.now - BACKDATE,
        not_after=facts.now + world.settings.max_workload_lifetime,
    )
    return by_some(as_signed(template, authority)[1])


def _named_by(facts: Facts, ref: IssuerRef) -> str:
    policies = facts.mesh.world.policies.get(ref, ())
    return f"SignerPolicy {', '.join(policy.name for policy in policies)}" if policies else "meshConfig.caCertificates"


def check_claims(facts: Facts) -> Iterator[Finding]:
    """Namespaces whose signer does not exist, or is not theirs; ProxyConfigs that cannot be read."""
    mesh, world = facts.mesh, facts.mesh.world
    for namespace, claims in sorted(world.claims.items()):
        for problem in claims.problems:
            yield Finding(
                # What names no issuer is asked for all the same, and gives no certificate.
                "error" if f"spec.environmentVariables.{CERT_SIGNER}: " in problem else "warning",
                "claims",
                problem,
                f"namespace {namespace}",
                f"correct {field_in(problem)}",
                code="ClaimMalformed",
            )
    if mesh.gaps:
        yield Finding("unknown", "claims", f"claims were not checked: {some(mesh.gaps)}", code="ClaimsNotChecked")
        return
    for ref in sorted(world.defaults):
        if ref not in mesh.issuers and ref not in world.routed:
            text = f"the mesh's default signer {ref} does not exist"
            yield Finding(
                "error",
                "claims",
                text,
                "meshConfig.defaultConfig.proxyMetadata",
                or_near(facts, ref, f"make {ref}"),
                code="DefaultAbsent",
            )
    for namespace, claims in sorted(world.claims.items()):
        for ref, name in sorted(claims.signers.items()):
            where = f"ProxyConfig {namespace}/{name.name}"
            if ref not in mesh.issuers and ref not in world.routed:
                text = f"namespace {namespace} names {ref}, which does not exist: its workloads get no certificate"
                yield Finding(
                    "error",
                    "claims",
                    text,
                    where,
                    or_near(facts, ref, f"make {ref}, or correct the name"),
                    code="ClaimAbsent",
                )
                continue
            if (why := refusal(facts, namespace, ref)) is not None:
                mend = f"mesh-signer explain --namespace={namespace} --signer={signer_name_of(ref)}"
                yield replace(why, check="claims", where=where, mend=mend)


def refusal(facts: Facts, namespace: str, ref: IssuerRef) -> Finding | None:
    """Tell why the workloads of a namespace get nothing of a signer, as the signer would; None when they get it."""
    try:
        found = facts.mesh.at_best(namespace, ref, facts.now)
    except NotFoundOut as error:
        return Finding("unknown", "claims", str(error), code="ClaimsNotChecked")
    if isinstance(found, Granted | Claimable):
        return None
    code, message = told(found)
    world = facts.mesh.world
    if isinstance(found, NotGranted) and not (world.settings.enforces(facts.now) or ref in world.routed):
        message += " (--tenancy=audit: it is signed all the same until that ends)"
    return Finding("warning", "claims", f"{code}: {message}", code="ClaimRefused")


def _taken(facts: Facts, policies: Iterable[Policy]) -> Iterator[Finding]:
    """Who loses a signer because a SignerPolicy names it: istiod, those who would own it, those who have the default."""
    world = facts.mesh.world
    coverage = read_coverage(
        policies,
        world.namespaces,
        frozenset(facts.mesh.issuers),
        istio_namespace=world.settings.istio_namespace,
        holders=partial(would_have, world),
        defaults=world.defaults,
    )
    lost = {one.signer: one for found in coverage.values() for one in found.lost}
    for ref, one in sorted(lost.items()):
        named = world.policies.get(ref, ())
        running = _with_proxies(facts, ref) if one.default else frozenset[str]()
        severity: Severity = "error" if one.istiod else "warning" if one.namespaces or running else "note"
        who = f"; proxies run in namespace {some(sorted(running))}" if running else ""
        yield Finding(
            severity,
            "policies",
            f"{loses(one)}{who}",
            f"SignerPolicy {some(policy.name for policy in named)}",
            "add the namespaces to spec.namespaces of one of them, write another policy for them, or delete it: a signer that "
            "a SignerPolicy names is for those whom policies cover, and for nobody else",
            code="PolicyTakesSigner",
        )


def _with_proxies(facts: Facts, signer: IssuerRef) -> frozenset[str]:
    """Name the namespaces whose proxies ask for the mesh's default, and are refused it."""
    world = facts.mesh.world
    there = {
        namespace_of(pod)
        for pod in facts.pods.items
        if any(one.get("name") == _PROXY for one in containers(pod)) and at(pod, "status", "phase") not in _ENDED
    }
    return frozenset(
        name
        for name in there & world.namespaces.keys()
        if world.claims.get(name, NO_CLAIMS).whole is None
        and isinstance(granted(world, name, signer, now=facts.now), NotGranted)
    )


def check_policies(facts: Facts) -> Iterator[Finding]:
    """SignerPolicies and SignerBindings that cannot be read, cover nothing, or take a signer from who would have it."""
    world = facts.mesh.world
    policies = {policy.name: policy for found in world.policies.values() for policy in found}
    for policy in policies.values():
        where = f"SignerPolicy {policy.name}"
        if policy.problem:
            text = f"it grants nothing: {policy.problem}"
            yield Finding(
                "error",
                "policies",
                text,
                where,
                f"correct {field_in(policy.problem)} of {where}",
                code="PolicyUnreadable",
            )
            continue
        if facts.mesh.gaps:
            pass  # whom it covers is not known; told by check_gaps
        elif held := [
            one
            for one in (
                held_back([policy], name, world.namespaces.get(name), next(iter(policy.signers)))
                for name in sorted(policy.namespaces)
            )
            if one is not None
        ]:
            mend = "is mesh-signer running, and may it patch signerpolicies/status?" if held[0].waits else _READMIT
            if held[0].waits and "status.namespaceUIDs" in lacking(facts.crds).get(_POLICIES_CRD, ()):
                mend = DEFINITIONS  # it is written, and not kept
            yield Finding(
                "warning",
                "policies",
                f"{held[0].reason.code}: {held[0].reason.message}",
                where,
                mend,
                code="PolicyHeldBack",
            )
        elif not any(policy.covers(name, found) for name, found in world.namespaces.items()):
            text = f"it covers no namespace that exists, so nobody has {some(map(str, sorted(policy.signers)))} by it"
            yield Finding(
                "warning",
                "policies",
                text,
                where,
                f"name a namespace that exists, or a label that one has, in spec.namespaces of {where}",
                code="PolicyCoversNobody",
            )
        limits = () if facts.mesh.gaps else shut_out(policy, world.config.trust_domains, world.requesters)
        for remark in (*(one.message for one in limits), *remarks(policy)):
            yield Finding(
                "warning",
                "policies",
                remark,
                where,
                f"correct {field_in(remark)} of {where}, if that is not meant",
                code="PolicyRemark",
            )
    yield from _taken(facts, policies.values())
    for ref, binding in sorted(world.bindings.items()):
        where = f"SignerBinding {ref.name}"
        exists = world.namespaces.get(binding.namespace)
        if binding.problem:
            mend = f"mesh-signer release signer {ref.name}"
            yield Finding(
                "error", "policies", f"it cannot be read: {binding.problem}", where, mend, code="BindingUnreadable"
            )
        elif (
            not facts.mesh.gaps
            and ref not in world.policies
            and (exists is None or exists.uid != binding.namespace_uid)
        ):
            text = f"{ref} belongs to a namespace {binding.namespace} that is gone: nobody else may have it"
            yield Finding(
                "note",
                "policies",
                text,
                where,
                f"if that is over: mesh-signer release signer {ref.name}",
                code="BindingOfGone",
            )
