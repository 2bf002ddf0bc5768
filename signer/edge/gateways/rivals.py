"""One Secret, two who want it: a Certificate written by hand, another namespace's Gateway, or our own from before. Pure.

Which namespace has a Secret's name in a gateway's namespace is decided by the Certificate that is there: it is created
(never applied), so whoever was first has it, and says so by its annotation.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from signer.api.certificate import Certificate
from signer.api.labels import EDGE_LABEL, SOURCE_NAMESPACE, SOURCE_NAMESPACE_UID
from signer.edge.gateways.wish import Wish
from signer.tenancy.claims import shown
from signer.tenancy.verdict import Reason, Refuse


@dataclass(frozen=True, slots=True)
class Create:
    """Nothing is there: create the Certificate; AlreadyExists means to ask again."""


@dataclass(frozen=True, slots=True)
class Update:
    """Ours from before: bring this Certificate (by name) up to date."""

    name: str


@dataclass(frozen=True, slots=True)
class ByHand:
    """A Certificate that somebody wrote keeps this Secret already: nothing to do, and nothing is wrong."""

    name: str


def settle(
    wish: Wish, source_namespace_uid: str, namespace: str, there: Iterable[Certificate]
) -> Create | Update | ByHand | Refuse:
    """Decide who keeps the wish's Secret in this namespace. `there` are the Certificates of that namespace."""
    source = wish.sources[0].namespace
    rivals = [one for one in there if wish.secret_name in (one.spec.secret_name, one.metadata.name)]
    ours = [one for one in rivals if one.metadata.labels.get(EDGE_LABEL) == "true"]
    by_hand = next((one for one in rivals if one not in ours), None)
    if by_hand is not None:
        return _beside(wish, source, namespace, by_hand)
    if not ours:
        return Create()
    held = ours[0].metadata
    owner = held.labels.get(SOURCE_NAMESPACE), held.annotations.get(SOURCE_NAMESPACE_UID)
    if owner == (source, source_namespace_uid):
        return Update(held.name)
    # Whose it is stays untold: the other namespace's names are its own.
    return Refuse(
        (
            Reason(
                "SecretTaken",
                f"Secret {shown(wish.secret_name)} in {namespace} is kept for a Gateway of another namespace;"
                " choose another credentialName",
            ),
        )
    )


def _beside(wish: Wish, source: str, namespace: str, by_hand: Certificate) -> ByHand | Refuse:
    """A Certificate by hand serves a Gateway of its own namespace, and no other."""
    name = by_hand.metadata.name
    if by_hand.spec.secret_name != wish.secret_name:
        message = f"Certificate {namespace}/{name} is there for another Secret; choose another credentialName"
        return Refuse((Reason("NameTaken", message),))
    if source == namespace:
        return ByHand(name)
    message = f"Secret {shown(wish.secret_name)} is kept by Certificate {namespace}/{name}, which was written by hand"
    return Refuse((Reason("SecretTaken", f"{message}; choose another credentialName"),))
