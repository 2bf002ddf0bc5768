"""DestinationRules of networking.istio.io, as far as bridges need them: whom one is for, its subsets, its credential.

Pure: reading never fails; what cannot be read is told in `problem`.
Source: https://istio.io/latest/docs/reference/config/networking/destination-rule/
"""

import msgspec

from signer.api.parts import HasSpec
from signer.kube.resource import Resource

DESTINATION_RULES = Resource("networking.istio.io", "v1", "destinationrules", "DestinationRule", namespaced=True)


class Subset(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """subsets[]: a name for the endpoints with these labels."""

    name: str = ""
    labels: dict[str, str] = {}


class WorkloadSelector(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """workloadSelector: the proxies that the rule is for, by labels of their Pods."""

    match_labels: dict[str, str] = {}


class DestinationRuleSpec(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The spec, as far as we read it."""

    host: str = ""
    subsets: tuple[Subset, ...] = ()
    workload_selector: WorkloadSelector | None = None
    export_to: tuple[str, ...] = ()


class DestinationRule(HasSpec[DestinationRuleSpec], frozen=True, kw_only=True, rename="camel", dict=True):
    """A DestinationRule."""

    spec_type = DestinationRuleSpec
