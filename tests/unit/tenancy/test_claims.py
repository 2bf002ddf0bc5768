"""Claims by Istio's own rules: which ProxyConfig of a namespace counts, and what a hostile one cannot do."""

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.issuer import IssuerRef
from signer.api.proxyconfig import ProxyConfig, meant_for_cert_signer, nearly_cert_signer
from signer.tenancy.claims import read_claims, signer_of
from signer.tenancy.world import NO_CLAIMS, Claims, ProxyConfigName
from tests.unit.api.test_proxyconfig import FIELDS, JSON

DOMAIN = "clusterissuers.cert-manager.io"
FOO, BAR, BAZ = (IssuerRef("ClusterIssuer", "", name) for name in ("foo", "bar", "baz"))
WORKLOADS = {"matchLabels": {"app": "web"}}


def proxy_config(name: str, signer: Any = None, *, age: int = 0, **spec: Any) -> ProxyConfig:
    """A ProxyConfig; `age`: how many seconds it is older than the others."""
    if signer is not None:
        spec["environmentVariables"] = {"ISTIO_META_CERT_SIGNER": signer}
    created = f"2026-01-01T00:00:{59 - age:02d}Z"
    metadata = {"name": name, "namespace": "ns", "uid": f"uid-{name}", "creationTimestamp": created}
    return msgspec.convert({"metadata": metadata, "spec": spec}, ProxyConfig)


def claims(*found: ProxyConfig, domain: str = DOMAIN) -> Claims:
    """The claims, which do not depend on the order in which the objects come."""
    read = {repr(read_claims(order, domain)) for order in itertools.permutations(found)}
    assert len(read) == 1
    return read_claims(found, domain)


class TestSignerOf:
    @pytest.mark.parametrize(
        ("value", "domain", "expected"),
        [
            ("foo", DOMAIN, FOO),
            ("a.b", DOMAIN, IssuerRef("ClusterIssuer", "", "a.b")),
            ("shop.ca.v2", "issuers.cert-manager.io", IssuerRef("Issuer", "shop", "ca.v2")),
            ("foo", "example.com", None),
            ("foo", "", None),
            ("", DOMAIN, None),
            ("ca", "issuers.cert-manager.io", None),
            (f"{DOMAIN}/foo", DOMAIN, None),
            ("x/foo", "clusterissuers.cert-manager.io", None),
        ],
    )
    def test_known(self, value: str, domain: str, expected: IssuerRef | None) -> None:
        """A value names a signer as istiod would put it together, and only in domains that we serve."""
        assert signer_of(value, domain) == expected

    @pytest.mark.parametrize("value", ["Foo", " foo", "foo ", "foo\n", "../foo", "*", "foo,bar", "f\u043eo", "a" * 254])
    def test_hostile(self, value: str) -> None:
        """A value that no issuer can be named by is nobody's: nothing is trimmed, lowered or decoded."""
        assert signer_of(value, DOMAIN) is None


class TestWhichCounts:
    def test_none(self) -> None:
        """No ProxyConfig, no claim."""
        assert claims() == NO_CLAIMS

    def test_the_tasks_own(self) -> None:
        """One ProxyConfig claims its signer for the namespace, and speaks for it."""
        name = ProxyConfigName("pc", "uid-pc")
        found = claims(proxy_config("pc", "foo"))
        assert found == Claims(whole=FOO, signers={FOO: name}, speaker=name, since=found.since)
        assert found.since is not None

    def test_the_oldest(self) -> None:
        """Of several without a selector only the oldest counts; a later one adds nothing."""
        found = claims(proxy_config("a", "bar"), proxy_config("z", "foo", age=2), proxy_config("b", "baz", age=1))
        assert found.whole == FOO
        assert set(found.signers) == {FOO}
        assert found.speaker == ProxyConfigName("z", "uid-z")

    def test_same_second(self) -> None:
        """Two of one second are ordered by name, as in Istio."""
        assert claims(proxy_config("b", "bar"), proxy_config("a", "foo")).whole == FOO

    def test_the_oldest_may_name_none(self) -> None:
        """If the oldest names no signer, none is claimed, whatever the next one says."""
        found = claims(proxy_config("a", age=1), proxy_config("b", "foo"))
        assert found.whole is None
        assert found.signers == {}
        assert found.speaker == ProxyConfigName("a", "uid-a")

    def test_selectors_add(self) -> None:
        """Each object with a selector adds its signer, older or younger, and none is the namespace's."""
        found = claims(
            proxy_config("old", "bar", age=5, selector=WORKLOADS),
            proxy_config("whole", "foo", age=1),
            proxy_config("new", "baz", selector={"matchLabels": {"a": "b"}}),
        )
        assert found.whole == FOO
        assert set(found.signers) == {FOO, BAR, BAZ}
        assert found.signers[BAR].name == "old"
        assert found.speaker is not None
        assert found.speaker.name == "whole"

    def test_selectors_alone(self) -> None:
        """Without one for the whole namespace the others still claim, and the oldest speaks."""
        found = claims(
            proxy_config("b", "bar", selector=WORKLOADS), proxy_config("a", "foo", age=1, selector=WORKLOADS)
        )
        assert (found.whole, set(found.signers)) == (None, {FOO, BAR})
        assert found.speaker == ProxyConfigName("a", "uid-a")

    def test_one_signer_twice(self) -> None:
        """A signer claimed by several is named by the one for the whole namespace, else by the oldest."""
        found = claims(
            proxy_config("selects", "foo", age=5, selector=WORKLOADS),
            proxy_config("whole", "foo"),
            proxy_config("x", "bar", age=1, selector=WORKLOADS),
            proxy_config("y", "bar", age=3, selector=WORKLOADS),
        )
        assert {signer.name: one.name for signer, one in found.signers.items()} == {"foo": "whole", "bar": "y"}

    @pytest.mark.parametrize("selector", [{}, {"matchLabels": {}}])
    def test_an_empty_selector(self, selector: dict[str, Any]) -> None:
        """A selector without labels is nobody's in Istio: it claims nothing, and says so."""
        found = claims(proxy_config("a", "bar", age=9, selector=selector), proxy_config("b", "foo"))
        assert (found.whole, set(found.signers)) == (FOO, {FOO})
        assert found.problems == (
            "ProxyConfig ns/a: spec.selector.matchLabels: is empty, so Istio gives it to no workload",
        )

    def test_being_deleted(self) -> None:
        """An object that waits for a finalizer counts until it is gone: Istio still gives its signer to Pods."""
        going = proxy_config("a", "foo", age=1)
        metadata = msgspec.structs.replace(going.metadata, deletion_timestamp="2026-01-02T00:00:00Z")
        assert claims(msgspec.structs.replace(going, metadata=metadata)).whole == FOO


class TestHostile:
    def test_malformed_is_skipped(self) -> None:
        """One that cannot be read is told by name and field, and the next oldest counts, as in Istio."""
        found = claims(proxy_config("a", ["bar"], age=1), proxy_config("b", "foo"))
        assert found.whole == FOO
        (problem,) = found.problems
        assert problem.startswith("ProxyConfig ns/a: spec.environmentVariables")

    def test_only_malformed(self) -> None:
        """If none can be read, nothing is claimed, and there is still one that Events can go to."""
        found = claims(proxy_config("a", 7))
        assert (found.whole, found.signers) == (None, {})
        assert found.speaker == ProxyConfigName("a", "uid-a")

    @pytest.mark.parametrize("value", ["Foo", "foo/bar", "../foo", "foo bar", "x" * 2048])
    def test_a_value_that_is_no_name(self, value: str) -> None:
        """It claims nothing; the oldest stays the one that counts; the message is short and names the variable."""
        found = claims(proxy_config("a", value, age=1), proxy_config("b", "foo"))
        assert (found.whole, found.signers) == (None, {})
        assert found.malformed == value
        problem, ignored = found.problems
        assert (
            ignored
            == "ProxyConfig ns/b: is ignored: ProxyConfig a, which has no selector either, is older. Delete one of the two"
        )
        assert problem.startswith("ProxyConfig ns/a: spec.environmentVariables.ISTIO_META_CERT_SIGNER: ")
        assert len(problem) < 300

    def test_another_domain(self) -> None:
        """Under a CERT_SIGNER_DOMAIN of somebody else no value is ours to claim or to blame."""
        found = claims(proxy_config("a", "Foo"), domain="example.com")
        assert (found.whole, found.signers, found.problems) == (None, {}, ())

    def test_many_problems(self) -> None:
        """A thousand bad objects make a few lines."""
        found = read_claims([proxy_config(f"a{number}", 7) for number in range(1000)], DOMAIN)
        assert len(found.problems) == 11
        assert found.problems[-1] == "and 990 more"

    @given(st.lists(JSON | FIELDS, max_size=4))
    def test_whatever_is_written(self, specs: list[Any]) -> None:
        """Reading never fails, and the claim for the whole namespace is one of the claims."""
        read = [
            msgspec.convert({"metadata": {"name": str(number)}, "spec": spec}, ProxyConfig)
            for number, spec in enumerate(specs)
        ]
        found = read_claims(read, DOMAIN)
        assert found.whole is None or found.whole in found.signers
        assert (found.speaker is None) == (not specs)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("ISTIO_META_CERT_SIGNER", False),
        *((name, True) for name in (
            "ISTIO_META_CERTSIGNER", "ISTIO_META_CERT_SIGNERS", "istio_meta_cert_signer", "ISTIO_META_CERT_SINGER",
            "ISTIO_META_SIGNER", "ISTIO-META-CERT-SIGNER", "CERT_SIGNER", "ISTIO_META_CERT_SIGNER ", "ISTIO_CERT_SIGNER",
        )),
        *((name, False) for name in (
            "ISTIO_META_DNS_CAPTURE", "ISTIO_META_MESH_ID", "ISTIO_META_NETWORK", "ISTIO_META_CLUSTER_ID", "ISTIO_META_IDLE_TIMEOUT",
            "ISTIO_META_CERTIFICATE_PATH", "CERT_SIGNER_DOMAIN", "PROXY_CONFIG_XDS_AGENT", "", "x" * 10_000,
        )),
    ],
)  # fmt: skip
def test_nearly_the_variable(name: str, near: bool) -> None:
    """A misspelt variable is told from the right one and from Istio's others."""
    assert meant_for_cert_signer(name) == near


@pytest.mark.parametrize(
    "name", ["ISTIO_META_CERT_SIGNR", "CERT_SIGNER", "istio_meta_cert_signer", "ISTIO-META-CERT-SIGNER"]
)
def test_a_misspelt_variable(name: str) -> None:
    """It claims nothing, and is told on its own ProxyConfig, unless the right one is there as well."""
    found = claims(proxy_config("a", environmentVariables={name: "foo"}), proxy_config("b", "bar", age=1))
    assert found.whole == IssuerRef("ClusterIssuer", "", "bar")
    assert found.told.keys() == {"a"}
    assert "is ISTIO_META_CERT_SIGNER meant?" in found.told["a"][0]
    both = proxy_config("a", environmentVariables={name: "foo", "ISTIO_META_CERT_SIGNER": "bar"})
    assert claims(both).problems == ()


def test_very_many_variables() -> None:
    """However many variables a tenant writes, few are looked at."""
    names = iter([f"OTHER_{number}" for number in range(100_000)])
    assert nearly_cert_signer(names) == ""
    assert sum(1 for _ in names) > 99_000


def test_each_is_told_on_its_own() -> None:
    """A second ProxyConfig for all workloads that is ignored is told of, and not the one that counts."""
    found = claims(proxy_config("a", "foo", age=1), proxy_config("b", "bar"))
    assert found.told == {"b": found.problems}
    assert "Delete one of the two" in found.problems[0]
