"""The chart installs what the kustomizations do: the same objects, field by field, for each value and any namespace."""

import json
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from charts.generate.components import COMPONENTS
from tests.integration.charts.helm import CHART, KEEP, hooked, rendered, template
from tests.unit.manifests.kustomize import MANIFESTS, Objects, build

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
DEFAULTS: dict[str, bool] = {
    name: one["default"] for name, one in SCHEMA["properties"]["components"]["properties"].items()
}
FOLDERS = {one.value: one for one in COMPONENTS}
NO_CRDS = {"crds": {"install": False}}
ALONE = ("bridges", "manageMeshConfig", "podCertificates", "requester")
"""Components that are refused beside cert-manager."""
LABELS = st.from_regex(r"\A[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?\Z")
NAMESPACES = LABELS | st.sampled_from(["true", "null", "123", "0x1f", "1e3", "on", "cert-manager", "istio-system-2"])
SLOW = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@cache
def kustomized(resource: str, components: tuple[str, ...]) -> Objects:
    """What a user's own kustomization of `resource`, our CRDs and these components builds."""
    with tempfile.TemporaryDirectory() as temporary:
        shutil.copytree(MANIFESTS, Path(temporary, "manifests"))
        (folder := Path(temporary, "own")).mkdir()
        own = {
            "resources": [f"../manifests/{resource}"],
            "components": [f"../manifests/components/{name}" for name in components],
        }
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(own))
        return build(folder)


@cache
def built(folder: str) -> Objects:
    return build(MANIFESTS / folder)


def wanted(components: Mapping[str, bool], *, beside: bool) -> Objects:
    """What the kustomizations have for these values, in their own namespaces and without CRDs."""
    folders: list[str] = []
    for name, on in {**DEFAULTS, **components}.items():
        component = FOLDERS[name]
        # The overlay beside cert-manager has `admission` in it, and nothing of the edge.
        if beside and (name == "admission" or not component.beside):
            continue
        if folder := component.folder if on else component.without:
            folders.append(folder)
    resource = "overlays/beside-cert-manager" if beside else "base"
    return {**kustomized(resource, tuple(folders)), **istio_namespace()}


def istio_namespace() -> Objects:
    return {("Namespace", "istio-system"): built("namespaces")["Namespace", "istio-system"]}


def moved(value: Any, names: Sequence[tuple[re.Pattern[str], str]]) -> Any:
    """The same with other names of namespaces, wherever a text has one as a word of its own."""
    if isinstance(value, dict):
        return {key: moved(one, names) for key, one in value.items()}
    if isinstance(value, list):
        return [moved(one, names) for one in value]
    if isinstance(value, str):
        for pattern, name in names:
            value = pattern.sub(name, value)
    return value


def word(name: str) -> re.Pattern[str]:
    """A name as a word of its own: no part of another name, of a group or of prose (cert-manager's)."""
    return re.compile(rf"(?<![\w.-]){name}(?![\w./-]|'s)")


def same(values: Mapping[str, Any], expected: Objects, namespace: str = "cert-manager") -> None:
    found = rendered(values, namespace)
    assert set(found) == set(expected)
    kept = set()
    for key, one in found.items():
        annotations = one["metadata"].get("annotations", {})
        if annotations.pop(KEEP, None) == "keep":
            kept.add(key)
            if not annotations:
                del one["metadata"]["annotations"]
        assert one == expected[key], key
    # Of all that is installed, what holds others' objects stays when the release goes.
    assert kept == {key for key in expected if key[0] in {"CustomResourceDefinition", "Namespace"}}


def test_each_component_is_a_value() -> None:
    """The chart knows every folder below manifests/components; the values and their defaults are those of the table."""
    folders = {path.name for path in (MANIFESTS / "components").iterdir()}
    assert {name for one in COMPONENTS for name in (one.folder, one.without) if name} == folders
    assert {one.value: one.default for one in COMPONENTS} == DEFAULTS


def test_default_is_the_overlay_istio() -> None:
    """Without any value the chart is manifests/overlays/istio with the CRDs, and Istio's namespace."""
    same({}, {**built("overlays/istio"), **built("crds"), **istio_namespace()})


def test_beside_cert_manager() -> None:
    """With one value it is manifests/overlays/beside-cert-manager, with the CRDs of mesh-signer.dev alone."""
    expected = {**built("overlays/beside-cert-manager"), **built("crds/mesh-signer"), **istio_namespace()}
    same({"besideCertManager": True}, expected)


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside"])
@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_each_component(name: str, beside: bool) -> None:
    """Each component, turned on or off against its default, is what the kustomization with or without it is."""
    if beside and name in ALONE:
        pytest.skip("refused beside cert-manager: test_values has the refusal")
    components = {name: not DEFAULTS[name]}
    if beside and name == "admission":
        # The overlay has it always: what is left out of it here is what the component would have brought.
        expected = {key: one for key, one in wanted({}, beside=True).items() if key not in kustomized_only("admission")}
    else:
        expected = wanted(components, beside=beside)
    same({"components": components, "besideCertManager": beside} | NO_CRDS, expected)


def kustomized_only(component: str) -> set[tuple[str, str]]:
    return set(kustomized("base", (component,))) - set(kustomized("base", ()))


@SLOW
@given(chosen=st.fixed_dictionaries({name: st.booleans() for name in DEFAULTS}))
def test_any_components_together(chosen: dict[str, bool]) -> None:
    """Components do not get into each other's way, whichever of them are on."""
    same({"components": chosen} | NO_CRDS, wanted(chosen, beside=False))


@SLOW
@given(release=NAMESPACES, istio=NAMESPACES.filter(lambda name: name != "cert-manager"), beside=st.booleans())
@example("istio-system", "istio-elsewhere", False)
def test_any_namespace(release: str, istio: str, beside: bool) -> None:
    """In other namespaces every object, subject and admission policy means those, and no text still means the old ones."""
    if istio == release:
        istio += "-2"
    chosen = {name: True for name in DEFAULTS if not (beside and name in ALONE)}
    expected = wanted(chosen, beside=beside)
    names = [
        (word("cert-manager"), "RELEASE-NS"),
        (word("istio-system"), istio),
        (word("RELEASE-NS"), release),
    ]
    renamed = {
        (kind, istio if kind == "Namespace" else name): moved(one, names) for (kind, name), one in expected.items()
    }
    for name in ("mesh-signer", "mesh-signer-controllers"):
        if istio != "istio-system" and ("Deployment", name) in renamed:
            (container,) = renamed["Deployment", name]["spec"]["template"]["spec"]["containers"]
            container["args"] = [*container["args"], f"--istio-namespace={istio}"]
    values = {"components": chosen, "besideCertManager": beside, "istio": {"namespace": istio}}
    same(values | NO_CRDS, renamed, release)


def test_hook_is_all_that_is_more() -> None:
    """The only thing that a kustomization has not is the Pod of `helm test`, with no right and no token."""
    (pod,) = [one for one in template({}) if hooked(one)]
    assert pod["kind"] == "Pod"
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in pod["spec"]
