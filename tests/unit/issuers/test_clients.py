"""CSRs of the programs that people use are read: strictness costs no honest client anything.

Recorded in tests/vectors/clients/ from OpenSSL 3.0, keytool of OpenJDK (its label NEW CERTIFICATE REQUEST set right,
since the API server refuses that one), Certbot's acme 5.9, and rcgen 0.14.8 and 0.13.2 as ztunnel calls them
(tests/localmesh/rusttools/ztunnel: `ztunnel csr now|before SPIFFE_ID`); Go's are compared in tests/integration. Istio's
form is the vectors' baseline.
"""

from pathlib import Path
from typing import Any

import pytest

from issuers.request import read_request

CLIENTS = Path(__file__).parents[2] / "vectors" / "clients"
NAMES = {
    "uris": ("spiffe://td.example/ns/a/sa/b",),
    "dns_names": ("a.example",),
    "ip_addresses": ("10.0.0.1",),
    "email_addresses": ("a@b.example",),
}
USAGES = {
    "is_ca": False,
    "key_usages": ("digital signature", "key encipherment"),
    "extended_key_usages": ("server auth", "client auth"),
}
ZTUNNEL = {
    "subject": "",
    "uris": ("spiffe://cluster.local/ns/foo/sa/default",),
    "signature_algorithm": "ECDSAWithSHA256",
}
EXPECTED: dict[str, dict[str, Any]] = {
    "openssl-rsa": NAMES | {"subject": "CN=x,O=\u00dc,C=DE", "signature_algorithm": "SHA256WithRSA"},
    "openssl-p256": NAMES | USAGES | {"subject": "CN=x,O=\u00dc,C=DE", "signature_algorithm": "ECDSAWithSHA256"},
    "openssl-p384-ca": {
        "subject": "CN=ca",
        "is_ca": True,
        "path_length": 0,
        "name_constraints_der": bytes.fromhex("301ba019300b8209612e6578616d706c65300a87080a000000ff000000"),
    },
    "openssl-ed25519": NAMES | {"subject": "", "signature_algorithm": "PureEd25519"},
    "openssl-pss": {
        "subject": "1.2.840.113549.1.9.1=a@b.example,CN=x+UID=y",
        "signature_algorithm": "SHA256-RSAPSS",
    },
    "openssl-attributes": {"subject": "CN=x", "san_der": None},
    "keytool-rsa": NAMES | USAGES | {"subject": "CN=x,O=b,C=DE", "signature_algorithm": "SHA256WithRSA"},
    "keytool-p256": NAMES | USAGES | {"subject": "CN=x,O=b,C=DE", "signature_algorithm": "ECDSAWithSHA256"},
    "keytool-ed25519": NAMES | USAGES | {"subject": "CN=x,O=b,C=DE", "signature_algorithm": "PureEd25519"},
    "ztunnel-1.28": ZTUNNEL | {"san_critical": True},
    "ztunnel-1.27": ZTUNNEL | {"san_critical": False},
    "certbot-acme": {"subject": "", "dns_names": ("a.example", "b.example")},
}


@pytest.mark.parametrize("client", EXPECTED)
def test_a_common_programs_request_is_read(client: str) -> None:
    """Its names and wishes are those that it was told to write."""
    request = read_request((CLIENTS / f"{client}.pem").read_bytes())
    assert {field: getattr(request, field) for field in EXPECTED[client]} == EXPECTED[client]


def test_every_recording_is_tested() -> None:
    """No file lies there unread."""
    assert {file.stem for file in CLIENTS.iterdir()} == set(EXPECTED)
