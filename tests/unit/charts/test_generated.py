"""The chart's files are what their source gives, and what cannot be said in a chart is refused when they are written."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from charts.generate import merged as module
from charts.generate.__main__ import CHART, files, stale, write
from charts.generate.holes import Holes
from charts.generate.merged import Variant, merged
from charts.generate.options import OF_THE_CHART, options
from charts.generate.templates import FOLDER
from signer.settings.options import add_arguments


@pytest.fixture(scope="module")
def wanted() -> dict[str, str]:
    return files()


@pytest.mark.heavy
def test_files_are_up_to_date(wanted: dict[str, str]) -> None:
    """Whoever changes the manifests, the options or the values writes the chart again."""
    assert stale(wanted) == [], "run python -m charts.generate"


@pytest.mark.heavy
def test_a_changed_missing_or_left_over_file_is_noticed(wanted: dict[str, str], tmp_path: Path) -> None:
    """An edit by hand does not stay unseen, nor does the template of an object that is gone; writing mends all three."""
    chart = tmp_path / "chart"
    shutil.copytree(CHART, chart)
    changed, missing, over = "values.yaml", "README.md", f"{FOLDER}/base/deployment-old.yaml"
    (chart / changed).write_text("{}")
    (chart / missing).unlink()
    (chart / over).write_text("kind: Deployment")
    assert stale(wanted, chart) == sorted([changed, missing, over])
    write(wanted, chart)
    assert stale(wanted, chart) == []
    assert not (chart / over).exists()
    assert (chart / "templates" / "NOTES.txt").is_file()


def test_every_option_is_a_value_or_decided() -> None:
    """No option of the program is out of a chart user's reach without a reason."""

    class Names:
        def __init__(self) -> None:
            self.found: list[str] = []

        def add_argument(self, name: str, **_: Any) -> None:
            self.found.append(name.removeprefix("--"))

    names = Names()
    add_arguments(names)  # it only adds
    assert set(names.found) == set(options()) | set(OF_THE_CHART)
    assert not set(options()) & set(OF_THE_CHART)


def written(base: Any, *variants: tuple[str, Any]) -> str:
    holes = Holes()
    return holes.text(merged(base, [Variant(*one) for one in variants], holes))


def test_what_is_the_same_stays() -> None:
    """An object that no variant changes is written as it is; what Helm would take for its own is escaped."""
    assert written({"a": ["x{{y}}"]}, (".V", {"a": ["x{{y}}"]})) == 'a:\n  - x{{ "{{" }}y}}\n'


def test_items_come_and_go() -> None:
    """An item that a variant adds or leaves out stands below its condition, where it belongs."""
    text = written(
        {"args": ["run", "--a=1", "--b=2"]},
        (".On", {"args": ["run", "--a=1", "--b=2", "--c=3"]}),
        ("(not .X)", {"args": ["run", "--b=2"]}),
    )
    assert text == (
        "args:\n  - run\n  {{- if .X }}\n  - --a=1\n  {{- end }}\n  - --b=2\n  {{- if .On }}\n  - --c=3\n  {{- end }}\n"
    )


def test_entries_come_and_go() -> None:
    """So do the entries of a mapping."""
    text = written({"a": 1, "b": 2}, (".On", {"a": 1, "b": 2, "c": [3]}), (".Off", {"b": 2}))
    assert text == "{{- if not .Off }}\na: 1\n{{- end }}\nb: 2\n{{- if .On }}\nc:\n  - 3\n{{- end }}\n"


def test_values_are_chosen() -> None:
    """A value that differs is chosen by the condition; of several, the last that holds."""
    assert written({"a": "x"}, (".V", {"a": "y"})) == 'a: {{ (ternary "y" "x" .V) }}\n'
    assert written({"a": 1}, (".V", {"a": 2}), (".W", {"a": 3})) == "a: {{ (ternary 3 (ternary 2 1 .V) .W) }}\n"


def test_controllers_are_a_set() -> None:
    """Components that add or leave out controllers do so together, whatever the others do."""
    base = {"args": ["--controllers=a,b"]}
    text = written(base, (".New", {"args": ["--controllers=a,b,c"]}), ("(not .Old)", {"args": ["--controllers=b"]}))
    names = 'list (ternary "a" "" .Old) "b" (ternary "c" "" .New) | compact | join ","'
    assert text == f"args:\n  - --controllers={{{{ {names} }}}}\n"


def test_other_kinds_are_refused() -> None:
    """A component that turns a text into a mapping is more than a chart can follow, and the place is named."""
    with pytest.raises(ValueError, match=r"\.spec\.a: 'x' and \{\} are of different kinds"):
        merged({"spec": {"a": "x"}}, [Variant(".V", {"spec": {"a": {}}})], Holes())
    assert module.none_of([".A", "(not .B)"]) == "(and (not .A) .B)"
