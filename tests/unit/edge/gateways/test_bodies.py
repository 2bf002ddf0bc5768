"""What is made for a wish, and what counts as made by us."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.certificate import Certificate
from signer.api.retry import RETRY, retry_time
from signer.api.secret import Secret
from signer.certificates.secrets.ownership import holds
from signer.certificates.spec.check import spec_defect
from signer.certificates.well_known import FAO_LABEL
from signer.edge.gateways.bodies import by_hand_secret, certificate_body, gateway_secret
from signer.edge.gateways.read import gateway_wishes
from signer.edge.gateways.wish import Wish
from tests.unit.edge.objects import LE, gateway, host, https

EVIL = {
    "istio/multiCluster": "true",
    "cert-manager.io/allow-direct-injection": "true",
    "reflector.v1.k8s.emberstack.com/reflection-allowed": "true",
}


def wish(*servers: Any, **annotations: str) -> Wish:
    named = {f"cert-manager.io/{name.replace('_', '-')}": value for name, value in annotations.items()}
    (found,) = gateway_wishes(
        gateway(*(servers or (https("a.example.com"),)), annotations=EVIL | named), LE
    ).certificates
    return found


def made(one: Wish, namespace: str = "foo") -> Certificate:
    body = certificate_body(one, namespace, source_namespace_uid="foo-uid")
    body["metadata"]["uid"] = "u"
    return msgspec.convert(body, Certificate)


HOSTS = st.sampled_from(
    [
        "example.com",
        "*.example.com",
        "a.example.com",
        "b.a.example.com",
        "*.a.example.com",
        "b.example.com",
        "a.example.net",
    ]
)


@given(st.lists(HOSTS, min_size=1, unique=True))
def test_the_fewest_names(hosts: list[str]) -> None:
    """The names in a certificate serve every host that is wanted, and none is there that a wildcard beside it covers."""
    names = made(wish(https(*hosts))).spec.dns_names
    assert all(host(one).is_in(names) for one in hosts)
    assert set(names) <= set(hosts)
    assert not any(host(one).is_in(set(names) - {one}) for one in names)


class TestCertificate:
    def test_as_it_is(self) -> None:
        """The Certificate has the Secret's name, all hosts, the issuer, and can be issued as it is."""
        found = made(wish(https("b.example.net", "*.example.com")))
        assert spec_defect(found) is None
        assert found.unsupported == ()
        assert found.metadata.name == found.spec.secret_name == "tls"
        assert found.spec.dns_names == ("b.example.net", "*.example.com")
        assert found.spec.issuer_ref == LE
        key = found.spec.private_key
        assert key is not None
        assert (key.algorithm, key.size, key.rotation_policy) == ("ECDSA", 256, "Always")

    def test_nothing_of_the_users(self) -> None:
        """No label or annotation of the Gateway reaches what is made, and no secretTemplate is set."""
        found = made(wish())
        assert not {*found.metadata.labels, *found.metadata.annotations} & EVIL.keys()
        assert found.spec.secret_template is None

    def test_another_try(self) -> None:
        """Who asks on the Gateway for another try has it on the Certificate, where it counts, and nothing else is changed by it."""
        moment = "2026-11-30T12:00:00Z"
        (one,) = gateway_wishes(gateway(https("a.example.com"), annotations=EVIL | {RETRY: moment}), LE).certificates
        found = made(one)
        assert retry_time(found.metadata.annotations) == datetime(2026, 11, 30, 12, tzinfo=UTC)
        assert found.raw_spec == made(wish()).raw_spec
        assert RETRY not in made(wish()).metadata.annotations

    def test_options(self) -> None:
        """Annotations choose the key, the times and the history; numbers that are none are left out."""
        found = made(
            wish(private_key_algorithm="RSA", private_key_size="4096", duration="720h", revision_history_limit="3")
        )
        key = found.spec.private_key
        assert key is not None
        assert (key.algorithm, key.size, found.spec.duration, found.spec.revision_history_limit) == (
            "RSA",
            4096,
            "720h",
            3,
        )
        wrong = made(wish(private_key_algorithm="RSA", private_key_size="x", revision_history_limit="99999"))
        assert wrong.spec.private_key is not None
        assert (wrong.spec.private_key.size, wrong.spec.revision_history_limit) == (0, None)
        assert spec_defect(wrong) is None

    def test_pairs(self) -> None:
        """Each of a pair has the kind of key that it is for, whatever annotations say."""
        found = gateway_wishes(
            gateway(
                https("a.example.com", credential=["ec", "rsa"]),
                annotations={"cert-manager.io/private-key-algorithm": "Ed25519"},
            ),
            LE,
        )
        keys = {one.secret_name: made(one).spec.private_key for one in found.certificates}
        assert {name: key.algorithm for name, key in keys.items() if key} == {"ec": "ECDSA", "rsa": "RSA"}

    @pytest.mark.parametrize(("namespace", "owned"), [("foo", 1), ("istio-system", 0)])
    def test_owners(self, namespace: str, owned: int) -> None:
        """In its own namespace the Gateway owns it; elsewhere labels say whose it is."""
        found = made(wish(), namespace)
        assert len(found.metadata.owner_references) == owned
        assert found.metadata.labels["mesh-signer.dev/source-namespace"] == "foo"
        assert found.metadata.annotations["mesh-signer.dev/sources"] == "Gateway/foo/shop"


DATA = {"tls.crt": b"c", "tls.key": b"k"}


@pytest.mark.parametrize("placeholder", [True, False])
def test_the_first_secret(*, placeholder: bool) -> None:
    """The first Secret is one that the Certificate's controller takes for its own to write, and says what it holds."""
    one = wish()
    body = gateway_secret(one, "foo", source_namespace_uid="foo-uid", data=DATA, placeholder=placeholder)
    secret = msgspec.json.decode(msgspec.json.encode(body), type=Secret)
    assert secret.data == DATA
    assert secret.type == "kubernetes.io/tls"
    assert holds(made(one), secret)
    assert ("mesh-signer.dev/placeholder" in secret.metadata.annotations) == placeholder
    assert not {*secret.metadata.labels, *secret.metadata.annotations} & EVIL.keys()


def test_the_first_secret_of_a_users_certificate() -> None:
    """It is the Certificate's to write, watched by its controller, and carries nothing of ours."""
    certificate = made(wish())
    secret = msgspec.json.decode(msgspec.json.encode(by_hand_secret(certificate, DATA)), type=Secret)
    assert holds(certificate, secret)
    assert secret.metadata.labels == {FAO_LABEL: "true"}
    assert (secret.metadata.namespace, secret.metadata.name) == ("foo", certificate.spec.secret_name)
    assert not [name for name in secret.metadata.annotations if name.startswith("mesh-signer.dev/")]
