"""Roots in the text of Istio's mesh config: kept in step, and nothing else touched."""

import json
import textwrap
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from signer.tenancy.meshconfig import text as meshconfig_text
from signer.tenancy.meshconfig.edit import edit_mesh_config, in_step, renamed, same_anchor
from tests import pki
from tests.examples import examples

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def load(text: str) -> Any:
    """YAML's value, by libyaml: quicker, and not the code under test."""
    return yaml.load(text, Loader=yaml.CSafeLoader)


def signer(name: str) -> str:
    return f"clusterissuers.cert-manager.io/{name}"


def root(name: str, generation: int = 0) -> str:
    """The root of a tenant: the generations have one key, and their own end."""
    return pki.CA(
        name, private=pki.key("p256", n=sum(map(ord, name))), now=NOW + generation * timedelta(days=30)
    ).pem.decode()


ROOTS = {name: [root(name, generation) for generation in range(2)] for name in ("bar", "foo", "istio-system", "other")}
FOO, FOO_RENEWED = ROOTS["foo"]
BAR, BAR_RENEWED = ROOTS["bar"]
OTHER = ROOTS["other"][0]

BLOCK = f"""\
# Written by hand.
accessLogFile: /dev/stdout   # for people

caCertificates:
# the tenant foo
- pem: |  # its root
{textwrap.indent(FOO, "    ")}
  certSigners:   # who signs
  - clusterissuers.cert-manager.io/foo   # foo

# the tenant bar
-   certSigners: [clusterissuers.cert-manager.io/bar]
    pem: {json.dumps(BAR)}   # quoted

defaultConfig:
  proxyMetadata: {{ISTIO_META_CERT_SIGNER: istio-system}}
trustDomain: cluster.local
"""


def authorities(text: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = load(text)["caCertificates"]
    return found


def trusted(text: str) -> dict[str, str]:
    """The root of each signer; an entry of several signers fails."""
    return {one["certSigners"][0]: one["pem"] for one in authorities(text) if len(one["certSigners"]) == 1}  # type: ignore[index,arg-type,misc]


def test_in_step() -> None:
    """A mesh config that has the roots already is not touched."""
    found = edit_mesh_config(BLOCK, {signer("foo"): FOO, signer("bar"): BAR}, force=False)
    assert (found.text, found.changes, found.refused) == (BLOCK, (), ())


def test_white_space_is_no_change() -> None:
    """The same certificate written with other white space is the same root."""
    found = edit_mesh_config(BLOCK, {signer("foo"): "\n" + FOO.replace("\n", "\r\n")}, force=False)
    assert found.changes == ()


def test_renewed_literal() -> None:
    """A renewed root replaces the old one's lines and nothing else, not even the comment beside it."""
    found = edit_mesh_config(BLOCK, {signer("foo"): FOO_RENEWED}, force=False)
    assert found.text == BLOCK.replace(textwrap.indent(FOO, "    "), textwrap.indent(FOO_RENEWED, "    "))
    assert found.changes == (f"{signer('foo')}: a root of the same key, which expires 2026-05-01",)


def test_renewed_quoted() -> None:
    """A root that was written in quotes stays in quotes."""
    found = edit_mesh_config(BLOCK, {signer("bar"): BAR_RENEWED}, force=False)
    assert found.text == BLOCK.replace(json.dumps(BAR), json.dumps(BAR_RENEWED))


def test_new_signer() -> None:
    """A signer without an entry gets one at the end of the list, before what follows it."""
    found = edit_mesh_config(BLOCK, {signer("other"): OTHER}, force=False)
    entry = "- pem: |\n" + textwrap.indent(OTHER, "    ") + f"  certSigners:\n  - {signer('other')}\n"
    quoted = "   # quoted\n"
    assert found.text == BLOCK.replace(quoted, quoted + entry.replace("\n  - ", "\n    - "))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing yet\n",
        "---\n# nothing yet\n",
        "trustDomain: cluster.local",
        "trustDomain: cluster.local\n",
        "trustDomain: cluster.local  # ours\n\n# the end\n",
        "  trustDomain: cluster.local\n  rootNamespace: istio-system\n",
        "a:\n- b\n- c: |\n    text\n\n\n",
        "a: |+\n  kept\n\n\n",
        "a:\n",
        "caCertificates:\ntrustDomain: x\n",
        "caCertificates:",
        "caCertificates: []\ntrustDomain: x\n",
        "caCertificates: []  # none yet\ntrustDomain: x\n",
        "caCertificates: null # none yet",
        "caCertificates: ~\n",
        "{}",
        "{trustDomain: cluster.local}\n",
        '{"trustDomain": "cluster.local", "caCertificates": []}',
        '{"trustDomain": "cluster.local", "caCertificates": null}',
        '{\n  "caCertificates": [],\n  "trustDomain": "x"\n}\n',
        "a: b\r\nc: d\r\n",
        "---\na: b\n...\n",
        "a: .nan\nb: 2026-01-01\n",
    ],
)
def test_first_entry(text: str) -> None:
    """Wherever a mesh config has no entries, the first one finds its place, and all else stays."""
    found = edit_mesh_config(text, {signer("foo"): FOO, signer("bar"): BAR}, force=False)
    assert found.refused == ()
    assert trusted(found.text) == {signer("foo"): FOO, signer("bar"): BAR}
    rest = {key: value for key, value in (load(text) or {}).items() if key != "caCertificates"}
    assert repr({key: value for key, value in load(found.text).items() if key != "caCertificates"}) == repr(rest)
    assert text.count("#") == found.text.count("#")
    assert ("\r\n" in text) == ("\r\n" in found.text)
    assert found.text.count("\n") == found.text.count("\r\n") or "\r\n" not in text


def test_shared_entry_is_split() -> None:
    """An entry that signers share becomes one for each: those that nobody asked about keep their root."""
    text = f"caCertificates:\n- pem: |\n{textwrap.indent(FOO, '    ')}  certSigners:\n  - a/x\n  - {signer('foo')}\n  - b/y  # z\na: 1\n"
    found = edit_mesh_config(text, {signer("foo"): FOO_RENEWED}, force=False)
    assert trusted(found.text) == {"a/x": FOO, signer("foo"): FOO_RENEWED, "b/y": FOO}
    assert "restarts" in found.changes[0]
    assert edit_mesh_config(found.text, {signer("foo"): FOO_RENEWED}, force=False).changes == ()


def test_shared_entry_in_json() -> None:
    """The same in a mesh config that is JSON."""
    entry = {"certSigners": ["a/x", signer("foo")], "pem": FOO, "trustDomains": ["t"]}
    text = json.dumps({"caCertificates": [entry, {"pem": BAR, "certSigners": [signer("bar")]}], "a": 1})
    found = edit_mesh_config(text, {signer("foo"): FOO_RENEWED, signer("other"): OTHER}, force=False)
    assert trusted(found.text) == {"a/x": FOO, signer("foo"): FOO_RENEWED, signer("bar"): BAR, signer("other"): OTHER}
    assert [one.get("trustDomains") for one in authorities(found.text)] == [["t"], ["t"], None, None]
    json.loads(found.text)


def test_another_key_is_refused() -> None:
    """A root with another key would cut the tenant's running workloads off: not without force."""
    found = edit_mesh_config(BLOCK, {signer("foo"): OTHER, signer("bar"): BAR_RENEWED}, force=False)
    assert trusted(found.text) == {signer("foo"): FOO, signer("bar"): BAR_RENEWED}
    assert len(found.refused) == 1
    assert found.refused[0].startswith(f"{signer('foo')}: the root in caCertificates[0] has another public key")


def test_another_key_by_force() -> None:
    """With force it is replaced, and said to be another key."""
    found = edit_mesh_config(BLOCK, {signer("foo"): OTHER}, force=True)
    assert trusted(found.text)[signer("foo")] == OTHER
    assert "with another key" in found.changes[0]
    assert found.refused == ()


def test_another_subject_is_refused() -> None:
    """The same key under another name verifies nothing of what was issued before: not without force."""
    named = pki.CA("foo-2027", private=pki.key("p256", n=sum(map(ord, "foo"))), now=NOW).pem.decode()
    found = edit_mesh_config(BLOCK, {signer("foo"): named}, force=False)
    assert (found.text, found.changes) == (BLOCK, ())
    assert "has the same key and another subject, 'CN=foo', not 'CN=foo-2027'" in found.refused[0]
    forced = edit_mesh_config(BLOCK, {signer("foo"): named}, force=True)
    assert trusted(forced.text)[signer("foo")] == named
    assert "with another subject" in forced.changes[0]
    assert renamed(FOO, named) == ("CN=foo", "CN=foo-2027")


def test_the_last_of_a_bundle_counts() -> None:
    """Workloads trust the last certificate of an entry alone, so that one is compared."""
    good = f"caCertificates: [{json.dumps({'pem': OTHER + FOO, 'certSigners': [signer('foo')]})}]"
    assert edit_mesh_config(good, {signer("foo"): FOO}, force=False).changes == ()
    bad = f"caCertificates: [{json.dumps({'pem': FOO + OTHER, 'certSigners': [signer('foo')]})}]"
    assert edit_mesh_config(bad, {signer("foo"): FOO}, force=False).refused


@pytest.mark.parametrize("pem", ["''", "", "# ca.crt of Secret foo", "|\n      # put ca.crt here", "nonsense", '"x"'])
def test_a_placeholder_is_filled(pem: str) -> None:
    """What is not a certificate is trusted by nobody, so a root may take its place."""
    text = f"caCertificates:\n  - pem: {pem}\n    certSigners: [{signer('foo')}]\n"
    found = edit_mesh_config(text, {signer("foo"): FOO}, force=False)
    assert trusted(found.text) == {signer("foo"): FOO}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [", "not YAML in line "),
        ("- a\n", "not a mapping"),
        ("a: &x 1\nb: *x\n", "aliases"),
        ("caCertificates: {}\n", "not a list"),
        ("caCertificates: [x]\n", "caCertificates[0] is not a mapping"),
        ("caCertificates: [{certSigners: x}]\n", "caCertificates[0].certSigners"),
        ("caCertificates: [{pem: [x]}]\n", "caCertificates[0].pem"),
        ("caCertificates: [{pem: a, pem: b}]\n", "twice"),
        ("caCertificates: []\ncaCertificates: []\n", "twice"),
        ("caCertificates: []\nca_certificates: []\n", "twice"),
        ("a: !python/object:os.system x\n", "not YAML"),
        ("a: 1\n---\nb: 1\n", "not YAML"),
        ("[" * 5000, "nested more than 64 deep"),
        ("a: \x00", "not YAML"),
        ("#" * (1 << 21), "too many"),
        (f"caCertificates: [{{certSigners: [{signer('foo')}]}}]\n", "no field pem"),
        (f"caCertificates: [{{pem: x, certSigners: [a/b, {signer('foo')}], odd: 1}}]\n", "odd"),
    ],
)
def test_unreadable(text: str, why: str) -> None:
    """What cannot be edited is left alone as a whole, and the message says why."""
    found = edit_mesh_config(text, {signer("foo"): FOO}, force=True)
    assert (found.text, found.changes) == (text, ())
    assert why in found.refused[0]


def test_a_bundle_url_is_left_alone() -> None:
    """An entry that takes its roots from elsewhere is not ours to write."""
    text = f"caCertificates: [{{spiffeBundleUrl: 'https://x', certSigners: [{signer('foo')}]}}]\n"
    found = edit_mesh_config(text, {signer("foo"): FOO}, force=True)
    assert (found.text, len(found.refused)) == (text, 1)


@pytest.mark.parametrize("pem", ["", "x", FOO + BAR])
def test_a_root_is_one_certificate(pem: str) -> None:
    """What is given as a root must be one certificate; the other signers go on."""
    found = edit_mesh_config("", {signer("foo"): pem, signer("bar"): BAR}, force=True)
    assert trusted(found.text) == {signer("bar"): BAR}
    assert found.refused == (f"{signer('foo')}: the root to be written is not one certificate",)


def test_comparisons() -> None:
    """A renewed root is not in step, and has the same key."""
    assert in_step(FOO, FOO)
    assert not in_step(FOO, FOO_RENEWED)
    assert not in_step("", "")
    assert same_anchor(FOO, FOO_RENEWED)
    assert not same_anchor(FOO, BAR)
    assert not same_anchor("", FOO)
    assert renamed(FOO, FOO_RENEWED) is None
    assert renamed("", FOO) is None


NAMES = sorted(ROOTS)
COMMENTS = st.sampled_from(["", "  # a: [comment]", " #"])


@st.composite
def documents(draw: st.DrawFn) -> str:
    """A mesh config as people write them: every style of list, entry and text, with comments in between."""
    lead = draw(st.sampled_from(["", "# head\n", "a: 1\n", "a:\n- b\n# note\n", "a: {b: [c]}  # d\n\n"]))
    tail = draw(st.sampled_from(["", "\n", "# end\n", "z: 1\n", "\n  # odd\nz: |\n  text\n\n", "z: ''  # last"]))
    entries = [
        (draw(st.lists(st.sampled_from(NAMES), max_size=3)), draw(st.sampled_from(NAMES)), draw(st.integers(0, 1)))
        for _ in range(draw(st.integers(0, 4)))
    ]
    values = [{"certSigners": list(map(signer, names)), "pem": ROOTS[of][nth]} for names, of, nth in entries]
    style = draw(st.sampled_from(["json", "dump", "hand"]))
    if style == "json" or not values:
        return f"{lead}caCertificates: {json.dumps(values)}{draw(COMMENTS)}\n{tail}"
    if style == "dump":
        return (
            lead
            + yaml.safe_dump({"caCertificates": values}, default_flow_style=False, width=draw(st.integers(20, 200)))
            + tail
        )
    indent = " " * draw(st.integers(0, 4))
    lines = [f"caCertificates:{draw(COMMENTS)}"]
    for value in values:
        gap = " " * draw(st.integers(1, 4))
        inner = indent + " " + gap
        chomp = draw(st.sampled_from(["|", "|-", "|+", ">", "|2"]))
        deeper = inner + ("  " if chomp == "|2" else " " * draw(st.integers(1, 5)))
        as_block = draw(st.booleans())
        pem = (
            [
                "pem: " + chomp + draw(COMMENTS),
                *textwrap.indent(
                    str(value["pem"]).replace("\n", "\n\n" if chomp == ">" else "\n"), deeper
                ).splitlines(),
            ]
            if as_block
            else ["pem: " + json.dumps(value["pem"]) + draw(COMMENTS)]
        )
        as_list = draw(st.booleans())
        names = [f"{inner}- {one}{draw(COMMENTS)}" for one in value["certSigners"]]
        signers = (
            ["certSigners:" + draw(COMMENTS), *names]
            if names and as_list
            else [f"certSigners: {json.dumps(value['certSigners'])}"]
        )
        first, second = (pem, signers) if draw(st.booleans()) else (signers, pem)
        lines += [indent + "-" + gap + first[0], *first[1:], inner + second[0], *second[1:]]
        lines += draw(st.sampled_from([[], [""], [indent + "# between"], ["", "# left", ""]]))
    return lead + "\n".join(lines) + "\n" + tail


@pytest.mark.parametrize("loader", [yaml.SafeLoader, yaml.CSafeLoader], ids=["python", "libyaml"])
def test_both_loaders(loader: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML is built with libyaml or without: both find the same places."""
    monkeypatch.setattr(meshconfig_text, "_LOADER", loader)
    roots = {signer("foo"): FOO_RENEWED, signer("bar"): BAR_RENEWED, signer("other"): OTHER}
    text = "# Größe\n" + BLOCK
    found = edit_mesh_config(text, roots, force=False)
    assert trusted(found.text) == roots
    assert found.text.count("#") == text.count("#")
    assert found.text.startswith("# Größe\n# Written by hand.\n")


@settings(max_examples=examples(60), deadline=None)
@given(documents())
def test_loaders_agree(text: str) -> None:
    """Every place that is looked at is the same by both loaders."""
    roots = {signer(name): ROOTS[name][1] for name in NAMES}
    found = []
    for loader in (yaml.SafeLoader, yaml.CSafeLoader):
        with mock.patch.object(meshconfig_text, "_LOADER", loader):
            found.append(edit_mesh_config(text, roots, force=True))
    assert found[0] == found[1]


@pytest.mark.heavy
@settings(max_examples=examples(200), deadline=None)
@given(documents(), st.dictionaries(st.sampled_from(NAMES), st.integers(0, 1)), st.booleans())
def test_any_layout(text: str, wish: dict[str, int], force: bool) -> None:
    """Whatever the layout: every root that was not refused is in step, the rest is as it was, twice is as once."""
    roots = {signer(name): ROOTS[name][generation] for name, generation in wish.items()}
    found = edit_mesh_config(text, roots, force=force)
    refused = {line.partition(":")[0] for line in found.refused}
    assert refused <= roots.keys(), found.refused
    assert not (force and refused)
    before, after = load(text), load(found.text)
    old, new = before.pop("caCertificates"), after.pop("caCertificates")
    assert before == after
    for name, pem in roots.items():
        entries = [one for one in new if name in one["certSigners"]]
        if name not in refused:
            assert entries
            assert all(
                one["certSigners"] == [name] and in_step(one["pem"], pem)
                for one in entries
                if set(one["certSigners"]) == {name}
            )
            assert all(in_step(one["pem"], pem) for one in entries)
    kept = roots.keys() - refused
    untouched = [one for one in old if kept.isdisjoint(one["certSigners"])]
    assert [one for one in new if kept.isdisjoint(one["certSigners"]) and one in untouched][
        : len(untouched)
    ] or not untouched
    for one in old:
        for name in set(one["certSigners"]) - kept:
            assert any(name in other["certSigners"] and other["pem"] == one["pem"] for other in new)
    again = edit_mesh_config(found.text, roots, force=force)
    assert (again.text, again.changes) == (found.text, ())
    assert bool(found.changes) == (found.text != text)


@settings(max_examples=examples(150), deadline=None)
@given(st.text(alphabet="ab:-#|>[]{}&*!'\"\\%@`, \n\t\r?0~", max_size=60))
def test_any_text(text: str) -> None:
    """No text, however malformed, makes it raise; what it returns as edited says what was asked."""
    found = edit_mesh_config(text, {signer("foo"): FOO}, force=False)
    if found.changes:
        assert trusted(found.text)[signer("foo")] == FOO
    else:
        assert found.text == text
        assert found.refused
