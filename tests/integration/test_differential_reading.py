"""Whom we read in a CSR is whom Go reads: never an identity that the API server and istiod did not see.

The other side is Go's crypto/x509 in tests/localmesh/gotools/certmanagerpki. We may refuse what Go takes, and do.
"""

import base64
import json
import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from issuers.errors import MalformedRequest
from issuers.request import read_request
from issuers.x509.pem import REQUEST_LABELS, PemError, find_request
from tests.integration.cert_manager import (
    CONSTRAINTS,
    TESTS,
    general,
    start_peer,
)
from tests.localmesh.certmanagerpki import Peer, assert_go_reads_the_same
from tests.vectors import craft
from tests.vectors.craft import Csr, children


@pytest.fixture(scope="module")
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    peer = start_peer(request.config)
    yield peer
    peer.close()


def assert_same_reading(peer: Peer, text: bytes) -> bool:
    """Whether we take the request; if so, Go must take it too and see the same key, subject and names."""
    try:
        ours = read_request(text)
    except MalformedRequest:
        return False
    assert_go_reads_the_same(peer, text, ours)
    return True


def test_go_reads_whom_we_read_in_the_corpus(peer: Peer) -> None:
    """No request of the corpus is taken by us with an identity that Go does not read in it."""
    files = sorted((TESTS / "vectors" / "requests").glob("*.pem"))
    taken = sorted(file.stem for file in files if assert_same_reading(peer, file.read_bytes()))
    expected = json.loads((TESTS / "vectors" / "expected.json").read_text())
    assert taken == sorted(name for name, what in expected.items() if "accepted" in what)


SEEDS = [
    Csr(),
    Csr(subject=craft.seq()),
    Csr(attributes=general(craft.uri(craft.FOO), craft.dns("a.example"), craft.email("a@b.c"), craft.ip(bytes(4)))),
    Csr(
        attributes=general(
            craft.tlv(0xA0, craft.oid("1.2.3"), craft.tlv(0xA0, craft.utf8(craft.BAR))), craft.uri(craft.FOO)
        )
    ),
    Csr(attributes=[craft.ext_request(craft.san(craft.uri(craft.FOO)), CONSTRAINTS)]),
    Csr(
        attributes=[
            craft.attribute("1.2.840.113549.1.9.7", craft.utf8("x")),
            craft.ext_request(craft.san(craft.dns("a"))),
        ]
    ),
    Csr(subject=craft.seq(craft.rdn((craft.CN, craft.utf8("foo"))), craft.rdn((craft.UNIT, craft.printable("bar"))))),
]
TEXT = b"\x00\n %/:@?#.-_~aZ0[]<\\^\x7f\x80\xc3\xff"


def mutate(data: bytes, chance: random.Random) -> bytes:
    """One to three small changes at random places."""
    changed = bytearray(data or b"\x00")
    for _ in range(chance.randint(1, 3)):
        if not changed:
            break
        place = chance.randrange(len(changed))
        match chance.randrange(6):
            case 0:
                changed[place] ^= 1 << chance.randrange(8)
            case 1:
                changed[place] = chance.choice(TEXT)
            case 2:
                changed[place] = chance.randrange(256)
            case 3:
                changed.insert(place, chance.choice(TEXT))
            case 4:
                del changed[place]
            case _:
                end = min(len(changed), place + chance.randrange(1, 12))
                changed[place:place] = changed[place:end]
    return bytes(changed)


def resized(parts: list[bytes]) -> bytes:
    """A SEQUENCE again, so that a change inside does not only break the lengths outside."""
    return craft.seq(*parts)


@pytest.mark.parametrize("seed", range(len(SEEDS)))
def test_go_reads_whom_we_read_in_mutated_requests(peer: Peer, seed: int) -> None:
    """Thousands of changed requests, signed anew: whatever we still take, Go takes too and reads the same."""
    chance = random.Random(seed)
    taken = 0
    for round_number in range(1500):
        base = SEEDS[seed]
        which = chance.choice(("subject", "attributes", "info", "names"))
        if which == "subject":
            info = resized(
                [base.version, mutate(base.subject, chance), craft.spki(base.key), *children(base.info())[3:]]
            )
        elif which == "attributes":
            inner = mutate(b"".join(base.attributes), chance)
            info = resized([*children(base.info())[:3], craft.tlv(0xA0, inner)])
        elif which == "names":
            names = mutate(craft.uri(craft.FOO)[2:] if round_number % 2 else b"a.example", chance)
            changed = craft.uri(names) if round_number % 2 else craft.dns(names)
            info = resized([*children(base.info())[:3], craft.tlv(0xA0, *general(changed))])
        else:
            info = mutate(base.info(), chance)
        signature = base._sign(info)
        text = craft.pem(craft.seq(info, craft.SHA256_ECDSA, craft.bits(signature)))
        taken += assert_same_reading(peer, text)
    assert taken > 100  # else nothing was compared


_PLAIN = Csr().pem()
_BODY = _PLAIN.split(b"\n")[1:-2]
_LINES = [
    *(
        b"-----%b %b-----" % (end, label)
        for end in (b"BEGIN", b"END")
        for label in (*REQUEST_LABELS, b"CERTIFICATE", b"")
    ),
    b"\n".join(_BODY),
    b"\r\n".join(_BODY),
    b"".join(_BODY),
    b" \n\t".join(_BODY),
    b"Comment: x",
    b"a text",
    b"",
    b" ",
    b"-----",
    b"-----BEGIN CERTIFICATE REQUEST----- ",
    b" -----BEGIN CERTIFICATE REQUEST-----",
    b"-----BEGIN CERTIFICATE REQUEST-----x",
    b"-----END CERTIFICATE REQUEST----- \r",
    b"-----END CERTIFICATE REQUEST-----x",
    b"AAAA",
    b"\xff\xfe",
]


@settings(max_examples=1500, deadline=None)
@given(
    lines=st.lists(st.sampled_from(_LINES), max_size=7)
    | st.tuples(
        st.lists(st.sampled_from(_LINES), max_size=2),
        st.sampled_from(REQUEST_LABELS),
        st.lists(st.sampled_from(_LINES), max_size=2),
        st.lists(st.sampled_from(_LINES), max_size=2),
    ).map(
        lambda parts: [
            *parts[0],
            b"-----BEGIN %b-----" % parts[1],
            *parts[2],
            *_BODY,
            b"-----END %b-----" % parts[1],
            *parts[3],
        ]
    ),
    end=st.sampled_from([b"\n", b"\r\n"]),
)
def test_outside_the_mesh_the_block_that_we_find_is_gos(peer: Peer, lines: list[bytes], end: bytes) -> None:
    """The block in a text is the first that Go finds, or there is none for us; what Go takes for a request's, we take."""
    text = end.join(lines) + end
    blocks = peer.ask(op="pem", data=base64.b64encode(text).decode())["blocks"] or []
    first = (blocks[0]["type"].encode(), base64.b64decode(blocks[0]["bytes"] or "")) if blocks else (b"", b"")
    try:
        found = find_request(text)
    except PemError:
        assert first[0] not in REQUEST_LABELS or not first[1], (text, first)
        return
    assert first[0] in REQUEST_LABELS, (text, first)
    assert found == first[1], text


def test_one_block_is_what_every_reader_finds() -> None:
    """What a mesh's signer takes is found likewise by the other reading, and by Go."""
    assert find_request(_PLAIN) == read_request(_PLAIN).der
    for other in (
        b"\n" + _PLAIN,
        _PLAIN.replace(b" CERT", b" NEW CERT"),
        b"text\n" + _PLAIN,
        _PLAIN + _PLAIN,
        _PLAIN + b"x",
    ):
        with pytest.raises(MalformedRequest):
            read_request(other)
        assert read_request(other, one_block=False).der == read_request(_PLAIN).der
