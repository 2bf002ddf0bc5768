"""The mesh's requests, decided and signed: the honest ones, istiod's own certificate, policies and modes."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from issuers.istio_request import EMPTY_ORGANIZATION
from signer.csr.answers.compose import issue
from signer.csr.outcome import Issue
from signer.tenancy.verdict import Bind
from signer.tenancy.world import KeyRule, Policy, Settings, World
from tests.pki import key, workload_csr
from tests.unit.csr.crafted import FOO, NOW, USAGES, authority, ca, request
from tests.unit.csr.mesh_cases import FOO_URI, OWNED, certificate, codes, judge
from tests.unit.tenancy.worlds import DEFAULT, OTHER, world
from tests.vectors import craft
from tests.vectors.craft import Csr

CLIENTS = Path(__file__).parents[2] / "vectors" / "clients"
ISTIOD_DNS = ("istio-pilot.istio-system.svc", "istiod-remote.istio-system.svc", "istiod.istio-system.svc")


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

    @pytest.mark.parametrize("version", ["1.27", "1.28"])
    def test_ztunnels_own_bytes(self, version: str) -> None:
        """What rcgen writes for ztunnel is taken, by its exact bytes: since 1.28 with its name critical, before without."""
        leaf = certificate(judge((CLIENTS / f"ztunnel-{version}.pem").read_bytes()))
        san = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        assert san.critical
        assert list(san.value) == [x509.UniformResourceIdentifier("spiffe://cluster.local/ns/foo/sa/default")]

    @pytest.mark.parametrize("subject", [craft.seq(), EMPTY_ORGANIZATION])
    def test_not_critical(self, subject: bytes) -> None:
        """Without the mark only ztunnel's form is known: an agent's, with its subject, is not one that anybody writes."""
        name = craft.san(craft.uri(craft.FOO), critical=b"")
        verdict = judge(Csr(subject=subject, attributes=[craft.ext_request(name)]).pem())
        assert isinstance(verdict, Issue) == (subject == craft.seq())

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
        assert [reason.code for reason in verdict.grant.would_refuse] == ["TenantMismatch"]
        honest = judge(workload_csr("foo"), mesh=mesh)
        assert isinstance(honest, Issue)
        assert (honest.grant.mesh, honest.grant.would_refuse) == (True, ())

    def test_audit_ends(self) -> None:
        """Audit mode that was left on enforces after its end."""
        mesh = world(bindings=OWNED, settings=Settings(mode="audit", audit_until=self.UNTIL))
        late = self.UNTIL
        assert codes(judge(workload_csr("bar"), mesh=mesh, now=late)) == ["TenantMismatch"]

    def test_off(self) -> None:
        """Without the wall the theft works, as with every other signer."""
        verdict = judge(workload_csr("bar"), mesh=world(settings=Settings(mode="off")))
        assert isinstance(verdict, Issue)
        assert not verdict.grant.mesh

    def test_unbound(self) -> None:
        """Other signers behave as cert-manager does, unless --unbound=deny."""
        asked = workload_csr("bar")
        assert isinstance(judge(asked, OTHER, username="jane"), Issue)
        denying = world(settings=Settings(unbound="deny"))
        assert codes(judge(asked, OTHER, username="jane", mesh=denying)) == ["UnboundSigner"]
