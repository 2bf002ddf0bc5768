"""ProxyConfigs of networking.istio.io, as far as we read them: which signer a namespace's workloads ask for.

Tenants write them. Pure: reading never fails; what cannot be read is told in `problem`, so that one bad object does
not stop the others. Istio serves them as v1beta1 today; which version a cluster serves is found, not assumed
(signer/kube/discovery/versions.py).
Source: https://istio.io/latest/docs/reference/config/networking/proxy-config/
"""

import itertools
from collections.abc import Iterable

import msgspec

from signer.api.meant import Effort, near
from signer.api.parts import HasSpec
from signer.kube.resource import Resource

PROXY_CONFIGS = Resource("networking.istio.io", "v1beta1", "proxyconfigs", "ProxyConfig", namespaced=True)
PROXY_CONFIGS_CRD = "proxyconfigs.networking.istio.io"
CERT_SIGNER = "ISTIO_META_CERT_SIGNER"
"""The environment variable by which a workload asks for a signer."""
_NEAR = 0.86
# Tenants write as many variables as they like, and each costs a look.
_LOOKED_AT = 64
# Each event of each ProxyConfig costs this: a few comparisons, and no more.
_COMPARED = 4 * len(CERT_SIGNER) ** 2


def meant_for_cert_signer(name: str, effort: Effort | None = None) -> bool:
    """Tell whether a variable is nearly the one that asks for a signer, and so counts for nothing."""
    if name == CERT_SIGNER or len(name) > 2 * len(CERT_SIGNER):
        return False
    plain = name.strip().upper().replace("-", "_")
    return plain in {CERT_SIGNER, "CERT_SIGNER"} or bool(near(plain, (CERT_SIGNER,), _NEAR, effort))


def nearly_cert_signer(names: Iterable[str]) -> str:
    """Return which of these variables is nearly the one that asks for a signer, "" for none. So many are looked at, and no more."""
    effort = Effort(characters=_COMPARED)
    return next((one for one in itertools.islice(names, _LOOKED_AT) if meant_for_cert_signer(one, effort)), "")


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
    def misspelt(self) -> str:
        """The name of a variable that is nearly the one that asks for a signer, where that is not there; "" for none."""
        found = self.spec.environment_variables or {}
        return "" if CERT_SIGNER in found else nearly_cert_signer(found)

    @property
    def cert_signer(self) -> str:
        """The signer that it asks for, by its short name; "" for none."""
        return (self.spec.environment_variables or {}).get(CERT_SIGNER, "")
