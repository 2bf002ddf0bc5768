"""What was given for each option, on the command line or in the environment: each value read and checked alone. Pure.

Each option `--some-name` is also the environment variable MESH_SIGNER_SOME_NAME; the command line wins.
"""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TypeVar

from signer.api.duration import InvalidDuration, format_duration, parse_duration
from signer.api.meant import nearest
from signer.api.names import user_problem

T = TypeVar("T", bound=str)

PREFIX = "MESH_SIGNER_"

NAMESPACE = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
DNS_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
"""Of an object in Kubernetes."""
HOST = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?\.)*(?![0-9]+\Z)[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
)
"""Of a host: no IP address, whose last label is a number."""
# What Kubernetes sets in each Pod for a Service whose name begins with mesh-signer (enableServiceLinks); of our own tests.
_SERVICE = re.compile(
    r"(?:.*_)?(?:SERVICE_HOST|SERVICE_PORT(?:_.*)?|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_[A-Z]+)?)?)|TEST_.*"
)


DNS_PORT = 53


class SettingsError(ValueError):
    """A setting cannot be used; the message names it."""


class Given:
    """Reads options by name, without the dashes in front. All but `text` raise SettingsError, which names the option.

    `arguments` are parsed, by name with underscores; None is "not given". A default is returned as it is.
    """

    def __init__(self, arguments: Mapping[str, str | None], environment: Mapping[str, str]) -> None:
        self._arguments = arguments
        self._environment = environment
        self._read: set[str] = set()
        self._changed: dict[str, str] = {}

    @property
    def changed(self) -> tuple[tuple[str, str], ...]:
        """Name and value of each option that was read and is not as it would be by itself, in the order of reading."""
        return tuple(self._changed.items())

    def text(self, name: str, default: str) -> str:
        """Return what was given, or the default."""
        variable = PREFIX + name.replace("-", "_").upper()
        self._read.add(variable)
        given = self._arguments.get(name.replace("-", "_"))
        found = given if given is not None else self._environment.get(variable, default)
        if found != default:
            self._changed[name] = found
        return found

    def check_environment(self) -> None:
        """Check that each variable of ours was asked for: to be called when all options were read."""
        for name in sorted(self._environment):
            if not name.startswith(PREFIX) or name in self._read or _SERVICE.fullmatch(name.removeprefix(PREFIX)):
                continue
            known = [one.removeprefix(PREFIX) for one in self._read]
            near = nearest(name.removeprefix(PREFIX), known, 0.6)
            hint = f": is {PREFIX}{near} meant?" if near else " (docs/operations.md lists them)"
            raise SettingsError(f"{name}: there is no such setting{hint}")

    def boolean(self, name: str, *, default: bool) -> bool:
        """Read true or false, 1 or 0, yes or no."""
        value = self.text(name, "true" if default else "false").lower()
        if value not in {"true", "false", "1", "0", "yes", "no"}:
            raise SettingsError(f"--{name}: {value!r} is neither true nor false")
        return value in {"true", "1", "yes"}

    def number(self, name: str, default: float, low: float, high: float) -> float:
        """Read a number from `low` to `high`."""
        value = self.text(name, str(default))
        try:
            parsed = float(value)
        except ValueError:
            raise SettingsError(f"--{name}: {value!r} is not a number") from None
        if not low <= parsed <= high:
            raise SettingsError(f"--{name}: {value} is not between {low:g} and {high:g}")
        return parsed

    def choice(self, name: str, default: T, allowed: Sequence[T]) -> T:
        """Read one of `allowed`."""
        value = self.text(name, default)
        for one in allowed:
            if value == one:
                return one
        raise SettingsError(f"--{name}: {value!r} is not one of {', '.join(allowed)}")

    def namespace(self, name: str, default: str) -> str:
        """Read the name of a namespace."""
        value = self.text(name, default)
        if not NAMESPACE.fullmatch(value):
            raise SettingsError(f"--{name}: {value!r} is not a valid namespace name")
        return value

    def address(self, name: str, default: str) -> str:
        """Read ADDRESS:PORT to listen at, or none."""
        text = self.text(name, default)
        host, colon, port = text.rpartition(":")
        if text == "none":
            return text
        if not (colon and port.isascii() and port.isdigit() and int(port) < 1 << 16):
            raise SettingsError(f"--{name}: {text!r} is neither ADDRESS:PORT nor none")
        if ":" in host and not (host.startswith("[") and host.endswith("]")):
            raise SettingsError(f"--{name}: an IPv6 address needs brackets, as in [{host}]:{port}")
        if host and not _is_address(host.removeprefix("[").removesuffix("]")) and not HOST.fullmatch(host.lower()):
            raise SettingsError(f"--{name}: {host!r} is neither an IP address nor the name of a host")
        return text

    def duration(self, name: str, default: timedelta, low: timedelta, high: timedelta) -> timedelta:
        """Read a duration from `low` to `high`, written as in Go."""
        value = self.text(name, format_duration(default))
        try:
            parsed = parse_duration(value)
        except InvalidDuration:
            raise SettingsError(f"--{name}: {value!r} is not a duration such as 24h or 90m") from None
        if not low <= parsed <= high:
            raise SettingsError(f"--{name}: {value} is not between {format_duration(low)} and {format_duration(high)}")
        return parsed

    def names(self, name: str, shape: re.Pattern[str], what: str) -> frozenset[str]:
        """Read names between commas; each matches `shape`, and `what` says what it should be."""
        found = frozenset(one.strip() for one in self.text(name, "").split(",") if one.strip())
        for one in sorted(found):
            if not shape.fullmatch(one):
                raise SettingsError(f"--{name}: {one!r} is not a valid {what}")
        return found

    def users(self, name: str) -> frozenset[str]:
        """Read the user names of programs between commas."""
        found = frozenset(one.strip() for one in self.text(name, "").split(",") if one.strip())
        for one in sorted(found):
            if problem := user_problem(one, people=False):
                raise SettingsError(f"--{name}: {one!r} {problem}")
        return found

    def word(self, name: str, default: str) -> str:
        """Read a name without spaces or control characters, at most 253 characters of it."""
        value = self.text(name, default)
        if value and (not value.isprintable() or " " in value or len(value) > 253):
            raise SettingsError(f"--{name}: {value!r} is not a name without spaces, of 253 characters at most")
        return value

    def object_name(self, name: str, what: str) -> str:
        """Read the name of an object in Kubernetes, or "" for none; `what` says which object."""
        value = self.text(name, "")
        if value and not DNS_NAME.fullmatch(value):
            raise SettingsError(f"--{name}: {value!r} is not a valid {what}")
        return value

    def nameservers(self, name: str) -> tuple[tuple[str, int], ...]:
        """Read DNS servers between commas, in the given order: IP address and port each."""
        return tuple(_nameserver(name, one.strip()) for one in self.text(name, "").split(",") if one.strip())


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _nameserver(name: str, text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":") if "]:" in text or text.count(":") == 1 else (text, "", str(DNS_PORT))
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
        number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else 0
    except ValueError:
        raise SettingsError(f"--{name}: {text!r} is not an IP address, with or without a port") from None
    if not 0 < number < 65536:
        raise SettingsError(f"--{name}: {text!r} has no port from 1 to 65535")
    return str(address), number
