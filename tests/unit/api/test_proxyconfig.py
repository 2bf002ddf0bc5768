"""ProxyConfigs as tenants write them, and the version in which a cluster serves them."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.api.proxyconfig import (
    PROXY_CONFIGS,
    ProxyConfig,
    at_version,
    preferred_version,
    versions_of_crd,
    versions_of_discovery,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.dictionaries(
    st.sampled_from(["selector", "environmentVariables", "matchLabels", "ISTIO_META_CERT_SIGNER", "image"]), JSON
)


def read(spec: Any) -> ProxyConfig:
    raw = {"apiVersion": "networking.istio.io/v1beta1", "metadata": {"name": "pc", "namespace": "foo"}, "spec": spec}
    return msgspec.json.decode(msgspec.json.encode(raw), type=ProxyConfig)


def test_the_tasks_own() -> None:
    """The ProxyConfig of the Istio task asks for its signer, for the whole namespace."""
    found = read({"environmentVariables": {"ISTIO_META_CERT_SIGNER": "foo", "OTHER": "x"}, "concurrency": 0})
    assert found.problem == ""
    assert found.cert_signer == "foo"
    assert found.spec.selector is None


@pytest.mark.parametrize("spec", [None, {}, {"environmentVariables": None}, {"environmentVariables": {"OTHER": "x"}}])
def test_no_signer(spec: Any) -> None:
    """Without the variable nothing is asked for, and that is no fault."""
    found = read(spec)
    assert (found.cert_signer, found.problem) == ("", "")


@pytest.mark.parametrize("selector", [{}, {"matchLabels": None}, {"matchLabels": {}}])
def test_an_empty_selector_is_one(selector: Any) -> None:
    """A selector without labels is a selector, not the whole namespace."""
    found = read({"selector": selector})
    assert found.spec.selector is not None
    assert not found.spec.selector.match_labels


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ("x", "spec:"),
        ({"environmentVariables": ["x"]}, "spec.environmentVariables:"),
        ({"environmentVariables": {"ISTIO_META_CERT_SIGNER": 1}}, "spec.environmentVariables"),
        ({"selector": "all"}, "spec.selector:"),
        ({"selector": {"matchLabels": ["a"]}}, "spec.selector.matchLabels:"),
    ],
)
def test_what_cannot_be_read(spec: Any, field: str) -> None:
    """A malformed one names the field, and asks for nothing."""
    found = read(spec)
    assert found.problem.startswith(field)
    assert found.cert_signer == ""


@given(JSON | FIELDS)
def test_reading_never_fails(spec: Any) -> None:
    """Whatever a spec holds, it is read or has a problem, and only a readable one asks for a signer."""
    found = read(spec)
    assert isinstance(found.problem, str)
    assert not (found.problem and found.cert_signer)


class TestVersions:
    @pytest.mark.parametrize(
        ("served", "best"),
        [
            ((), None),
            (("v1beta1",), "v1beta1"),
            (("v1alpha3", "v1beta1", "v1"), "v1"),
            (("v1beta1", "v1beta2", "v1alpha9"), "v1beta2"),
            (("v1", "v10", "v9"), "v10"),
            (("v2beta1", "v1"), "v1"),
            (("edge", "v1alpha1"), "v1alpha1"),
            (("edge",), "edge"),
        ],
    )
    def test_the_best(self, served: tuple[str, ...], best: str | None) -> None:
        """Stable before beta before alpha, then the newest, as Kubernetes orders them."""
        assert preferred_version(served) == best
        assert preferred_version(reversed(served)) == best

    def test_of_a_crd(self) -> None:
        """Only versions that are served count."""
        versions = [{"name": "v1", "served": False}, {"name": "v1beta1", "served": True}, {"served": True}, "v2"]
        assert versions_of_crd({"spec": {"versions": versions}}) == ("v1beta1",)

    @pytest.mark.parametrize("crd", [{}, {"spec": None}, {"spec": {"versions": {"v1": {}}}}, {"spec": []}])
    def test_of_no_crd(self, crd: dict[str, Any]) -> None:
        """What is no CRD serves nothing."""
        assert versions_of_crd(crd) == ()

    def test_of_discovery(self) -> None:
        """A version of the group counts if it has ProxyConfigs; Istio's v1 has other kinds only."""
        other, ours = [{"name": "gateways"}], [{"name": "gateways"}, {"name": "proxyconfigs"}]
        documents: list[dict[str, Any]] = [
            {"groupVersion": "networking.istio.io/v1", "resources": other},
            {"groupVersion": "networking.istio.io/v1beta1", "resources": ours},
            {"groupVersion": "example.com/v2", "resources": ours},
            {"groupVersion": "v3", "resources": ours},
            {"groupVersion": "networking.istio.io/v4", "resources": None},
            {},
        ]
        assert versions_of_discovery(documents) == ("v1beta1",)

    def test_path(self) -> None:
        """The version found is the one that is asked."""
        assert at_version("v1").path("foo") == "/apis/networking.istio.io/v1/namespaces/foo/proxyconfigs"
        assert at_version(PROXY_CONFIGS.version) == PROXY_CONFIGS
