"""The mesh's requests that are no honest ones: theft of a signer, and CSRs that are not what Istio writes."""

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from issuers.authority import load_authority
from signer.api.issuer import IssuerRef
from signer.csr.evaluate import DURATION_ANNOTATION, IS_CA_ANNOTATION, PRIVATE_KEY_ANNOTATION
from signer.csr.outcome import Issue
from signer.tenancy.verdict import Refuse, Reread, Unready
from signer.tenancy.world import Roots, World
from tests.pki import CA, key, workload_csr
from tests.unit.csr.crafted import FOO, ISTIOD, NOW, USAGES, authority, ca, ready, self_signed
from tests.unit.csr.mesh_cases import BAR_URI, FOO_URI, OWNED, certificate, codes, judge
from tests.unit.tenancy.worlds import BAR, OTHER, claims, world
from tests.vectors import craft
from tests.vectors.craft import Csr

VECTORS = Path(__file__).parents[2] / "vectors"


def anchor(name: str) -> str:
    chain = authority(name).chain
    assert chain is not None
    return chain.certificates[-1].anchor


class TestTheft:
    @pytest.mark.parametrize("fresh", [False, True])
    def test_another_tenants_signer(self, fresh: bool) -> None:
        """A workload of bar that asks for foo is refused, once its claims were read live."""
        verdict = judge(workload_csr("bar"), FOO, fresh=fresh)
        if not fresh:
            assert verdict == Reread("bar")
            return
        assert codes(verdict) == ["TenantMismatch"]
        assert isinstance(verdict, Refuse)
        assert "spiffe://cluster.local/ns/bar/sa/default" in verdict.message
        assert "may have ClusterIssuer bar" in verdict.message

    def test_before_anything_was_read(self) -> None:
        """What was not read yet is no reason to issue, nor to refuse."""
        verdict = judge(workload_csr("foo"), mesh=world(bindings=OWNED, unsynced="ProxyConfigs"))
        assert isinstance(verdict, Unready)
        assert "ProxyConfigs" in verdict.reason.message

    def test_after_a_long_silence(self) -> None:
        """A source that was not heard of for five minutes gives no grant; other signers go on."""
        quiet = world(bindings=OWNED, stale=frozenset({"ProxyConfigs"}))
        assert isinstance(judge(workload_csr("foo"), mesh=quiet), Unready)
        assert isinstance(judge(workload_csr("foo"), OTHER, mesh=quiet, username="jane"), Issue)

    @pytest.mark.parametrize(
        "mesh",
        [
            world(claimed={}, defaults=frozenset()),
            world(claimed={}, signers=frozenset(), defaults=frozenset(), keys={}),
            world(claimed={}, namespaces=()),
        ],
        ids=["no ProxyConfig", "no mesh config", "no namespace"],
    )
    def test_nothing_is_not_open(self, mesh: World) -> None:
        """What istiod asks for is never unbound, whatever is missing."""
        assert codes(judge(workload_csr("foo"), mesh=mesh))[0] in {"TenantMismatch", "NamespaceNotFound"}

    def test_an_unrelated_signer(self) -> None:
        """Istiod does not get a certificate of an issuer that is none of the mesh's."""
        mesh = world(claimed={"bar": claims(OTHER)})
        assert codes(judge(workload_csr("bar"), OTHER, mesh=mesh)) == ["NotAMeshSigner"]

    def test_another_issuer_with_the_same_key(self) -> None:
        """The wall belongs to the CA's key: an issuer that shares foo's key gives bar nothing of it."""
        shared = {authority("bar").key_id: frozenset({FOO, BAR})}
        assert codes(judge(workload_csr("bar"), BAR, mesh=world(bindings=OWNED, keys=shared))) == ["TenantMismatch"]
        unlisted = world(bindings=OWNED, keys={authority("letsencrypt").key_id: frozenset({FOO})})
        assert codes(judge(workload_csr("bar"), OTHER, mesh=unlisted, username="jane")) == [
            "TenantMismatch",
            "RequesterNotAllowed",
        ]

    def test_a_ca_with_another_root(self) -> None:
        """A CA key that was changed waits until an admin gives the signer's workloads its root."""
        changed = world(bindings=OWNED, roots={FOO: Roots(frozenset({"an earlier one"}))})
        verdict = judge(workload_csr("foo"), mesh=changed)
        assert isinstance(verdict, Unready)
        assert verdict.reason.code == "RootMismatch"
        assert "ClusterIssuer foo" in verdict.reason.message
        same = world(bindings=OWNED, roots={FOO: Roots(frozenset({"an earlier one", anchor("foo")}))})
        assert isinstance(judge(workload_csr("foo"), mesh=same), Issue)
        unreadable = world(bindings=OWNED, roots={FOO: Roots()})
        assert isinstance(judge(workload_csr("foo"), mesh=unreadable), Issue)

    def test_a_cross_certificate(self) -> None:
        """A CA that is changed by a cross certificate works on when its own key is the root that workloads trust now."""
        old, new = ca("bar"), ca("foo")
        cross = CA("foo", parent=old, private=new.private)
        crossed = replace(ready(FOO), authority=load_authority(cross.pem, cross.key_pem, old.pem, now=NOW))
        mesh = world(bindings=OWNED, roots={FOO: Roots(frozenset({anchor("foo")}))})
        assert isinstance(judge(workload_csr("foo"), mesh=mesh, state=crossed), Issue)

    @pytest.mark.parametrize(
        "username",
        [
            "system:node:worker-1",
            "system:bootstrap:abcdef",
            "system:serviceaccount:bar:istiod",
            "system:serviceaccount:istio-system:istiod2",
            "system:serviceaccount:istio-system:default",
            "",
        ],
    )
    def test_other_requesters(self, username: str) -> None:
        """Only istiod may ask a mesh signer, whatever the request says."""
        assert codes(judge(workload_csr("foo"), username=username)) == ["RequesterNotAllowed"]

    def test_signers_without_a_ca(self) -> None:
        """A selfSigned issuer is not a signer of the mesh."""
        notes = {PRIVATE_KEY_ANNOTATION: "foo-ca-selfsigned"}
        assert codes(judge(workload_csr("foo"), state=self_signed(), annotations=notes)) == ["SignerTypeNotAllowed"]

    @pytest.mark.parametrize(
        "annotations",
        [
            {IS_CA_ANNOTATION: "true"},
            {DURATION_ANNOTATION: "87600h"},
            {DURATION_ANNOTATION: "nonsense"},
            {PRIVATE_KEY_ANNOTATION: "foo-ca-selfsigned"},
        ],
        ids=str,
    )
    def test_annotations(self, annotations: Mapping[str, str]) -> None:
        """Annotations can be changed after the approval, and count for nothing."""
        leaf = certificate(judge(workload_csr("foo"), annotations=annotations))
        assert leaf.not_valid_after_utc == NOW + timedelta(days=1)
        assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


MICROSOFT = craft.ext_request(craft.san(FOO_URI), kind=craft.MICROSOFT)


OWN = craft.ext_request(craft.san(BAR_URI))


GOOD_BAR, EVIL_FOO = Csr(attributes=[OWN]).pem(), Csr().pem()


SPELLINGS = [
    "spiffe://cluster.local/ns/bar/sa/default/",
    "spiffe://cluster.local/ns/bar//sa/default",
    "spiffe://cluster.local/ns/bar/sa/default?x",
    "spiffe://cluster.local/ns/bar/sa/default#foo",
    "spiffe://cluster.local:443/ns/bar/sa/default",
    "spiffe://foo@cluster.local/ns/bar/sa/default",
    "SPIFFE://cluster.local/ns/bar/sa/default",
    "spiffe://Cluster.local/ns/bar/sa/default",
    "spiffe://cluster.local/ns/b%61r/sa/default",
    "spiffe://cluster.local/ns/bar/sa/Default",
    "spiffe://cluster.local/ns/foo/../bar/sa/default",
    "spiffe://cluster.local/ns/bar/sa/",
    "spiffe://cluster.local/ns/bar.foo/sa/default",
]


ATTACKS = {
    "Microsoft's attribute beside one's own": Csr(attributes=[OWN, MICROSOFT]).pem(),
    "Microsoft's attribute before one's own": Csr(attributes=[MICROSOFT, OWN]).pem(),
    "Microsoft's attribute alone": Csr(attributes=[MICROSOFT]).pem(),
    "junk before an evil block": b"x" + EVIL_FOO + GOOD_BAR,
    "a space before an evil block": b" " + EVIL_FOO + GOOD_BAR,
    "a line before the block": b"bar\n" + GOOD_BAR,
    "a good block, then an evil one": GOOD_BAR + EVIL_FOO,
    "data after END": GOOD_BAR + b"x",
    "NEW CERTIFICATE REQUEST": craft.pem(Csr(attributes=[OWN]).der(), "NEW CERTIFICATE REQUEST"),
    "an END of another kind": GOOD_BAR.replace(b"END CERTIFICATE REQUEST", b"END CERTIFICATE"),
    "CR line ends": GOOD_BAR.replace(b"\n", b"\r"),
    "two PKCS#9 attributes": Csr(attributes=[OWN, craft.ext_request(craft.san(FOO_URI))]).pem(),
    "two values in one attribute": Csr(
        attributes=[craft.attribute(craft.PKCS9, craft.seq(craft.san(BAR_URI)), craft.seq(craft.san(FOO_URI)))]
    ).pem(),
    "an empty SAN": Csr(attributes=[craft.ext_request(craft.san())]).pem(),
    "no SAN": Csr(attributes=[]).pem(),
    "no extensions": Csr(attributes=[craft.ext_request()]).pem(),
    "SAN twice": Csr(attributes=[craft.ext_request(craft.san(BAR_URI), craft.san(FOO_URI))]).pem(),
    "two URIs": Csr(attributes=[craft.ext_request(craft.san(BAR_URI, FOO_URI))]).pem(),
    "the bytes as otherName": Csr(
        attributes=[
            craft.ext_request(craft.san(BAR_URI, craft.tlv(0xA0, craft.oid("1.2.3"), craft.tlv(0xA0, FOO_URI))))
        ]
    ).pem(),
    "the bytes as registeredID": Csr(
        attributes=[craft.ext_request(craft.san(craft.tlv(0x88, craft.FOO.encode())))]
    ).pem(),
    "a constructed URI": Csr(attributes=[craft.ext_request(craft.san(craft.tlv(0xA6, FOO_URI)))]).pem(),
    "a DNS name beside": Csr(attributes=[craft.ext_request(craft.san(BAR_URI, craft.dns("httpbin.foo")))]).pem(),
    "an address beside": Csr(attributes=[craft.ext_request(craft.san(BAR_URI, craft.ip(b"\x7f\0\0\1")))]).pem(),
    "not critical": Csr(attributes=[craft.ext_request(craft.san(BAR_URI, critical=b""))]).pem(),
    "a common name": Csr(subject=craft.seq(craft.rdn((craft.CN, craft.utf8("foo")))), attributes=[OWN]).pem(),
    "an organization": Csr(
        subject=craft.seq(craft.rdn((craft.ORGANIZATION, craft.printable("foo")))), attributes=[OWN]
    ).pem(),
    "an empty organization as UTF-8": Csr(
        subject=craft.seq(craft.rdn((craft.ORGANIZATION, craft.utf8("")))), attributes=[OWN]
    ).pem(),
    "another extension": Csr(
        attributes=[craft.ext_request(craft.san(BAR_URI), craft.extension(craft.KU, craft.tlv(3, b"\x05\xa0")))]
    ).pem(),
    "a CA": Csr(
        attributes=[craft.ext_request(craft.san(BAR_URI), craft.extension(craft.BC, craft.seq(craft.TRUE), craft.TRUE))]
    ).pem(),
    "another attribute": Csr(attributes=[OWN, craft.attribute("1.2.840.113549.1.9.7", craft.utf8("x"))]).pem(),
    "version 1": Csr(version=b"\x02\x01\x01", attributes=[OWN]).pem(),
    "non-canonical DER": Csr(version=b"\x02\x02\x00\x00", attributes=[OWN]).pem(),
    "a large one": Csr(
        attributes=[craft.ext_request(craft.san(craft.uri("spiffe://cluster.local/ns/bar/sa/" + "a" * 9000)))]
    ).pem(),
    "a NUL": Csr(attributes=[craft.ext_request(craft.san(craft.uri(craft.BAR + "\0.foo")))]).pem(),
    **{uri: Csr(attributes=[craft.ext_request(craft.san(craft.uri(uri)))]).pem() for uri in SPELLINGS},
}


class TestContents:
    @pytest.mark.heavy
    @pytest.mark.parametrize("signer", [FOO, BAR], ids=str)
    @pytest.mark.parametrize("name", ATTACKS)
    def test_attacks(self, name: str, signer: IssuerRef) -> None:
        """Whatever is not Istio's own form, byte for byte, is refused and named as that."""
        assert "UnexpectedContents" in codes(judge(ATTACKS[name], signer))

    def test_two_defects_two_reasons(self) -> None:
        """A wrong requester is told beside wrong contents."""
        assert codes(judge(ATTACKS["two URIs"], username="jane")) == ["UnexpectedContents", "RequesterNotAllowed"]

    @pytest.mark.heavy
    @pytest.mark.parametrize("name", sorted(json.loads((VECTORS / "expected.json").read_text())))
    def test_the_corpus(self, name: str) -> None:
        """Of all CSRs in the corpus, only those that Go reads as foo's one URI in Istio's form are issued, as foo."""
        path = VECTORS / "requests" / f"{name}.pem"
        verdict = judge(path.read_bytes(), FOO)
        if isinstance(verdict, Issue):
            san = certificate(verdict).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            (uri,) = san
            assert uri.value.startswith("spiffe://cluster.local/ns/foo/sa/")
            expected = json.loads((VECTORS / "expected.json").read_text())[name]["accepted"]
            assert expected["uris"] == [uri.value]
            assert expected["subject"] in {"O=", ""}

    @pytest.mark.parametrize(
        ("private", "code"),
        [
            (key("rsa1024"), "UnexpectedContents"),
            (rsa.generate_private_key(3, 2048), "UnexpectedContents"),
            (key("ed25519"), "KeyNotAllowed"),
        ],
        ids=["RSA 1024", "exponent 3", "Ed25519"],
    )
    def test_keys(self, private: Any, code: str) -> None:
        """Weak keys, and keys that Envoy cannot serve with, are refused."""
        assert codes(judge(workload_csr("foo", private=private))) == [code]

    def test_another_trust_domain(self) -> None:
        """An identity is of the mesh's trust domain."""
        assert codes(judge(workload_csr("foo", trust_domain="evil.example"))) == ["TrustDomainMismatch"]

    @pytest.mark.parametrize("usages", [(), USAGES[:3], (*USAGES, "code signing"), (*USAGES, "cert sign")], ids=str)
    def test_usages(self, usages: tuple[str, ...]) -> None:
        """A workload's usages are four, always the same."""
        assert codes(judge(workload_csr("foo"), usages=usages)) == ["UsagesNotAllowed"]


def test_the_pem_of_the_attacks_is_what_it_says() -> None:
    """The attacks differ from the honest request in what they attack, not in being broken by accident."""
    assert base64.b64decode(b"".join(GOOD_BAR.splitlines()[1:-1])) == Csr(attributes=[OWN]).der()
    assert isinstance(judge(GOOD_BAR, BAR), Issue)
    assert datetime.fromtimestamp(NOW.timestamp(), UTC) == NOW
    assert ISTIOD == "system:serviceaccount:istio-system:istiod"


def test_one_block_for_the_mesh() -> None:
    """A text around the block, or another label: refused for the mesh, whoever asks; another issuer signs it as Go reads it."""
    text = workload_csr("foo")
    for form in (b"text\n" + text, text.replace(b" CERT", b" NEW CERT"), text + b"text\n"):
        assert codes(judge(form, FOO, fresh=True)) == ["UnexpectedContents"]
        assert codes(judge(form, FOO, username="jane", fresh=True)) == ["UnexpectedContents"]
        assert isinstance(judge(form, OTHER, username="jane"), Issue)
