"""What a dns01 solver says of a DNS product: which account, which zone, and where its credentials lie. Pure.

cert-manager's fields, for the ways to log in that need nothing but a Secret: ambient credentials and identities of a cloud
are refused, with the field. Source: cert-manager v1.20, pkg/apis/acme/v1/types_issuer.go.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from signer.api.names import is_subdomain
from signer.api.text import shown
from signer.edge.issuers.dns01_fields import SecretEntry, secret_entry, unknown

_PLAIN = re.compile(r"[!-~]{1,256}", re.ASCII)
_NAME = re.compile(r"[-._()A-Za-z0-9]{1,90}", re.ASCII)
_PROJECT = re.compile(r"[-.:a-z0-9]{1,63}", re.ASCII)
_REGION = re.compile(r"[a-z]{2}(-[a-z0-9]{1,12}){1,4}", re.ASCII)
_ROLE = re.compile(r"arn:aws[-a-z]{0,12}:iam::[0-9]{12}:role/[-+=,.@_/A-Za-z0-9]{1,512}", re.ASCII)
CLOUDS = ("AzurePublicCloud", "AzureUSGovernmentCloud", "AzureChinaCloud")


@dataclass(frozen=True, slots=True)
class Cloudflare:
    """An API token; an account's key, where its e-mail address is given."""

    secret: SecretEntry
    email: str = ""


@dataclass(frozen=True, slots=True)
class DigitalOcean:
    """An access token."""

    secret: SecretEntry


@dataclass(frozen=True, slots=True)
class Route53:
    """An access key, whose id may be plain or in a Secret; a role that it assumes, and a hosted zone's id, or ""."""

    access_key: str | SecretEntry
    secret: SecretEntry
    region: str = ""
    role: str = ""
    zone: str = ""


@dataclass(frozen=True, slots=True)
class CloudDns:
    """A service account's key, in JSON; the managed zone's name, or ""."""

    project: str
    secret: SecretEntry
    zone: str = ""


@dataclass(frozen=True, slots=True)
class AzureDns:
    """An application and its secret; the zone's name, or ""."""

    subscription: str
    group: str
    tenant: str
    client: str
    secret: SecretEntry
    zone: str = ""
    cloud: str = CLOUDS[0]
    private: bool = False


@dataclass(frozen=True, slots=True)
class Akamai:
    """An API client's credentials, and the host that they are for."""

    host: str
    client_token: SecretEntry
    client_secret: SecretEntry
    access_token: SecretEntry


Api = Cloudflare | DigitalOcean | Route53 | CloudDns | AzureDns | Akamai


class _Fields:
    """One provider's settings; what is wrong with them is added to `problems`."""

    def __init__(self, settings: Mapping[str, Any], place: str, problems: list[str]) -> None:
        self._settings = settings
        self._place = place
        self._problems = problems

    def given(self, name: str) -> bool:
        return bool(self._settings.get(name))

    def wrong(self, name: str, why: str) -> None:
        self._problems.append(f"{self._place}.{name}: {why}" if name else f"{self._place}: {why}")

    def unknown(self, *known: str) -> None:
        self._problems += unknown(self._settings, known, self._place)

    def secret(self, name: str) -> SecretEntry:
        return secret_entry(self._settings.get(name) or {}, f"{self._place}.{name}", self._problems)

    def text(self, name: str, pattern: re.Pattern[str], what: str, *, needed: bool = False) -> str:
        value = self._settings.get(name)
        if not value and not needed:
            return ""
        if not isinstance(value, str) or not pattern.fullmatch(value):
            self.wrong(name, f"{shown(str(value))} is not {what}" if value else "must be set")
            return ""
        return value

    def not_here(self, name: str, instead: str) -> None:
        if self.given(name):
            self.wrong(name, f"not supported by this version of mesh-signer: use {instead}")


def _cloudflare(fields: _Fields) -> Api:
    fields.unknown("email", "apiKeySecretRef", "apiTokenSecretRef")
    key, token = fields.given("apiKeySecretRef"), fields.given("apiTokenSecretRef")
    email = fields.text("email", _PLAIN, "an e-mail address", needed=key and not token)
    if key == token:
        fields.wrong("", "one of apiTokenSecretRef and apiKeySecretRef is expected")
    secret = fields.secret("apiKeySecretRef" if key else "apiTokenSecretRef")
    return Cloudflare(secret, email if key else "")


def _digitalocean(fields: _Fields) -> Api:
    fields.unknown("tokenSecretRef")
    return DigitalOcean(fields.secret("tokenSecretRef"))


def _route53(fields: _Fields) -> Api:
    fields.unknown(
        *("auth", "accessKeyID", "accessKeyIDSecretRef", "secretAccessKeySecretRef", "role", "hostedZoneID", "region")
    )
    fields.not_here("auth", "accessKeyID and secretAccessKeySecretRef")
    key = fields.text("accessKeyID", _PLAIN, "an access key's id")
    if key and fields.given("accessKeyIDSecretRef"):
        fields.wrong("", "accessKeyID and accessKeyIDSecretRef exclude each other")
    access = key or fields.secret("accessKeyIDSecretRef")
    return Route53(
        access,
        fields.secret("secretAccessKeySecretRef"),
        fields.text("region", _REGION, "an AWS region"),
        fields.text("role", _ROLE, "a role's ARN"),
        fields.text("hostedZoneID", _NAME, "a hosted zone's id"),
    )


def _cloud_dns(fields: _Fields) -> Api:
    fields.unknown("project", "serviceAccountSecretRef", "hostedZoneName")
    return CloudDns(
        fields.text("project", _PROJECT, "a project's id", needed=True),
        fields.secret("serviceAccountSecretRef"),
        fields.text("hostedZoneName", _NAME, "a managed zone's name"),
    )


def _azure_dns(fields: _Fields) -> Api:
    fields.unknown(
        *("clientID", "clientSecretSecretRef", "subscriptionID", "tenantID", "resourceGroupName", "hostedZoneName"),
        *("environment", "managedIdentity", "zoneType"),
    )
    fields.not_here("managedIdentity", "clientID, tenantID and clientSecretSecretRef")
    cloud = fields.text("environment", _NAME, "a cloud") or CLOUDS[0]
    if cloud not in CLOUDS:
        fields.wrong("environment", f"{shown(cloud)} is none of {', '.join(CLOUDS)}")
    kind = fields.text("zoneType", _NAME, "a kind of zone") or "AzurePublicZone"
    if kind not in ("AzurePublicZone", "AzurePrivateZone"):
        fields.wrong("zoneType", f"{shown(kind)} is neither AzurePublicZone nor AzurePrivateZone")
    return AzureDns(
        fields.text("subscriptionID", _NAME, "a subscription's id", needed=True),
        fields.text("resourceGroupName", _NAME, "a resource group's name", needed=True),
        fields.text("tenantID", _NAME, "a tenant's id", needed=True),
        fields.text("clientID", _NAME, "an application's id", needed=True),
        fields.secret("clientSecretSecretRef"),
        fields.text("hostedZoneName", _NAME, "a zone's name"),
        cloud,
        private=kind == "AzurePrivateZone",
    )


def _akamai(fields: _Fields) -> Api:
    fields.unknown(*("serviceConsumerDomain", "clientTokenSecretRef", "clientSecretSecretRef", "accessTokenSecretRef"))
    host = fields.text("serviceConsumerDomain", _PLAIN, "a host", needed=True)
    if host and not is_subdomain(host):
        fields.wrong("serviceConsumerDomain", f"{shown(host)} is not a host's name, without https://")
    return Akamai(
        host,
        fields.secret("clientTokenSecretRef"),
        fields.secret("clientSecretSecretRef"),
        fields.secret("accessTokenSecretRef"),
    )


_READERS: Mapping[str, Callable[[_Fields], Api]] = {
    "akamai": _akamai,
    "azureDNS": _azure_dns,
    "cloudDNS": _cloud_dns,
    "cloudflare": _cloudflare,
    "digitalocean": _digitalocean,
    "route53": _route53,
}
APIS = tuple(_READERS)


def read_api(name: str, settings: Mapping[str, Any], place: str, problems: list[str]) -> Api:
    """Read the settings of one of APIS. What is wrong is added to `problems`; then the result counts for nothing."""
    return _READERS[name](_Fields(settings, place, problems))
