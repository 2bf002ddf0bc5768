"""The grammar of the names that objects give: what is none is told to people, and never looked up or compared.

Pure. Lengths are checked first, so that no pattern meets a long text.
Sources: RFC 1123; Kubernetes, "Object Names and IDs" and "Labels and Selectors"; SPIFFE-ID section 2.1.
"""

import hashlib
import re

from signer.api.issuer import IssuerRef

MAX_LABEL = 63
MAX_SUBDOMAIN = 253
_MAX_TRUST_DOMAIN = 255

_LABEL_PATTERN = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_LABEL = re.compile(_LABEL_PATTERN, re.ASCII)
_SUBDOMAIN = re.compile(rf"{_LABEL_PATTERN}(?:\.{_LABEL_PATTERN})*", re.ASCII)
_TRUST_DOMAIN = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*", re.ASCII)
_QUALIFIED = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?", re.ASCII)


def shortened(name: str, length: int) -> str:
    """Keep the beginning of an object's name within a length, so that "-" and more may follow.

    Two long names stay different by a hash of the whole; what is cut ends with a letter or digit. `length` is above 65.
    """
    if len(name) <= length:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()
    return f"{name[: length - len(digest) - 1].rstrip('.-')}-{digest}"


def is_label(text: str) -> bool:
    """Tell whether the text is an RFC 1123 label, as a namespace's name is."""
    return len(text) <= MAX_LABEL and _LABEL.fullmatch(text) is not None


def is_subdomain(text: str) -> bool:
    """Tell whether the text is an RFC 1123 subdomain, as the names of most objects are."""
    return len(text) <= MAX_SUBDOMAIN and _SUBDOMAIN.fullmatch(text) is not None


def is_dns_pattern(text: str) -> bool:
    """Tell whether the text is a lower case DNS name, whose first label may be "*"."""
    return is_subdomain(text.removeprefix("*."))


def is_trust_domain(text: str) -> bool:
    """Tell whether the text can stand as the trust domain of a SPIFFE ID."""
    return len(text) <= _MAX_TRUST_DOMAIN and _TRUST_DOMAIN.fullmatch(text) is not None


def is_label_key(text: str, prefix: str) -> bool:
    """Tell whether the text is a label's key under this prefix, which ends in "/"."""
    name = text.removeprefix(prefix)
    return text.startswith(prefix) and len(name) <= MAX_LABEL and _QUALIFIED.fullmatch(name) is not None


def is_label_value(text: str) -> bool:
    """Tell whether the text can be a label's value; it may be empty."""
    return not text or (len(text) <= MAX_LABEL and _QUALIFIED.fullmatch(text) is not None)


def is_issuer(ref: IssuerRef) -> bool:
    """Tell whether an issuer of this name can exist."""
    if ref.kind == "ClusterIssuer":
        return is_subdomain(ref.name)
    return is_label(ref.namespace) and is_subdomain(ref.name)


SERVICE_ACCOUNT_USER = "system:serviceaccount:NAMESPACE:NAME"
# Without look-ahead and \Z, since the chart's schema has them too, and Go's expressions know neither.
ACCOUNT_PATTERN = r"system:serviceaccount:[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?:[a-z0-9](?:[-.a-z0-9]*[a-z0-9])?"
GROUP_PATTERN = r"system:(?:serviceaccounts?|authenticated|unauthenticated|masters|nodes)(?::|$)"
"""What begins so is a group, or a service account that may be none."""
# A name that an authenticator may give a user, but no service account's that is none, and no group's.
_USER = re.compile(rf"{ACCOUNT_PATTERN}|(?!{GROUP_PATTERN})[^\s]+")


def user_problem(text: str, *, people: bool) -> str:
    """Say why nobody who asks is called so; "" for a user name.

    A group is no user, and a service account's user name has its namespace. Without `people` those who ask are programs,
    so a word alone, or behind a namespace and a slash, is a service account's name and not its user name.
    """
    if not text or not text.isprintable() or not _USER.fullmatch(text):
        return f"is not a user name (a service account is {SERVICE_ACCOUNT_USER})"
    if people and not (text == "istiod" or text.startswith("istiod-") or is_namespaced(text)):
        return ""
    if ":" not in text and "@" not in text:
        return (
            f"is not a user name: a service account is {SERVICE_ACCOUNT_USER}, and of other users those are taken that have : "
            "or @ in their name"
        )
    return ""


def is_namespaced(text: str) -> bool:
    """Tell whether a text is NAMESPACE/NAME."""
    namespace, slash, name = text.partition("/")
    return bool(slash) and is_label(namespace) and is_subdomain(name)
