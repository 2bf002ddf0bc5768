"""Texts that somebody else wrote, made safe to show. Pure."""

# The API server takes 32768 characters; people read less, and what a requester wrote must not fill etcd.
_MAX_MESSAGE = 1024


def printable(message: str) -> str:
    """Return a message that is safe to show: printable characters, not too many."""
    if len(message) <= _MAX_MESSAGE and message.isprintable():
        return message
    text = "".join(char if char.isprintable() else "�" for char in message[: _MAX_MESSAGE + 1])
    return text if len(text) <= _MAX_MESSAGE else text[: _MAX_MESSAGE - 1] + "…"
