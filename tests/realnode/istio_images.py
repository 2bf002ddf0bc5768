"""The images of Istio and of its samples, out of the programs that the local mesh has and a base out of Debian.

What Istio publishes comes from registries of images. Its programs are built from the same module as its charts and sample
files, so all of them fit each other; Envoy is Envoy's own, as on the local mesh. A sample's image has the name that stands in
Istio's file, which is applied as it is. Synchronous.
"""

from pathlib import Path

import yaml

from tests.localmesh.build import find_module_file
from tests.localmesh.build import find_program as find_server
from tests.localmesh.toolchain import find_envoy
from tests.realnode.images import Step, assembled, of_program
from tests.realnode.programs import find_program
from tests.realnode.systems import ISTIO_BASE, find_system

HUB, TAG = "mesh-signer.test/istio", "built"
_USER = "--user 1337:1337"
"""As in Istio's own Dockerfiles (pilot/docker); the chart wants it by number."""


def sample(name: str) -> str:
    """Istio's own file samples/NAME/NAME.yaml, as it stands in its module."""
    return find_module_file(f"{name}.yaml").read_text()


def sample_image(name: str) -> str:
    """The image that a sample's Deployment names."""
    (deployment,) = [one for one in yaml.safe_load_all(sample(name)) if one and one["kind"] == "Deployment"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return str(container["image"])


def find_istio_images() -> list[Path]:
    """The archives: istiod, the proxy, and what the samples name."""
    base = Step(sample_image("curl"), {find_system(ISTIO_BASE): "/"})
    proxy = Step(
        f"{HUB}/proxyv2:{TAG}",
        {
            find_module_file("envoy_bootstrap.json"): "/var/lib/istio/envoy/envoy_bootstrap_tmpl.json",
            find_envoy(): "/usr/local/bin/envoy",
            find_server("pilot-agent"): "/usr/local/bin/pilot-agent",
        },
        """--workingdir / --entrypoint '["/usr/local/bin/pilot-agent"]'""",
        base.name,
    )
    return [
        of_program(find_server("pilot-discovery"), f"{HUB}/pilot:{TAG}", "/usr/local/bin", _USER),
        of_program(find_program("go-httpbin"), sample_image("httpbin"), "/bin"),
        assembled("curl.tar", [base]),
        assembled("proxyv2.tar", [base, proxy]),
    ]
