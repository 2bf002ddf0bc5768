"""The local mesh keeps its own promises; without them no other test here proves anything."""

import base64
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509

from tests.localmesh import Cluster, LocalCluster, LocalMeshError, build_module, kubeconfig
from tests.localmesh.build import Program, build_all, find_program
from tests.localmesh.first_minutes import sign_and_refuse
from tests.localmesh.istiod_requests import (
    NotIssuedError,
    Workload,
    create_requests,
    delete_requests,
    install_istiod,
    istiod_client,
    make_csr,
    make_key,
    obtain_certificate,
)
from tests.localmesh.story import Story
from tests.localmesh.toolchain import find_go
from tests.localmesh.watcher import Watcher

pytestmark = pytest.mark.integration

SIGNER = "localmesh-test"


@pytest.fixture(scope="module")
def istiod(cluster: Cluster) -> Path:
    """Istiod's kubeconfig."""
    return install_istiod(cluster, [SIGNER])


@pytest.fixture(scope="module")
def breakable() -> Iterator[LocalCluster]:
    """A cluster for the tests here that break servers; each of them leaves all servers running.

    Without a watch cache, as the API server would otherwise answer old watches from memory.
    """
    with LocalCluster(controller_manager=False, api_flags=["--watch-cache=false"]) as cluster:
        yield cluster


def _get(access: kubeconfig.Access, path: str) -> str:
    connection = http.client.HTTPSConnection(access.host, access.port, timeout=30, context=access.ssl_context())
    try:
        connection.request("GET", path, headers=access.headers())
        return connection.getresponse().read().decode()
    finally:
        connection.close()


class TestCluster:
    def test_the_version_is_the_one_that_was_built(self, cluster: Cluster) -> None:
        """The API server says the version of its source, as clients that ask for it must see."""
        if not cluster.local:
            pytest.skip("a cluster given by --kubeconfig has its own version")
        assert '"gitVersion": "v1.36.3"' in cluster.kubectl("get", "--raw", "/version")

    def test_rbac_is_enforced(self, cluster: Cluster, namespace: str) -> None:
        """A ServiceAccount without rights is known by its own name and may read no Secret."""
        account = cluster.service_account_kubeconfig(namespace, "nobody")
        who = cluster.kubectl("auth", "whoami", "-o", "jsonpath={.status.userInfo.username}", user=account)
        assert who == f"system:serviceaccount:{namespace}:nobody"
        with pytest.raises(LocalMeshError, match="Forbidden"):
            cluster.kubectl("get", "secrets", "-n", namespace, user=account)

    def test_namespaces_get_their_default_service_account(self, cluster: Cluster, namespace: str) -> None:
        """The controller manager runs: it makes the ServiceAccount `default` and the root CA's ConfigMap."""

        def made() -> bool:
            kinds = cluster.kubectl("get", "serviceaccounts,configmaps", "-n", namespace, "-o", "name").split()
            return {"serviceaccount/default", "configmap/kube-root-ca.crt"} <= set(kinds)

        assert cluster.wait_for(made, "default ServiceAccount and kube-root-ca.crt")

    def test_namespaces_end(self, cluster: Cluster, namespace: str) -> None:
        """Deleting a namespace ends, contents included."""
        cluster.kubectl("create", "configmap", "content", "-n", namespace)
        cluster.kubectl("delete", "namespace", namespace, "--timeout=60s")
        with pytest.raises(LocalMeshError, match="not found"):
            cluster.kubectl("get", "namespace", namespace)
        cluster.create_namespace(namespace)  # the fixture deletes it again

    def test_kubectl_errors_name_the_reason(self, cluster: Cluster) -> None:
        """A failing kubectl raises with its own words."""
        with pytest.raises(LocalMeshError, match='configmaps "absent" not found'):
            cluster.kubectl("get", "configmap", "absent")


@pytest.mark.fault
class TestFaults:
    def test_a_killed_api_server_comes_back_with_its_data(self, breakable: LocalCluster) -> None:
        """After SIGKILL and start the same URL serves what was stored, and old credentials still work."""
        account = breakable.service_account_kubeconfig("default", "kept")
        breakable.api.kill()
        with pytest.raises(LocalMeshError):
            breakable.kubectl("get", "serviceaccount", "kept")
        breakable.api.start()
        assert breakable.get("serviceaccount", "kept")["metadata"]["name"] == "kept"
        assert "default:kept" in breakable.kubectl("auth", "whoami", user=account)

    def test_compaction_makes_an_old_watch_fail_with_410(self, breakable: LocalCluster) -> None:
        """After compact() a watch from before gets 410 Gone, which it did not before."""
        before = breakable.etcd.revision()
        path = f"/api/v1/configmaps?watch=1&timeoutSeconds=1&resourceVersion={before}"
        breakable.kubectl("create", "configmap", "one", "-n", "default")
        assert '"ADDED"' in _get(breakable.access(), path)
        assert breakable.etcd.compact() > before
        assert '"code":410' in _get(breakable.access(), path)

    def test_a_server_that_dies_is_noticed(self, breakable: LocalCluster) -> None:
        """A server that ends by itself is named, with its status, by the next check."""
        assert breakable.etcd.pid is not None
        os.kill(breakable.etcd.pid, signal.SIGKILL)
        with pytest.raises(LocalMeshError, match="etcd ended by itself with status -9"):
            breakable.wait_for(breakable.check, "etcd's end")
        breakable.etcd.start()
        breakable.wait_for(breakable.api.ready, "the API server's return")

    def test_nothing_outlives_a_killed_parent(self, tmp_path: Path) -> None:
        """When the process that started a cluster is killed outright, its servers end too."""
        output = tmp_path / "output"
        with output.open("w") as file:
            parent = subprocess.Popen([sys.executable, "-u", "-m", "tests.localmesh", "up"], stdout=file, stderr=file)
        try:
            _until(lambda: "Ctrl-C" in output.read_text() or parent.poll() is not None, 120)
            folder = output.read_text().split("logs in ")[1].split()[0]
            assert len(_processes(folder)) == 3
        finally:
            parent.kill()
            parent.wait()
        _until(lambda: not _processes(folder), 20)
        shutil.rmtree(folder)  # which nobody else can do after SIGKILL

    def test_a_server_that_cannot_start_says_why(self, private_cluster: Callable[..., LocalCluster]) -> None:
        """The last lines of a server's log stand in the error, and nothing is left running."""
        with pytest.raises(
            LocalMeshError, match=r"kube-apiserver ended by itself(.|\n)*unknown flag: --no-such-flag"
        ) as raised:
            private_cluster(api_flags=["--no-such-flag=1"])
        assert "/readyz" not in str(raised.value)  # it did not wait for the time limit
        assert not _processes("--no-such-flag=1")

    def test_stopping_does_not_wait_for_watches(self, breakable: LocalCluster) -> None:
        """stop() ends an API server that has open watches by SIGTERM alone, which a rolling update relies on."""
        server = breakable.api.popen
        assert server is not None
        with Watcher(breakable.kubeconfig()):
            breakable.api.stop()
        assert server.returncode == 0
        breakable.api.start()


def _until(ready: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _processes(argument: str) -> list[str]:
    """Process ids whose command line has `argument`, this test's own process apart."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue  # it has ended meanwhile
            if argument in command:
                found.append(entry.name)
    return found


class TestBuilds:
    @pytest.fixture
    def module(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A Go module that prints one word; built binaries go into a folder of this test."""
        go = find_go((1, 26))
        # Go keeps its compiled standard library under XDG_CACHE_HOME too: that one stays where it is.
        compiled = subprocess.run([go, "env", "GOCACHE"], capture_output=True, text=True, check=True).stdout.strip()
        monkeypatch.setenv("GOCACHE", compiled)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        folder = tmp_path / "module"
        folder.mkdir()
        (folder / "go.mod").write_text("module example.com/word\n\ngo 1.26.0\n")
        (folder / "main.go").write_text('package main\n\nfunc main() { println("first") }\n')
        return folder

    def test_a_program_is_built_once_and_again_when_its_source_changes(self, module: Path) -> None:
        """The same source gives the same file, untouched; another source another one."""
        first = build_module(module, ".", "word")
        made = first.stat()
        assert build_module(module, ".", "word").stat() == made
        source = module / "main.go"
        source.write_text(source.read_text().replace("first", "second"))
        second = build_module(module, ".", "word")
        words = [subprocess.run([path], capture_output=True, text=True, check=True).stderr for path in (first, second)]
        assert words == ["first\n", "second\n"]

    def test_programs_of_one_module_are_built_together(self, module: Path) -> None:
        """One call of Go makes several programs; each is found under its own name, as if it had been built alone."""
        for folder, word in (("left", "one"), ("right/v2", "two")):
            (module / folder).mkdir(parents=True)
            (module / folder / "main.go").write_text(f'package main\n\nfunc main() {{ println("{word}") }}\n')
        programs = [Program("a", module, "example.com/word/left"), Program("b", module, "example.com/word/right/v2")]
        build_all(programs)
        said = [subprocess.run([one.path()], capture_output=True, text=True, check=True).stderr for one in programs]
        assert said == ["one\n", "two\n"]
        made = [one.path().stat() for one in programs]
        build_all(programs)
        assert [one.path().stat() for one in programs] == made

    def test_a_build_that_is_given_up(self, module: Path) -> None:
        """A build ends when it is told to, and leaves nothing that a later one would take for finished."""
        stop = threading.Event()
        stop.set()
        program = Program("word", module, ".")
        with pytest.raises(LocalMeshError, match="given up"):
            build_all([program], aside=True, stop=stop)
        assert not program.path().exists()

    def test_a_failed_build_shows_the_compilers_words_and_leaves_nothing(self, module: Path) -> None:
        """A compiler error is in the message, and no broken binary is found by the next run."""
        (module / "main.go").write_text("package main\n\nfunc main() { undefined() }\n")
        for _ in range(2):
            with pytest.raises(LocalMeshError, match="undefined: undefined"):
                build_module(module, ".", "word")

    def test_missing_assets_are_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A KUBEBUILDER_ASSETS folder without etcd gives a message that says what belongs there."""
        monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
        with pytest.raises(LocalMeshError, match="Put etcd, kube-apiserver and kubectl into"):
            find_program("etcd")


class TestIstiodRequests:
    @pytest.mark.parametrize("kind", ["rsa", "ec"])
    def test_the_csr_is_istios_byte_for_byte(self, kind: str) -> None:
        """Version 0, O="" as PrintableString, one attribute with one critical SAN: what Go's x509 writes."""
        csr = x509.load_pem_x509_csr(make_csr("spiffe://cluster.local/ns/foo/sa/default", make_key(kind)))  # type: ignore[arg-type]  # parametrized
        information = csr.tbs_certrequest_bytes
        start = information.index(bytes.fromhex("020100300b31093007060355040a1300"))  # version, subject
        assert start == 4 if kind == "rsa" else start in {3, 4}
        san = b"\x86\x28spiffe://cluster.local/ns/foo/sa/default"
        extension = b"\x06\x03\x55\x1d\x11\x01\x01\xff\x04\x2c\x30\x2a" + san  # critical, and nothing follows
        assert information.endswith(extension)

    async def test_create_and_approve_work_under_istiods_rights(self, cluster: Cluster, istiod: Path) -> None:
        """Istiod's chart rights let it create, approve, watch and delete; the request shows who made it."""
        async with istiod_client(istiod) as client:
            with pytest.raises(NotIssuedError, match="no certificate within 1 s"):
                await obtain_certificate(client, Workload("foo", "default", SIGNER), timeout=1, keep=True)
        listed = cluster.get(
            "certificatesigningrequests", f"--field-selector=spec.signerName=clusterissuers.cert-manager.io/{SIGNER}"
        )
        (request,) = listed["items"]
        name, spec = request["metadata"]["name"], request["spec"]
        assert name.startswith("csr-workload-")
        assert spec["username"] == "system:serviceaccount:istio-system:istiod"
        assert spec["expirationSeconds"] == 86400
        assert spec["usages"] == ["digital signature", "key encipherment", "server auth", "client auth"]
        (condition,) = request["status"]["conditions"]
        assert condition["type"] == "Approved"
        assert condition["reason"] == condition["message"] == f"CSR ({name}) for the certificate () is approved"
        await delete_requests(istiod, [name])

    async def test_approval_of_another_signer_is_forbidden(self, istiod: Path) -> None:
        """Istiod may approve only for the signers that its chart was given."""
        with pytest.raises(ExceptionGroup) as raised:
            await create_requests(istiod, [Workload("foo", "default", "not-istiods")])
        assert "403" in str(raised.value.exceptions[0])


class TestWatcher:
    async def test_it_counts_issued_refused_open_and_deleted(self, cluster: Cluster, istiod: Path) -> None:
        """One certificate, one refusal, one open and one deleted request are each counted as what they are."""
        with Watcher(cluster.kubeconfig()) as watcher:
            made = await create_requests(istiod, [Workload("foo", "default", SIGNER)] * 4, key="ec")
            issued, refused, unanswered, deleted = (one.name for one in made)
            # The API server wants a certificate here; which one is all the same to a watcher.
            _add_to_status(cluster, issued, "certificate", base64.b64encode(cluster.access().ca).decode())
            failed = {"type": "Failed", "status": "True", "reason": "Because", "message": "of this"}
            _add_to_status(cluster, refused, "conditions/-", failed)
            await delete_requests(istiod, [deleted])
            ours = {one.uid for one in made}
            watcher.wait_for(
                lambda seen: sum(seen[uid].ended or seen[uid].deleted for uid in ours & seen.keys()) == 3, "three ends"
            )
            total = watcher.count(lambda one: one.uid in ours)
            assert (total.seen, total.issued, total.refused, total.open, total.deleted_open) == (4, 1, 1, 1, 1)
            assert (total.both, total.issued_twice) == (0, 0)
            by_name = {one.name: one for one in watcher.snapshot().values()}
            assert by_name[refused].refusals == ["Failed: Because: of this"]
        await delete_requests(istiod, [issued, refused, unanswered])

    @pytest.mark.fault
    async def test_it_survives_restart_and_compaction(self, breakable: LocalCluster) -> None:
        """After the API server was away and the history is gone, it lists again and misses no request."""
        istiod = install_istiod(breakable, [SIGNER])
        workload = Workload("foo", "default", SIGNER)
        with Watcher(breakable.kubeconfig()) as watcher:
            before = await create_requests(istiod, [workload] * 2, key="ec")
            watcher.wait_for(lambda seen: len(seen) == 2, "two requests")
            breakable.kubectl(
                "create", "configmap", "later", "-n", "default"
            )  # the watcher's version is now an old one
            breakable.api.kill()
            breakable.etcd.compact()
            breakable.api.start()
            after = await create_requests(istiod, [workload], key="ec")
            watcher.wait_for(lambda seen: len(seen) == 3, "a third request after the restart")
            assert watcher.relists == 2
            assert {one.uid for one in before + after} == set(watcher.snapshot())


def _add_to_status(cluster: Cluster, name: str, field: str, value: object) -> None:
    """Answer a request as a signer would, by hand."""
    patch = json.dumps([{"op": "add", "path": f"/status/{field}", "value": value}])
    cluster.kubectl("patch", "certificatesigningrequest", name, "--subresource=status", "--type=json", "-p", patch)


def test_the_first_certificates(
    private_cluster: Callable[..., LocalCluster], capsys: pytest.CaptureFixture[str]
) -> None:
    """On an API server alone, before istiod is there: two tenants get certificates, and a thief gets none."""
    story = Story()
    sign_and_refuse(story, private_cluster(controller_manager=False))
    said = capsys.readouterr().out
    assert (story.failed, story.passed) == ([], 3), said
    assert "TenantMismatch" in said
