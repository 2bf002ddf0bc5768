"""Every remedy that `doctor` and `explain` print, held against rules: what is done literally must not do harm, and must be doable."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from signer.commands.checks.facts import AGAIN, DEFINITIONS, WITH_FORCE, field_in
from signer.commands.explanations.advice import advise, advise_on, with_account
from signer.settings.given import SettingsError
from signer.settings.values import settings_from
from signer.tenancy.verdict import Reason
from signer.tenancy.world import World
from tests.unit.commands.meshes import mesh
from tests.unit.tenancy.worlds import FOO

ROOT = Path(__file__).parents[3] / "signer" / "commands"
SOURCES = sorted([*(ROOT / "checks").glob("*.py"), *(ROOT / "explanations").glob("*.py")])
NAMES = {"AGAIN": AGAIN, "DEFINITIONS": DEFINITIONS, "WITH_FORCE": WITH_FORCE}
# Taken from there: an object, a field, a command, an option or a variable.
DOABLE = re.compile(
    r"kubectl|helm|mesh-signer|--[a-z]|spec\.|values\.|manifests/|\{|`|\b[A-Z]+_[A-Z_0-9]+|Secret|ConfigMap|ClusterRole|Certificate|"
    r"SignerPolic|ProxyConfig|SignerBinding|Issuer|clock|Deployment|Istio|annotation|ECC_|RSA|the CA "
)
HARMFUL = ("apply manifests/base", "see the message", "that is named", "Fix the issuer", "see its status")


def texts(node: ast.AST) -> Iterator[str]:
    """Each text that an expression may become, with what is filled in left as it is written."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(
            str(part.value)
            if isinstance(part, ast.Constant)
            else NAMES.get(ast.unparse(part.value), "{" + ast.unparse(part.value) + "}")
            for part in node.values
            if isinstance(part, ast.Constant | ast.FormattedValue)
        )
    elif isinstance(node, ast.IfExp):
        yield from texts(node.body)
        yield from texts(node.orelse)
    elif isinstance(node, ast.BinOp):
        for left in texts(node.left):
            for right in texts(node.right):
                yield left + right
    elif isinstance(node, ast.Name) and node.id in NAMES:
        yield NAMES[node.id]
    elif isinstance(node, ast.Call) and ast.unparse(node.func) == "or_near":
        yield from texts(node.args[2])


def remedies() -> Iterator[tuple[str, str]]:
    """(where, text) of what is given to Finding as `mend`, named so, or said as advice."""
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            found: list[ast.AST] = []
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Finding":
                found = [*node.args[4:5], *(one.value for one in node.keywords if one.arg == "mend")]
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "mend":
                found = [node.value]
            elif isinstance(node, ast.FunctionDef) and node.name in {
                "advise",
                "_about_requester",
                "_about_tenant",
                "_about_ca",
                "_mends",
                "_known_by",
            }:
                found = [one.value for one in ast.walk(node) if isinstance(one, ast.Return | ast.Yield) and one.value]
            elif (
                isinstance(node, ast.Assign)
                and ast.unparse(node.targets[0]) == "_FIXED"
                and isinstance(node.value, ast.Dict)
            ):
                found = list(node.value.values)
            for one in found:
                for text in texts(one):
                    yield f"{path.name}:{getattr(one, 'lineno', 0)}", text


REMEDIES = sorted({one for one in remedies() if one[1]})


def test_they_are_found() -> None:
    """The rules look at something: doctor and explain have dozens of remedies."""
    assert len(REMEDIES) > 60


def test_remedies() -> None:
    """They name what to do and with what; none resets an installation, refers to a message or replaces a list by a part of it."""
    assert [one for one in REMEDIES if not DOABLE.search(one[1])] == []
    assert [one for one in REMEDIES if any(harm in one[1] for harm in HARMFUL)] == []
    assert [one for one in REMEDIES if "--istiod-accounts=" in one[1] and "whole list" not in one[1]] == []
    assert [one for one in REMEDIES if "--force" in one[1] and "its price" not in one[1]] == []


def test_no_source_says_it() -> None:
    """What harms when it is followed is in no text of the checks and explanations at all."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            for text in texts(node):
                assert not any(one in text for one in HARMFUL), path.name


def test_an_istiod_more() -> None:
    """The option that makes one more istiod known has all who may ask already."""
    world: World = mesh().world
    told = with_account(world, "system:serviceaccount:other:istiod")
    listed = told.partition("=")[2].partition(" ")[0].split(",")
    assert set(listed) == {*world.requesters, "system:serviceaccount:other:istiod"}
    assert world.requesters


@pytest.mark.parametrize(
    ("problem", "field"),
    [
        ("ProxyConfig foo/pc: environmentVariables.X: is no name", "ProxyConfig foo/pc"),
        ("spec.namespaces.names[0]: 'A' is no namespace", "spec.namespaces.names[0]"),
        ("x" * 200 + ": y", "the field that this begins with"),
        ("no field", "the field that this begins with"),
    ],
)
def test_the_field(problem: str, field: str) -> None:
    """What a problem begins with is what to correct."""
    assert field_in(problem) == field


SERVICE = "system:serviceaccount:other:istiod"


@pytest.mark.parametrize("requester", ["bob", "foo/istiod", "istiod", SERVICE, "bob@example.com", "oidc:bob", ""])
def test_what_our_own_start_takes(requester: str) -> None:
    """`explain` proposes --istiod-accounts only with what `mesh-signer run` takes there."""
    told = advise("RequesterNotAllowed", mesh().world, "foo", FOO, requester)
    if "--istiod-accounts=" in told:
        value = told.partition("--istiod-accounts=")[2].partition(" ")[0]
        assert requester in settings_from({"istiod_accounts": value}, {}, host="", process=0).istiod_accounts
    else:
        with pytest.raises(SettingsError):
            settings_from({"istiod_accounts": requester or "x"}, {}, host="", process=0)


def test_a_shared_ca() -> None:
    """A refusal for another signer's CA is mended at the Secret; a refusal for the namespace is not."""
    shared = advise_on(
        [Reason("TenantMismatch", "x", "the CA key of it is that of another")], mesh().world, "foo", FOO, ""
    )
    assert "spec.ca.secretName" in shared[0]
    assert "SignerPolicy" not in shared[0]
    assert "secretName" not in advise_on([Reason("TenantMismatch", "x")], mesh().world, "foo", FOO, "")[0]
