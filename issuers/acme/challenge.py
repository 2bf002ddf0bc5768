"""What proves a name: the key authorization of HTTP-01, and its digest for DNS-01 (RFC 8555, section 8). Pure.

The key authorization is put together from the token as the CA wrote it. The `acme` library decodes a token and encodes
it again, which changes one that is not canonical base64url, and then the CA finds another text than it asked for.
"""

import base64
import hashlib

HTTP01 = "http-01"
DNS01 = "dns-01"


def key_authorization(token: str, thumbprint: str) -> str:
    """RFC 8555, section 8.1."""
    return f"{token}.{thumbprint}"


def dns_value(token: str, thumbprint: str) -> str:
    """RFC 8555, section 8.4: the digest of the key authorization, base64url."""
    digest = hashlib.sha256(key_authorization(token, thumbprint).encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
