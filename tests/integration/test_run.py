"""`mesh-signer run` as a process: settings, exit status, health, logs, and what it runs beside somebody else's CRDs."""

import functools
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests import pki
from tests.integration.hot_path import Place, settle
from tests.integration.plain_api import Json
from tests.localmesh import Cluster, LocalCluster
from tests.localmesh.install import CRDS, install, wait_established
from tests.localmesh.signer import CONTROLLERS_ACCOUNT, NAMESPACE, SIGNER_ACCOUNT, SignerProcess

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


def run(*options: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run `mesh-signer run` to its end."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MESH_SIGNER_")}
    command = [sys.executable, "-m", "signer", "run", *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=clean | env, cwd=ROOT)


@pytest.fixture(scope="module")
def busy_port() -> Iterator[str]:
    """A port that somebody else listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield str(taken.getsockname()[1])


class TestBadSettings:
    """What cannot be used is told in one line that names it, with exit status 2, before anything is done."""

    @pytest.mark.parametrize(
        ("options", "env", "named"),
        [
            (["--write-window=0"], {}, "--write-window"),
            (["--write-window=many"], {}, "--write-window"),
            (["--drain-seconds=-1"], {}, "--drain-seconds"),
            (["--drain-seconds=nan"], {}, "--drain-seconds"),
            (["--controllers=csr,vault"], {}, "'vault'"),
            (["--allow-ca-requests=perhaps"], {}, "--allow-ca-requests"),
            (["--bind=nowhere"], {}, "--bind"),
            (["--bind=127.0.0.1:99999"], {}, "--bind"),
            (["--cluster-resource-namespace=Not A Name"], {}, "--cluster-resource-namespace"),
            ([], {"MESH_SIGNER_LOG_LEVEL": "loud"}, "--log-level"),
            ([], {"MESH_SIGNER_WRITE_WINDOW": "0"}, "--write-window"),
        ],
    )
    def test_one_line(self, options: list[str], env: dict[str, str], named: str) -> None:
        """The line names the setting and what is wrong with it, from the command line and from the environment."""
        done = run(*options, **env)
        assert done.returncode == 2
        assert done.stdout == ""
        (line,) = done.stderr.splitlines()
        assert line.startswith("mesh-signer run: ")
        assert named in line

    @pytest.mark.parametrize("option", ["--kubeconfig=/nowhere/kubeconfig", "--audit-log=/nowhere/audit"])
    def test_files(self, cluster: Cluster, option: str) -> None:
        """A file that is not there is named, without a traceback."""
        done = run(f"--kubeconfig={cluster.kubeconfig()}", "--bind=none", "--controllers=csr", option)
        assert done.returncode == 2
        assert option.partition("=")[2] in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr

    def test_broken_kubeconfig(self, tmp_path: Path) -> None:
        """A kubeconfig that cannot be read is named, and what stands in it is not shown."""
        file = tmp_path / "kubeconfig"
        file.write_text("users: [{name: x, user: {token: hunter2-secret}}]\ncontexts: 7\n")
        done = run(f"--kubeconfig={file}", "--bind=none")
        assert done.returncode == 2
        assert str(file) in done.stderr
        assert "hunter2" not in done.stderr
        assert "Traceback" not in done.stderr

    @pytest.mark.parametrize(
        ("option", "others"),
        [("--bind", ["--controllers=csr"]), ("--http01-solver-bind", ["--controllers=challenges", "--bind=none"])],
    )
    def test_port_in_use(self, cluster: Cluster, busy_port: str, option: str, others: list[str]) -> None:
        """A port that is taken is named, without a traceback."""
        done = run(f"--kubeconfig={cluster.kubeconfig()}", f"{option}=127.0.0.1:{busy_port}", *others)
        assert done.returncode == 2
        assert f"{option}: 127.0.0.1:{busy_port}" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr

    def test_unknown_option(self) -> None:
        """An option that does not exist is an error, not ignored."""
        done = run("--no-such-thing")
        assert done.returncode == 2
        assert "--no-such-thing" in done.stderr


def test_settings_from_the_environment(installed: Cluster, place: Place, ca: str, tmp_path: Path) -> None:
    """Every setting may come from the environment; the command line wins over it."""
    audit = tmp_path / "audit"
    process = SignerProcess(
        installed,
        f"--audit-log={audit}",
        "--log-level=warning",
        "--log-level=info",
        env={
            "MESH_SIGNER_CONTROLLERS": "csr",
            "MESH_SIGNER_LOG_FORMAT": "json",
            "MESH_SIGNER_LOG_LEVEL": "error",
            "MESH_SIGNER_WRITE_WINDOW": "7",
            "MESH_SIGNER_AUDIT_LOG": "/nowhere/audit",
        },
    )
    with process:
        assert process.wait_for_metric("mesh_signer_write_window", 7) == 7
        name = place.issue(ca).name
        place.until("the audit lines", lambda: audit.exists() and audit.read_text().count(f'"{name}"') == 2)


def test_health_and_metrics(installed: Cluster, place: Place, ca: str) -> None:
    """/livez and /readyz say what is checked, /metrics is Prometheus' text, other paths are not there."""
    with SignerProcess(installed, "--controllers=csr") as process:
        checks = ("credentials", "issuers", "requests", "mesh", "audit", "certificates", "inquiries", "injector")
        assert process.ready() == (True, "".join(f"[+] {check}: ok\n" for check in checks))
        assert process.alive() == (True, "[+] watch: ok\n")
        place.issue(ca)
        with urllib.request.urlopen(f"http://127.0.0.1:{process.port}/metrics", timeout=10) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=")
            text = answer.read().decode()
        for name in (
            "mesh_signer_build_info",
            "mesh_signer_requests_total",
            "mesh_signer_request_duration_seconds_bucket",
            "mesh_signer_queue_length",
            "mesh_signer_in_flight_writes",
            "mesh_signer_issuer_ready",
            "mesh_signer_ca_not_after_timestamp_seconds",
            "process_cpu_seconds_total",
        ):
            assert f"\n{name}" in text
        with pytest.raises(urllib.error.HTTPError, match="404") as missing:
            urllib.request.urlopen(f"http://127.0.0.1:{process.port}/", timeout=10)
        missing.value.close()


def holds_a_lease(place: Place, identity: str) -> bool:
    """Whether a replica of this name announces itself."""
    leases = place.api.get(f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases")["items"]
    return any(lease["spec"].get("holderIdentity") == identity for lease in leases)


def test_end(installed: Cluster, place: Place, ca: str) -> None:
    """SIGTERM and SIGINT end it with status 0; its Lease goes with it, so that nobody waits for it."""
    for how in (signal.SIGTERM, signal.SIGINT):
        process = SignerProcess(installed, "--controllers=csr").start()
        place.issue(ca)
        place.until("its Lease", functools.partial(holds_a_lease, place, process.name))
        popen = process._process.popen
        assert popen is not None
        popen.send_signal(how)
        assert popen.wait(60) == 0
        assert not holds_a_lease(place, process.name)
        assert "Traceback" not in process.log


def test_json_logs(installed: Cluster, place: Place, name: str, ca: str) -> None:
    """With --log-format=json every line is one JSON object, whatever names and messages are in it."""
    with SignerProcess(installed, "--controllers=csr", "--log-format=json", "--log-level=debug") as process:
        place.secret(name, {"tls.key": b"\xff\n\r\x1b[31m"})
        place.issuer(name, {"ca": {"secretName": name}})
        place.event(place.ask(name), "IssuerNotReady")
        place.refused(ca, annotations={"experimental.cert-manager.io/request-duration": "\n\x1b[31m\"'1h"})
        place.issue(ca)
    lines = [json.loads(line) for line in process.log.splitlines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    assert any("refused" in line["message"] for line in lines)
    assert "\x1b" not in process.log


def test_no_secret_in_any_output(installed: Cluster, place: Place, name: str, ca: str) -> None:
    """After broken, wrong and good keys, neither log nor audit, conditions nor Events hold a piece of a key or of the token."""
    keys = [pki.key_pem(pki.key(kind, 41)) for kind in ("p256", "rsa", "ed25519")]
    root = pki.CA("quiet", private=pki.key("p256", 41))
    options = ("--log-level=debug",)
    signer = SignerProcess(installed, "--controllers=csr", *options)
    controllers = SignerProcess(
        installed, "--controllers=issuers,certificates,certificaterequests", *options, account=CONTROLLERS_ACCOUNT
    )
    with signer, controllers:
        broken = [root.secret() | {"tls.key": key[: len(key) // 2] + b"!" + key[len(key) // 2 :]} for key in keys]
        shown = ""
        for number, data in enumerate([*broken, root.secret() | {"tls.crt": keys[0]}, root.secret()]):
            issuer = f"{name}-{number}"
            place.secret(issuer, data)
            place.issuer(issuer, {"ca": {"secretName": issuer}})
            path = f"/apis/cert-manager.io/v1/clusterissuers/{issuer}"
            status = place.until(f"the status of {issuer}", functools.partial(issuer_status, place, path))
            shown += json.dumps(status)
        shown += json.dumps(place.events(place.issue(f"{name}-4").name))
        shown += json.dumps(place.event(place.ask(f"{name}-0"), "IssuerNotReady"))
        key = pki.key("p256", 42)
        place.secret(f"{name}-own", {"tls.key": pki.key_pem(key)})
        place.issuer(f"{name}-self", {"selfSigned": {}})
        annotations = {"experimental.cert-manager.io/private-key-secret-name": f"{name}-own"}
        place.issue(f"{name}-self", pki.csr(key, dns=["a.example"]), annotations=annotations)
    shown += signer.log + controllers.log + signer.audit_file.read_text()
    config = yaml.safe_load(installed.service_account_kubeconfig(NAMESPACE, SIGNER_ACCOUNT).read_text())
    used = Path(process_option(signer, "--kubeconfig="))
    tokens = {yaml.safe_load(used.read_text())["users"][0]["user"]["token"], config["users"][0]["user"]["token"]}
    for text in tokens:
        assert text.rpartition(".")[2] not in shown
    for pem in (*keys, root.key_pem, pki.key_pem(key)):
        for line in pem.decode().splitlines()[1:-1]:
            assert line not in shown
            assert line[:40] not in shown
    del ca


def issuer_status(place: Place, path: str) -> Json | None:
    """What an issuer's controller has written."""
    return place.api.get(path).get("status")


def process_option(process: SignerProcess, option: str) -> str:
    """The value of an option on a process's command line."""
    return next(text.removeprefix(option) for text in process.command() if text.startswith(option))


class TestWhichControllers:
    """Without --controllers: everything where the CRDs are ours, only the requests where they are not."""

    def test_foreign_crds(self, private_cluster: Callable[..., LocalCluster]) -> None:
        """Beside a real cert-manager only requests are worked: issuers' conditions are left to it, and the log says so."""
        cluster = private_cluster(controller_manager=False)
        crds = list(yaml.safe_load_all(cluster.kubectl("kustomize", CRDS)))
        for crd in crds:
            crd["metadata"].pop("annotations", None)
        cluster.apply(yaml.safe_dump_all(crds))
        install(cluster, crds=None)
        wait_established(cluster)
        place = Place.of(cluster)
        try:
            with SignerProcess(cluster) as process:
                settle(lambda: "CRDs are not ours" in process.log, "a line that says so")
                place.ca_issuer("foreign", pki.CA("foreign"))
                place.issue("foreign")
                assert "status" not in place.api.get("/apis/cert-manager.io/v1/clusterissuers/foreign")
                assert process.metric("mesh_signer_leader") == 0
            asked = SignerProcess(cluster, "--controllers=issuers", account=CONTROLLERS_ACCOUNT)
            with asked:
                settle(lambda: "working issuers as asked" in asked.log, "a line that says so")
                cluster.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "clusterissuer/foreign")
        finally:
            place.api.close()

    def test_own_crds(self, installed: Cluster, place: Place, name: str) -> None:
        """Where the CRDs are ours one process does everything: the issuer's condition and the request's certificate."""
        with SignerProcess(installed, account=None):
            place.ca_issuer(name, pki.CA("all-in-one"))
            place.issue(name)
            installed.kubectl("wait", "--for=condition=Ready", "--timeout=60s", f"clusterissuer/{name}")

    def test_only_slow_ones(self, installed: Cluster, place: Place, name: str) -> None:
        """A process without csr answers no request, and is ready all the same."""
        options = "--controllers=issuers,certificates,certificaterequests"
        with SignerProcess(installed, options, account=CONTROLLERS_ACCOUNT) as process:
            place.ca_issuer(name, pki.CA("slow"))
            request = place.ask(name)
            installed.kubectl("wait", "--for=condition=Ready", "--timeout=60s", f"clusterissuer/{name}")
            assert process.ready()[0]
            assert "certificate" not in place.look(request)["status"]
        with SignerProcess(installed, "--controllers=csr"):
            place.issued(request)
