"""Adds to what a Secret is to hold the keystores that the Certificate asks for, with the passwords as they are now.

On the loop; making keystores leaves it. Password Secrets are read live unless they carry the label that we watch: so a
Certificate with such a password is looked at again each minute, or less often where there are many (`look_again`).
"""

import asyncio
import hmac
import os
from dataclasses import replace

from issuers.x509.keys import PrivateKey
from signer.api.certificate import CERTIFICATES, Certificate
from signer.api.event import named, reference_to
from signer.api.notes import text_note
from signer.api.secret import Secret
from signer.certificates.objects import Key, Objects
from signer.certificates.secrets.content import IssuedData
from signer.certificates.secrets.jks import SALT_BYTES
from signer.certificates.secrets.keystores import (
    Material,
    NoKeystore,
    Passwords,
    mark,
    password_secrets,
    read_passwords,
    store_names,
    write_keystores,
)
from signer.certificates.watched import Watched
from signer.certificates.well_known import KEYSTORES
from signer.kube.errors import Forbidden
from signer.observe.notices import Notice

# Seconds after which a password is read again; of all of them, at most ten are read in a second.
_RECHECK = 60.0
_EACH = 0.1


class Filling:
    """Finds passwords and makes keystores, and tells what stands in the way."""

    def __init__(self, watched: Watched, objects: Objects) -> None:
        self._watched = watched
        self._objects = objects
        self._notices = objects.notices()

    def tell(self, certificate: Certificate, trouble: NoKeystore | None) -> None:
        """Say on a Certificate, once, what stands in the way now, if anything does."""
        about = reference_to(CERTIFICATES, certificate.metadata)
        self._notices.say(about, [Notice("Warning", trouble.reason, str(trouble))] if trouble is not None else [])

    def forget(self, key: Key) -> None:
        """The Certificate is gone."""
        self._notices.forget(named(CERTIFICATES, *key))

    def look_again(self, certificate: Certificate) -> float | None:
        """Say after how many seconds the passwords are to be read again; None where a watch tells of changes."""
        namespace = certificate.metadata.namespace
        names = password_secrets(certificate.spec)
        if all((namespace, name) in self._watched.secrets.store for name in names):
            return None
        return max(_RECHECK, self._watched.passwords * _EACH)

    async def fill(
        self, certificate: Certificate, issued: IssuedData, key: PrivateKey, existing: Secret | None
    ) -> IssuedData:
        """Add the keystores: those that are there when they are right, else new ones. Raises NoKeystore."""
        spec = certificate.spec
        names = store_names(spec, with_ca=bool(issued.ca))
        if not names:
            return issued
        passwords = await self._passwords(certificate)
        material = Material(key, issued.key, issued.chain, issued.ca)
        if existing is not None and all(existing.data.get(name) for name in names):
            there = {name: existing.data[name] for name in names}
            right = mark(spec, passwords, material, there)
            if hmac.compare_digest(text_note(existing.metadata.annotations, KEYSTORES).encode(), right.encode()):
                return replace(issued, stores=there, mark=right)
        made = await asyncio.to_thread(write_keystores, spec, passwords, material, os.urandom(SALT_BYTES))
        return replace(issued, stores=made, mark=mark(spec, passwords, material, made))

    async def _passwords(self, certificate: Certificate) -> Passwords:
        namespace, found = certificate.metadata.namespace, dict[str, Secret]()
        for name in password_secrets(certificate.spec):
            try:
                secret = self._watched.secrets.store.get((namespace, name)) or await self._objects.secret(
                    namespace, name
                )
            except Forbidden as error:
                raise NoKeystore(f"spec.keystores: Secret {name} may not be read: {error.message}") from None
            if secret is not None:
                found[name] = secret
        return read_passwords(certificate.spec, found)


def as_they_are(certificate: Certificate, issued: IssuedData, existing: Secret) -> IssuedData:
    """Leave the keystores that are there, where new ones cannot be made now."""
    names = store_names(certificate.spec, with_ca=bool(issued.ca))
    there = {name: existing.data[name] for name in names if existing.data.get(name)}
    return replace(issued, stores=there, mark=text_note(existing.metadata.annotations, KEYSTORES))
