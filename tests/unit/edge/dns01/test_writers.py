"""Where credentials are read: in the issuer's own namespace, and in no other, whichever provider it names."""

import base64
from typing import Any

import pytest

from signer.api.issuer import IssuerRef
from signer.edge.dns01.apis.made import entries
from signer.edge.dns01.queries import Questions
from signer.edge.dns01.writers import Writers
from signer.edge.issuers.dns01_spec import PROVIDERS, read_dns01
from signer.edge.proxies.reach import Reach
from signer.kube.errors import api_error
from signer.tenancy.verdict import Reason
from tests.fakes.dns_products import ACCOUNT
from tests.unit.edge.dns01.test_presenter import challenge

REF = {"name": "dns", "key": "secret"}
SOLVERS: dict[str, dict[str, Any]] = {
    "rfc2136": {"nameserver": "192.0.2.1", "tsigKeyName": "k", "tsigSecretSecretRef": REF},
    "webhook": {"groupName": "acme.example.com", "solverName": "x"},
    "cloudflare": {"apiTokenSecretRef": REF},
    "digitalocean": {"tokenSecretRef": REF},
    "route53": {"accessKeyIDSecretRef": REF, "secretAccessKeySecretRef": REF},
    "cloudDNS": {"project": "p", "serviceAccountSecretRef": REF},
    "azureDNS": {
        "clientID": "c",
        "tenantID": "t",
        "subscriptionID": "s",
        "resourceGroupName": "g",
        "clientSecretSecretRef": REF,
    },
    "akamai": {
        "serviceConsumerDomain": "akab.example",
        "clientTokenSecretRef": REF,
        "clientSecretSecretRef": REF,
        "accessTokenSecretRef": REF,
    },
}


class Secrets:
    """An API server that has one Secret in each namespace, and notes what is read."""

    def __init__(self, value: bytes | None) -> None:
        self.read: list[tuple[str, str]] = []
        self._value = value

    async def get(self, _resource: object, name: str, namespace: str) -> Any:
        self.read.append((namespace, name))
        if self._value is None:
            raise api_error(404, "NotFound")
        data = {"secret": base64.b64encode(self._value).decode(), "tls.key": base64.b64encode(b"key").decode()}
        return {"metadata": {"name": name, "namespace": namespace}, "type": "Opaque", "data": data}


class Made(Writers):
    """With an issuer that is there."""

    def issuer(self, _ref: IssuerRef) -> Any:
        class Issuer:
            account_secret, account_key = "account", "tls.key"

        return Issuer()


def writers(secrets: Secrets) -> Writers:
    client: Any = secrets
    registry: Any = None
    return Made(client, registry, Questions(), "cert-manager", Reach())


@pytest.mark.parametrize("provider", SOLVERS)
@pytest.mark.parametrize(
    ("ref", "namespace"),
    [
        (IssuerRef("Issuer", "team", "own"), "team"),
        (IssuerRef("ClusterIssuer", "", "own"), "cert-manager"),
    ],
    ids=["Issuer", "ClusterIssuer"],
)
async def test_where(provider: str, ref: IssuerRef, namespace: str) -> None:
    """An Issuer's Secrets are its namespace's; a ClusterIssuer's those of the cluster resource namespace, wherever its Challenge is."""
    found = read_dns01({provider: SOLVERS[provider]}, "dns01", cluster_wide=ref.kind == "ClusterIssuer")
    assert not isinstance(found, tuple), found
    value = ACCOUNT if provider == "cloudDNS" else b"c2VjcmV0"
    secrets = Secrets(value)
    made: Any = found.provider
    writer = await writers(secrets).of(ref, made, challenge())
    assert not isinstance(writer, Reason), writer
    assert secrets.read
    assert {one for one, _ in secrets.read} == {namespace}
    for wrong in (None, b"\x00\xff secret-of-somebody"):
        reason = await writers(Secrets(wrong)).of(ref, made, challenge())
        if isinstance(reason, Reason):
            assert f"{namespace}/" in reason.message
            assert "secret-of-somebody" not in reason.message
        else:
            assert wrong is not None  # a webhook reads its Secrets itself
            assert provider == "webhook"


def test_every_provider() -> None:
    """The table has every provider that we read Secrets for, but acme-dns, whose account is read when it is asked for."""
    assert set(SOLVERS) == set(PROVIDERS) - {"acmeDNS", "externalDNS", "persistent"}
    for provider, settings in SOLVERS.items():
        found = read_dns01({provider: settings}, "dns01", cluster_wide=True)
        assert not isinstance(found, tuple)
        if provider not in ("rfc2136", "webhook"):
            made: Any = found.provider
            assert {"dns"} == {one.name for one in entries(made)}
