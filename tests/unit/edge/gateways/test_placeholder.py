"""What a gateway's Secret holds before there is a certificate, and which Certificates of users get a placeholder.

A placeholder is good enough that a gateway serves it, and never taken for the real one.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from signer.api.certificate import Certificate
from signer.api.secret import Secret
from signer.api.tls_secret import is_placeholder
from signer.edge.credential_name import SecretName
from signer.edge.gateways.placeholder import (
    credentials,
    new_placeholder,
    own_hosts,
    placeholder,
    placeholder_left,
    selectors_naming,
    still_good,
    wait_for_issuance,
    waits,
)
from tests import pki
from tests.unit.edge.objects import gateway, host, http, https

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOSTS = (host("a.example.com"),)


def secret(data: dict[str, bytes]) -> Secret:
    found: Secret = msgspec.convert({"metadata": {"name": "tls", "namespace": "foo", "uid": "u"}}, Secret)
    return msgspec.structs.replace(found, data=data)


def certificate(
    *conditions: tuple[str, str], ends: str | None = None, labels: dict[str, str] | None = None, **spec: Any
) -> Certificate:
    fields = {"secretName": "tls", "dnsNames": ["a.example.com"], "issuerRef": {"name": "le"}} | spec
    listed = [{"type": type_, "status": status} for type_, status in conditions]
    status = {"conditions": listed} | ({"notAfter": ends} if ends else {})
    metadata = {"name": "tls", "namespace": "foo", "labels": labels or {}}
    return msgspec.convert({"metadata": metadata, "spec": fields, "status": status}, Certificate)


def test_placeholder() -> None:
    """It is for the hosts, of its own key, valid now and for weeks, no CA, and known again."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = placeholder([host("a.example.com"), host("*.example.com")], key, now=NOW, serial=7)
    found = x509.load_pem_x509_certificate(pem)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["a.example.com", "*.example.com"]
    assert found.public_key() == key.public_key()
    assert found.serial_number == 7
    assert found.not_valid_before_utc <= NOW <= found.not_valid_after_utc - timedelta(days=30)
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    found.verify_directly_issued_by(found)
    assert is_placeholder(found)


def test_another_certificate() -> None:
    """A certificate of a CA is none."""
    assert not is_placeholder(pki.CA("root", now=NOW).certificate)


class TestContent:
    def test_a_placeholder(self) -> None:
        """It is a key pair of its own each time, and known again."""
        one, two = new_placeholder(HOSTS, NOW), new_placeholder(HOSTS, NOW)
        leaf = x509.load_pem_x509_certificate(one["tls.crt"])
        assert is_placeholder(leaf)
        assert one["tls.key"] != two["tls.key"]
        assert leaf.serial_number != x509.load_pem_x509_certificate(two["tls.crt"]).serial_number

    def test_what_was_deleted(self) -> None:
        """A certificate that is still valid is had again with its key; no placeholder, no other key, nothing that ended."""
        ca = pki.CA("issued", now=NOW)
        now = ca.certificate.not_valid_before_utc + timedelta(hours=1)
        data = {"tls.crt": ca.pem, "tls.key": ca.key_pem}
        assert still_good(secret(data | {"other": b"x"}), now) == data
        assert still_good(secret(data), ca.certificate.not_valid_after_utc) is None
        assert still_good(secret(data), ca.certificate.not_valid_before_utc - timedelta(seconds=1)) is None
        assert still_good(secret(data | {"tls.key": pki.key_pem(pki.key("p256", 7))}), now) is None
        assert still_good(secret({"tls.crt": b"x"}), now) is None
        assert still_good(secret(new_placeholder(HOSTS, NOW)), NOW) is None

    def test_when_it_is_made_again(self) -> None:
        """When its Certificate has begun to ask for a new one, or has not for ten seconds."""
        assert wait_for_issuance(NOW, NOW, issuing=True) is None
        assert wait_for_issuance(NOW, NOW, issuing=False) == 1.0
        assert wait_for_issuance(NOW, NOW + timedelta(seconds=9.5), issuing=False) == 0.5
        assert wait_for_issuance(NOW, NOW + timedelta(seconds=10), issuing=False) is None


class TestUsersCertificates:
    @pytest.mark.parametrize(
        ("conditions", "expected"),
        [
            ((), True),
            ((("Ready", "False"),), True),
            ((("Ready", "True"),), False),
            ((("Ready", "True"), ("Issuing", "True")), True),
            ((("Ready", "True"), ("Issuing", "False")), False),
        ],
    )
    def test_waits(self, conditions: tuple[tuple[str, str], ...], *, expected: bool) -> None:
        """A Certificate waits when it is not ready, or is being issued anew."""
        assert waits(certificate(*conditions)) == expected

    def test_hosts(self) -> None:
        """The hosts of its names and its common name, each once; other names are left out."""
        one = certificate(commonName="b.example.com", dnsNames=["a.example.com", "b.example.com", "localhost", "*"])
        assert own_hosts(one) == (host("a.example.com"), host("b.example.com"))

    @pytest.mark.parametrize(
        "changes",
        [
            {"isCA": True},
            {"secretName": "cacerts"},
            {"secretName": "tls-cacert"},
            {"dnsNames": 7},
            {"labels": {"mesh-signer.dev/edge": "true"}},
        ],
    )
    def test_none(self, changes: dict[str, Any]) -> None:
        """A CA, a reserved name, what cannot be read, and what we made ourselves get none."""
        assert own_hosts(certificate(**changes)) == ()

    def test_the_last_one_is_still_served(self) -> None:
        """A Secret that went gets a minute when its certificate was valid: gateways that run go on with that."""
        valid = certificate(ends="2026-07-01T00:00:00Z")
        assert placeholder_left(valid, NOW, NOW) == 60
        assert placeholder_left(valid, NOW, NOW + timedelta(seconds=60)) is None
        assert placeholder_left(certificate(ends="2026-05-01T00:00:00Z"), NOW, NOW) is None
        assert placeholder_left(certificate(), NOW, NOW) is None


class TestGateways:
    def test_credentials(self) -> None:
        """Every Secret that a server names, by whatever form; nothing that is not a Secret."""
        servers = (
            https("a.example.com", credential="one"),
            https("b.example.com", credential="kubernetes://two"),
            https("c.example.com", credential=["three", "four"]),
            https("d.example.com", credential="builtin://"),
            {"port": {"number": 80, "protocol": "HTTP"}, "hosts": ["*"]},
        )
        named = https("e.example.com", credential="istio-system/five")
        wanted = {SecretName(one) for one in ("one", "two", "three", "four")} | {SecretName("five", "istio-system")}
        assert credentials(gateway(*servers, named)) == wanted

    def test_selectors(self) -> None:
        """Of each Gateway that names the Secret, whatever its namespace; each once."""
        named = [gateway(https("a.example.com"), namespace=name) for name in ("foo", "bar")]
        other = gateway(https("b.example.com", credential="other"), http("b.example.com"))
        wanted = {SecretName(name): [{"istio": "ingressgateway"}] for name in ("tls", "other")}
        assert selectors_naming([*named, other]) == wanted
        assert selectors_naming([gateway(http("a.example.com"))]) == {}
