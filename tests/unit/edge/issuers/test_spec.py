"""Which ACME issuers can be used, and what is told of the others."""

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.acmeissuer import read_acme_status
from signer.api.issuer import Issuer
from signer.edge.issuers.spec import AcmeIssuer, External, judge_acme
from signer.tenancy.verdict import Refuse
from tests import pki

BUNDLE = base64.b64encode(pki.CA("root", now=pki.ANY_TIME).pem).decode()
SMALLEST: dict[str, Any] = {
    "server": "https://acme-v02.api.letsencrypt.org/directory",
    "privateKeySecretRef": {"name": "letsencrypt"},
}
SOLVERS = [
    {"selector": {}, "http01": {"ingress": {"class": "istio"}}},
    {"dns01": {"cnameStrategy": "Follow", "rfc2136": {"nameserver": "192.0.2.1"}}},
]
FULL = SMALLEST | {
    "email": "someone@example.com",
    "caBundle": BUNDLE,
    "externalAccountBinding": {"keyID": "kid", "keySecretRef": {"name": "eab", "key": "mac"}},
    "preferredChain": "ISRG Root X1",
    "profile": "shortlived",
    "disableAccountKeyGeneration": True,
    "enableDurationFeature": True,
    "solvers": SOLVERS,
}


def issuer(acme: Any, namespace: str = "", status: Any = None) -> Issuer:
    metadata = {"name": "le", "namespace": namespace}
    return msgspec.convert({"metadata": metadata, "spec": {"acme": acme}, "status": status}, Issuer)


def judged(change: dict[str, Any], namespace: str = "") -> AcmeIssuer | Refuse:
    spec = {key: value for key, value in (SMALLEST | change).items() if value is not None}
    return judge_acme(issuer(spec, namespace), "cert-manager")


def test_what_guides_write() -> None:
    """The issuer of the guides can be used as it is."""
    found = judged({"email": "someone@example.com", "solvers": SOLVERS[:1]})
    assert isinstance(found, AcmeIssuer)
    assert (found.secret_namespace, found.account_secret, found.account_key) == (
        "cert-manager",
        "letsencrypt",
        "tls.key",
    )
    assert (found.emails, found.verify, found.make_key, found.external) == (("someone@example.com",), True, True, None)
    assert str(found.origin) == "https://acme-v02.api.letsencrypt.org"


def test_all_fields() -> None:
    """Every field that can be set is carried over."""
    found = judge_acme(issuer(FULL), "cert-manager")
    assert isinstance(found, AcmeIssuer)
    assert found.external == External("kid", "eab", "mac")
    assert (found.preferred_chain, found.profile, found.make_key, found.durations) == (
        "ISRG Root X1",
        "shortlived",
        False,
        True,
    )
    assert found.ca_bundle.startswith(b"-----BEGIN CERTIFICATE")
    assert list(found.solvers) == SOLVERS


def test_whose_issuer_it_is() -> None:
    """An Issuer's Secrets lie beside it, and its server may not stand in the cluster; a ClusterIssuer's may."""
    own, cluster = judged({}, "foo"), judged({})
    assert isinstance(own, AcmeIssuer)
    assert isinstance(cluster, AcmeIssuer)
    assert (own.secret_namespace, own.anywhere) == ("foo", False)
    assert (cluster.secret_namespace, cluster.anywhere) == ("cert-manager", True)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"server": None}, "spec.acme.server: must be set"),
        ({"server": "http://ca.example/dir"}, "spec.acme.server: "),
        ({"server": "https://user:secret@ca.example/"}, "spec.acme.server: "),
        ({"server": "ftp://ca.example/"}, "spec.acme.server: "),
        ({"server": 7}, "spec.acme.server: "),
        ({"email": "no address"}, "spec.acme.email: "),
        ({"email": "a@b.example?bcc=c@d.example"}, "spec.acme.email: "),
        ({"privateKeySecretRef": None}, "spec.acme.privateKeySecretRef.name: must be set"),
        ({"privateKeySecretRef": {"name": "../x"}}, "spec.acme.privateKeySecretRef.name: "),
        (
            {"privateKeySecretRef": {"name": "cacerts"}},
            "spec.acme.privateKeySecretRef.name: 'cacerts' is a name that Istio",
        ),
        ({"privateKeySecretRef": {"name": "a", "key": "a/b"}}, "spec.acme.privateKeySecretRef.key: "),
        ({"caBundle": base64.b64encode(b"x").decode()}, "spec.acme.caBundle: holds no PEM"),
        ({"caBundle": base64.b64encode(b"x" * 300_000).decode()}, "spec.acme.caBundle: 300000 bytes"),
        ({"caBundle": BUNDLE, "skipTLSVerify": True}, "spec.acme: caBundle and skipTLSVerify"),
        ({"externalAccountBinding": {}}, "spec.acme.externalAccountBinding.keyID: "),
        (
            {"externalAccountBinding": {"keyID": "k", "keySecretRef": {"name": "a"}}},
            "spec.acme.externalAccountBinding.keySecretRef.key: must be set",
        ),
        (
            {
                "externalAccountBinding": {
                    "keyID": "k",
                    "keySecretRef": {"name": "a", "key": "b"},
                    "keyAlgorithm": "HS512",
                }
            },
            "spec.acme.externalAccountBinding.keyAlgorithm: ",
        ),
        ({"profile": "x" * 65}, "spec.acme.profile: "),
        ({"preferredChain": "a\nb"}, "spec.acme.preferredChain: "),
        ({"solvers": [7]}, "spec.acme.solvers[0]: "),
        ({"solvers": [{}]}, "spec.acme.solvers[0]: one of http01 and dns01"),
        ({"solvers": [{"http01": {}, "dns01": {}}]}, "spec.acme.solvers[0]: one of http01 and dns01"),
        ({"solvers": [{"http01": {}}]}, "spec.acme.solvers[0].http01: one of ingress"),
        ({"solvers": [{"dns01": {}}]}, "spec.acme.solvers[0].dns01: one provider"),
        ({"solvers": [{"dns01": {"rout53": {}}}]}, "spec.acme.solvers[0].dns01.rout53: not supported"),
        ({"solvers": [{}] * 300}, "spec.acme.solvers: 300 are too many"),
        ({"renewalInformationSource": "x"}, "spec.acme.renewalInformationSource: not supported"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_what_is_wrong(change: dict[str, Any], field: str) -> None:
    """Each mistake is told with its field, in one line."""
    found = judged(change)
    assert isinstance(found, Refuse)
    assert any(reason.message.startswith(field) for reason in found.reasons), found.message
    assert found.message.isprintable()


def test_unchecked_servers() -> None:
    """Only administrators may leave a server unchecked."""
    assert isinstance(judged({"skipTLSVerify": True}), AcmeIssuer)
    found = judged({"skipTLSVerify": True}, "foo")
    assert isinstance(found, Refuse)
    assert "only a ClusterIssuer" in found.message


def test_everything_at_once() -> None:
    """All mistakes are told together."""
    found = judged({"server": "x", "email": "x", "privateKeySecretRef": {"name": "X"}})
    assert isinstance(found, Refuse)
    assert len(found.reasons) == 3


@given(
    st.dictionaries(
        st.sampled_from(sorted(FULL)),
        st.none() | st.integers() | st.text(max_size=9) | st.lists(st.integers(), max_size=2),
    )
)
def test_never_fails(change: dict[str, Any]) -> None:
    """Whatever stands in the spec, there is an answer."""
    assert isinstance(judge_acme(issuer(FULL | change), "cert-manager"), AcmeIssuer | Refuse)


def test_the_account() -> None:
    """What was registered is read back; a status that cannot be read counts as none."""
    assert (
        read_acme_status(issuer({}, status={"acme": {"uri": "https://ca.example/acct/1"}})).uri
        == "https://ca.example/acct/1"
    )
    assert read_acme_status(issuer({}, status={"acme": 7})).uri == ""


def test_annotations_that_cannot_be_meant() -> None:
    """An annotation that names no issuer makes the issuer unusable, with its name: nobody relies on a CA that never comes."""
    wrong = msgspec.convert(
        {
            "metadata": {"name": "le", "annotations": {"mesh-signer.dev/fallback-issuers": "no issuer"}},
            "spec": {"acme": SMALLEST},
        },
        Issuer,
    )
    found = judge_acme(wrong, "cert-manager")
    assert isinstance(found, Refuse)
    assert "mesh-signer.dev/fallback-issuers" in found.message
