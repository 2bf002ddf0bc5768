"""A DNS product's client, made of what an issuer says and of what its Secrets have. Pure."""

from collections.abc import Mapping

from signer.edge.dns01.apis import akamai, aws, azure, cloudflare, digitalocean, google
from signer.edge.dns01.apis.steps import Client, credential
from signer.edge.issuers.dns01_apis import Akamai, Api, AzureDns, CloudDns, Cloudflare, DigitalOcean, Route53
from signer.edge.issuers.dns01_fields import SecretEntry


def product(api: Api) -> str:
    """Name the product, for people."""
    match api:
        case Cloudflare():
            return "Cloudflare"
        case DigitalOcean():
            return "DigitalOcean"
        case Route53():
            return "Route 53"
        case CloudDns():
            return "Cloud DNS"
        case AzureDns():
            return "Azure DNS"
        case Akamai():
            return "Akamai"


def entries(api: Api) -> tuple[SecretEntry, ...]:
    """Return which entries of Secrets it needs."""
    match api:
        case Route53(access_key=SecretEntry() as access, secret=secret):
            return access, secret
        case Akamai():
            return api.client_token, api.client_secret, api.access_token
        case _:
            return (api.secret,)


def client_of(api: Api, secrets: Mapping[SecretEntry, bytes]) -> Client:
    """Make its client. Raises ValueError with the Secret's name and key, and nothing of what is in it."""
    texts = {entry: _text(entry, value) for entry, value in secrets.items() if not isinstance(api, CloudDns)}
    match api:
        case Cloudflare():
            return cloudflare.Cloudflare(texts[api.secret], api.email)
        case DigitalOcean():
            return digitalocean.DigitalOcean(texts[api.secret])
        case Route53():
            access = api.access_key if isinstance(api.access_key, str) else texts[api.access_key]
            return aws.Route53(aws.Keys(access, texts[api.secret]), api.region, api.role, api.zone)
        case CloudDns():
            try:
                return google.CloudDns(secrets[api.secret], api.project, api.zone)
            except ValueError as error:
                raise ValueError(f"{api.secret.name}, key {api.secret.key}: {error}") from None
        case AzureDns():
            login = azure.Login(api.tenant, api.client, texts[api.secret])
            return azure.AzureDns(login, azure.Zone(api.subscription, api.group, api.zone, api.cloud, api.private))
        case Akamai():
            keys = akamai.Keys(texts[api.client_token], texts[api.client_secret], texts[api.access_token])
            return akamai.Akamai(api.host, keys)


def _text(entry: SecretEntry, value: bytes) -> str:
    try:
        return credential(value)
    except ValueError as error:
        raise ValueError(f"{entry.name}, key {entry.key}: {error}") from None
