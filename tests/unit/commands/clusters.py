"""Clusters drawn from a seed: namespaces, claims, policies, owners, records, issuers and settings in all states.

Each is a tuple of objects, put into an Index as the watches and the commands do.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
from hypothesis import strategies as st

from signer.api.issuer import IssuerRef
from signer.api.meta import to_rfc3339
from signer.api.namespace import NamespaceObject
from signer.api.proxyconfig import ProxyConfig
from signer.api.signerbinding import SignerBinding
from signer.api.signername import signer_name_of
from signer.api.signerpolicy import SignerPolicy
from signer.api.signerrecord import SignerRecord
from signer.authorities.state import IssuerState
from signer.commands.live import Mesh
from signer.tenancy.index import Index
from signer.tenancy.live import LiveConfig, LiveView
from signer.tenancy.records import new_record
from signer.tenancy.world import HadDefault, Settings
from tests.unit.commands.meshes import root, state
from tests.unit.csr.crafted import NOW, authority

ISTIO, SHOP = "istio-system", "shop"
NAMESPACES = ("foo", "bar", SHOP, ISTIO, "cert-manager")
CLUSTER_SIGNERS = tuple(IssuerRef("ClusterIssuer", "", name) for name in ("foo", "bar", "team", ISTIO, "letsencrypt"))
SIGNERS = (*CLUSTER_SIGNERS, IssuerRef("Issuer", SHOP, "ca"))
OTHERS_UID = "of an earlier one"


def uid(namespace: str) -> str:
    return f"uid-{namespace}"


@dataclass(frozen=True, repr=False)
class Cluster:
    """All that the wall reads, and the issuers."""

    settings: Settings
    namespaces: tuple[NamespaceObject, ...]
    proxy_configs: tuple[ProxyConfig, ...]
    mesh_config: str
    policies: tuple[SignerPolicy, ...]
    bindings: tuple[SignerBinding, ...]
    records: tuple[SignerRecord, ...]
    issuers: tuple[IssuerState, ...]
    had_default: tuple[tuple[str, HadDefault], ...]

    def __repr__(self) -> str:
        """Show it without keys and certificates."""
        objects: tuple[Any, ...] = (
            *self.namespaces,
            *self.proxy_configs,
            *self.policies,
            *self.bindings,
            *self.records,
        )
        told = [f"{one.metadata.namespace}/{one.metadata.name} {getattr(one, 'raw_spec', '')}" for one in objects]
        kinds = {str(one.ref): one.reason for one in self.issuers}
        config = [one.signers for one in self.index().world.config.authorities]
        return f"Cluster({self.settings.mode}, {told}, {config}, {self.index().world.defaults}, {kinds}, {self.had_default})"

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(repr(self))

    def index(self) -> Index:
        """What the signer knows when all of it was read."""
        index = Index(self.settings)
        for namespace in self.namespaces:
            index.put_namespace(namespace)
        for proxy_config in self.proxy_configs:
            index.proxy_configs.put(proxy_config)
        index.config_maps.put("istio", {"mesh": self.mesh_config})
        for policy in self.policies:
            index.put_policy(policy)
        for binding in self.bindings:
            index.put_binding(binding)
        for record in self.records:
            index.put_record(record)
        for one in self.issuers:
            if one.authority is not None:
                index.put_key(one.ref, one.authority.key_id, one.authority.chain)
        index.world.unsynced = ""
        index.world.had_default.update(self.had_default)
        index.settle(NOW)
        return index

    def mesh(self) -> Mesh:
        """What a command has read of it."""
        index = self.index()
        return Mesh(index.world, index, {one.ref: one for one in self.issuers}, {"istio": self.mesh_config})

    def view(self, index: Index, signer: IssuerRef, namespace: str) -> LiveView:
        """What a live read for this namespace finds: of this cluster, with the owner that `index` has by now."""
        there = {namespace, signer.name} if signer.kind == "ClusterIssuer" else {namespace}
        owned = index.world.bindings.items()
        return LiveView(
            self.settings,
            LiveConfig(index.world.config, index.config_maps.signers),
            tuple(one for one in self.namespaces if one.metadata.name in there),
            self.proxy_configs,
            self.policies,
            index.bindings.get(signer),
            index.records.get(signer),
            {name: had for name, had in self.had_default if name in there},
            {one: owner for one, owner in owned if owner.namespace == namespace and one != signer},
        )


def _object(kind: Any, name: str, namespace: str = "", **body: Any) -> Any:
    metadata = {"name": name, "uid": f"{kind.__name__}/{namespace}/{name}", "creationTimestamp": to_rfc3339(_DAYS_AGO)}
    metadata |= {"namespace": namespace} if namespace else {}
    metadata |= body.pop("metadata", {})
    return msgspec.convert({"metadata": metadata, **body}, kind)


_DAYS_AGO = NOW - timedelta(days=3)
_moments = st.sampled_from([NOW - timedelta(days=40), NOW - timedelta(hours=20), NOW - timedelta(minutes=3)])


@st.composite
def _namespaces(draw: Callable[..., Any]) -> tuple[NamespaceObject, ...]:
    found = []
    for name in NAMESPACES:
        if draw(st.integers(0, 7)) == 0:
            continue
        metadata: dict[str, Any] = {"uid": uid(name), "labels": {}}
        if draw(st.booleans()):
            metadata["labels"] = {"mesh-signer.dev/team": draw(st.sampled_from(["a", "b"]))}
        if draw(st.integers(0, 7)) == 0:
            metadata["deletionTimestamp"] = to_rfc3339(NOW)
        found.append(_object(NamespaceObject, name, metadata=metadata))
    return tuple(found)


@st.composite
def _proxy_configs(draw: Callable[..., Any]) -> tuple[ProxyConfig, ...]:
    found = []
    for index in range(draw(st.integers(0, 4))):
        namespace, signer = draw(st.sampled_from(NAMESPACES[:4])), draw(st.sampled_from(CLUSTER_SIGNERS)).name
        spec: dict[str, Any] = {"environmentVariables": {"ISTIO_META_CERT_SIGNER": signer}}
        if draw(st.integers(0, 3)) == 0:
            spec["selector"] = {"matchLabels": {"app": "web"}}
        if draw(st.integers(0, 9)) == 0:
            spec = {"environmentVariables": 7}
        metadata = {"creationTimestamp": to_rfc3339(draw(_moments))}
        found.append(_object(ProxyConfig, f"pc{index}", namespace, spec=spec, metadata=metadata))
    return tuple(found)


@st.composite
def _policy(draw: Callable[..., Any], name: str) -> SignerPolicy:
    routes = draw(st.integers(0, 3)) == 0
    spec: dict[str, Any] = {
        "signers": [signer_name_of(one) for one in draw(_some(CLUSTER_SIGNERS if routes else SIGNERS, least=1))]
    }
    names = draw(_some(NAMESPACES[:4]))
    where: dict[str, Any] = {"names": list(names)} if names else {}
    if draw(st.integers(0, 3)) == 0:
        where["matchLabels"] = {"mesh-signer.dev/team": "a"}
    if draw(st.integers(0, 3)) == 0:
        where["remade"] = "Allow"
    if names or "matchLabels" in where:
        spec["namespaces"] = where
    if routes:
        spec["route"] = "Identity"
    if draw(st.integers(0, 9 if routes else 4)) == 0:
        spec["serviceAccounts"] = ["web"]
    if not routes and draw(st.integers(0, 4)) == 0:
        spec["requesters"] = ["jane"]
    if not routes and draw(st.integers(0, 5)) == 0:
        spec["maxLifetime"] = draw(st.sampled_from(["1h", "soon"]))
    if not routes and draw(st.booleans()):
        spec["certificateRequests"] = {"requesters": ["jane"]} if draw(st.booleans()) else {}
        spec["dnsNames"] = ["shop.example"]
    uids = {one: draw(st.sampled_from([uid(one), uid(one), OTHERS_UID, ""])) for one in names}
    status = {"namespaceUIDs": {one: text for one, text in uids.items() if text}}
    found: SignerPolicy = _object(SignerPolicy, name, spec=spec, status=status)
    return found


@st.composite
def _bindings(draw: Callable[..., Any]) -> tuple[SignerBinding, ...]:
    found = []
    for signer in draw(_some(CLUSTER_SIGNERS)):
        namespace = draw(st.sampled_from(NAMESPACES[:4]))
        spec = {
            "signerName": signer_name_of(signer),
            "namespace": namespace,
            "namespaceUID": draw(st.sampled_from([uid(namespace), uid(namespace), OTHERS_UID, ""])),
        }
        status = {}
        if draw(st.booleans()):
            status["claimEndedTime"] = to_rfc3339(draw(_moments))
        if draw(st.booleans()):
            status["lastIssuedTime"] = to_rfc3339(draw(_moments))
        found.append(_object(SignerBinding, signer.name, spec=spec, status=status))
    return tuple(found)


@st.composite
def _records(draw: Callable[..., Any]) -> tuple[SignerRecord, ...]:
    found = []
    for signer in draw(_some(SIGNERS)):
        status: dict[str, Any] = {"givenOut": draw(st.booleans())}
        if draw(st.booleans()):
            status["givenOutUntilTime"] = to_rfc3339(draw(_moments))
        if draw(st.booleans()):
            status["meshConfigs"] = ["istio-gone"]
        new = new_record(signer)
        found.append(_object(SignerRecord, new["metadata"]["name"], spec=new["spec"], status=status))
    return tuple(found)


@st.composite
def _issuers(draw: Callable[..., Any]) -> tuple[IssuerState, ...]:
    found = []
    for signer in SIGNERS:
        kind = draw(
            st.sampled_from(
                ["ready"] * 6 + ["absent", "unready", "pending", "typeless", "selfSigned", "acme", "shared"]
            )
        )
        if kind == "absent":
            continue
        nothing: dict[str, Any] = {"ready": False, "authority": None, "message": "why"}
        defects: dict[str, dict[str, Any]] = {
            "unready": nothing | {"reason": "ErrGetKeyPair"},
            "pending": nothing | {"reason": "Pending"},
            "typeless": nothing | {"reason": "IssuerTypeMissing", "kind": ""},
            "selfSigned": {"kind": "selfSigned", "authority": None},
            "acme": {"kind": "acme", "authority": None},
            "shared": {"authority": authority("foo")},
        }
        found.append(state(signer, **defects.get(kind, {})))
    return tuple(found)


def _some(choices: Sequence[Any], *, least: int = 0) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(choices), min_size=least, max_size=3, unique=True)


@st.composite
def _mesh_config(draw: Callable[..., Any]) -> str:
    entries = []
    for signer in draw(_some(CLUSTER_SIGNERS)):
        pem = root(signer if draw(st.integers(0, 5)) else CLUSTER_SIGNERS[2])
        entries.append({"pem": pem, "certSigners": [signer_name_of(signer)]})
    config: dict[str, Any] = {"caCertificates": entries}
    if draw(st.booleans()):
        default = draw(st.sampled_from(CLUSTER_SIGNERS)).name
        config["defaultConfig"] = {"proxyMetadata": {"ISTIO_META_CERT_SIGNER": default}}
    return msgspec.json.encode(config).decode()  # JSON is YAML


@st.composite
def clusters(draw: Callable[..., Any]) -> Cluster:
    """Any cluster."""
    mode = draw(st.sampled_from(["enforce"] * 4 + ["audit", "over", "off"]))
    until = {"audit": NOW + timedelta(hours=1), "over": NOW - timedelta(hours=1)}.get(mode)
    settings = Settings(
        mode="audit" if mode == "over" else mode,
        audit_until=until,
        unbound=draw(st.sampled_from(["allow", "allow", "deny"])),
    )
    had = [
        (name, HadDefault(draw(st.sampled_from([uid(name), OTHERS_UID])), draw(_moments)))
        for name in draw(_some(NAMESPACES[:4]))
    ]
    return Cluster(
        settings,
        draw(_namespaces()),
        draw(_proxy_configs()),
        draw(_mesh_config()),
        tuple(draw(_policy(f"p{index}")) for index in range(draw(st.integers(0, 3)))),
        draw(_bindings()),
        draw(_records()),
        draw(_issuers()),
        tuple(had),
    )
