"""How a person names a signer on a command line, and what of a signer goes into Istio's files. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from signer.api.issuer import IssuerRef
from signer.api.names import is_issuer
from signer.api.signername import parse_signer_name, signer_name_of
from signer.api.text import shown
from signer.authorities.state import IssuerState
from signer.commands.command import NotFoundOut
from signer.tenancy.shared import by_key, has_the_ca_of, holders
from signer.tenancy.world import World

_KINDS = {"clusterissuer": "ClusterIssuer", "clusterissuers": "ClusterIssuer", "issuer": "Issuer", "issuers": "Issuer"}


def parse_signer(text: str, domain: str) -> IssuerRef:
    """Read a signer's name: as in ISTIO_META_CERT_SIGNER, in full, `clusterissuer/foo`, or `issuer/shop.foo`.

    Raises NotFoundOut.
    """
    prefix, slash, rest = text.partition("/")
    if slash and prefix.lower() in _KINDS:
        domain, text = f"{_KINDS[prefix.lower()].lower()}s.cert-manager.io", rest
    ref = parse_signer_name(text if "/" in text else f"{domain}/{text}")
    if ref is None or not is_issuer(ref):
        raise NotFoundOut(
            f"{shown(text)} names no signer: write it as in ISTIO_META_CERT_SIGNER (foo), or in full ({domain}/foo)"
        )
    return ref


@dataclass(frozen=True, slots=True)
class Roots:
    """The roots of signers, by their full names, and what is wrong with those that have none."""

    pems: Mapping[str, str]
    complaints: tuple[str, ...] = ()


def roots_of(signers: Iterable[IssuerRef], states: Mapping[IssuerRef, IssuerState]) -> Roots:
    """Find the root that workloads of each signer must trust."""
    pems: dict[str, str] = {}
    complaints: list[str] = []
    for ref in signers:
        state = states.get(ref)
        if state is None:
            complaints.append(f"{ref} does not exist")
        elif state.authority is None:
            why = state.message or f"it is of the type {state.kind}, and has no CA"
            complaints.append(f"{ref} has no root that could be told: {why}")
        elif state.authority.root_pem is None:
            complaints.append(f"{ref}: the root above its CA is not known; put it into ca.crt of its Secret")
        else:
            pems[signer_name_of(ref)] = state.authority.root_pem.decode()
    return Roots(pems, tuple(complaints))


def without_others_cas(world: World, states: Mapping[IssuerRef, IssuerState], roots: Roots, *, force: bool) -> Roots:
    """Leave out, unless `force`, signers whose CA another tenant's signer has; and tell of those whose root one has."""
    found = {ref: state for ref, state in states.items() if signer_name_of(ref) in roots.pems}
    keys = {ref: state.authority.key_id for ref, state in found.items() if state.authority is not None}
    tops = {ref: state.authority.root_key_id for ref, state in found.items() if state.authority is not None}
    pems, complaints, same = dict(roots.pems), list(roots.complaints), by_key(keys)
    for ref, key_id in sorted(keys.items()):
        if (other := has_the_ca_of(world, ref, key_id, same)) is not None:
            if not force:
                del pems[signer_name_of(ref)]
            complaints.append(others_ca(ref, other) + ("" if force else " (--force puts the root there all the same)"))
            continue
        having = {
            one
            for one, known in world.roots.items()
            if tops[ref] in known.key_ids and not _below_another(states, one, tops[ref])
        } | {one for one, top in tops.items() if top == tops[ref]}
        mine = holders(world, ref)
        if beside := sorted(one for one in having - {ref} if (of := holders(world, one)) and of != mine):
            complaints.append(
                f"{ref} has the root of {beside[0]}, which other namespaces have: their workloads trust each other. Give it a "
                "CA below a root of its own"
            )
    return Roots(pems, tuple(complaints))


def whose_ca(world: World, states: Mapping[IssuerRef, IssuerState], ref: IssuerRef) -> IssuerRef | None:
    """Return the signer of another tenant whose CA key a signer has; None where its CA is its own, or not known."""
    state = states.get(ref)
    return has_the_ca_of(world, ref, state.authority.key_id, {}) if state is not None and state.authority else None


def others_ca(ref: IssuerRef, other: IssuerRef) -> str:
    """Say what is wrong with a signer that has another tenant's CA, and what to do: its root is nobody's to trust."""
    return (
        f"{ref} has the CA key of {other}, which other namespaces have: is its spec.ca.secretName right? Give it a CA of its "
        "own"
    )


def _below_another(states: Mapping[IssuerRef, IssuerState], ref: IssuerRef, root_key_id: str) -> bool:
    """Tell whether a signer's own CA is known to have another root: then its entry is wrong, and its CA is not."""
    state = states.get(ref)
    return state is not None and state.authority is not None and state.authority.root_key_id != root_key_id


def mesh_fragment(pems: Mapping[str, str]) -> dict[str, Any]:
    """Return what goes into meshConfig: one entry for each signer."""
    return {"caCertificates": [{"pem": pem, "certSigners": [name]} for name, pem in sorted(pems.items())]}


def approve_rule(names: Iterable[str]) -> dict[str, Any]:
    """Return the rule by which istiod may approve its requests for these signers (Kubernetes, "signers", `approve`)."""
    return {
        "apiGroups": ["certificates.k8s.io"],
        "resources": ["signers"],
        "resourceNames": sorted(names),
        "verbs": ["approve"],
    }
