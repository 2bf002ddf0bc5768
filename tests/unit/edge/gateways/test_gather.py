"""What all objects of one namespace want together: who asked, what is joined, and which Pods serve it."""

from typing import Any

import msgspec
import pytest

from signer.api.virtualservice import VirtualService
from signer.edge.gateways.gather import Wanted, gather
from signer.kube.encoding.codec import JsonCodec
from tests.unit.edge.objects import LE, api_gateway, gateway, host, http, https, ingress, listener, meta

ASKED = {"cert-manager.io/cluster-issuer": "le"}


def route(name: str, *hosts: str, gateways: tuple[str, ...] = ("shop",), **metadata: Any) -> VirtualService:
    spec = {"hosts": list(hosts), "gateways": list(gateways), "http": []}
    return msgspec.convert({"metadata": meta("foo", name, **metadata), "spec": spec}, VirtualService)


def wanted(*objects: Any, routes: tuple[VirtualService, ...] = (), annotations: dict[str, str] | None = None) -> Wanted:
    return gather(objects, routes, ASKED if annotations is None else annotations, None)


def hosts(found: Wanted) -> dict[str, list[str]]:
    return {wish.secret_name: [str(one) for one in wish.hosts] for wish in found.wishes}


class TestWhoAsked:
    def test_nobody(self) -> None:
        """Without an annotation or a default nothing is wanted."""
        assert wanted(gateway(https("a.example.com")), annotations={}) == Wanted((), (), {}, unsure=False)

    def test_the_default(self) -> None:
        """With a default issuer everybody has asked, but for who says no."""
        no = gateway(https("b.example.com", credential="b"), name="no", annotations={"cert-manager.io/issuer": ""})
        found = gather([gateway(https("a.example.com")), no], (), {}, LE)
        assert hosts(found) == {"tls": ["a.example.com"]}
        assert found.wishes[0].issuer == LE

    def test_two_issuers(self) -> None:
        """An object that names two issuers is told so; what was made for it stays meanwhile, and the others are served."""
        both = {"cert-manager.io/cluster-issuer": "a", "cert-manager.io/issuer": "b"}
        found = wanted(gateway(https("a.example.com"), annotations=both), gateway(https("b.example.com"), name="other"))
        assert [passed.reason.code for _, passed in found.passed] == ["TwoIssuers"]
        assert found.unsure
        assert hosts(found) == {"tls": ["b.example.com"]}

    def test_gone_or_of_another_class(self) -> None:
        """What is being deleted wants nothing any more, nor does an Ingress of another class."""
        going = msgspec.structs.replace(
            gateway(https("a.example.com")),
            metadata=msgspec.convert(meta("foo", "shop", deletionTimestamp="x"), type_()),
        )
        other = ingress({"secretName": "tls", "hosts": ["a.example.com"]}, class_name="nginx")
        assert wanted(going, other).wishes == ()


def type_() -> type[Any]:
    found: type[Any] = type(gateway().metadata)
    return found


class TestJoined:
    def test_by_secret(self) -> None:
        """Two Gateways that name one Secret share a certificate; a conflict is told to the second, by its object."""
        one, two = gateway(https("a.example.com"), name="one"), gateway(https("b.example.com"), name="two")
        other = gateway(https("c.example.com"), name="zwei", annotations={"cert-manager.io/cluster-issuer": "other"})
        found = wanted(other, two, one)
        assert hosts(found) == {"tls": ["a.example.com", "b.example.com"]}
        assert [(source.name, passed.reason.code) for source, passed in found.passed] == [("zwei", "SecretConflict")]
        assert not found.unsure

    def test_all_kinds(self) -> None:
        """Istio's Gateways, the Gateway API's and Ingresses are read alike."""
        ref = {"certificateRefs": [{"name": "api"}]}
        found = wanted(
            gateway(https("a.example.com")),
            api_gateway(listener("https", 443, "b.example.com", tls=ref)),
            ingress({"secretName": "ingress", "hosts": ["c.example.com"]}),
        )
        assert hosts(found) == {"api": ["b.example.com"], "ingress": ["c.example.com"], "tls": ["a.example.com"]}

    def test_unreadable(self) -> None:
        """An object that cannot be read is told, and nothing is taken away meanwhile."""
        broken = msgspec.structs.replace(gateway(), raw_spec={"servers": 7})
        found = wanted(broken, gateway(https("a.example.com"), name="other"))
        assert found.unsure
        assert [passed.reason.code for _, passed in found.passed] == ["Unreadable"]
        assert hosts(found) == {"tls": ["a.example.com"]}


class TestSelectors:
    def test_each_once(self) -> None:
        """A wish has the selectors of its objects, each once; a Gateway of the Gateway API has none: its Pods are its own."""
        found = wanted(gateway(https("a.example.com"), name="one"), gateway(https("b.example.com"), name="two"))
        assert found.selectors_of(found.wishes[0]) == ({"istio": "ingressgateway"},)
        ref = {"certificateRefs": [{"name": "tls"}]}
        found = wanted(gateway(https("a.example.com")), api_gateway(listener("l", 443, "b.example.com", tls=ref)))
        assert set(map(str, found.selectors_of(found.wishes[0]))) == {"None", "{'istio': 'ingressgateway'}"}

    def test_ingress(self) -> None:
        """An Ingress is served by Istio's own gateway."""
        found = wanted(ingress({"secretName": "tls", "hosts": ["a.example.com"]}))
        assert found.selectors_of(found.wishes[0]) == ({"istio": "ingressgateway"},)


class TestEveryHost:
    @pytest.mark.parametrize("named", ["shop", "foo/shop", "./shop"])
    def test_narrowed(self, named: str) -> None:
        """The host * is narrowed to the hosts of the VirtualServices on the Gateway, however they name it."""
        found = wanted(gateway(https("*")), routes=(route("a", "a.example.com", "*", gateways=(named, "mesh")),))
        assert found.wishes[0].hosts == (host("a.example.com"),)

    @pytest.mark.parametrize(
        "other",
        [
            route("a", "b.example.com", gateways=("mesh",)),
            route("a", "b.example.com", gateways=("bar/shop",)),
            route("a", "b.example.com", labels={"app.kubernetes.io/part-of": "mesh-signer"}),
        ],
    )
    def test_not_by_others(self, other: VirtualService) -> None:
        """Routes of the mesh, on other Gateways, and our own answers to challenges add no host."""
        found = wanted(gateway(https("*"), http("*")), routes=(other,))
        assert found.wishes == ()
        assert [passed.reason.code for _, passed in found.passed] == ["NoHost"]
        assert "of the Gateway's own namespace" in found.passed[0][1].reason.message


def too_large(obj: Any) -> Any:
    """The object as a watch shows it when it is too large: its name, and why there is no more."""
    found = JsonCodec(type(obj), largest=100).decode_event(
        msgspec.json.encode(
            {"type": "ADDED", "object": {"metadata": meta("foo", obj.metadata.name), "spec": "x" * 200}}
        )
    )
    return found.object


@pytest.mark.parametrize("made", [gateway, api_gateway, ingress])
@pytest.mark.parametrize("annotations", [ASKED, {}])
def test_what_is_too_large(made: Any, annotations: dict[str, str]) -> None:
    """Of an object that is too large to be read nobody knows what it wants: it is told, and what was made for it stays."""
    found = wanted(too_large(made()), annotations=annotations)
    assert [passed.reason.code for _, passed in found.passed] == ["TooLarge"]
    assert "make it smaller" in found.passed[0][1].reason.message
    assert found.unsure
    assert not found.wishes


def test_a_route_that_is_too_large() -> None:
    """Hosts that a route may have for a Gateway are not known: it is told, and what was made stays."""
    found = wanted(gateway(https("*")), routes=(too_large(route("r", "a.example.com")),))
    assert [
        (source.kind, passed.reason.code) for source, passed in found.passed if passed.reason.code == "TooLarge"
    ] == [("VirtualService", "TooLarge")]
    assert found.unsure


SUPPORTED = [
    "cert-manager.io/issuer",
    "cert-manager.io/cluster-issuer",
    "cert-manager.io/issuer-kind",
    "cert-manager.io/issuer-group",
    "cert-manager.io/common-name",
    "cert-manager.io/alt-names",
    "cert-manager.io/ip-sans",
    "cert-manager.io/uri-sans",
    "cert-manager.io/email-sans",
    "cert-manager.io/duration",
    "cert-manager.io/renew-before",
    "cert-manager.io/renew-before-percentage",
    "cert-manager.io/usages",
    "cert-manager.io/revision-history-limit",
    "cert-manager.io/private-key-algorithm",
    "cert-manager.io/private-key-encoding",
    "cert-manager.io/private-key-size",
    "cert-manager.io/private-key-rotation-policy",
    "cert-manager.io/subject-organizations",
    "cert-manager.io/subject-organizationalunits",
    "cert-manager.io/subject-countries",
    "cert-manager.io/subject-provinces",
    "cert-manager.io/subject-localities",
    "cert-manager.io/subject-postalcodes",
    "cert-manager.io/subject-streetaddresses",
    "cert-manager.io/subject-serialnumber",
    "cert-manager.io/secret-template",
    "cert-manager.io/issue-temporary-certificate",
    "cert-manager.io/ignore-tls-listeners",
    "acme.cert-manager.io/http01-edit-in-place",
    "acme.cert-manager.io/http01-ingress-class",
    "acme.cert-manager.io/http01-ingress-ingressclassname",
    "acme.cert-manager.io/http01-parentreffallback",
    "kubernetes.io/tls-acme",
]
"""What cert-manager takes on Gateways and Ingresses (https://cert-manager.io/docs/reference/annotations/)."""
VALUES = {
    "cert-manager.io/issuer-kind": "ClusterIssuer",
    "cert-manager.io/issuer-group": "cert-manager.io",
    "cert-manager.io/revision-history-limit": "3",
    "cert-manager.io/private-key-size": "2048",
    "cert-manager.io/private-key-algorithm": "RSA",
    "cert-manager.io/private-key-rotation-policy": "Never",
    "cert-manager.io/duration": "24h",
    "cert-manager.io/renew-before": "8h",
}


def told(annotations: dict[str, str]) -> tuple[Wanted, list[str]]:
    found = wanted(gateway(https("a.example.com"), annotations=annotations))
    return found, [f"{one.reason.code} {one.reason.message}" for _, one in found.passed]


class TestAnnotations:
    @pytest.mark.parametrize("key", SUPPORTED)
    def test_carried_out_or_told(self, key: str) -> None:
        """Each annotation that cert-manager knows changes what is wanted, or is told with its remedy; the certificate is made."""
        asked = {"cert-manager.io/issuer": "le"}
        value = VALUES.get(key, "b.example.com")
        before, _ = told(asked)
        after, said = told({key: value} if key == "cert-manager.io/cluster-issuer" else asked | {key: value})
        assert after.wishes
        if key in ("cert-manager.io/issuer", "cert-manager.io/issuer-group", "kubernetes.io/tls-acme"):
            assert not said, "it says what is asked for anyhow"
        elif said:
            assert said[0].startswith(f"AnnotationIgnored {key} is not carried out: ")
            assert after.wishes == before.wishes
            assert not any(one.harmless for _, one in after.passed)
        else:
            assert after.wishes != before.wishes

    @pytest.mark.parametrize(
        ("key", "value", "words"),
        [
            ("cert-manager.io/renewbefore", "8h", "is cert-manager.io/renew-before meant?"),
            ("cert-manager.io/revision-history-limits", "3", "is cert-manager.io/revision-history-limit meant?"),
            ("certmanager.k8s.io/common-name", "a.example.com", "is cert-manager.io/common-name meant?"),
            ("acme.cert-manager.io/http01-edit-inplace", "true", "is acme.cert-manager.io/http01-edit-in-place meant?"),
            ("cert-manager.io/private-key-size", "big", "'big', which is no number"),
            ("cert-manager.io/revision-history-limit", "-1", "'-1', which is no number"),
            ("cert-manager.io/common-name", "x" * 300, "longer than 253 characters"),
        ],
    )
    def test_slips(self, key: str, value: str, words: str) -> None:
        """A slip, or a value that cannot be read, is told: it had no effect without a word."""
        found, said = told(ASKED | {key: value})
        assert [words in one for one in said] == [True]
        assert found.wishes

    @pytest.mark.parametrize(
        "key", ["cert-manager.io/something-new", "example.com/duration", "duration", "cert-manager.io/"]
    )
    def test_what_is_somebody_elses(self, key: str) -> None:
        """What nobody here knows may be anybody's, and who asks for nothing is told nothing."""
        assert told(ASKED | {key: "x"})[1] == []
        quiet = gateway(https("a.example.com"), annotations={"cert-manager.io/usages": "x"})
        assert wanted(quiet, annotations={}).passed == ()

    @pytest.mark.parametrize(
        ("more", "count"),
        [({}, 1), ({"cert-manager.io/issuer": ""}, 0), ({"cert-manager.io/issuer": "le"}, 0)],
    )
    def test_the_default_issuer_of_others(self, more: dict[str, str], count: int) -> None:
        """What asks cert-manager's default issuer names none here, and that is told where nobody else asks."""
        one = gateway(https("a.example.com"), annotations={"kubernetes.io/tls-acme": "true"} | more)
        assert [passed.beside for _, passed in wanted(one, annotations={}).passed] == [True] * count

    def test_no_more_than_a_few(self) -> None:
        """Whoever sets them all is told of the first."""
        assert 0 < len(told(dict.fromkeys(SUPPORTED[4:], "x" * 300) | ASKED)[1]) <= 8
