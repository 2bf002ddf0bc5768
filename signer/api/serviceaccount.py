"""ServiceAccounts: core/v1. Which there are in a namespace: a bridge accepts certificates of no other names. Pure."""

import msgspec

from signer.api.meta import ObjectMeta, slim_metadata
from signer.kube.resource import Resource

SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount", namespaced=True)


class ServiceAccount(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A ServiceAccount by its name alone."""

    metadata: ObjectMeta


def slim_account(account: ServiceAccount) -> ServiceAccount:
    """Keep what names it."""
    return ServiceAccount(metadata=slim_metadata(account.metadata))
