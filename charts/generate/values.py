"""Every value of the chart: what it does, what it may be, and what it is when nobody says. Pure.

It is a JSON schema as it is, so that there is nothing else to keep in step: values.yaml and the table in the chart's
README.md are other forms of it. What the manifests say (replicas, resources, ports) is the default here.
"""

from typing import Any

from charts.generate.built import Built
from charts.generate.components import COMPONENTS, camel
from charts.generate.options import NAMESPACE, Schema, options

DEPLOYMENTS = {"signer": "mesh-signer", "controllers": "mesh-signer-controllers"}
"""Section of the values -> name of its Deployment."""
LABELLED = {
    "PodMonitor": ("pod-monitor", "a Prometheus"),
    "ServiceMonitor": ("service-monitor", "a Prometheus"),
    "PrometheusRule": ("alerts", "a Prometheus"),
    "ConfigMap": ("dashboard", "a Grafana"),
}
"""Kind -> the component that brings it, and who finds objects of this kind by labels: each has a value for more of them."""


def schema(built: Built) -> Schema:
    """Return the schema of all values, with descriptions and defaults."""
    sections = {
        "image": _section("Which image both Deployments run.", _image()),
        "imagePullSecrets": _list(
            "Secrets with a login for the image's registry, as in a Pod: `[{name: NAME}]`.", _named()
        ),
        "besideCertManager": {
            "description": "Run beside a real cert-manager, in its namespace: the signer alone, with the CRDs of "
            "mesh-signer.dev alone. cert-manager keeps the issuers and Certificates.",
            "type": "boolean",
            "default": False,
        },
        "crds": _section(
            "The CustomResourceDefinitions.",
            {
                "install": {
                    "description": "Install and upgrade them. They stay when the release goes, and so do all issuers and "
                    "Certificates.",
                    "type": "boolean",
                    "default": True,
                }
            },
        ),
        "components": _section(
            "What can be added to the base, as in manifests/components.",
            {
                one.value: {
                    "description": f"{one.text[0].upper()}{one.text[1:]}.",
                    "type": "boolean",
                    "default": one.default,
                }
                for one in COMPONENTS
            },
        ),
        "istio": _section("Where Istio is.", _istio()),
        "namespacedIssuers": _section(
            "For `components.namespacedIssuers`.",
            {
                "namespaces": _list(
                    "Namespaces with Issuers of their own, whose Secrets the signer may read: all of them, Kubernetes "
                    "cannot say which.",
                    {"type": "string", "pattern": NAMESPACE},
                )
            },
        ),
        "networkPolicy": _section("For `components.networkPolicy`.", _network_policy(built)),
        **{
            camel(folder): _section(
                f"For `components.{camel(folder)}`.",
                {"labels": _map(f"Further labels of the {kind}, for {whom} that chooses by them.")},
            )
            for kind, (folder, whom) in LABELLED.items()
        },
        "settings": _settings(built),
        **{name: _deployment(name, built) for name in DEPLOYMENTS},
        # What Helm gives every chart that is part of another one.
        "global": {"description": "Not used here: what Helm hands to every part of a larger chart.", "type": "object"},
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart mesh-signer",
        **_section("", sections),
    }


def defaults(section: Schema) -> dict[str, Any]:
    """Return what the values are when nobody says, as values.yaml has them."""
    found = {}
    for name, one in section["properties"].items():
        if "properties" in one:
            found[name] = defaults(one)
        elif "default" in one:
            found[name] = one["default"]
    return found


def _section(text: str, properties: dict[str, Schema]) -> Schema:
    # All that has a default is required, so that a null given for it is refused, and not rendered.
    required = [name for name, one in properties.items() if "default" in one or "properties" in one]
    described = {"description": text} if text else {}
    return {
        **described,
        "type": "object",
        "additionalProperties": False,
        "required": required,
        "properties": properties,
    }


def _list(text: str, items: Schema) -> Schema:
    return {"description": text, "type": "array", "items": items, "default": []}


def _map(text: str, default: dict[str, str] | None = None) -> Schema:
    return {
        "description": text,
        "type": "object",
        "additionalProperties": {"type": "string"},
        "default": default or {},
    }


def _object(text: str, default: dict[str, Any] | None = None) -> Schema:
    return {"description": text, "type": "object", "default": default or {}}


def _named() -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["name"],
        "properties": {"name": {"type": "string", "minLength": 1}},
    }


def _image() -> dict[str, Schema]:
    return {
        "repository": {
            "description": "Registry and name, without a tag.",
            "type": "string",
            "pattern": r"^[a-z0-9]([-a-z0-9._]*[a-z0-9])?(:[0-9]+)?(/[a-z0-9]([-a-z0-9._]*[a-z0-9])?)*$",
            "default": "mesh-signer",
        },
        "tag": {
            "description": "Empty for the chart's own version.",
            "type": "string",
            "pattern": r"^([A-Za-z0-9_][-A-Za-z0-9_.]{0,127})?$",
            "default": "",
        },
        "digest": {
            "description": "`sha256:...`, in place of the tag.",
            "type": "string",
            "pattern": r"^(sha256:[0-9a-f]{64})?$",
            "default": "",
        },
        "pullPolicy": {
            "description": "When the image is pulled.",
            "type": "string",
            "enum": ["IfNotPresent", "Always", "Never"],
            "default": "IfNotPresent",
        },
    }


def _istio() -> dict[str, Schema]:
    return {
        "namespace": {
            "description": "The namespace of istiod and its ConfigMaps.",
            "type": "string",
            "pattern": NAMESPACE,
            "default": "istio-system",
        },
        "createNamespace": {
            "description": "Make that namespace if it is not there. It stays when the release goes.",
            "type": "boolean",
            "default": True,
        },
        "revisions": _list(
            "Revisions whose ConfigMap `istio-REVISION` `components.manageMeshConfig` may write too.",
            {"type": "string", "pattern": NAMESPACE},
        ),
    }


def _network_policy(built: Built) -> dict[str, Schema]:
    return {
        "apiServerPorts": {
            "description": "Ports to which connections may go out anywhere: those at which the API server's own Pods or "
            "machines listen (`kubectl get endpointslices -n default`, the slice of `kubernetes`), not its Service's port, "
            "and 443 for ACME servers.",
            "type": "array",
            "minItems": 1,
            "items": {"type": "integer", "minimum": 1, "maximum": 65535},
            "default": [one["port"] for one in egress(built)[0]["ports"]],
        },
        "extraEgress": _list(
            "Further rules for connections out, as in a NetworkPolicy's `egress`.", {"type": "object"}
        ),
    }


def egress(built: Built) -> list[dict[str, Any]]:
    """Return the rules for connections out: the API server's ports are in the first one."""
    rules: list[dict[str, Any]] = built.components["network-policy"]["NetworkPolicy", "mesh-signer"]["spec"]["egress"]
    return rules


def _settings(built: Built) -> Schema:
    found = options()
    args = built.base["Deployment", DEPLOYMENTS["signer"]]["spec"]["template"]["spec"]["containers"][0]["args"]
    for argument in args:
        name, _, value = argument.removeprefix("--").partition("=")
        if name in found:
            found[name]["default"] = value
    return _section(
        "Options of `mesh-signer run`, for both Deployments, named as there: see docs/operations.md. What is not set is as "
        "the program has it.",
        found,
    )


def _deployment(section: str, built: Built) -> Schema:
    spec = built.base["Deployment", DEPLOYMENTS[section]]["spec"]
    pod = spec["template"]["spec"]
    what = {
        "signer": "The Deployment that signs. Every replica works.",
        "controllers": "The Deployment of all other controllers. One replica leads. Not there beside cert-manager.",
    }
    return _section(
        what[section],
        {
            "replicas": {
                "description": "How many Pods. With more than one there is a PodDisruptionBudget.",
                "type": "integer",
                "minimum": 0,
                "default": spec["replicas"],
            },
            "resources": _object("Requests and limits of the container.", pod["containers"][0]["resources"]),
            "nodeSelector": _map("Labels of the nodes to run on.", pod["nodeSelector"]),
            "tolerations": _list("Taints that do not keep the Pods away.", {"type": "object"}),
            "affinity": _object("Affinity of the Pods."),
            "priorityClassName": {
                "description": "Their PriorityClass. The chart brings `mesh-signer`.",
                "type": "string",
                "default": pod["priorityClassName"],
            },
            "podLabels": _map("Further labels of the Pods."),
            "podAnnotations": _map("Further annotations of the Pods."),
            "extraArgs": _list(
                "Further arguments of this Deployment alone, after `settings`.",
                {"type": "string", "pattern": "^--[a-z]"},
            ),
            "extraEnv": _list("Further environment variables, as in a container's `env`.", {"type": "object"}),
            "extraVolumes": _list("Further volumes, as in a Pod, for an audit log in a file.", {"type": "object"}),
            "extraVolumeMounts": _list("Where they are mounted.", {"type": "object"}),
        },
    )
