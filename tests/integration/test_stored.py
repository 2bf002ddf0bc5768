"""The check that every test ends with: what we store is verified (tests/stored.py)."""

import secrets
from datetime import UTC, datetime, timedelta

import pytest

from tests import pki
from tests.integration.hot_path import Place
from tests.localmesh.signer import NAMESPACE
from tests.stored import WATCHES, Stored, refused


@pytest.mark.unverified("it plants what the check must find")
@pytest.mark.parametrize(
    ("fault", "told"), [("another root", "unknown authority"), ("a root that ends first", "expired")]
)
def test_what_cannot_be_verified_is_found(place: Place, fault: str, told: str) -> None:
    """A Secret of ours whose certificate does not verify below its ca.crt, now and at its last second, is told of."""
    ends = {"not_after": datetime.now(UTC) + timedelta(days=1)} if fault == "a root that ends first" else {}
    root = pki.CA("root", **ends)  # type: ignore[arg-type]  # the keywords are CA's own
    leaf = root.intermediate("leaf", is_ca=False, key_cert_sign=False)
    name = f"planted-{secrets.token_hex(4)}"
    trusted = root if ends else pki.CA("other")
    place.secret(name, {"tls.crt": leaf.pem, "tls.key": leaf.key_pem, "ca.crt": trusted.pem})
    path = f"/api/v1/namespaces/{NAMESPACE}/secrets/{name}"
    body = place.api.get(path)
    applied = {key: body[key] for key in ("apiVersion", "kind", "type", "data")} | {"metadata": {"name": name}}
    place.api.call(
        "PATCH", f"{path}?fieldManager=mesh-signer-test&force=true", applied, kind="application/apply-patch+yaml"
    )
    found: list[tuple[Stored, bytes]] = []

    def seen() -> bool:
        found.extend(one for one in WATCHES[0].take() if one[0].where.endswith(name))
        return bool(found)

    place.until("the Secret", seen)
    wrong = refused(found)
    assert any(told in text and text.startswith(f"Secret {NAMESPACE}/{name} at ") for text in wrong), wrong
    assert any(" OpenSSL: " in text for text in wrong)
