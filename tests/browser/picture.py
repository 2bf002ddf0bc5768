"""`make ui-picture`: takes docs/ui.png, the page of `mesh-signer ui` over a real local mesh, with real istiod and controllers.

Besides the Istio task's tenants there are a namespace that claims another's signer, and two teams below one corporate root.
Nothing of the picture is drawn or put right. Synchronous; ends everything that it started.
"""

import base64
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from selenium.webdriver.support.wait import WebDriverWait

from tests import pki
from tests.browser.chromium import chromium
from tests.localmesh.errors import LocalMeshError
from tests.localmesh.mesh import Mesh
from tests.localmesh.signer import NAMESPACE

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "ui.png"
_WIDTH, _HEIGHT = 1120, 900
_SECONDS = 60.0
_MOST_BYTES = 200_000


def main() -> int:
    """Take the picture; errors end with one message and status 1."""
    try:
        with tempfile.TemporaryDirectory() as folder, Mesh() as mesh:
            add_tenants(mesh)
            take(mesh, Path(folder))
    except LocalMeshError as error:
        print(f"ui-picture: {error}", file=sys.stderr)
        return 1
    print(f"ui-picture: {PICTURE.name}, {PICTURE.stat().st_size} bytes")
    return 0


def add_tenants(mesh: Mesh) -> None:
    """A thief, and two teams that share a root."""
    corporate = pki.CA("corporate-root")
    for name in ("team-a", "team-b"):
        data = {key: base64.b64encode(value).decode() for key, value in corporate.intermediate(name).secret().items()}
        apply(mesh, "v1", "Secret", name, NAMESPACE, type="kubernetes.io/tls", data=data)
        apply(mesh, "cert-manager.io/v1", "ClusterIssuer", name, spec={"ca": {"secretName": name}})
    for namespace, signer in (("team-a", "team-a"), ("team-b", "team-b"), ("thief", "foo")):
        apply(mesh, "v1", "Namespace", namespace)
        claim = {"environmentVariables": {"ISTIO_META_CERT_SIGNER": signer}}
        apply(mesh, "networking.istio.io/v1beta1", "ProxyConfig", "pc", namespace, spec=claim)
    # It ends with 1, since it says what is wrong with a root that two tenants have, and writes it all the same.
    subprocess.run(line(mesh, "mesh-config", "team-a", "team-b", "--write"), check=False, capture_output=True)


def apply(mesh: Mesh, version: str, kind: str, name: str, namespace: str = "", **body: Any) -> None:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    mesh.cluster.apply(json.dumps({"apiVersion": version, "kind": kind, "metadata": metadata, **body}))


def line(mesh: Mesh, *words: str) -> list[str]:
    return [sys.executable, "-m", "signer", *words, f"--kubeconfig={mesh.cluster.kubeconfig()}"]


def take(mesh: Mesh, folder: Path) -> None:
    """Open the page, wait until the owners of all signers are stored, and take the view of who trusts whom."""
    with subprocess.Popen(line(mesh, "ui"), stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            with chromium(folder, width=_WIDTH, height=_HEIGHT) as browser:
                browser.get(url)
                browser.find_element("id", "tab-trust").click()
                wait = WebDriverWait(browser, _SECONDS)
                wait.until(lambda one: one.find_element("id", "trust").text.count("SignerBinding team-") == 2)
                bottom = browser.execute_script(
                    "return document.querySelector('[data-table=tenants]').getBoundingClientRect().bottom"
                )
                clip = {"x": 0, "y": 0, "width": _WIDTH, "height": bottom + 16, "scale": 1}
                shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True})
                found = base64.b64decode(shot["data"])
        finally:
            process.terminate()
    if len(found) > _MOST_BYTES:
        raise LocalMeshError(f"the picture has {len(found)} bytes, and may have {_MOST_BYTES}")
    PICTURE.write_bytes(found)


if __name__ == "__main__":
    sys.exit(main())
