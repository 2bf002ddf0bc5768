"""The names in a certificate that somebody issued: by our own reader, and where that is too strict, by the library.

The library refuses all extensions when one is odd (encipher only without key agreement), and warns of what Go and
cert-manager write (a country that has not two letters); a certificate whose names nobody read would be issued again and
again. Pure.
"""

import warnings
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from issuers.inspection import read_certificate
from issuers.x509 import der, extensions
from issuers.x509.general_names import GeneralNames, read_general_names
from issuers.x509.subject import read_name


@dataclass(frozen=True, slots=True)
class LeafNames:
    """`subject` has (dotted type, text) pairs in order; `names` is None where they cannot be read by anybody."""

    subject: tuple[tuple[str, str], ...]
    names: GeneralNames | None

    def texts(self, kind: str) -> list[str]:
        """The subject's texts of one type."""
        return [text for found, text in self.subject if found == kind]


def leaf_names(leaf: x509.Certificate) -> LeafNames:
    """Read subject and subject alternative names; never raises."""
    try:
        fields = read_certificate(leaf.public_bytes(Encoding.DER))
        parts = read_name(fields.subject, 0, len(fields.subject))
        _, value = fields.extensions.get(extensions.SUBJECT_ALT_NAME, (False, b""))
        names = read_general_names(value) if value else GeneralNames()
    except der.DerError:
        return _library(leaf)
    return LeafNames(tuple(pair for pairs in parts for pair in pairs), names)


def _library(leaf: x509.Certificate) -> LeafNames:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            subject = tuple((one.oid.dotted_string, str(one.value)) for one in leaf.subject)
        except ValueError:
            subject = ()
        try:
            san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return LeafNames(subject, GeneralNames())
        except ValueError:
            return LeafNames(subject, None)
    return LeafNames(
        subject,
        GeneralNames(
            dns_names=tuple(san.get_values_for_type(x509.DNSName)),
            ip_addresses=tuple(map(str, san.get_values_for_type(x509.IPAddress))),
            email_addresses=tuple(san.get_values_for_type(x509.RFC822Name)),
            uris=tuple(san.get_values_for_type(x509.UniformResourceIdentifier)),
        ),
    )
