"""Where the API server is and who we are: a kubeconfig, read by the `kubernetes` package's loader, or what a Pod is given.

Everything here blocks (files, exec plugins), so the client calls it in a thread; the values are frozen and safe to share.
The `kubernetes` package is imported for a kubeconfig only: it costs 0.25 s of CPU and 20 MB, and a Pod's three files
are quickly read without it.
"""

import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""token, ca.crt and namespace of a Pod (https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/)."""
_IN_CLUSTER = "in-cluster configuration"


class ConfigError(Exception):
    """The connection settings cannot be used; the message names the file or variable."""


@dataclass(frozen=True, slots=True)
class ConnectionConfig:
    """How to reach one API server.

    Attributes:
        host: URL without a trailing slash, for example "https://10.0.0.1:443"; may have a path (proxies such as Rancher's).
        ca_file: PEM file that the server's certificate must chain to; None means the system's.
        verify: False only when the kubeconfig says insecure-skip-tls-verify.
        cert_file: our client certificate, PEM, or None.
        key_file: its key.
        server_name: what to expect in the server's certificate instead of the host (tls-server-name).
        proxy: the kubeconfig's proxy-url; proxies from the environment are ignored.
        namespace: of the kubeconfig's context or of the Pod; "" if unknown.
        authorization: gives the current Authorization header or None. Blocks; raises ConfigError. Cheap when nothing expired.
        reload: reads everything again (rotated token files, exec plugins, client certificates). Blocks; raises ConfigError.
    """

    host: str
    ca_file: str | None = None
    verify: bool = True
    cert_file: str | None = None
    key_file: str | None = None
    server_name: str | None = None
    proxy: str | None = None
    namespace: str = ""
    authorization: Callable[[], str | None] = field(default=lambda: None, repr=False, compare=False)
    reload: "Callable[[], ConnectionConfig] | None" = field(default=None, repr=False, compare=False)

    def ssl_context(self) -> ssl.SSLContext | None:
        """A TLS client context, or None for a plain http:// host. Blocks (reads files); raises ConfigError."""
        if not self.host.startswith("https:"):
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            # Python 3.13 turned this on; clusters' own CAs often lack what it asks for, and Go clients do not ask.
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            if not self.verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if self.cert_file:
                context.load_cert_chain(self.cert_file, self.key_file)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise ConfigError(f"TLS settings for {self.host} cannot be used: {error}") from error
        return context


def load_config(kubeconfig: str | None = None, context: str | None = None) -> ConnectionConfig:
    """Find the connection settings, in the order that controllers use.

    The given kubeconfig; else $KUBECONFIG; else, inside a Pod, its ServiceAccount; else ~/.kube/config.

    Args:
        kubeconfig: path, or several joined with ":" as in $KUBECONFIG.
        context: name of the kubeconfig's context; None means its current one.

    Raises:
        ConfigError: nothing usable there.
    """
    path = kubeconfig or os.environ.get("KUBECONFIG")
    if not path and os.environ.get("KUBERNETES_SERVICE_HOST"):
        return _in_cluster()
    if not path:
        path = "~/.kube/config"
        if not Path(path).expanduser().exists():
            raise ConfigError(
                "no kubeconfig given, $KUBECONFIG is not set, this is not a Pod, and ~/.kube/config does not exist"
            )
    return _from_kubeconfig(path, context)


def _in_cluster() -> ConnectionConfig:
    """The Pod's variables and files, as client-go's rest.InClusterConfig takes them."""
    host, port = (os.environ.get(f"KUBERNETES_SERVICE_{name}", "") for name in ("HOST", "PORT"))
    if not port:
        raise ConfigError(f"{_IN_CLUSTER}: KUBERNETES_SERVICE_PORT is not set")
    _pod_token()
    _pod_file("ca.crt")
    namespace = _SERVICE_ACCOUNT / "namespace"
    return ConnectionConfig(
        host=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        ca_file=str(_SERVICE_ACCOUNT / "ca.crt"),
        namespace=_pod_file("namespace") if namespace.exists() else "",
        # The kubelet rotates the token, so it is read each time.
        authorization=_pod_token,
        reload=_in_cluster,
    )


def _pod_token() -> str:
    return _header(f"Bearer {_pod_file('token')}", _IN_CLUSTER)


def _pod_file(name: str) -> str:
    path = _SERVICE_ACCOUNT / name
    try:
        text = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{_IN_CLUSTER}: the {name} file {path} cannot be read: {error}") from error
    if not text:
        raise ConfigError(f"{_IN_CLUSTER}: the {name} file {path} is empty")
    return text


def _from_kubeconfig(path: str, context: str | None) -> ConnectionConfig:
    where = f"kubeconfig {path}"
    configuration, user, namespace = _read_kubeconfig(path, context)
    if "exec" in user and not configuration.api_key and not configuration.cert_file:
        # The loader only logs a failed plugin and would go on as system:anonymous.
        raise ConfigError(f"{where}: the exec plugin {user['exec'].get('command')!r} gave no credentials")

    def authorization() -> str | None:
        return _authorization(_read_kubeconfig(path, context)[0], where)

    connection = _connection(configuration, where, namespace, reload=lambda: _from_kubeconfig(path, context))
    if "tokenFile" in user and not user.get("token"):
        # The loader reads tokenFile once, but such files are rotated.
        return replace(connection, authorization=authorization)
    return connection


def _new_configuration() -> Any:
    # proxy="" keeps the loader from taking a proxy out of the environment.
    return import_module("kubernetes.client.configuration").Configuration(proxy="", no_proxy="")


def _read_kubeconfig(path: str, context: str | None) -> tuple[Any, dict[str, Any], str]:
    """The loader's configuration, the context's user entry, and its namespace."""
    loaders = import_module("kubernetes.config.kube_config")
    configuration = _new_configuration()
    try:
        merged = loaders.KubeConfigMerger(path).config
        if merged is not None:
            loader = loaders.KubeConfigLoader(config_dict=merged, active_context=context, config_base_path=None)
            loader.load_and_set(configuration)
            current = loader.current_context["context"]
            found = merged["users"].get_with_name(current["user"], safe=True) if current.get("user") else None
            user = found["user"].value if found is not None and found.safe_get("user") else {}
            return configuration, user, str(current.get("namespace") or "")
    except Exception as error:  # the loader raises KeyError, TypeError, YAMLError and more on a malformed file
        raise ConfigError(f"kubeconfig {path}: {type(error).__name__}: {error}") from error
    raise ConfigError(f"kubeconfig {path}: no such file")


def _connection(
    configuration: Any, where: str, namespace: str, reload: Callable[[], ConnectionConfig]
) -> ConnectionConfig:
    host = str(configuration.host or "").rstrip("/")
    if not host.startswith(("https://", "http://")):
        raise ConfigError(f"{where}: the server {host!r} is not an http(s) URL")
    return ConnectionConfig(
        host=host,
        ca_file=configuration.ssl_ca_cert or None,
        verify=bool(configuration.verify_ssl),
        cert_file=configuration.cert_file or None,
        key_file=configuration.key_file or None,
        server_name=configuration.tls_server_name or None,
        proxy=configuration.proxy or None,
        namespace=namespace,
        authorization=lambda: _authorization(configuration, where),
        reload=reload,
    )


def _authorization(configuration: Any, where: str) -> str | None:
    """The header's value, after the loader's own refresh (exec plugins near their expiry)."""
    try:
        value = configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
    except Exception as error:  # whatever a plugin or file raises; never with the token in the message
        raise ConfigError(f"{where}: credentials cannot be refreshed: {type(error).__name__}") from error
    return _header(str(value), where) if value else None


def _header(value: str, where: str) -> str:
    value = value.strip()
    if not value.isascii() or not value.isprintable():
        raise ConfigError(f"{where}: the token holds characters that cannot stand in a header")
    return value
