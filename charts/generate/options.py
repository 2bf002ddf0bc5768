"""The options of `mesh-signer run` as values: asked of the program's own parser, so that a new option is a value at once. Pure."""

import argparse
from typing import Any

from signer.api.names import ACCOUNT_PATTERN, GROUP_PATTERN
from signer.settings.options import add_arguments

Schema = dict[str, Any]

NAMESPACE = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"

OF_THE_CHART = {
    "kubeconfig": "a Pod has its ServiceAccount",
    "cluster-resource-namespace": "the release's namespace",
    "namespace": "the release's namespace",
    "identity": "the Pod's name",
    "controllers": "components, besideCertManager",
    "bind": "the port that probes ask",
    "http01-solver-bind": "components.edge",
    "istio-namespace": "istio.namespace",
    "manage-mesh-config": "components.manageMeshConfig",
    "tenant-bridges": "components.bridges",
}
"""Options that are no values, because something else decides them: what does."""

_SHAPES: dict[str, Schema] = {
    "BOOL": {"type": "boolean"},
    "N": {"type": "integer", "minimum": 1, "maximum": 1024},
    "SECONDS": {"type": "integer", "minimum": 0, "maximum": 3600},
    "DURATION": {"type": "string", "pattern": r"^\+?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$"},
    "TIME": {
        "type": "string",
        "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$",
    },
    "NAME": {"type": "string", "maxLength": 253, "pattern": NAME},
    "NAMES": {"type": "array", "items": {"type": "string", "minLength": 1, "maxLength": 253, "pattern": r"^[^,]*$"}},
    "USERS": {
        "type": "array",
        "items": {
            "type": "string",
            "minLength": 1,
            "pattern": r"^[!-+\--~]*[:@][!-+\--~]*$",
            "anyOf": [{"pattern": f"^{ACCOUNT_PATTERN}$"}, {"not": {"pattern": f"^{GROUP_PATTERN}"}}],
        },
    },
    "ADDRESSES": {"type": "array", "items": {"type": "string", "minLength": 1, "pattern": r"^[0-9A-Fa-f:.\[\]]*$"}},
}
"""What the values of an option look like by its metavar. An option with another one is any text."""


class _Recorder(argparse.ArgumentParser):
    """Keeps what is added to it, in order."""

    def __init__(self) -> None:
        self.added: dict[str, dict[str, Any]] = {}
        super().__init__(add_help=False)

    def add_argument(self, *names: str, **kwargs: Any) -> argparse.Action:
        """Note one option."""
        self.added[names[0].removeprefix("--")] = kwargs
        return super().add_argument(*names, **kwargs)


def options() -> dict[str, Schema]:
    """Each option that is a value, by its name without dashes in front: its schema, with the program's own help."""
    recorder = _Recorder()
    add_arguments(recorder)
    return {name: _schema(given) for name, given in recorder.added.items() if name not in OF_THE_CHART}


def _schema(given: dict[str, Any]) -> Schema:
    metavar = given.get("metavar", "")
    shape: Schema = _SHAPES.get(metavar, {"type": "string"})
    if "|" in metavar:
        shape = {"type": "string", "enum": metavar.split("|")}
    return {"description": given["help"], **shape}
