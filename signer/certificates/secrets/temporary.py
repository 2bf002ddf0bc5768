"""A temporary certificate: what stands in a Secret until its issuer has answered, for programs that do not start without.

A throwaway CA signs it, whose key is kept nowhere, so nobody can verify it; it is replaced by what the issuer returns.
Asked for with the annotation cert-manager.io/issue-temporary-certificate. Slow (a key of P-521): off the loop.
Source: cert-manager, pkg/util/pki/temporarycertificate.go.
"""

from datetime import datetime, timedelta

from issuers.authority import load_authority
from issuers.certificate import new_serial, self_sign, sign, template_for
from issuers.compose import compose_request
from issuers.private_key import encode_key, generate_key
from issuers.request import SigningRequest, read_request
from issuers.x509.subject import Subject
from signer.api.certificate import Certificate
from signer.certificates.renewal import DEFAULT_DURATION
from signer.certificates.secrets.view import TEMPORARY_NAME, SecretView
from signer.certificates.well_known import TEMPORARY


def wants_temporary(certificate: Certificate, view: SecretView | None) -> bool:
    """Tell whether one is asked for and missing: a Secret with a key pair keeps it, however old it is.

    A CA gets none: an issuer would take it for its own, and sign with what is gone a moment later.
    """
    if certificate.metadata.annotations.get(TEMPORARY) != "true" or certificate.spec.is_ca:
        return False
    return view is None or view.key is None or view.leaf is None or view.leaf_spki != view.key.spki


def temporary_certificate(csr: SigningRequest, usages: tuple[str, ...], lifetime: timedelta, now: datetime) -> bytes:
    """Make the certificate (PEM) that the request asks for, from nobody. Raises TemplateError."""
    key = generate_key("ECDSA", 521)
    asked = read_request(compose_request(key, subject=Subject(common_name=TEMPORARY_NAME), is_ca=True))
    own = template_for(asked, usages=(), duration=DEFAULT_DURATION, is_ca=True, now=now, add_cert_sign=True)
    root = self_sign(own, key, serial=new_serial())
    authority = load_authority(root.pem, encode_key(key), None, now=now)
    lifetime = min(lifetime, DEFAULT_DURATION)
    template = template_for(csr, usages=usages, duration=lifetime, is_ca=False, now=now, add_cert_sign=True)
    return sign(template, authority, serial=new_serial()).pem
