"""`mesh-signer version`: what this program is, and what runs in the cluster, by the images of its Deployments."""

import argparse
import platform
from typing import Any

from signer import __version__
from signer.commands.checks.access import CONTROLLERS, SIGNER
from signer.commands.checks.examination import DEPLOYMENTS
from signer.commands.checks.facts import at, containers, name_of
from signer.commands.command import FINE, FOUND, NotFoundOut, add_options, run
from signer.commands.live import Json, list_all
from signer.commands.output import JSON, TEXT, YAML, say, written
from signer.commands.tables import clean
from signer.kube.client import ApiClient
from signer.kube.objects import read_answer
from signer.settings.values import Settings

_LABEL = "app.kubernetes.io/version"
_DESCRIPTION = """\
Say which version this program has, and which runs in the cluster. Exit status: 0 both are known, 1 nothing of ours runs there,
2 it could not be determined.
"""


def describe(parser: argparse.ArgumentParser) -> None:
    """Give the subcommand its description and its options."""
    parser.description = _DESCRIPTION
    parser.add_argument("--client", action="store_true", help="only this program's; no cluster is asked")
    add_options(parser, TEXT, JSON, YAML)


def call(options: argparse.Namespace) -> int:
    """Run the command."""
    client_version = {"version": __version__, "python": platform.python_version()}
    if options.client:
        _say({"client": client_version}, options.output)
        return FINE

    async def work(client: ApiClient, settings: Settings) -> int:
        namespace = settings.cluster_resource_namespace
        found = await list_all(client, DEPLOYMENTS, namespace)
        if found.problem:
            _say({"client": client_version}, options.output)
            raise NotFoundOut(found.problem)
        answer = await client.request("GET", "/version")
        ours = [one for one in found.items if name_of(one) in {SIGNER, CONTROLLERS}]
        server = {
            "kubernetes": str(read_answer(answer.body, "/version").get("gitVersion", "")),
            "deployments": [_running(one) | {"namespace": namespace} for one in ours],
        }
        _say({"client": client_version, "server": server}, options.output)
        if not ours:
            say(f"mesh-signer version: nothing of ours runs in namespace {namespace}", file="stderr")
        return FINE if ours else FOUND

    return run(options, work)


def _running(deployment: Json) -> dict[str, Any]:
    """What a Deployment runs: the version by its label, else by the tag of its image, "" where only a digest is known."""
    template = at(deployment, "spec", "template")
    image = str(next((one.get("image", "") for one in containers(template) if one.get("name") == SIGNER), ""))
    image = image or str(next((one.get("image", "") for one in containers(template)), ""))
    return {
        "name": name_of(deployment),
        "version": str(at(template, "metadata", "labels", _LABEL) or tag_of(image)),
        "image": image,
        "ready": at(deployment, "status", "readyReplicas") or 0,
        "replicas": at(deployment, "spec", "replicas") or 0,
    }


def tag_of(image: str) -> str:
    """Return the tag in a reference of an image, "" where it has none (a digest, or nothing)."""
    name = image.partition("@")[0].rpartition("/")[2]
    return name.partition(":")[2]


def _say(found: dict[str, Any], form: str) -> None:
    if form != TEXT:
        say(written(found, form))
        return
    client = found["client"]
    say(f"client: mesh-signer {client['version']} (Python {client['python']})")
    if "server" not in found:
        return
    say(f"server: Kubernetes {clean(found['server']['kubernetes'])}")
    for one in found["server"]["deployments"]:
        version = clean(one["version"]) or "of an unknown version"
        where = f"Deployment {clean(one['namespace'])}/{clean(one['name'])}"
        say(
            f"        mesh-signer {version} ({where}, {one['ready']} of {one['replicas']} ready, {clean(one['image'])})"
        )
