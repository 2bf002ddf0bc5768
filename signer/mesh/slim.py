"""What is kept of objects that there may be ten thousand of: their names, and what the wall reads. Pure.

What is left out is not a change either, so that a status or an annotation that somebody writes costs nothing.
"""

import msgspec

from signer.api.configmap import ConfigMap
from signer.api.meta import ObjectMeta
from signer.api.namespace import NamespaceObject
from signer.api.proxyconfig import CERT_SIGNER, ProxyConfig
from signer.tenancy.meshconfig.read import DEFAULT_CONFIG_MAP, MESH_KEY, is_revision
from signer.tenancy.world import LABEL_PREFIX

_VARIABLES = "environmentVariables"
_SPEC = ("selector", _VARIABLES)


def slim_metadata(metadata: ObjectMeta) -> ObjectMeta:
    """Keep what names an object, and its age."""
    return ObjectMeta(
        name=metadata.name,
        namespace=metadata.namespace,
        uid=metadata.uid,
        creation_timestamp=metadata.creation_timestamp,
        deletion_timestamp=metadata.deletion_timestamp,
    )


def slim_namespace(obj: NamespaceObject) -> NamespaceObject:
    """Keep a namespace with the labels that admins guard."""
    metadata = msgspec.structs.replace(slim_metadata(obj.metadata), labels=obj.labels_under(LABEL_PREFIX))
    return NamespaceObject(metadata=metadata)


def slim_config_map(obj: ConfigMap, shared: str) -> ConfigMap | None:
    """Keep of a ConfigMap what says something of the mesh; of all others nothing. `shared` names the shared mesh config."""
    name = obj.metadata.name
    if MESH_KEY not in obj.data or not (name in {DEFAULT_CONFIG_MAP, shared} or is_revision(name)):
        return None
    return ConfigMap(metadata=slim_metadata(obj.metadata), raw_data={MESH_KEY: obj.data[MESH_KEY]})


def slim_proxy_config(obj: ProxyConfig) -> ProxyConfig:
    """Keep of a ProxyConfig what claims; a spec that is not a mapping stays as it is, to be told of."""
    raw = obj.raw_spec
    if isinstance(raw, dict):
        raw = {name: _slim_variables(raw[name]) if name == _VARIABLES else raw[name] for name in _SPEC if name in raw}
    return ProxyConfig(metadata=slim_metadata(obj.metadata), raw_spec=raw)


def _slim_variables(raw: object) -> object:
    """Keep the one variable that counts, and one that makes the object unreadable, if there is one."""
    if not isinstance(raw, dict):
        return raw
    wrong = next((name for name, value in raw.items() if not isinstance(value, str)), None)
    return {name: raw[name] for name in (CERT_SIGNER, wrong) if name in raw}
