"""`mesh-signer doctor`: reads what the wall stands on, and says what is wrong with it, where, and how to mend it.

It writes nothing. What may not be read is told, never guessed.
"""

import argparse
import sys
from collections.abc import Iterable
from dataclasses import asdict

from signer.api.meant import nearest
from signer.api.text import shown
from signer.commands.checks.codes import CODES
from signer.commands.checks.examination import SEVERITIES, examine, gather
from signer.commands.checks.facts import Finding
from signer.commands.command import FINE, FOUND, UNKNOWN, NotFoundOut, add_options, run
from signer.commands.output import JSON, TEXT, YAML, colours, say, written
from signer.commands.tables import clean, coloured
from signer.kube.client import ApiClient
from signer.settings.values import Settings

FAILING = ("error", "warning", "note")
_COLOURS = {"error": "red", "warning": "yellow", "unknown": "yellow"}

_DESCRIPTION = """\
Check what the wall between tenants stands on: CRDs, rights of ours and of everybody who could bypass it, istiod's
settings, roots, CAs, claims, workloads, gateways, cert-manager beside us, CAs to inject, admission policies. Nothing is
written. Exit status: 0 no problems, 1 problems (--fail-on), 2 no problems found, but some checks could not run.
"""


def describe(parser: argparse.ArgumentParser) -> None:
    """Give the subcommand its description and its options."""
    parser.description = _DESCRIPTION
    judged = parser.add_argument_group("what counts")
    judged.add_argument(
        "--suppress",
        default="",
        metavar="CODE[,CODE]",
        help="findings that are known, and neither shown nor counted; their number is told",
    )
    judged.add_argument(
        "--fail-on", choices=FAILING, default="warning", help="the least severity that gives status 1 (default warning)"
    )
    add_options(parser, TEXT, JSON, YAML)


def call(options: argparse.Namespace) -> int:
    """Run the command."""
    suppressed = frozenset(one.strip() for one in options.suppress.split(",") if one.strip())

    def check() -> None:
        for one in sorted(suppressed):
            if one not in CODES:
                near = nearest(one, CODES, 0.6)
                hint = f": is {near} meant?" if near else "; docs/commands.md lists them"
                raise NotFoundOut(f"--suppress: {shown(one)} is no finding's code{hint}")

    async def work(client: ApiClient, settings: Settings) -> int:
        everything = examine(await gather(client, settings))
        findings = [one for one in everything if one.code not in suppressed]
        left = len(everything) - len(findings)
        if options.output == TEXT:
            say(report(findings, terminal=colours(sys.stdout), suppressed=left))
        else:
            say(written({"findings": [asdict(one) for one in findings], "suppressed": left}, options.output))
        return status(findings, options.fail_on)

    return run(options, work, check)


def status(findings: Iterable[Finding], fail_on: str = "warning") -> int:
    """Return the exit status for these findings; `fail_on` is one of FAILING."""
    severities = {one.severity for one in findings}
    if severities & set(FAILING[: FAILING.index(fail_on) + 1]):
        return FOUND
    return UNKNOWN if "unknown" in severities else FINE


def report(findings: list[Finding], *, terminal: bool, suppressed: int = 0) -> str:
    """Write the findings for a person."""
    lines = []
    for one in findings:
        word = one.severity.upper()
        colour = _COLOURS.get(one.severity, "")
        lines.append(
            f"{coloured(word, colour, terminal=terminal)}{' ' * (9 - len(word))}{one.check}: {clean(one.what)} [{one.code}]"
        )
        if one.where:
            lines.append(f"{'':9}at {clean(one.where)}")
        if one.mend:
            lines.append(f"{'':9}-> {clean(one.mend)}")
    counts = [(sum(one.severity == kind for one in findings), kind) for kind in SEVERITIES]
    words = {"error": "errors", "warning": "warnings", "unknown": "not checked", "note": "notes"}
    told = [f"{count} {words[kind]}" for count, kind in counts if count] or ["no problems found"]
    return "\n".join([*lines, ", ".join([*told, *([f"{suppressed} suppressed"] if suppressed else ())])])
