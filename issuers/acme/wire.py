"""The JSON that a CA answers with (RFC 8555, section 7.1; RFC 9773, section 4.2), as far as it is read. Values.

A text is checked for its length alone here; what it may say is for `answers` to judge. What need not be there may be anything:
a field that nobody uses must not spoil the rest.
"""

from typing import Annotated, Any

import msgspec

# A field that is not there; msgspec has no union of Raw with None.
NOTHING = msgspec.Raw()
Short = Annotated[str, msgspec.Meta(max_length=2048)]


class Directory(msgspec.Struct, rename="camel"):
    """The directory (RFC 8555, section 7.1.1)."""

    new_nonce: Short
    new_account: Short
    new_order: Short
    revoke_cert: Any = None
    key_change: Any = None
    renewal_info: Any = None
    meta: Any = None


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
    certificate: Any = None
    expires: Any = None
    error: msgspec.Raw = NOTHING
    profile: Any = None
    replaces: Any = None


class Challenge(msgspec.Struct):
    """A challenge (sections 7.1.5 and 8), of whatever type."""

    type: Short
    url: Any = ""
    token: Any = ""
    status: Short = "pending"
    validated: Short | None = None
    error: msgspec.Raw = NOTHING


class Authorization(msgspec.Struct):
    """An authorization (section 7.1.4)."""

    status: Short
    identifier: Identifier
    challenges: list[Challenge]
    expires: Any = None
    wildcard: Any = False


class Account(msgspec.Struct):
    """An account (section 7.1.2)."""

    status: Short
    contact: Any = None


class Window(msgspec.Struct):
    """Between two times."""

    start: Short
    end: Short


class RenewalInfo(msgspec.Struct, rename="camel"):
    """When the CA would have a certificate renewed (RFC 9773, section 4.2)."""

    suggested_window: Window
    explanation_url: Short | None = msgspec.field(default=None, name="explanationURL")
