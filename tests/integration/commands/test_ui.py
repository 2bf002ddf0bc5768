"""mesh-signer ui on a real API server, as an operator runs it: the page says what the other commands say."""

import contextlib
import json
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests import pki
from tests.integration.commands.operating import OPERATORS, Run, World, authorities
from tests.integration.commands.page import Page
from tests.integration.hot_path import signer_name
from tests.localmesh import Cluster

pytestmark = pytest.mark.integration

Start = Callable[..., Page]


@pytest.fixture
def start(mesh: Cluster, istio: str) -> Iterator[Start]:
    """Starts the command as the operator, or as another user."""
    with contextlib.ExitStack() as stack:

        def call(*arguments: str, user: str = "olga", groups: tuple[str, ...] = (OPERATORS,)) -> Page:
            options = (f"--kubeconfig={mesh.kubeconfig(user, groups)}", f"--istio-namespace={istio}", *arguments)
            return stack.enter_context(Page(*options))

        yield call


def tenants(view: Any, *names: str) -> list[Any]:
    return [row for row in view["tenants"]["rows"] if row["namespace"] in names]


def test_the_same_as_the_commands(run: Run, world: World, start: Start) -> None:
    """Tenants, hosts and parts are those of `tenants`, `edge` and `status`; a change appears by itself; Ctrl-C ends it."""
    foo, thief = world.tenant("foo"), world.tenant("thief", signer=world.name("foo"))
    ca = pki.CA("foo")
    world.signer("foo", ca)
    world.mesh_config(authorities(foo, roots={foo: ca.pem.decode()}))
    world.bind(foo, foo)
    page = start()
    view = page.view()
    rows = [row for row in run("tenants", "-o", "json").json if row["namespace"] in {foo, thief}]
    assert tenants(view, foo, thief) == rows
    assert {row["status"] for row in rows} == {"granted", "SignerClaimed"}
    assert view["gaps"] == []
    assert view["hosts"]["rows"] == run("edge", "-o", "json").json
    parts = {row["part"] for row in run("status", "-o", "json").json}
    assert {row["part"] for row in view["parts"]["rows"]} == parts
    codes = {row["code"] for row in view["findings"]["rows"]}
    assert codes == {row["code"] for row in run("doctor", "-o", "json").json["findings"]}
    (signer,) = [row for row in view["signers"]["rows"] if row["signer"] == signer_name(foo)]
    assert (signer["owner"], signer["state"], signer["subject"]) == (foo, "ready", "CN=foo")
    (refused,) = [row for row in view["waits"]["rows"] if row["name"] == thief]
    assert (refused["state"], refused["reason"]) == ("refused", "SignerClaimed")
    (root,) = [row for row in view["roots"]["rows"] if f"ClusterIssuer {foo}" in row["signers"]]
    assert (root["tenants"], root["subject"]) == ([foo], "CN=foo")

    late = world.tenant("late", signer=world.name("foo"))
    assert tenants(page.view(lambda found: tenants(found, late)), late)[0]["status"] == "SignerClaimed"
    asked = world.place.create(signer_name(foo))["metadata"]["name"]
    found = page.view(lambda view: [row for row in view["waits"]["rows"] if row["name"] == asked])
    (request,) = [row for row in found["waits"]["rows"] if row["name"] == asked]
    assert request["ask"] == f"mesh-signer explain {asked}"

    page.process.send_signal(signal.SIGINT)
    out, err = page.process.communicate(timeout=30)
    assert (page.process.returncode, out, err) == (130, "", "")


def test_who_gets_it(world: World, start: Start) -> None:
    """Without the token there is the empty page and nothing of the mesh; with it no Secret's data."""
    foo = world.tenant("foo")
    ca = pki.CA("foo")
    world.signer("foo", ca)
    world.mesh_config(authorities(foo))
    page = start()
    page.view()
    assert page.ask("/")[0] == 200
    assert foo.encode() not in page.ask("/")[1]
    assert page.ask(token="guessed")[0] == 401
    _, body = page.ask()
    assert b"PRIVATE KEY" not in body
    for line in ca.key_pem.decode().splitlines()[1:-1]:
        assert line.encode() not in body


def test_an_event(world: World, start: Start) -> None:
    """A warning of ours is shown with its object; one of somebody else's is not."""
    foo = world.tenant("foo")
    world.mesh_config(authorities(foo))
    for component, reason in (("mesh-signer", "SignerClaimed"), ("another", "Elsewhere")):
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"e-{component}", "namespace": foo},
            "involvedObject": {"apiVersion": "v1", "kind": "ProxyConfig", "namespace": foo, "name": "pc"},
            "reason": reason,
            "message": "it is another's",
            "type": "Warning",
            "count": 3,
            "source": {"component": component},
            "reportingComponent": component,
            "reportingInstance": "x",
        }
        world.place.cluster.apply(json.dumps(event))
    view = start().view()
    told = [row for row in view["waits"]["rows"] if row["state"] == "told" and row["namespace"] == foo]
    assert [(row["kind"], row["name"], row["reason"], row["count"]) for row in told] == [
        ("ProxyConfig", "pc", "SignerClaimed", 3)
    ]


def test_a_right_that_is_missing(world: World, start: Start) -> None:
    """Who may read nothing sees which rights he lacks, one for each list, and no row that looks like an answer."""
    foo = world.tenant("foo")
    world.mesh_config(authorities(foo))
    view = start(user="nobody", groups=()).view()
    gaps = " ".join(view["gaps"])
    for resource in ("signerpolicies", "namespaces", "events", "certificatesigningrequests", "configmaps"):
        assert f"{resource}" in gaps
    assert "may not be read (verb list)" in gaps
    assert (view["tenants"]["rows"], view["hosts"]["rows"]) == ([], [])
    assert view["tenants"]["problem"]
    assert view["hosts"]["problem"]
