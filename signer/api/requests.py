"""The requests for a certificate that the hot path answers, whichever door they came by. Pure."""

from signer.api.certificatesigningrequest import CertificateSigningRequest
from signer.api.podcertificaterequest import PodCertificateRequest

Request = CertificateSigningRequest | PodCertificateRequest
