"""Bridges between tenants: those that do not stand, would fail or leak, and policies that keep others from using them. Pure."""

from collections.abc import Iterator, Mapping

import msgspec

from signer.api.meta import find_condition
from signer.api.tenantbridge import TenantBridge
from signer.commands.checks.facts import AGAIN, Facts, Finding, Severity
from signer.commands.checks.shipped import switched_on

POLICIES = {
    "bridge-routes.mesh-signer.dev": "whoever may route through a shared gateway goes over every tenant's bridge",
    "bridge-credentials.mesh-signer.dev": "a tenant's rule that names a bridge's Secret has the shared gateway use it",
    "bridge-rules.mesh-signer.dev": "whoever gets hold of the controllers' token can switch mTLS off for any tenant",
}


_MENDS: Mapping[str, str] = {
    "NotAllowed": "an admin writes a TenantBridgePolicy that has both, or adds to one; or delete the TenantBridge",
    "Invalid": "correct the fields that this names",
    "NamespaceNotFound": "make the namespace that this names, or correct spec.client.namespace",
    "NamespaceRemade": "if it is the same tenant's: mesh-signer tenants readmit NAMESPACE for a policy; for a bridge that was built, make the TenantBridge anew",
    "InTheWay": "delete the object that this names, or name the TenantBridge otherwise",
    "ClientChanged": "make another TenantBridge for that client",
    "TrustDomainMismatch": "set spec.trustDomain of the TenantBridgePolicy to the trust domain of the client's revision",
    "NoDestinationRules": "install Istio's definitions",
    "WriteFailed": f"mend what the API server names; where it is rights: {AGAIN}",
    "Failed": "mesh-signer's log says where; report it, as SECURITY.md says",
    "ServerNotStrict": "set mtls.mode: STRICT in a PeerAuthentication of the server's namespace",
    "HostNotFound": "correct spec.hosts, or make the Service",
    "HostHidden": "export the Service to the client's namespace, or let its Sidecar see it",
    "RuleInFront": "delete the object that this names, or name another host",
    "ServiceAccountNotFound": "correct the name in the TenantBridge, or make the service account",
    "NoClient": "correct spec.client.matchLabels or spec.client.serviceAccount",
    "NoRightToSecrets": "give the client's account a Role in its namespace: get, watch and list on secrets, without resourceNames",
    "WideRightToSecrets": "bind the right to Secrets in the client's namespace alone, by a Role",
    "OpenConnections": "when the bridge ends, deny the client by an AuthorizationPolicy of the server's",
    "AllServices": "name the services in spec.hosts",
}


def mend_of(reason: str) -> str:
    """Say what to do, by the reason of a condition; of the wall's own and of what passes by itself where to read of it."""
    return _MENDS.get(reason, f"see {reason} in docs/bridges.md, or run mesh-signer explain tenantbridge")


def in_use(facts: Facts) -> bool:
    """Tell whether bridges are built here: by the option of a Deployment, whatever rights there are."""
    return any(switched_on(one, "tenant-bridges") for one in facts.deployments.items)


def check_bridges(facts: Facts) -> Iterator[Finding]:
    """Whether each TenantBridge stands, as its status says, and what speaks against it."""
    if facts.bridges.problem:
        yield Finding(
            "unknown", "bridges", f"TenantBridges were not checked: {facts.bridges.problem}", code="BridgesNotChecked"
        )
    for raw in facts.bridges.items:
        obj = msgspec.convert(raw, TenantBridge)
        where = f"TenantBridge {obj.metadata.namespace}/{obj.metadata.name}"
        ready = find_condition(obj.status.conditions, "Ready")
        if ready is None:
            told = (
                "nobody looked at it: no controller of bridges is at work"
                if not in_use(facts)
                else "nobody looked at it yet"
            )
            mend = "add manifests/components/bridges to what mesh-signer is installed with" if not in_use(facts) else ""
            yield Finding("warning", "bridges", told, where, mend, code="BridgeNotLookedAt")
        elif ready.status != "True" and ready.reason != "Ended":
            yield Finding(
                "warning",
                "bridges",
                f"it does not stand: {ready.message}",
                where,
                mend_of(ready.reason),
                code="BridgeDown",
            )
        for kind, code in (("Working", "BridgeFails"), ("Contained", "BridgeLeaks")):
            found = find_condition(obj.status.conditions, kind)
            if found is not None and found.status == "False":
                severity: Severity = "warning" if kind == "Working" else "note"
                yield Finding(severity, "bridges", found.message, where, mend_of(found.reason), code=code)
