"""The Secrets of ACME issuers: the account's key, made where there is none, and the key of an external account binding.

Runs on the loop, in the leader. A Secret is created, and never written over.
"""

import base64

from issuers.acme.account import BadAccount, ExternalAccount, Registration, external_account, generate_key, read_emails
from signer.api.labels import PART_OF
from signer.api.secret import SECRETS, Secret, read_secret
from signer.edge.issuers.spec import AcmeIssuer
from signer.kube.client import ApiClient
from signer.kube.errors import AlreadyExists, ApiError, NotFound

NOT_REGISTERED = "ErrRegisterACMEAccount"
NOT_VERIFIED = "ErrVerifyACMEAccount"
INVALID = "InvalidConfiguration"
_SECRET_RECHECK = 10.0


class Unusable(Exception):
    """Why there is no account now; `recheck` is in seconds, None for "with growing pauses", 0 for "when it changes"."""

    def __init__(self, reason: str, message: str, recheck: float | None = 0.0) -> None:
        super().__init__(message)
        self.reason = reason
        self.recheck = recheck


class AccountSecrets:
    """Reads them by the API server, past every cache."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def key(self, spec: AcmeIssuer) -> bytes:
        """Return the account's key, PEM, as it lies in its Secret; made first where there is none. Raises Unusable."""
        secret = await self._secret(spec.secret_namespace, spec.account_secret)
        where = f"Secret {spec.secret_namespace}/{spec.account_secret}"
        if secret is not None:
            if secret.too_large:
                raise Unusable(NOT_VERIFIED, f"{where} {secret.too_large}")
            pem = secret.data.get(spec.account_key, b"")
            if not pem:
                raise Unusable(NOT_VERIFIED, f"{where}: no data at key {spec.account_key}")
            return pem
        if not spec.make_key:
            message = f"{where} not found, and spec.acme.disableAccountKeyGeneration is set"
            raise Unusable(NOT_VERIFIED, message, _SECRET_RECHECK)
        pem = generate_key()
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": spec.account_secret, "namespace": spec.secret_namespace, "labels": dict(PART_OF)},
            "type": "Opaque",
            "data": {spec.account_key: base64.b64encode(pem).decode()},
        }
        try:
            await self._client.create(SECRETS, body)
        except AlreadyExists:
            return await self.key(spec)
        except ApiError as error:
            if not (error.lasting or error.terminating or isinstance(error, NotFound)):
                raise
            raise Unusable(NOT_REGISTERED, f"{where} cannot be made: {error.message}", None) from None
        return pem

    async def registration(self, spec: AcmeIssuer) -> Registration:
        """Return contacts and binding as they are registered. Raises Unusable."""
        try:
            emails = tuple(one for text in spec.emails for one in read_emails(text))
            return Registration(emails, await self._external(spec))
        except BadAccount as error:
            raise Unusable(INVALID, f"spec.acme.{error}") from None

    async def _external(self, spec: AcmeIssuer) -> ExternalAccount | None:
        binding = spec.external
        if binding is None:
            return None
        secret = await self._secret(spec.secret_namespace, binding.secret_name)
        value = secret.data.get(binding.secret_key) if secret is not None else None
        if value is None:
            where = f"Secret {spec.secret_namespace}/{binding.secret_name}"
            too_large = secret.too_large if secret is not None else ""
            what = too_large or f"has no key {binding.secret_key}"
            message = f"spec.acme.externalAccountBinding.keySecretRef: {where} {what}"
            raise Unusable(NOT_REGISTERED, message, _SECRET_RECHECK)
        return external_account(binding.key_id, value)

    async def _secret(self, namespace: str, name: str) -> Secret | None:
        try:
            return read_secret(await self._client.get(SECRETS, name, namespace))
        except NotFound:
            return None
