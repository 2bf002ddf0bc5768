"""What the edge makes is taken by the real API server with Istio's and the Gateway API's own CRDs, and by Istio's checks."""

import functools
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from signer.edge.gateways.bodies import certificate_body, gateway_secret
from signer.edge.gateways.read import gateway_wishes
from signer.edge.http01.routes import SolverService, http_route, ingress, own_gateway, reference_grant, virtual_service
from signer.edge.orders.step import MakeChallenges, challenge_body, order_step
from tests.integration.crds.objects import create
from tests.localmesh import Cluster
from tests.localmesh.build import find_program
from tests.localmesh.install import wait_established
from tests.localmesh.toolchain import find_go, go_environment
from tests.unit.edge.http01.test_routes import KEY, answer
from tests.unit.edge.issuance import SOLVER as ISSUERS_SOLVER
from tests.unit.edge.issuance import order, pending
from tests.unit.edge.objects import LE, gateway, https

pytestmark = pytest.mark.integration

GO_TOOLS = Path(__file__).parents[1] / "localmesh" / "gotools" / "istio"
SOLVER = SolverService("default", "mesh-signer-solver", 8089)
ANSWER = answer("default")
ROUTES: dict[str, dict[str, Any]] = {
    "A": virtual_service(ANSWER, ("default", "shop"), ["istio-system"]),
    "B": own_gateway(ANSWER, "default", {"istio": "ingressgateway"}),
    "B's routes": virtual_service(ANSWER, ("default", ANSWER.object_name), ["istio-system"], redirect=True),
    "D": ingress(ANSWER, "default", "istio", SOLVER),
    "E": http_route(ANSWER, ("default", "shop"), ["http"], SOLVER),
    "E's grant": reference_grant(ANSWER, "default", SOLVER),
}


@functools.cache
def module(path: str) -> Path:
    """Where a Go module of the local mesh lies."""
    done = subprocess.run(
        [find_go((1, 21)), "list", "-m", "-f", "{{.Dir}}", path],
        cwd=GO_TOOLS,
        env=go_environment() | {"GOFLAGS": "-mod=mod"},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return Path(done.stdout.strip())


@pytest.fixture(scope="module")
def served(installed: Cluster) -> Iterator[Cluster]:
    """The cluster with the CRDs of Istio's and the Gateway API's routes; what was not there before is removed."""
    wanted = []
    istio = module("istio.io/istio") / "manifests" / "charts" / "base" / "files" / "crd-all.gen.yaml"
    gateways = module("sigs.k8s.io/gateway-api") / "config" / "crd" / "standard"
    kinds = ("gateways.networking.istio.io", "virtualservices.networking.istio.io")
    wanted += [
        one for one in yaml.load_all(istio.read_text("utf-8"), yaml.CSafeLoader) if one["metadata"]["name"] in kinds
    ]
    for name in ("httproutes", "referencegrants"):
        text = (gateways / f"gateway.networking.k8s.io_{name}.yaml").read_text("utf-8")
        wanted.append(yaml.load(text, yaml.CSafeLoader))
    names = [one["metadata"]["name"] for one in wanted]
    there = set(installed.kubectl("get", "crd", "-o", "name").split())
    added = [f"crd/{name}" for name in names if f"customresourcedefinition.apiextensions.k8s.io/{name}" not in there]
    installed.kubectl("apply", "--server-side", "-f", "-", input=yaml.safe_dump_all(wanted))
    wait_established(installed, *names)
    yield installed
    if added:
        installed.kubectl("delete", *added, "--wait=false")


@pytest.mark.parametrize("mode", ROUTES)
def test_routes(served: Cluster, mode: str) -> None:
    """Each object that answers a challenge is taken as it is, no field unknown or dropped."""
    one = ROUTES[mode]
    taken = json.loads(
        served.kubectl(
            "create", "--dry-run=server", "--validate=strict", "-o", "json", "-f", "-", input=json.dumps(one)
        )
    )
    assert taken["metadata"]["labels"] == one["metadata"]["labels"]
    assert _within(one["spec"], taken["spec"])


def _within(ours: Any, theirs: Any) -> bool:
    """Whether all that we wrote is there; the API server may add defaults."""
    if isinstance(ours, dict):
        return all(key in theirs and _within(value, theirs[key]) for key, value in ours.items())
    if isinstance(ours, list):
        return len(ours) == len(theirs) and all(map(_within, ours, theirs))
    return bool(ours == theirs)


def test_istio_finds_nothing_wrong() -> None:
    """Istio's own validation, which its webhook runs, accepts the VirtualServices and the Gateway."""
    texts = [json.dumps(ROUTES[mode]) for mode in ("A", "B", "B's routes")]
    done = subprocess.run(
        [find_program("istioctl"), "validate", "-f", "-"],
        input="\n---\n".join(texts),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    broken = ROUTES["A"] | {"spec": ROUTES["A"]["spec"] | {"hosts": []}}
    refused = subprocess.run(
        [find_program("istioctl"), "validate", "-f", "-"],
        input=json.dumps(broken),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert refused.returncode != 0


def test_what_is_made_for_a_wish(served: Cluster) -> None:
    """The Certificate, the placeholder's Secret and the Challenge are taken as they are."""
    (wish,) = gateway_wishes(gateway(https("a.example.com", "*.example.com"), namespace="default"), LE).certificates
    made = certificate_body(wish, "default", source_namespace_uid="u")
    assert create(served, made, "--dry-run=server")["spec"] == made["spec"]
    data = {"tls.crt": _pem("C"), "tls.key": _pem("K")}
    secret = gateway_secret(wish, "default", source_namespace_uid="u", data=data, placeholder=True)
    assert create(served, secret, "--dry-run=server")["data"] == secret["data"]
    ordered = order(pending())
    step = order_step(ordered, (), [ISSUERS_SOLVER], {}, lambda _kind, _token: KEY)
    assert isinstance(step, MakeChallenges)
    challenge = challenge_body(ordered, step.challenges[0], KEY)
    challenge["metadata"]["namespace"] = "default"
    assert create(served, challenge, "--dry-run=server")["spec"] == challenge["spec"]


def _pem(word: str) -> bytes:
    return f"-----BEGIN {word}-----\nAA==\n-----END {word}-----\n".encode()
