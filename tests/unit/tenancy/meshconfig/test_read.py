"""The mesh config: what istiod reads from its ConfigMaps, taken together over revisions, whatever they hold."""

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from signer.api.issuer import IssuerRef
from signer.tenancy.meshconfig.read import read_mesh_config
from signer.tenancy.world import CertificateAuthorityEntry, MeshConfig, Settings
from tests.unit.api.test_proxyconfig import JSON

DOMAIN = "clusterissuers.cert-manager.io"
FOO, BAR = (IssuerRef("ClusterIssuer", "", name) for name in ("foo", "bar"))
SETTINGS = Settings()

TASK = f"""
accessLogFile: /dev/stdout
rootNamespace: istio-system
trustDomain: cluster.local
trustDomainAliases: [old.example]
defaultConfig:
  discoveryAddress: istiod.istio-system.svc:15012
  proxyMetadata:
    ISTIO_META_CERT_SIGNER: foo
caCertificates:
- pem: |
    -----BEGIN CERTIFICATE-----
    AAAA
    -----END CERTIFICATE-----
  certSigners:
  - {DOMAIN}/bar
  - {DOMAIN}/foo
- pem: another
  certSigners: [example.com/other]
"""


def read(*, shared: str = "", settings: Settings = SETTINGS, **texts: Any) -> MeshConfig:
    """Read mesh configs, given as text or as values, by their ConfigMaps' names with _ for -."""
    config_maps = {
        name.replace("_", "-"): {"mesh": text if isinstance(text, str) else yaml.safe_dump(text)}
        for name, text in texts.items()
    }
    return read_mesh_config(config_maps, settings, shared=shared)


def signers(*names: str) -> dict[str, Any]:
    return {"caCertificates": [{"pem": "x", "certSigners": [f"{DOMAIN}/{name}" for name in names]}]}


def default(signer: Any) -> dict[str, Any]:
    return {"defaultConfig": {"proxyMetadata": {"ISTIO_META_CERT_SIGNER": signer}}}


class TestOne:
    def test_the_tasks_own(self) -> None:
        """Everything that the wall needs of the Istio task's mesh config; other domains' signers are not ours."""
        pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
        assert read(istio=TASK) == MeshConfig(
            trust_domains=frozenset({"cluster.local"}),
            root_namespace="istio-system",
            defaults=frozenset({FOO}),
            open_default=False,
            signers=frozenset({FOO, BAR}),
            authorities=(
                CertificateAuthorityEntry(pem, frozenset({FOO, BAR})),
                CertificateAuthorityEntry("another", frozenset()),
            ),
        )

    def test_aliases_are_no_trust_domains(self) -> None:
        """An alias is for reading old identities, never for new ones."""
        assert read(istio={"trustDomain": "a", "trustDomainAliases": ["b"]}).trust_domains == {"a"}

    @pytest.mark.parametrize("text", ["", "{}", "# nothing", "enableTracing: false", "trustDomain: null"])
    def test_istios_defaults(self, text: str) -> None:
        """What is not said is Istio's default."""
        assert read(istio=text) == MeshConfig()

    def test_no_mesh_config(self) -> None:
        """Without any ConfigMap nothing is granted by it, and its root namespace is Istio's own."""
        settings = Settings(istio_namespace="mesh")
        assert read_mesh_config({}, settings) == MeshConfig(root_namespace="mesh")

    def test_names_of_protocol_buffers(self) -> None:
        """Istio reads trust_domain as well as trustDomain; so do we."""
        text = {
            "trust_domain": "a",
            "root_namespace": "r",
            "ca_certificates": [{"pem": "x", "cert_signers": [f"{DOMAIN}/foo"]}],
        }
        found = read(istio=text)
        assert found.trust_domains == {"a"}
        assert found.root_namespace == "r"
        assert found.signers == {FOO}

    def test_aliases_and_merges_of_yaml(self) -> None:
        """Anchors, aliases and merge keys in a moderate number are read, as istiod reads them."""
        text = f"x: &x [{DOMAIN}/foo]\nb: &b {{certSigners: *x}}\ncaCertificates:\n- {{<<: *b, pem: p}}\n"
        found = read(istio=text)
        assert found.signers == {FOO}
        assert found.problems == ()

    def test_signer_domain(self) -> None:
        """The default signer is in istiod's CERT_SIGNER_DOMAIN."""
        settings = Settings(signer_domain="issuers.cert-manager.io")
        assert read(settings=settings, istio=default("shop.ca")).defaults == {IssuerRef("Issuer", "shop", "ca")}
        assert read(settings=Settings(signer_domain="example.com"), istio=default("foo")).defaults == frozenset()


class TestSeveral:
    def test_revisions(self) -> None:
        """All revisions are taken together, by the names behind `istio-`."""
        found = read(
            istio=signers("foo"), istio_canary={"trustDomain": "b"} | signers("bar"), istio_1_28=default("foo")
        )
        assert found.revisions == {"canary", "1-28"}
        assert found.signers == {FOO, BAR}
        assert found.defaults == {FOO}
        assert found.trust_domains == {"cluster.local", "b"}

    def test_others_are_no_revisions(self) -> None:
        """Istio's other ConfigMaps have no key `mesh`, and other names are nobody's."""
        config_maps = {
            "istio": {"mesh": "", "meshNetworks": ""},
            "istio-sidecar-injector": {"config": "a: 1", "values": "{}"},
            "istio-ca-root-cert": {"root-cert.pem": ""},
            "istiod-x": {"mesh": "trustDomain: evil"},
            "mine": {"mesh": "trustDomain: evil"},
            "istio-a.b": {"mesh": "trustDomain: evil"},
            "istio-": {"mesh": "trustDomain: evil"},
        }
        assert read_mesh_config(config_maps, SETTINGS) == MeshConfig()

    def test_shared(self) -> None:
        """The shared mesh config is the base of every revision, replaced field by field, and is not a revision."""
        shared = {"trustDomain": "shared", "rootNamespace": "root"} | default("foo") | signers("foo")
        found = read(shared="istio-shared", istio_shared=shared, istio={"trustDomain": "own"}, istio_b=default("bar"))
        assert found.trust_domains == {"own", "shared"}
        assert found.root_namespace == "root"
        assert found.defaults == {FOO, BAR}
        assert found.signers == {FOO}
        assert found.revisions == {"b"}

    def test_shared_alone(self) -> None:
        """The shared mesh config counts before any revision is there."""
        assert read(shared="all", all={"trustDomain": "a"} | signers("foo")).trust_domains == {"a"}

    def test_shared_by_another_name_is_nobody(self) -> None:
        """A ConfigMap is the shared one only by the setting."""
        assert read(all=signers("foo")) == MeshConfig()

    def test_two_roots(self) -> None:
        """One root namespace counts; that revisions disagree is told."""
        found = read(istio={"rootNamespace": "a"}, istio_b={"rootNamespace": "b"})
        assert found.root_namespace == "a"
        assert found.problems == ("rootNamespace: the revisions istio, istio-b disagree (a, b); a counts",)


class TestHostile:
    @pytest.mark.parametrize(
        ("document", "field"),
        [
            ({"trustDomain": "Cluster.Local"}, "mesh.trustDomain: 'Cluster.Local'"),
            ({"trustDomain": ""}, "mesh.trustDomain"),
            ({"trustDomain": 7}, "mesh.trustDomain"),
            ({"trustDomain": "a/ns/b"}, "mesh.trustDomain"),
            ({"rootNamespace": "*"}, "mesh.rootNamespace"),
            ({"rootNamespace": ["a"]}, "mesh.rootNamespace"),
            ({"defaultConfig": "x"}, "mesh.defaultConfig:"),
            ({"defaultConfig": {"proxyMetadata": []}}, "mesh.defaultConfig.proxyMetadata:"),
            (default("Foo"), "mesh.defaultConfig.proxyMetadata.ISTIO_META_CERT_SIGNER"),
            (default(7), "mesh.defaultConfig.proxyMetadata.ISTIO_META_CERT_SIGNER"),
            ({"caCertificates": {"pem": "x"}}, "mesh.caCertificates:"),
            ({"caCertificates": ["x"]}, "mesh.caCertificates[0]:"),
            ({"caCertificates": [{"pem": 7}]}, "mesh.caCertificates[0].pem"),
            ({"caCertificates": [{"pem": "x" * 65537}]}, "mesh.caCertificates[0].pem"),
            ({"caCertificates": [{"certSigners": "x"}]}, "mesh.caCertificates[0].certSigners:"),
            (signers("bar", "Foo"), "mesh.caCertificates[0].certSigners[1]"),
            ({"caCertificates": [{"certSigners": [7]}]}, "mesh.caCertificates[0].certSigners[0]"),
            (
                {"caCertificates": [{"certSigners": ["pay"]}]},
                "mesh.caCertificates[0].certSigners[0]: 'pay' has no domain",
            ),
            ({"caCertificates": [{"cert_signers": [""]}]}, "mesh.caCertificates[0].certSigners[0]: '' has no domain"),
            (
                {"caCertificates": [{"certSigners": ["clusterissuer.cert-manager.io/pay"]}]},
                "mesh.caCertificates[0].certSigners[0]: 'clusterissuer.cert-manager.io/pay' names no signer of ours: is the domain",
            ),
            (
                {"caCertificates": [{"pem": "x", "certSigner": ["pay"]}]},
                "mesh.caCertificates[0].'certSigner': there is no such field, so it says nothing: is certSigners meant?",
            ),
            (
                {"caCertificates": [{"pem": "x", 7: "pay"}]},
                "mesh.caCertificates[0]: has a field whose name is not text",
            ),
            ({"caCertificate": []}, "mesh.'caCertificate': there is no such field: is caCertificates meant?"),
            ({"trustdomain": "x"}, "mesh.'trustdomain': there is no such field: is trustDomain meant?"),
            (
                {"defaultConfig": {"proxyMetaData": {}}},
                "mesh.defaultConfig.'proxyMetaData': there is no such field: is proxyMetadata meant?",
            ),
            (
                {"defaultConfig": {"proxyMetadata": {"ISTIO_META_CERTSIGNER": "x"}}},
                "mesh.defaultConfig.proxyMetadata.'ISTIO_META_CERTSIGNER': says nothing about signers: is ISTIO_META_CERT_SIGNER meant?",
            ),
        ],
    )
    def test_the_rest_counts(self, document: dict[str, Any], field: str) -> None:
        """A wrong field is told by ConfigMap and path, and everything else is read."""
        rest = {"caCertificates": []} | document
        if isinstance(rest["caCertificates"], list):
            rest["caCertificates"] = [*rest["caCertificates"], *signers("foo")["caCertificates"]]
        found = read(istio=rest)
        (problem,) = found.problems
        assert problem.startswith(f"ConfigMap istio-system/istio: {field}")
        assert len(problem) < 300
        if isinstance(rest["caCertificates"], list):
            assert FOO in found.signers

    @pytest.mark.parametrize("domain", [7, "", "UPPER", "a..b", ["a"]])
    def test_a_wrong_trust_domain_is_none(self, domain: Any) -> None:
        """A trust domain that cannot be read never becomes the default: nobody is issued an identity in it."""
        assert read(istio={"trustDomain": domain}).trust_domains == frozenset()
        shared = read(shared="all", all={"trustDomain": "a"}, istio={"trustDomain": domain}, istio_b={})
        assert shared.trust_domains == {"a"}

    @pytest.mark.parametrize(
        "text",
        [
            "[a",
            "- a",
            "text",
            "a: b: c",
            "a\n---\nb",
            "\x00",
            "? [a]\n: b",
            "!!python/object/apply:os.system [x]",
            "a: &a [*a]",
            "a: *nobody",
            "[" * 100_000,
            "{a: " * 100_000,
            "x" * (1 << 20) + "x",
            "- " * 65,
            "\ud800",
        ],
        ids=lambda text: ascii(text[:16]),
    )
    def test_no_mesh_config(self, text: str) -> None:
        """What is not valid YAML mapping is a problem, and says nothing; the other revisions count."""
        found = read(istio=text, istio_b={"trustDomain": "b"} | signers("foo"))
        assert found.problems[0].startswith("ConfigMap istio-system/istio: mesh: ")
        assert len(found.problems[0]) < 400
        assert found.trust_domains == {"b"}
        assert found.signers == {FOO}

    @pytest.mark.parametrize("merge", ["<<: ", "y: "])
    def test_a_bomb(self, merge: str) -> None:
        """Aliases of aliases, which written out would be gigabytes, are counted and refused, not followed."""
        lines = ["a0: &a0 {x: 1}"]
        lines += [f"a{n}: &a{n} {{{merge}[{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 12)]
        (problem,) = read(istio="\n".join(lines)).problems
        assert "has more than 50000 values" in problem

    @pytest.mark.heavy
    @pytest.mark.parametrize(
        "number", [":".join("1" * 300_000), "9" * 1_000_000, "1" * 5_000 + ".5e9", "0b" + "1" * 900_000]
    )
    def test_a_number_that_takes_for_ever(self, number: str) -> None:
        """Numbers are never built: no text is one, however long."""
        assert read(istio=f"x: {number}\ntrustDomain: a").trust_domains == {"a"}
        assert read(istio=f"trustDomain: {number}").trust_domains == frozenset()

    def test_many_problems(self) -> None:
        """Ten thousand bad entries make a few lines."""
        found = read(istio={"caCertificates": ["x"] * 10_000})
        assert len(found.problems) == 11

    @given(st.text(alphabet="abc{}[]:,-&*!|>?'\"\n #%<~0179\t", max_size=60))
    def test_any_text(self, text: str) -> None:
        """Reading never fails, and no text that is not a signer's name makes a mesh signer."""
        found = read(istio=text)
        assert (found.signers, found.defaults) == (frozenset(), frozenset())

    @given(
        st.dictionaries(st.sampled_from(["trustDomain", "rootNamespace", "defaultConfig", "caCertificates", "x"]), JSON)
    )
    def test_any_values(self, document: dict[str, Any]) -> None:
        """Whatever stands in the fields, each is read or told."""
        found = read(istio=yaml.safe_dump(document))
        assert isinstance(found, MeshConfig)
        assert found.root_namespace


@pytest.mark.parametrize(
    "entry",
    [
        {"pem": "x", "certSigners": [f"{DOMAIN}/foo"], "trustDomains": ["a"]},
        {"pem": "x", "cert_signers": [f"{DOMAIN}/foo"], "trust_domains": ["a"]},
        {"spiffeBundleUrl": "https://x", "certSigners": ["example.com/foo"]},
        {"spiffe_bundle_url": "https://x"},
    ],
)
def test_entries_in_order(entry: dict[str, Any]) -> None:
    """Every field that Istio has, in both spellings, and signers of others, are no problem."""
    fields = {"trustDomain": "a", "trustDomainAliases": ["b"], "defaultProviders": {}, "defaultHttpRetryPolicy": {}}
    found = read_mesh_config({"istio": {"mesh": json.dumps(fields | {"caCertificates": [entry]})}}, Settings())
    assert found.problems == ()


def test_a_name_without_its_domain() -> None:
    """A signer's name alone makes nobody a signer of the mesh, and is kept so that the refusal can say it."""
    found = read_mesh_config(
        {"istio": {"mesh": json.dumps({"caCertificates": [{"certSigners": ["pay"]}]})}}, Settings()
    )
    assert (found.signers, found.bare) == (frozenset(), frozenset({"pay"}))


def test_an_entry_without_a_root() -> None:
    """Signers of ours beside no root are told of: istiod refuses what they sign. One with a URL has its roots from there."""
    signers = ["clusterissuers.cert-manager.io/foo"]
    (problem,) = read(istio={"caCertificates": [{"certSigners": signers}]}).problems
    assert "caCertificates[0]: has no pem" in problem
    assert read(istio={"caCertificates": [{"certSigners": signers, "spiffeBundleUrl": "https://x"}]}).problems == ()
    assert read(istio={"caCertificates": [{"certSigners": ["example.com/x"]}]}).problems == ()
