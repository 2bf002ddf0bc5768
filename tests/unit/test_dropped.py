"""A connection that is reset before its handshake leaves no open socket behind that nobody was given."""

import gc
import socket
import ssl
import struct
import time
import warnings

import pytest

from tests.left_open import DroppedSocket

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: on, for no time. Closing such a socket resets its connection."""


def test_reset_before_the_handshake() -> None:
    """What `ssl` made and gave to nobody is closed when it is dropped."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        plain = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    far.close()
    time.sleep(0.05)  # the reset is on its way
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConnectionResetError):
            ssl.create_default_context().wrap_socket(plain, server_hostname="localhost")
        gc.collect()


def test_every_context_has_it() -> None:
    """Contexts that are made in whatever way have these sockets, in tests."""
    assert ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).sslsocket_class is DroppedSocket
    assert ssl.create_default_context().sslsocket_class is DroppedSocket
