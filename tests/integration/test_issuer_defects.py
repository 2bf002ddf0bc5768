"""CA Secrets with every defect that a CA can have: the issuer says so, nothing is signed, and a repair ends it.

The controllers write the issuers' conditions under their own ServiceAccount; the signer reads the Secrets by itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests import pki
from tests.integration.hot_path import Place, issuers_path
from tests.integration.plain_api import Json
from tests.localmesh.signer import SignerProcess

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("signer", "controllers")]

NO_KEY_PAIR, BAD_KEY_PAIR = "ErrGetKeyPair", "ErrInvalidKeyPair"
NOW = datetime.now(UTC)
DAY = timedelta(days=1)
ROOT = pki.CA("defects-root")
SHORT = ROOT.intermediate("short", path_length=0)


@dataclass(frozen=True)
class Defect:
    """What is in the Secret, and what the issuer's condition must say of it: reason, field, words."""

    data: Callable[[], dict[str, bytes]]
    reason: str
    field: str
    words: str


def changed(ca: pki.CA, **entries: bytes) -> Callable[[], dict[str, bytes]]:
    """A CA's Secret with other entries; "tls_key" for tls.key."""
    return lambda: ca.secret() | {name.replace("_", "."): value for name, value in entries.items()}


def of(ca: Callable[[], pki.CA]) -> Callable[[], dict[str, bytes]]:
    return lambda: ca().secret()


DEFECTS = {
    "someone else's key": Defect(
        changed(ROOT, tls_key=pki.key_pem(pki.key("p256", 61))),
        BAD_KEY_PAIR,
        "tls.key",
        "not the key of the certificate",
    ),
    "expired": Defect(
        of(lambda: pki.CA("old", not_before=NOW - 9 * DAY, not_after=NOW - DAY)), BAD_KEY_PAIR, "tls.crt", "expired at"
    ),
    "expired root above": Defect(
        of(
            lambda: pki.CA("old-root", not_before=NOW - 9 * DAY, not_after=NOW - DAY).intermediate("below-old"),
        ),
        BAD_KEY_PAIR,
        "ca.crt",
        "expired at",
    ),
    "not yet valid": Defect(
        of(lambda: pki.CA("early", not_before=NOW + DAY, not_after=NOW + 9 * DAY)),
        BAD_KEY_PAIR,
        "tls.crt",
        "valid from",
    ),
    "no CA flag": Defect(of(lambda: pki.CA("flagless", is_ca=False)), BAD_KEY_PAIR, "tls.crt", "is not a CA"),
    "no basic constraints": Defect(of(lambda: pki.CA("bare", is_ca=None)), BAD_KEY_PAIR, "tls.crt", "is not a CA"),
    "no keyCertSign": Defect(
        of(lambda: pki.CA("useless", key_cert_sign=False)), BAD_KEY_PAIR, "tls.crt", "lacks the key usage cert sign"
    ),
    "path length": Defect(
        of(lambda: SHORT.intermediate("too-deep")), BAD_KEY_PAIR, "tls.crt", "allows 0 CAs below it, there are 1"
    ),
    "encrypted key": Defect(
        changed(ROOT, tls_key=pki.key_pem(ROOT.private, b"secret")), NO_KEY_PAIR, "tls.key", "encrypted"
    ),
    "empty key": Defect(changed(ROOT, tls_key=b""), NO_KEY_PAIR, "tls.key", "it is empty"),
    "no key": Defect(lambda: {"tls.crt": ROOT.pem}, NO_KEY_PAIR, "tls.key", "it is empty"),
    "broken key": Defect(
        changed(ROOT, tls_key=ROOT.key_pem.replace(b"MIG", b"XXX", 1)),
        NO_KEY_PAIR,
        "tls.key",
        "broken or of an unknown",
    ),
    "two keys": Defect(changed(ROOT, tls_key=ROOT.key_pem * 2), NO_KEY_PAIR, "tls.key", "more than one PEM block"),
    "a certificate as key": Defect(changed(ROOT, tls_key=ROOT.pem), NO_KEY_PAIR, "tls.key", "'CERTIFICATE'"),
    "weak RSA key": Defect(
        of(lambda: pki.CA("weak", private=pki.key("rsa1024", 1))), BAD_KEY_PAIR, "tls.crt", "1024 bits"
    ),
    "empty certificate": Defect(changed(ROOT, tls_crt=b""), NO_KEY_PAIR, "tls.crt", "it is empty"),
    "broken certificate": Defect(
        changed(ROOT, tls_crt=ROOT.pem.replace(b"MII", b"MIJ", 1)), NO_KEY_PAIR, "tls.crt", "cannot be read"
    ),
    "garbage": Defect(changed(ROOT, tls_crt=b"\x00\xff not PEM"), NO_KEY_PAIR, "tls.crt", "there is no PEM block"),
    "a key in tls.crt": Defect(
        changed(ROOT, tls_crt=ROOT.pem + ROOT.key_pem), NO_KEY_PAIR, "tls.crt", "'PRIVATE KEY' among the certificates"
    ),
    "ca.crt of another": Defect(changed(ROOT, ca_crt=pki.CA("stranger").pem), BAD_KEY_PAIR, "ca.crt", "did not sign"),
    "ca.crt of the same name": Defect(
        changed(ROOT, ca_crt=pki.CA("defects-root", private=pki.key("p256", 62)).pem),
        BAD_KEY_PAIR,
        "ca.crt",
        "did not sign",
    ),
    "a stranger in the chain": Defect(
        changed(ROOT, tls_crt=ROOT.pem + pki.CA("stranger").pem), BAD_KEY_PAIR, "tls.crt", "did not sign"
    ),
}


def condition(place: Place, name: str, ready: str, reason: str = "") -> Json:
    """Wait until an issuer's Ready condition is so; returns it."""
    last: dict[str, Any] = {}

    def ask() -> Json | None:
        status = place.api.get(f"{issuers_path()}/{name}").get("status", {})
        found: Json = next((one for one in status.get("conditions", []) if one["type"] == "Ready"), {})
        last["seen"] = found
        return found if found.get("status") == ready and reason in {"", found.get("reason")} else None

    try:
        found: Json = place.until(f"{name} Ready={ready} {reason}", ask)
    except Exception as error:
        raise AssertionError(f"{error}; last seen: {last}") from error
    return found


@pytest.mark.parametrize("what", DEFECTS)
def test_defect(place: Place, name: str, ca: str, what: str) -> None:
    """The issuer is not Ready, with a reason and a message that name Secret and field; requests wait, and go on after repair."""
    defect = DEFECTS[what]
    place.secret(name, defect.data())
    place.issuer(name, {"ca": {"secretName": name}})
    found = condition(place, name, "False")
    assert found["reason"] == defect.reason
    assert f"Secret cert-manager/{name}: {defect.field}: " in found["message"]
    assert defect.words in found["message"]
    assert "PRIVATE KEY-----" not in found["message"]
    request = place.ask(name)
    event = place.event(request, "IssuerNotReady")
    assert f"Secret cert-manager/{name}: {defect.field}: " in event["message"]
    place.issue(ca)  # others go on, and the one that waits had its turn
    assert not place.look(request)["status"].get("certificate")
    place.secret(name, ROOT.secret())
    assert condition(place, name, "True")["reason"] == "KeyPairVerified"
    assert place.issued(request).signed_by(ROOT)


def test_missing_secret(place: Place, name: str) -> None:
    """An issuer without its Secret says which one it wants, and is Ready when it comes."""
    place.issuer(name, {"ca": {"secretName": name}})
    found = condition(place, name, "False")
    assert found["reason"] == NO_KEY_PAIR
    assert f'secret "{name}" not found in namespace "cert-manager"' in found["message"]
    place.secret(name, ROOT.secret())
    condition(place, name, "True")


def test_ends_soon(place: Place, name: str) -> None:
    """A CA in the last third of its life is Ready, and says when it ends, in the condition and in an Event."""
    ending = pki.CA("ending", not_before=NOW - 90 * DAY, not_after=NOW + DAY)
    place.ca_issuer(name, ending)
    found = condition(place, name, "True")
    ends = f"{ending.certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    assert f"expires at {ends}" in found["message"]
    event = place.event(name, "CAEndsSoon", kind="ClusterIssuer")
    assert event["type"] == "Warning"
    assert ends in event["message"]
    assert place.issue(name).signed_by(ending)


def test_ends_while_it_is_used(place: Place, name: str, ca: str) -> None:
    """A CA that reaches its end while we run signs no more, by itself; with a new one all goes on."""
    brief = pki.CA("brief", not_after=datetime.now(UTC) + timedelta(seconds=6))
    place.ca_issuer(name, brief)
    found = condition(place, name, "False", BAD_KEY_PAIR)
    assert "expired at" in found["message"]
    request = place.ask(name)
    place.event(request, "IssuerNotReady")
    place.issue(ca)
    assert not place.look(request)["status"].get("certificate")
    place.secret(name, ROOT.secret())
    assert place.issued(request).signed_by(ROOT)


def test_each_change_is_told(place: Place, name: str) -> None:
    """Broken, mended, deleted and restored: the condition follows each step."""
    place.ca_issuer(name, ROOT)
    condition(place, name, "True")
    place.secret(name, ROOT.secret() | {"tls.key": b""})
    condition(place, name, "False", NO_KEY_PAIR)
    place.secret(name, pki.CA("second").secret())
    condition(place, name, "True")
    place.delete_secret(name)
    assert "not found" in condition(place, name, "False", NO_KEY_PAIR)["message"]
    place.secret(name, ROOT.secret())
    condition(place, name, "True")


def test_not_supported_type(place: Place, name: str) -> None:
    """A type that is accepted but not there yet gives Ready=False and its name, and nothing else is written."""
    place.issuer(
        name, {"vault": {"server": "https://v.example", "path": "p", "auth": {"tokenSecretRef": {"name": "t"}}}}
    )
    found = condition(place, name, "False")
    assert found["reason"] == "UnsupportedField"
    assert "spec.vault" in found["message"]


def test_no_key_in_logs(signer: SignerProcess, controllers: SignerProcess) -> None:
    """After all these Secrets, no line of either process holds a piece of a key."""
    for process in (signer, controllers):
        text = process.log
        assert "PRIVATE KEY" not in text.replace("'PRIVATE KEY'", "")
        for line in ROOT.key_pem.decode().splitlines()[1:-1]:
            assert line not in text
