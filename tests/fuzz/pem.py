"""PEM: a request is one block for everybody; of what admins store, we read the blocks that Go reads, or refuse the text."""

from issuers.x509.pem import PemError, encode, read_blocks, read_request
from tests.fuzz import peer
from tests.localmesh.certmanagerpki import assert_go_reads_the_blocks

WORDS = (
    b"-----BEGIN CERTIFICATE REQUEST-----",
    b"-----END CERTIFICATE REQUEST-----",
    b"-----BEGIN CERTIFICATE-----",
    b"-----END CERTIFICATE-----",
    b"-----BEGIN ",
    b"-----END ",
    b"-----",
    b"Proc-Type: 4,ENCRYPTED",
    b"\r\n",
    b"\n\n",
    b"MAA=",
)


def run(data: bytes) -> None:
    """Raise when a promise is broken."""
    try:
        content = read_request(data)
    except PemError as error:
        assert str(error).isprintable()
    else:
        assert read_request(encode("CERTIFICATE REQUEST", content)) == content
        if peer.go is not None:
            assert_go_reads_the_blocks(peer.go, data, [("CERTIFICATE REQUEST", content)])
    try:
        blocks = read_blocks(data)
    except PemError as error:
        assert str(error).isprintable()
        return
    assert read_blocks(b"".join(encode(*block) for block in blocks)) == blocks
    if peer.go is not None and blocks:
        assert_go_reads_the_blocks(peer.go, data, blocks)
