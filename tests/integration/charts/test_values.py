"""What may be given to the chart, and what comes of each value: wrong ones are refused with their path and what is allowed."""

import argparse
import json
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import pytest

from charts.generate.components import camel
from charts.generate.values import LABELLED
from signer.settings.given import SettingsError
from signer.settings.options import add_arguments
from signer.settings.values import Settings, settings_from
from tests.integration.charts.helm import CHART, Failed, helm, rendered
from tests.unit.manifests.kustomize import Objects

Schema = dict[str, Any]
SCHEMA: Schema = json.loads((CHART / "values.schema.json").read_text())
SETTINGS: Schema = SCHEMA["properties"]["settings"]["properties"]
DEPLOYMENTS = {"signer": "mesh-signer", "controllers": "mesh-signer-controllers"}


def leaves(section: Schema = SCHEMA, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Schema]]:
    """Path and schema of each value."""
    for name, one in section["properties"].items():
        if "properties" in one:
            yield from leaves(one, (*path, name))
        elif name != "global":
            yield (*path, name), one


def sections(section: Schema = SCHEMA, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, one in section["properties"].items():
        if "properties" in one:
            yield from sections(one, (*path, name))


def put(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        values = values.setdefault(name, {})
    values[path[-1]] = value


def refused(values: Mapping[str, Any]) -> str:
    """What Helm says to these values; "" where it takes them."""
    try:
        helm("template", "m", CHART, "--show-only", "templates/manifests/base/service-mesh-signer.yaml", values=values)
    except Failed as error:
        return str(error)
    return ""


def told(values: Mapping[str, Any]) -> dict[str, str]:
    """Path -> what the schema has against it."""
    found: dict[str, str] = {}
    for path, text in re.findall(r"- at '([^']*)': (.+)", refused(values)):
        if text != "validation failed":
            found[path] = f"{found[path]}; {text}" if path in found else text
    return found


def wrong_type(one: Schema) -> Any:
    return 7 if one["type"] == "string" else "x"


def out_of_range(one: Schema) -> Any:
    """A value of the right type that is not allowed, or None where all are."""
    if "enum" in one:
        return "of no such kind"
    if one["type"] == "array":
        inner = out_of_range(one["items"])
        return None if inner is None else [inner]
    if one["type"] == "object" and "additionalProperties" in one:
        return {"x": 7}
    if "minimum" in one:
        return one["minimum"] - 1
    if "pattern" in one and not re.search(one["pattern"], "no, never\n"):
        return "no, never\n"
    return None


def test_wrong_types_are_refused() -> None:
    """Each value says what it must be, with its path, when it is given something of another kind."""
    values: dict[str, Any] = {}
    for path, one in leaves():
        put(values, path, wrong_type(one))
    found = told(values)
    for path, one in leaves():
        text = found.pop("/" + "/".join(path))
        assert f"want {one['type']}" in text or "value must be one of" in text, path
    assert found == {}


def test_values_out_of_range_are_refused() -> None:
    """A value of the right kind that is not allowed is refused with what is."""
    values: dict[str, Any] = {}
    expected = []
    for path, one in leaves():
        if (wrong := out_of_range(one)) is not None:
            put(values, path, wrong)
            inside = "/0" if isinstance(wrong, list) else "/x" if isinstance(wrong, dict) else ""
            expected.append("/" + "/".join(path) + inside)
    found = told(values)
    assert set(found) == set(expected)
    assert len(expected) > 30
    for name, text in found.items():
        assert re.search(r"want|does not match pattern|must be one of|missing property", text), name


def test_unknown_values_are_refused() -> None:
    """A misspelt value, in whatever section, is named with the section's path."""
    values: dict[str, Any] = {}
    for path in sections():
        put(values, (*path, "replcas"), 1)
    found = told(values)
    assert set(found) == {"/" + "/".join(path) if path else "" for path in sections()}
    assert all("additional properties 'replcas' not allowed" in text for text in found.values())


def test_null_is_refused() -> None:
    """A value that is taken away, and not set, is refused: no template has to guess."""
    values: dict[str, Any] = {}
    for path, _ in leaves():
        put(values, path, None)
    found = told(values)
    for path, one in leaves():
        section = "/" + "/".join(path[:-1]) if path[:-1] else ""
        said = found.get("/" + "/".join(path), "") + found.get(section, "")
        assert ("missing propert" in said and f"'{path[-1]}'" in said) or "got null" in said, (path, one)


def test_part_of_a_larger_chart(tmp_path: Any) -> None:
    """As a part of another chart, which hands its `global` values on, ours is taken as well."""
    (tmp_path / "charts").mkdir()
    (tmp_path / "charts" / "mesh-signer").symlink_to(CHART)
    (tmp_path / "Chart.yaml").write_text("apiVersion: v2\nname: larger\nversion: 1.0.0\n")
    values = {"global": {"region": "x"}, "mesh-signer": {"signer": {"replicas": 5}}}
    text = helm("template", "larger", tmp_path, values=values)
    assert re.search(r"^  replicas: 5$", text, re.MULTILINE)


BOOLEANS = [True, False, "true", "maybe", 1]
DURATIONS = ["24h", "90m", "1h30m", "0", "+1h", "1.5h", ".5h", "1d", "24", "", "h", "1h 30m", "-", "1hh", "1µs"]
TIMES = ["2026-12-31T00:00:00Z", "2026-12-31T00:00:00+01:00", "2026-12-31", "tomorrow", "2026-12-31 00:00:00Z"]
NAMES = [["a"], ["a.b", "c"], [], ["a,b"], [""], "a"]
CANDIDATES: dict[str, list[Any]] = {
    **{name: BOOLEANS for name, one in SETTINGS.items() if one["type"] == "boolean"},
    **{name: [*one["enum"], "other", ""] for name, one in SETTINGS.items() if "enum" in one},
    "grace": DURATIONS,
    "max-workload-lifetime": ["24h", "90m", "1d", "24", "", "1hh"],
    "audit-until": TIMES,
    "write-window": [1, 64, 1024, 0, 1025, -1, "x"],
    "namespace-memory": [1, 6, 1024, 0, 1025, "x"],
    "drain-seconds": [0, 20, 3600, -1, 3601, "x"],
    "gateway-namespaces": NAMES,
    "ca-injector-namespaces": NAMES,
    "istiod-dns-names": NAMES,
    "istiod-accounts": [
        *([one] for one in ("system:serviceaccount:a:b", "bob@example.com", "system:node:n", "bob", "a/b", "a b")),
        *([one] for one in ("system:serviceaccount:a", "system:serviceaccount:A:b", "system:serviceaccount:a:b:c")),
        *([one] for one in ("system:masters", "system:serviceaccounts:a", "system:authenticated")),
        [""],
        "a",
    ],
    "recursive-nameservers": [["10.0.0.1"], ["10.0.0.1:53"], ["[::1]:53"], ["dns.example.com"], [""]],
    "shared-mesh-config": ["mesh", "a.b", "A", "a b", "-a"],
}
STRICTER = {
    # A name of a namespace has no dots: the program says so.
    "gateway-namespaces": [["a.b", "c"]],
    "ca-injector-namespaces": [["a.b", "c"]],
}
"""What the program refuses and the schema, which has one shape for lists of names, does not."""
LOOSER_PROGRAM = ["true", "a", "", [""], ["a,b"], "2026-12-31 00:00:00Z"]
"""What the program reads in a text of its command line, and the chart takes only as what it is: a boolean, a list, a time
as Kubernetes writes it."""


def written(value: Any) -> str:
    """A value as an argument."""
    if isinstance(value, list):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def program_takes(name: str, value: Any) -> bool:
    """Whether the program starts with this option, written as the chart writes it."""
    arguments: dict[str, str | None] = {name.replace("-", "_"): written(value)}
    if name == "audit-until":
        arguments["tenancy"] = "audit"
    if name == "tenancy" and value == "audit":
        arguments["audit_until"] = "2026-12-31T00:00:00Z"
    try:
        settings_from(arguments, {}, host="h", process=1)
    except SettingsError:
        return False
    return True


def test_settings_are_what_the_program_takes() -> None:
    """The schema refuses what the program would refuse at startup, and nothing that it takes."""
    rounds = max(map(len, CANDIDATES.values()))
    for number in range(rounds):
        values = {name: some[number] for name, some in CANDIDATES.items() if number < len(some)}
        found = told({"settings": values})
        for name, value in values.items():
            no = any(path == f"/settings/{name}" or path.startswith(f"/settings/{name}/") for path in found)
            if value in STRICTER.get(name, []):
                assert not no
                assert not program_takes(name, value)
            elif value not in LOOSER_PROGRAM and value != 1:
                assert no != program_takes(name, value), (name, value, found)


def test_every_setting_has_candidates_or_is_free_text() -> None:
    """No option of another shape than those that are tried comes in unseen."""
    assert set(SETTINGS) - set(CANDIDATES) == {"audit-log", "default-issuer-name"}


def sample(one: Schema) -> Any:
    """A value that is allowed and no default."""
    if "enum" in one:
        return next(text for text in one["enum"] if text != one.get("default"))
    return {"boolean": True, "integer": 5, "string": "2h", "array": ["a-b"]}[one["type"]]


@cache
def parsed(objects: str, name: str) -> Settings:
    """The settings that a Pod starts with, read by the program's own parser."""
    (container,) = json.loads(objects)["spec"]["template"]["spec"]["containers"]
    command, *given = container["args"]
    assert command == "run"
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_arguments(parser)
    expanded = [argument.replace("$(POD_NAMESPACE)", "the-namespace") for argument in given]
    return settings_from(vars(parser.parse_args(expanded)), {"POD_NAME": name}, host="h", process=1)


def test_settings_reach_both_programs() -> None:
    """Every option of the values is an argument of both Deployments, as the program reads it; large numbers too."""
    given = {name: sample(one) for name, one in SETTINGS.items()} | {
        "audit-until": "2026-12-31T00:00:00Z",
        "tenancy": "audit",
        "recursive-nameservers": ["10.0.0.1", "[::1]:5353"],
        "istiod-accounts": ["system:serviceaccount:a:b", "bob@example.com"],
        "audit-log": 'a "b" <c> & $(d) {{ e }} \\',
        "write-window": 1000,
        "drain-seconds": 3000,
        "default-issuer-name": "a.b",
    }
    objects = rendered({"settings": given, "crds": {"install": False}})
    for name in DEPLOYMENTS.values():
        deployment = objects["Deployment", name]
        args = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
        options = dict(argument.removeprefix("--").split("=", 1) for argument in args[1:])
        for option, value in given.items():
            assert options[option] == written(value)
        found = parsed(json.dumps(deployment), name)
        assert (found.write_window, found.drain_seconds, found.tenancy_mode) == (1000, 3000, "audit")
        assert found.audit_log == given["audit-log"]
        # It drains before it is killed, however long it is given.
        assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 3010


def pod(objects: Objects, section: str) -> dict[str, Any]:
    found: dict[str, Any] = objects["Deployment", DEPLOYMENTS[section]]["spec"]["template"]
    return found


def container(objects: Objects, section: str) -> dict[str, Any]:
    (found,) = pod(objects, section)["spec"]["containers"]
    return dict(found)


ENV = {"name": "HTTPS_PROXY", "value": "http://proxy:3128"}
VOLUME = {"name": "audit", "persistentVolumeClaim": {"claimName": "audit"}}
MOUNT = {"name": "audit", "mountPath": "/var/log/mesh-signer"}
AFFINITY: dict[str, Any] = {
    "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}
}
TOLERATION = {"key": "infra", "operator": "Exists", "effect": "NoSchedule"}
OF_A_DEPLOYMENT: dict[str, tuple[Any, Callable[[Objects, str], bool]]] = {
    "replicas": (5, lambda found, one: found["Deployment", DEPLOYMENTS[one]]["spec"]["replicas"] == 5),
    "resources": (
        {"limits": {"memory": "1Gi"}},
        lambda found, one: (
            container(found, one)["resources"]
            == {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}}
        ),
    ),
    "nodeSelector": (
        {"pool": "infra"},
        lambda found, one: pod(found, one)["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux", "pool": "infra"},
    ),
    "tolerations": ([TOLERATION], lambda found, one: pod(found, one)["spec"]["tolerations"] == [TOLERATION]),
    "affinity": (AFFINITY, lambda found, one: pod(found, one)["spec"]["affinity"] == AFFINITY),
    "priorityClassName": (
        "system-cluster-critical",
        lambda found, one: pod(found, one)["spec"]["priorityClassName"] == "system-cluster-critical",
    ),
    "podLabels": ({"team": "1"}, lambda found, one: pod(found, one)["metadata"]["labels"]["team"] == "1"),
    "podAnnotations": (
        {"prometheus.io/scrape": "false"},
        lambda found, one: pod(found, one)["metadata"]["annotations"]["prometheus.io/scrape"] == "false",
    ),
    "extraArgs": (["--grace=1h"], lambda found, one: container(found, one)["args"][-1] == "--grace=1h"),
    "extraEnv": ([ENV], lambda found, one: container(found, one)["env"][-1] == ENV),
    "extraVolumes": ([VOLUME], lambda found, one: pod(found, one)["spec"]["volumes"][-1] == VOLUME),
    "extraVolumeMounts": ([MOUNT], lambda found, one: container(found, one)["volumeMounts"][-1] == MOUNT),
}
SHA = "sha256:" + "a" * 64
RULE = {"ports": [{"port": 5353, "protocol": "UDP"}]}


def images(found: Objects) -> set[str]:
    return {container(found, one)["image"] for one in DEPLOYMENTS}


def labelled(kind: str, release: str) -> Callable[[Objects], bool]:
    """Whether the objects of a kind are one, with this label."""
    return lambda found: (
        [
            label
            for key, one in found.items()
            if key[0] == kind and (label := one["metadata"].get("labels", {}).get("release"))
        ]
        == [release]
    )


OTHERS: dict[str, tuple[Any, Callable[[Objects], bool]]] = {
    "image.repository": ("reg:5000/a/b", lambda found: images(found) == {"reg:5000/a/b:7"}),
    "image.tag": ("7", lambda found: images(found) == {"reg:5000/a/b:7"}),
    "image.pullPolicy": (
        "Always",
        lambda found: {container(found, one)["imagePullPolicy"] for one in DEPLOYMENTS} == {"Always"},
    ),
    "imagePullSecrets": (
        [{"name": "login"}],
        lambda found: all(pod(found, one)["spec"]["imagePullSecrets"] == [{"name": "login"}] for one in DEPLOYMENTS),
    ),
    "istio.createNamespace": (False, lambda found: ("Namespace", "istio-system") not in found),
    "istio.revisions": (
        ["canary"],
        lambda found: (
            found["Role", "mesh-signer-manage-mesh-config"]["rules"][0]["resourceNames"] == ["istio", "istio-canary"]
        ),
    ),
    "namespacedIssuers.namespaces": (
        ["tenant"],
        lambda found: (
            found["RoleBinding", "mesh-signer-secrets"]["metadata"]["namespace"] == "tenant"
            and found["RoleBinding", "mesh-signer-secrets"]["subjects"][0]["namespace"] == "cert-manager"
        ),
    ),
    "networkPolicy.apiServerPorts": (
        [443, 16443],
        lambda found: (
            [one["port"] for one in found["NetworkPolicy", "mesh-signer"]["spec"]["egress"][0]["ports"]] == [443, 16443]
        ),
    ),
    "networkPolicy.extraEgress": (
        [RULE],
        lambda found: found["NetworkPolicy", "mesh-signer"]["spec"]["egress"][-1] == RULE,
    ),
    **{
        f"{camel(folder)}.labels": ({"release": folder}, labelled(kind, folder))
        for kind, (folder, _) in LABELLED.items()
    },
}
ELSEWHERE = re.compile(r"components\..*|settings\..*|crds\.install|besideCertManager|istio\.namespace|image\.digest")
"""Values with tests of their own, here or in test_same.py."""


def test_each_value_does_what_it_says() -> None:
    """No value is without an effect, and each has it in both Deployments where it is of both."""
    values: dict[str, Any] = {"components": {}, "crds": {"install": False}}
    for name in ("manageMeshConfig", "namespacedIssuers", "networkPolicy"):
        values["components"][name] = True
    for folder, _ in LABELLED.values():
        values["components"][camel(folder)] = True
    known = set()
    for name, (value, _) in OTHERS.items():
        put(values, tuple(name.split(".")), value)
        known.add(name)
    for section in DEPLOYMENTS:
        for name, (value, _) in OF_A_DEPLOYMENT.items():
            put(values, (section, name), value)
            known.add(f"{section}.{name}")
    every = {".".join(path) for path, _ in leaves()}
    assert {name for name in every - known if not ELSEWHERE.fullmatch(name)} == set()
    assert known <= every
    before, found = rendered(values | {"image": {}, **{name: {} for name in ("istio", *DEPLOYMENTS)}}), rendered(values)
    for name, (_, holds) in OTHERS.items():
        assert holds(found), name
    for section in DEPLOYMENTS:
        for name, (_, there) in OF_A_DEPLOYMENT.items():
            assert there(found, section), (section, name)
            with pytest.raises((AssertionError, KeyError)):
                assert there(before, section), (section, name)


def test_digest() -> None:
    """A digest takes the tag's place."""
    assert images(rendered({"image": {"digest": SHA, "tag": "7"}, "crds": {"install": False}})) == {
        f"mesh-signer@{SHA}"
    }


@pytest.mark.parametrize("replicas", [0, 1])
def test_one_pod_can_be_moved(replicas: int) -> None:
    """Where there is one Pod, no PodDisruptionBudget keeps its node from being drained."""
    values = {name: {"replicas": replicas} for name in DEPLOYMENTS} | {"crds": {"install": False}}
    assert "PodDisruptionBudget" not in {kind for kind, _ in rendered(values)}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"besideCertManager": True, "components": {"manageMeshConfig": True}},
            ["components.manageMeshConfig", "false"],
        ),
        ({"besideCertManager": True, "components": {"requester": True}}, ["components.requester", "false"]),
        (
            {"besideCertManager": True, "components": {"podCertificates": True}},
            ["components.podCertificates", "by hand", "false"],
        ),
        ({"settings": {"tenancy": "audit"}}, ["settings.audit-until", "2026-12-31T00:00:00Z"]),
    ],
)
def test_what_does_not_go_together(values: dict[str, Any], words: list[str]) -> None:
    """Values that exclude each other are refused, and the message says which to change."""
    with pytest.raises(Failed) as failed:
        rendered(values)
    for one in words:
        assert one in str(failed.value)


def test_lint() -> None:
    """Helm's own checks have nothing against the chart."""
    assert "0 chart(s) failed" in helm("lint", "--strict", CHART)
