"""`make demo-edge`: a Gateway is written, and seconds later curl trusts its host; then a second host, and a tenant's.

In the end one gateway serves workloads of two tenants, each behind its own CA.
Real istiod and Envoy as ingress gateway, Let's Encrypt's own test server (Pebble) as CA. Every claim is checked.
Synchronous; ends everything that it started, unless --keep is given, which waits for Ctrl-C first.
"""

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import yaml

from signer.api.tls_secret import is_placeholder
from tests.localmesh.bridges import FILES, OPTION, bridge, policy
from tests.localmesh.demo import command
from tests.localmesh.edge import CONTROLLERS, EDGE_PROGRAMS, Edge
from tests.localmesh.first_minutes import prepare
from tests.localmesh.front import Visit
from tests.localmesh.mesh import Mesh
from tests.localmesh.staging import perform
from tests.localmesh.story import Story

ISSUER = "letsencrypt"
TENANTS = ("foo", "bar")
SHOP, BLOG, TENANT = "shop.example.com", "blog.example.com", "app.foo.example.com"
_PATIENCE = 60.0

_POLICY = """
apiVersion: mesh-signer.dev/v1alpha1
kind: EdgePolicy
metadata: {name: foo}
spec:
  hostSuffixes: [foo.example.com]
  namespaces: {names: [foo]}
"""


def tell(edge: Edge, story: Story) -> None:
    """The whole story."""
    mesh = edge.mesh
    with story.step("an API server, mesh-signer as its two Deployments run it, and the Istio task's mesh"):
        mesh.start()
        story.show(f"mesh-signer-controllers --controllers={CONTROLLERS}")
    with story.step("an ingress gateway (the real pilot-agent and Envoy), DNS, and Pebble, a real ACME server"):
        edge.start()
        story.show(mesh.cluster.kubectl("get", "service", "-n", "istio-system", edge.gateway.name))
        inventory_before = inventory(edge)
    with story.step("kubectl apply: a ClusterIssuer for the ACME server"):
        apply(edge, story, edge.issuer(ISSUER), hide="caBundle")
        ready = partial(condition, edge, "clusterissuer", ISSUER)
        story.check("it has an account, and is Ready", lambda: bool(edge.cluster.wait_for(ready, "Ready", _PATIENCE)))
    with story.step(f"kubectl apply: a Gateway for {SHOP} that redirects to https; nothing else is written"):
        apply(edge, story, edge.istio_gateway("shop", SHOP, issuer=ISSUER), show=True)
        edge.cluster.apply(yaml.safe_dump(edge.page("shop", SHOP, "the shop")))
        served(edge, story, SHOP, "the shop")
    with story.step(f"kubectl apply: one more host, {BLOG}, on the same Gateway"):
        before = edge.visit(SHOP).certificate
        story.check(f"until then nobody trusts https://{BLOG}/", lambda: not edge.visit(BLOG).trusted)
        apply(edge, story, edge.istio_gateway("shop", SHOP, BLOG, issuer=ISSUER))
        edge.cluster.apply(yaml.safe_dump(edge.page("shop", BLOG, "the blog")))
        served(edge, story, BLOG, "the blog")
        story.check(
            f"https://{SHOP}/ goes on, by a new certificate for both",
            lambda: edge.visit(SHOP).status == 200 and edge.visit(SHOP).certificate != before,
        )
    with story.step(f"an EdgePolicy gives foo.example.com to namespace foo, which writes its own Gateway for {TENANT}"):
        edge.cluster.apply(_POLICY)
        apply(edge, story, edge.istio_gateway("app", TENANT, namespace="foo", issuer=ISSUER))
        edge.cluster.apply(yaml.safe_dump(edge.page("app", TENANT, "the app of foo", "foo")))
        served(edge, story, TENANT, "the app of foo")
    with story.step(f"a thief: namespace bar wants a Gateway for {TENANT} too"):
        theft(edge, story)
    with story.step("mesh-signer edge, and what is left of it in the cluster"):
        left(edge, story, inventory_before)
    with story.step("one gateway for all tenants: foo and bar each let it in, and stay apart"):
        shared(edge, story)


def shared(edge: Edge, story: Story) -> None:
    """Public hosts of the shared gateway are answered by workloads of two tenants, and one still can't reach the other."""
    mesh = edge.mesh
    placed = [mesh.place("httpbin", tenant, tenant, server=True) for tenant in TENANTS]
    client = mesh.place("curl", "foo", "foo")
    hosts = {tenant: f"{tenant}-app.example.com" for tenant in TENANTS}
    apply(edge, story, edge.istio_gateway("tenants", *hosts.values(), issuer=ISSUER))
    for tenant, host in hosts.items():
        edge.cluster.apply(yaml.safe_dump(edge.route("tenants", host, f"httpbin.{tenant}", "istio-system", tenant)))
    mesh.wait_ready(*placed, client)
    for host in hosts.values():
        closed = partial(_answers, edge, host, 503)
        story.check(f"https://{host}/ is trusted, and nobody lets the gateway in: 503", partial(_soon, edge, closed))
    apply(edge, story, policy(*TENANTS), show=True)
    for tenant in TENANTS:
        apply(edge, story, bridge(tenant), show=tenant == TENANTS[0])
    for tenant, host in hosts.items():
        opened = partial(_answers, edge, host, 200)
        story.check(f"https://{host}/ is answered by httpbin.{tenant}", partial(_soon, edge, opened))
        story.check("and by no other", partial(_ends_with, edge, host, f"httpbin.{tenant}"))
    story.check("curl.foo still can't reach httpbin.bar", lambda: client.ask("httpbin.bar").refused_by_tls)
    story.show(command(mesh, "tenants", "--matrix"))


def _soon(edge: Edge, ready: Callable[[], bool]) -> bool:
    return bool(edge.cluster.wait_for(ready, "an answer", _PATIENCE))


def _answers(edge: Edge, host: str, status: int) -> bool:
    visit = edge.visit(host, "/html")
    return visit.trusted and visit.status == status


def _ends_with(edge: Edge, host: str, name: str) -> bool:
    return edge.visit(host, "/html").body.strip().endswith(name)


def apply(edge: Edge, story: Story, document: dict[str, Any], *, show: bool = False, hide: str = "") -> None:
    """Apply one object; show it, if it is worth it, as it was written."""
    text = yaml.safe_dump(document, sort_keys=False)
    if show:
        story.show(text)
    edge.cluster.apply(text)
    if hide and not show:
        story.show("\n".join(line for line in text.splitlines() if hide not in line))


def condition(edge: Edge, kind: str, name: str, *where: str) -> bool:
    """Whether an object is Ready."""
    found = edge.cluster.get(kind, name, *where).get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in found)


def served(edge: Edge, story: Story, host: str, page: str) -> Visit:
    """Wait until the host is trusted, as a browser or curl would see it; says how long it took."""
    started = time.monotonic()
    seen: list[str] = []
    visit: Visit = edge.cluster.wait_for(partial(_trusted, edge, host, seen), f"https://{host}/ trusted", _PATIENCE)
    story.show(f"{' -> '.join(seen)} after {time.monotonic() - started:.1f} s")
    story.check(
        f"https://{host}/ is trusted, and shows its page",
        lambda: (visit.status, visit.body) == (200, page),
    )
    plain = edge.visit_plain(host)
    story.check(
        f"http://{host}/ redirects: {plain.status} {plain.location}",
        lambda: (plain.status, plain.location) == (301, f"https://{host}/"),
    )
    status, text = edge.curl(f"http://{host}/")
    if status >= 0:
        story.check(
            f"$ curl --location http://{host}/  ->  {text.splitlines()}", lambda: status == 0 and text == f"{page}\n200"
        )
    return visit


def _trusted(edge: Edge, host: str, seen: list[str]) -> Visit | None:
    visit = edge.visit(host)
    if visit.trusted:
        state = "trusted"
    elif visit.certificate is None:
        state = "no connection"
    else:
        state = "placeholder" if is_placeholder(visit.certificate) else "another certificate"
    if seen[-1:] != [state]:
        seen.append(state)
    return visit if visit.status == 200 else None


def theft(edge: Edge, story: Story) -> None:
    """A tenant's Gateway for another's host gets no certificate, and both can see why."""
    before = edge.visit(TENANT).certificate
    orders = edge.pebble.orders()
    apply(edge, story, edge.istio_gateway("thief", TENANT, namespace="bar", issuer=ISSUER))
    event = edge.cluster.wait_for(partial(warning, edge, "bar", "thief"), "an Event in bar", _PATIENCE)
    story.tell(f"Event on Gateway bar/thief: {event['reason']}: {event['message']}")
    story.check("bar's people are told on their Gateway", lambda: bool(event["message"]))
    story.check("nothing was asked of the CA for it", partial(_same, edge.pebble.orders, orders))
    names = [one["metadata"]["name"] for one in edge.cluster.get("secrets", "-A")["items"]]
    story.check("there is no Secret for it", lambda: "thief" not in names)
    story.check(f"https://{TENANT}/ is foo's as before", lambda: edge.visit(TENANT).certificate == before)


def _same(now: Callable[[], int], before: int) -> bool:
    return now() == before


def warning(edge: Edge, namespace: str, name: str) -> dict[str, Any] | None:
    """A Warning about a Gateway."""
    events = edge.cluster.get("events", "-n", namespace)["items"]
    found = (
        one
        for one in events
        if one["type"] == "Warning"
        and one["involvedObject"].get("kind") == "Gateway"
        and one["involvedObject"]["name"] == name
    )
    return next(found, None)


def left(edge: Edge, story: Story, before: set[tuple[str, str]]) -> None:
    """What a person sees in the end: the table, and no debris of the challenges."""
    edge.cluster.wait_for(partial(shown, edge), "every gateway asked", _PATIENCE)
    listed = command(edge.mesh, "edge")
    story.show(listed)
    story.check("the gateway was asked, and shows the certificate of each", partial(shown, edge))
    ready = {line.split()[0] for line in listed.splitlines() if " ready " in line}
    story.check("mesh-signer edge lists the three hosts as ready", lambda: ready == {SHOP, BLOG, TENANT})
    story.show(edge.cluster.kubectl("get", "orders.acme.cert-manager.io,hostclaims.mesh-signer.dev", "-A"))
    orders = edge.cluster.get("orders.acme.cert-manager.io", "-A")["items"]
    story.check(
        "each Order is valid", lambda: all(one["status"]["state"] == "valid" for one in orders) and bool(orders)
    )
    claims = {
        one["spec"]["host"]: one["spec"]["namespace"] for one in edge.cluster.get("hostclaims.mesh-signer.dev")["items"]
    }
    owners = {SHOP: "istio-system", BLOG: "istio-system", TENANT: "foo"}
    story.check("each host has its HostClaim, for the namespace that has it", lambda: claims == owners)
    made = "acme.cert-manager.io/http01-solver=true"

    def gone() -> bool:
        return not edge.cluster.get("virtualservices.networking.istio.io", "-A", "-l", made)["items"]

    story.check("the challenges' routes are gone", lambda: bool(edge.cluster.wait_for(gone, "clean up", _PATIENCE)))
    story.check("no Pod, Service or Ingress was made for any of it", lambda: inventory(edge) == before)


def shown(edge: Edge) -> bool:
    """Whether mesh-signer has seen each certificate at the gateway."""
    rows = json.loads(command(edge.mesh, "edge", "-o", "json"))
    return {row["host"] for row in rows if row["state"] == "ready" and row["served"]} == {SHOP, BLOG, TENANT}


def inventory(edge: Edge) -> set[tuple[str, str]]:
    """What other ways of proving a host leave in a cluster."""
    found = edge.cluster.get("pods,services,ingresses.networking.k8s.io", "-A")["items"]
    return {(one["kind"], one["metadata"]["name"]) for one in found}


def build(story: Story) -> None:
    """Build the servers that are missing."""
    prepare(story, EDGE_PROGRAMS)


@contextmanager
def play(mesh: Mesh, story: Story) -> Iterator[None]:
    """Tell the story; the gateway, DNS and Pebble go on until the context is left."""
    mesh.options = dataclasses.replace(mesh.options, controllers_options=[OPTION], manifests=FILES)
    edge = Edge(mesh, controllers=CONTROLLERS)
    try:
        tell(edge, story)
        yield
    finally:
        edge.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; the exit status is 0 when every check passed."""
    return perform("make demo-edge", __doc__, arguments, build, play)


if __name__ == "__main__":
    sys.exit(main())
