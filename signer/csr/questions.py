"""What a decision must ask over the network: two questions, both rare.

May a requester reference an Issuer (a SubjectAccessReview, as cert-manager asks it)? Which key is in a Secret (for a
self-signed certificate)? Used on the loop only. A "yes" is remembered for ten seconds, since istiod asks for every
workload of a namespace; a "no" never is, as it is final for its request.
"""

import asyncio
import base64
import binascii
import logging
import time
from collections.abc import Callable
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

from issuers.errors import InvalidAuthority
from issuers.private_key import load_key
from issuers.x509 import loading
from signer.api.accessreview import SUBJECT_ACCESS_REVIEWS, is_allowed, review
from signer.api.certificatesigningrequest import RequestContent
from signer.api.issuer import GROUP, IssuerRef
from signer.api.secret import NEXT_KEY_LABEL, SECRETS, TLS_KEY
from signer.api.tls_secret import is_ca
from signer.csr.outcome import NoKey
from signer.kube.client import ApiClient
from signer.kube.errors import Forbidden, NotFound

log = logging.getLogger(__name__)

_REMEMBER_SECONDS = 10.0
_REMEMBERED = 4096


class CASecrets(Protocol):
    """Knows which Secrets are CAs' (Registry)."""

    def is_ca_secret(self, namespace: str, name: str) -> bool:
        """Tell whether a `ca` issuer signs with this Secret."""


class Questions:
    """Asks the API server. Both methods raise ApiError or Unreachable when no answer could be had."""

    def __init__(self, client: ApiClient, registry: CASecrets, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._registry = registry
        self._clock = clock
        self._allowed: dict[Any, float] = {}

    async def may_reference(self, issuer: IssuerRef, content: RequestContent) -> bool:
        """Tell whether the requester may use the verb `reference` on this Issuer, by name or on all ("*")."""
        who = (content.username, content.user_uid, content.groups, tuple(sorted(content.extra.items())))
        key = (who, issuer)
        until = self._allowed.get(key)
        if until is not None and until > self._clock():
            return True
        for name in (issuer.name, "*"):
            if await self._review(issuer.namespace, name, content):
                if len(self._allowed) >= _REMEMBERED:
                    self._allowed.clear()
                self._allowed[key] = self._clock() + _REMEMBER_SECONDS
                return True
        return False

    async def _review(self, namespace: str, name: str, content: RequestContent) -> bool:
        attributes = {
            "group": GROUP,
            "resource": "signers",
            "verb": "reference",
            "namespace": namespace,
            "name": name,
            "version": "*",
        }
        extra = {key: list(values) for key, values in content.extra.items()}
        asked = review(content.username, content.groups, attributes, uid=content.user_uid, extra=extra)
        return is_allowed(await self._client.create(SUBJECT_ACCESS_REVIEWS, asked))

    async def key(self, namespace: str, name: str) -> CertificateIssuerPrivateKeyTypes | NoKey:
        """Return the private key in a Secret's tls.key.

        NoKey for a Secret that is missing, for a CA's and for the key of an issuance that is under way: these look alike,
        so that nobody can find out by asking where CAs are, or have a CA's key sign what its issuer would not. One that
        is there with a key that cannot be used is told (`broken`), as cert-manager does.
        """
        if self._registry.is_ca_secret(namespace, name):
            return NoKey()
        try:
            secret = await self._client.get(SECRETS, name, namespace)
        except NotFound:
            return NoKey()
        except Forbidden as error:
            # For the operator; the requester is told what he would be told of a Secret that is not there.
            log.warning("Secret %s/%s may not be read by the signer: %s", namespace, name, error)
            return NoKey()
        return await key_in(secret)


async def key_in(secret: dict[str, Any]) -> CertificateIssuerPrivateKeyTypes | NoKey:
    """Return the private key in a Secret of no `ca` issuer; what may not be used looks as if it were not there."""
    if _is_next_key(secret):
        return NoKey()
    data = secret.get("data")
    text = data.get(TLS_KEY) if isinstance(data, dict) else None
    certificate = data.get("tls.crt") if isinstance(data, dict) else None
    if isinstance(certificate, str) and _is_ca(certificate):
        return NoKey()
    if not isinstance(text, str):
        return NoKey(broken=True)
    try:
        return await asyncio.to_thread(load_key, base64.b64decode(text, validate=True))
    except (InvalidAuthority, binascii.Error):
        return NoKey(broken=True)


def _is_next_key(secret: dict[str, Any]) -> bool:
    """Tell whether a Secret holds the key of a Certificate that is being renewed: for a CA that is the CA's key."""
    metadata = secret.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, dict) else None
    return isinstance(labels, dict) and NEXT_KEY_LABEL in labels


def _is_ca(text: str) -> bool:
    """Tell whether a Secret's tls.crt (base64) is a CA's certificate; what cannot be read is treated as one."""
    try:
        return is_ca(loading.certificates(base64.b64decode(text, validate=True))[0])
    except ValueError:
        return bool(text)
