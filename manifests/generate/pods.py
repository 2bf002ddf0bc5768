"""The pieces of Kubernetes' own Pod API that an ACME solver's Pod template takes.

They are written out in full: what a schema does not name is pruned, and a user's affinity would be lost silently.
Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
"""

from typing import Any

from manifests.generate.schema import Schema, boolean, integer, list_of, record, string, string_map, strings

QUANTITY = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)
"""A resource quantity as the API server reads it: 100m, 64Mi, 1.5, 1e3."""


def _requirements(text: str, what: str) -> Schema:
    return list_of(
        text,
        record(
            f"One condition on a {what}.",
            {
                "key": string(f"Key of the {what}."),
                "operator": string("In, NotIn, Exists, DoesNotExist; for nodes Gt and Lt too."),
                "values": strings("Values to compare with; empty for Exists and DoesNotExist."),
            },
            required=["key", "operator"],
        ),
    )


def _label_selector(text: str) -> Schema:
    return record(
        text,
        {
            "matchExpressions": _requirements("All of these must hold.", "label"),
            "matchLabels": string_map("All of these labels must be there with these values."),
        },
        atomic=True,
    )


def _node_term(text: str) -> Schema:
    return record(
        text,
        {
            "matchExpressions": _requirements("Conditions on the node's labels.", "node label"),
            "matchFields": _requirements("Conditions on the node's fields.", "node field"),
        },
        atomic=True,
    )


def _weight() -> Schema:
    return integer("How much this counts, 1 to 100.", format="int32")


def _node_affinity() -> Schema:
    return record(
        "Rules on nodes.",
        {
            "preferredDuringSchedulingIgnoredDuringExecution": list_of(
                "Nodes to prefer; the highest sum of weights wins.",
                record(
                    "One preference.",
                    {"preference": _node_term("Which nodes."), "weight": _weight()},
                    required=["preference", "weight"],
                ),
            ),
            "requiredDuringSchedulingIgnoredDuringExecution": record(
                "Nodes that are possible at all.",
                {"nodeSelectorTerms": list_of("One of these must hold.", _node_term("One kind of node."))},
                required=["nodeSelectorTerms"],
                atomic=True,
            ),
        },
    )


def _pod_term(text: str) -> Schema:
    return record(
        text,
        {
            "labelSelector": _label_selector("Which Pods."),
            "matchLabelKeys": strings("Label keys whose values are taken from the new Pod and must be equal."),
            "mismatchLabelKeys": strings("Label keys whose values are taken from the new Pod and must differ."),
            "namespaceSelector": _label_selector("In which namespaces, by their labels."),
            "namespaces": strings("In which namespaces, by name; the Pod's own when neither is set."),
            "topologyKey": string("Node label that says what counts as the same place."),
        },
        required=["topologyKey"],
    )


def _pod_affinity(text: str) -> Schema:
    return record(
        text,
        {
            "preferredDuringSchedulingIgnoredDuringExecution": list_of(
                "Preferences; the highest sum of weights wins.",
                record(
                    "One preference.",
                    {"podAffinityTerm": _pod_term("Which Pods and places."), "weight": _weight()},
                    required=["podAffinityTerm", "weight"],
                ),
            ),
            "requiredDuringSchedulingIgnoredDuringExecution": list_of(
                "All of these must hold.", _pod_term("One rule.")
            ),
        },
    )


def _quantities(text: str) -> Schema:
    value: dict[str, Any] = {
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "pattern": QUANTITY,
        "x-kubernetes-int-or-string": True,
    }
    return {"description": text, "type": "object", "additionalProperties": value}


def _security_context() -> Schema:
    identifier = {"format": "int64"}
    return record(
        "Security settings of the Pod.",
        {
            "fsGroup": integer("Group that owns the volumes.", **identifier),
            "fsGroupChangePolicy": string("OnRootMismatch or Always."),
            "runAsGroup": integer("Group of the processes.", **identifier),
            "runAsNonRoot": boolean("Refuse to start as root."),
            "runAsUser": integer("User of the processes.", **identifier),
            "seLinuxOptions": record(
                "SELinux label.",
                {name: string(f"SELinux {name}.") for name in ("level", "role", "type", "user")},
            ),
            "seccompProfile": record(
                "Filter of system calls.",
                {
                    "localhostProfile": string("File of the profile on the node, for type Localhost."),
                    "type": string("RuntimeDefault, Localhost or Unconfined."),
                },
                required=["type"],
            ),
            "supplementalGroups": list_of("More groups of the processes.", {"type": "integer", "format": "int64"}),
            "sysctls": list_of(
                "Kernel parameters of the Pod.",
                record(
                    "One parameter.",
                    {"name": string("Its name."), "value": string("Its value.")},
                    required=["name", "value"],
                ),
            ),
        },
    )


def pod_template() -> Schema:
    """Template of an HTTP-01 solver Pod: the part of a Pod that cert-manager's API lets a user set."""
    return record(
        "Changes to the solver's Pod.",
        {
            "metadata": labels_and_annotations("Labels and annotations added to the Pod."),
            "spec": record(
                "Settings of the Pod.",
                {
                    "affinity": record(
                        "Where the Pod may or should run.",
                        {
                            "nodeAffinity": _node_affinity(),
                            "podAffinity": _pod_affinity("Near which Pods."),
                            "podAntiAffinity": _pod_affinity("Away from which Pods."),
                        },
                    ),
                    "imagePullSecrets": list_of(
                        "Secrets with registry credentials.",
                        record("One Secret.", {"name": string("Its name.", default="")}, atomic=True),
                        keys=["name"],
                    ),
                    "nodeSelector": string_map("Labels that the node must have."),
                    "priorityClassName": string("PriorityClass of the Pod."),
                    "resources": record(
                        "Compute resources of the Pod's container.",
                        {"limits": _quantities("At most this."), "requests": _quantities("At least this.")},
                    ),
                    "securityContext": _security_context(),
                    "serviceAccountName": string("ServiceAccount of the Pod."),
                    "tolerations": list_of(
                        "Taints that the Pod tolerates.",
                        record(
                            "One toleration.",
                            {
                                "effect": string("NoSchedule, PreferNoSchedule or NoExecute; all when unset."),
                                "key": string("Taint key; all when unset, with operator Exists."),
                                "operator": string("Exists or Equal (the default)."),
                                "tolerationSeconds": integer("How long, for NoExecute.", format="int64"),
                                "value": string("Taint value, for Equal."),
                            },
                        ),
                    ),
                },
            ),
        },
    )


def labels_and_annotations(text: str) -> Schema:
    """The two maps that a template may add to an object."""
    return record(
        text,
        {"annotations": string_map("Annotations to add."), "labels": string_map("Labels to add.")},
    )
