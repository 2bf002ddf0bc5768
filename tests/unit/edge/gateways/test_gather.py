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
