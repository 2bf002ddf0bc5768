"""What a person can do about a refusal, by its code, in a sentence. Pure.

Advice never says to open the wall further than the one that is refused needs.
"""

from collections.abc import Iterable

from signer.api.issuer import IssuerRef
from signer.api.names import user_problem
from signer.api.signername import signer_name_of
from signer.api.text import shown
from signer.tenancy.verdict import Reason
from signer.tenancy.world import World

_FIXED = {
    "UnexpectedContents": (
        "Istio's own agents ask in one form only, and this is another: find out who made the request. Nothing in the "
        "mesh's settings lets it pass."
    ),
    "IdentityNotAllowed": "The names in the request are not the namespace's own; a SignerPolicy's dnsNames may add some.",
    "KeyNotAllowed": "Give the workload another key (ECC_SIGNATURE_ALGORITHM, WORKLOAD_RSA_KEY_SIZE), or list its kind "
    "under keys of a SignerPolicy.",
    "UsagesNotAllowed": "Ask for the usages that are named; a SignerPolicy's usages can only take some away.",
    "DNSNameNotAllowed": "If the name is istiod's own, add it with --istiod-dns-names or to dnsNames of a SignerPolicy.",
    "CARequestsNotAllowed": "A CA is never issued by request here; make it with a Certificate (isCA) in the cluster "
    "resource namespace.",
    "SignerTypeNotAllowed": "A signer of the mesh is a `ca` issuer: give it spec.ca.secretName.",
    "UnboundSigner": "The signer runs with --unbound=deny: write a SignerPolicy that names this signer.",
    "IssuerNotFound": "Create the issuer, or correct the name in the ProxyConfig or Pod that asks for it; the request is "
    "taken up again by itself.",
    "IssuerTypeMissing": "Give the issuer a type, such as spec.ca: {secretName: NAME}.",
    "DeniedReference": "Give the requester the verb `reference` on signers.cert-manager.io of this Issuer.",
    "MeshNotRead": "Wait until the signer has read the mesh; /readyz of mesh-signer says what is missing if that takes more than a minute.",
}


def advise_on(
    reasons: Iterable[Reason], world: World, namespace: str, signer: IssuerRef, requester: str
) -> tuple[str, ...]:
    """Say what to do about each of these reasons, the same thing once."""
    found = dict.fromkeys(
        _about_ca(signer)
        if reason.code == "TenantMismatch" and reason.others
        else advise(reason.code, world, namespace, signer, requester)
        for reason in reasons
    )
    return tuple(sentence for sentence in found if sentence)


def advise(code: str, world: World, namespace: str, signer: IssuerRef, requester: str) -> str:
    """Say what to do about one reason; "" where its message says it all."""
    policies = ", ".join(policy.name for policy in world.policies.get(signer, ()))
    if code == "IssuerNotReady":
        resource = "clusterissuer" if not signer.namespace else f"-n {signer.namespace} issuer"
        return (
            f"Mend what the reason names, the Secret in spec.ca.secretName or the spec of {signer} (kubectl describe {resource} "
            f"{signer.name}); the request is then taken up again by itself."
        )
    if code == "TenantMismatch":
        return _about_tenant(world, namespace, signer, policies)
    if code == "SignerClaimed":
        binding = world.bindings.get(signer)
        exists = world.namespaces.get(binding.namespace) if binding is not None else None
        if binding is not None and (exists is None or exists.uid != binding.namespace_uid):
            return f"Its owner is gone. If that is for good: mesh-signer tenants release {signer.name}"
        return (
            f"Only if {namespace} is the same tenant's as the owner: write a SignerPolicy that names both namespaces. "
            "Otherwise it is not for this namespace."
        )
    if code == "SignerContested":
        return "`mesh-signer tenants --propose` prints a SignerPolicy for all that claim it: read it, then apply it."
    if code == "NotAMeshSigner":
        return (
            f"If it should be a signer of the mesh: mesh-signer mesh-config {signer_name_of(signer)} --write, or a "
            "SignerPolicy that names it. Only admins can do either."
        )
    if code == "NamespaceNotFound":
        return f"No namespace {namespace} is known: is its name spelled right?"
    if code == "RequesterNotAllowed":
        return _about_requester(world, signer, requester, policies)
    if code == "TrustDomainMismatch":
        there = world.namespaces.get(namespace)
        if listing := [
            one for one in world.policies.get(signer, ()) if one.trust_domains and one.covers(namespace, there)
        ]:
            names, known = ", ".join(one.name for one in listing), " and ".join(sorted(world.config.trust_domains))
            return f"Correct spec.trustDomains of SignerPolicy {names}, or remove the field: the mesh has {known or 'none that is known'}."
        return (
            "After a change of trustDomain in Istio's mesh config restart istiod, and then the workloads, which keep the old one "
            "until then; or let a SignerPolicy with both in spec.trustDomains cover the namespace meanwhile. "
            "meshConfig.trustDomainAliases changes nothing here."
        )
    if code == "ServiceAccountNotAllowed":
        return f"Add the service account to serviceAccounts of SignerPolicy {policies}."
    return _FIXED.get(code, "")


def with_account(world: World, user: str) -> str:
    """The option that adds an istiod to those that may ask: the whole list, since what it is given replaces the former."""
    return f"--istiod-accounts={','.join(sorted({*world.requesters, user}))} (the whole list: what is left out may ask no longer)"


def _about_requester(world: World, signer: IssuerRef, requester: str, policies: str) -> str:
    who = requester or "this requester"
    if any(policy.requesters or policy.request_requesters for policy in world.policies.get(signer, ())):
        istiods = "; without the field istiod may ask" if requester in world.requesters else ""
        return f"If {who} should ask, list it under spec.requesters of SignerPolicy {policies}{istiods}."
    accounts = ", ".join(sorted(world.requesters)) or "nobody"
    if not requester:
        return f"For signers of the mesh {accounts} may ask; who asked is not known, so --requester tells what becomes of another's."
    if problem := user_problem(requester, people=False):
        return f"For signers of the mesh {accounts} may ask. {shown(who)} {problem}, so it can be no istiod's: --istiod-accounts does not take it."
    return (
        f"For signers of the mesh {accounts} may ask. If {who} is an istiod of a revision, its ConfigMap istio-REVISION in Istio's "
        f"namespace makes it known; or set {with_account(world, requester)}. Otherwise name it under requesters of a SignerPolicy."
    )


def _about_ca(signer: IssuerRef) -> str:
    """Where a signer has another one's CA no grant helps."""
    secret = f"the Secret of {signer} (spec.ca.secretName)"
    return f"Is {secret} the right one? Name that of its own CA there, or put one of its own (a Certificate with isCA) into it."


def _about_tenant(world: World, namespace: str, signer: IssuerRef, policies: str) -> str:
    if policies and signer in world.defaults:
        return (
            f"SignerPolicy {policies} takes the mesh's default signer from every namespace that it does not cover, istiod's own "
            f"too: add {namespace} to spec.namespaces, write a second policy for the others, or delete it. A limit for one "
            "namespace needs a signer of its own."
        )
    if policies:
        return f"If {namespace} is the same tenant's, add it to SignerPolicy {policies} (spec.namespaces.names)."
    if signer.kind == "Issuer":
        return "An Issuer is for its own namespace: use a ClusterIssuer, or name both in a SignerPolicy."
    return (
        f"If {namespace} should have it, let a ProxyConfig of {namespace} name it (ISTIO_META_CERT_SIGNER: "
        f"{signer.name}), or write a SignerPolicy with both. A Pod's annotation, label or environment grants nothing."
    )
