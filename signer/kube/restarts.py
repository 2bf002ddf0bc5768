"""Why a watch has to be opened again, and whether a list has to come first. Pure."""

from signer.kube.encoding.framing import CodecError
from signer.kube.errors import ApiError, Unreachable
from signer.kube.http.chunks import SilentConnection


def restart_reason(error: Exception | None) -> str:
    """Name the reason in a word, for a metric; None is the end of the stream."""
    if error is None:
        return "eof"
    if isinstance(error, SilentConnection):
        return "silent"
    return "unreachable" if isinstance(error, Unreachable) else "error"


def history_may_be_wrong(error: Exception) -> bool:
    """Tell whether our resourceVersion itself may be what the server chokes on, as after etcd was restored from a backup.

    Not so for refusals that a list would meet just as well, and a list costs an overloaded server much more.
    """
    return isinstance(error, CodecError) or (isinstance(error, ApiError) and error.status not in {401, 403, 429, 503})
