"""How each object of the mesh is read: by the watches, by live reads and by commands alike, so that all see the same. Pure."""

from signer.api.configmap import ConfigMap
from signer.api.namespace import NamespaceObject
from signer.api.proxyconfig import ProxyConfig
from signer.api.signerbinding import SignerBinding
from signer.api.signerpolicy import SignerPolicy
from signer.api.signerrecord import SignerRecord
from signer.kube.encoding.codec import LARGEST_STORED, JsonCodec, weightless
from signer.mesh.slim import slim_config_map, slim_namespace, slim_proxy_config

NAMESPACE_CODEC: JsonCodec[NamespaceObject] = JsonCodec(
    NamespaceObject, keep=slim_namespace, largest=LARGEST_STORED, weigh=weightless
)
PROXY_CONFIG_CODEC: JsonCodec[ProxyConfig] = JsonCodec(ProxyConfig, keep=slim_proxy_config, weigh=weightless)
POLICY_CODEC: JsonCodec[SignerPolicy] = JsonCodec(SignerPolicy)
BINDING_CODEC: JsonCodec[SignerBinding] = JsonCodec(SignerBinding)
RECORD_CODEC: JsonCodec[SignerRecord] = JsonCodec(SignerRecord)


def config_map_codec(shared: str) -> JsonCodec[ConfigMap]:
    """Read ConfigMaps of Istio's namespace; `shared` names the shared mesh config, "" for none."""
    return JsonCodec(ConfigMap, keep=lambda obj: slim_config_map(obj, shared), largest=LARGEST_STORED, weigh=weightless)
