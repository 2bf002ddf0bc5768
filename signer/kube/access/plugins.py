"""Kubeconfigs with plugins, and all others that our own reader does not know to the letter: by the `kubernetes` package's loader.

Importing this costs 0.2 s of CPU and 20 MB, so it is imported for such a kubeconfig only. Everything blocks.
"""

from dataclasses import replace
from typing import Any

from kubernetes.client.configuration import Configuration
from kubernetes.config.kube_config import KubeConfigLoader, KubeConfigMerger

from signer.kube.access.config import ConfigError, ConnectionConfig, header

_MOST_NAMED = 8
# The package has no types.
_merger: Any = KubeConfigMerger
_loader: Any = KubeConfigLoader


def read_any(path: str, context: str | None) -> ConnectionConfig:
    """Read a kubeconfig; `path` and `context` as in load_config. Raises ConfigError."""
    where = f"kubeconfig {path}"
    configuration, user, namespace = _read_kubeconfig(path, context)
    if "exec" in user and not configuration.api_key and not configuration.cert_file:
        # The loader only logs a failed plugin and would go on as system:anonymous.
        raise ConfigError(f"{where}: the exec plugin {user['exec'].get('command')!r} gave no credentials")

    def authorization() -> str | None:
        return _authorization(_read_kubeconfig(path, context)[0], where)

    connection = _connection(configuration, where, namespace)
    if "tokenFile" in user and not user.get("token"):
        # The loader reads tokenFile once, but such files are rotated.
        return replace(connection, authorization=authorization)
    return connection


def _read_kubeconfig(path: str, context: str | None) -> tuple[Any, dict[str, Any], str]:
    """The loader's configuration, the context's user entry, and its namespace."""
    # proxy="" keeps the loader from taking a proxy out of the environment.
    configuration = Configuration(proxy="", no_proxy="")
    try:
        merged = _merger(path).config
        if merged is not None:
            _check_context(merged, path, context)
            loader = _loader(config_dict=merged, active_context=context, config_base_path=None)
            loader.load_and_set(configuration)
            current = loader.current_context["context"]
            found = merged["users"].get_with_name(current["user"], safe=True) if current.get("user") else None
            user = found["user"].value if found is not None and found.safe_get("user") else {}
            return configuration, user, str(current.get("namespace") or "")
    except ConfigError:
        raise
    except Exception as error:  # the loader raises KeyError, TypeError, YAMLError and more on a malformed file
        raise ConfigError(f"kubeconfig {path}: {_unusable(error)}") from error
    raise ConfigError(f"kubeconfig {path}: no such file")


def _check_context(merged: Any, path: str, context: str | None) -> None:
    """Raise ConfigError where the context that was asked for is none of the file's, with those that are."""
    contexts = merged.value.get("contexts")
    named = [str(one["name"]) for one in contexts if "name" in one] if isinstance(contexts, list) else []
    wanted = context or merged.value.get("current-context")
    if not wanted:
        raise ConfigError(f"kubeconfig {path}: current-context is not set; give --context, one of: {_some(named)}")
    if wanted not in named:
        what = "--context" if context else "current-context"
        raise ConfigError(f"kubeconfig {path}: {what} {wanted} is none of its contexts, which are: {_some(named)}")


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return (", ".join(names[:_MOST_NAMED]) or "none") + more


def _unusable(error: Exception) -> str:
    """Say what is wrong with a file without the names of Python's errors."""
    text = " ".join(str(getattr(error, "strerror", None) or getattr(error, "problem", None) or error).split())
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return f"line {mark.line + 1} is not valid YAML: {text}"
    if isinstance(error, KeyError | TypeError | AttributeError | IndexError):
        return "it has not the form of a kubeconfig: clusters, users and contexts are lists of objects with names"
    return text


def _connection(configuration: Any, where: str, namespace: str) -> ConnectionConfig:
    host = str(configuration.host or "").rstrip("/")
    if not host.startswith(("https://", "http://")):
        raise ConfigError(f"{where}: the server {host!r} is not an http(s) URL")
    proxy = str(configuration.proxy or "")
    if proxy and not proxy.startswith(("https://", "http://")):
        raise ConfigError(f"{where}: proxy-url is not an http(s) URL; no other proxies are spoken to")
    return ConnectionConfig(
        host=host,
        ca_file=configuration.ssl_ca_cert or None,
        verify=bool(configuration.verify_ssl),
        cert_file=configuration.cert_file or None,
        key_file=configuration.key_file or None,
        server_name=configuration.tls_server_name or None,
        proxy=proxy or None,
        namespace=namespace,
        authorization=lambda: _authorization(configuration, where),
    )


def _authorization(configuration: Any, where: str) -> str | None:
    """The header's value, after the loader's own refresh (exec plugins near their expiry)."""
    try:
        value = configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
    except Exception as error:  # whatever a plugin or file raises; never with the token in the message
        raise ConfigError(f"{where}: credentials cannot be refreshed: {type(error).__name__}") from error
    return header(str(value), where) if value else None
