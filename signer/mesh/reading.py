"""How each object of the mesh is read: by the watches, by live reads and by commands alike, so that all see the same. Pure.

Of objects that there may be ten thousand of only their names are kept, and what the wall reads. What is left out is not a
change either, so that a status or an annotation that somebody writes costs nothing. A ProxyConfig's version is kept, by which a
live read knows it again; it is no change (signer/tenancy/proxy_configs.py).
"""

import msgspec

from signer.api.configmap import ConfigMap
from signer.api.meta import slim_metadata
from signer.api.namespace import NamespaceObject
from signer.api.proxyconfig import CERT_SIGNER, ProxyConfig, nearly_cert_signer
from signer.api.signerbinding import SignerBinding
from signer.api.signerpolicy import SignerPolicy
from signer.api.signerrecord import SignerRecord
from signer.kube.encoding.codec import LARGEST_STORED, JsonCodec, weightless
from signer.tenancy.meshconfig.read import DEFAULT_CONFIG_MAP, MESH_KEY, is_revision
from signer.tenancy.world import LABEL_PREFIX

_VARIABLES = "environmentVariables"
_LABELS = "matchLabels"
# More than any signer's name has.
_LONGEST = 1024


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
        raw = {name: slim(raw[name]) for name, slim in _SPEC.items() if name in raw}
    version = obj.metadata.resource_version
    return ProxyConfig(
        metadata=msgspec.structs.replace(slim_metadata(obj.metadata), resource_version=version), raw_spec=raw
    )


def _slim_variables(raw: object) -> object:
    """Keep the one variable that counts, or one that is nearly it, and one that makes the object unreadable, if there is one."""
    if not isinstance(raw, dict):
        return raw
    wrong = next((name for name, value in raw.items() if not isinstance(value, str)), None)
    near = None if CERT_SIGNER in raw else nearly_cert_signer(name for name in raw if isinstance(name, str))
    return {name: _cut(raw[name]) for name in (CERT_SIGNER, near, wrong) if name in raw}


def _cut(value: object) -> object:
    """Keep so much of a value that one which is too long stays so; what is no text only in kind."""
    if isinstance(value, str):
        return value[:_LONGEST]
    return value if isinstance(value, int | float | None) else type(value)()


def _slim_selector(raw: object) -> object:
    """Keep that there are labels, not which: a request carries none. And one that makes the object unreadable, if there is one."""
    labels = raw.get(_LABELS) if isinstance(raw, dict) else None
    if not isinstance(labels, dict):
        return raw if not isinstance(raw, dict) else {name: raw[name] for name in (_LABELS,) if name in raw}
    if not labels:
        return {_LABELS: {}}
    wrong = next((value for value in labels.values() if not isinstance(value, str)), "")
    return {_LABELS: {"": wrong if isinstance(wrong, str | int | float) else None}}


_SPEC = {"selector": _slim_selector, _VARIABLES: _slim_variables}

NAMESPACE_CODEC: JsonCodec[NamespaceObject] = JsonCodec(
    NamespaceObject, keep=slim_namespace, largest=LARGEST_STORED, weigh=weightless
)
PROXY_CONFIG_CODEC: JsonCodec[ProxyConfig] = JsonCodec(ProxyConfig, keep=slim_proxy_config)
POLICY_CODEC: JsonCodec[SignerPolicy] = JsonCodec(SignerPolicy)
BINDING_CODEC: JsonCodec[SignerBinding] = JsonCodec(SignerBinding)
RECORD_CODEC: JsonCodec[SignerRecord] = JsonCodec(SignerRecord)


def config_map_codec(shared: str) -> JsonCodec[ConfigMap]:
    """Read ConfigMaps of Istio's namespace; `shared` names the shared mesh config, "" for none."""
    return JsonCodec(ConfigMap, keep=lambda obj: slim_config_map(obj, shared), largest=LARGEST_STORED, weigh=weightless)
