"""Which CAs the mesh's wall is about, though no mesh signer has their key, and which are below the roots that admins gave.

A root is its subject and its key: what a CA says it is below counts only where a signature or the root itself shows it. Pure.
"""

from datetime import datetime
from typing import NamedTuple

from issuers.chain import Chain
from signer.api.issuer import IssuerRef
from signer.tenancy import rules
from signer.tenancy.verdict import Claim, Reason, Unready
from signer.tenancy.world import World

# The reason of a wait that ends by itself, in the next turns of the loop.
NOT_JUDGED = "CANotJudged"


class CA(NamedTuple):
    """Which CA a workload's certificate would come from: the signer, its CA's key, and the CA with what is above it."""

    signer: IssuerRef
    key_id: str
    chain: Chain | None = None


def speaks_for_the_mesh(claim: Claim, world: World) -> bool | Unready:
    """Tell whether another CA that the mesh trusts is asked for what workloads believe: an identity, or a CA.

    Workloads trust a root, not the CA below it, so such a certificate would be taken for a tenant's or for istiod's. Other
    certificates of an organization's root (servers, people) are none of the mesh's. A CA whose Secret ends below the root
    is told by its signature; until that was looked at, nothing is granted.
    """
    if not _believed(claim, world):
        return False
    key_ids = {claim.ca_key_id, claim.root_key_id, *(claim.chain.key_ids if claim.chain is not None else ())}
    if claim.ca_key_id in world.below or any(key in world.root_keys or key in world.keys for key in key_ids):
        return True
    if claim.chain is None or not claim.chain.open or claim.chain.identity in world.judged:
        return False
    if not world.root_keys and not world.keys:
        return False
    message = f"whether the CA of {claim.signer} is below a root of the mesh was not looked at yet"
    return Unready(Reason(NOT_JUDGED, message))


def _believed(claim: Claim, world: World) -> bool:
    """Tell whether a certificate would say something that the mesh's proxies and agents go by."""
    if claim.is_ca or any(uri.lower().startswith("spiffe:") for uri in claim.request.uris):
        return True
    # A dot at the end, and a common name where no other name is, count for some verifiers.
    common = (text for name in claim.request.subject_names for kind, text in name if kind == rules.COMMON_NAME)
    names = {name.lower().strip().rstrip(".") for name in (*claim.request.dns_names, *common)}
    return any(rules.names_cover((name,), istiod) for name in names for istiod in rules.istiod_names(world))


def other_root(ca: CA, world: World, now: datetime) -> Unready | None:
    """Say that a CA is not below the root that admins gave the signer's workloads: one that was changed waits for them.

    A root is its subject and its key (issuers/chain.py, anchor_of). istiod would refuse the certificate all the same. Where
    the mesh config has no root for a signer, there is nothing to hold it against.
    """
    roots = world.roots.get(ca.signer)
    if ca.chain is None or roots is None or not roots.anchors or not world.settings.enforces(now):
        return None
    # Any of the chain: a CA that is cross-signed is the new root itself, while its chain still ends at the old one.
    if any(one.anchor in roots.anchors for one in ca.chain.certificates):
        return None
    top = ca.chain.certificates[-1]
    if not ca.chain.rooted and top.fields.issuer in roots.subjects:
        return None  # the root is not in the Secret: its name is all there is to go by
    if top.key_id in roots.key_ids:
        message = (
            f"the CA of {ca.signer} has the key of the root that meshConfig.caCertificates has for it, and another "
            "subject: what it signs is not below that root. An admin gives it its former subject again (commonName or "
            "subject of its Certificate); docs/tenancy.md says how a CA is changed without an outage"
        )
    else:
        message = (
            f"the CA of {ca.signer} is not below the root that meshConfig.caCertificates has for it: if its key was to "
            "change, an admin writes the new root (mesh-signer mesh-config --write --force), which those who trust the one "
            "of now do not accept; else he puts that root, or the Secret with the CA's former key, back"
        )
    return Unready(Reason("RootMismatch", message, _whose_root(ca, world)))


def _whose_root(ca: CA, world: World) -> str:
    """Say, for admins, that the root which stands there is another signer's; "" when it is none's that is known."""
    key_ids = world.roots[ca.signer].key_ids
    others = {other for key_id in key_ids for other in world.keys.get(key_id, frozenset())} - {ca.signer}
    others |= {other for other, roots in world.roots.items() if other != ca.signer and roots.key_ids & key_ids}
    if not others:
        return ""
    return f"the entry of meshConfig.caCertificates that lists {ca.signer} has the root of {min(others)}"
