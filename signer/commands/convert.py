"""`mesh-signer convert`: old manifests in, today's out. Reads files or stdin, asks no cluster."""

import argparse
import json
import os
import sys
from pathlib import Path

from signer.convert.manifest import Converted, convert
from signer.convert.yaml_text import MAX_BYTES, UnreadableManifest, read_stream, write_stream

_UNREADABLE = 2


def describe(parser: argparse.ArgumentParser) -> None:
    """Give the subcommand its description and its options."""
    parser.description = (
        "Turn manifests of cert-manager.io/v1alpha2 and v1alpha3, certmanager.k8s.io/v1alpha1 and Ingresses of"
        " extensions/v1beta1 into today's. Objects go to stdout, notes about what has no equivalent or is misspelt to"
        " stderr; other objects pass unchanged. Comments are not kept."
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="YAML or JSON; - or none: stdin")
    parser.add_argument(
        "-o", "--output", choices=("yaml", "json"), default="yaml", help="json: objects and notes in one document"
    )


def call(options: argparse.Namespace) -> int:
    """Convert; 0, or 2 with one line on stderr when something could not be read."""
    objects = []
    for path in options.files or [Path("-")]:
        try:
            objects += read_stream(_read(path))
        except (OSError, UnicodeDecodeError, UnreadableManifest) as error:
            name = "stdin" if str(path) == "-" else path
            complaint = "no UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
            if isinstance(error, OSError):
                complaint = (error.strerror or "it cannot be read").lower()
            print(f"mesh-signer convert: {name}: {complaint}", file=sys.stderr)  # noqa: T201 - for the caller
            return _UNREADABLE
    try:
        _write(convert(objects), options.output)
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _UNREADABLE
    return 0


def _read(path: Path) -> str:
    if str(path) == "-":
        return sys.stdin.buffer.read(MAX_BYTES + 1).decode("utf-8")
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1).decode("utf-8")


def _write(converted: Converted, output: str) -> None:
    if output == "json":
        notes = [{"object": one.subject, "field": one.field, "message": one.message} for one in converted.notes]
        json.dump({"items": converted.objects, "notes": notes}, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        sys.stdout.write(write_stream(converted.objects))
        for note in converted.notes:
            print(f"mesh-signer convert: {note}", file=sys.stderr)  # noqa: T201 - for the caller
    sys.stdout.flush()
