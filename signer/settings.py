"""What an operator may set, from the command line or the environment. Pure: reads arguments and a mapping, nothing else.

Each option `--some-name` is also the environment variable MESH_SIGNER_SOME_NAME; the command line wins.
"""

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PREFIX = "MESH_SIGNER_"

_NAMESPACE = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")

CSR = "csr"
SLOW_CONTROLLERS = ("issuers", "certificates", "certificaterequests")
CONTROLLERS = (CSR, *SLOW_CONTROLLERS)


@dataclass(frozen=True, slots=True)
class Settings:
    """One process's settings. `controllers` is None for "what fits the cluster" (see `--controllers`)."""

    kubeconfig: str | None = None
    cluster_resource_namespace: str = "cert-manager"
    controllers: tuple[str, ...] | None = None
    namespace: str = "cert-manager"
    identity: str = ""
    bind: str = "127.0.0.1:9402"
    log_format: str = "text"
    log_level: str = "info"
    audit_log: str = "-"
    allow_ca_requests: bool = True
    auto_approve: bool = True
    enable_certificate_owner_ref: bool = False
    write_window: int = 64
    drain_seconds: float = 20.0
    leader_elect: bool = True


class SettingsError(ValueError):
    """A setting cannot be used; the message names it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `mesh-signer run` to a parser. None of them has a default there: see `settings_from`."""

    def option(name: str, text: str, **kwargs: Any) -> None:
        parser.add_argument(f"--{name}", default=None, help=text, **kwargs)

    option(
        "kubeconfig", "kubeconfig file; without it, the Pod's own ServiceAccount, or else KUBECONFIG and ~/.kube/config"
    )
    option("cluster-resource-namespace", "namespace of the CA Secrets of ClusterIssuers (default cert-manager)")
    option(
        "controllers",
        f"comma-separated: {', '.join(CONTROLLERS)}, or * for all. Without it: all, but only csr where the "
        "cert-manager.io CRDs are not ours, that is beside a real cert-manager",
    )
    option("namespace", "namespace of our own Leases (default: the Pod's, else the cluster resource namespace)")
    option("identity", "name of this replica (default: POD_NAME, else host name and process id)")
    option(
        "bind",
        "address and port of /metrics, /livez and /readyz (default 127.0.0.1:9402; port 0: any; none: not at all)",
    )
    option("log-format", "text or json (default text)", choices=("text", "json"))
    option("log-level", "debug, info, warning or error (default info)", choices=("debug", "info", "warning", "error"))
    option("audit-log", "file for audit lines, - for standard output, none for nowhere (default -)")
    option(
        "allow-ca-requests",
        "whether a CertificateSigningRequest may ask for a CA certificate (default true)",
        metavar="BOOL",
    )
    option(
        "auto-approve",
        "whether CertificateRequests are approved by us, and not by an approver (default true)",
        metavar="BOOL",
    )
    option(
        "enable-certificate-owner-ref",
        "whether a Certificate owns its Secret, which then goes with it (default false)",
        metavar="BOOL",
    )
    option("write-window", "how many status writes may be under way at once (default 64)", metavar="N")
    option("drain-seconds", "how long to work off what is there after SIGTERM (default 20)", metavar="SECONDS")
    option(
        "leader-elect", "whether the slow controllers work only while holding a Lease (default true)", metavar="BOOL"
    )


def settings_from(
    arguments: Mapping[str, str | None], environment: Mapping[str, str], *, host: str, process: int
) -> Settings:
    """Put settings together from parsed arguments and the environment. Raises SettingsError.

    `host` and `process` make the identity of a replica that is given none.
    """
    defaults = Settings()

    def text(name: str, default: str) -> str:
        given = arguments.get(name.replace("-", "_"))
        return given if given is not None else environment.get(PREFIX + name.replace("-", "_").upper(), default)

    def boolean(name: str, *, default: bool) -> bool:
        value = text(name, "true" if default else "false").lower()
        if value not in {"true", "false", "1", "0", "yes", "no"}:
            raise SettingsError(f"--{name}: {value!r} is neither true nor false")
        return value in {"true", "1", "yes"}

    def number(name: str, default: float, low: float, high: float) -> float:
        value = text(name, str(default))
        try:
            parsed = float(value)
        except ValueError:
            raise SettingsError(f"--{name}: {value!r} is no number") from None
        if not low <= parsed <= high:
            raise SettingsError(f"--{name}: {value} is not between {low:g} and {high:g}")
        return parsed

    def choice(name: str, default: str, allowed: Sequence[str]) -> str:
        value = text(name, default)
        if value not in allowed:
            raise SettingsError(f"--{name}: {value!r} is none of {', '.join(allowed)}")
        return value

    resource_namespace = text("cluster-resource-namespace", defaults.cluster_resource_namespace)
    if not _NAMESPACE.fullmatch(resource_namespace):
        raise SettingsError(f"--cluster-resource-namespace: {resource_namespace!r} can be no namespace")
    return Settings(
        kubeconfig=text("kubeconfig", "") or None,
        cluster_resource_namespace=resource_namespace,
        controllers=_controllers(text("controllers", "")),
        namespace=text("namespace", "") or environment.get("POD_NAMESPACE", "") or resource_namespace,
        identity=text("identity", "") or environment.get("POD_NAME", "") or f"{host}-{process}",
        bind=_bind(text("bind", defaults.bind)),
        log_format=choice("log-format", defaults.log_format, ("text", "json")),
        log_level=choice("log-level", defaults.log_level, ("debug", "info", "warning", "error")),
        audit_log=text("audit-log", defaults.audit_log),
        allow_ca_requests=boolean("allow-ca-requests", default=defaults.allow_ca_requests),
        auto_approve=boolean("auto-approve", default=defaults.auto_approve),
        enable_certificate_owner_ref=boolean(
            "enable-certificate-owner-ref", default=defaults.enable_certificate_owner_ref
        ),
        write_window=int(number("write-window", defaults.write_window, 1, 1024)),
        drain_seconds=number("drain-seconds", defaults.drain_seconds, 0, 3600),
        leader_elect=boolean("leader-elect", default=defaults.leader_elect),
    )


def _bind(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if text != "none" and not (colon and port.isascii() and port.isdigit() and int(port) < 1 << 16):
        raise SettingsError(f"--bind: {text!r} is neither ADDRESS:PORT nor none")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise SettingsError(f"--bind: an IPv6 address stands in brackets, as in [{host}]:{port}")
    return text


def _controllers(text: str) -> tuple[str, ...] | None:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        return None
    if "*" in names:
        return CONTROLLERS
    for name in names:
        if name not in CONTROLLERS:
            raise SettingsError(f"--controllers: {name!r} is none of {', '.join(CONTROLLERS)}")
    return tuple(name for name in CONTROLLERS if name in names)
