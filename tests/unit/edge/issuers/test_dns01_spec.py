"""What a dns01 solver may say, and what is told of the others."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from signer.edge.issuers.dns01_spec import (
    AcmeDns,
    Dns01,
    ExternalDns,
    Rfc2136,
    Tsig,
    Webhook,
    may_have_webhooks,
    read_dns01,
)

MANIFESTS = Path(__file__).parents[4] / "manifests"
TSIG = {"tsigKeyName": "acme-key", "tsigSecretSecretRef": {"name": "tsig", "key": "secret"}}


def read(settings: Any, *, cluster_wide: bool = True) -> Dns01 | tuple[str, ...]:
    return read_dns01(settings, "dns01", cluster_wide=cluster_wide)


def test_defaults() -> None:
    """What cert-manager's guide has means what it means there: UDP, port 53, HMAC-MD5, CNAMEs not followed."""
    found = read({"rfc2136": {"nameserver": "192.0.2.1", **TSIG}})
    tsig = Tsig("acme-key", "hmac-md5.sig-alg.reg.int.", "tsig", "secret")
    assert found == Dns01(Rfc2136("192.0.2.1", 53, tcp=False, tsig=tsig), follow=False)


def test_all_fields() -> None:
    """Every field that can be set is carried over, the algorithm in whatever case."""
    settings = {"nameserver": "ns.example.com:5353", "protocol": "TCP", "tsigAlgorithm": "hmacSHA512", **TSIG}
    found = read({"cnameStrategy": "Follow", "rfc2136": settings})
    assert found == Dns01(
        Rfc2136("ns.example.com", 5353, tcp=True, tsig=Tsig("acme-key", "hmac-sha512.", "tsig", "secret")), follow=True
    )


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("192.0.2.1:1053", "192.0.2.1", 1053),
        ("2001:DB8::1", "2001:db8::1", 53),
        ("[2001:db8::1]", "2001:db8::1", 53),
        ("[2001:db8::1]:1053", "2001:db8::1", 1053),
        ("NS1.Example.com.", "ns1.example.com", 53),
        ("bind", "bind", 53),
    ],
)
def test_name_servers(text: str, host: str, port: int) -> None:
    """A server is a name or an address, with a port or without."""
    found = read({"rfc2136": {"nameserver": text}})
    assert isinstance(found, Dns01)
    assert isinstance(found.provider, Rfc2136)
    assert (found.provider.host, found.provider.port) == (host, port)


def test_external_dns() -> None:
    """The objects lie beside the Challenge, or where an administrator says."""
    assert read({"externalDNS": {}}, cluster_wide=False) == Dns01(ExternalDns())
    assert read({"externalDNS": {"namespace": "external-dns"}}) == Dns01(ExternalDns("external-dns"))


@pytest.mark.parametrize(
    "host", ["https://auth.example.org", "https://auth.example.org/", "https://auth.example.org//"]
)
def test_acme_dns(host: str) -> None:
    """An account's Secret and the server, with or without a slash at the end."""
    found = read({"acmeDNS": {"host": host, "accountSecretRef": {"name": "accounts", "key": "acmedns.json"}}})
    assert found == Dns01(AcmeDns("https://auth.example.org", "accounts", "acmedns.json"))


def test_webhook() -> None:
    """A webhook's own settings are whatever JSON they are, and may be left out."""
    hook = {"groupName": "acme.example.com", "solverName": "hetzner"}
    assert read({"webhook": hook}) == Dns01(Webhook("acme.example.com", "hetzner"))
    found = read({"webhook": {**hook, "config": {"zone": ["a", 1, None]}}, "cnameStrategy": "Follow"})
    assert found == Dns01(Webhook("acme.example.com", "hetzner", b'{"zone":["a",1,null]}'), follow=True)


def test_groups_of_ours_are_no_webhooks() -> None:
    """No API group in which the controllers may create anything is taken for a webhook's: an Issuer's author chooses it."""
    rules = [
        rule
        for file in (MANIFESTS / "base").glob("rbac-*.yaml")
        for one in yaml.safe_load_all(file.read_text())
        for rule in one.get("rules", ())
    ]
    written = {
        group for rule in rules if {"create", "*"} & set(rule["verbs"]) for group in rule.get("apiGroups", ()) if group
    }
    assert "mesh-signer.dev" in written
    for group in written:
        told = read({"webhook": {"groupName": group, "solverName": "x"}})
        assert isinstance(told, tuple)
        assert "dns01.webhook.groupName" in told[0]
    assert may_have_webhooks("acme.example.com")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (7, "dns01: an object"),
        ({}, "dns01: one provider"),
        ({"rfc2136": {}, "externalDNS": {}}, "dns01: one provider"),
        ({"rout53": {}}, "dns01.rout53: not supported"),
        ({"rfc2136": 7}, "dns01.rfc2136: an object"),
        ({"rfc2136": {}}, "dns01.rfc2136.nameserver: "),
        ({"rfc2136": {"nameserver": 7}}, "dns01.rfc2136.nameserver: text"),
        ({"rfc2136": {"nameserver": "ns:0"}}, "dns01.rfc2136.nameserver: "),
        ({"rfc2136": {"nameserver": "ns:65536"}}, "dns01.rfc2136.nameserver: "),
        ({"rfc2136": {"nameserver": "[::1"}}, "dns01.rfc2136.nameserver: "),
        ({"rfc2136": {"nameserver": "[192.0.2.1]:53"}}, "dns01.rfc2136.nameserver: "),
        ({"rfc2136": {"nameserver": "https://dns.example/"}}, "dns01.rfc2136.nameserver: "),
        ({"rfc2136": {"nameserver": "192.0.2.1", "protocol": "tcp"}}, "dns01.rfc2136.protocol: "),
        ({"rfc2136": {"nameserver": "192.0.2.1", "tsigAlgorithm": "HMACSHA3"}}, "dns01.rfc2136.tsigAlgorithm: "),
        ({"rfc2136": {"nameserver": "192.0.2.1", "tsigKeyName": "k"}}, "dns01.rfc2136: tsigKeyName and "),
        (
            {"rfc2136": {"nameserver": "192.0.2.1", "tsigSecretSecretRef": {"name": "a", "key": "b"}}},
            "dns01.rfc2136: tsigKeyName and ",
        ),
        (
            {"rfc2136": {"nameserver": "192.0.2.1", "tsigKeyName": "k", "tsigSecretSecretRef": {"name": "../a"}}},
            "dns01.rfc2136.tsigSecretSecretRef.name: ",
        ),
        (
            {"rfc2136": {"nameserver": "192.0.2.1", "tsigKeyName": "k", "tsigSecretSecretRef": {"name": "a"}}},
            "dns01.rfc2136.tsigSecretSecretRef.key: ",
        ),
        ({"rfc2136": {"nameserver": "192.0.2.1", "tsigkeyname": "k"}}, "dns01.rfc2136.tsigkeyname: no such field"),
        ({"rfc2136": {"nameserver": "192.0.2.1"}, "cnameStrategy": "follow"}, "dns01.cnameStrategy: "),
        ({"acmeDNS": {}}, "dns01.acmeDNS.host: the https URL"),
        ({"acmeDNS": {"host": 7}}, "dns01.acmeDNS.host: the https URL"),
        ({"acmeDNS": {"host": "http://auth.example.org"}}, "dns01.acmeDNS.host: http://auth.example.org: only https"),
        ({"acmeDNS": {"host": "auth.example.org"}}, "dns01.acmeDNS.host: auth.example.org: only https"),
        ({"acmeDNS": {"host": "https://u:p@auth.example.org"}}, "dns01.acmeDNS.host: "),
        ({"acmeDNS": {"host": "https://auth.example.org?a=b"}}, "dns01.acmeDNS.host: the https URL"),
        ({"acmeDNS": {"host": "https://auth.example.org"}}, "dns01.acmeDNS.accountSecretRef.name: "),
        (
            {"acmeDNS": {"host": "https://auth.example.org", "accountSecretRef": 7}},
            "dns01.acmeDNS.accountSecretRef: name and key",
        ),
        (
            {"acmeDNS": {"host": "https://auth.example.org", "accountSecretRef": {"name": "a"}}},
            "dns01.acmeDNS.accountSecretRef.key: ",
        ),
        ({"acmeDNS": {"allowfrom": []}}, "dns01.acmeDNS.allowfrom: no such field"),
        ({"externalDNS": {"namespace": "a/b"}}, "dns01.externalDNS.namespace: "),
        ({"webhook": {"solverName": "x"}}, "dns01.webhook.groupName: "),
        ({"webhook": {"groupName": "apps", "solverName": "x"}}, "dns01.webhook.groupName: "),
        ({"webhook": {"groupName": "a.example/../b", "solverName": "x"}}, "dns01.webhook.groupName: "),
        ({"webhook": {"groupName": 7, "solverName": "x"}}, "dns01.webhook.groupName: "),
        ({"webhook": {"groupName": "rbac.authorization.k8s.io", "solverName": "x"}}, "dns01.webhook.groupName: "),
        ({"webhook": {"groupName": "acme.example.com"}}, "dns01.webhook.solverName: "),
        ({"webhook": {"groupName": "acme.example.com", "solverName": "a/status"}}, "dns01.webhook.solverName: "),
        (
            {"webhook": {"groupName": "acme.example.com", "solverName": "x", "config": "y" * 70_000}},
            "dns01.webhook.config: 65536 bytes",
        ),
        ({"webhook": {"groupname": "acme.example.com"}}, "dns01.webhook.groupname: no such field"),
        ({"persistent": {}}, "dns01.persistent.issuerDomainName: "),
        (
            {"persistent": {"issuerDomainName": "letsencrypt.org; policy=wildcard"}},
            "dns01.persistent.issuerDomainName: ",
        ),
        ({"persistent": {"accounturi": "x"}}, "dns01.persistent.accounturi: no such field"),
        ({"externalDNS": {"ttl": 5}}, "dns01.externalDNS.ttl: no such field"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_is_wrong(settings: Any, told: str) -> None:
    """Each mistake is told with its field."""
    found = read(settings)
    assert isinstance(found, tuple)
    assert any(one.startswith(told) for one in found), found


def test_a_tenant_names_no_namespace() -> None:
    """A tenant's Issuer has objects made in its own namespace only."""
    found = read({"externalDNS": {"namespace": "external-dns"}}, cluster_wide=False)
    assert isinstance(found, tuple)
    assert "only a ClusterIssuer" in found[0]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(("rfc2136", "externalDNS", "x")), JSON, JSON)
def test_any_settings(provider: str, inside: Any, strategy: Any) -> None:
    """Whatever stands there, it is read or told in printable lines."""
    names = ("nameserver", "protocol", "tsigAlgorithm", "tsigKeyName", "tsigSecretSecretRef", "namespace")
    for settings in (inside, dict.fromkeys(names, inside)):
        found = read({provider: settings, "cnameStrategy": strategy}, cluster_wide=False)
        assert isinstance(found, Dns01) or all(one.isprintable() for one in found)
