"""The first minutes of a demo on a machine that has built nothing yet: what is ready first is shown first.

The API server is there long before istiod. So the first certificates are asked for, as istiod will ask, while istiod is being
built. Where all is built, nothing of this happens. Synchronous, but for one thread that builds.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.localmesh.build import cache_folder, find_module_file, find_programs, missing
from tests.localmesh.cluster import LocalCluster
from tests.localmesh.errors import LocalMeshError
from tests.localmesh.install import ISTIO, install
from tests.localmesh.istio_install import DOMAIN, TENANTS, install_issuers, root
from tests.localmesh.istiod_requests import NotIssuedError, Workload, install_istiod, request_certificate
from tests.localmesh.mesh import PROGRAMS
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, SignerProcess
from tests.localmesh.story import Story
from tests.localmesh.verifier import Verifier

FIRST = ("etcd", "kube-apiserver")
_REFUSED = 5.0  # seconds; istiod itself would wait for a minute

# Without Istio there are no ProxyConfigs, by which tenants claim: an administrator's word stands in their place.
_POLICY = """
apiVersion: mesh-signer.dev/v1alpha1
kind: SignerPolicy
metadata: {{name: {name}}}
spec: {{signers: [{domain}/{name}], namespaces: {{names: [{name}]}}}}
"""


def prepare(story: Story, further: Sequence[str] = ()) -> None:
    """Return when the programs of a mesh, and the `further` ones, are built; tell of the first certificates meanwhile."""
    wanted = (*PROGRAMS, *further)
    left = missing(wanted)
    later = [name for name in wanted if name not in FIRST]
    if left:
        print(told(left, os.cpu_count() or 1), flush=True)
    find_programs(FIRST)
    if missing(later):
        with building(later):
            first_certificates(story)
            print("==> the rest is still being built; then the whole story begins", flush=True)
    find_module_file("envoy_bootstrap.json")


def told(left: Sequence[str], cores: int) -> str:
    """Say what is built, in which order, and what is shown when."""
    first = [name for name in left if name in FIRST]
    later = [name for name in left if name not in FIRST]
    lines = [f"demo: to be built, once on this machine, into {cache_folder()} ({cores} cores):"]
    if first:
        lines.append(f"demo:   1. {' and '.join(first)}: about {_minutes(4, cores)}")
    if later:
        lines.append("demo:   2. the first certificates, and a theft that is refused, on that API server")
        lines.append(f"demo:   3. meanwhile {', '.join(later)}: about {_minutes(9, cores)} more; then the whole mesh")
    return "\n".join(lines)


def _minutes(on_two: int, cores: int) -> str:
    # Estimates, for a machine that does nothing else: the whole of `make binaries` takes 15 on two cores.
    minutes = max(1, round(on_two * 2 / max(cores, 1)))
    return f"{minutes} minute{'s' if minutes > 1 else ''}"


@contextmanager
def building(names: Sequence[str]) -> Iterator[None]:
    """Build these while the block runs, and wait for them at its end. Raises LocalMeshError for what could not be built."""
    stop, failed = threading.Event(), list[LocalMeshError]()

    def build() -> None:
        try:
            find_programs(names, aside=True, stop=stop)
        except LocalMeshError as error:
            failed.append(error)

    thread = threading.Thread(target=build, name="building")
    thread.start()
    try:
        yield
    except BaseException:
        stop.set()
        raise
    finally:
        thread.join()
    if failed:
        raise failed[0]


def first_certificates(story: Story) -> None:
    """Show them on a cluster of their own, without Istio and without a controller manager."""
    with LocalCluster(controller_manager=False) as cluster:
        sign_and_refuse(story, cluster)


def sign_and_refuse(story: Story, cluster: LocalCluster) -> None:
    """Start mesh-signer on an API server; what istiod asks for each workload is asked by us, under its account."""
    signer = SignerProcess(cluster, "--controllers=csr", tenancy="enforce")
    names = "--controllers=issuers,certificates,certificaterequests,policies"
    controllers = SignerProcess(cluster, names, account=CONTROLLERS_ACCOUNT)
    try:
        with story.step("meanwhile: mesh-signer on this API server, with the three CAs of the Istio task"):
            install(cluster, ISTIO)
            for process in (signer, controllers):
                process.start(wait=False)
            install_issuers(cluster)
            for tenant in ("foo", "bar"):
                cluster.create_namespace(tenant)
                cluster.apply(_POLICY.format(name=tenant, domain=DOMAIN))
            istiod = install_istiod(cluster, TENANTS)
            for process in (signer, controllers):
                process.wait_ready()
        with story.step("what istiod asks for each workload, asked under its account"):
            ask(story, cluster, istiod)
    finally:
        for process in (signer, controllers):
            process.kill()


def ask(story: Story, cluster: LocalCluster, istiod: Path) -> None:
    """Two honest workloads and a thief; each claim is checked."""
    verifier = Verifier(cluster.folder)
    for tenant in ("foo", "bar"):
        issued = request_certificate(istiod, Workload(tenant, "httpbin", tenant))
        trusting = [name for name in TENANTS if verifier.trusts(root(cluster, name).encode(), issued.chain, issued.key)]
        claim = f"{issued.workload.spiffe_id} got a certificate in {issued.seconds:.2f} s; {tenant}'s root trusts it, and no other"
        story.check(claim, partial(list.__eq__, trusting, [tenant]))
    try:
        request_certificate(istiod, Workload("bar", "thief", "foo"), timeout=_REFUSED)
    except NotIssuedError as error:
        why = str(error)
    else:
        why = ""
    story.tell(why)
    story.check("a workload of bar that asks for foo's CA is refused", lambda: "Failed: TenantMismatch" in why)
