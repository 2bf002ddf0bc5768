"""Where the Secret of a certificate is written: where the proxy reads it, and never where Pods say.

Pure. A proxy reads a credentialName in its own namespace only, so the Gateway's own namespace is right when the proxy runs
there, and else one of `--gateway-namespaces`, which admins choose. A Pod that is labelled like a gateway in a tenant's
namespace must not receive keys.
Source: Istio, pilot/pkg/model/credentials/resource.go, pilot/pkg/xds/sds.go
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from signer.api.text import shown
from signer.edge.proxies.values import GatewayPod, selects
from signer.tenancy.verdict import Reason, Refuse

NO_POD_RECHECK = 5.0
"""Seconds; Pods are not watched."""
LONGEST_RECHECK = 60.0
"""Seconds: what waits is looked at ever more seldom, up to this."""
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Placement:
    """The namespaces in which the Secret is wanted, sorted; at least one. `passed` were left out, and why."""

    namespaces: tuple[str, ...]
    passed: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class NoGateway:
    """No proxy serves the Gateway yet: wait, and say so. It ends when a Pod appears."""

    reason: Reason


def only_in(
    named: str, selector: Mapping[str, str], pods: Iterable[GatewayPod], may_know: Collection[str]
) -> list[GatewayPod] | Refuse:
    """Of a Gateway's Pods those that read a Secret by the namespace that its credentialName names ("" for none): their own.

    `may_know`: namespaces that may be named to who asks.
    """
    running = [pod for pod in pods if selects(selector, pod.labels)]
    there = [pod for pod in running if named in ("", pod.namespace)]
    if there or not running:
        return there
    where = ", ".join(sorted({pod.namespace for pod in running if pod.namespace in may_know})[:_SHOWN]) or "others"
    message = (
        f"it names a Secret of namespace {named}, and its proxies run in {where}: a proxy reads Secrets of its own only"
    )
    return Refuse((Reason("OtherNamespace", message),))


def place(
    namespace: str,
    selector: Mapping[str, str],
    pods: Iterable[GatewayPod],
    *,
    gateway_namespaces: Collection[str],
    granted: bool,
    namespaced_issuer: bool = False,
) -> Placement | NoGateway | Refuse:
    """Decide where the Secrets of an Istio Gateway (or an Ingress, by Istio's ingress selector) go.

    `granted`: an EdgePolicy gives all of its hosts to `namespace`; only then is anything written into another one.
    `namespaced_issuer`: its issuer is an Issuer, whose ACME server the tenant chose: it fills no Secret elsewhere.
    """
    running = {pod.namespace for pod in pods if selects(selector, pod.labels)}
    if not running:
        listed = ", ".join(f"{key}={value}" for key, value in sorted(selector.items())) or "(empty)"
        message = (
            f"no Pod matches the Gateway's selector {shown(listed)} yet, in namespace {namespace} or in one of"
            " --gateway-namespaces"
        )
        return NoGateway(Reason("NoGatewayPod", message))
    found, passed = set(), []
    if namespace in running:
        found.add(namespace)
    elsewhere = sorted(running - {namespace})
    allowed = [one for one in elsewhere if one in gateway_namespaces]
    if allowed and namespaced_issuer:
        passed.append(
            Reason(
                "NamespacedIssuer",
                f"its proxies run in {', '.join(allowed[:_SHOWN])}, and an Issuer's certificates stay in its own namespace;"
                " name a ClusterIssuer",
            )
        )
    elif allowed and granted:
        found.update(allowed)
    elif allowed:
        passed.append(
            Reason(
                "HostNotGranted",
                f"its proxies run in {', '.join(allowed[:_SHOWN])}, and certificates are written there only for hosts that an"
                f" EdgePolicy grants to namespace {namespace}; ask an admin for one, or run a gateway of your own",
            )
        )
    if len(allowed) < len(elsewhere) and not found and not allowed:
        # Where others' Pods run is not for a tenant to learn.
        passed.append(
            Reason(
                "NotAGatewayNamespace",
                f"its proxies run neither in namespace {namespace} nor in one of --gateway-namespaces",
            )
        )
    if not found:
        return Refuse(tuple(passed))
    return Placement(tuple(sorted(found)), tuple(passed))
