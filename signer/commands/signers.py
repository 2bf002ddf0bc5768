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
