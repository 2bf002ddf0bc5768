"""A cluster as the page sees it: two tenants, a thief, two that share a root, and whatever a test adds."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec

from issuers.authority import Authority, load_authority
from signer.api.certificate import CERTIFICATES
from signer.api.certificaterequest import CERTIFICATE_REQUESTS
from signer.api.issuer import IssuerRef
from signer.api.meta import to_rfc3339
from signer.api.namespace import NamespaceObject
from signer.api.proxyconfig import ProxyConfig
from signer.api.signerbinding import SignerBinding
from signer.api.signername import signer_name_of
from signer.api.signerpolicy import SignerPolicy
from signer.authorities.state import IssuerState
from signer.commands.hosts import READ
from signer.commands.live import Json, Listing, Mesh
from signer.commands.page.seen import Seen, Warned
from signer.tenancy.world import Settings
from tests.unit.commands.clusters import Cluster
from tests.unit.commands.meshes import facts, root, state
from tests.unit.csr.crafted import NOW, ca

SERVER = "https://127.0.0.1:6443"
DAYS_AGO = to_rfc3339(NOW - timedelta(days=3))
NAMESPACES = ("istio-system", "foo", "bar", "thief", "one", "two", "plain")


def signer(name: str) -> IssuerRef:
    return IssuerRef("ClusterIssuer", "", name)


SIGNERS = tuple(map(signer, ("istio-system", "foo", "bar", "one", "two")))


@functools.cache
def _below_one() -> Authority:
    """The CA of `two`, an intermediate of the root of `one`."""
    data = ca("one").intermediate("two").secret()
    return load_authority(data["tls.crt"], data["tls.key"], data["ca.crt"], now=NOW)


def issuers() -> list[IssuerState]:
    """The signers, all ready."""
    return [state(ref, **({"authority": _below_one()} if ref.name == "two" else {})) for ref in SIGNERS]


def _object(kind: Any, name: str, namespace: str = "", **body: Any) -> Any:
    metadata = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "creationTimestamp": DAYS_AGO}
    return msgspec.convert({"metadata": metadata, **body}, kind)


def _claim(namespace: str, of: str) -> ProxyConfig:
    found: ProxyConfig = _object(
        ProxyConfig, "pc", namespace, spec={"environmentVariables": {"ISTIO_META_CERT_SIGNER": of}}
    )
    return found


def _owner(of: str, namespace: str) -> SignerBinding:
    spec = {"signerName": signer_name_of(signer(of)), "namespace": namespace, "namespaceUID": f"uid-{namespace}"}
    found: SignerBinding = _object(SignerBinding, of, spec=spec, status={})
    return found


def _mesh_config() -> str:
    """Each signer has its own root, but for `one` and `two`, which have that of `one`."""
    entries = [
        {"pem": root(signer("one" if ref.name == "two" else ref.name)), "certSigners": [signer_name_of(ref)]}
        for ref in SIGNERS
    ]
    default = {"proxyMetadata": {"ISTIO_META_CERT_SIGNER": "istio-system"}}
    return msgspec.json.encode({"caCertificates": entries, "defaultConfig": default}).decode()


def cluster(states: Sequence[IssuerState] | None = None, claims: Mapping[str, str] | None = None) -> Cluster:
    """The mesh of the sample; `claims` are of further namespaces, or instead of those that are here."""
    claimed = {"foo": "foo", "bar": "bar", "thief": "foo", "one": "one", "two": "two"} | dict(claims or {})
    policy = _object(
        SignerPolicy,
        "plain",
        spec={"signers": [signer_name_of(signer("bar"))], "namespaces": {"names": ["bar", "plain"]}},
        status={"namespaceUIDs": {"bar": "uid-bar", "plain": "uid-plain"}},
    )
    return Cluster(
        Settings(),
        tuple(_object(NamespaceObject, name) for name in dict.fromkeys((*NAMESPACES, *claimed))),
        tuple(_claim(namespace, of) for namespace, of in claimed.items()),
        _mesh_config(),
        (policy,),
        tuple(_owner(name, name) for name in ("foo", "one", "two")),
        (),
        tuple(issuers() if states is None else states),
        (),
    )


@functools.cache
def _mesh() -> Mesh:
    """The sample's mesh, which no test changes."""
    return cluster().mesh()


def condition(type_: str, status: str, reason: str = "", message: str = "", **more: str) -> Json:
    return {"type": type_, "status": status, "reason": reason, "message": message, **more}


def csr(name: str, *conditions: Json, of: str = "clusterissuers.cert-manager.io/foo") -> Json:
    spec = {"signerName": of, "username": "system:serviceaccount:istio-system:istiod"}
    metadata = {"name": name, "creationTimestamp": DAYS_AGO}
    return {
        "kind": "CertificateSigningRequest",
        "metadata": metadata,
        "spec": spec,
        "status": {"conditions": list(conditions)},
    }


def namespaced(kind: str, name: str, *conditions: Json, namespace: str = "shop", **status: Any) -> Json:
    metadata = {"name": name, "namespace": namespace, "creationTimestamp": DAYS_AGO, "uid": f"uid-{name}"}
    spec: Json = {"issuerRef": {"name": "foo", "kind": "ClusterIssuer"}, "secretName": name, "dnsNames": ["a.example"]}
    return {"kind": kind, "metadata": metadata, "spec": spec, "status": {"conditions": list(conditions), **status}}


def certificate(name: str, *conditions: Json, **more: Any) -> Json:
    return namespaced(CERTIFICATES.kind, name, *conditions, **more)


def crossing(status: str, reason: str, namespace: str = "foo") -> Json:
    """A TenantBridge that lets the shared gateway into a namespace, as far as its status says."""
    client = {"namespace": "istio-system", "serviceAccount": "gateway", "matchLabels": {"a": "b"}}
    return {
        "metadata": {"name": "ingress", "namespace": namespace},
        "spec": {"client": client, "hosts": [f"httpbin.{namespace}.svc.cluster.local"]},
        "status": {"conditions": [{"type": "Ready", "status": status, "reason": reason, "message": "m"}]},
    }


def certificate_request(name: str, *conditions: Json, **more: Any) -> Json:
    return namespaced(CERTIFICATE_REQUESTS.kind, name, *conditions, **more)


def warned(name: str = "foo", **fields: Any) -> Warned:
    """An Event of type Warning of ours."""
    obj = {
        "metadata": {"name": "e", "namespace": "foo"},
        "involvedObject": {"kind": "ProxyConfig", "namespace": "foo", "name": name},
    }
    found: Warned = msgspec.convert(obj | fields, Warned)
    return found


def seen(
    of: Cluster | None = None,
    *,
    requests: Sequence[Json] = (),
    certificate_requests: Sequence[Json] = (),
    certificates: Sequence[Json] = (),
    lists: Mapping[Any, Listing] | None = None,
    events: Sequence[Warned] = (),
    **changes: Any,
) -> Seen:
    """What one look gave; `lists` are of what public hosts rest on, `changes` replace fields of Seen."""
    listed = {resource: Listing() for resource in READ} | {CERTIFICATES: Listing(tuple(certificates))}
    found = Seen(
        SERVER,
        facts(_mesh() if of is None else of.mesh()),
        Listing(tuple(requests)),
        Listing(tuple(certificate_requests)),
        listed | dict(lists or {}),
        warned=tuple(events),
    )
    return replace(found, **changes)
