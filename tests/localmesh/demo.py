"""`make demo`: a real mesh with two tenants, a thief who is refused, and the same theft with the wall off.

Real istiod, pilot-agent and Envoy on a real API server; only Pods are missing. Every claim is checked. Synchronous;
ends everything that it started, unless --keep is given, which waits for Ctrl-C first.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from cryptography import x509

from tests.localmesh.asking import Answer
from tests.localmesh.errors import LocalMeshError
from tests.localmesh.first_minutes import prepare
from tests.localmesh.istio_install import TENANTS
from tests.localmesh.mesh import Mesh
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, NAMESPACE, SIGNER_ACCOUNT
from tests.localmesh.staging import perform
from tests.localmesh.story import Story, table
from tests.localmesh.verifier import Verifier
from tests.localmesh.workload import Workload

SERVICES = ("httpbin.foo", "httpbin.bar")
_PATIENCE = 30.0


def tell(mesh: Mesh, story: Story) -> None:
    """The whole story."""
    with story.step("a Kubernetes API server, etcd and controller manager on loopback"):
        mesh.cluster.start()
        story.show(mesh.cluster.kubectl("version"))
    with story.step(
        "kubectl apply -k manifests/crds and manifests/overlays/istio; mesh-signer as its two Deployments run it"
    ):
        mesh.install_signer()
        story.show(f"{SIGNER_ACCOUNT}: {mesh.signer.ready()[1]}\n{CONTROLLERS_ACCOUNT}: {mesh.controllers.ready()[1]}")
    with story.step("the Istio task's issuers: three self-signed CAs, three ClusterIssuers"):
        mesh.install_issuers()
        story.show(mesh.cluster.kubectl("get", "clusterissuers"))
        story.show(mesh.cluster.kubectl("get", "secret", "-n", NAMESPACE, "-l", "controller.cert-manager.io/fao=true"))
    with story.step("the Istio task's IstioOperator, its two namespaces, and the ProxyConfigs that name their signers"):
        mesh.install_istio()
        mesh.create_tenants()
        story.show(mesh.cluster.kubectl("get", "proxyconfigs", "-A"))
    with story.step("istiod, which waits for its own DNS certificate from mesh-signer"):
        mesh.start_istiod()
        story.check("istiod is ready, at its first start", lambda: mesh.istiod.ready() and mesh.istiod.restarts == 0)
    with story.step("the task's workloads: the real pilot-agent and Envoy"):
        workloads = [
            mesh.place("httpbin", "foo", "foo", server=True),
            mesh.place("httpbin", "bar", "bar", server=True),
            mesh.place("curl", "foo", "foo"),
            mesh.place("curl", "bar", "bar"),
        ]
        mesh.wait_ready(*workloads)
        identities(workloads, story)
    verify(mesh, workloads, story)
    rows: list[tuple[str, ...]] = [("FROM", "ASKS FOR", "CERTIFICATE OF", *SERVICES)]
    honest = workloads[2:]
    with story.step("who reaches whom"):
        rows.extend(reach(client, story, reaches=f"httpbin.{client.namespace}") for client in honest)
    with story.step("mesh-signer tenants"):
        listed = command(mesh, "tenants")
        story.show(listed)
        owned = {tuple(line.split()[:3]) for line in listed.splitlines()}
        story.check(
            "foo and bar are granted their own signers",
            lambda: {("foo", "foo", "granted"), ("bar", "bar", "granted")} <= owned,
        )
    thief = theft(mesh, honest, rows, story)
    with story.step("the control: mesh-signer --tenancy=off, and the same thief again"):
        mesh.replace_signer("off")
        thief.restart()
        mesh.wait_ready(thief)
        rows.append(reach(thief, story, reaches="httpbin.foo", name="thief.bar, --tenancy=off"))
    print()
    story.show(table(rows))
    print()
    with story.step("what is left: the audit log, since istiod deletes its requests"):
        records(mesh, [*workloads, thief], story)


def identities(workloads: Sequence[Workload], story: Story) -> None:
    """A table of who has which identity from whom; each has its own."""
    rows = [("WORKLOAD", "SIGNER", "SPIFFE ID", "ISSUER", "EXPIRES")]
    for workload in workloads:
        found = certificate_of(workload)
        expires = found.not_valid_after_utc.strftime("%Y-%m-%d %H:%M:%S")
        rows.append((str(workload), workload.signer, uris(found), found.issuer.rfc4514_string(), expires))
        story.check(f"{workload} has its own SPIFFE ID", partial(str.__eq__, uris(found), workload.spiffe_id))
    story.show(table(rows))


def verify(mesh: Mesh, workloads: Sequence[Workload], story: Story) -> None:
    """Each certificate is trusted by its tenant's root and by no other, as a program that is not ours says."""
    verifier = Verifier(mesh.cluster.folder)
    with story.step(f"who trusts whom: {verifier.name}"):
        for tenant in TENANTS:
            root = mesh.root(tenant).encode()
            trusted = [str(one) for one in workloads if verifier.trusts(root, one.chain(), one.key())]
            expected = [str(one) for one in workloads if one.namespace == tenant]
            claim = f"{tenant}'s root trusts {' and '.join(expected) or 'none of them'}, and nobody else"
            story.check(claim, partial(list.__eq__, trusted, expected))


def reach(client: Workload, story: Story, *, reaches: str, name: str = "") -> tuple[str, ...]:
    """Ask both services; the row of the table."""
    name = name or str(client)
    answers = [client.ask(service) for service in SERVICES]
    for service, answer in zip(SERVICES, answers, strict=True):
        if service == reaches:
            story.check(f"{name} reaches {service}: {answer}", partial(int.__eq__, answer.status, 200))
        else:
            story.check(f"{name} does not reach {service}: {answer}", partial(getattr, answer, "refused_by_tls"))
    return name, client.signer, certificate_of(client).issuer.rfc4514_string(), *map(brief, answers)


def theft(mesh: Mesh, honest: Sequence[Workload], rows: list[tuple[str, ...]], story: Story) -> Workload:
    """A workload in bar asks for foo's signer: it gets nothing and reaches nobody, and everybody can see it."""
    with story.step("a thief: a workload in bar that asks for foo's signer (ISTIO_META_CERT_SIGNER=foo)"):
        thief = mesh.place("thief", "bar", "foo")
        line = wait_for_refusal(mesh, thief)
        story.tell(f"audit: {line['verdict']} {line['identity']} from {line['signer']}: {'; '.join(line['reasons'])}")
        story.check("the audit log says who asked for what, and why not", lambda: bool(line["reasons"]))
        event = mesh.cluster.wait_for(partial(event_about, mesh, thief), "an Event in bar", _PATIENCE)
        about = event["involvedObject"]
        story.tell(
            f"Event on {about['kind']} {about['namespace']}/{about['name']}: {event['reason']}: {event['message']}"
        )
        story.check("bar's people see it on their ProxyConfig", lambda: about["kind"] == "ProxyConfig")
        refusals = mesh.signer.metric("mesh_signer_refusals_total", namespace="bar")
        story.show(f'metric: mesh_signer_refusals_total{{namespace="bar"}} {refusals:g}')
        story.check("the metrics count it", lambda: refusals >= 1)
        story.check("the thief has no certificate", lambda: thief.certificate() is None)
        answers = [thief.ask(service) for service in SERVICES]
        story.check("the thief reaches nobody", lambda: all(answer.status != 200 for answer in answers))
        rows.append((str(thief), thief.signer, "none: refused", *map(brief, answers)))
        for client in honest:
            answer = client.ask(f"httpbin.{client.namespace}")
            story.check(f"{client} goes on undisturbed: {answer}", partial(int.__eq__, answer.status, 200))
    return thief


def command(mesh: Mesh, *arguments: str) -> str:
    """What a command of mesh-signer prints for an administrator."""
    line = [sys.executable, "-m", "signer", *arguments, f"--kubeconfig={mesh.cluster.kubeconfig()}"]
    return subprocess.run(line, capture_output=True, text=True, check=False).stdout


def wait_for_refusal(mesh: Mesh, workload: Workload) -> dict[str, Any]:
    """The first audit line that refuses this workload."""

    def found() -> dict[str, Any] | None:
        lines = (line for line in mesh.signer.audit() if line["verdict"] == "refuse")
        return next((line for line in lines if line.get("identity") == workload.spiffe_id), None)

    line: dict[str, Any] = mesh.cluster.wait_for(found, f"an audit line that refuses {workload}", _PATIENCE)
    return line


def event_about(mesh: Mesh, workload: Workload) -> dict[str, Any] | None:
    """A Warning in the workload's namespace that names it."""
    events = mesh.cluster.get("events", "-n", workload.namespace)["items"]
    return next((one for one in events if one["type"] == "Warning" and workload.spiffe_id in one["message"]), None)


def records(mesh: Mesh, workloads: Sequence[Workload], story: Story) -> None:
    """The audit log has both lines of each certificate, and the metrics count them."""
    audit = mesh.signer.audit()
    stored = {line["serial"] for line in audit if line.get("outcome") == "stored"}
    intended = {line["serial"] for line in audit if line["audit"] == "intent" and line["verdict"] == "issue"}
    theirs = {f"{certificate_of(workload).serial_number:x}" for workload in workloads}
    story.check(
        "each certificate has its two audit lines, the intent and the outcome", lambda: theirs <= stored <= intended
    )
    left = [one for one in mesh.cluster.get("csr")["items"] if "certificate" in one.get("status", {})]
    story.check("istiod has deleted every request that was answered", lambda: not left)


def certificate_of(workload: Workload) -> x509.Certificate:
    """The certificate that a workload must have by now."""
    found = workload.certificate()
    if found is None:
        raise LocalMeshError(f"{workload} has no certificate")
    return found


def uris(certificate: x509.Certificate) -> str:
    """The URIs in a certificate."""
    san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return " ".join(san.get_values_for_type(x509.UniformResourceIdentifier))


def brief(answer: Answer) -> str:
    """An answer for the table."""
    return str(answer) if answer.status == 200 or answer.refused_by_tls else "no answer"


@contextmanager
def play(mesh: Mesh, story: Story) -> Iterator[None]:
    """Tell the story; nothing is started beside the mesh."""
    tell(mesh, story)
    yield


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; the exit status is 0 when every check passed."""
    return perform("make demo", __doc__, arguments, prepare, play)


if __name__ == "__main__":
    sys.exit(main())
