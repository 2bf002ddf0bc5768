"""ConfigMaps: core/v1. We read Istio's, in Istio's namespace only. Pure: reading never fails."""

from functools import cached_property
from typing import Any

import msgspec

from signer.api.meta import ObjectMeta
from signer.kube.resource import Resource

CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", namespaced=True)


class ConfigMap(msgspec.Struct, frozen=True, kw_only=True, rename="camel", dict=True):
    """A ConfigMap. `raw_data` is as received; use `data`."""

    metadata: ObjectMeta
    raw_data: Any = msgspec.field(name="data", default=None)

    @cached_property
    def data(self) -> dict[str, str]:
        """The entries that are text."""
        if not isinstance(self.raw_data, dict):
            return {}
        return {key: value for key, value in self.raw_data.items() if isinstance(key, str) and isinstance(value, str)}
