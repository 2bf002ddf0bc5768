"""A TLS handshake in memory: would a client that trusts this root accept that server? Through Python's own OpenSSL."""

import ssl
import tempfile
from pathlib import Path


def handshake(chain: bytes, key: bytes, root: bytes) -> bool:
    """Whether a client that trusts only `root` completes a handshake with a server that has `chain` and `key` (PEM).

    Names are not compared: a workload's certificate has a SPIFFE ID and no host name.
    """
    with tempfile.TemporaryDirectory() as folder:
        server_file = Path(folder) / "server.pem"
        server_file.write_bytes(chain + b"\n" + key)
        server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server_context.load_cert_chain(server_file)
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.load_verify_locations(cadata=root.decode())
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    done: set[str] = set()
    for _ in range(10):
        for name, side in (("client", client), ("server", server)):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return False
            done.add(name)
        if len(done) == 2:
            return True
    return False
