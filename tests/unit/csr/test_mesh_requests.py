"""A mesh request from its bytes to the verdict: every attack of docs/threat-model.md on the CSR, and honest ones.

The attacker here is past istiod: each request stands directly under istiod's account, in a mesh where foo and bar own
their signers. What must never come out is a certificate that says foo.
"""

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
from cryptography.x509.oid import ExtendedKeyUsageOID

from signer.api.certificatesigningrequest import read_content
from signer.api.issuer import IssuerRef
from signer.csr.answer import issue
from signer.csr.evaluate import DURATION_ANNOTATION, IS_CA_ANNOTATION, PRIVATE_KEY_ANNOTATION, evaluate
from signer.csr.outcome import Answers, Issue, Verdict
from signer.tenancy.claim import Limits
from signer.tenancy.verdict import Bind, Refuse, Reread, Unready
from signer.tenancy.world import KeyRule, Policy, Settings, World
from tests.pki import key, workload_csr
from tests.unit.csr.crafted import FOO, ISTIOD, NOW, USAGES, authority, ca, ready, request, self_signed
from tests.unit.tenancy.worlds import BAR, DEFAULT, OTHER, binding, claims, world
from tests.vectors import craft
from tests.vectors.craft import Csr

VECTORS = Path(__file__).parents[2] / "vectors"
OWNED = (binding(FOO, "foo"), binding(BAR, "bar"))
SIGNERS = {FOO: "foo", BAR: "bar", DEFAULT: "istio-system", OTHER: "letsencrypt"}
NAMES = {ref: f"clusterissuers.cert-manager.io/{name}" for ref, name in SIGNERS.items()}
ISTIOD_DNS = ("istio-pilot.istio-system.svc", "istiod-remote.istio-system.svc", "istiod.istio-system.svc")


def judge(
    csr: bytes,
    signer: IssuerRef = FOO,
    *,
    mesh: World | None = None,
    fresh: bool = True,
    now: datetime = NOW,
    state: Any = None,
    **fields: Any,
) -> Verdict:
    """The verdict on a request for `signer`, as istiod unless `username` says otherwise."""
    content = replace(read_content(request(request=csr, signer=NAMES[signer], **fields)), created=int(now.timestamp()))
    states = {signer: state or ready(signer)}
    return evaluate(
        content,
        signer,
        states.get,
        Answers(fresh=fresh),
        limits=Limits(),
        world=mesh if mesh is not None else world(bindings=OWNED),
        cluster_resource_namespace="cert-manager",
        now=now,
    )


def codes(verdict: Verdict) -> list[str]:
    assert isinstance(verdict, Refuse), verdict
    return [reason.code for reason in verdict.reasons]


def certificate(verdict: Verdict) -> x509.Certificate:
    assert isinstance(verdict, Issue), verdict
    return x509.load_pem_x509_certificates(issue(request(), verdict, serial=7).pem)[0]


def dns_request(*names: str, key_: Any = None) -> bytes:
    san = craft.san(*[craft.dns(name) for name in names])
    return Csr(key=key_ or craft.p256(), attributes=[craft.ext_request(san)]).pem()


class TestHonest:
    @pytest.mark.parametrize("kind", ["rsa", "p256", "p384"])
    def test_a_workload(self, kind: str) -> None:
        """A tenant's workload gets its SPIFFE ID and nothing else, two minutes into the past, from its tenant's CA."""
        private = key(kind, n=3)
        leaf = certificate(judge(workload_csr("foo", "shop", private=private)))
        leaf.verify_directly_issued_by(ca("foo").certificate)
        assert leaf.public_key() == private.public_key()
        assert not leaf.subject.rdns
        assert leaf.not_valid_before_utc == NOW - timedelta(minutes=2)
        assert leaf.not_valid_after_utc == NOW + timedelta(days=1)
        found = {one.oid.dotted_string: one for one in leaf.extensions}
        assert sorted(found) == ["2.5.29.14", "2.5.29.15", "2.5.29.17", "2.5.29.19", "2.5.29.35", "2.5.29.37"]
        san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        assert san.critical
        assert list(san.value) == [x509.UniformResourceIdentifier("spiffe://cluster.local/ns/foo/sa/shop")]
        constraints = leaf.extensions.get_extension_for_class(x509.BasicConstraints)
        assert (constraints.critical, constraints.value.ca) == (True, False)
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]

    def test_ztunnel(self) -> None:
        """An empty subject is Istio's other form."""
        assert isinstance(judge(Csr(subject=craft.seq()).pem()), Issue)

    def test_istiod_itself(self) -> None:
        """Istiod has its DNS certificate, without client auth, and ten years are cut to ninety days."""
        verdict = judge(dns_request(*ISTIOD_DNS), DEFAULT, usages=USAGES[:3], expiration=315_360_000)
        leaf = certificate(verdict)
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == list(ISTIOD_DNS)
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
        assert leaf.not_valid_after_utc == NOW + timedelta(days=90)

    @pytest.mark.parametrize(
        ("asked", "given"),
        [
            (600, timedelta(minutes=10)),
            (None, timedelta(days=1)),
            (89 * 86400, timedelta(days=1)),
            (2**31 - 1, timedelta(days=1)),
        ],
    )
    def test_lifetimes(self, asked: int | None, given: timedelta) -> None:
        """What is asked for is given up to a day; more, and nothing at all, is cut to a day and never refused."""
        assert certificate(judge(workload_csr("foo"), expiration=asked)).not_valid_after_utc == NOW + given

    def test_not_beyond_the_ca(self) -> None:
        """A certificate never outlives its CA."""
        late = authority("foo").not_after - timedelta(hours=1)
        assert certificate(judge(workload_csr("foo"), now=late)).not_valid_after_utc == authority("foo").not_after

    def test_first_use(self) -> None:
        """Ownership is stored before anything is issued."""
        assert judge(workload_csr("foo"), mesh=world()) == Bind(FOO, "foo", "uid-foo")


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
        changed = world(bindings=OWNED, roots={FOO: frozenset({"an earlier key"})})
        verdict = judge(workload_csr("foo"), mesh=changed)
        assert isinstance(verdict, Unready)
        assert verdict.reason.code == "RootMismatch"
        assert "ClusterIssuer foo" in verdict.reason.message
        same = world(bindings=OWNED, roots={FOO: frozenset({"an earlier key", authority("foo").root_key_id})})
        assert isinstance(judge(workload_csr("foo"), mesh=same), Issue)
        unreadable = world(bindings=OWNED, roots={FOO: frozenset()})
        assert isinstance(judge(workload_csr("foo"), mesh=unreadable), Issue)

    def test_a_cross_certificate(self) -> None:
        """A CA that is changed by a cross certificate works on when its own key is the root that workloads trust now."""
        own = authority("foo")
        crossed = replace(ready(FOO), authority=replace(own, root_key_id="the root of before"))
        mesh = world(bindings=OWNED, roots={FOO: frozenset({own.key_id})})
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
        """A selfSigned issuer is no signer of the mesh."""
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


FOO_URI, BAR_URI = craft.uri(craft.FOO), craft.uri(craft.BAR)
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
    @pytest.mark.parametrize("signer", [FOO, BAR], ids=str)
    @pytest.mark.parametrize("name", ATTACKS)
    def test_attacks(self, name: str, signer: IssuerRef) -> None:
        """Whatever is not Istio's own form, byte for byte, is refused and named as that."""
        assert "UnexpectedContents" in codes(judge(ATTACKS[name], signer))

    def test_two_defects_two_reasons(self) -> None:
        """A wrong requester is told beside wrong contents."""
        assert codes(judge(ATTACKS["two URIs"], username="jane")) == ["UnexpectedContents", "RequesterNotAllowed"]

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


class TestIstiodsCertificate:
    @pytest.mark.parametrize(
        "names",
        [
            ("httpbin.foo.svc",),
            ("istiod.foo.svc",),
            ("istiod.istio-system.svc", "httpbin.foo.svc"),
            ("istiod-canary.istio-system.svc",),
            ("*.istio-system.svc",),
            ("istiod.istio-system.svc.cluster.local",),
        ],
        ids=str,
    )
    def test_names(self, names: tuple[str, ...]) -> None:
        """Istiod has its own Services' names only."""
        assert codes(judge(dns_request(*names), DEFAULT, usages=USAGES[:3])) == ["DNSNameNotAllowed"]

    def test_a_known_revision_and_a_list(self) -> None:
        """Revisions that exist have their names too, and what the operator lists."""
        mesh = world(settings=Settings(istiod_dns_names=frozenset({"istiod.example.com"})))
        mesh.config = replace(mesh.config, revisions=frozenset({"canary"}))
        asked = dns_request("istiod-canary.istio-system.svc", "istiod.example.com")
        assert isinstance(judge(asked, DEFAULT, usages=USAGES[:3], mesh=mesh), Issue)

    def test_client_auth(self) -> None:
        """It is for serving."""
        assert codes(judge(dns_request(*ISTIOD_DNS), DEFAULT)) == ["UsagesNotAllowed"]

    def test_another_signer(self) -> None:
        """It comes from the signer that is granted to Istio's namespace."""
        assert codes(judge(dns_request(*ISTIOD_DNS), FOO, usages=USAGES[:3])) == ["TenantMismatch"]

    def test_a_uri_beside(self) -> None:
        """DNS names and a SPIFFE ID in one request are nobody's form."""
        both = craft.san(*[craft.dns(name) for name in ISTIOD_DNS], FOO_URI)
        csr = Csr(attributes=[craft.ext_request(both)]).pem()
        assert codes(judge(csr, DEFAULT, usages=USAGES[:3])) == ["UnexpectedContents"]

    def test_another_form(self) -> None:
        """The byte rule is istiod's too."""
        san = craft.san(*[craft.dns(name) for name in ISTIOD_DNS])
        csr = Csr(attributes=[craft.ext_request(san, craft.extension(craft.KU, craft.tlv(3, b"\x05\xa0")))]).pem()
        assert codes(judge(csr, DEFAULT, usages=USAGES[:3])) == ["UnexpectedContents"]


class TestPolicy:
    def mesh(self, *more: Policy, **limits: Any) -> World:
        own = Policy("tenant-foo", frozenset({FOO}), namespaces=frozenset({"foo", "shop"}), **limits)
        return world(policies=(own, *more))

    def test_istiods_own_is_not_too_short(self) -> None:
        """A policy of seconds for Istio's namespace gives istiod ten minutes, or it would renew without end."""
        short = Policy(
            "p", frozenset({DEFAULT}), namespaces=frozenset({"istio-system"}), max_lifetime=timedelta(minutes=1)
        )
        verdict = judge(dns_request(*ISTIOD_DNS), DEFAULT, usages=USAGES[:3], mesh=world(policies=(short,)))
        assert certificate(verdict).not_valid_after_utc == NOW + timedelta(minutes=10)

    def test_several_namespaces(self) -> None:
        """One policy gives a signer to several namespaces of a tenant, and to no other."""
        assert isinstance(judge(workload_csr("shop"), mesh=self.mesh()), Issue)
        assert codes(judge(workload_csr("bar"), mesh=self.mesh())) == ["TenantMismatch"]

    @pytest.mark.parametrize(
        ("limits", "code"),
        [
            ({"service_accounts": frozenset({"web"})}, "ServiceAccountNotAllowed"),
            ({"trust_domains": frozenset({"other.example"})}, "TrustDomainMismatch"),
            ({"keys": (KeyRule("RSA", 3072),)}, "KeyNotAllowed"),
            ({"requesters": frozenset({"system:serviceaccount:istio-system:istiod-x"})}, "RequesterNotAllowed"),
        ],
    )
    def test_limits(self, limits: Mapping[str, Any], code: str) -> None:
        """Each limit of a policy refuses with a reason of its own."""
        assert codes(judge(workload_csr("foo"), mesh=self.mesh(**limits))) == [code]

    def test_all_reasons(self) -> None:
        """All that is wrong is told at once."""
        mesh = self.mesh(service_accounts=frozenset({"web"}), keys=(KeyRule("RSA", 3072),))
        assert codes(judge(workload_csr("foo"), mesh=mesh)) == ["ServiceAccountNotAllowed", "KeyNotAllowed"]

    def test_one_is_enough(self) -> None:
        """Of several policies that cover a namespace one that allows the request is enough."""
        wider = Policy("wider", frozenset({FOO}), namespaces=frozenset({"foo"}))
        assert isinstance(judge(workload_csr("foo"), mesh=self.mesh(wider, service_accounts=frozenset({"web"}))), Issue)

    def test_lifetime_usages_root(self) -> None:
        """A policy shortens or lengthens lifetimes, narrows usages, and may append the root."""
        short = judge(workload_csr("foo"), mesh=self.mesh(max_lifetime=timedelta(minutes=2)))
        assert certificate(short).not_valid_after_utc == NOW + timedelta(minutes=2)
        long = judge(workload_csr("foo"), mesh=self.mesh(max_lifetime=timedelta(days=3)), expiration=7 * 86400)
        assert certificate(long).not_valid_after_utc == NOW + timedelta(days=3)
        narrow = self.mesh(usages=frozenset({"digital signature", "server auth"}), append_root=True)
        verdict = judge(workload_csr("foo"), mesh=narrow)
        assert isinstance(verdict, Issue)
        usage = certificate(verdict).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
        assert issue(request(), verdict, serial=7).pem.endswith(ca("foo").pem)


class TestModes:
    UNTIL = NOW + timedelta(days=1)

    def test_audit(self) -> None:
        """In audit mode the thief gets his certificate, and what would have been said goes along."""
        mesh = world(bindings=OWNED, settings=Settings(mode="audit", audit_until=self.UNTIL))
        verdict = judge(workload_csr("bar"), mesh=mesh)
        assert isinstance(verdict, Issue)
        assert [reason.code for reason in verdict.would_refuse] == ["TenantMismatch"]
        honest = judge(workload_csr("foo"), mesh=mesh)
        assert isinstance(honest, Issue)
        assert (honest.mesh, honest.would_refuse) == (True, ())

    def test_audit_ends(self) -> None:
        """Audit mode that was left on enforces after its end."""
        mesh = world(bindings=OWNED, settings=Settings(mode="audit", audit_until=self.UNTIL))
        late = self.UNTIL
        assert codes(judge(workload_csr("bar"), mesh=mesh, now=late)) == ["TenantMismatch"]

    def test_off(self) -> None:
        """Without the wall the theft works, as with every other signer."""
        verdict = judge(workload_csr("bar"), mesh=world(settings=Settings(mode="off")))
        assert isinstance(verdict, Issue)
        assert not verdict.mesh

    def test_unbound(self) -> None:
        """Other signers behave as cert-manager does, unless --unbound=deny."""
        asked = workload_csr("bar")
        assert isinstance(judge(asked, OTHER, username="jane"), Issue)
        denying = world(settings=Settings(unbound="deny"))
        assert codes(judge(asked, OTHER, username="jane", mesh=denying)) == ["UnboundSigner"]


def test_the_pem_of_the_attacks_is_what_it_says() -> None:
    """The attacks differ from the honest request in what they attack, not in being broken by accident."""
    assert base64.b64decode(b"".join(GOOD_BAR.splitlines()[1:-1])) == Csr(attributes=[OWN]).der()
    assert isinstance(judge(GOOD_BAR, BAR), Issue)
    assert datetime.fromtimestamp(NOW.timestamp(), UTC) == NOW
    assert ISTIOD == "system:serviceaccount:istio-system:istiod"
