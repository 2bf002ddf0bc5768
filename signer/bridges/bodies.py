"""What a bridge puts into the client's namespace: one Secret, and a DestinationRule for each host. Pure.

The form was found by trying it on a real istiod and Envoy; docs/bridges.md says what each part is for.
"""

import base64
import hashlib
import re
from collections.abc import Iterable

from signer.api.destinationrule import Subset
from signer.api.labels import BRIDGE_NAME, BRIDGE_UID, PART_OF
from signer.api.secret import CA_CERT, TLS_CERT, TLS_KEY, TLS_TYPE
from signer.bridges.read import Wish
from signer.kube.objects import Json

PREFIX = "mesh-signer-bridge-"
"""Names of all that is made here begin with it; admission policies keep others from naming such a Secret."""
CREDENTIAL_MODE = "MUTUAL"
_SUFFIX = "-[0-9a-f]{16}"
_OF_BRIDGE = PREFIX + r"([a-z0-9-]+)\.([a-z0-9-]+)"


def secret_name(wish: Wish) -> str:
    """Name the Secret, which is the credentialName of the rules. A namespace has no dot, so no two bridges share one."""
    return f"{PREFIX}{wish.namespace}.{wish.name}"


def rule_name(wish: Wish, host: str) -> str:
    """Name the DestinationRule of a host."""
    return f"{secret_name(wish)}-{hashlib.blake2b(host.encode(), digest_size=8).hexdigest()}"


def bridge_named(name: str, *, rule: bool) -> tuple[str, str] | None:
    """Tell for which TenantBridge (namespace, name) a rule, or a Secret, has this name; None: for none."""
    found = re.fullmatch(_OF_BRIDGE + (_SUFFIX if rule else ""), name, re.ASCII)
    return (found[1], found[2]) if found is not None else None


def is_rule_of(wish: Wish, name: str) -> bool:
    """Tell whether a rule's name is one of this bridge's."""
    return bool(re.fullmatch(re.escape(secret_name(wish)) + _SUFFIX, name))


def identities(trust_domain: str, namespace: str, accounts: Iterable[str]) -> tuple[str, ...]:
    """Name the servers that are accepted, each by its whole SPIFFE ID: Envoy compares them exactly."""
    return tuple(f"spiffe://{trust_domain}/ns/{namespace}/sa/{account}" for account in sorted(set(accounts)))


def rule_spec(wish: Wish, host: str, names: Iterable[str], subsets: Iterable[Subset]) -> Json:
    """Write the spec of one host's rule.

    workloadSelector and exportTo keep it to the client's proxies, in its own namespace: in Istio's root namespace a rule
    without them is everybody's. Without names any server of the CA would do, and without an SNI none is reached. The
    server's subsets are copied by name and labels, since this rule hides the one that has them; what else a subset says
    stays behind, so that none can switch TLS off.
    """
    tls = {
        "mode": CREDENTIAL_MODE,
        "credentialName": secret_name(wish),
        "subjectAltNames": list(names),
        "sni": host.removeprefix("*."),
    }
    spec: Json = {
        "host": host,
        "exportTo": ["."],
        "workloadSelector": {"matchLabels": dict(sorted(wish.client_labels.items()))},
        "trafficPolicy": {"tls": tls},
    }
    copied = [{"name": one.name, "labels": dict(sorted(one.labels.items()))} for one in subsets]
    return spec | ({"subsets": copied} if copied else {})


def metadata(wish: Wish, name: str) -> Json:
    """Write the metadata of what is made: where, and for which bridge."""
    return {
        "name": name,
        "namespace": wish.client_namespace,
        "labels": {**PART_OF, BRIDGE_UID: wish.uid},
        "annotations": {BRIDGE_NAME: wish.full_name},
    }


def secret_body(wish: Wish, *, chain: bytes, key: bytes, roots: bytes) -> Json:
    """Write the Secret: `chain`, `key` and `roots` are PEM."""
    data = {TLS_CERT: chain, TLS_KEY: key, CA_CERT: roots}
    return {
        "metadata": metadata(wish, secret_name(wish)),
        "type": TLS_TYPE,
        "data": {name: base64.b64encode(value).decode("ascii") for name, value in data.items()},
    }
