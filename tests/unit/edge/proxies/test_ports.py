"""What the world's ports lead to: by Services, host ports and the owner's word, never by a Gateway's own number."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.edge.proxies.ports import PUBLIC, PUBLIC_PORTS, Ports, joined, owners_word, ports_of
from signer.tenancy.verdict import Reason

LABELS = {"istio": "ingressgateway"}


def pod(*ports: Any) -> dict[str, Any]:
    containers = [{"name": "istio-proxy", "ports": list(ports)}, {"name": "other"}]
    return {"metadata": {"labels": LABELS}, "spec": {"containers": containers}}


def service(*ports: Any, kind: str = "LoadBalancer", labels: Any = None, **spec: Any) -> dict[str, Any]:
    listed = [{"port": one[0], "targetPort": one[1], **(one[2] if len(one) > 2 else {})} for one in ports]
    return {"metadata": {"labels": labels or {}}, "spec": {"type": kind, "selector": LABELS, "ports": listed, **spec}}


CHART = service((15021, 15021), (80, 8080), (443, 8443))
TABLE: list[tuple[str, list[Any], list[Any], dict[int, int]]] = [
    ("nothing is known", [], [], {80: 80, 443: 443, 8080: 0, 8443: 0}),
    ("Istio's chart", [], [CHART], {80: 80, 443: 443, 8080: 80, 8443: 443, 9000: 0}),
    ("ports by name", [{"name": "web", "containerPort": 8080}], [service((80, "web"))], {80: 80, 8080: 80, 443: 443}),
    ("a name that no container has", [], [service((80, "web"))], {80: 80, 8080: 0}),
    ("host ports", [{"containerPort": 8080, "hostPort": 80}], [], {8080: 80, 80: 0, 443: 443}),
    (
        "a ClusterIP that Istio reads, and a load balancer of the same Pods",
        [],
        [service((8080, 8080), (8443, 8443), kind="ClusterIP"), service((80, 8080), (443, 8443))],
        {8080: 80, 8443: 443, 80: 80, 443: 443},
    ),
    (
        "80 of the load balancer leads elsewhere than 80 in the cluster",
        [],
        [service((80, 8081), kind="ClusterIP"), service((80, 8080))],
        {8080: 80, 8081: 0},
    ),
    ("the Service of other Pods", [], [service((80, 8080), selector={"istio": "other"})], {8080: 0, 80: 80}),
    ("a Service without a selector", [], [service((80, 8080), selector=None)], {8080: 0, 80: 80}),
    ("external addresses", [], [service((80, 8080), kind="ClusterIP", externalIPs=["192.0.2.1"])], {8080: 80}),
    (
        "a node's own port 80",
        [],
        [service((9080, 8080, {"nodePort": 80}), kind="NodePort")],
        {8080: 80, 9080: 80, 80: 0},
    ),
    (
        "not translated: the Gateway's number is the Pod's",
        [],
        [service((80, 8080), labels={"experimental.istio.io/disable-gateway-port-translation": "true"})],
        {80: 0, 8080: 80},
    ),
    ("broken", [], [service((80, None)), {"metadata": {}, "spec": {"selector": LABELS}}, {"metadata": {}}], {80: 80}),
]


@pytest.mark.parametrize(("ports", "services", "seen"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_what_the_world_sees(ports: list[Any], services: list[Any], seen: dict[int, int]) -> None:
    """Each number that a Gateway may name is on the public port that leads to where it listens."""
    assert ports_of(pod(*ports), services).of(seen) == seen


NUMBERS = st.sampled_from((80, 443, 8080, 8443, 9080))
SERVICES = st.lists(
    st.builds(
        lambda ports, kind: service(*ports, kind=kind),
        st.lists(st.tuples(NUMBERS, NUMBERS), max_size=3),
        st.sampled_from(("LoadBalancer", "ClusterIP", "NodePort")),
    ),
    max_size=3,
)


@given(SERVICES, NUMBERS)
def test_as_packets_go(services: list[Any], number: int) -> None:
    """A server is on a public port exactly if a packet to that port comes to where Istio has the server listen."""
    # Independent of the code: walk each Service as kube-proxy and istiod do.
    pairs = [
        (one["spec"]["type"], port["port"], port["targetPort"]) for one in services for port in one["spec"]["ports"]
    ]
    listens = {target for _, port, target in pairs if port == number} or {number}

    def arrives(public: int) -> set[int]:
        outside = {target for kind, port, target in pairs if port == public and kind == "LoadBalancer"}
        return outside or {target for _, port, target in pairs if port == public} or {public}

    expected = next((public for public in PUBLIC if arrives(public) & listens), 0)
    assert ports_of(pod(), services).seen_as(number) == expected


def test_several_pods() -> None:
    """What leads to any of them counts, and a Pod is dialled where its own public port leads."""
    one, other = ports_of(pod(), [CHART]), ports_of(pod(), [service((80, 9080))])
    both = joined([one, other])
    assert both.of([8080, 9080, 8443]) == {8080: 80, 9080: 80, 8443: 443}
    assert (one.dialled(), other.dialled(), Ports().dialled()) == ({80: 8080, 443: 8443}, {80: 9080}, {})


class TestOwnersWord:
    def test_what_is_in_front(self) -> None:
        """A load balancer that no Service shows is what the owner says it is, in the Gateway's numbers."""
        word = owners_word({PUBLIC_PORTS: " 80:8080, 443:8443"})
        assert word == {80: 8080, 443: 8443}
        assert Ports().told(word).of([80, 443, 8080, 8443]) == {80: 0, 443: 0, 8080: 80, 8443: 443}
        # 9080 of a Service is 8081 on the Pods.
        ports = ports_of(pod(), [service((9080, 8081), kind="NodePort")]).told({80: 9080})
        assert (ports.seen_as(9080), ports.dialled()) == (80, {80: 8081})
        assert owners_word({}) == {}

    @pytest.mark.parametrize(
        "text",
        [
            "8080",
            "81:8080",
            "80:",
            "80:x",
            "80:70000",
            "80:0",
            "80:8080,",
            "80:\N{ARABIC-INDIC DIGIT ONE}",
            "80:1," * 40,
        ],
    )
    def test_what_is_none(self, text: str) -> None:
        """What cannot be read is told with the annotation, and what is expected."""
        found = owners_word({PUBLIC_PORTS: text})
        assert isinstance(found, Reason)
        assert PUBLIC_PORTS in found.message
        assert "80:8080" in found.message
