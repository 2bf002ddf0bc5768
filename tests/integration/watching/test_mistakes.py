"""Mistakes that people make: each is one warning or error in the log, which names the object and says what to do.

They are planted at once, beside a signer and controllers that run for all of them. What is about one process alone is in
test_mistakes_of_a_process.py.
"""

import json
import re
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests import pki
from tests.integration.hot_path import Place
from tests.integration.tenants import ISTIO, ISTIOD, Tenants, meshed
from tests.integration.watching.log_lines import warnings
from tests.localmesh import Cluster
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, SignerProcess

pytestmark = pytest.mark.integration
PATIENCE = 60.0
DAY = timedelta(days=1)


@dataclass
class Scene:
    """A mesh with tenants, a signer and controllers that write JSON, and names that nobody else has."""

    tenants: Tenants
    signer: SignerProcess
    controllers: SignerProcess
    token: str = field(default_factory=lambda: secrets.token_hex(3))

    @property
    def place(self) -> Place:
        return self.tenants.place

    def name(self, word: str) -> str:
        return f"{word}-{self.token}"

    def issuer(self, word: str, spec: Any) -> str:
        self.place.issuer(self.name(word), spec)
        return self.name(word)

    def ca(self, word: str, data: dict[str, bytes] | None) -> str:
        if data is not None:
            self.place.secret(self.name(word), data)
        return self.issuer(word, {"ca": {"secretName": self.name(word)}})

    def apply(self, body: Any) -> None:
        self.place.cluster.apply(json.dumps(body))

    def claim(self, tenant: str, value: str) -> str:
        spec = {"environmentVariables": {"ISTIO_META_CERT_SIGNER": value}}
        meta = {"name": "claim", "namespace": self.tenants.name(tenant)}
        self.apply({"apiVersion": "networking.istio.io/v1beta1", "kind": "ProxyConfig", "metadata": meta, "spec": spec})
        return "claim"

    def certificate(self, word: str, **spec: Any) -> str:
        name, tenant = self.name(word), self.tenants.name("plain")
        body = {"secretName": name, "commonName": name, "issuerRef": {"name": "nobody", "kind": "Issuer"}} | spec
        meta = {"name": name, "namespace": tenant}
        self.apply({"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": meta, "spec": body})
        return name


@dataclass(frozen=True)
class Mistake:
    """Plants something; returns what the line must name. `words` are in it: what is wrong, or what to do."""

    plant: Callable[[Scene], str]
    words: str
    by: str = "signer"


def expired(**dates: datetime) -> dict[str, bytes]:
    return pki.CA("dated", **dates).secret()  # type: ignore[arg-type] # its dates alone


def asks(scene: Scene, tenant: str, **more: Any) -> str:
    csr = pki.workload_csr(scene.tenants.name(tenant), more.pop("account", "default"), **more)
    return scene.place.ask(scene.tenants.signer(tenant), csr, user=ISTIOD)


def unknown_issuer(scene: Scene) -> str:
    signer = f"clusterissuers.cert-manager.io/{scene.name('misspelt')}"
    return scene.place.ask(signer, pki.workload_csr(scene.tenants.name("plain")), user=ISTIOD)


def own_secret(scene: Scene) -> str:
    """A Secret of somebody else has the name."""
    name = scene.name("taken")
    scene.place.secret(name, {"password": b"x"}, scene.tenants.name("plain"))
    return scene.certificate("taken")


def two_certificates(scene: Scene) -> str:
    scene.certificate("first")
    return scene.certificate("second", secretName=scene.name("first"))


def mesh_config(scene: Scene) -> str:
    name = f"istio-{scene.token}"
    meta = {"name": name, "namespace": ISTIO}
    for mesh in ("caCertificates: []", "caCertificates: {{{"):  # one that was never readable would hold up everything
        scene.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"mesh": mesh}})
    return name


NOW = datetime.now(UTC)
ROOT = pki.CA("mistakes")
MISTAKES = {
    "issuer without its Secret": Mistake(lambda scene: scene.ca("no-secret", None), "not found in namespace"),
    "the key of another certificate": Mistake(
        lambda scene: scene.ca("other-key", ROOT.secret() | {"tls.key": pki.key_pem(pki.key("p256", 71))}),
        "not the key of the certificate",
    ),
    "an expired CA": Mistake(
        lambda scene: scene.ca("expired", expired(not_before=NOW - 9 * DAY, not_after=NOW - DAY)), "expired at"
    ),
    "a CA of tomorrow": Mistake(
        lambda scene: scene.ca("early", expired(not_before=NOW + DAY, not_after=NOW + 9 * DAY)), "valid from"
    ),
    "a CA that ends soon": Mistake(
        lambda scene: scene.ca("ending", expired(not_before=NOW - 90 * DAY, not_after=NOW + DAY)), "CAEndsSoon"
    ),
    "a certificate that is no CA": Mistake(
        lambda scene: scene.ca("leaf", ROOT.intermediate("leaf", is_ca=False).secret()), "is not a CA"
    ),
    "the CA under other names": Mistake(
        lambda scene: scene.ca("misnamed", {"ca.crt": ROOT.pem, "ca.key": ROOT.key_pem}), "belong under tls.crt"
    ),
    "an encrypted key": Mistake(
        lambda scene: scene.ca("encrypted", ROOT.secret() | {"tls.key": pki.key_pem(ROOT.private, b"x")}), "encrypted"
    ),
    "a type that there is not": Mistake(
        lambda scene: scene.issuer(
            "vault", {"vault": {"server": "https://v.example", "path": "p", "auth": {"tokenSecretRef": {"name": "t"}}}}
        ),
        "spec.vault is not supported",
    ),
    "a typing error in a ProxyConfig": Mistake(lambda scene: scene.claim("typo", "no such name!"), "no such name!"),
    "a mesh config that is no YAML": Mistake(mesh_config, "mesh"),
    "a signer that is misspelt": Mistake(unknown_issuer, "IssuerNotFound"),
    "a thief": Mistake(lambda scene: scene.tenants.ask("thief", "plain"), "TenantMismatch"),
    "a root that the mesh does not have": Mistake(lambda scene: asks(scene, "odd"), "RootMismatch"),
    "a key that is too weak": Mistake(lambda scene: asks(scene, "plain", private=pki.key("rsa1024", 3)), "bits"),
    "a Certificate without an issuer": Mistake(
        lambda scene: scene.certificate("orphan"), "IssuerNotFound", by="controllers"
    ),
    "somebody else's Secret": Mistake(own_secret, "SecretNotOwned|SecretTypeMismatch", by="controllers"),
    "two Certificates for one Secret": Mistake(two_certificates, "DuplicateSecretName", by="controllers"),
}


@pytest.fixture(scope="module")
def scene(installed: Cluster) -> Iterator[Scene]:
    """All of them, planted one after the other and told."""
    options = ("--log-format=json",)
    with meshed(installed) as tenants:
        tenants.add("plain", "thief", "odd", "typo")
        tenants.cas["odd"] = pki.CA("another-root")
        tenants.add("last")  # writes the mesh config, with another root for `odd`
        slow = SignerProcess(
            installed, *options, "--controllers=issuers,certificates,certificaterequests", account=CONTROLLERS_ACCOUNT
        )
        with SignerProcess(installed, *options, "--controllers=csr", tenancy="enforce") as signer, slow as controllers:
            assert tenants.place.answered(tenants.ask("plain")).chain
            made = Scene(tenants, signer, controllers)
            yield made
        installed.kubectl("delete", "configmap", f"istio-{made.token}", "-n", ISTIO, "--ignore-not-found")


@pytest.fixture(scope="module")
def planted(scene: Scene) -> dict[str, str]:
    """What each mistake's line must name."""
    found = {what: mistake.plant(scene) for what, mistake in MISTAKES.items()}
    deadline = time.monotonic() + PATIENCE
    while any(not told(scene, what, name) for what, name in found.items()) and time.monotonic() < deadline:
        time.sleep(0.5)
    time.sleep(3)  # for what should not come
    return found


def told(scene: Scene, what: str, name: str) -> list[str]:
    """The warnings that name it, of the process whose business it is."""
    process = scene.signer if MISTAKES[what].by == "signer" else scene.controllers
    return [line["message"] for line in warnings(process) if re.search(rf"\b{re.escape(name)}\b", line["message"])]


@pytest.mark.parametrize("what", MISTAKES)
def test_one_line(scene: Scene, planted: dict[str, str], what: str) -> None:
    """It is told once, by the name of the object, with what is wrong or what to do."""
    found = told(scene, what, planted[what])
    assert len(found) == 1, "\n".join([*found, "of", *(line["message"] for line in warnings(scene.signer))])
    assert re.search(MISTAKES[what].words, found[0]), found[0]


def test_nothing_else(scene: Scene, planted: dict[str, str]) -> None:
    """Beside those lines there is none: twenty mistakes are not lost among two hundred lines."""
    names = [*planted.values(), scene.name("first")]
    for process in (scene.signer, scene.controllers):
        others = [line["message"] for line in warnings(process) if not any(one in line["message"] for one in names)]
        # The cluster is shared: Issuers that other tests left in their namespaces are none of these mistakes.
        mine = [one for one in others if "cannot watch secrets in" not in one or scene.tenants.token in one]
        assert mine == []


def test_fields(scene: Scene, planted: dict[str, str]) -> None:
    """A line about a request has its fields, one about an object names that."""
    (thief,) = [line for line in warnings(scene.signer) if line.get("reason") == "TenantMismatch"]
    assert thief["request"] == planted["a thief"]
    assert (thief["namespace"], thief["signer"]) == (scene.tenants.name("thief"), scene.tenants.signer("plain"))
    (secret,) = [line for line in warnings(scene.signer) if planted["issuer without its Secret"] in line["message"]]
    assert secret["object"] == f"ClusterIssuer {planted['issuer without its Secret']}"
    assert secret["reason"] == "ErrGetKeyPair"


def test_first_line(scene: Scene) -> None:
    """The first line has the settings that are not the default, and no other."""
    first = json.loads(scene.signer.log.splitlines()[0])
    assert first["message"].startswith("mesh-signer ")
    settings = first["message"].partition("not the default: ")[2].split()
    assert {"--log-format=json", "--controllers=csr"} <= set(settings)
    assert not any(one.startswith(("--write-window", "--tenancy")) for one in settings)
