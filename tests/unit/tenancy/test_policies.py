"""SignerPolicies: what one means, and that no mistake in one becomes a grant."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.issuer import IssuerRef
from signer.api.signerpolicy import SignerPolicy
from signer.tenancy.policies import read_policy, remarks
from signer.tenancy.world import KeyRule, Namespace, Policy, Rate
from tests.unit.api.test_proxyconfig import JSON

ISTIOD = "system:serviceaccount:istio-system:istiod"
DOMAIN = "clusterissuers.cert-manager.io"
FOO, BAR = (IssuerRef("ClusterIssuer", "", name) for name in ("foo", "bar"))
NAMES = {"names": ["foo"]}


def read(spec: Any, name: str = "p") -> Policy:
    return read_policy(msgspec.convert({"metadata": {"name": name}, "spec": spec}, SignerPolicy))


def with_foo(**fields: Any) -> Policy:
    return read({"signers": [f"{DOMAIN}/foo"], "namespaces": NAMES} | fields)


def test_everything() -> None:
    """Each field means what its description says."""
    found = read(
        {
            "signers": [f"{DOMAIN}/foo", "issuers.cert-manager.io/shop.ca"],
            "requesters": ["system:serviceaccount:istio-system:istiod"],
            "trustDomains": ["td"],
            "namespaces": {"names": ["a"], "matchLabels": {"mesh-signer.dev/tenant": "t"}},
            "serviceAccounts": ["sa"],
            "dnsNames": ["*.a.b"],
            "maxLifetime": "1h30m",
            "keys": [
                {"algorithm": "RSA", "minSize": 3072},
                {"algorithm": "ECDSA", "maxSize": 384},
                {"algorithm": "Ed25519"},
            ],
            "usages": ["server auth"],
            "allowCA": True,
            "appendRoot": True,
            "rate": {"certificates": 5, "per": "10s"},
        }
    )
    assert found == Policy(
        name="p",
        signers=frozenset({FOO, IssuerRef("Issuer", "shop", "ca")}),
        namespaces=frozenset({"a"}),
        namespace_labels={"mesh-signer.dev/tenant": "t"},
        requesters=frozenset({"system:serviceaccount:istio-system:istiod"}),
        trust_domains=frozenset({"td"}),
        service_accounts=frozenset({"sa"}),
        dns_names=("*.a.b",),
        max_lifetime=timedelta(minutes=90),
        keys=(KeyRule("RSA", 3072), KeyRule("ECDSA", 0, 384), KeyRule("Ed25519")),
        usages=frozenset({"server auth"}),
        allow_ca=True,
        append_root=True,
        rate=Rate(5, timedelta(seconds=10)),
    )


def test_smallest() -> None:
    """Signers alone: given to nobody, no CA, no root, and no other limit."""
    found = read({"signers": [f"{DOMAIN}/foo"]})
    assert found == Policy(name="p", signers=frozenset({FOO}))
    assert not found.covers("foo", Namespace("u", {"mesh-signer.dev/tenant": "t"}))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"signers": [f"{DOMAIN}/foo", "foo"]}, "spec.signers[1]:"),
        ({"signers": [f"{DOMAIN}/foo", f"{DOMAIN}/*"]}, "spec.signers[1]:"),
        ({"signers": [f"{DOMAIN}/foo", 7]}, "spec.signers"),
        ({"requesters": [""]}, "spec.requesters[0]:"),
        ({"requesters": [" istiod"]}, "spec.requesters[0]:"),
        ({"requesters": ["a\nb"]}, "spec.requesters[0]:"),
        ({"requesters": ["istiod"]}, "spec.requesters[0]:"),
        ({"requesters": [ISTIOD, "istio-system/istiod"]}, "spec.requesters[1]:"),
        ({"requesters": ["system:serviceaccount:istiod"]}, "spec.requesters[0]:"),
        ({"requesters": ["system:serviceaccounts:istio-system"]}, "spec.requesters[0]:"),
        ({"requesters": ["system:authenticated"]}, "spec.requesters[0]:"),
        ({"requesters": ["jane"]}, "spec.requesters[0]:"),
        ({"requesters": ["istiod"], "certificateRequests": {}}, "spec.requesters[0]:"),
        ({"certificateRequests": {"requesters": ["shop/default"]}}, "spec.certificateRequests.requesters[0]:"),
        ({"certificateRequests": {"requesters": ["system:masters"]}}, "spec.certificateRequests.requesters[0]:"),
        ({"usages": ["code signing"]}, "spec.usages:"),
        ({"usages": ["digital signature", "key encipherment"]}, "spec.usages:"),
        ({"usages": ["digital signature"], "certificateRequests": {}}, "spec.usages:"),
        ({"keys": [{"algorithm": "ECDSA", "minSize": 522}]}, "spec.keys[0]:"),
        ({"keys": [{"algorithm": "ECDSA", "minSize": 257, "maxSize": 383}]}, "spec.keys[0]:"),
        ({"keys": [{"algorithm": "RSA", "maxSize": 1024}]}, "spec.keys[0]:"),
        ({"keys": [{"algorithm": "RSA", "minSize": 16384}]}, "spec.keys[0]:"),
        ({"trustDomains": ["*"]}, "spec.trustDomains[0]:"),
        ({"namespaces": {}}, "spec.namespaces:"),
        ({"namespaces": {"names": ["a", "*"]}}, "spec.namespaces.names[1]:"),
        ({"namespaces": {"matchLabels": {"tenant": "foo"}}}, "spec.namespaces.matchLabels:"),
        ({"namespaces": NAMES | {"matchLabels": {"kubernetes.io/metadata.name": "x"}}}, "spec.namespaces.matchLabels:"),
        ({"namespaces": {"matchLabels": {"mesh-signer.dev/": "foo"}}}, "spec.namespaces.matchLabels:"),
        ({"namespaces": {"matchLabels": {"mesh-signer.dev/a": "a b"}}}, "spec.namespaces.matchLabels:"),
        ({"namespaces": "all"}, "spec.namespaces:"),
        ({"serviceAccounts": ["*"]}, "spec.serviceAccounts[0]:"),
        ({"dnsNames": ["*"]}, "spec.dnsNames[0]:"),
        ({"maxLifetime": "1d"}, "spec.maxLifetime:"),
        ({"maxLifetime": "59s"}, "spec.maxLifetime:"),
        ({"maxLifetime": "-1h"}, "spec.maxLifetime:"),
        ({"maxLifetime": "9" * 30 + "h"}, "spec.maxLifetime:"),
        ({"keys": [{"algorithm": "DSA"}]}, "spec.keys[0].algorithm:"),
        ({"keys": [{"algorithm": "RSA"}, {}]}, "spec.keys[1].algorithm:"),
        ({"keys": [{"algorithm": "RSA", "minSize": 2, "maxSize": 1}]}, "spec.keys[0]:"),
        ({"keys": [{"algorithm": "RSA", "minSize": -1}]}, "spec.keys[0]:"),
        ({"keys": [{"algorithm": "Ed25519", "maxSize": 256}]}, "spec.keys[0]:"),
        ({"usages": ["client"]}, "spec.usages[0]:"),
        ({"allowCA": "true"}, "spec.allowCA:"),
        ({"rate": {"certificates": 0}}, "spec.rate.certificates:"),
        ({"rate": {"certificates": True}}, "spec.rate.certificates:"),
        ({"rate": {"certificates": 1, "per": "0s"}}, "spec.rate.per:"),
        ({"rate": {"certificates": 1, "per": "25h"}}, "spec.rate.per:"),
    ],
)
def test_a_mistake_grants_nothing(fields: dict[str, Any], field: str) -> None:
    """One wrong field, and the policy covers nobody; it names the field, and still speaks about its signer."""
    found = with_foo(**fields)
    assert found.problem.startswith(field)
    assert len(found.problem) < 300
    assert found.signers == {FOO}
    assert not found.covers("foo", Namespace("u", {"tenant": "foo"}))


@pytest.mark.parametrize(
    "fields",
    [
        {"requesters": [ISTIOD, "jane@example.com", "oidc:jane"]},
        {"requesters": ["jane"], "certificateRequests": {}},
        {"certificateRequests": {"requesters": ["jane", ISTIOD]}},
        {"usages": ["code signing"], "certificateRequests": {}},
        {"usages": ["cert sign"], "certificateRequests": {}, "allowCA": True},
        {"keys": [{"algorithm": "ECDSA", "minSize": 257}, {"algorithm": "RSA", "maxSize": 2048}]},
    ],
)
def test_what_may_match(fields: dict[str, Any]) -> None:
    """What somebody may ask by is no mistake."""
    assert with_foo(**fields).problem == ""


def test_remarks() -> None:
    """Limits that take more than they seem to, or nothing, are told; a policy without any, or for people, is not."""
    assert remarks(with_foo()) == ()
    assert [one.partition(":")[0] for one in remarks(with_foo(usages=["server auth"]))] == [
        "spec.usages lacks client auth",
        "spec.usages lacks digital signature",
    ]
    assert remarks(with_foo(usages=["digital signature", "client auth"]))[0].startswith("spec.usages lacks server auth")
    assert remarks(with_foo(usages=["server auth"], certificateRequests={})) == ()
    assert remarks(with_foo(allowCA=True))[0].startswith("spec.allowCA is for CertificateRequests alone")


@pytest.mark.parametrize("spec", [None, {}, {"signers": []}, {"signers": None}, [], "x"])
def test_no_signers(spec: Any) -> None:
    """A policy about nothing says so."""
    found = read(spec)
    assert found.problem
    assert found.signers == frozenset()


def test_all_mistakes_at_once() -> None:
    """Each wrong field is named, so that a person mends all of them at once; very many are counted."""
    found = with_foo(maxLifetime="x", usages=["y"], dnsNames=["Z"])
    assert all(field in found.problem for field in ("spec.maxLifetime", "spec.usages[0]", "spec.dnsNames[0]"))
    assert with_foo(usages=["y"] * 1000).problem.endswith("; and 990 more")


FIELDS = ["signers", "namespaces", "keys", "rate", "maxLifetime", "usages", "allowCA", "dnsNames"]


@given(st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_whatever_is_written(fields: dict[str, Any]) -> None:
    """Reading never fails, and what names no signer properly has a problem."""
    found = read(fields)
    assert found.signers == frozenset()
    assert found.problem
