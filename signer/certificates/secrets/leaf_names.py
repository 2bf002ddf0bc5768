"""The names in a certificate that somebody issued: by our own reader, and where that is too strict, by the library.

The library warns of what Go and cert-manager write (a country that has not two letters); a certificate whose names nobody
read would be issued again and again. Pure.
"""

import warnings
from dataclasses import dataclass

from cryptography import x509

from issuers.x509 import parts
from issuers.x509.general_names import GeneralNames


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
    return LeafNames(_subject(leaf), parts.alt_names(leaf))


def _subject(leaf: x509.Certificate) -> tuple[tuple[str, str], ...]:
    if (found := parts.names_in(parts.parts_of(leaf).subject)) is not None:
        return tuple(pair for pairs in found for pair in pairs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return tuple((one.oid.dotted_string, str(one.value)) for one in leaf.subject)
        except Exception:  # noqa: BLE001 - what the library makes of a name that is no text is not foreseen
            return ()
