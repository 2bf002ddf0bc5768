"""Names that cert-manager gave to labels, annotations, conditions and reasons, and that users and tools look for.

Constants only. Source: cert-manager v1.20, pkg/apis/certmanager/v1.
"""

# Labels and annotations of Secrets and CertificateRequests.
FAO_LABEL = "controller.cert-manager.io/fao"
CERTIFICATE_NAME = "cert-manager.io/certificate-name"
ISSUER_NAME = "cert-manager.io/issuer-name"
ISSUER_KIND = "cert-manager.io/issuer-kind"
ISSUER_GROUP = "cert-manager.io/issuer-group"
COMMON_NAME = "cert-manager.io/common-name"
ALT_NAMES = "cert-manager.io/alt-names"
IP_SANS = "cert-manager.io/ip-sans"
URI_SANS = "cert-manager.io/uri-sans"
EMAIL_SANS = "cert-manager.io/email-sans"
SUBJECT_PREFIX = "cert-manager.io/subject-"
REVISION = "cert-manager.io/certificate-revision"
PRIVATE_KEY_SECRET = "cert-manager.io/private-key-secret-name"  # noqa: S105 - the annotation's name
# On a Certificate: the UID that its Secret must have, so that one made under that name by somebody else is not written.
SECRET_UID = "mesh-signer.dev/secret-uid"  # noqa: S105 - the annotation's name
ALLOW_DIRECT_INJECTION = "cert-manager.io/allow-direct-injection"
# What a secretTemplate may not set.
RESERVED_PREFIXES = ("cert-manager.io/", "controller.cert-manager.io/", "mesh-signer.dev/")

# Condition types.
READY = "Ready"
ISSUING = "Issuing"
APPROVED = "Approved"
DENIED = "Denied"
INVALID_REQUEST = "InvalidRequest"

# Of ours, on a CertificateRequest: it was refused for something that others can mend, for the reason that it names.
REFUSED = "mesh-signer.dev/Refused"
NOT_BY_ALL = "mesh-signer.dev/NotVerifiableByAll"

# Reasons of a CertificateRequest's Ready condition.
ISSUED = "Issued"
PENDING = "Pending"
FAILED = "Failed"
REASON_DENIED = "Denied"

# On a Certificate: a certificate of nobody's stands in its Secret until there is one.
TEMPORARY = "cert-manager.io/issue-temporary-certificate"
# On a Secret: what its keystores were made of.
KEYSTORES = "mesh-signer.dev/keystores"
# On a Secret: what its certificate was issued for (signer/certificates/secrets/issued_for.py).
ISSUED_FOR = "mesh-signer.dev/issued-for"

# Who writes Secrets, as server-side apply records it: cert-manager's own name for it, so that each of the two takes away
# what the other has put there when a Certificate no longer asks for it (docs/adr/0038).
FIELD_MANAGER = "cert-manager-certificates-issuing"
# Names under which Secrets of Certificates were written as well: ours until this version, and how cert-manager's begin.
FORMER_MANAGER = "mesh-signer-certificates"
PEER_MANAGERS = "cert-manager-certificates-"
