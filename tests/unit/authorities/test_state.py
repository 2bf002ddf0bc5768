"""May an issuer sign, and if not, why: one valid baseline and one row for each defect, with its exact text."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from issuers.authority import Authority
from issuers.errors import InvalidAuthority
from signer.api.meta import ObjectMeta
from signer.authorities.state import (
    CASecret,
    CASecretData,
    IssuerState,
    NeedsSecret,
    SecretMissing,
    issuer_type,
    judge_ca,
    judge_spec,
    looks_like_a_ca,
    not_found,
)
from tests.pki import CA, sign, workload_csr
from tests.unit.authorities.world import ca_secret
from tests.unit.csr.crafted import FOO, NOW, SHOP, authority, ca, issuer

SECRET = NeedsSecret("cert-manager", "foo-ca")


@pytest.mark.parametrize("kind", ["p256", "rsa2048", "ed25519"])
def test_which_are_a_cas(kind: str) -> None:
    """A CA's Secret is told from a leaf's by its first certificate, whatever its key is, and from what is none."""
    made = CA("x", kind=kind, now=NOW)
    leaf = sign(made, workload_csr("foo"), NOW, NOW + timedelta(hours=1))

    def seen(pem: bytes) -> bool:
        return looks_like_a_ca(CASecret(metadata=ObjectMeta(), data=CASecretData(tls_crt=pem)))

    assert seen(made.pem)
    assert not seen(leaf + made.pem)
    assert not any(map(seen, (b"", b"x", b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----", made.pem[:200])))


class TestSpec:
    def test_a_cluster_issuers_secret(self) -> None:
        """A ClusterIssuer's Secret lies in the cluster resource namespace."""
        assert judge_spec(issuer(FOO), "cert-manager") == NeedsSecret("cert-manager", "foo-ca")

    def test_an_issuers_secret(self) -> None:
        """An Issuer's Secret lies in its own namespace."""
        assert judge_spec(issuer(SHOP), "cert-manager") == NeedsSecret("shop", "ca-ca")

    def test_self_signed(self) -> None:
        """A selfSigned issuer is ready as it is."""
        found = judge_spec(issuer(FOO, {"selfSigned": {}}), "cert-manager")
        assert isinstance(found, IssuerState)
        assert (found.ready, found.reason, found.kind) == (True, "IsReady", "selfSigned")

    @pytest.mark.parametrize(
        ("spec", "reason", "message"),
        [
            ({}, "IssuerTypeMissing", "spec names no issuer type (ca, selfSigned)"),
            ({"ca": None}, "IssuerTypeMissing", "spec names no issuer type (ca, selfSigned)"),
            ({"ca": {}}, "InvalidSpec", "spec.ca.secretName is empty"),
            ({"ca": {"secretName": ""}}, "InvalidSpec", "spec.ca.secretName is empty"),
            (
                {"ca": {"secretName": "x"}, "selfSigned": {}},
                "InvalidSpec",
                "spec sets ca and selfSigned; an issuer has one type",
            ),
            (
                {"vault": {"server": "x"}},
                "UnsupportedField",
                "spec.vault is not supported by this version of mesh-signer",
            ),
            ({"venafi": {}}, "UnsupportedField", "spec.venafi is not supported by this version of mesh-signer"),
            ({"acme": {}}, "Pending", "its account is not registered yet"),
            (
                {"ca": {"secretName": "x", "later": 1}},
                "UnsupportedField",
                "spec.ca.later is not supported",
            ),
        ],
        ids=str,
    )
    def test_not_ready(self, spec: dict[str, Any], reason: str, message: str) -> None:
        """What cannot sign says why, and names issuer and field; nothing that is set is ignored."""
        found = judge_spec(issuer(FOO, spec), "cert-manager")
        assert isinstance(found, IssuerState)
        assert (found.ready, found.reason, found.message) == (False, reason, f"ClusterIssuer foo: {message}")
        assert found.authority is None

    @pytest.mark.parametrize("spec", [None, [], "ca", {"ca": "x"}, {"ca": {"secretName": 5}}], ids=str)
    def test_unreadable(self, spec: Any) -> None:
        """A spec of another shape than the API's is not ready, and never an exception."""
        found = judge_spec(replace_spec(spec), "cert-manager")
        assert isinstance(found, IssuerState)
        assert not found.ready
        assert found.message.startswith("ClusterIssuer foo: spec")

    def test_type(self) -> None:
        """The type is the one that is set; of two there is none."""
        assert issuer_type(issuer(FOO)) == "ca"
        assert issuer_type(issuer(FOO, {"vault": {}})) == "vault"
        assert issuer_type(issuer(FOO, {"ca": {}, "vault": {}})) == ""
        assert issuer_type(replace_spec("text")) == ""


def replace_spec(spec: Any) -> Any:
    return msgspec.structs.replace(issuer(FOO), raw_spec=spec)


def judged(found: Authority | InvalidAuthority | SecretMissing | None, after: timedelta = timedelta()) -> IssuerState:
    return judge_ca(issuer(FOO), SECRET, found, NOW + after)


class TestCA:
    def test_verified(self) -> None:
        """A CA that passed every check may sign."""
        state = judged(authority())
        assert (state.ready, state.reason, state.message) == (True, "KeyPairVerified", "Signing CA verified")
        assert state.authority is authority()
        assert state.warning is None

    def test_ends_soon(self) -> None:
        """A CA in its last 30 days signs, and warns."""
        state = judged(authority(), timedelta(days=61))
        assert state.ready
        assert state.warning == "the CA 'CN=foo' expires at 2027-02-20T12:00:00Z"

    @pytest.mark.parametrize(
        ("after", "defect"),
        [
            (timedelta(days=90), "tls.crt: the CA certificate expired at 2027-02-20T12:00:00Z"),
            (timedelta(days=9000), "tls.crt: the CA certificate expired at 2027-02-20T12:00:00Z"),
            (
                -timedelta(days=1, seconds=1),
                (
                    "tls.crt: the CA certificate is not valid before 2026-11-21T12:00:00Z; by the clock here that is in "
                    "less than ten minutes, and if that is wrong, set this node's clock"
                ),
            ),
        ],
    )
    def test_dates(self, after: timedelta, defect: str) -> None:
        """A CA that was in order when it was loaded does not sign outside its dates."""
        state = judged(authority(), after)
        assert (state.ready, state.reason) == (False, "ErrInvalidKeyPair")
        assert state.message == f"Secret cert-manager/foo-ca: {defect}"
        assert state.authority is None

    @pytest.mark.parametrize("after", [timedelta(days=90) - timedelta(seconds=1), -timedelta(days=1)])
    def test_within_its_dates(self, after: timedelta) -> None:
        """It does sign from its first to its last second."""
        assert judged(authority(), after).ready

    @pytest.mark.parametrize(
        ("reason", "shown"),
        [
            ("InvalidCertificate", "ErrGetKeyPair"),
            ("InvalidKey", "ErrGetKeyPair"),
            ("EncryptedKey", "ErrGetKeyPair"),
            ("KeyMismatch", "ErrInvalidKeyPair"),
            ("NotCA", "ErrInvalidKeyPair"),
            ("KeyUsageMissing", "ErrInvalidKeyPair"),
            ("PathLength", "ErrInvalidKeyPair"),
            ("Expired", "ErrInvalidKeyPair"),
            ("WeakKey", "ErrInvalidKeyPair"),
            ("RootMismatch", "ErrInvalidKeyPair"),
        ],
    )
    def test_defects(self, reason: str, shown: str) -> None:
        """cert-manager's reasons stay: what could not be read is ErrGetKeyPair, what must not sign is ErrInvalidKeyPair."""
        state = judged(InvalidAuthority(reason, "tls.crt", "it is not a CA"))
        assert (state.ready, state.reason) == (False, shown)
        assert state.message == (
            "Error getting keypair for CA issuer: Secret cert-manager/foo-ca: tls.crt: it is not a CA"
        )

    def test_missing(self) -> None:
        """A missing Secret is told with cert-manager's words."""
        state = judged(SecretMissing('secret "foo-ca" not found'))
        assert (state.reason, state.message) == (
            "ErrGetKeyPair",
            'Error getting keypair for CA issuer: secret "foo-ca" not found',
        )

    def test_being_read(self) -> None:
        """A Secret that is just being read is neither."""
        state = judged(None)
        assert (state.ready, state.reason, state.message) == (
            False,
            "Pending",
            "Secret cert-manager/foo-ca is being read",
        )


class TestQuiet:
    def test_no_key_in_a_repr(self) -> None:
        """Neither a Secret nor an issuer's state shows a byte of a key when it is printed."""
        secret = ca_secret(ca().secret())
        for shown in (repr(secret), repr(secret.data), repr(judged(authority())), repr(authority())):
            assert "PRIVATE" not in shown
            assert "MII" not in shown.replace(repr(ca().pem), "")

    def test_states_compare(self) -> None:
        """Two states are equal when nothing that matters differs; another authority matters."""
        assert judged(authority()) == judged(authority())
        assert judged(authority()) != judged(authority("bar"))
        assert replace(judged(authority()), message="x") != judged(authority())

    def test_what_is_kept_of_a_secret(self) -> None:
        """Only the three entries of a CA are kept of a Secret; missing ones are empty."""
        assert CASecret(metadata=ca_secret({}).metadata).data == CASecretData()
        assert set(CASecretData.__struct_fields__) == {"tls_crt", "tls_key", "ca_crt"}


@pytest.mark.parametrize(
    ("name", "others", "meant"),
    [
        ("foo-ca", ["bar-ca-selfsigned", "foo-ca-selfsigned", "foo-cas"], "foo-cas"),
        ("foo_ca", ["foo-ca"], "foo-ca"),
        ("foo-ca", ["quite-another"], ""),
        ("foo-ca", [], ""),
    ],
)
def test_a_name_that_is_nearly_right(name: str, others: list[str], meant: str) -> None:
    """A Secret that is not there is told with the CA's Secret that is called nearly so, if any is."""
    message = not_found("cert-manager", name, others).message
    assert message.startswith(f'secret "{name}" not found in namespace "cert-manager"')
    assert (f"is {meant} meant (spec.ca.secretName)?" in message) == bool(meant)
    assert ("meant" in message) == bool(meant)
