"""The hosts that a certificate signing request asks a public CA for. Pure."""

from cryptography import x509

from issuers.acme.identifiers import MAX_IDENTIFIERS
from issuers.request import SigningRequest
from signer.edge.host import Host, read_host
from signer.tenancy.claims import shown


def hosts_of(csr: SigningRequest) -> tuple[Host, ...] | str:
    """The hosts that a CSR asks for, sorted; or a sentence that says why no public CA would sign it."""
    others = {
        "ipAddresses": csr.ip_addresses,  # RFC 8738; nobody can be asked who has an address, as HostClaims say of a host
        "uris": csr.uris,
        "emailAddresses": csr.email_addresses,
        "otherNames": csr.other_names,
    }
    if extra := [f"spec.{field}" for field, values in others.items() if values]:
        return (
            f"{', '.join(extra)}: an ACME issuer gives certificates for DNS names only; the request has other names too"
        )
    wanted = [*csr.dns_names, *_common_names(csr)]
    found: set[Host] = set()
    for name in wanted:
        host = read_host(name)
        if isinstance(host, str):
            return host
        found.add(host)
    if not found:
        return "the request has no DNS name"
    if len(found) > MAX_IDENTIFIERS:
        return f"the request has {len(found)} names; a certificate has {MAX_IDENTIFIERS} at most"
    if csr.is_ca:
        return "an ACME issuer gives no CA certificates"
    long = [str(host) for host in found if len(str(host)) > 253]
    return f"{shown(long[0])} is too long" if long else tuple(sorted(found))


def _common_names(csr: SigningRequest) -> tuple[str, ...]:
    request = x509.load_der_x509_csr(csr.der)
    found = request.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return tuple(str(one.value) for one in found)
