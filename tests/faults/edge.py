"""The edge on the breakable cluster: a CA whose answers can be broken, and a gateway that is only written down.

The gateway's Pod and Service say where it is: at the challenge server, which answers what the VirtualServices say, as a
real Envoy does in tests/e2e. Nothing else is made up: Pebble asks there, and so does the signer's self check.

Concurrency: a thread copies VirtualServices until the end; `rule` of the CA runs in its connections' threads.
"""

import base64
import contextlib
import http.client
import json
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.fakes.acme_faults import FaultyCA
from tests.integration.plain_api import Api, Refused
from tests.localmesh import LocalCluster, kubeconfig
from tests.localmesh.pebble import ChallengeServer, Pebble

Json = dict[str, Any]
T = TypeVar("T")
CONTROLLERS = "issuers,certificates,certificaterequests,acmeissuers,orders,challenges,gateways"
ACME = "/apis/acme.cert-manager.io/v1"
CERT_MANAGER = "/apis/cert-manager.io/v1"
ISTIO = "/apis/networking.istio.io/v1"
_SELECTOR = {"istio": "ingressgateway"}
_PATH = "/.well-known/acme-challenge/"


class EdgePlace:
    """A namespace with a gateway, and a ClusterIssuer whose CA is `ca`, before `pebble`."""

    def __init__(self, cluster: LocalCluster, folder: Path, **pebble: Any) -> None:
        self.cluster = cluster
        self.namespace = f"edge-{secrets.token_hex(4)}"
        self.issuer = self.namespace
        self.answers = ChallengeServer(folder)
        self.pebble = Pebble(folder, self.answers, **pebble)
        self.ca = FaultyCA(self.pebble)
        self._stack = contextlib.ExitStack()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._answer, name="gateway", daemon=True)
        self._api = self.connect()

    def connect(self) -> Api:
        """A connection as admin, for one thread."""
        return Api(kubeconfig.read(self.cluster.kubeconfig()))

    def options(self) -> tuple[str, ...]:
        """What the controllers are told of this place."""
        return (f"--controllers={CONTROLLERS}", "--leader-elect=false", "--http01-check-dns=false", "--tenancy=off")

    def __enter__(self) -> Self:
        try:
            return self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> Self:
        self.answers.start()
        self.pebble.start()
        self._stack.enter_context(self.ca)
        self.cluster.create_namespace(self.namespace)
        self._gateways_pod()
        issuer = {"apiVersion": "cert-manager.io/v1", "kind": "ClusterIssuer", "metadata": {"name": self.issuer}}
        self._api.post(f"{CERT_MANAGER}/clusterissuers", issuer | {"spec": self._spec()})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        self._stack.close()
        self.pebble.kill()
        self.answers.kill()
        self._api.close()

    def _spec(self) -> Json:
        return {
            "acme": {
                "server": self.ca.directory,
                "privateKeySecretRef": {"name": f"{self.issuer}-account"},
                "caBundle": base64.b64encode(self.ca.authority.certificate).decode(),
                "solvers": [{"http01": {"ingress": {"class": "istio"}}}],
            }
        }

    def _gateways_pod(self) -> None:
        core, meta = f"/api/v1/namespaces/{self.namespace}", {"name": "gateway", "labels": _SELECTOR}
        self._api.post(f"{core}/serviceaccounts", {"metadata": {"name": "none"}})
        container = {"name": "istio-proxy", "image": "none"}
        pod = {"serviceAccountName": "none", "automountServiceAccountToken": False, "containers": [container]}
        self._api.post(f"{core}/pods", {"metadata": meta, "spec": pod})
        status = {"phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}
        self._api.patch(f"{core}/pods/gateway/status", {"status": status})
        ports = [{"name": "http2", "port": 80, "targetPort": self.answers.http_port}]
        self._api.post(f"{core}/services", {"metadata": meta, "spec": {"selector": _SELECTOR, "ports": ports}})

    def gateway(self, name: str, *hosts: str) -> None:
        """A Gateway as people write it."""
        plain = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": list(hosts)}
        secured = {
            "port": {"number": 443, "name": "https", "protocol": "HTTPS"},
            "hosts": list(hosts),
            "tls": {"mode": "SIMPLE", "credentialName": name},
        }
        body = {
            "apiVersion": "networking.istio.io/v1",
            "kind": "Gateway",
            "metadata": {"name": name, "annotations": {"cert-manager.io/cluster-issuer": self.issuer}},
            "spec": {"selector": _SELECTOR, "servers": [secured, plain]},
        }
        _patiently(lambda: self._api.post(f"{ISTIO}/namespaces/{self.namespace}/gateways", body))

    def list(self, group: str, plural: str, api: Api | None = None) -> list[Json]:
        """The objects of this place's namespace."""
        path = f"{group}/namespaces/{self.namespace}/{plural}"
        found: list[Json] = _patiently(lambda: (api or self._api).get(path)["items"])
        return found

    def ready(self, name: str) -> bool:
        """Whether a Certificate is Ready."""
        found = {one["metadata"]["name"]: one for one in self.list(CERT_MANAGER, "certificates")}
        conditions = found.get(name, {}).get("status", {}).get("conditions", ())
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    def _answer(self) -> None:
        """The gateway: the challenge server answers what VirtualServices say, and no longer when they are gone."""
        api, served = self.connect(), dict[str, str]()
        path = f"{ISTIO}/namespaces/{self.namespace}/virtualservices"
        while not self._ended.wait(0.05):
            try:
                routes = [rule for one in api.get(path)["items"] for rule in one["spec"]["http"]]
            except (OSError, http.client.HTTPException, Refused, json.JSONDecodeError):
                continue  # an API server that is away: a gateway goes on with what it knows
            wanted = {
                rule["match"][0]["uri"]["exact"].removeprefix(_PATH): rule["directResponse"]["body"]["string"]
                for rule in routes
                if "directResponse" in rule
            }
            for token, key in wanted.items() - served.items():
                self.answers.add_http(token, key)
            for token in served.keys() - wanted.keys():
                self.answers.remove_http(token)
            served = wanted
        api.close()


def _patiently(call: Callable[[], T]) -> T:
    """Ask again for a while, over a new connection, after the API server was started again."""
    for _ in range(100):
        try:
            return call()
        except (OSError, http.client.HTTPException):
            pass
        except Refused as error:
            if error.code not in (429, 503):
                raise
        time.sleep(0.1)
    return call()
