"""ProxyConfigs of networking.istio.io, as far as we read them: which signer a namespace's workloads ask for.

Tenants write them. Pure: reading never fails; what cannot be read is told in `problem`, so that one bad object does
not stop the others. Istio serves them as v1beta1 today; which version a cluster serves is found, not assumed.
Source: https://istio.io/latest/docs/reference/config/networking/proxy-config/
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from signer.api.parts import HasSpec
from signer.kube.resource import Resource

PROXY_CONFIGS = Resource("networking.istio.io", "v1beta1", "proxyconfigs", "ProxyConfig", namespaced=True)
PROXY_CONFIGS_CRD = "proxyconfigs.networking.istio.io"
CERT_SIGNER = "ISTIO_META_CERT_SIGNER"
"""The environment variable by which a workload asks for a signer."""

# Kubernetes' own order of versions: v2, v1, v1beta2, v1beta1, v1alpha1.
_VERSION = re.compile(r"v([1-9][0-9]{0,5})(?:(alpha|beta)([1-9][0-9]{0,5}))?", re.ASCII)
_STABILITY = {"alpha": 0, "beta": 1, None: 2}


class WorkloadSelector(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """spec.selector: without labels it selects nothing."""

    match_labels: dict[str, str] | None = None


class ProxyConfigSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What we read of the spec. No `selector` at all means the whole namespace."""

    selector: WorkloadSelector | None = None
    environment_variables: dict[str, str] | None = None


class ProxyConfig(HasSpec[ProxyConfigSpec], frozen=True, kw_only=True, rename="camel", dict=True):
    """A ProxyConfig. `raw_spec` is as received; use `spec` and `problem`."""

    spec_type = ProxyConfigSpec

    @property
    def cert_signer(self) -> str:
        """The signer that it asks for, by its short name; "" for none."""
        return (self.spec.environment_variables or {}).get(CERT_SIGNER, "")


def at_version(version: str) -> Resource:
    """Return the resource ProxyConfigs in this version of its group."""
    return replace(PROXY_CONFIGS, version=version)


def versions_of_crd(crd: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the versions that a CustomResourceDefinition serves, as they stand there; none when it cannot be read."""
    spec = crd.get("spec")
    versions = spec.get("versions") if isinstance(spec, Mapping) else None
    if not isinstance(versions, list):
        return ()
    return tuple(
        one["name"]
        for one in versions
        if isinstance(one, Mapping) and one.get("served") is True and isinstance(one.get("name"), str)
    )


def versions_of_discovery(documents: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Name the versions whose APIResourceList (GET /apis/networking.istio.io/VERSION) has ProxyConfigs."""
    found = []
    for document in documents:
        group, _, version = str(document.get("groupVersion", "")).partition("/")
        resources = document.get("resources")
        if group != PROXY_CONFIGS.group or not version or not isinstance(resources, list):
            continue
        if any(isinstance(one, Mapping) and one.get("name") == PROXY_CONFIGS.plural for one in resources):
            found.append(version)
    return tuple(found)


def preferred_version(served: Iterable[str]) -> str | None:
    """Pick the version to watch: stable before beta before alpha, newer before older; None when none is served.

    Every served version shows every object, so one is enough. A name that is no version of Kubernetes' form comes last.
    Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/
    """

    def rank(version: str) -> tuple[int, int, int, str]:
        match = _VERSION.fullmatch(version)
        if match is None:
            return (-1, 0, 0, version)
        return (_STABILITY[match[2]], int(match[1]), int(match[3] or 0), version)

    return max(served, key=rank, default=None)
