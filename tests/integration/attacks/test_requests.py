"""What mallory tries by CertificateRequests: where a policy is open to her, and of the CAs of others, all with her own rights."""

import base64
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from tests import pki
from tests.integration.attacks.conftest import Siege, harmless, leaf_of, objects, ready
from tests.integration.plain_api import Json, Refused

pytestmark = pytest.mark.integration

ME = pki.spiffe("bar")
OID = x509.ObjectIdentifier


def subject(*attributes: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(kind, value) for kind, value in attributes])


def san(*names: x509.GeneralName) -> bytes:
    return pki.csr(extra=[(x509.SubjectAlternativeName(names), True)])


def wanted(*usages: str) -> bytes:
    return pki.csr(uris=[ME], extra=[(x509.ExtendedKeyUsage([OID(one) for one in usages]), False)])


@dataclass(frozen=True)
class Try:
    """A request, and its end: "refused", "cut" (issued, and no more in it than the policy allows), or "left" unanswered."""

    csr: bytes = field(default_factory=lambda: pki.csr(uris=[ME]))
    end: str = "refused"
    issuer: Json = field(default_factory=dict)
    spec: Json = field(default_factory=dict)


def names(**wishes: Any) -> Try:
    return Try(pki.csr(**wishes))


def usages(*listed: str) -> Try:
    return Try(spec={"usages": list(listed)})


def of(issuer: str, csr: bytes | None = None, **spec: Any) -> Try:
    return Try(csr or pki.csr(uris=[ME]), issuer={"name": issuer}, spec=spec)


TRIES = {
    # How long it is good for.
    "ten-years": Try(end="cut", spec={"duration": "87600h"}),
    "the-longest-duration-of-go": Try(end="cut", spec={"duration": "2562047h"}),
    "a-nanosecond": Try(spec={"duration": "1ns"}),
    "a-negative-duration": Try(spec={"duration": "-1h"}),
    # Whose identity it is.
    "foos-identity": names(uris=[pki.spiffe("foo")]),
    "the-identity-of-a-namespace-that-is-covered-too": names(uris=[pki.spiffe("shop")]),
    "ones-own-and-foos": names(uris=[ME, pki.spiffe("foo")]),
    "the-scheme-in-capitals": names(uris=["SPIFFE://cluster.local/ns/foo/sa/default"]),
    "a-uri-that-is-no-identity": names(uris=["https://istiod.istio-system.svc"]),
    "another-service-account": names(uris=[pki.spiffe("bar", "admin")]),
    "an-identity-with-a-query": names(uris=[f"{ME}?x"]),
    "an-identity-with-a-fragment": names(uris=[f"{ME}#x"]),
    "percent-encoded": names(uris=["spiffe://cluster.local/ns/b%61r/sa/default"]),
    "another-trust-domain": names(uris=["spiffe://evil/ns/bar/sa/default"]),
    "an-identity-with-a-port": names(uris=["spiffe://cluster.local:443/ns/bar/sa/default"]),
    "a-path-that-goes-up": names(uris=["spiffe://cluster.local/ns/bar/../foo/sa/default"]),
    # A CA.
    "a-ca": Try(spec={"isCA": True}),
    "a-ca-in-the-csr": Try(pki.csr(uris=[ME], extra=[(x509.BasicConstraints(ca=True, path_length=None), True)])),
    "cert-sign-in-the-csr": Try(pki.csr(uris=[ME], extra=[(pki.key_usage(cert_sign=True), True)])),
    "name-constraints-in-the-csr": Try(
        pki.csr(uris=[ME], extra=[(x509.NameConstraints([x509.DNSName("a")], None), True)]), end="cut"
    ),
    # What it is good for.
    "usage-any": usages("any"),
    "usage-cert-sign": usages("server auth", "cert sign"),
    "usage-crl-sign": usages("server auth", "crl sign"),
    "usage-code-signing": usages("server auth", "code signing"),
    "usage-ocsp-signing": usages("server auth", "ocsp signing"),
    "no-usage": Try(spec={"usages": None}),
    "any-in-the-csr-alone": Try(wanted("2.5.29.37.0"), spec={"usages": None}),
    "code-signing-in-the-csr": Try(wanted("1.3.6.1.5.5.7.3.3")),
    "an-unknown-usage-in-the-csr": Try(wanted("1.2.3.4.5")),
    # Who else it is.
    "a-group-of-kubernetes": names(uris=[ME], subject=pki.name(organization="system:masters")),
    "the-common-name-of-istiod": names(uris=[ME], subject=pki.name(common_name="istiod.istio-system.svc")),
    "a-line-end-in-the-common-name": names(
        uris=[ME], subject=pki.name(common_name="system:node/x,O=system:masters\n.bar.example")
    ),
    "two-common-names": names(
        uris=[ME], subject=subject((NameOID.COMMON_NAME, "x.bar.example"), (NameOID.COMMON_NAME, "kube-apiserver"))
    ),
    "a-group-in-the-same-rdn": names(
        uris=[ME],
        subject=x509.Name(
            [
                x509.RelativeDistinguishedName(
                    [
                        x509.NameAttribute(NameOID.COMMON_NAME, "x.bar.example"),
                        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:masters"),
                    ]
                )
            ]
        ),
    ),
    "a-user-id": names(uris=[ME], subject=subject((NameOID.USER_ID, "root"))),
    # Other names.
    "a-wildcard-further-down": names(dns=["*.x.bar.example"]),
    "a-wildcard-within-a-label": Try(pki.csr(dns=["f*.bar.example"]), end="cut"),
    "a-trailing-dot": names(dns=["x.bar.example."]),
    "an-empty-label": Try(pki.csr(dns=[".bar.example"]), end="cut"),
    "istiods-dns-name": names(dns=["istiod.istio-system.svc"]),
    "an-address": names(uris=[ME], ips=["10.0.0.1"]),
    "an-email": names(uris=[ME], emails=["a@bar.example"]),
    "no-name-at-all": Try(pki.csr(), end="cut"),
    "an-other-name": Try(
        san(x509.UniformResourceIdentifier(ME), x509.OtherName(OID("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x05admin"))
    ),
    "a-registered-id": Try(san(x509.RegisteredID(OID("1.2.3")), x509.UniformResourceIdentifier(ME))),
    "a-directory-name": Try(san(x509.DirectoryName(pki.name(common_name="foo")), x509.UniformResourceIdentifier(ME))),
    # Its key.
    "an-ed25519-key": Try(pki.csr(pki.key("ed25519"), uris=[ME])),
    "a-weak-key": Try(pki.csr(pki.key("rsa1024"), uris=[ME])),
    # The CAs of others, and one's own of the mesh.
    **{f"of-{ca}-an-identity": of(ca) for ca in ("foo", "bar", "istio-system")},
    **{f"of-{ca}-a-dns-name": of(ca, pki.csr(dns=["x.bar.example"])) for ca in ("foo", "bar", "istio-system")},
    "below-a-mesh-root-an-identity": of("sub"),
    "below-a-mesh-root-a-ca": of("sub", pki.csr(dns=["a.example"]), isCA=True),
    "below-a-mesh-root-a-ca-in-the-csr": of(
        "sub", pki.csr(dns=["a.example"], extra=[(x509.BasicConstraints(ca=True, path_length=None), True)])
    ),
    "below-a-mesh-root-istiod-in-capitals": of("sub", pki.csr(dns=["ISTIOD.istio-system.svc"])),
    "below-a-mesh-root-istiod-by-a-wildcard": of("sub", pki.csr(dns=["*.istio-system.svc"])),
    "below-a-mesh-root-istiod-with-a-dot": of("sub", pki.csr(dns=["istiod.istio-system.svc."])),
    "below-a-mesh-root-istiod-by-common-name": of(
        "sub", pki.csr(subject=pki.name(common_name="istiod.istio-system.svc"))
    ),
    "below-a-mesh-root-an-identity-behind-a-space": of(
        "sub", pki.csr(uris=[" spiffe://cluster.local/ns/foo/sa/default"])
    ),
    "an-issuer-in-another-namespace": Try(end="left", issuer={"name": "../shop/ca", "kind": "Issuer"}),
    "an-issuer-of-a-neighbour-by-a-dotted-name": Try(end="left", issuer={"name": "shop.ca", "kind": "Issuer"}),
    "a-kind-in-capitals": Try(end="left", issuer={"name": "foo", "kind": "CLUSTERISSUER"}),
    "a-group-in-capitals": Try(end="left", issuer={"name": "foo", "group": "Cert-Manager.io"}),
}


@pytest.mark.parametrize("name", TRIES)
def test_no_certificate_request_gets_more(siege: Siege, name: str) -> None:
    """Nothing that mallory writes into a CertificateRequest gives her more than the policy that is open to her says."""
    one = TRIES[name]
    try:
        made = siege.request(one.csr, one.issuer, **one.spec)
    except Refused as error:
        assert one.end != "cut", error  # noqa: PT017 - the API server may be the first to refuse it
        return
    if one.end == "left":
        # An honest one that was made later has its certificate: this one was looked at before.
        assert ready(siege.ended(siege.request(pki.csr(uris=[ME]))))["reason"] == "Issued"
        path = objects("bar", "certificaterequests", made["metadata"]["name"])
        assert "certificate" not in siege.place.api.get(path).get("status", {})
        return
    found = siege.ended(made)
    if one.end == "refused":
        assert ready(found)["reason"] == "Failed", base64.b64decode(found["status"].get("certificate", ""))
        assert ready(found)["message"]
        assert "certificate" not in found["status"]
    else:
        assert ready(found)["reason"] == "Issued", ready(found)["message"]
        harmless(leaf_of(found["status"]["certificate"]))


def test_honest_requests_are_issued(siege: Siege) -> None:
    """Beside all of these, what the policy opens is issued: so a refusal is one of the attack."""
    for csr in (pki.csr(uris=[ME]), pki.csr(dns=["x.bar.example"], subject=pki.name(common_name="x.bar.example"))):
        found = siege.ended(siege.request(csr))
        assert ready(found)["reason"] == "Issued", ready(found)["message"]
        harmless(leaf_of(found["status"]["certificate"]))
