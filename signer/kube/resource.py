"""Names of API resources and their URL paths, so that no other file glues paths together.

Pure values; safe to share.
Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-uris
"""

from contextlib import suppress
from typing import Self
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

_NOT_A_SEGMENT = frozenset({"", ".", ".."})


class NoName(ValueError):
    """No object can have this name: it cannot stand in a URL path. Where it is referred to, that object is not there."""


def _segment(value: str, what: str) -> str:
    """One path segment, escaped.

    The API server forbids these names too (path segment validation), so an honest object never has one; a hostile reference
    (for example an issuer named `../../secrets/x`) must not be able to point the client at another path.
    """
    if value not in _NOT_A_SEGMENT and "/" not in value and "%" not in value:
        with suppress(UnicodeEncodeError):  # half of a surrogate pair is no text
            return quote(value, safe="")
    raise NoName(f"{what} {value!r} cannot stand in a URL path")


class Resource(msgspec.Struct, frozen=True):
    """A kind of object served by the API server, for example certificates.k8s.io/v1 certificatesigningrequests.

    Attributes:
        group: API group; "" for the core group.
        version: for example "v1".
        plural: the resource's name in paths.
        kind: for example "CertificateSigningRequest".
        namespaced: whether its objects live in namespaces.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        """What stands in an object's apiVersion: "group/version", or "v1" for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def at(self, version: str) -> Self:
        """Return the same resource in this version of its group."""
        return replace(self, version=version)

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The path of a collection, an object or a subresource, beginning with "/".

        Args:
            namespace: None or "" means all namespaces (for a collection), or a cluster-scoped object.
            name: None means the collection.
            subresource: for example "status"; needs a name.

        Raises:
            NoName: the name or the namespace is no path segment.
            ValueError: the parts make no path: a namespaced object without its namespace, a namespace for a cluster-scoped
                resource, a subresource without a name.
        """
        if namespace and not self.namespaced:
            raise ValueError(f"{self} is not namespaced, got namespace {namespace!r}")
        if name is not None and self.namespaced and not namespace:
            raise ValueError(f"{self} {name!r} needs a namespace")
        if subresource is not None and name is None:
            raise ValueError(f"{self}: a subresource needs a name")
        path = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        if namespace:
            path += f"/namespaces/{_segment(namespace, 'namespace')}"
        path += f"/{self.plural}"
        if name is not None:
            path += f"/{_segment(name, 'name')}"
        if subresource is not None:
            path += f"/{subresource}"
        return path
