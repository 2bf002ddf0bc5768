"""SignerPolicy and SignerBinding on the real API server: what `kubectl apply` refuses, and what it takes."""

import copy
import json
import re
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from signer.api.issuer import IssuerRef
from signer.api.meta import to_rfc3339
from signer.api.signerbinding import SignerBinding
from signer.api.signerpolicy import SignerPolicy
from signer.tenancy.bindings import binding_name, new_binding, read_binding
from signer.tenancy.policies import read_policy
from tests.integration import certmanager_crds as peer
from tests.integration.crds.objects import create, set_status
from tests.localmesh import Cluster, LocalCluster, LocalMeshError
from tests.localmesh.install import OWN_CRDS, install_crds

pytestmark = pytest.mark.integration

DOMAIN = "clusterissuers.cert-manager.io"
NAMES = ("crd/signerpolicies.mesh-signer.dev", "crd/signerbindings.mesh-signer.dev")
LONG = ".".join(["a" * 63] * 3 + ["a" * 61])

FULL: dict[str, Any] = {
    "signers": [f"{DOMAIN}/foo", f"{DOMAIN}/a.b-c", "issuers.cert-manager.io/shop.ca.v2"],
    "requesters": ["system:serviceaccount:istio-system:istiod", "jane@example.com"],
    "trustDomains": ["cluster.local", "td_1"],
    "namespaces": {
        "names": ["foo", "foo-2"],
        "matchLabels": {"mesh-signer.dev/tenant": "foo", "mesh-signer.dev/a_b.c": ""},
    },
    "serviceAccounts": ["default", "a.b"],
    "dnsNames": ["*.foo.example", "foo.svc"],
    "maxLifetime": "1h30m",
    "keys": [{"algorithm": "RSA", "minSize": 2048, "maxSize": 4096}, {"algorithm": "ECDSA"}, {"algorithm": "Ed25519"}],
    "usages": ["digital signature", "server auth"],
    "allowCA": False,
    "appendRoot": True,
    "rate": {"certificates": 10, "per": "1m"},
}
COUNTED = ("Duplicate value", "at most 256 items")  # limits of the schema alone
SMALLEST = {"signers": [f"{DOMAIN}/foo"]}
ROUTE = SMALLEST | {"route": "Identity", "namespaces": {"names": ["foo"], "matchLabels": {"mesh-signer.dev/a": "b"}}}


@pytest.fixture(scope="module")
def served(cluster: Cluster) -> Cluster:
    """The cluster with the CRDs of mesh-signer.dev."""
    install_crds(cluster, OWN_CRDS)
    return cluster


@pytest.fixture
def made(served: Cluster) -> Iterator[Callable[[dict[str, Any]], dict[str, Any]]]:
    """Makes objects for one test."""
    found: list[tuple[str, str]] = []

    def make(wanted: dict[str, Any]) -> dict[str, Any]:
        one = create(served, wanted)
        found.append((one["kind"], one["metadata"]["name"]))
        return one

    yield make
    for kind, name in found:
        served.kubectl("delete", kind.lower(), name, "--ignore-not-found")


def policy(spec: dict[str, Any], name: str = "a-policy") -> dict[str, Any]:
    return {"apiVersion": "mesh-signer.dev/v1alpha1", "kind": "SignerPolicy", "metadata": {"name": name}, "spec": spec}


def binding(name: str, **fields: Any) -> dict[str, Any]:
    wanted = new_binding(IssuerRef("ClusterIssuer", "", name), "foo", "some-uid")
    wanted["spec"] |= fields
    return wanted


def cluster_issuer() -> IssuerRef:
    return IssuerRef("ClusterIssuer", "", f"t-{secrets.token_hex(5)}")


class TestSignerPolicy:
    @pytest.mark.parametrize("spec", [FULL, SMALLEST, SMALLEST | {"signers": [f"{DOMAIN}/{LONG}"]}, ROUTE])
    def test_a_good_one(self, served: Cluster, spec: dict[str, Any]) -> None:
        """A good policy is taken as it is, and what the API server takes our reader finds nothing wrong with."""
        taken = create(served, policy(spec), "--dry-run=server")
        assert taken["spec"] == spec
        assert read_policy(msgspec.convert(taken, SignerPolicy)).problem == ""

    def test_a_rate_has_a_period(self, served: Cluster) -> None:
        """A rate without a period is one for each minute, and says so."""
        taken = create(served, policy(SMALLEST | {"rate": {"certificates": 3}}), "--dry-run=server")
        assert taken["spec"]["rate"] == {"certificates": 3, "per": "1m"}

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"signers": []}, "spec.signers"),
            ({"signers": None}, "spec.signers: Required value"),
            ({"signers": ["foo"]}, "spec.signers[0]"),
            ({"signers": [f"{DOMAIN}/"]}, "spec.signers[0]"),
            ({"signers": [f"{DOMAIN}/Foo"]}, "spec.signers[0]"),
            ({"signers": [f"{DOMAIN}/*"]}, "spec.signers[0]"),
            ({"signers": [f"{DOMAIN}/foo/bar"]}, "spec.signers[0]"),
            ({"signers": ["issuers.cert-manager.io/foo"]}, "spec.signers[0]"),
            ({"signers": ["example.com/foo"]}, "spec.signers[0]"),
            ({"signers": ["clusterissuersxcert-manager.io/foo"]}, "spec.signers[0]"),
            ({"signers": [f"{DOMAIN}/foo"] * 2}, "Duplicate value"),
            ({"signers": [f"{DOMAIN}/s{number}" for number in range(257)]}, "at most 256 items"),
            ({"requesters": [""]}, "spec.requesters[0]"),
            ({"requesters": ["two words"]}, "spec.requesters[0]"),
            ({"trustDomains": ["spiffe://a"]}, "spec.trustDomains[0]"),
            ({"trustDomains": ["*"]}, "spec.trustDomains[0]"),
            ({"namespaces": {}}, "names or matchLabels is expected"),
            ({"namespaces": {"names": [], "matchLabels": {}}}, "names or matchLabels is expected"),
            ({"namespaces": {"names": ["a.b"]}}, "spec.namespaces.names[0]"),
            ({"namespaces": {"names": ["*"]}}, "spec.namespaces.names[0]"),
            ({"namespaces": {"matchLabels": {"team": "foo"}}}, "labels under mesh-signer.dev/ only"),
            (
                {"namespaces": {"matchLabels": {"kubernetes.io/metadata.name": "foo"}}},
                "labels under mesh-signer.dev/ only",
            ),
            ({"namespaces": {"matchLabels": {"mesh-signer.dev/": "foo"}}}, "labels under mesh-signer.dev/ only"),
            ({"namespaces": {"matchLabels": {"mesh-signerxdev/a": "foo"}}}, "labels under mesh-signer.dev/ only"),
            (
                {"namespaces": {"matchLabels": {"mesh-signer.dev/a": "foo", "a": "b"}}},
                "labels under mesh-signer.dev/ only",
            ),
            (
                {"namespaces": {"matchLabels": {"mesh-signer.dev/a": "no value"}}},
                'spec.namespaces.matchLabels[mesh-signer.dev/a]: Invalid value: "no value": a label\'s value is expected',
            ),
            ({"serviceAccounts": ["Default"]}, "spec.serviceAccounts[0]"),
            ({"dnsNames": ["*"]}, "spec.dnsNames[0]"),
            ({"dnsNames": ["a.*.b"]}, "spec.dnsNames[0]"),
            ({"dnsNames": ["A.example"]}, "spec.dnsNames[0]"),
            ({"maxLifetime": "59s"}, "maxLifetime is at least 1m"),
            ({"maxLifetime": "-24h"}, "spec.maxLifetime"),
            ({"maxLifetime": "1d"}, "there is no unit longer than an hour, and 90 days are 2160h"),
            ({"maxLifetime": "90d"}, "there is no unit longer than an hour, and 90 days are 2160h"),
            ({"maxLifetime": "9999999999h"}, "spec.maxLifetime"),
            ({"maxLifetime": ""}, "spec.maxLifetime"),
            ({"keys": [{"minSize": 1}]}, "spec.keys[0].algorithm: Required value"),
            ({"keys": [{"algorithm": "DSA"}]}, "spec.keys[0].algorithm"),
            ({"keys": [{"algorithm": "RSA", "minSize": 3072, "maxSize": 2048}]}, "minSize is not more than maxSize"),
            ({"keys": [{"algorithm": "Ed25519", "minSize": 256}]}, "an Ed25519 key has no sizes"),
            ({"keys": [{"algorithm": "RSA", "minSize": 0}]}, "spec.keys[0].minSize"),
            ({"usages": ["client"]}, "spec.usages[0]"),
            ({"rate": {"per": "1m"}}, "spec.rate.certificates: Required value"),
            ({"rate": {"certificates": 0}}, "spec.rate.certificates"),
            ({"rate": {"certificates": 1}, "certificateRequests": {}}, "has a rate or certificateRequests"),
            ({"certificateRequests": {"requesters": ["a b"]}}, "spec.certificateRequests.requesters"),
            ({"certificateRequests": {"organizations": [""]}}, "spec.certificateRequests.organizations"),
            ({"namespaces": {"names": ["a"], "remade": "Yes"}}, "spec.namespaces.remade"),
            ({"route": "Anything"}, "spec.route"),
            ({"route": ""}, "spec.route"),
            ({"route": "Identity", "maxLifetime": "1h"}, "a policy with route has signers and namespaces only"),
            ({"route": "Identity", "appendRoot": True}, "a policy with route has signers and namespaces only"),
            ({"route": "Identity", "certificateRequests": {}}, "a policy with route has signers and namespaces only"),
            ({"route": "Identity", "signers": ["issuers.cert-manager.io/a.b"]}, "has a ClusterIssuer's name"),
            ({"rate": {"certificates": 1, "per": "500ms"}}, "per is 1s to 24h"),
            ({"rate": {"certificates": 1, "per": "25h"}}, "per is 1s to 24h"),
        ],
        ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else "",
    )
    def test_what_is_refused(self, served: Cluster, change: dict[str, Any], message: str) -> None:
        """A wrong policy is refused at once, with a message that names the field; our reader refuses it too."""
        spec = copy.deepcopy(SMALLEST) | change
        wanted = policy({key: value for key, value in spec.items() if value is not None})
        with pytest.raises(LocalMeshError, match=re.escape(message)) as told:
            create(served, wanted, "--dry-run=server")
        assert "should match" not in str(told.value)  # a regular expression says nothing to most people
        if message not in COUNTED:
            assert read_policy(msgspec.convert(wanted, SignerPolicy)).problem

    def test_status_is_written_apart(
        self, served: Cluster, made: Callable[[dict[str, Any]], dict[str, Any]], name: str
    ) -> None:
        """Status is a resource of its own: whoever writes specs cannot forge it, and `kubectl get` shows it."""
        one = made(policy(SMALLEST, name) | {"status": {"issued": 7}})
        assert "status" not in one
        ready = {"type": "Ready", "status": "True", "reason": "Ready", "message": "m", "observedGeneration": 1}
        status = {"conditions": [ready], "namespaceCount": 2, "namespaces": ["a", "b"], "issued": 7, "refused": 1}
        assert set_status(served, one | {"status": status})["status"] == status
        shown = served.kubectl("get", "spol", name, "--no-headers").split()
        assert shown[:4] == [name, "True", json.dumps(SMALLEST["signers"]).replace(" ", ""), "2"]


class TestSignerBinding:
    def test_what_we_write(self, served: Cluster, made: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """The binding that we make is taken as it is, reads back as what it was, and there is one for each signer."""
        signer = cluster_issuer()
        wanted = new_binding(signer, "foo", "some-uid")
        taken = made(wanted)
        assert taken["spec"] == wanted["spec"]
        found = read_binding(msgspec.convert(taken, SignerBinding))
        assert (found.signer, found.namespace, found.namespace_uid, found.problem) == (signer, "foo", "some-uid", "")
        assert to_rfc3339(found.created) == taken["metadata"]["creationTimestamp"]
        with pytest.raises(LocalMeshError, match="AlreadyExists"):
            create(served, new_binding(signer, "bar", "other-uid"))

    def test_longest_name(self, served: Cluster) -> None:
        """Every name that a ClusterIssuer can have can be bound."""
        taken = create(served, binding(LONG), "--dry-run=server")
        assert taken["metadata"]["name"] == binding_name(IssuerRef("ClusterIssuer", "", LONG))

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"signerName": f"{DOMAIN}/bar"}, "and the name of this object"),
            ({"signerName": "issuers.cert-manager.io/foo.foo"}, "spec.signerName"),
            ({"signerName": "foo"}, "spec.signerName"),
            ({"namespace": ""}, "spec.namespace"),
            ({"namespace": "a.b"}, "spec.namespace"),
            ({"namespaceUID": ""}, "spec.namespaceUID"),
        ],
        ids=str,
    )
    def test_what_is_refused(self, served: Cluster, fields: dict[str, Any], message: str) -> None:
        """A binding that names another signer than itself, or no owner, is refused."""
        with pytest.raises(LocalMeshError, match=re.escape(message)):
            create(served, binding("foo", **fields), "--dry-run=server")

    @pytest.mark.parametrize("field", ["signerName", "namespace", "namespaceUID"])
    def test_owner_is_needed(self, served: Cluster, field: str) -> None:
        """A binding says all of signer, owner and the owner's uid."""
        wanted = binding("foo")
        del wanted["spec"][field]
        with pytest.raises(LocalMeshError, match=rf"spec\.{field}: Required value"):
            create(served, wanted, "--dry-run=server")

    def test_it_stays(self, served: Cluster, made: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """The owner of a signer cannot be changed by an edit, and status does not touch it."""
        taken = made(binding(cluster_issuer().name))
        name = taken["metadata"]["name"]
        for change in ({"namespace": "bar"}, {"namespaceUID": "other"}, {"signerName": f"{DOMAIN}/bar"}):
            with pytest.raises(LocalMeshError, match="spec cannot be changed"):
                served.kubectl("patch", "sbind", name, "--type=merge", "-p", json.dumps({"spec": change}))
        times = {"claimEndedTime": "2026-01-01T00:00:00Z", "lastIssuedTime": "2026-01-02T00:00:00Z"}
        written = set_status(served, taken | {"spec": taken["spec"] | {"namespace": "bar"}, "status": times})
        assert written["status"] == times
        assert written["spec"] == taken["spec"]
        with pytest.raises(LocalMeshError, match="claimEndedTime"):
            set_status(served, written | {"status": {"claimEndedTime": "yesterday"}})


def test_beside_cert_manager(private_cluster: Callable[..., LocalCluster]) -> None:
    """Beside cert-manager's own CRDs ours are added, and none of cert-manager's is changed."""
    cluster = private_cluster(controller_manager=False)
    theirs = [json.dumps(crd) for crd in peer.definitions().values()]
    cluster.kubectl("create", "-f", "-", input="\n---\n".join(theirs))
    before = json.loads(cluster.kubectl("get", "crd", "-o", "json"))["items"]
    install_crds(cluster, OWN_CRDS)
    after = {one["metadata"]["name"]: one for one in json.loads(cluster.kubectl("get", "crd", "-o", "json"))["items"]}
    for one in before:
        assert after[one["metadata"]["name"]]["spec"] == one["spec"]
    added = after.keys() - {one["metadata"]["name"] for one in before}
    ours = (
        "casources",
        "edgepolicies",
        "hostclaims",
        "signerbindings",
        "signerpolicies",
        "signerrecords",
        "tenantbridgepolicies",
        "tenantbridges",
    )
    assert added == {f"{name}.mesh-signer.dev" for name in ours}
