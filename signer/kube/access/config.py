"""Where the API server is and who we are: what a Pod is given, or a kubeconfig.

Everything here blocks (files, exec plugins), so the client calls it in a thread; the values are frozen and safe to share.
A plain kubeconfig is read by kubeconfig.py. One with a plugin, and any that it does not know to the letter, is left to the
`kubernetes` package (plugins.py), which is imported for those only.
"""

import hashlib
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

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

    def files(self) -> str:
        """A digest of what is in the files that are named here, "" for none. Blocks; raises ConfigError."""
        named = [path for path in (self.ca_file, self.cert_file, self.key_file) if path]
        found = hashlib.sha256()
        for path in named:
            try:
                found.update(hashlib.sha256(Path(path).read_bytes()).digest())
            except OSError as error:
                raise ConfigError(f"TLS settings for {self.host} cannot be used: {path}: {error.strerror}") from error
        return found.hexdigest() if named else ""


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
        if context:
            raise ConfigError(f"--context {context}: a Pod's own account has no contexts; give --kubeconfig too")
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
    return header(f"Bearer {_pod_file('token')}", _IN_CLUSTER)


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
    """A kubeconfig: a plain one by our own reader, any other by the `kubernetes` package."""
    from signer.kube.access.kubeconfig import read_plain  # noqa: PLC0415 - a Pod needs neither YAML nor what follows

    plain = read_plain(path, context)
    if plain is not None:
        return replace(plain, reload=lambda: _from_kubeconfig(path, context))
    from signer.kube.access.plugins import read_any  # noqa: PLC0415 - 0.2 s of CPU and 20 MB

    return replace(read_any(path, context), reload=lambda: _from_kubeconfig(path, context))


def header(value: str, where: str) -> str:
    """The value of an Authorization header. Raises ConfigError, which does not quote it."""
    value = value.strip()
    if not value.isascii() or not value.isprintable():
        raise ConfigError(f"{where}: the token holds characters that cannot stand in a header")
    return value
