"""Which CA signs for the server's namespace, and which root its workloads are verified with. Pure."""

from datetime import datetime

from signer.api.issuer import IssuerRef
from signer.authorities.state import IssuerState
from signer.bridges.credential import roots_in
from signer.bridges.step import Server
from signer.tenancy.grants import NotGranted
from signer.tenancy.routes import route
from signer.tenancy.verdict import Reason
from signer.tenancy.world import NO_CLAIMS, World

NO_SIGNER = "NoSigner"
SIGNER_NOT_READY = "SignerNotReady"


def signer_of(world: World, namespace: str, *, now: datetime) -> IssuerRef | Reason:
    """Name the signer that signs for the namespace's workloads.

    That is the one that it claims for all of them, else the mesh's default; where that one is routed by identity, or nothing
    is known but that one name is, the signer that identity leads to.
    """
    claims = world.claims.get(namespace, NO_CLAIMS)
    if claims.malformed:
        return Reason(
            NO_SIGNER, f"the ProxyConfig of namespace {namespace} names no issuer: its workloads get no certificate"
        )
    asked = {claims.whole} if claims.whole is not None else set(world.defaults or world.routed)
    if len(asked) == 1:
        (one,) = asked
        way = route(world, one, namespace, now=now) if one in world.routed else None
        return way.reason if isinstance(way, NotGranted) else way.signer if way is not None else one
    known = "several default signers" if world.defaults else "no default signer"
    return Reason(
        NO_SIGNER,
        f"namespace {namespace} claims no signer by a ProxyConfig without a selector, and the mesh has {known}",
    )


def server_of(state: IssuerState | None, signer: IssuerRef, world: World) -> Server | Reason:
    """Say what the signer's CA is, for a client that must trust its servers; or why it cannot sign now.

    The root is the CA's own; where its Secret does not have it, the one that the mesh config gives the signer's workloads.
    """
    if state is None:
        return Reason(SIGNER_NOT_READY, f"there is no {signer}, which signs for the server's namespace")
    authority = state.authority
    if authority is None:
        return Reason(
            SIGNER_NOT_READY, f"{signer}, which signs for the server's namespace, is not ready: {state.message}"
        )
    root = authority.root_pem
    if root is None:
        listed = [one.pem for one in world.config.authorities if signer in one.signers]
        root = listed[0].encode() if len(listed) == 1 else authority.anchor_pem
    blocks = roots_in(root)
    if not blocks:
        return Reason(SIGNER_NOT_READY, f"the root of {signer} in the mesh config cannot be read")
    # The last one is what workloads of the signer take for their root.
    return Server(authority.authority_key_id.hex(), blocks[-1], authority.not_after)
