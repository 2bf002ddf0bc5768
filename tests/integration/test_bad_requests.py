"""Hostile and odd requests on the real API server: each is refused by its name, and none of them holds up the others.

The corpus is tests/vectors/: every CSR of it is sent as an approved request. The API server parses CSRs with Go, so it
refuses many of them itself; API_SERVER_REFUSES names them, since that tells what reaches a signer at all.
"""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from issuers.x509.pem import find_request
from tests import pki
from tests.integration.hot_path import IS_CA, Answered, Issued, Place
from tests.integration.plain_api import Json, Refused
from tests.localmesh import Cluster
from tests.localmesh.signer import SignerProcess

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("signer")]

VECTORS = Path(__file__).parents[1] / "vectors"
EXPECTED: dict[str, dict[str, Any]] = json.loads((VECTORS / "expected.json").read_text())

_NAMES = """
    algorithm-not-a-sequence algorithm-without-oid attributes-missing attributes-universal-set critical-ber-true
    der-huge-length der-indefinite-length der-instead-of-pem der-long-length der-long-tag der-not-a-sequence
    der-one-byte der-trailing-byte der-truncated dns-homograph dns-idn dsa ec-brainpool ec-compressed
    ec-explicit-parameters ec-hybrid-point ec-infinity ec-key-ed25519-signature ec-key-rsa-signature ec-off-curve
    ec-secp256k1 ec-trailing ed25519-parameters ed448 email-homograph email-idn empty extension-broken-oid
    extension-value-not-octets extension-without-value ip-0-bytes ip-15-bytes ip-17-bytes ip-3-bytes ip-32-bytes
    ip-5-bytes ip-8-bytes key-not-a-sequence md5-rsa no-pem pem-byte-order-mark pem-certificate pem-cr-line-ends
    pem-empty-block pem-end-differs pem-end-not-a-line pem-excess-padding pem-lower-case-label
    pem-new-certificate-request pem-no-end pem-no-padding pem-not-base64 pem-stray-bits pkcs9-value-is-a-set
    rsa-16384 rsa-200000 rsa-2047 rsa-512 rsa-8193 rsa-even-modulus rsa-exponent-1 rsa-exponent-2147483649
    rsa-exponent-65535 rsa-exponent-65536 rsa-exponent-65538 rsa-exponent-huge rsa-exponent-negative
    rsa-key-ec-signature rsa-negative-modulus rsa-padded-modulus rsa-pss-key rsa-pss-other-salt
    rsa-pss-sha1-defaults rsa-trailing-in-bits rsa-trailing-in-info rsa-trailing-in-key rsa-unused-bits
    rsa-without-null san-not-a-sequence san-truncated san-twice sha1-dsa sha1-oiw sha224-ecdsa signature-changed
    signature-empty signature-no-bits signature-octets signature-of-another-key signature-of-another-request
    signature-other-hash signature-rsa-changed signature-rsa-short signature-unused-bits subject-bmp-fdef
    subject-bmp-fffe subject-bmp-ffff subject-bmp-odd subject-bmp-reserved subject-bmp-surrogates
    subject-broken-utf8 subject-ia5-latin1 subject-integer subject-missing subject-not-a-set subject-numeric-letters
    subject-overlong-utf8 subject-printable-at two-pkcs9 unknown-extension-twice unknown-key uri-backslash
    uri-broken-escape uri-host-empty-label uri-host-escape uri-host-trailing-dot uri-latin-1 uri-newline uri-nul
    uri-port-name uri-unicode version-missing version-two-bytes x25519
"""
API_SERVER_REFUSES = frozenset(_NAMES.split())
# The corpus says what a signer of the mesh does. This one is none: it finds the block as Go does, so these are signed.
_TAKEN = """
    pem-begin-not-a-line pem-blank-line pem-comment-before-begin pem-cr-in-base64 pem-headers pem-junk-joined-to-begin
    pem-newline-before-begin pem-nul-after pem-second-begin-in-block pem-space-before-begin pem-space-in-base64
    pem-trailing-data pem-two-blocks pem-two-blocks-same
"""
SIGNED_OUTSIDE_THE_MESH = frozenset(_TAKEN.split())
# Refused all the same, and told in the words of that reading.
SAID_OUTSIDE_THE_MESH = "there is no PEM block"


@dataclass(frozen=True)
class Outcome:
    """What became of one vector: the API server's refusal, or the request as it ended."""

    by_api_server: str = ""
    status: Answered | None = None
    name: str = ""


def options(expected: dict[str, Any]) -> Json:
    """The spec that an honest requester would write beside this CSR: usages and CA flag that agree with it."""
    found = expected.get("accepted", {})
    usages: tuple[str, ...] = pki.WORKLOAD_USAGES
    if "key_usages" in found or "extended_key_usages" in found:
        usages = (*found.get("key_usages", ()), *found.get("extended_key_usages", ()))
    elif found.get("is_ca"):
        usages = (*usages, "cert sign")
    return {"usages": usages, "annotations": {IS_CA: "true"} if found.get("is_ca") else {}}


# The API server takes no request without usages, so a CSR that says "none at all" cannot be sent with spec to match.
VECTORS_SENT = [vector for vector, expected in EXPECTED.items() if options(expected)["usages"]]


@pytest.fixture(scope="module")
def outcomes(installed: Cluster, signer: SignerProcess, root: pki.CA) -> dict[str, Outcome]:
    """What became of each vector, sent in one go, an honest request after every tenth ("honest-N")."""
    assert signer.alive()[0]
    place = Place.of(installed)
    place.ca_issuer("vectors", root)
    found: dict[str, Outcome] = {}
    sent: dict[str, str] = {}
    for number, vector in enumerate(VECTORS_SENT):
        if number % 10 == 0:
            sent[f"honest-{number}"] = place.ask("vectors")
        try:
            sent[vector] = place.ask(
                "vectors", (VECTORS / "requests" / f"{vector}.pem").read_bytes(), **options(EXPECTED[vector])
            )
        except Refused as refusal:
            found[vector] = Outcome(by_api_server=str(refusal))
    for vector, name in sent.items():
        found[vector] = Outcome(status=place.answered(name), name=name)
    place.forget()
    place.api.close()
    return found


@pytest.mark.parametrize("vector", VECTORS_SENT)
def test_vector(cluster: Cluster, outcomes: dict[str, Outcome], vector: str) -> None:
    """A CSR of the corpus is issued with the names that it should have, or refused for the reason that it should be."""
    outcome, expected = outcomes[vector], EXPECTED[vector]
    if cluster.local and vector in API_SERVER_REFUSES:  # another version of Kubernetes is built with another Go
        assert outcome.by_api_server
    if outcome.status is None:
        assert outcome.by_api_server.startswith("422: "), outcome.by_api_server
        assert "refused" in expected, f"we would accept what the API server refuses: {outcome.by_api_server}"
        return
    if vector in SIGNED_OUTSIDE_THE_MESH:
        text = (VECTORS / "requests" / f"{vector}.pem").read_bytes()
        issued = Issued(vector, outcome.status.chain)
        spki = issued.leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert spki in find_request(text)  # what Go finds: test_differential_reading.py
        return
    if "refused" in expected:
        reason, message = outcome.status.failed
        assert not outcome.status.chain
        assert reason == "SigningError"
        refused = expected["refused"]
        start = f"Error generating certificate template: spec.request: {refused['field']}: "
        assert message.startswith(start)
        assert refused["message"][:200] in message or SAID_OUTSIDE_THE_MESH in message
        assert message.isprintable()
        return
    assert outcome.status.chain, outcome.status.failed
    issued, request = Issued(vector, outcome.status.chain), (VECTORS / "requests" / f"{vector}.pem").read_bytes()
    wanted = expected["accepted"]
    body = b"".join(line for line in request.splitlines() if b"-----" not in line)
    spki = issued.leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert spki in base64.b64decode(body)
    if wanted["uris"]:
        assert issued.uris == wanted["uris"]
    assert issued.is_ca is bool(wanted.get("is_ca"))


def test_the_list_is_of_this_corpus() -> None:
    """Each name in the list above is a CSR of the corpus, and one that we would refuse as well."""
    assert {vector for vector in API_SERVER_REFUSES if "refused" not in EXPECTED.get(vector, {})} == set()


def test_honest_ones_go_through(outcomes: dict[str, Outcome]) -> None:
    """The honest requests that were sent between the hostile ones were all issued."""
    honest = [outcome for name, outcome in outcomes.items() if name.startswith("honest-")]
    assert len(honest) == -(-len(VECTORS_SENT) // 10)
    assert all(outcome.status is not None and outcome.status.chain for outcome in honest)


def test_nothing_left_over(outcomes: dict[str, Outcome], signer: SignerProcess, place: Place) -> None:
    """After the corpus nothing waits and nothing failed inside: each request had one answer, and no traceback was logged."""
    del outcomes
    place.until("an empty queue", lambda: signer.metric("mesh_signer_queue_length") == 0)
    assert signer.metric("mesh_signer_waiting_requests") == 0
    assert signer.metric("mesh_signer_in_flight_writes") == 0
    assert "Traceback" not in signer.log
