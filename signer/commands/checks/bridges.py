"""Bridges between tenants: those that do not stand, would fail or leak, and policies that keep others from using them. Pure."""

from collections.abc import Iterator

import msgspec

from signer.api.meta import find_condition
from signer.api.tenantbridge import TenantBridge
from signer.commands.checks.facts import Facts, Finding
from signer.commands.checks.shipped import switched_on

POLICIES = {
    "bridge-routes.mesh-signer.dev": "whoever may route through a shared gateway goes over every tenant's bridge",
    "bridge-credentials.mesh-signer.dev": "a tenant's rule that names a bridge's Secret has the shared gateway use it",
    "bridge-rules.mesh-signer.dev": "whoever gets hold of the controllers' token can switch mTLS off for any tenant",
}


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
            yield Finding("warning", "bridges", f"it does not stand: {ready.message}", where, code="BridgeDown")
        for kind, code in (("Working", "BridgeFails"), ("Contained", "BridgeLeaks")):
            found = find_condition(obj.status.conditions, kind)
            if found is not None and found.status == "False":
                yield Finding("warning" if kind == "Working" else "note", "bridges", found.message, where, code=code)
