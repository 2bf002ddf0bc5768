"""`make demo`: the main job on a real API server, told step by step, with every claim checked.

Synchronous; ends everything that it started, unless --keep is given, which waits for Ctrl-C first.
"""

import argparse
import json
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from tests.localmesh import LocalCluster
from tests.localmesh.cluster import Cluster
from tests.localmesh.errors import LocalMeshError
from tests.localmesh.handshake import handshake
from tests.localmesh.istiod_requests import (
    Issued,
    Workload,
    install_istiod,
    make_csr,
    make_key,
    make_object,
    request_certificate,
)
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, NAMESPACE, SIGNER_ACCOUNT, SignerProcess

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"
EXAMPLE = MANIFESTS / "examples" / "istio-task"
TENANTS = ("istio-system", "foo", "bar")
WORKLOADS = (
    Workload("istio-system", "istio-ingressgateway", "istio-system"),
    Workload("foo", "httpbin", "foo"),
    Workload("foo", "curl", "foo"),
    Workload("bar", "httpbin", "bar"),
)


class Story:
    """Tells what happens, and counts what was checked."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed: list[str] = []
        self._colour = sys.stdout.isatty()

    def _paint(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self._colour else text

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One step, with the time that it took."""
        print(self._paint("1", f"==> {title}"), flush=True)
        started = time.monotonic()
        yield
        print(self._paint("2", f"    ({time.monotonic() - started:.1f} s)"), flush=True)

    def show(self, text: str) -> None:
        """Something to look at, indented."""
        print("\n".join(f"    {line}" for line in text.rstrip().splitlines()), flush=True)

    def check(self, claim: str, holds: Callable[[], bool]) -> None:
        """One claim that is true or not."""
        try:
            good = holds()
        except (LocalMeshError, ValueError, OSError) as error:
            good, claim = False, f"{claim} ({error})"
        if good:
            self.passed += 1
        else:
            self.failed.append(claim)
        print(f"    {self._paint('32', 'ok') if good else self._paint('31', 'FAILED')}  {claim}", flush=True)

    def end(self) -> int:
        """Say how it went; the exit status."""
        if not self.failed:
            print(f"\ndemo: {self.passed} checks passed")
            return 0
        print(f"\ndemo: {len(self.failed)} checks FAILED, {self.passed} passed")
        for claim in self.failed:
            print(f"  failed: {claim}")
        return 1


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns side by side, the first row being the heads."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def common_name(name: x509.Name) -> str:
    """The common name in a subject."""
    return str(name.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


class Verifier:
    """Checks chains with the openssl program; without one, by a TLS handshake through Python's own OpenSSL."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.openssl = shutil.which("openssl")

    @property
    def name(self) -> str:
        """What it verifies with."""
        return "openssl verify" if self.openssl else f"a TLS handshake ({ssl.OPENSSL_VERSION})"

    def trusts(self, root: bytes, issued: Issued) -> bool:
        """Whether a party that trusts only `root` accepts the certificate."""
        if self.openssl is None:
            return handshake(issued.chain, issued.key, root)
        leaf, trusted = self._folder / "leaf.pem", self._folder / "root.pem"
        leaf.write_bytes(issued.chain)
        trusted.write_bytes(root)
        command = [
            self.openssl,
            "verify",
            "-x509_strict",
            "-purpose",
            "sslserver",
            "-no-CApath",
            "-CAfile",
            str(trusted),
        ]
        done = subprocess.run([*command, "-untrusted", str(leaf), str(leaf)], capture_output=True, check=False)
        return done.returncode == 0

    def judges(self, root: bytes, issued: Issued, *, trusted: bool) -> bool:
        """Whether the verdict on a certificate is the expected one."""
        return self.trusts(root, issued) is trusted


def roots_of(cluster: Cluster) -> dict[str, bytes]:
    """The root of each tenant, exported as the Istio task does: issuer, its Secret, ca.crt."""
    found = {}
    for tenant in TENANTS:
        secret = cluster.kubectl("get", "clusterissuers", tenant, "-o", "jsonpath={.spec.ca.secretName}")
        pem = cluster.kubectl(
            "get", "secret", "-n", NAMESPACE, secret, "-o", r'go-template={{index .data "ca.crt" | base64decode}}'
        )
        found[tenant] = pem.encode()
    return found


def tell(cluster: LocalCluster, story: Story, signer: SignerProcess, controllers: SignerProcess) -> None:
    """The whole story, on an API server that runs."""
    with story.step("kubectl apply -k manifests/crds and manifests/base"):
        cluster.apply_kustomize(MANIFESTS / "crds")
        cluster.apply_kustomize(MANIFESTS / "base")
        cluster.kubectl(
            "wait",
            "--for=condition=Established",
            "crd/certificates.cert-manager.io",
            "crd/clusterissuers.cert-manager.io",
        )
    with story.step("mesh-signer, twice, as its two Deployments run it: each under its own ServiceAccount and RBAC"):
        signer.start()
        controllers.start()
        story.show(f"{SIGNER_ACCOUNT}: {signer.ready()[1]}")
    with story.step("the Istio task's issuers: three self-signed CAs, three ClusterIssuers"):
        cluster.kubectl("apply", "-f", EXAMPLE / "issuers.yaml")
        cluster.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "clusterissuers", *TENANTS)
        story.show(cluster.kubectl("get", "clusterissuers"))
        story.show(cluster.kubectl("get", "certificates", "-n", NAMESPACE))
        story.show(cluster.kubectl("get", "secret", "-n", NAMESPACE, "-l", "controller.cert-manager.io/fao=true"))
    for namespace in TENANTS:
        cluster.create_namespace(namespace)
    istiod = install_istiod(cluster, TENANTS)
    issued: list[Issued] = []
    with story.step(
        "what istiod does for each workload: create the request, approve it, wait for the certificate, delete"
    ):
        for workload in WORKLOADS:
            issued.append(request_certificate(istiod, workload, timeout=30))
            one = issued[-1]
            story.show(f"{one.name}: {workload.spiffe_id} by {workload.signer_name} after {one.seconds * 1000:.0f} ms")
    rows = [("WORKLOAD", "SIGNER", "SPIFFE ID", "ISSUER", "EXPIRES")]
    for one in issued:
        certificate, workload = one.certificate, one.workload
        san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uri = san.get_values_for_type(x509.UniformResourceIdentifier)[0]
        expires = certificate.not_valid_after_utc.strftime("%Y-%m-%d %H:%M:%S")
        rows.append(
            (
                f"{workload.namespace}/{workload.service_account}",
                workload.signer,
                uri,
                f"CN={common_name(certificate.issuer)}",
                expires,
            )
        )
    print()
    story.show(table(rows))
    print()
    verifier = Verifier(cluster.folder)
    roots = roots_of(cluster)
    with story.step(f"who trusts whom: {verifier.name}"):
        for one in issued:
            who = f"{one.workload.namespace}/{one.workload.service_account}"
            story.check(f"{who} has the SPIFFE ID that it asked for", partial(has_own_identity, one))
            for tenant in TENANTS:
                expected = tenant == one.workload.signer
                claim = f"{who} is {'' if expected else 'not '}trusted by {tenant}'s root"
                story.check(claim, partial(verifier.judges, roots[tenant], one, trusted=expected))
    with story.step("a request that may not be issued is refused, with its reason"):
        refused(cluster, story)
    with story.step("what is left: the audit log, since istiod deletes its requests"):
        audit = signer.audit()
        stored = [line for line in audit if line.get("outcome") == "stored"]
        story.check(
            "each certificate has its two audit lines, the intent and the outcome",
            lambda: (
                {f"{one.certificate.serial_number:x}" for one in issued}
                == {line["serial"] for line in stored}
                == {line["serial"] for line in audit if line["audit"] == "intent" and line["verdict"] == "issue"}
            ),
        )
        issued_count = signer.metric("mesh_signer_requests_total", outcome="issued")
        story.check(f"the metrics count {len(WORKLOADS)} issued requests", lambda: issued_count == len(WORKLOADS))
        story.check(
            "no request is left in the API server but the refused one", lambda: len(cluster.get("csr")["items"]) == 1
        )


def has_own_identity(one: Issued) -> bool:
    """Whether a certificate's URIs are the workload's SPIFFE ID and nothing else."""
    return workload_uri(one) == one.workload.spiffe_id


def workload_uri(one: Issued) -> str:
    """The one URI in a certificate."""
    san = one.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return " ".join(san.get_values_for_type(x509.UniformResourceIdentifier))


def refused(cluster: LocalCluster, story: Story) -> None:
    """A request whose lifetime is too short gets a condition that says so."""
    cluster.kubectl("create", "-f", "-", input=bad_request())
    cluster.kubectl("certificate", "approve", "too-short")
    cluster.kubectl("wait", "--for=condition=Failed", "--timeout=30s", "csr/too-short")
    status = cluster.get("csr", "too-short")["status"]
    failed = next(condition for condition in status["conditions"] if condition["type"] == "Failed")
    story.show(f"Failed: {failed['reason']}: {failed['message']}")
    story.check(
        "the condition names the reason, and there is no certificate",
        lambda: failed["reason"] == "InvalidDuration" and "certificate" not in status,
    )


def bad_request() -> str:
    """A CertificateSigningRequest whose annotation asks for one minute."""
    workload = Workload("foo", "curl", "foo")
    body = make_object(workload, make_csr(workload.spiffe_id, make_key("ec")))
    body["metadata"] = {"name": "too-short", "annotations": {"experimental.cert-manager.io/request-duration": "1m"}}
    return json.dumps(body)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; the exit status is 0 when every check passed."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave it running until Ctrl-C, and print the kubeconfig")
    options = parser.parse_args(arguments)
    story = Story()
    cluster = LocalCluster()
    signer = SignerProcess(cluster, "--controllers=csr", account=SIGNER_ACCOUNT, name="mesh-signer-0")
    controllers = SignerProcess(
        cluster,
        "--controllers=issuers,certificates,certificaterequests",
        account=CONTROLLERS_ACCOUNT,
        name="mesh-signer-controllers-0",
    )
    try:
        with story.step("a Kubernetes API server, etcd and controller manager on loopback"):
            cluster.start()
            story.show(cluster.kubectl("version"))
        tell(cluster, story, signer, controllers)
        status = story.end()
        if options.keep:
            wait(cluster)
    except LocalMeshError as error:
        print(f"\ndemo: stopped: {error}", file=sys.stderr)
        for process in (signer, controllers):
            print(f"--- the last lines of {process.name}\n{process.log[-3000:]}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    else:
        return status
    finally:
        for process in (signer, controllers):
            process.stop()
        cluster.close()


def wait(cluster: LocalCluster) -> None:
    """Leave everything running until Ctrl-C."""
    print(
        f"\nIt keeps running until Ctrl-C. In another terminal:\n\n    export KUBECONFIG={cluster.kubeconfig()}\n",
        flush=True,
    )
    try:
        while True:
            time.sleep(1)
            cluster.check()
    except KeyboardInterrupt:
        print()


if __name__ == "__main__":
    sys.exit(main())
