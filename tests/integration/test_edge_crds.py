"""Order, Challenge, EdgePolicy and HostClaim on the real API server; the first two beside cert-manager's own."""

import copy
import json
import re
from typing import Any

import msgspec
import pytest

from manifests.generate.crd import acme_kinds, definition
from signer.api.challenge import Challenge
from signer.api.edgepolicy import EdgePolicy
from signer.api.hostclaim import HostClaim
from signer.api.order import Order
from tests.integration import certmanager_crds as peer
from tests.integration.crds.objects import SHAPE, create, set_status
from tests.localmesh import Cluster, LocalMeshError

pytestmark = pytest.mark.integration

# Of cert-manager 1.21, which is newer than the definitions that we compare with; in an Order's status our own.
EXTERNAL_DNS = ".spec.solver.dns01.externalDNS"
SELF_CHECK = ".spec.solver.http01.selfCheck"
SELF_CHECKS = {
    f"{SELF_CHECK}{one}" for one in ("", ".mode", ".addresses", ".addresses[]", ".nameservers", ".nameservers[]")
}
PERSISTENT = (".spec.solver.dns01.persistent", ".spec.solver.dns01.persistent.issuerDomainName")
NEWER = {
    "Order": {".spec.replaces", ".status.expires", ".status.placedAt"},
    "Challenge": {".status.presentedAt", EXTERNAL_DNS, f"{EXTERNAL_DNS}.namespace", *SELF_CHECKS, *PERSISTENT},
}
NEWER_VALUES = {".spec.type": {"DNS-PERSIST-01"}}
ORDER = {"request": "aGk=", "issuerRef": {"name": "le", "kind": "ClusterIssuer"}, "dnsNames": ["a.example"]}
CHALLENGE = {
    "authorizationURL": "https://ca.example/authz/1",
    "url": "https://ca.example/chall/1",
    "dnsName": "a.example",
    "issuerRef": {"name": "le", "kind": "ClusterIssuer"},
    "key": "token.thumb",
    "token": "token",
    "type": "HTTP-01",
    "solver": {"http01": {"ingress": {"class": "istio"}}},
}
POLICY = {
    "hostSuffixes": ["foo.example", "a.b-c.example"],
    "namespaces": {"names": ["foo"], "matchLabels": {"mesh-signer.dev/tenant": "foo"}},
    "issuers": [{"kind": "ClusterIssuer", "name": "le"}, {"kind": "Issuer", "name": "own"}],
    "maxHosts": 30,
    "rate": {"certificates": 10, "per": "1h"},
}


def wanted(kind: str, spec: Any, name: str = "n") -> dict[str, Any]:
    if kind in ("Order", "Challenge"):
        metadata = {"name": name, "namespace": "default"}
        return {"apiVersion": "acme.cert-manager.io/v1", "kind": kind, "metadata": metadata, "spec": spec}
    return {"apiVersion": "mesh-signer.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def claim(host: str, name: str | None = None, **fields: Any) -> dict[str, Any]:
    spec = {"host": host, "namespace": "foo", "namespaceUID": "u", **fields}
    return wanted("HostClaim", spec, host if name is None else name)


@pytest.mark.parametrize("kind", acme_kinds(), ids=lambda kind: kind.resource.kind)
def test_beside_cert_managers_own(kind: Any) -> None:
    """Every field of cert-manager's Orders and Challenges is there in the same shape, and no other than those of 1.21."""
    theirs_crd = peer.definitions("acme.cert-manager.io")[kind.resource.kind]
    ours = dict(peer.walk(peer.root(definition(kind))))  # type: ignore[arg-type] # a Mapping is enough to read
    theirs = dict(peer.walk(peer.root(theirs_crd)))
    assert set(ours) - set(theirs) == NEWER[kind.resource.kind]
    assert set(theirs) - set(ours) == set()
    for path, schema in theirs.items():
        if ".podTemplate" in path:
            continue
        # A solver's anyOf says what in cert-manager only the webhook says; tests/integration/crds holds it against that.
        words = set(SHAPE) - ({"anyOf"} if ".solver" in path else set())
        kept = {word: value for word, value in schema.items() if word in words}
        assert {word: value for word, value in ours[path].items() if word in words} == kept, path
        if "enum" in schema and ".solver." not in path:
            assert set(ours[path]["enum"]) - set(schema["enum"]) == NEWER_VALUES.get(path, set()), path
            assert set(schema["enum"]) <= set(ours[path]["enum"]), path
    names, other = definition(kind)["spec"]["names"], theirs_crd["spec"]["names"]
    assert names == other
    own = definition(kind)["spec"]["versions"][0]
    assert own["selectableFields"] == theirs_crd["spec"]["versions"][0]["selectableFields"]


@pytest.mark.parametrize(
    ("one", "reader"),
    [
        (wanted("Order", ORDER), Order),
        (wanted("Challenge", CHALLENGE), Challenge),
        (wanted("EdgePolicy", POLICY), EdgePolicy),
        (wanted("EdgePolicy", {"hostSuffixes": ["foo.example"]}), EdgePolicy),
        (claim("shop.foo.example"), HostClaim),
        (claim("*.foo.example", "wc--wildcard.foo.example"), HostClaim),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_good_ones(installed: Cluster, one: dict[str, Any], reader: Any) -> None:
    """A good object is taken as it is, and we read what the API server took."""
    taken = create(installed, one, "--dry-run=server")
    assert taken["spec"] == one["spec"]
    assert msgspec.convert(taken, reader).problem == ""


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (wanted("EdgePolicy", {"hostSuffixes": []}), "spec.hostSuffixes"),
        (wanted("EdgePolicy", {}), "spec.hostSuffixes: Required value"),
        (wanted("EdgePolicy", {"hostSuffixes": ["*.foo.example"]}), "spec.hostSuffixes[0]"),
        (wanted("EdgePolicy", {"hostSuffixes": ["Foo.example"]}), "spec.hostSuffixes[0]"),
        (wanted("EdgePolicy", POLICY | {"namespaces": {}}), "names or matchLabels is expected"),
        (
            wanted("EdgePolicy", POLICY | {"namespaces": {"matchLabels": {"team": "a"}}}),
            "labels under mesh-signer.dev/",
        ),
        (wanted("EdgePolicy", POLICY | {"issuers": [{"kind": "Other", "name": "a"}]}), "spec.issuers[0].kind"),
        (wanted("EdgePolicy", POLICY | {"maxHosts": 0}), "spec.maxHosts"),
        (wanted("EdgePolicy", POLICY | {"rate": {"certificates": 0}}), "spec.rate.certificates"),
        (claim("a.example", "b.example"), "metadata.name is spec.host"),
        (claim("*.a.example", "a.example"), "metadata.name is spec.host"),
        (claim("A.example", "a.example"), "spec.host"),
        (claim("*", "wc"), "spec.host"),
        (claim("a.*.example", "a"), "spec.host"),
        (claim("a.example", namespace="a.b"), "spec.namespace"),
        (claim("a.example", namespaceUID=""), "spec.namespaceUID"),
        (wanted("Order", {"request": "aGk="}), "spec.issuerRef: Required value"),
        (wanted("Order", ORDER | {"request": "no base64!"}), "spec.request"),
        (wanted("Challenge", CHALLENGE | {"type": "TLS-ALPN-01"}), "spec.type"),
        (wanted("Challenge", {name: one for name, one in CHALLENGE.items() if name != "key"}), "spec.key"),
    ],
    ids=str,
)
def test_what_is_refused(installed: Cluster, one: dict[str, Any], message: str) -> None:
    """A wrong object is refused at once, with a message that names the field."""
    with pytest.raises(LocalMeshError, match=re.escape(message)):
        create(installed, one, "--dry-run=server")


@pytest.mark.parametrize(
    ("one", "change"),
    [
        (wanted("Order", ORDER), {"dnsNames": ["b.example"]}),
        (wanted("Challenge", CHALLENGE), {"dnsName": "b.example"}),
        (claim("kept.example"), {"namespace": "bar"}),
        (claim("kept.example"), {"namespace": "bar", "since": "2026-01-01T00:00:00Z"}),
        (claim("kept.example"), {"namespaceUID": "other"}),
    ],
    ids=["Order", "Challenge", "HostClaim", "HostClaim-since", "HostClaim-uid"],
)
def test_specs_stay(installed: Cluster, one: dict[str, Any], change: dict[str, Any], name: str) -> None:
    """What an issuance or a claim is about cannot be changed by an edit."""
    one = copy.deepcopy(one)
    if one["kind"] == "HostClaim":
        one["metadata"]["name"] = one["spec"]["host"] = f"{name}.example"
    else:
        one["metadata"]["name"] = name
    taken = create(installed, one)
    where = ["-n", "default"] if "namespace" in one["metadata"] else []
    kind = one["kind"].lower()
    try:
        with pytest.raises(LocalMeshError, match="spec cannot be changed"):
            installed.kubectl(
                "patch", kind, taken["metadata"]["name"], *where, "--type=merge", "-p", json.dumps({"spec": change})
            )
        state = {"unusedSince": "2026-01-01T00:00:00Z"} if kind == "hostclaim" else {"state": "pending"}
        assert set_status(installed, taken | {"status": state})["status"] == state
    finally:
        installed.kubectl("delete", kind, taken["metadata"]["name"], *where)
