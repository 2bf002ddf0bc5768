"""The two sets of tests that a node is made for: mesh-signer alone, and with Istio around it. What each needs, and where it is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.realnode.images import find_image, find_resolver, find_sandbox
from tests.realnode.istio_images import find_istio_images

INSIDE = Path(__file__).parent / "inside"
_SERVERS = ("etcd", "kube-apiserver", "kube-controller-manager")
# What istio-init sets in a Pod's own network.
_INTERCEPTION = """
iptables -w -t nat -A OUTPUT -p tcp -m owner --uid-owner 1337 -m conntrack --ctstate NEW -j RETURN
iptables -w -t nat -A OUTPUT -p tcp -j REDIRECT --to-ports 15001
iptables -w -t nat -F OUTPUT
"""


@dataclass(frozen=True)
class Suite:
    """What is run inside.

    Args:
        tests: what pytest is told to run.
        servers: programs of the local mesh that run beside the node.
        images: finds the archives that the node is to have, and builds them first.
        probe: a script that fails where the kernel lacks what only this one needs.
    """

    tests: tuple[str, ...]
    servers: tuple[str, ...]
    images: Callable[[], list[Path]]
    probe: str = ""


def _plain() -> list[Path]:
    return [find_sandbox(), find_resolver(), find_image()]


SUITES = {
    "node": Suite((str(INSIDE), f"--ignore={INSIDE / 'istio'}"), (*_SERVERS, "helm"), _plain),
    "istio": Suite(
        (str(INSIDE / "istio"),),
        (*_SERVERS, "istioctl", "pebble"),
        lambda: [*_plain(), *find_istio_images()],
        _INTERCEPTION,
    ),
}
