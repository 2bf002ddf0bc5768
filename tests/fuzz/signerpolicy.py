"""SignerPolicies: one that cannot be read whole grants nothing and says why; of one that can, no limit gets lost.

An input is the spec as JSON.
"""

import json
import random
from typing import Any

import msgspec

from signer.api.signerpolicy import SignerPolicy
from signer.tenancy.claims import read_signer_name
from signer.tenancy.policies import read_policy
from signer.tenancy.world import Namespace
from tests.fuzz import mutate as mutations

FIELDS: tuple[tuple[str, Any], ...] = (
    ("signers", ["clusterissuers.cert-manager.io/foo", "issuers.cert-manager.io/shop.ca"]),
    ("requesters", ["system:serviceaccount:istio-system:istiod"]),
    ("trustDomains", ["cluster.local"]),
    ("namespaces", {"names": ["foo"], "matchLabels": {"mesh-signer.dev/tenant": "foo"}}),
    ("serviceAccounts", ["default"]),
    ("dnsNames", ["*.a.example"]),
    ("maxLifetime", "1h30m"),
    ("keys", [{"algorithm": "RSA", "minSize": 3072}, {"algorithm": "ECDSA", "maxSize": 384}]),
    ("usages", ["server auth"]),
    ("allowCA", True),
    ("appendRoot", True),
    ("route", "Identity"),
    ("rate", {"certificates": 5, "per": "10s"}),
    ("certificateRequests", {"requesters": ["alice"], "organizations": ["shop"]}),
)


def run(data: bytes) -> None:
    """Raise when a promise is broken."""
    try:
        spec = msgspec.json.decode(data)
    except (ValueError, RecursionError):
        return
    obj = msgspec.convert({"metadata": {"name": "p"}, "spec": spec}, SignerPolicy)
    policy = read_policy(obj)
    assert read_policy(obj) == policy
    named = obj.named_signers
    assert policy.signers == {ref for ref in map(read_signer_name, named) if ref is not None}
    if policy.problem:
        assert policy.problem.isprintable()
        assert "spec" in policy.problem
        assert not policy.namespaces
        assert not policy.namespace_labels
        assert not policy.covers("foo", Namespace("uid", {"mesh-signer.dev/tenant": "foo"}))
        return
    # Compared with the JSON and not with what we made of it: nothing that somebody wrote may be left out.
    assert isinstance(spec, dict)
    assert named
    assert len(policy.signers) == len(set(spec["signers"]))
    for field, found in (
        ("requesters", policy.requesters),
        ("trustDomains", policy.trust_domains),
        ("serviceAccounts", policy.service_accounts),
        ("dnsNames", frozenset(policy.dns_names)),
        ("usages", policy.usages),
    ):
        assert found == frozenset(spec.get(field, ())), field
    assert (policy.max_lifetime is None) == (spec.get("maxLifetime") is None)
    assert len(policy.keys) == len(spec.get("keys", ()))
    assert (policy.rate is None) == (spec.get("rate") is None)
    assert (policy.certificate_requests is None) == (spec.get("certificateRequests") is None)
    assert (policy.allow_ca, policy.append_root) == (spec.get("allowCA", False), spec.get("appendRoot", False))
    assert policy.by_identity == (spec.get("route") is not None)
    wanted = spec.get("namespaces") or {}
    assert policy.namespaces == frozenset(wanted.get("names", ()))
    assert policy.namespace_labels == wanted.get("matchLabels", {})


def mutate(data: bytes, chance: random.Random, change: mutations.Bytes) -> bytes:
    """Change one value of the spec."""
    return mutations.json_text(data, chance, change, FIELDS)


# A policy has a rate or certificateRequests, and with a route neither.
SEEDS = (
    *(
        json.dumps({field: value for field, value in FIELDS if field not in {left, "route"}}).encode()
        for left in ("rate", "certificateRequests")
    ),
    b'{"signers": ["clusterissuers.cert-manager.io/mesh"], "route": "Identity", "namespaces": {"names": ["foo"]}}',
)
