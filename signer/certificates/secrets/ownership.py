"""May this Certificate write that Secret? A Secret that is not for it is never overwritten.

Pure. Stricter than cert-manager, which applies over whatever is there: a name given by mistake would destroy a
tenant's data, or a CA.
"""

from collections.abc import Collection, Sequence

from cryptography import x509

from signer.api.certificate import Certificate, PrivateKeySpec
from signer.api.secret import OPAQUE_TYPE, TLS_CERT, TLS_KEY, TLS_TYPE, Secret
from signer.api.text import shown, some
from signer.api.tls_secret import is_ca
from signer.certificates.spec.check import Defect
from signer.certificates.well_known import CERTIFICATE_NAME, SECRET_UID

DUPLICATE = "DuplicateSecretName"
WRONG_TYPE = "SecretTypeMismatch"
FOREIGN = "SecretNotOwned"
TOO_LARGE = "SecretTooLarge"


def duplicate_defect(certificate: Certificate, rivals: Collection[Certificate], secret: Secret | None) -> Defect | None:
    """Tell when another Certificate of the namespace has the Secret that this one names too.

    The Secret's is the one that it was written for, else the oldest that names it, as in cert-manager; that one goes on
    as if it were alone. Only who has it is named, so that further ones do not change every condition again.
    """
    if not rivals:
        return None
    owner = _owner(certificate, rivals, secret)
    if owner == certificate.metadata.name:
        return None
    return Defect(
        DUPLICATE,
        f"spec.secretName: Secret {certificate.spec.secret_name} is Certificate {owner}'s; each Certificate needs a Secret "
        "of its own: choose another name",
    )


def _owner(certificate: Certificate, rivals: Collection[Certificate], secret: Secret | None) -> str:
    everybody = [certificate, *rivals]
    noted = secret.metadata.annotations.get(CERTIFICATE_NAME) if secret is not None else None
    if any(one.metadata.name == noted and _meant(one, secret) for one in everybody if secret is not None):
        return str(noted)
    oldest = min(everybody, key=lambda one: (one.metadata.creation_timestamp or "", one.metadata.name))
    return oldest.metadata.name


def holds(certificate: Certificate, secret: Secret | None) -> bool:
    """Tell whether the Secret says that it was written for this Certificate, and is the one that the Certificate means."""
    if secret is None or not _meant(certificate, secret):
        return False
    return secret.metadata.annotations.get(CERTIFICATE_NAME) == certificate.metadata.name


def _meant(certificate: Certificate, secret: Secret) -> bool:
    return certificate.metadata.annotations.get(SECRET_UID, secret.metadata.uid) == secret.metadata.uid


def foreign_defect(certificate: Certificate, secret: Secret | None, *, own_key: bool) -> Defect | None:
    """Tell when the Secret that is there is not for this Certificate.

    One that names another Certificate which no longer uses it is taken over, as in cert-manager (a rename), and so is
    an empty one, which keeps its type where that is Opaque. One without any such note may only bring a key along, where
    the key is to be kept (rotationPolicy: Never). `own_key` says that its key is the one of our present request: then it is ours, whatever
    was done to its annotations.
    """
    if secret is None or own_key or holds(certificate, secret):
        return None
    name = f"Secret {secret.metadata.name}"
    if secret.withheld:
        return Defect(TOO_LARGE, f"spec.secretName: {name}: {secret.withheld}; make it smaller, or choose another name")
    if secret.type != TLS_TYPE and not _may_be_filled(certificate, secret):
        return Defect(WRONG_TYPE, f"spec.secretName: {name} {_in_the_way(certificate, secret)}")
    if not _meant(certificate, secret):
        return Defect(FOREIGN, f"spec.secretName: {name} is not the one that was made for this Certificate; delete it")
    if CERTIFICATE_NAME in secret.metadata.annotations:
        return None
    if secret.data.get(TLS_CERT) or (secret.data.get(TLS_KEY) and not keeps_key(certificate)):
        return Defect(
            FOREIGN,
            f"spec.secretName: {name} holds a certificate or key that was not written for this Certificate; delete it, "
            f"choose another name, or {_hand_over(certificate)}",
        )
    return None


def signs_for(certificate: Certificate, leaf: x509.Certificate | None, issuers: Sequence[str]) -> Defect | None:
    """Tell when a Certificate that is no CA would write over the CA (`leaf`) that these issuers sign with.

    Asked only of a Secret that was not written for this Certificate: a slip in secretName would end all that they signed.
    """
    if certificate.spec.is_ca or not issuers or leaf is None or not is_ca(leaf):
        return None
    return Defect(
        FOREIGN,
        f"spec.secretName: Secret {certificate.spec.secret_name} holds the CA of {', '.join(issuers)}, and this Certificate "
        "is none (spec.isCA): choose another name",
    )


def _may_be_filled(certificate: Certificate, secret: Secret) -> bool:
    """Tell whether a Secret of type Opaque has nothing in it that could be lost, or was some Certificate's before.

    Other types are somebody's who reads them: a token's Secret is never written. Nor is one of type Opaque with whatever other
    entries, though they would stay: by its type it may be read as anything, and it would be renewed and labelled as ours from
    then on. Its owner says that by the annotation; without it the controllers' admission policy refuses the write too. One of
    type kubernetes.io/tls is meant for a key pair.
    """
    if secret.type != OPAQUE_TYPE:
        return False
    if CERTIFICATE_NAME in secret.metadata.annotations:
        return True
    there = {name for name, value in secret.data.items() if value}
    return there <= ({TLS_KEY} if keeps_key(certificate) else set())


def _in_the_way(certificate: Certificate, secret: Secret) -> str:
    """Say of a Secret of another type what is there, and what its owner can do."""
    held = some(shown(name) for name in sorted(secret.data) if secret.data[name])
    if secret.type == OPAQUE_TYPE:
        return (
            f"exists with type {OPAQUE_TYPE}, not {TLS_TYPE}, and holds {held}; delete it, choose another name, or "
            f"{_hand_over(certificate)}: then key and certificate are written into it, and entries of other names stay"
        )
    return f"exists with type {shown(secret.type)}, not {TLS_TYPE}; delete it or choose another name"


def _hand_over(certificate: Certificate) -> str:
    return f"hand it over with the annotation {CERTIFICATE_NAME}={certificate.metadata.name}"


def keeps_key(certificate: Certificate) -> bool:
    """Tell whether a renewal keeps the private key.

    Unset means Never for a CA: with a new key everything that the CA ever signed would stop verifying at its next
    renewal. For others it means Always, cert-manager's default since 1.18.
    """
    policy = (certificate.spec.private_key or PrivateKeySpec()).rotation_policy
    return policy == "Never" or (policy == "" and certificate.spec.is_ca)
