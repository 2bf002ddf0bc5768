"""The version in which a cluster serves a resource."""

from typing import Any

import pytest

from signer.api.proxyconfig import PROXY_CONFIGS
from signer.kube.discovery.versions import preferred_version, versions_of_discovery


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
def test_the_best(served: tuple[str, ...], best: str | None) -> None:
    """Stable before beta before alpha, then the newest, as Kubernetes orders them."""
    assert preferred_version(served) == best
    assert preferred_version(reversed(served)) == best


def test_of_discovery() -> None:
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
    assert versions_of_discovery(PROXY_CONFIGS, documents) == ("v1beta1",)


def test_path() -> None:
    """The version found is the one that is asked."""
    assert PROXY_CONFIGS.at("v1").path("foo") == "/apis/networking.istio.io/v1/namespaces/foo/proxyconfigs"
    assert PROXY_CONFIGS.at(PROXY_CONFIGS.version) == PROXY_CONFIGS
