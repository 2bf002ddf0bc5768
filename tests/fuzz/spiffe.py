"""SPIFFE IDs: what is read spells itself back, is a URI to our CSR reader and to Python's, and names what Kubernetes can have."""

from urllib.parse import urlsplit

from issuers.spiffe import parse_spiffe_id
from issuers.x509.general_names import encode_general_names, read_general_names
from signer.api.names import is_label, is_subdomain, is_trust_domain

WORDS = (b"spiffe://", b"cluster.local", b"/ns/", b"/sa/", b"default", b"%2f", b"..", b"//", b"@", b":", b"?", b"#")


def run(data: bytes) -> None:
    """Raise when a promise is broken."""
    uri = data.decode("utf-8", "surrogateescape")
    found = parse_spiffe_id(uri)
    if found is None:
        return
    assert str(found) == uri
    assert is_trust_domain(found.trust_domain)
    assert is_label(found.namespace)
    assert is_subdomain(found.service_account)
    assert read_general_names(encode_general_names(uris=[uri])).uris == (uri,)
    parts = urlsplit(uri)
    assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("spiffe", found.trust_domain, "", "")
    assert parts.path.split("/") == ["", "ns", found.namespace, "sa", found.service_account]
