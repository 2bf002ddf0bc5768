"""Paths of resources."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signer.kube.resource import Resource

PODS = Resource("", "v1", "pods", "Pod", namespaced=True)
ISSUERS = Resource("cert-manager.io", "v1", "clusterissuers", "ClusterIssuer", namespaced=False)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (PODS.path(), "/api/v1/pods"),
        (PODS.path("shop"), "/api/v1/namespaces/shop/pods"),
        (PODS.path("shop", "a"), "/api/v1/namespaces/shop/pods/a"),
        (PODS.path("shop", "a", "status"), "/api/v1/namespaces/shop/pods/a/status"),
        (PODS.path(""), "/api/v1/pods"),
        (ISSUERS.path(), "/apis/cert-manager.io/v1/clusterissuers"),
        (ISSUERS.path(None, "foo", "status"), "/apis/cert-manager.io/v1/clusterissuers/foo/status"),
        (ISSUERS.path("", "a:b c"), "/apis/cert-manager.io/v1/clusterissuers/a%3Ab%20c"),
    ],
)
def test_paths(path: str, expected: str) -> None:
    """Core and named groups, with and without namespace, name and subresource."""
    assert path == expected


def test_api_version() -> None:
    """The core group has no name in apiVersion; a resource's own name is plural.group."""
    assert (PODS.api_version, ISSUERS.api_version) == ("v1", "cert-manager.io/v1")
    assert (str(PODS), str(ISSUERS)) == ("pods", "clusterissuers.cert-manager.io")


@pytest.mark.parametrize("name", ["", ".", "..", "../../secrets/x", "a/b", "a%2fb", "\ud800", "a\udcff"])
def test_hostile_names(name: str) -> None:
    """A name or namespace that would lead elsewhere is refused, never sent."""
    with pytest.raises(ValueError, match="URL path"):
        ISSUERS.path(None, name)
    if name:
        with pytest.raises(ValueError, match="URL path"):
            PODS.path(name, "a")


@given(st.text(st.characters(), min_size=1, max_size=30))
def test_any_name(name: str) -> None:
    """Whatever the name, the path stays the object's own or is refused."""
    try:
        path = ISSUERS.path(None, name)
    except ValueError:
        return
    tail = path.removeprefix("/apis/cert-manager.io/v1/clusterissuers/")
    assert path.isascii()
    assert not set("/?#") & set(tail)


def test_wrong_scope() -> None:
    """Namespaces where there are none, objects without their namespace, subresources of collections: refused."""
    with pytest.raises(ValueError, match="not namespaced"):
        ISSUERS.path("shop", "a")
    with pytest.raises(ValueError, match="needs a namespace"):
        PODS.path(None, "a")
    with pytest.raises(ValueError, match="needs a name"):
        PODS.path("shop", None, "status")
