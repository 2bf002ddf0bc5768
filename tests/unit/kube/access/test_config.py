"""Kubeconfigs and Pods: what becomes of them, and clear words when they are broken."""

import base64
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from signer.kube.access.config import ConfigError, ConnectionConfig, load_config


def kubeconfig(
    folder: Path, user: dict[str, Any] | None = None, cluster: dict[str, Any] | None = None, name: str = "config"
) -> str:
    """Write a kubeconfig with one context."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [
            {"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "shop"}},
            {"name": "there", "context": {"cluster": "other", "user": "u"}},
        ],
        "clusters": [
            {"name": "c", "cluster": {"server": "https://10.0.0.1:6443/", **(cluster or {})}},
            {"name": "other", "cluster": {"server": "https://other"}},
        ],
        "users": [{"name": "u", "user": user or {}}],
    }
    path = folder / name
    path.write_text(yaml.safe_dump(content))
    return str(path)


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


class TestKubeconfig:
    @pytest.mark.heavy
    def test_token(self, tmp_path: Path) -> None:
        """Server, namespace and token are taken from the current context."""
        config = load_config(kubeconfig(tmp_path, {"token": "s3cret"}))
        assert (config.host, config.namespace, config.verify) == ("https://10.0.0.1:6443", "shop", True)
        assert config.authorization() == "Bearer s3cret"
        assert "s3cret" not in repr(config)

    def test_context(self, tmp_path: Path) -> None:
        """Another context can be chosen."""
        assert load_config(kubeconfig(tmp_path), "there").host == "https://other"

    def test_anonymous(self, tmp_path: Path) -> None:
        """A user without credentials sends none."""
        assert load_config(kubeconfig(tmp_path)).authorization() is None

    def test_basic(self, tmp_path: Path) -> None:
        """User and password become basic authentication."""
        found = load_config(kubeconfig(tmp_path, {"username": "u", "password": "p"})).authorization()
        assert found == "Basic " + base64.b64encode(b"u:p").decode()

    def test_token_file_is_read_again(self, tmp_path: Path) -> None:
        """A rotated token file is noticed; its path is relative to the kubeconfig; a newline at its end does not matter."""
        (tmp_path / "token").write_text("first\n")
        config = load_config(kubeconfig(tmp_path, {"tokenFile": "token"}))
        assert config.authorization() == "Bearer first"
        (tmp_path / "token").write_text("second")
        assert config.authorization() == "Bearer second"
        (tmp_path / "token").unlink()
        with pytest.raises(ConfigError, match="config"):
            config.authorization()

    def test_token_with_a_line_break(self, tmp_path: Path) -> None:
        """A token that would break out of its header is refused, and not quoted."""
        config = load_config(kubeconfig(tmp_path, {"token": "abc\r\nX-Evil: 1"}))
        with pytest.raises(ConfigError, match="cannot stand in a header") as caught:
            config.authorization()
        assert "Evil" not in str(caught.value)

    def test_reload(self, tmp_path: Path) -> None:
        """Reloading reads the file again."""
        config = load_config(kubeconfig(tmp_path, {"token": "first"}))
        kubeconfig(tmp_path, {"token": "second"})
        assert config.authorization() == "Bearer first"
        assert config.reload is not None
        assert config.reload().authorization() == "Bearer second"

    def test_cluster_settings(self, tmp_path: Path) -> None:
        """CA, server name, proxy and the switch for no verification are taken over."""
        ca = tmp_path / "ca.pem"
        ca.write_text("not looked at yet")
        config = load_config(
            kubeconfig(
                tmp_path,
                cluster={
                    "certificate-authority": "ca.pem",
                    "tls-server-name": "kubernetes",
                    "proxy-url": "http://proxy:3128",
                },
            )
        )
        assert (config.ca_file, config.server_name, config.proxy) == (str(ca), "kubernetes", "http://proxy:3128")
        assert load_config(kubeconfig(tmp_path, cluster={"insecure-skip-tls-verify": True})).verify is False

    def test_environment_proxies_are_ignored(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A proxy in the environment is for other things than the API server."""
        monkeypatch.setenv("HTTPS_PROXY", "http://evil:1")
        assert load_config(kubeconfig(tmp_path)).proxy is None

    def test_exec(self, tmp_path: Path) -> None:
        """An exec plugin's token is used, and asked for again when it is about to expire."""
        script = tmp_path / "plugin"
        counter = tmp_path / "count"
        counter.write_text("0")
        script.write_text(
            f"#!{sys.executable}\n"
            "import json, pathlib\n"
            f"p = pathlib.Path({str(counter)!r}); n = int(p.read_text()) + 1; p.write_text(str(n))\n"
            'print(json.dumps({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",'
            ' "status": {"token": f"token-{n}", "expirationTimestamp": "2020-01-01T00:00:00Z"}}))\n'
        )
        script.chmod(0o700)
        plugin = {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(script),
            "args": [],
            "interactiveMode": "Never",
        }
        config = load_config(kubeconfig(tmp_path, {"exec": plugin}))
        first, second = config.authorization(), config.authorization()
        assert (first, second) == ("Bearer token-2", "Bearer token-3")

    def test_exec_fails(self, tmp_path: Path) -> None:
        """A failing exec plugin is an error that names it: we never go on as an anonymous user."""
        plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "false", "args": []}
        with pytest.raises(ConfigError, match="'false'"):
            load_config(kubeconfig(tmp_path, {"exec": plugin}))

    @pytest.mark.parametrize(
        "content",
        ["", "[]", "3", "{", "contexts: 7\n", "current-context: x\ncontexts: []\nclusters: []\nusers: []\n", "\x00"],
    )
    def test_malformed(self, tmp_path: Path, content: str) -> None:
        """A broken file is an error that names the file."""
        path = tmp_path / "broken"
        path.write_text(content)
        with pytest.raises(ConfigError, match="broken"):
            load_config(str(path))

    def test_missing(self, tmp_path: Path) -> None:
        """A file that is not there is an error that names it."""
        with pytest.raises(ConfigError, match="nowhere"):
            load_config(str(tmp_path / "nowhere"))

    def test_unknown_context(self, tmp_path: Path) -> None:
        """A context that is not in the file is an error that names it."""
        with pytest.raises(ConfigError, match="elsewhere"):
            load_config(kubeconfig(tmp_path), "elsewhere")

    @pytest.mark.parametrize("server", ["", "ftp://x", "10.0.0.1:6443", 7])
    def test_bad_server(self, tmp_path: Path, server: object) -> None:
        """A server that is not a http(s) URL is an error."""
        with pytest.raises(ConfigError):
            load_config(kubeconfig(tmp_path, cluster={"server": server}))


class TestOrder:
    def test_environment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """$KUBECONFIG counts when no file is given, even in a Pod; a given file counts more."""
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.9")
        monkeypatch.setenv("KUBECONFIG", kubeconfig(tmp_path, cluster={"server": "https://from-env"}, name="env"))
        assert load_config().host == "https://from-env"
        assert load_config(kubeconfig(tmp_path)).host == "https://10.0.0.1:6443"

    def test_home(self, tmp_path: Path) -> None:
        """Outside a Pod ~/.kube/config is the last resort; without it the error says what was looked for."""
        with pytest.raises(ConfigError, match=r"\.kube/config"):
            load_config()
        (tmp_path / "home/.kube").mkdir(parents=True)
        kubeconfig(tmp_path / "home/.kube")
        assert load_config().host == "https://10.0.0.1:6443"

    def test_pod(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """In a Pod, its ServiceAccount is used, its token read again, and IPv6 addresses get their brackets."""
        (tmp_path / "token").write_text("pod-token")
        (tmp_path / "ca.crt").write_text("ca")
        (tmp_path / "namespace").write_text("mesh\n")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
        monkeypatch.setattr("signer.kube.access.config._SERVICE_ACCOUNT", tmp_path)
        config = load_config()
        assert (config.host, config.namespace, config.ca_file) == (
            "https://[fd00::1]:443",
            "mesh",
            str(tmp_path / "ca.crt"),
        )
        assert (config.authorization() or "").lower() == "bearer pod-token"
        (tmp_path / "token").write_text("next-token\n")
        assert config.authorization() == "Bearer next-token"

    @pytest.mark.parametrize("name", ["token", "ca.crt"])
    def test_empty_files(self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A Pod's file that is empty, or missing, is an error that names it; no namespace is none."""
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.9")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
        monkeypatch.setattr("signer.kube.access.config._SERVICE_ACCOUNT", tmp_path)
        (tmp_path / "token").write_text("pod-token")
        (tmp_path / "ca.crt").write_text("ca")
        assert (load_config().host, load_config().namespace) == ("https://10.0.0.9:443", "")
        (tmp_path / name).write_text("\n")
        with pytest.raises(ConfigError, match=f"the {name} file {tmp_path}/{name} is empty"):
            load_config()
        (tmp_path / name).unlink()
        with pytest.raises(ConfigError, match=f"the {name} file {tmp_path}/{name} cannot be read"):
            load_config()

    def test_half_a_pod(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A Pod without a mounted token is an error that says so."""
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.9")
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
        with pytest.raises(ConfigError, match="token file"):
            load_config()


class TestTls:
    def test_plain(self) -> None:
        """Plain HTTP needs no context."""
        assert ConnectionConfig(host="http://127.0.0.1").ssl_context() is None

    def test_verifies(self) -> None:
        """Host name and chain are checked unless the kubeconfig says otherwise."""
        strict = ConnectionConfig(host="https://x").ssl_context()
        assert strict is not None
        assert (strict.check_hostname, strict.verify_mode) == (True, ssl.CERT_REQUIRED)
        loose = ConnectionConfig(host="https://x", verify=False).ssl_context()
        assert loose is not None
        assert (loose.check_hostname, loose.verify_mode) == (False, ssl.CERT_NONE)

    def test_broken_files(self, tmp_path: Path) -> None:
        """A CA or client certificate that cannot be read is an error that names the server."""
        bad = tmp_path / "bad.pem"
        bad.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        for config in (
            ConnectionConfig(host="https://x", ca_file=str(bad)),
            ConnectionConfig(host="https://x", ca_file=str(tmp_path / "nowhere")),
            ConnectionConfig(host="https://x", cert_file=str(bad), key_file=str(bad)),
        ):
            with pytest.raises(ConfigError, match="https://x"):
                config.ssl_context()
