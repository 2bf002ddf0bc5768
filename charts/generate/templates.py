"""The templates of the chart, one for each object that kustomize builds. Pure.

An object of the base has an `if` where a component or the overlay beside cert-manager leaves it out; what a component adds
has its value as the condition. Holes of our own: the image, what a Deployment's section of the values sets, and the names of
the two namespaces.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from charts.generate.built import Built, Key
from charts.generate.components import COMPONENTS, Component, camel
from charts.generate.holes import DEEPER, INDENT, Holes, bare, with_each
from charts.generate.merged import Variant, merged, none_of
from charts.generate.options import Schema
from charts.generate.values import DEPLOYMENTS, LABELLED

HEADER = "{{- /* Written by `python -m charts.generate` from manifests/; change that instead. */ -}}\n"
FOLDER = "templates/manifests"
"""Below the chart: everything in it is written here, and nothing else is."""
NAMESPACE, ISTIO = "cert-manager", "istio-system"
"""The namespaces that the manifests have."""
BESIDE = ".Values.besideCertManager"
_RELEASE = "{{ .Release.Namespace }}"
_ISTIO = "{{ .Values.istio.namespace }}"
_RESERVED = "RELEASENAMESPACEX"
_RESERVED_ISTIO = "ISTIONAMESPACEX"
# Where a text names our namespace: as a whole, in CEL's quotes, or in the name of a ServiceAccount.
_IN_TEXT = {
    re.compile(rf"'{NAMESPACE}'(?![\w])"): f"'{_RESERVED}'",
    re.compile(rf"(?<=system:serviceaccount:){NAMESPACE}(?=:)"): _RESERVED,
}


def templates(built: Built, settings: Schema) -> dict[str, str]:
    """File name below the chart -> text. `settings` is the schema of the options that are values."""
    return {
        f"{FOLDER}/{part}/{_file(key)}": HEADER + text
        for part, key, text in (*_base(built, settings), *_added(built), *_crds(built))
    }


def condition(component: Component) -> str:
    """Return the condition under which a component's objects are there."""
    own = f".Values.components.{component.value}"
    return own if component.beside else f"(and {own} (not {BESIDE}))"


def _file(key: Key) -> str:
    kind, name = key
    return f"{kind.lower()}-{name}.yaml"


def _base(built: Built, settings: Schema) -> Iterator[tuple[str, Key, str]]:
    others = [(BESIDE, built.beside)]
    for one in COMPONENTS:
        others.append((condition(one), built.components[one.folder]))
        if one.without:
            others.append((f"(not .Values.components.{one.value})", built.components[one.without]))
    for key, base in built.base.items():
        holes = Holes()
        variants = [Variant(where, objects[key]) for where, objects in others if key in objects]
        body = merged(base, variants, holes, f"{key[0]} {key[1]}")
        left_out = [where for where, objects in others if key not in objects]
        conditions = [none_of(left_out)] if left_out else []
        for section, name in DEPLOYMENTS.items():
            if key == ("Deployment", name):
                _with_values(body, section, settings, holes)
            if key == ("PodDisruptionBudget", name):
                # With one Pod it would let no node be drained.
                conditions.append(f"(gt (int .Values.{section}.replicas) 1)")
        yield "base", key, _text(body, holes, conditions)


def _added(built: Built) -> Iterator[tuple[str, Key, str]]:
    owners: dict[Key, str] = {}
    for one in COMPONENTS:
        for folder, where in ((one.folder, condition(one)), (one.without, f"(not .Values.components.{one.value})")):
            for key, added in built.components[folder].items() if folder else ():
                if key in built.base:
                    continue
                if key in owners:
                    raise ValueError(f"{key[0]} {key[1]} is in the components {owners[key]} and {folder}")
                owners[key] = folder
                if built.beside.get(key, added) != added:
                    raise ValueError(f"{key[0]} {key[1]} is another one in the overlay beside cert-manager")
                holes = Holes()
                body = with_each(added, {})  # a copy: holes go into it
                _component_holes(key, body, holes)
                yield folder, key, _text(body, holes, [where])
    if strangers := built.beside.keys() - built.base.keys() - owners.keys():
        raise ValueError(f"the overlay beside cert-manager brings what no component does: {sorted(strangers)}")


def _component_holes(key: Key, body: dict[str, Any], holes: Holes) -> None:
    if key[0] == "NetworkPolicy":
        ports = [
            "{{- range .Values.networkPolicy.apiServerPorts }}",
            "- port: {{ . }}",
            "  protocol: TCP",
            "{{- end }}",
        ]
        body["spec"]["egress"][0]["ports"] = [holes.lines(*ports)]
        body["spec"]["egress"].append(holes.lines(*_each("networkPolicy.extraEgress")))
    if key[0] in LABELLED:
        body["metadata"]["labels"][holes.lines(*_each(f"{camel(LABELLED[key[0]][0])}.labels"))] = None
    if key == ("Role", "mesh-signer-manage-mesh-config"):
        revisions = ["{{- range .Values.istio.revisions }}", '- {{ printf "istio-%s" . }}', "{{- end }}"]
        body["rules"][0]["resourceNames"].append(holes.lines(*revisions))


def _crds(built: Built) -> Iterator[tuple[str, Key, str]]:
    for key, crd in built.crds.items():
        body = with_each(crd, {})
        if key[0] == "CustomResourceDefinition":
            body["metadata"].setdefault("annotations", {})["helm.sh/resource-policy"] = "keep"
        conditions = [".Values.crds.install"]
        if key not in built.mesh_crds:
            conditions.append(f"(not {BESIDE})")
        text = _text(body, Holes(), conditions, prose=key[0] == "CustomResourceDefinition")
        yield "crds", key, text


def _text(body: dict[str, Any], holes: Holes, conditions: list[str], *, prose: bool = False) -> str:
    """Write the template. In `prose` the word cert-manager is no namespace."""
    if not prose:
        body = _without_names(body)
    text = holes.text(body)
    for word, expression in ((_RESERVED, _RELEASE), (_RESERVED_ISTIO, _ISTIO)):
        # A namespace may be called 123 or true: as a value of its own it needs quotes.
        quoted = expression.replace(" }}", " | quote }}")
        text = re.sub(rf"(?<=: ){word}$", quoted, text, flags=re.MULTILINE).replace(word, expression)
    if not conditions:
        return text
    together = bare(conditions[0]) if len(conditions) == 1 else f"and {' '.join(conditions)}"
    return f"{{{{- if {together} }}}}\n{text}{{{{- end }}}}\n"


def _without_names(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _without_names(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [_without_names(one) for one in value]
    if key == "namespace" and value in (NAMESPACE, ISTIO):
        return _RESERVED if value == NAMESPACE else _RESERVED_ISTIO
    return with_each(value, _IN_TEXT)


def _with_values(deployment: dict[str, Any], section: str, settings: Schema, holes: Holes) -> None:
    values = f".Values.{section}"
    spec = deployment["spec"]
    spec["replicas"] = holes.value(f"int {values}.replicas")
    template = spec["template"]
    for kind, value in (("labels", "podLabels"), ("annotations", "podAnnotations")):
        own = " ".join(json.dumps(text) for pair in template["metadata"][kind].items() for text in pair)
        both = f"{{{{- toYaml (mergeOverwrite (dict {own}) {values}.{value}) | nindent {INDENT} }}}}"
        template["metadata"][kind] = {holes.lines(both): None}
    pod = template["spec"]
    pod["terminationGracePeriodSeconds"] = holes.value('include "mesh-signer.gracePeriod" .')
    pod["priorityClassName"] = holes.value(f"{values}.priorityClassName | quote")
    pod["nodeSelector"] = {holes.lines(f"{{{{- toYaml {values}.nodeSelector | nindent {INDENT} }}}}"): None}
    for field in ("tolerations", "affinity"):
        pod[holes.lines(*_optional(field, f"{section}.{field}"))] = None
    pod[holes.lines(*_optional("imagePullSecrets", "imagePullSecrets"))] = None
    pod["volumes"].append(holes.lines(*_each(f"{section}.extraVolumes")))
    (container,) = pod["containers"]
    container["image"] = holes.value('include "mesh-signer.image" . | quote')
    container["imagePullPolicy"] = holes.value(".Values.image.pullPolicy")
    container["resources"] = {holes.lines(f"{{{{- toYaml {values}.resources | nindent {INDENT} }}}}"): None}
    container["env"].append(holes.lines(*_each(f"{section}.extraEnv")))
    container["volumeMounts"].append(holes.lines(*_each(f"{section}.extraVolumeMounts")))
    container["args"] = [*_arguments(container["args"], section, settings, holes)]


def _arguments(args: list[str], section: str, settings: Schema, holes: Holes) -> Iterator[str]:
    given = []
    for argument in args:
        name, equals, _ = argument.removeprefix("--").partition("=")
        if equals and name in settings["properties"]:
            given.append(f'"{name}"')
            yield f"--{name}=" + holes.value(f'index .Values.settings "{name}"')
        else:
            yield argument
    yield holes.lines(
        f'{{{{- if ne .Values.istio.namespace "{ISTIO}" }}}}',
        "- --istio-namespace={{ .Values.istio.namespace }}",
        "{{- end }}",
        f"{{{{- range $name, $value := omit .Values.settings {' '.join(given)} }}}}",
        '- {{ include "mesh-signer.argument" (list $name $value) }}',
        "{{- end }}",
        *_each(f"{section}.extraArgs"),
    )


def _each(value: str) -> list[str]:
    """Return the lines that add what a list or mapping in the values has to the one in which they stand."""
    return [f"{{{{- with .Values.{value} }}}}", f"{{{{- toYaml . | nindent {INDENT} }}}}", "{{- end }}"]


def _optional(field: str, value: str) -> list[str]:
    """Return the lines of a field that is there only where the value is not empty."""
    return [
        f"{{{{- with .Values.{value} }}}}",
        f"{field}:",
        f"  {{{{- toYaml . | nindent {DEEPER} }}}}",
        "{{- end }}",
    ]
