"""The mesh config of each istiod: a table over what two ConfigMaps have, and `doctor`'s remedies done as they are printed."""

import base64
import itertools
import shlex
from collections.abc import Mapping
from dataclasses import replace

import pytest
import yaml

from signer.api.issuer import IssuerRef
from signer.api.signername import signer_name_of
from signer.commands.checks.examination import examine
from signer.commands.checks.facts import Finding
from signer.commands.checks.istiod import check_istiod
from signer.commands.checks.roots import check_mesh_config, check_roots, roots_for
from signer.commands.explanations.around import no_root
from signer.commands.live import Mesh
from signer.commands.tenancies.signers import parse_signer, roots_of, without_others_cas
from signer.tenancy.index import istiod_account
from signer.tenancy.meshconfig.edit import edit_mesh_config, in_step
from signer.tenancy.meshconfig.read import read_mesh_config
from signer.tenancy.world import Settings
from tests.unit.commands.meshes import deployment, facts, mesh, root, state
from tests.unit.csr.crafted import NOW, authority
from tests.unit.tenancy.worlds import BAR, FOO, binding, world

DOMAIN = "clusterissuers.cert-manager.io"
ISTIO, CANARY = "istio", "istio-canary"
SETTINGS = Settings()


def entry(pem: object, ref: IssuerRef = FOO) -> str:
    return yaml.safe_dump([{"pem": pem, "certSigners": [signer_name_of(ref)]}])


def listed(entries: str) -> str:
    return f"trustDomain: cluster.local\ncaCertificates:\n{entries}"


IN_BASE64 = base64.b64encode(root(FOO).encode()).decode()
# By kind: the text, whether workloads of FOO get their root by it, and what `doctor` calls it.
CONTENTS: Mapping[str, tuple[str | None, bool, str]] = {
    "right": (listed(entry(root(FOO))), True, ""),
    "two certificates, the last is right": (listed(entry(root(BAR) + root(FOO))), True, ""),
    "nothing": ("defaultConfig: {}\n", False, "RootMissing"),
    "an empty list": ("caCertificates: []\n", False, "RootMissing"),
    "another signer's alone": (listed(entry(root(BAR), BAR)), False, "RootMissing"),
    "blank": (listed(entry("\n")), False, "RootMissing"),
    "a placeholder": (listed(entry("<put the root here>\n")), False, "RootMissing"),
    "base64": (listed(entry(IN_BASE64)), False, "RootMissing"),
    "a broken certificate": (listed(entry(root(FOO).replace("MI", "!!", 1))), False, "RootMissing"),
    "no pem": (
        f"caCertificates: [{{certSigners: [{signer_name_of(FOO)}]}}]\n",
        False,
        "RootMissing",
    ),
    "a bundle": (
        f"caCertificates: [{{spiffeBundleUrl: https://x, certSigners: [{signer_name_of(FOO)}]}}]\n",
        False,
        "RootMissing",
    ),
    "another CA's": (listed(entry(root(BAR))), False, "RootOfAnother"),
    "the key twice": (listed(entry(root(FOO))) + "caCertificates: []\n", False, "RootMissing"),
    "both spellings": (listed(entry(root(BAR), BAR)) + f"ca_certificates:\n{entry(root(FOO))}", False, "RootMissing"),
    "a field twice": (listed(entry(root(FOO)) + "  pem: ''\n"), False, "RootMissing"),
    "aliases": ("a: &a [x]\nb: *a\n", False, "RootMissing"),
    "not there": (None, False, "MeshConfigMissing"),
}
CANARY_CONTENTS = ("right", "nothing", "a placeholder", "another CA's", "not there")


def there(*texts: tuple[str, str]) -> Mesh:
    """A mesh with these ConfigMaps, read as the signer reads them, in which FOO is a signer whatever they say."""
    config = read_mesh_config({name: {"mesh": text} for name, text in texts}, SETTINGS)
    found = world(config=config, signers=frozenset({FOO}), bindings=(binding(FOO, "foo"), binding(BAR, "bar")))
    for revision in config.domains:
        found.domains[istiod_account(SETTINGS, revision)] = config.trust_domains
    return mesh(found, issuers=[state(FOO), state(BAR)], texts=dict(texts))


def istiods() -> list[dict[str, object]]:
    found = [deployment("istiod", "istio-system"), deployment("istiod-canary", "istio-system")]
    found[0]["metadata"]["labels"] = {"istio.io/rev": "default"}
    found[1]["metadata"]["labels"] = {"istio.io/rev": "canary"}
    return found


def told(here: Mesh) -> list[Finding]:
    known = facts(here, deployments=istiods())
    return [*check_mesh_config(known), *(one for one in check_roots(known) if str(FOO) in one.what)]


def do(mend: str, here: Mesh) -> str | None:
    """Do as the first command of a remedy says; the text that its ConfigMap has then, None where none is to be run first."""
    if not mend.startswith("mesh-signer mesh-config"):
        return None
    words = shlex.split(mend.partition(";")[0])[2:]
    name = f"istio-{words[words.index('--revision') + 1]}" if "--revision" in words else ISTIO
    signers = [parse_signer(word, DOMAIN) for word in words if "/" in word]
    assert "--write" in words
    force = "--force" in words
    roots = without_others_cas(here.world, here.issuers, roots_of(signers, here.issuers), force=force)
    assert not roots.complaints, "the remedy ends with status 1"
    edited = edit_mesh_config(here.texts[name], roots.pems, force=force)
    assert edited.changes
    assert not edited.refused
    return edited.text


TABLE = list(itertools.product(CONTENTS, CANARY_CONTENTS))


@pytest.mark.heavy
@pytest.mark.parametrize(("plain", "canary"), TABLE, ids=str)
def test_each_config_map_counts_alone(plain: str, canary: str) -> None:
    """What one ConfigMap lacks is told of it whatever the other has, by a remedy that its own tool takes and that mends it."""
    texts = {ISTIO: CONTENTS[plain][0], CANARY: CONTENTS[canary][0]}
    here = there(*((name, text) for name, text in texts.items() if text is not None))
    found = told(here)
    for name, kind in ((ISTIO, plain), (CANARY, canary)):
        _, fine, code = CONTENTS[kind]
        mine = [one for one in found if (CANARY in one.where + one.what) == (name == CANARY)]
        errors = [one for one in mine if one.severity == "error"]
        assert [one.code for one in errors] == ([code] if code else []), (name, kind, found)
        for one in errors:
            after = do(one.mend, here)
            if one.code == "MeshConfigMissing":
                assert after is None
            elif after is None:
                assert "by hand" in one.mend
            else:
                assert told(there(*((here.texts | {name: after}).items()))) == [
                    other for other in found if other not in mine
                ]
        if texts[name] is not None:
            revision = name.partition("-")[2]
            but = list(no_root(FOO, here, NOW, requester=istiod_account(SETTINGS, revision)))
            assert bool(but) == (not fine), (name, kind)


@pytest.mark.parametrize("kind", [one for one in CONTENTS if CONTENTS[one][0] is not None])
def test_what_mesh_config_refuses_is_told(kind: str) -> None:
    """A text that `mesh-config` cannot edit is told as such, a key that stands there twice as a warning that names it."""
    text = CONTENTS[kind][0] or ""
    refused = "cannot be edited" in " ".join(
        edit_mesh_config(text, {signer_name_of(FOO): root(FOO)}, force=True).refused
    )
    found = [one for one in check_mesh_config(facts(there((ISTIO, text)))) if one.code == "MeshConfigNotEditable"]
    assert bool(found) == (refused and kind != "no pem")
    for one in found:
        assert one.severity == ("note" if kind == "aliases" else "warning")
        assert ("twice" in one.what) == (kind != "aliases")


def test_nobody_has_a_mesh_config() -> None:
    """Where a ConfigMap is gone that is told first, and none of its roots besides."""
    found = examine(facts(there(), deployments=istiods()[:1]))
    assert next(one for one in found if one.check not in {"crds", "mesh-signer"}).code == "MeshConfigMissing"
    assert not [one for one in found if one.code in {"RootMissing", "IstiodProvider"}]
    assert [one.code for one in check_mesh_config(facts(there()))] == ["MeshConfigMissing"]
    assert not list(
        check_mesh_config(
            facts(mesh(world(config=read_mesh_config({}, SETTINGS), claimed={}, signers=frozenset()), texts={}))
        )
    )


@pytest.mark.parametrize("canary", [True, False])
@pytest.mark.parametrize("by_policy", [True, False])
def test_for_another_requester(canary: bool, *, by_policy: bool) -> None:
    """What asks and is no istiod that is known gets its root by any of them: each that lacks it is told."""
    here = there((ISTIO, listed(entry(root(FOO)))), (CANARY, "{}" if canary else listed(entry(root(FOO)))))
    requester = "bob" if by_policy else ""
    assert bool(list(no_root(FOO, here, NOW, requester=requester))) == canary


@pytest.mark.parametrize(
    ("provider", "told_of"),
    [
        (None, False),
        ("istiod", False),
        ("custom", False),
        (f"k8s.io/{DOMAIN}/foo", False),
        (f"k8s.io/{DOMAIN}/bar", True),
        ("k8s.io/istio-system", True),
        ("k8s.io/", True),
        (f"k8s.io/{DOMAIN}/Foo!", True),
        ("k8s.io/example.com/ours", False),
    ],
)
@pytest.mark.parametrize("revision", ["", "canary"])
def test_istiods_own_signer(provider: str | None, revision: str, *, told_of: bool) -> None:
    """PILOT_CERT_PROVIDER goes by the entries of istiod's own ConfigMap, and by no bare name."""
    fine, other = listed(entry(root(FOO))), listed(entry(root(BAR), BAR))
    texts = ((ISTIO, other), (CANARY, fine)) if revision else ((ISTIO, fine), (CANARY, other))
    one = deployment("istiod", "istio-system", env={"PILOT_CERT_PROVIDER": provider} if provider is not None else {})
    one["metadata"]["labels"] = {"istio.io/rev": revision or "default"}
    found = [one for one in check_istiod(facts(there(*texts), deployments=[one])) if one.code == "IstiodProvider"]
    assert bool(found) == told_of
    for one_found in found:
        assert "PILOT_CERT_PROVIDER" in one_found.what
        if "--write" in one_found.mend:
            assert ("--revision canary" in one_found.mend) == bool(revision)


def test_swapped_roots() -> None:
    """Roots that stand beside each other's signer: each is mended by the command that is printed, which ends with status 0."""
    here = there((ISTIO, listed(entry(root(BAR)) + entry(root(FOO), BAR))))
    here.world.signers = frozenset({FOO, BAR})
    for _ in range(2):
        found = next(one for one in check_roots(facts(here)) if one.severity == "error")
        after = do(found.mend, here)
        assert after is not None
        here = there((ISTIO, after))
        here.world.signers = frozenset({FOO, BAR})
    assert not list(check_roots(facts(here)))


@pytest.mark.parametrize("there_is", ["its former root", "no entry"])
def test_another_tenants_ca(there_is: str) -> None:
    """A signer whose secretName is another tenant's: that is asked first, and its root is put under nobody else's name."""
    here = there((ISTIO, listed(entry(root(FOO)) + (entry(root(BAR), BAR) if there_is != "no entry" else ""))))
    here.world.signers = frozenset({FOO, BAR})
    here.world.keys = {authority("foo").key_id: frozenset({FOO, BAR})}
    here.world.key_since = {(authority("foo").key_id, FOO): NOW}
    here = replace(here, issuers={FOO: state(FOO), BAR: state(BAR, authority=authority("foo"))})
    (found,) = [one for one in check_roots(facts(here)) if one.severity == "error"]
    assert f"{BAR} has the CA key of {FOO}" in found.mend
    assert "spec.ca.secretName" in found.mend
    assert "--force" not in found.mend
    assert "mesh-config" not in found.mend


def test_what_is_in_step() -> None:
    """The table's words of what is right are those of the editor."""
    assert in_step(root(BAR) + root(FOO), root(FOO))
    assert list(roots_for(there((ISTIO, CONTENTS["right"][0] or "")), FOO, NOW)) == []
