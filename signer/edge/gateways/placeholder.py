"""What a gateway's Secret holds before there is a certificate for it: a placeholder, or what it held when it was deleted.

Without one a gateway resets every connection to the port, and Envoy holds its other listeners back for 15 s. The CA's
own check follows a redirect to it and ignores what it says.
Pure, but for the key of a placeholder, which is made here and is for nothing else. Key and certificate are one value.
"""

import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from signer.api.certificate import Certificate
from signer.api.gateway import Gateway, Server
from signer.api.labels import EDGE_LABEL
from signer.api.meta import from_rfc3339, has_condition
from signer.api.secret import TLS_CERT, TLS_KEY, Secret
from signer.api.tls_secret import PLACEHOLDER_NAME, is_placeholder, key_pair, read_leaf
from signer.edge.credential_name import SecretName, secret_named
from signer.edge.host import Host, read_host
from signer.edge.reserved import reserved_name

LIFETIME = timedelta(days=90)
BACKDATED = timedelta(hours=1)
"""Clocks of clients differ."""
_ISSUANCE_BEGINS = timedelta(seconds=10)
_LAST_SERVED = timedelta(minutes=1)
SELECTORS_OF_ONE = 8
"""Selectors of one namespace's Gateways that name one Secret, for which Pods are asked for."""


def placeholder(hosts: Sequence[Host], key: ec.EllipticCurvePrivateKey, *, now: datetime, serial: int) -> bytes:
    """Return the certificate as PEM. `key` must be of its own: nothing else may ever be certified for it."""
    names = x509.SubjectAlternativeName([x509.DNSName(str(host)) for host in hosts])
    built = (
        x509.CertificateBuilder()
        .subject_name(PLACEHOLDER_NAME)
        .issuer_name(PLACEHOLDER_NAME)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(names, critical=False)
    )
    return built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def new_placeholder(hosts: Sequence[Host], now: datetime) -> dict[str, bytes]:
    """Return the data of a Secret with a self-signed certificate and its key, a new one each time."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = placeholder(hosts, key, now=now, serial=1 + secrets.randbits(120))
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {TLS_CERT: certificate, TLS_KEY: pem}


def still_good(lost: Secret, now: datetime) -> dict[str, bytes] | None:
    """Return what a deleted Secret held, if that is a certificate that is valid now, and its key."""
    data = {name: lost.data.get(name, b"") for name in (TLS_CERT, TLS_KEY)}
    leaf = read_leaf(lost)
    if leaf is None or key_pair(lost) is None:
        return None
    valid = leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc
    return data if valid and not is_placeholder(leaf) else None


def wait_for_issuance(lost: datetime, now: datetime, *, issuing: bool) -> float | None:
    """After how many seconds a Secret that somebody deleted may be made again; None for now.

    Who deletes it asks thereby for a new certificate, as with cert-manager: the Certificate must have seen that first.
    """
    left = (lost + _ISSUANCE_BEGINS - now).total_seconds()
    return min(left, 1.0) if not issuing and left > 0 else None


def waits(certificate: Certificate) -> bool:
    """Tell whether a Certificate asks for a certificate, or has none yet."""
    conditions = certificate.status.conditions
    return not certificate.metadata.deletion_timestamp and (
        has_condition(conditions, "Issuing") or not has_condition(conditions, "Ready")
    )


def placeholder_left(certificate: Certificate, missing: datetime, now: datetime) -> float | None:
    """After how many seconds the missing Secret of a user's own Certificate gets a placeholder; None for now.

    Gateways that run go on with the last certificate that they had while there is no Secret, so one that is still
    valid gets time to be issued again.
    """
    ends = from_rfc3339(certificate.status.not_after)
    left = (missing + _LAST_SERVED - now).total_seconds()
    return left if ends is not None and ends > now and left > 0 else None


def own_hosts(certificate: Certificate) -> tuple[Host, ...]:
    """The hosts for a placeholder of a user's own Certificate; () where it gets none.

    Not for a CA, nor under a name that Istio or Kubernetes reads. Whatever the issuer: a listener without a Secret resets
    connections, however short the time.
    """
    spec, meta = certificate.spec, certificate.metadata
    ours = meta.labels.get(EDGE_LABEL) == "true"
    if ours or meta.deletion_timestamp or certificate.problem or spec.is_ca or reserved_name(spec.secret_name):
        return ()
    found = (read_host(name) for name in dict.fromkeys((*spec.dns_names, spec.common_name)) if name)
    return tuple(sorted(host for host in found if isinstance(host, Host)))


def credentials_of(server: Server) -> frozenset[SecretName]:
    """The Secrets that a Gateway's server names, in whatever namespace its proxies run where it does not say."""
    if server.tls is None:
        return frozenset()
    listed = (server.tls.credential_name, *server.tls.credential_names)
    named = (secret_named(text) for text in listed if text)
    return frozenset(name for name in named if isinstance(name, SecretName))


def credentials(gateway: Gateway) -> frozenset[SecretName]:
    """The Secrets that a Gateway's servers name."""
    return frozenset(name for server in gateway.spec.servers for name in credentials_of(server))


def selectors_naming(gateways: Iterable[Gateway]) -> dict[SecretName, list[Mapping[str, str]]]:
    """By the Secrets that Gateways name, their selectors, each once: a proxy beside it may be one that they take.

    Of the Gateways of one namespace a few count for each Secret: for each selector Pods are asked for, on anybody's word.
    """
    found: dict[SecretName, dict[tuple[tuple[str, str], ...], Mapping[str, str]]] = {}
    taken: Counter[tuple[SecretName, str]] = Counter()
    for gateway in gateways:
        selector = tuple(sorted(gateway.spec.selector.items()))
        for name in credentials(gateway):
            listed = found.setdefault(name, {})
            of = (name, gateway.metadata.namespace)
            if selector not in listed and taken[of] < SELECTORS_OF_ONE:
                taken[of] += 1
                listed[selector] = gateway.spec.selector
    return {name: list(listed.values()) for name, listed in found.items()}
