"""What Gateways and Ingresses want: one certificate for each Secret that they name."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.certificate import IssuerReference
from signer.api.gateway import Gateway
from signer.edge.credential_name import NOT_OURS
from signer.edge.gateways.budget import Budget, read_hosts
from signer.edge.gateways.opt_in import effort_of_a_look, misspelt, options_of, wanted_issuer
from signer.edge.gateways.read import api_gateway_wishes, gateway_wishes, ingress_wishes, merge
from signer.edge.gateways.wish import Wishes
from signer.tenancy.verdict import Reason
from tests.unit.edge.objects import LE, api_gateway, gateway, http, https, ingress, listener, meta


def wanted(found: Wishes) -> dict[str, list[str]]:
    return {wish.secret_name: [str(host) for host in wish.hosts] for wish in found.certificates}


def codes(found: Wishes) -> list[str]:
    return [passed.reason.code for passed in found.passed]


class TestIstioGateway:
    def test_as_guides_write_it(self) -> None:
        """A Gateway with 443 and a redirecting 80 wants one certificate for its host."""
        found = gateway_wishes(
            gateway(https("application.sample.com", credential="app"), http("application.sample.com", redirect=True)),
            LE,
        )
        assert wanted(found) == {"app": ["application.sample.com"]}
        assert found.passed == ()
        (wish,) = found.certificates
        assert (wish.issuer, wish.key_algorithm) == (LE, "")
        assert str(wish.sources[0]) == "Gateway foo/shop"

    def test_many_hosts_and_servers(self) -> None:
        """Each credentialName has its own certificate; servers that share a name share one, with all their hosts."""
        found = gateway_wishes(
            gateway(
                https("a.example.com", "b.example.com", credential="one"),
                https("c.example.com", credential="two"),
                https("d.example.com", "a.example.com", credential="one", port=8443),
            ),
            LE,
        )
        assert wanted(found) == {"one": ["a.example.com", "b.example.com", "d.example.com"], "two": ["c.example.com"]}

    @pytest.mark.parametrize("text", ["bar/a.example.com", "./a.example.com", "*/a.example.com", "A.example.com"])
    def test_namespaces_of_hosts(self, text: str) -> None:
        """What stands before the slash says who may attach routes; the certificate is for the host alone."""
        assert wanted(gateway_wishes(gateway(https(text)), LE)) == {"tls": ["a.example.com"]}

    def test_wildcards(self) -> None:
        """A wildcard is wanted as it is, and is known to need DNS-01; the names beside it stay in the certificate."""
        found = gateway_wishes(gateway(https("*.example.com", "example.com")), LE)
        (wish,) = found.certificates
        assert [str(host) for host in wish.hosts] == ["example.com", "*.example.com"]

    def test_every_host(self) -> None:
        """The host * is narrowed by the hosts of the VirtualServices on the Gateway."""
        texts = ["a.example.com", "a.example.com", "*", "b.example.com", "c.foo.svc"]
        found = gateway_wishes(gateway(https("*")), LE, attached=read_hosts(texts, Budget()))
        assert wanted(found) == {"tls": ["a.example.com", "b.example.com"]}
        assert codes(found) == ["InvalidHost"]

    @pytest.mark.parametrize("text", ["*", "foo/*", "./*"])
    def test_no_host(self, text: str) -> None:
        """Without any host there is nothing to certify, and the user is told to name some."""
        found = gateway_wishes(gateway(https(text)), LE)
        assert (found.certificates, codes(found)) == ((), ["NoHost"])
        assert "name the hosts" in found.passed[0].reason.message

    def test_a_bad_host_does_not_keep_the_rest(self) -> None:
        """The hosts that can be had are had."""
        found = gateway_wishes(gateway(https("a.example.com", "httpbin.foo.svc.cluster.local")), LE)
        assert wanted(found) == {"tls": ["a.example.com"]}
        assert [(one.field, one.reason.code) for one in found.passed] == [("spec.servers[0].hosts[1]", "InvalidHost")]

    @pytest.mark.parametrize(
        "credential",
        ["builtin://", "configmap://ca", "sds://secret", "file://a", "kubernetes-gateway://foo/a", "invalid://"],
    )
    def test_other_sources_of_certificates(self, credential: str) -> None:
        """What the proxy gets from elsewhere is not ours, and nothing is wrong with it."""
        found = gateway_wishes(gateway(https("a.example.com", credential=credential)), LE)
        assert (found.certificates, codes(found)) == ((), [NOT_OURS])
        assert found.passed[0].harmless

    def test_its_own_scheme(self) -> None:
        """kubernetes:// is the scheme that a plain name has."""
        assert wanted(gateway_wishes(gateway(https("a.example.com", credential="kubernetes://a")), LE)) == {
            "a": ["a.example.com"]
        }

    def test_files(self) -> None:
        """Certificates mounted as files are not ours."""
        server = https("a.example.com", credential="", serverCertificate="/etc/a.crt", privateKey="/etc/a.key")
        found = gateway_wishes(gateway(server), LE)
        assert (found.certificates, codes(found), found.passed[0].harmless) == ((), ["FileMounted"], True)

    @pytest.mark.parametrize(
        ("mode", "has"),
        [
            ("SIMPLE", True),
            ("MUTUAL", True),
            ("OPTIONAL_MUTUAL", True),
            (None, True),
            ("PASSTHROUGH", False),
            ("AUTO_PASSTHROUGH", False),
            ("ISTIO_MUTUAL", False),
        ],
    )
    def test_modes(self, mode: str | None, has: bool) -> None:
        """Only where the gateway itself shows a certificate to the world is one wanted."""
        found = gateway_wishes(gateway(https("a.example.com", mode=mode)), LE)
        assert bool(found.certificates) == has

    def test_two_certificates_for_one_server(self) -> None:
        """CredentialNames has a name for an ECDSA and one for an RSA certificate of the same hosts."""
        found = gateway_wishes(gateway(https("a.example.com", credential=["ec", "rsa"])), LE)
        assert wanted(found) == {"ec": ["a.example.com"], "rsa": ["a.example.com"]}
        assert {wish.secret_name: wish.key_algorithm for wish in found.certificates} == {"ec": "ECDSA", "rsa": "RSA"}

    def test_a_namespace_before_the_name(self) -> None:
        """`namespace/name` is the Secret of that name there; two servers may say it differently, but not of two places."""
        servers = [https("a.example.com", credential="own"), https("b.example.com", credential="foo/own")]
        (wish,) = gateway_wishes(gateway(*servers), LE).certificates
        assert (wish.secret_name, wish.secret_namespace, len(wish.hosts)) == ("own", "foo", 2)
        found = gateway_wishes(gateway(*servers, https("c.example.com", credential="bar/own")), LE)
        assert wanted(found) == {"own": ["a.example.com", "b.example.com"]}
        assert codes(found) == ["SecretConflict"]
        third = gateway_wishes(gateway(https("c.example.com", credential="bar/own"), name="other"), LE)
        (joined,), ((refused, why),) = merge([wish, *third.certificates])
        assert [joined, refused] in ([wish, *third.certificates], [*third.certificates, wish])
        assert why.code == "SecretConflict"

    @pytest.mark.parametrize(
        ("server", "code"),
        [
            (https("a.example.com", credential=["a", "b", "c"]), "TooManyCredentials"),
            (https("a.example.com", credential="a", credentialNames=["b"]), "TwoCredentials"),
            (https("a.example.com", credential="bar/a/b"), "InvalidSecretName"),
            (https("a.example.com", credential="kubernetes:///a"), "InvalidSecretName"),
            (https("a.example.com", credential="weird://a"), "InvalidSecretName"),
            (https("a.example.com", credential="A_B"), "InvalidSecretName"),
            (https("a.example.com", credential="../cacerts"), "InvalidSecretName"),
            (https("a.example.com") | {"port": {"number": 443, "protocol": "HTTP"}}, "NoTLS"),
            (https(*(f"h{n}.example.com" for n in range(101))), "TooManyHosts"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_what_cannot_be_had(self, server: Any, code: str) -> None:
        """What cannot be had is told with its reason, and keeps nothing else."""
        found = gateway_wishes(gateway(server, https("good.example.com", credential="good")), LE)
        assert wanted(found) == {"good": ["good.example.com"]}
        assert codes(found) == [code]
        assert not found.passed[0].harmless

    def test_one_secret_for_two_kinds_of_keys(self) -> None:
        """A Secret has one key: it cannot be both the ECDSA and the plain one."""
        found = gateway_wishes(
            gateway(https("a.example.com", credential=["x", "y"]), https("b.example.com", credential="x")), LE
        )
        assert wanted(found) == {"x": ["a.example.com"], "y": ["a.example.com"]}
        assert codes(found) == ["KeyConflict"]

    def test_an_unreadable_gateway(self) -> None:
        """A Gateway that cannot be read wants nothing, and says which field it is."""
        one = msgspec.convert({"metadata": meta("foo", "g"), "spec": {"servers": 7}}, Gateway)
        found = gateway_wishes(one, LE)
        assert (found.certificates, codes(found)) == ((), ["Unreadable"])
        assert found.passed[0].field == "spec.servers"

    @given(
        st.lists(
            st.fixed_dictionaries(
                {
                    "hosts": st.lists(st.text(alphabet="ab./*", max_size=8), max_size=3),
                    "port": st.fixed_dictionaries({"number": st.integers(), "protocol": st.text(max_size=5)}),
                    "tls": st.fixed_dictionaries(
                        {"mode": st.sampled_from(["", "SIMPLE", "x"]), "credentialName": st.text(max_size=5)}
                    ),
                }
            ),
            max_size=4,
        )
    )
    def test_never_fails(self, servers: list[Any]) -> None:
        """Whatever the servers say, what is wanted has hosts and a Secret's name that is not reserved."""
        for wish in gateway_wishes(gateway(*servers), LE).certificates:
            assert wish.hosts
            assert "/" not in wish.secret_name


class TestGatewayAPI:
    def test_listeners(self) -> None:
        """Each Secret of a listener is wanted for its hostname; listeners that share one share the certificate."""
        tls = {"mode": "Terminate", "certificateRefs": [{"name": "one"}]}
        found = api_gateway_wishes(
            api_gateway(
                listener("a", 443, "a.example.com", tls=tls),
                listener("b", 443, "b.example.com", tls={"certificateRefs": [{"name": "one", "kind": "Secret"}]}),
                listener("c", 443, "*.c.example.com", tls={"certificateRefs": [{"name": "two"}]}),
                listener("http", 80),
            ),
            LE,
        )
        assert wanted(found) == {"one": ["a.example.com", "b.example.com"], "two": ["*.c.example.com"]}
        assert found.passed == ()

    @pytest.mark.parametrize(
        ("one", "code"),
        [
            (listener("a", 443, "", tls={"certificateRefs": [{"name": "a"}]}), "NoHost"),
            (
                listener("a", 443, "a.example.com", tls={"certificateRefs": [{"name": "a", "namespace": "bar"}]}),
                "OtherNamespace",
            ),
            (
                listener("a", 443, "a.example.com", tls={"certificateRefs": [{"name": "a", "kind": "ConfigMap"}]}),
                NOT_OURS,
            ),
            (listener("a", 443, "a.example.com", tls={"certificateRefs": [{"name": "cacerts"}]}), "ReservedSecretName"),
            (
                listener("a", 443, "a.example.com", tls={"mode": "Passthrough", "certificateRefs": [{"name": "a"}]}),
                "NotTerminated",
            ),
            (listener("a", 443, "a", tls={"certificateRefs": [{"name": "a"}]}), "InvalidHost"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_what_cannot_be_had(self, one: Any, code: str) -> None:
        """What cannot be had is told with its reason."""
        found = api_gateway_wishes(api_gateway(one), LE)
        assert (found.certificates, codes(found)) == ((), [code])


class TestIngress:
    def test_hosts(self) -> None:
        """An entry of spec.tls has its own hosts, or those of the rules."""
        found = ingress_wishes(
            ingress(
                {"hosts": ["a.example.com"], "secretName": "one"},
                {"secretName": "istio-ingress-certs"},
                rules=("www.mydomain.com", "mobile.mydomain.com", ""),
            ),
            LE,
        )
        assert wanted(found) == {
            "istio-ingress-certs": ["mobile.mydomain.com", "www.mydomain.com"],
            "one": ["a.example.com"],
        }

    def test_what_is_missing(self) -> None:
        """An entry without a Secret, or without any host, is told of."""
        found = ingress_wishes(ingress({"hosts": ["a.example.com"]}, {"secretName": "a"}), LE)
        assert (found.certificates, codes(found)) == ((), ["NoSecret", "NoHost"])


class TestMerging:
    def test_two_gateways_of_one_namespace(self) -> None:
        """Two Gateways of a namespace that name one Secret have one certificate for the hosts of both."""
        first = gateway_wishes(gateway(https("a.example.com"), name="one"), LE)
        second = gateway_wishes(gateway(https("b.example.com"), name="two"), LE)
        joined, refused = merge([*second.certificates, *first.certificates])
        (wish,) = joined
        assert [str(host) for host in wish.hosts] == ["a.example.com", "b.example.com"]
        assert [source.name for source in wish.sources] == ["one", "two"]
        assert refused == ()

    def test_two_issuers(self) -> None:
        """One Secret cannot come from two issuers: the first in the order of names has it."""
        other = IssuerReference(name="staging", kind="ClusterIssuer")
        first = gateway_wishes(gateway(https("a.example.com"), name="one"), LE)
        second = gateway_wishes(gateway(https("b.example.com"), name="two"), other)
        joined, refused = merge([*second.certificates, *first.certificates])
        assert [wish.issuer for wish in joined] == [LE]
        assert [(wish.sources[0].name, why.code) for wish, why in refused] == [("two", "SecretConflict")]

    def test_too_many(self) -> None:
        """A joined certificate has no more hosts than one can have."""
        first = gateway_wishes(gateway(https("a.example.com"), name="one"), LE)
        second = gateway_wishes(gateway(https("b.example.com"), name="two"), LE)
        joined, refused = merge([*first.certificates, *second.certificates], max_names=1)
        assert len(joined) == 1
        assert [why.code for _, why in refused] == ["TooManyHosts"]


class TestOptIn:
    DEFAULT = IssuerReference(name="default", kind="ClusterIssuer")
    CLUSTER = "cert-manager.io/cluster-issuer"
    OWN = "cert-manager.io/issuer"

    @pytest.mark.parametrize(
        ("own", "namespace", "found"),
        [
            ({}, {}, "default"),
            ({CLUSTER: "a"}, {}, "a"),
            ({}, {CLUSTER: "a"}, "a"),
            ({CLUSTER: "a"}, {CLUSTER: "b"}, "a"),
            ({OWN: "a"}, {CLUSTER: "b"}, "a"),
            ({CLUSTER: ""}, {CLUSTER: "b"}, None),
            ({OWN: ""}, {}, None),
            ({CLUSTER: "", OWN: "a"}, {}, "a"),
        ],
    )
    def test_who_asked(self, own: dict[str, str], namespace: dict[str, str], found: str | None) -> None:
        """The object decides before its namespace, and that before the default; empty means no."""
        issuer = wanted_issuer(own, namespace, self.DEFAULT)
        assert not isinstance(issuer, Reason)
        assert (issuer.name if issuer else None) == found

    def test_nobody_asked(self) -> None:
        """Without annotation and default nothing is wanted."""
        assert wanted_issuer({}, {}, None) is None

    def test_kinds(self) -> None:
        """Issuer is an Issuer of the namespace unless its kind says otherwise."""
        assert wanted_issuer({self.OWN: "a"}, {}, None) == IssuerReference(
            name="a", kind="Issuer", group="cert-manager.io"
        )
        kind = {self.OWN: "a", "cert-manager.io/issuer-kind": "ClusterIssuer"}
        assert wanted_issuer(kind, {}, None) == IssuerReference(name="a", kind="ClusterIssuer", group="cert-manager.io")

    @pytest.mark.parametrize(
        ("annotations", "code"),
        [
            ({CLUSTER: "a", OWN: "b"}, "TwoIssuers"),
            ({OWN: "a", "cert-manager.io/issuer-group": "example.com"}, "ForeignIssuer"),
            ({OWN: "a", "cert-manager.io/issuer-kind": "Vault"}, "ForeignIssuer"),
        ],
    )
    def test_what_cannot_be_told(self, annotations: dict[str, str], code: str) -> None:
        """Two issuers, or one of another project, are told and nothing is guessed."""
        found = wanted_issuer(annotations, {}, self.DEFAULT)
        assert isinstance(found, Reason)
        assert found.code == code

    def test_options(self) -> None:
        """Annotations say more about the Certificate; overlong ones are not taken over."""
        assert options_of({"cert-manager.io/duration": "24h", "cert-manager.io/renew-before": "x" * 300, "a": "b"}) == {
            "duration": "24h"
        }


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("cert-manager.io/clusterissuer", "cert-manager.io/cluster-issuer"),
        ("cert-manager.io/ClusterIssuer", "cert-manager.io/cluster-issuer"),
        ("cert-manager.io/cluster_issuer", "cert-manager.io/cluster-issuer"),
        ("certmanager.k8s.io/cluster-issuer", "cert-manager.io/cluster-issuer"),
        ("certmanager.k8s.io/issuer", "cert-manager.io/issuer"),
        ("cert-manager.io/cluster-isuer", "cert-manager.io/cluster-issuer"),
        ("cert-manager.io/issuers", "cert-manager.io/issuer"),
        ("certmanager.io/issuer", "cert-manager.io/issuer"),
        ("cert-manager.io/issuerkind", "cert-manager.io/issuer-kind"),
    ],
)
def test_annotations_that_are_nearly_right(key: str, meant: str) -> None:
    """An annotation that asks for nothing, and nearly does, is told with the one that is meant, whatever else is set."""
    for others in ({}, {meant: "x"}):
        found = misspelt({key: "le"} | others, effort_of_a_look())
        assert found is not None
        assert (found.code, f"is {meant} meant?" in found.message) == ("MisspeltAnnotation", True)


@pytest.mark.parametrize(
    "key",
    [
        "cert-manager.io/cluster-issuer", "cert-manager.io/issuer", "cert-manager.io/issuer-kind", "cert-manager.io/issuer-group",
        "cert-manager.io/issuer-name", "cert-manager.io/common-name", "cert-manager.io/issue-temporary-certificate",
        "cert-manager.io/alt-names", "acme.cert-manager.io/http01-edit-in-place", "kubernetes.io/tls-acme", "issuer", "a" * 200,
    ],
)  # fmt: skip
def test_other_annotations(key: str) -> None:
    """What is right, and what is somebody else's, is no slip."""
    assert misspelt({key: "x"}, effort_of_a_look()) is None
