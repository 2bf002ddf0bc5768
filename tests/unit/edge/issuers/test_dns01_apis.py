"""What an issuer may say of a DNS product, and what is told of the rest."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.edge.issuers.dns01_apis import APIS, Akamai, AzureDns, CloudDns, Cloudflare, DigitalOcean, Route53
from signer.edge.issuers.dns01_fields import SecretEntry
from signer.edge.issuers.dns01_spec import Dns01, read_dns01

REF, ENTRY = {"name": "dns", "key": "secret"}, SecretEntry("dns", "secret")
AZURE = {
    "clientID": "c",
    "tenantID": "t",
    "subscriptionID": "s",
    "resourceGroupName": "g",
    "clientSecretSecretRef": REF,
}
AKAMAI = {
    "serviceConsumerDomain": "akab.luna.akamaiapis.net",
    "clientTokenSecretRef": REF,
    "clientSecretSecretRef": REF,
    "accessTokenSecretRef": REF,
}


def read(settings: Any) -> Dns01 | tuple[str, ...]:
    return read_dns01(settings, "dns01", cluster_wide=False)


@pytest.mark.parametrize(
    ("settings", "provider"),
    [
        ({"cloudflare": {"apiTokenSecretRef": REF}}, Cloudflare(ENTRY)),
        ({"cloudflare": {"apiTokenSecretRef": REF, "email": "a@b.example"}}, Cloudflare(ENTRY)),
        ({"cloudflare": {"apiKeySecretRef": REF, "email": "a@b.example"}}, Cloudflare(ENTRY, "a@b.example")),
        ({"digitalocean": {"tokenSecretRef": REF}}, DigitalOcean(ENTRY)),
        ({"route53": {"accessKeyID": "AKID", "secretAccessKeySecretRef": REF}}, Route53("AKID", ENTRY)),
        (
            {
                "route53": {
                    "accessKeyIDSecretRef": REF,
                    "secretAccessKeySecretRef": REF,
                    "region": "us-gov-east-1",
                    "role": "arn:aws:iam::123456789012:role/path/dns",
                    "hostedZoneID": "Z1",
                }
            },
            Route53(ENTRY, ENTRY, "us-gov-east-1", "arn:aws:iam::123456789012:role/path/dns", "Z1"),
        ),
        ({"cloudDNS": {"project": "p", "serviceAccountSecretRef": REF}}, CloudDns("p", ENTRY)),
        (
            {"cloudDNS": {"project": "example.com:p", "serviceAccountSecretRef": REF, "hostedZoneName": "z"}},
            CloudDns("example.com:p", ENTRY, "z"),
        ),
        ({"azureDNS": AZURE}, AzureDns("s", "g", "t", "c", ENTRY)),
        (
            {"azureDNS": AZURE | {"environment": "AzureChinaCloud", "zoneType": "AzurePrivateZone"}},
            AzureDns("s", "g", "t", "c", ENTRY, cloud="AzureChinaCloud", private=True),
        ),
        ({"akamai": AKAMAI}, Akamai("akab.luna.akamaiapis.net", ENTRY, ENTRY, ENTRY)),
    ],
)
def test_what_it_may_say(settings: Any, provider: object) -> None:
    """cert-manager's fields mean what they mean there."""
    assert read(settings) == Dns01(provider)  # type: ignore[arg-type]  # whichever it is


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"cloudflare": {}}, "dns01.cloudflare: one of apiTokenSecretRef and apiKeySecretRef"),
        ({"cloudflare": {"apiTokenSecretRef": REF, "apiKeySecretRef": REF}}, "dns01.cloudflare: one of"),
        ({"cloudflare": {"apiKeySecretRef": REF}}, "dns01.cloudflare.email: must be set"),
        ({"cloudflare": {"apiKeySecretRef": REF, "email": "a\r\nX-Evil: 1"}}, "dns01.cloudflare.email: "),
        ({"cloudflare": {"apiTokenSecretRef": {"name": "A/b", "key": "k"}}}, "dns01.cloudflare.apiTokenSecretRef.name"),
        ({"cloudflare": {"apiTokenSecretRef": {**REF, "namespace": "kube-system"}}}, None),
        ({"digitalocean": {"token": "x"}}, "dns01.digitalocean.token: no such field"),
        ({"route53": {}}, "dns01.route53.accessKeyIDSecretRef.name"),
        ({"route53": {"region": "eu-west-1"}}, "dns01.route53.secretAccessKeySecretRef.name"),
        ({"route53": {"auth": {"kubernetes": {}}}}, "dns01.route53.auth: not supported by this version"),
        (
            {"route53": {"accessKeyID": "A", "accessKeyIDSecretRef": REF, "secretAccessKeySecretRef": REF}},
            "dns01.route53: accessKeyID and accessKeyIDSecretRef exclude each other",
        ),
        ({"route53": {"region": "evil.example/"}}, "dns01.route53.region: "),
        ({"route53": {"role": "somebody"}}, "dns01.route53.role: "),
        ({"route53": {"hostedZoneID": "../x"}}, "dns01.route53.hostedZoneID: "),
        ({"cloudDNS": {"serviceAccountSecretRef": REF}}, "dns01.cloudDNS.project: must be set"),
        ({"cloudDNS": {"project": "p"}}, "dns01.cloudDNS.serviceAccountSecretRef.name"),
        ({"azureDNS": {}}, "dns01.azureDNS.subscriptionID: must be set"),
        ({"azureDNS": AZURE | {"managedIdentity": {"clientID": "x"}}}, "dns01.azureDNS.managedIdentity: not supported"),
        ({"azureDNS": AZURE | {"environment": "AzureGermanCloud"}}, "dns01.azureDNS.environment: "),
        ({"azureDNS": AZURE | {"zoneType": "Other"}}, "dns01.azureDNS.zoneType: "),
        ({"akamai": AKAMAI | {"serviceConsumerDomain": "https://x.example"}}, "dns01.akamai.serviceConsumerDomain: "),
        ({"akamai": AKAMAI | {"serviceConsumerDomain": "x@y"}}, "dns01.akamai.serviceConsumerDomain: "),
    ],
    ids=lambda value: str(value)[:70],
)
def test_what_is_wrong(settings: Any, told: str | None) -> None:
    """Each mistake is told with its field; of a Secret only name and key count, whatever namespace is written beside."""
    found = read(settings)
    if told is None:
        assert found == Dns01(Cloudflare(ENTRY))
        return
    assert isinstance(found, tuple)
    assert any(one.startswith(told) for one in found), found


GOOD: dict[str, dict[str, Any]] = {
    "akamai": AKAMAI,
    "azureDNS": AZURE,
    "cloudDNS": {"project": "p", "serviceAccountSecretRef": REF},
    "cloudflare": {"apiKeySecretRef": REF, "email": "a@b.example"},
    "digitalocean": {"tokenSecretRef": REF},
    "route53": {"accessKeyID": "A", "secretAccessKeySecretRef": REF},
}
SHAPES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.just(REF),
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=8), one, max_size=3),
)


@pytest.mark.parametrize("name", APIS)
@given(st.data())
def test_anything_at_all(name: str, data: st.DataObject) -> None:
    """Whatever stands in a field: it is read or told, and what is read can stand in a URL and a header."""
    good = GOOD[name]
    field = data.draw(st.sampled_from([*good, "hostedZoneName", "hostedZoneID", "region", "role", "environment"]))
    found = read({name: good | {field: data.draw(SHAPES)}})
    if isinstance(found, tuple):
        assert all(one.startswith(f"dns01.{name}") for one in found)
        return
    for text in (str(getattr(found.provider, one)) for one in found.provider.__dataclass_fields__):
        assert text.isprintable()
        assert text.isascii()
