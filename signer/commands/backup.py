"""`mesh-signer backup`: writes one archive of what must outlive a cluster. Reads each kind once, and writes nothing there."""

import argparse
import asyncio
import contextlib
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from signer import __version__
from signer.api.meta import to_rfc3339
from signer.api.namespace import NAMESPACES
from signer.api.secret import SECRETS
from signer.commands.backups.archive import KINDS, Archive, kept, key_of, needs_of, write_archive
from signer.commands.backups.secrets import read_secrets
from signer.commands.command import FINE, FOUND, NotFoundOut, add_options, run
from signer.commands.live import list_all
from signer.commands.output import say
from signer.commands.tables import clean
from signer.kube.client import ApiClient
from signer.settings.values import Settings

_DESCRIPTION = """\
Write what must outlive a cluster into one file: Issuers and ClusterIssuers, Certificates, SignerPolicies, SignerBindings,
SignerRecords, HostClaims, EdgePolicies, the uids of namespaces, and with --with-secrets the keys of CAs, accounts and
certificates. `mesh-signer restore` brings it back. Exit status: 0 all is in it, 1 a Secret or what cannot be read is missing, 2 nothing was written.
"""


def describe(parser: argparse.ArgumentParser) -> None:
    """Give the subcommand its description and its options."""
    parser.description = _DESCRIPTION
    parser.add_argument("file", metavar="FILE", help="a new file, which only you may read; - is standard output")
    parser.add_argument(
        "--with-secrets",
        action="store_true",
        help="with the Secrets that these objects rest on: whoever has the file can then act as every CA in it",
    )
    add_options(parser)


def call(options: argparse.Namespace) -> int:
    """Run the command."""
    path = None if options.file == "-" else Path(options.file)

    def check() -> None:
        if path is not None and path.exists():
            raise NotFoundOut(f"{path} is there already: name a new file")
        if path is None and options.with_secrets and sys.stdout.isatty():
            raise NotFoundOut(
                "--with-secrets: keys are not for a terminal; name a file, or pipe it into what encrypts it"
            )

    async def work(client: ApiClient, settings: Settings) -> int:
        try:
            archive, missing = await _read(client, settings, with_secrets=options.with_secrets)
        except NotFoundOut as error:
            raise NotFoundOut(f"{error}; nothing was written") from None
        text = await asyncio.to_thread(write_archive, archive)
        if path is None:
            sys.stdout.write(text)
            sys.stdout.flush()
        else:
            await asyncio.to_thread(write_file, path, text)
        found = _report(archive, options.file)
        if missing:
            say(f"mesh-signer backup: {missing} objects that cannot be read are not in it", file="stderr")
        return FOUND if missing else found

    return run(options, work, check)


async def _read(client: ApiClient, settings: Settings, *, with_secrets: bool) -> tuple[Archive, int]:
    """Read all that is kept, and how many objects cannot be read. Raises NotFoundOut where a kind may not be.

    Half a backup looks like a whole one.
    """
    kinds = [one for one in KINDS if one != SECRETS]
    spaces, *lists = await asyncio.gather(*(list_all(client, one) for one in (NAMESPACES, *kinds)))
    if problem := next((one.problem for one in (spaces, *lists) if one.problem), ""):
        raise NotFoundOut(problem)
    objects = [kept(kind, obj) for kind, found in zip(kinds, lists, strict=True) for obj in found.items]
    needs = needs_of(objects, settings.cluster_resource_namespace)
    if with_secrets:
        found = await read_secrets(client, ((one.namespace, one.name) for one in needs))
        objects += (kept(SECRETS, one) for one in found)
    archive = Archive(
        to_rfc3339(datetime.now(UTC)),
        f"mesh-signer {__version__}",
        with_secrets,
        {str(one["metadata"]["name"]): str(one["metadata"]["uid"]) for one in spaces.items},
        needs,
        {key_of(one): one for one in objects},
    )
    return archive, sum(len(one.unreadable) for one in lists)


def write_file(path: Path, text: str) -> None:
    """Write a new file that nobody else may read, whole or not at all. Raises NotFoundOut."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.touch(mode=0o600, exist_ok=False)
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(part, path)
    except OSError as error:
        raise NotFoundOut(f"{path}: {(error.strerror or 'it cannot be written').lower()}") from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def _report(archive: Archive, file: str) -> int:
    there = {(key.namespace, key.name) for key in archive.objects if key.kind == SECRETS.kind}
    missing = [one for one in archive.needs if (one.namespace, one.name) not in there]
    say(
        f"mesh-signer backup: {len(archive.objects)} objects in {'standard output' if file == '-' else file}",
        file="stderr",
    )
    if not archive.secrets:
        text = (
            f"without --with-secrets: {len(missing)} Secrets are not in it, CAs' and accounts' keys among them; without them, "
            "by whatever way they come back, a restore makes new ones"
        )
        say(f"mesh-signer backup: {text}", file="stderr")
        return FINE
    say("mesh-signer backup: it holds private keys: encrypt it, and keep it where CAs are kept", file="stderr")
    for one in missing:
        say(
            f"mesh-signer backup: Secret {clean(one.namespace)}/{clean(one.name)} is not there ({clean(one.use)})",
            file="stderr",
        )
    return FOUND if missing else FINE
