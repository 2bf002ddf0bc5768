"""The corpus of honest and hostile CSRs: each gives exactly what tests/vectors/expected.json says."""

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from issuers.errors import MalformedRequest
from issuers.request import SigningRequest, read_request
from issuers.x509.keys import public_bytes

VECTORS = Path(__file__).parents[2] / "vectors"
EXPECTED: dict[str, Any] = json.loads((VECTORS / "expected.json").read_text())
ACCEPTED = sorted(name for name, what in EXPECTED.items() if "accepted" in what)
REFUSED = sorted(name for name, what in EXPECTED.items() if "refused" in what)

# What a workload's request says; a vector names only what differs.
BASELINE: dict[str, Any] = {
    "dns_names": [],
    "ip_addresses": [],
    "email_addresses": [],
    "other_names": 0,
    "is_ca": None,
    "path_length": None,
    "key_usages": None,
    "extended_key_usages": None,
    "unknown_extended_key_usages": [],
    "name_constraints_der": None,
    "name_constraints_critical": False,
}


def plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    return list(value) if isinstance(value, tuple) else value


def text_of(name: str) -> bytes:
    return (VECTORS / "requests" / f"{name}.pem").read_bytes()


@pytest.mark.heavy
@pytest.mark.parametrize("name", ACCEPTED)
def test_an_honest_request_is_read_field_by_field(name: str) -> None:
    """Every field of an accepted request is what the corpus says, and no field is left out of the comparison."""
    request = read_request(text_of(name))
    expected = BASELINE | EXPECTED[name]["accepted"]
    assert {field: plain(getattr(request, field)) for field in expected} == expected
    if "san_critical" not in expected:
        assert request.san_critical is (None if request.san_der is None else True)


@pytest.mark.heavy
@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_request_is_refused_with_its_reason(name: str) -> None:
    """A refusal names the field and says in one sentence what is wrong, and it is that fault and no later one."""
    expected = EXPECTED[name]["refused"]
    with pytest.raises(MalformedRequest) as refused:
        read_request(text_of(name))
    assert (refused.value.field, str(refused.value)) == (
        expected["field"],
        f"{expected['field']}: {expected['message']}",
    )


def test_the_corpus_is_whole() -> None:
    """Every file has its expectation and every expectation its file: nothing is skipped by a slip of a name."""
    assert {file.stem for file in (VECTORS / "requests").glob("*.pem")} == set(EXPECTED)
    assert len(REFUSED) > 200
    assert len(ACCEPTED) > 60


def test_raw_fields_are_the_bytes_of_the_request() -> None:
    """Subject, key and names are carried as they were sent: cert-manager copies these bytes too."""
    request: SigningRequest = read_request(text_of("every-kind-of-name"))
    assert request.san_der is not None
    for part in (request.subject_der, request.spki, request.san_der):
        assert part in request.der
    assert request.subject_der == bytes.fromhex("300b31093007060355040a1300")
    assert request.san_der.startswith(b"\x30")
    assert request.spki.startswith(b"\x30\x59")
    assert public_bytes(request.public_key) == request.spki
    assert request.der == b64decode(b"".join(text_of("every-kind-of-name").split(b"-----")[2].split()))
