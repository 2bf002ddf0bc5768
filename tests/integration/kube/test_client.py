"""The client on a real API server: objects, and who asks."""

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from signer.kube.access.config import load_config
from signer.kube.access.credentials import FIRST_PAUSE
from signer.kube.client import ApiClient
from signer.kube.encoding.protobuf import write_bytes_field
from signer.kube.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    Unauthorized,
    Unreachable,
)
from tests import pki
from tests.fakes.envelopes import unwrap, wrap
from tests.integration.kube.following import CONFIG_MAPS, config_map, from_protobuf
from tests.localmesh import Cluster

pytestmark = pytest.mark.integration
PROTOBUF = "application/vnd.kubernetes.protobuf"


class TestObjects:
    async def test_life(self, client: ApiClient, namespace: str) -> None:
        """Create, read, replace, the three kinds of patch, and delete with preconditions do what they say."""
        made = await client.create(CONFIG_MAPS, config_map("a", namespace, x="1"))
        with pytest.raises(AlreadyExists):
            await client.create(CONFIG_MAPS, config_map("a", namespace))
        replaced = await client.replace(CONFIG_MAPS, {**made, "data": {"x": "2"}})
        with pytest.raises(Conflict) as caught:
            await client.replace(CONFIG_MAPS, {**made, "data": {"x": "3"}})
        assert not isinstance(caught.value, AlreadyExists)
        await client.patch(CONFIG_MAPS, "a", {"data": {"y": "1", "x": None}}, namespace=namespace)
        await client.patch(
            CONFIG_MAPS, "a", [{"op": "add", "path": "/data/z", "value": "1"}], namespace=namespace, kind="json"
        )
        applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"w": "1"}}
        await client.patch(CONFIG_MAPS, "a", applied, namespace=namespace, kind="apply", field_manager="us", force=True)
        found = await client.get(CONFIG_MAPS, "a", namespace)
        assert found["data"] == {"y": "1", "z": "1", "w": "1"}
        version = found["metadata"]["resourceVersion"]
        with pytest.raises(Conflict):
            await client.delete(CONFIG_MAPS, "a", namespace, resource_version=replaced["metadata"]["resourceVersion"])
        with pytest.raises(Conflict):
            await client.delete(CONFIG_MAPS, "a", namespace, uid="another")
        await client.delete(CONFIG_MAPS, "a", namespace, uid=found["metadata"]["uid"], resource_version=version)
        with pytest.raises(NotFound):
            await client.get(CONFIG_MAPS, "a", namespace)

    async def test_list(self, client: ApiClient, namespace: str) -> None:
        """Lists come in pages and by selector, with the kind that the server leaves out."""
        for n in range(7):
            await client.create(CONFIG_MAPS, config_map(f"m{n}", namespace))
        found = await client.list(CONFIG_MAPS, namespace, "test=kube", page_size=3)
        assert [item["metadata"]["name"] for item in found] == [f"m{n}" for n in range(7)]
        assert {item["kind"] for item in found} == {"ConfigMap"}

    async def test_protobuf(self, client: ApiClient, namespace: str) -> None:
        """Objects go out and come back in protobuf, and so do refusals."""
        path = CONFIG_MAPS.path(namespace)
        entry = write_bytes_field(1, b"x") + write_bytes_field(2, b"1")
        raw = write_bytes_field(1, write_bytes_field(1, b"a")) + write_bytes_field(2, entry)
        body = wrap("v1", "ConfigMap", raw)
        answer = await client.request("POST", path, body=body, content_type=PROTOBUF, accept=PROTOBUF)
        assert answer.status == 201
        envelope = unwrap(answer.body)
        assert (envelope.api_version, envelope.kind) == ("v1", "ConfigMap")
        assert from_protobuf(envelope.raw).metadata.name == "a"
        assert (await client.get(CONFIG_MAPS, "a", namespace))["data"] == {"x": "1"}
        with pytest.raises(AlreadyExists, match='configmaps "a" already exists'):
            await client.request("POST", path, body=body, content_type=PROTOBUF, accept=PROTOBUF)

    async def test_refusals(self, client: ApiClient, namespace: str) -> None:
        """Validation, wrong selectors and garbage have their exceptions, with the server's words."""
        with pytest.raises(Invalid, match="Not A Name"):
            await client.create(CONFIG_MAPS, config_map("Not A Name", namespace))
        with pytest.raises(ApiError, match="found") as caught:
            await client.list(CONFIG_MAPS, namespace, label_selector="((")
        assert caught.value.status == 400
        with pytest.raises(ApiError) as caught:
            await client.request("POST", CONFIG_MAPS.path(namespace), body=b"{")
        assert caught.value.status == 400


class TestWho:
    async def test_forbidden(self, cluster: Cluster, namespace: str) -> None:
        """A ServiceAccount without rights is told so, by name."""
        config = load_config(str(cluster.service_account_kubeconfig(namespace, "nobody")))
        assert config.namespace == namespace
        async with ApiClient(config) as nobody:
            with pytest.raises(Forbidden, match=f"system:serviceaccount:{namespace}:nobody"):
                await nobody.list(CONFIG_MAPS, namespace)

    async def test_token_turns_bad(self, cluster: Cluster, namespace: str) -> None:
        """A token that is refused is replaced by the one that the kubeconfig has now, after the first pause at the latest."""
        path = cluster.service_account_kubeconfig(namespace, "nobody")
        good = path.read_text()
        token = load_config(str(path)).authorization() or ""
        path.write_text(good.replace(token.removeprefix("Bearer "), "not-a-token"))
        async with ApiClient(load_config(str(path))) as nobody:
            with pytest.raises(Unauthorized):
                await nobody.list(CONFIG_MAPS, namespace)
            path.write_text(good)
            await asyncio.sleep(FIRST_PAUSE)
            with pytest.raises(Forbidden):
                await nobody.list(CONFIG_MAPS, namespace)

    async def test_as_a_pod(
        self, cluster: Cluster, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What a Pod is given is enough; a token that turned bad is replaced by the one in its file now."""
        given = load_config(str(cluster.service_account_kubeconfig(namespace, "nobody")))
        token = (given.authorization() or "").removeprefix("Bearer ")
        (tmp_path / "token").write_text("not-a-token")
        (tmp_path / "namespace").write_text(namespace)
        shutil.copy(given.ca_file or "", tmp_path / "ca.crt")
        monkeypatch.delenv("KUBECONFIG", raising=False)
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", urlsplit(given.host).hostname or "")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(urlsplit(given.host).port))
        monkeypatch.setattr("signer.kube.access.config._SERVICE_ACCOUNT", tmp_path)
        config = load_config()
        assert (config.host, config.namespace) == (given.host, namespace)
        async with ApiClient(config) as nobody:
            with pytest.raises(Unauthorized):
                await nobody.list(CONFIG_MAPS, namespace)
            (tmp_path / "token").write_text(token)
            await asyncio.sleep(FIRST_PAUSE)
            with pytest.raises(Forbidden, match=f"system:serviceaccount:{namespace}:nobody"):
                await nobody.list(CONFIG_MAPS, namespace)

    async def test_another_ca(self, cluster: Cluster, tmp_path: Path) -> None:
        """A server whose certificate is not signed by the kubeconfig's CA gets nothing from us."""
        other = tmp_path / "ca.pem"
        other.write_bytes(pki.cert_pem(pki.CA("another").certificate))
        config = replace(load_config(str(cluster.kubeconfig())), ca_file=str(other))
        async with ApiClient(config) as client:
            with pytest.raises(Unreachable, match="unable to get local issuer certificate"):
                await client.list(CONFIG_MAPS)
