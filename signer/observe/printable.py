"""Texts that somebody else wrote, made safe to show. Pure."""

# The API server takes 32768 characters; people read less, and what a requester wrote must not fill etcd.
_MAX_MESSAGE = 1024


def printable(message: str) -> str:
    """Return a message that is safe to show: printable characters, not too many."""
    if len(message) <= _MAX_MESSAGE and message.isprintable():
        return message
    text = "".join(char if char.isprintable() else "�" for char in message[: _MAX_MESSAGE + 1])
    return text if len(text) <= _MAX_MESSAGE else text[: _MAX_MESSAGE - 1] + "…"


def escaped(text: str) -> str:
    """Return a text with each character that is not printable as an escape: one line that looks like what it is.

    Line ends of every kind, control sequences, and marks that turn the direction of what follows (U+202E) are such.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def escaped_json(line: bytes) -> bytes:
    """Return the same JSON document, with each character in its strings that is not printable as JSON's escape.

    `line` is compact JSON as msgspec writes it: outside its strings all is printable.
    """
    if line.isascii() and b"\x7f" not in line:  # JSON itself escapes what is below a space
        return line
    return "".join(char if char.isprintable() else _json_escape(char) for char in line.decode()).encode()


def _json_escape(char: str) -> str:
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
