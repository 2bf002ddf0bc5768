"""The JSON that a CA answers with (RFC 8555, section 7.1; RFC 9773, section 4.2), as far as it is read. Values.

A text is checked for its length alone here; what it may say is for `answers` to judge. What decides has its type; whatever else
a CA may say is kept as it came, since what nobody needs must not spoil the rest: not even a number that is out of range.
"""

from typing import Annotated

import msgspec

# A field that is not there; msgspec has no union of Raw with None.
NOTHING = msgspec.Raw()
Short = Annotated[str, msgspec.Meta(max_length=2048)]


class Directory(msgspec.Struct, rename="camel"):
    """The directory (RFC 8555, section 7.1.1)."""

    new_nonce: Short
    new_account: Short
    new_order: Short
    revoke_cert: msgspec.Raw = NOTHING
    key_change: msgspec.Raw = NOTHING
    renewal_info: msgspec.Raw = NOTHING
    meta: msgspec.Raw = NOTHING


class Identifier(msgspec.Struct):
    """What is to be proven, or was."""

    type: Short
    value: Short


class Order(msgspec.Struct):
    """An order (section 7.1.3); its error is read apart."""

    status: Short
    identifiers: list[Identifier]
    authorizations: list[Short]
    finalize: Short
    certificate: msgspec.Raw = NOTHING
    expires: msgspec.Raw = NOTHING
    error: msgspec.Raw = NOTHING
    profile: msgspec.Raw = NOTHING
    replaces: msgspec.Raw = NOTHING


class Challenge(msgspec.Struct):
    """A challenge (sections 7.1.5 and 8), of whatever type: of one that nobody here answers, nothing decides."""

    type: msgspec.Raw = NOTHING
    url: msgspec.Raw = NOTHING
    token: msgspec.Raw = NOTHING
    status: msgspec.Raw = NOTHING
    validated: msgspec.Raw = NOTHING
    error: msgspec.Raw = NOTHING


class Authorization(msgspec.Struct):
    """An authorization (section 7.1.4)."""

    status: Short
    identifier: Identifier
    challenges: list[Challenge]
    expires: msgspec.Raw = NOTHING
    wildcard: msgspec.Raw = NOTHING


class Account(msgspec.Struct):
    """An account (section 7.1.2)."""

    status: Short
    contact: msgspec.Raw = NOTHING


class Window(msgspec.Struct):
    """Between two times."""

    start: Short
    end: Short


class RenewalInfo(msgspec.Struct, rename="camel"):
    """When the CA would have a certificate renewed (RFC 9773, section 4.2)."""

    suggested_window: Window
    explanation_url: msgspec.Raw = msgspec.field(default=NOTHING, name="explanationURL")
