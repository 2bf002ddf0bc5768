"""Pods whose kubelet brings them key, chain and roots: they reach their own tenant's Pods, no other's, and a root is changed."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography import x509

from tests import pki
from tests.realnode.images import IMAGE
from tests.realnode.installation import MANIFESTS, Installation
from tests.realnode.own_cas import announce, make_tenant, remove_tenant, write_ca

RED, BLUE = "red", "blue"
_FOLDER = "/var/run/identity"
_SERVER = f"""
import socket, ssl
listening = socket.create_server(("0.0.0.0", 8443))
while True:
    connection = listening.accept()[0]
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain("{_FOLDER}/cert-chain.pem", "{_FOLDER}/key.pem")
        context.load_verify_locations("{_FOLDER}/root-cert.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.sendall(str(secured.getpeercert()["subjectAltName"]).encode())
    except OSError:
        connection.close()
"""
_ASK = f"""
import socket, ssl
def ask(address):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_cert_chain("{_FOLDER}/cert-chain.pem", "{_FOLDER}/key.pem")
    context.load_verify_locations("{_FOLDER}/root-cert.pem")
    with socket.create_connection((address, 8443), timeout=10) as plain, context.wrap_socket(plain) as secured:
        return secured.recv(1000).decode() or "nothing"
"""
_ONCE = _ASK + "try: print(ask({!r}))\nexcept OSError as error: print('refused', error)\n"
# Goes on until the file `stop` is there, and tells how often it asked and what failed.
_LOAD = (
    _ASK
    + """
import os, time
if os.fork() == 0:
    os.setsid()
    for one in range(3): os.dup2(os.open(os.devnull, os.O_RDWR), one)  # or whoever ran this waits for it
    count, failed = 0, []
    while not os.path.exists("/tmp/stop"):
        for address in {!r}:
            count += 1
            try:
                if "spiffe" not in ask(address): failed.append("nothing")
            except OSError as error: failed.append(str(error))
        time.sleep(0.1)
    with open("/tmp/partial", "w") as file: file.write(repr((count, failed)))
    os.rename("/tmp/partial", "/tmp/told")
"""
)


def _pod(namespace: str, name: str, signer: str, command: list[str]) -> Any:
    projected = [
        {
            "podCertificate": {
                "signerName": f"clusterissuers.cert-manager.io/{signer}",
                "keyType": "ECDSAP256",
                "keyPath": "key.pem",
                "certificateChainPath": "cert-chain.pem",
                "maxExpirationSeconds": 3600,
            }
        },
        {
            "clusterTrustBundle": {
                "signerName": f"clusterissuers.cert-manager.io/{signer}",
                "labelSelector": {"matchLabels": {"mesh-signer.dev/trust-bundle": "roots"}},
                "path": "root-cert.pem",
            }
        },
    ]
    mount = {"name": "identity", "mountPath": _FOLDER, "readOnly": True}
    container = {"name": "app", "image": IMAGE, "imagePullPolicy": "Never", "command": command, "volumeMounts": [mount]}
    spec = {
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": [{"name": "identity", "projected": {"sources": projected}}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


class Tenants:
    """Two tenants with CAs that the test makes, each a SignerPolicy's, and their Pods."""

    def __init__(self, installed: Installation) -> None:
        self.installed = installed
        self.cluster = installed.node.cluster
        self.cas = {name: pki.CA(f"{name}-root") for name in (RED, BLUE)}
        for name, ca in self.cas.items():
            make_tenant(self.cluster, name, ca)

    def serve(self, namespace: str, name: str) -> str:
        """Start a Pod that serves, of its own tenant's signer; its address, once it has its certificate."""
        self.cluster.apply(json.dumps(_pod(namespace, name, namespace, ["python", "-c", _SERVER])))
        self.installed.kubectl("wait", "-n", namespace, "--for=condition=Ready", "--timeout=180s", f"pod/{name}")
        return str(self.cluster.get("pod", name, "-n", namespace)["status"]["podIP"])

    def ask(self, namespace: str, name: str, address: str) -> str:
        return self.installed.run(name, _ONCE.format(address), namespace)

    def files(self, namespace: str, name: str) -> dict[str, list[x509.Certificate]]:
        """Chain and roots, as a Pod sees them."""
        read = "print(open('{}/{}').read())"
        found = {}
        for file in ("cert-chain.pem", "root-cert.pem"):
            pem = self.installed.run(name, read.format(_FOLDER, file), namespace)
            found[file] = x509.load_pem_x509_certificates(pem.encode())
        return found


@pytest.fixture(scope="module")
def tenants(installed: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenants]:
    """mesh-signer with the component, as a user adds it, and as it was afterwards."""
    installed.with_component("pod-certificates", tmp_path_factory.mktemp("overlay"))
    found = Tenants(installed)
    yield found
    for name in (RED, BLUE):
        remove_tenant(found.cluster, name)
    installed.kubectl("delete", "clustertrustbundles", "--all")
    for file in ("rbac.yaml", "admission.yaml"):
        installed.kubectl("delete", "-f", str(MANIFESTS / "components" / "pod-certificates" / file))
    installed.by_kustomize()


def test_key_chain_and_roots(tenants: Tenants) -> None:
    """A Pod's volume has a chain for its own SPIFFE ID, of its tenant's CA, and the root of that CA."""
    tenants.serve(RED, "files")
    found = tenants.files(RED, "files")
    leaf, (root,) = found["cert-chain.pem"][0], found["root-cert.pem"]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [pki.spiffe(RED)]
    assert root == tenants.cas[RED].certificate
    leaf.verify_directly_issued_by(root)


def test_own_tenants_only(tenants: Tenants) -> None:
    """Pods of one tenant reach each other by mutual TLS with these files alone; one of another tenant is refused."""
    address = tenants.serve(RED, "server")
    tenants.serve(RED, "client")
    tenants.serve(BLUE, "stranger")
    assert pki.spiffe(RED) in tenants.ask(RED, "client", address)
    assert tenants.ask(BLUE, "stranger", address).startswith("refused")


def test_a_thief_stays_without(tenants: Tenants) -> None:
    """A Pod that names another tenant's signer gets no files and does not start; its Events say whose signer that is."""
    cluster = tenants.cluster
    cluster.apply(json.dumps(_pod(BLUE, "thief", RED, ["python", "-c", _SERVER])))
    found = ("get", "events", "-n", BLUE, "--field-selector=involvedObject.name=thief", "--output=json")

    def told() -> list[str]:
        items = json.loads(tenants.installed.kubectl(*found))["items"]
        return [str(one["message"]) for one in items if one["reason"] == "TenantMismatch"]

    assert RED in tenants.installed.node.wait_for(told, "a word about the thief")[0]
    assert cluster.get("pod", "thief", "-n", BLUE)["status"]["phase"] == "Pending"
    tenants.installed.kubectl("delete", "pod", "thief", "-n", BLUE)


def test_a_root_is_changed(tenants: Tenants) -> None:
    """While a tenant's root is changed, with both in the bundle, not one request between its Pods fails, old and new ones."""
    first = tenants.serve(RED, "first")
    tenants.serve(RED, "asking")
    old, new = tenants.cas[RED], pki.CA("red-root-of-tomorrow")
    tenants.installed.run("asking", _LOAD.replace("{!r}", repr([first])), RED)
    announce(tenants.cluster, RED, old, new)
    both = {old.certificate, new.certificate}
    for name in ("first", "asking"):
        tenants.installed.node.wait_for(
            lambda name=name: set(tenants.files(RED, name)["root-cert.pem"]) == both, f"both roots in {name}", 240
        )
    tenants.cas[RED] = new
    write_ca(tenants.cluster, RED, new)

    def below_the_new_root() -> str:
        address = tenants.serve(RED, "second")
        leaf = tenants.files(RED, "second")["cert-chain.pem"][0]
        if leaf.issuer == new.certificate.subject:
            return address
        tenants.installed.kubectl("delete", "pod", "second", "-n", RED)
        return ""

    second = tenants.installed.node.wait_for(below_the_new_root, "a certificate below the new root")
    # Old client and new server, new client and old server.
    assert pki.spiffe(RED) in tenants.ask(RED, "asking", second)
    assert pki.spiffe(RED) in tenants.ask(RED, "second", first)
    tenants.installed.run("asking", "open('/tmp/stop', 'w').close()", RED)
    read = "import os\nprint(open('/tmp/told').read() if os.path.exists('/tmp/told') else '')"
    told = tenants.installed.node.wait_for(lambda: tenants.installed.run("asking", read, RED), "the end of the load")
    count, failed = told.strip("()").split(", ", 1)
    assert int(count) > 20
    assert failed == "[]"
