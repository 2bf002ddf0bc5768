"""`mesh-signer mesh-config`: the roots and rights that Istio needs for the signers, printed or written.

Writing touches caCertificates in one ConfigMap and leaves the rest of it byte for byte; a write that meets another one
(409) is made again from what is there then.
"""

import argparse
from typing import Any

import yaml

from signer.api.configmap import CONFIG_MAPS
from signer.api.signername import signer_name_of
from signer.api.text import shown
from signer.commands.command import FINE, FOUND, NotFoundOut, add_options, run
from signer.commands.live import read_mesh, time_there
from signer.commands.output import JSON, YAML, say, written
from signer.commands.tables import clean
from signer.commands.tenancies.signers import (
    Roots,
    approve_rule,
    mesh_fragment,
    parse_signer,
    roots_of,
    without_others_cas,
)
from signer.kube.client import ApiClient
from signer.kube.errors import Conflict, NotFound
from signer.mesh.roots import asked_by_istiod
from signer.settings.values import Settings
from signer.tenancy.meshconfig.edit import edit_mesh_config
from signer.tenancy.meshconfig.read import MESH_KEY, config_map_of_revision, is_revision

_TRIES = 5
_LETTERS = "lower case letters, digits and '-'"
_DESCRIPTION = """\
Print meshConfig.caCertificates with the root of each signer, and the rule by which istiod may approve requests for
them: for the signers named, else for all that istiod asks. Of those that a SignerPolicy routes by identity the rule alone is
printed, as their root comes with each answer, and their tenants' signers are left out of it. With --write, put the roots into
istiod's ConfigMap, where istiod takes them up at once. Exit status: 0 all signers are there, 1 one is missing or was
refused, 2 it could not be determined.
"""


class _LiteralDumper(yaml.SafeDumper):
    """Writes texts of several lines as people do."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_LiteralDumper.add_representer(str, _text)


def describe(parser: argparse.ArgumentParser) -> None:
    """Give the subcommand its description and its options."""
    parser.description = _DESCRIPTION
    parser.add_argument("signers", nargs="*", metavar="SIGNER", help="such as foo (default: the signers of the mesh)")
    parser.add_argument("--write", action="store_true", help="write the roots into istiod's ConfigMap")
    parser.add_argument(
        "--force",
        action="store_true",
        help="replace a root even by one with another key or subject; write one that another tenant's signer has",
    )
    parser.add_argument("--revision", default="", help="istiod's revision: ConfigMap istio-REVISION instead of istio")
    add_options(parser, YAML, JSON)


def call(options: argparse.Namespace) -> int:
    """Run the command."""

    def check() -> None:
        if options.revision and not is_revision(config_map_of_revision(options.revision)):
            raise NotFoundOut(f"--revision: {shown(options.revision)} is no revision's name: it has {_LETTERS}")

    async def work(client: ApiClient, settings: Settings) -> int:
        mesh = await read_mesh(client, settings, now=await time_there(client))
        if options.signers:
            asked = [parse_signer(name, settings.cert_signer_domain) for name in options.signers]
        else:
            asked = asked_by_istiod(mesh.require().world)
            if not asked:
                raise NotFoundOut("there is no signer of the mesh yet: name the signers, as in `mesh-config foo bar`")
        states = mesh.require_issuers().issuers
        # What is routed by identity needs no issuer: the root comes with the answer.
        own = [ref for ref in asked if ref not in mesh.world.routed or ref in states]
        roots = without_others_cas(mesh.world, states, roots_of(own, states), force=options.force)
        for complaint in roots.complaints:
            say(f"mesh-signer mesh-config: {clean(complaint)}", file="stderr")
        if options.write:
            return await _write(client, settings, roots, options)
        names = {*roots.pems, *(signer_name_of(ref) for ref in asked if ref in mesh.world.routed)}
        say(_printed(roots, names, as_json=options.output == JSON))
        return FOUND if roots.complaints else FINE

    return run(options, work, check)


def _printed(roots: Roots, names: set[str], *, as_json: bool) -> str:
    rules = {"rules": [approve_rule(names)]} if names else {"rules": []}
    if as_json:
        return written(mesh_fragment(roots.pems) | rules | {"problems": list(roots.complaints)}, JSON)
    return (
        "# For meshConfig: ConfigMap istio, key mesh, or spec.meshConfig of an IstioOperator.\n"
        f"{_yaml(mesh_fragment(roots.pems))}---\n"
        "# For istiod's ClusterRole (istiod-clusterrole-istio-system).\n"
        f"{_yaml(rules)}".rstrip("\n")
    )


def _yaml(value: Any) -> str:
    text: str = yaml.dump(value, Dumper=_LiteralDumper, sort_keys=False)
    return text


async def _write(client: ApiClient, settings: Settings, roots: Roots, options: argparse.Namespace) -> int:
    name = config_map_of_revision(options.revision or "")
    where = f"ConfigMap {settings.istio_namespace}/{name}"
    for _ in range(_TRIES):
        try:
            obj = await client.get(CONFIG_MAPS, name, settings.istio_namespace)
        except NotFound:
            raise NotFoundOut(
                f"{where} does not exist: istiod of this revision has no mesh config to write to"
            ) from None
        data = obj.get("data")
        if not isinstance(data, dict) or not isinstance(text := data.get(MESH_KEY), str):
            raise NotFoundOut(f"{where} has no key {MESH_KEY}")
        edited = edit_mesh_config(text, roots.pems, force=options.force)
        if edited.changes:
            obj["data"] = {**data, MESH_KEY: edited.text}
            try:
                await client.replace(CONFIG_MAPS, obj)
            except Conflict:
                continue
        _report(where, edited.changes, edited.refused, as_json=options.output == JSON, roots=roots)
        return FOUND if edited.refused or roots.complaints else FINE
    raise NotFoundOut(f"{where} is written by somebody else all the time; nothing was changed")


def _report(where: str, changes: tuple[str, ...], refused: tuple[str, ...], *, as_json: bool, roots: Roots) -> None:
    if as_json:
        document = {"changes": list(changes), "refused": list(refused), "problems": list(roots.complaints)}
        say(written({"configMap": where} | document, JSON))
        return
    for line in changes:
        say(f"{where}: {clean(line)}")
    if not changes:
        say(f"{where}: nothing to change")
    for line in refused:
        say(f"{where}: not done: {clean(line)}", file="stderr")
