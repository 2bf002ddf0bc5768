"""Meshes and facts for tests of the commands: the tenants of tests/unit/tenancy/worlds.py, with issuers and objects."""

from collections.abc import Mapping, Sequence
from typing import Any

from signer.api.issuer import Issuer, IssuerRef
from signer.api.meta import ObjectMeta
from signer.authorities.state import IssuerState
from signer.commands.checks.facts import Facts, Finding
from signer.commands.live import Json, Listing, Mesh
from signer.settings.values import Settings
from signer.tenancy.index import Index
from signer.tenancy.world import CertificateAuthorityEntry, MeshConfig, World
from signer.tenancy.world import Settings as WallSettings
from tests.unit.csr.crafted import NOW, authority
from tests.unit.tenancy.worlds import BAR, DEFAULT, FOO, TEAM, world

ALL = (FOO, BAR, DEFAULT, TEAM)


def state(ref: IssuerRef, **changes: Any) -> IssuerState:
    """An issuer that is ready, or whatever `changes` say; issuers of different names have different keys."""
    issuer = Issuer(
        metadata=ObjectMeta(name=ref.name, namespace=ref.namespace), raw_spec={"ca": {"secretName": f"{ref.name}-ca"}}
    )
    values: dict[str, Any] = {
        "kind": "ca",
        "ready": True,
        "reason": "KeyPairVerified",
        "message": "",
        "authority": authority(ref.name),
    }
    return IssuerState(ref, issuer, **(values | changes))


def root(ref: IssuerRef) -> str:
    found = authority(ref.name).root_pem
    assert found is not None
    return found.decode()


def entries(*refs: IssuerRef, **changes: Any) -> MeshConfig:
    """A mesh config with the right root for each of these."""
    listed = tuple(CertificateAuthorityEntry(root(ref), frozenset({ref})) for ref in refs)
    return MeshConfig(defaults=frozenset({DEFAULT}), signers=frozenset(refs), authorities=listed, **changes)


def mesh(found: World | None = None, issuers: Sequence[IssuerState] | None = None, **changes: Any) -> Mesh:
    """The task's mesh, in step with its CAs."""
    found = found or world(config=entries(*ALL))
    states = {one.ref: one for one in (map(state, ALL) if issuers is None else issuers)}
    return Mesh(found, Index(WallSettings()), states, **({"texts": {"istio": ""}} | changes))


def facts(found: Mesh | None = None, settings: Settings | None = None, **listings: Any) -> Facts:
    """Facts about a mesh; each keyword is a list of objects, or a Listing; those of accesses are as in Facts."""
    read: dict[str, Any] = {
        name: value if isinstance(value, Listing) or name.startswith("access") else Listing(tuple(value))
        for name, value in listings.items()
    }
    return Facts(settings or Settings(), found or mesh(), NOW, **read)


def named(kind: str, name: str, namespace: str = "", **body: Any) -> Json:
    meta = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"kind": kind, "metadata": meta, **body}


def deployment(
    name: str,
    namespace: str,
    *,
    env: Mapping[str, str] | None = None,
    args: Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
    available: int = 1,
    **spec: Any,
) -> Json:
    listed = [{"name": key, "value": value} for key, value in (env or {}).items()]
    containers = [{"name": "c", "env": listed, "args": list(args)}]
    template = {"metadata": {"labels": dict(labels or {})}, "spec": {"containers": containers, **spec}}
    status = {"availableReplicas": available}
    return named("Deployment", name, namespace, spec={"template": template}, status=status)


def role(name: str, *rules: tuple[str, str, str], names: Sequence[str] = ()) -> Json:
    """A ClusterRole of rules (verbs, group, resources)."""
    listed = [
        {"verbs": verbs.split(), "apiGroups": [group], "resources": resources.split()}
        | ({"resourceNames": list(names)} if names else {})
        for verbs, group, resources in rules
    ]
    return named("ClusterRole", name, rules=listed)


def bound(role_name: str, *subjects: tuple[str, str, str], namespace: str = "", kind: str = "ClusterRole") -> Json:
    """A binding of subjects (kind, namespace, name)."""
    listed = [{"kind": what, "name": name} | ({"namespace": place} if place else {}) for what, place, name in subjects]
    ref = {"kind": kind, "name": role_name}
    return named("Binding", f"b-{role_name}", namespace, roleRef=ref, subjects=listed)


def whats(found: Sequence[Finding] | Any) -> list[str]:
    return [f"{one.severity}: {one.what}" for one in found]
