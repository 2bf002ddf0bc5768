"""`mesh-signer explain`: what the signer would do with a request, and why, from the cluster as it is now."""

import argparse
import sys
from datetime import datetime
from pathlib import Path

from signer.api.certificaterequest import CERTIFICATE_REQUESTS, CertificateRequest
from signer.api.certificatesigningrequest import CERTIFICATE_SIGNING_REQUESTS
from signer.api.signername import parse_signer_name, signer_name_of
from signer.commands.asking import Asking
from signer.commands.command import FINE, FOUND, NotFoundOut, add_options, namespace_of, run
from signer.commands.explanations.bridge import BridgeExplanation
from signer.commands.explanations.csr import Explanation, misnamed
from signer.commands.explanations.requests import (
    DEFAULT_KEY,
    KEYS,
    Asked,
    as_requester,
    read_certificate_request,
    read_file,
    read_object,
    workload_request,
)
from signer.commands.live import Mesh, read_mesh, time_there
from signer.commands.output import JSON, TEXT, YAML, colours, say, written
from signer.commands.tables import clean, coloured, table
from signer.commands.tenancies.signers import parse_signer
from signer.kube.client import ApiClient
from signer.kube.errors import NotFound
from signer.settings.values import Settings

_DESCRIPTION = """\
Say what the signer would do with a request, and why: with a CertificateSigningRequest (NAME), a CertificateRequest
(NAMESPACE/NAME), a PodCertificateRequest (podcertificaterequest NAME) or a TenantBridge (tenantbridge NAME) of the cluster, one in a file (-f, - for standard input; also a CSR in PEM, with --signer), or with the
request of a workload (--namespace, --service-account, --signer, --key). Nothing is written. Exit status: 0 it is signed, 1 it
is refused or waits, or the workload does not get it, 2 it could not be determined.
"""
_USAGE = (
    "usage: explain certificate NAME [-n NAMESPACE], explain certificaterequest NAME [-n NAMESPACE], explain "
    "podcertificaterequest NAME [-n NAMESPACE], or explain tenantbridge NAME [-n NAMESPACE]"
)
_OF_POD = "podcertificaterequest"
_OF_BRIDGE = "tenantbridge"
_WORDS = {
    "issue": ("SIGNED", "green"),
    "refuse": ("REFUSED", "red"),
    "wait": ("WAITS", "yellow"),
    "ask": ("DEPENDS", "yellow"),
}


def describe(parser: argparse.ArgumentParser) -> None:
    """Give the subcommand its description and its options."""
    parser.description = _DESCRIPTION
    parser.add_argument(
        "name",
        nargs="*",
        metavar="NAME",
        help="a CertificateSigningRequest; NAMESPACE/NAME: a CertificateRequest; or certificate NAME, or "
        "certificaterequest, podcertificaterequest or tenantbridge NAME, with --namespace",
    )
    parser.add_argument("-f", "--filename", metavar="FILE", help="a request of either kind, or a CSR in PEM")
    parser.add_argument(
        "-n",
        "--namespace",
        dest="workload",
        metavar="NAMESPACE",
        help="of the workload, or of the object that is named (default for that: the context's)",
    )
    parser.add_argument("--service-account", default="default", help="of the workload (default: default)")
    parser.add_argument("--signer", default="", help="as in ISTIO_META_CERT_SIGNER, or in full")
    parser.add_argument(
        "--key",
        choices=KEYS,
        default=DEFAULT_KEY,
        help=f"of the workload (default {DEFAULT_KEY}, as Istio's agents make it without ECC_SIGNATURE_ALGORITHM)",
    )
    parser.add_argument("--trust-domain", default="", help="of the workload (default: the mesh's)")
    parser.add_argument("--requester", default="", metavar="USER", help="who asks (default: istiod)")
    add_options(parser, TEXT, JSON, YAML)


def call(options: argparse.Namespace) -> int:
    """Run the command."""

    def check() -> None:
        words, kind = options.name, options.name[0].lower().removesuffix("s") if options.name else ""
        if len(words) > 2 or (
            len(words) == 2 and kind not in {"certificate", "certificaterequest", _OF_POD, _OF_BRIDGE}
        ):
            raise NotFoundOut(_USAGE)
        named = options.workload is not None and len(words) < 2
        if sum((bool(words), options.filename is not None, named)) != 1:
            raise NotFoundOut("give one of NAME, -f FILE, or --namespace with --service-account and --signer")
        options.text = _read_text(options.filename) if options.filename is not None else ""

    async def work(client: ApiClient, settings: Settings) -> int:
        kind = _named(client, options)
        now = await time_there(client)
        if kind == "certificate":
            return await _of_certificate(client, options, settings, now)
        if kind == _OF_POD:
            mesh = (await read_mesh(client, settings, now=now)).require()
            namespace, _, name = options.name.partition("/")
            return _told(await Asking(client, mesh, settings, now).pod_request(namespace, name), options.output)
        if kind == _OF_BRIDGE:
            mesh = (await read_mesh(client, settings, now=now)).require()
            namespace, _, name = options.name.partition("/")
            return _bridge(await Asking(client, mesh, settings, now).bridge(namespace, name), options.output)
        asked = await _find(client, options)
        mesh = (await read_mesh(client, settings, now=now)).require()
        asking = Asking(client, mesh, settings, now, looks_around=True)
        if isinstance(asked, CertificateRequest):
            title = f"CertificateRequest {asked.metadata.namespace}/{asked.metadata.name or '(no name)'}"
            found = await asking.certificate_request(asked, title)
        else:
            malformed = _malformed(mesh, options, now) if asked is None else None
            found = malformed or await _explain(asking, _complete(asked, mesh, options, settings), settings)
        return _told(found, options.output)

    return run(options, work, check)


def _told(found: Explanation, output: str) -> int:
    if output == TEXT:
        say(_text(found, terminal=colours(sys.stdout)))
    else:
        say(written(found.document(), output))
    return FINE if found.verdict == "issue" and not found.obstacles else FOUND


def _bridge(found: BridgeExplanation, output: str) -> int:
    if output != TEXT:
        say(written(found.document(), output))
    else:
        word, colour = _WORDS[found.verdict] if found.verdict != "issue" else ("ALLOWED", "green")
        lines = [f"{clean(found.title)}: {coloured(word, colour, terminal=colours(sys.stdout))}"]
        if found.verdict == "issue":
            lines[0] += f", certificates of {found.lifetime}: {clean(found.source)}"
        lines += [
            f"  {one.code}: {clean(one.message)}" + (f" ({clean(one.others)})" if one.others else "")
            for one in found.reasons
        ]
        lines += [f"  BUT {clean(one)}" for one in found.obstacles]
        lines += [f"  {clean(note)}" for note in found.notes]
        say("\n".join([*lines, "", "What this rests on:", _pairs(found.known, indent="  ")]))
    return FINE if found.verdict == "issue" and not found.obstacles else FOUND


def _named(client: ApiClient, options: argparse.Namespace) -> str:
    """Read KIND NAME with its namespace, or NAME alone, into `options.name`; the kind, "" for what the name tells."""
    words: list[str] = options.name
    options.name = None
    if len(words) < 2:
        options.name = words[0] if words else None
        return ""
    options.name, options.workload = f"{namespace_of(client, options.workload)}/{words[1]}", None
    return words[0].lower().removesuffix("s")


async def _of_certificate(client: ApiClient, options: argparse.Namespace, settings: Settings, now: datetime) -> int:
    mesh = (await read_mesh(client, settings, now=now)).require()
    namespace, _, name = options.name.partition("/")
    found = await Asking(client, mesh, settings, now, looks_around=True).certificate(namespace, name)
    if options.output != TEXT:
        say(written(found.document(), options.output))
        return FINE if found.verdict == "ready" else FOUND
    word, colour = {"ready": ("READY", "green"), "refuse": ("NOT READY", "red"), "wait": ("WAITS", "yellow")}[
        found.verdict
    ]
    lines = [f"{clean(found.title)}: {coloured(word, colour, terminal=colours(sys.stdout))}"]
    if found.ends is not None:
        lines[0] += f", until {found.ends:%Y-%m-%dT%H:%M:%SZ}"
    if found.reason is not None:
        lines.append(f"  {found.reason.reason}: {clean(found.reason.message)}")
    lines += [f"  {clean(note)}" for note in found.notes]
    if found.of_request is not None:
        lines += ["", _text(found.of_request, terminal=colours(sys.stdout))]
    say("\n".join(lines))
    return FINE if found.verdict == "ready" else FOUND


async def _find(client: ApiClient, options: argparse.Namespace) -> Asked | CertificateRequest | None:
    """Return the request that was named; None for a workload's, which needs the mesh to be made."""
    if options.name is not None and "/" in options.name:
        namespace, _, name = options.name.partition("/")
        try:
            return read_certificate_request(await client.get(CERTIFICATE_REQUESTS, name, namespace))
        except (NotFound, ValueError):
            raise NotFoundOut(f"there is no CertificateRequest {clean(options.name)}") from None
    if options.name is not None:
        try:
            return read_object(await client.get(CERTIFICATE_SIGNING_REQUESTS, options.name))
        except (NotFound, ValueError):
            raise NotFoundOut(
                f"there is no CertificateSigningRequest {clean(options.name)}: istiod deletes its requests within a "
                "minute. The audit log and the Events of the namespace's ProxyConfig tell what became of it; "
                "--namespace, --service-account and --signer tell what would become of it now"
            ) from None
    if options.filename is not None:
        return read_file(options.text, options.signer and _full_name(options))
    return None


def _read_text(filename: str) -> str:
    """Read a request's file, or standard input. Raises NotFoundOut."""
    try:
        return sys.stdin.read() if filename == "-" else Path(filename).read_text(encoding="utf-8")
    except OSError as error:
        raise NotFoundOut(f"{filename}: {(error.strerror or 'it cannot be read').lower()}") from None
    except UnicodeDecodeError:
        raise NotFoundOut(f"{filename}: it is no text; a request in YAML, JSON or PEM is expected") from None


def _full_name(options: argparse.Namespace) -> str:
    return signer_name_of(parse_signer(options.signer, options.cert_signer_domain or "clusterissuers.cert-manager.io"))


def _complete(asked: Asked | None, mesh: Mesh, options: argparse.Namespace, settings: Settings) -> Asked:
    """Make a workload's request with what the mesh says: its trust domain, its default signer, istiod's account."""
    world = mesh.world
    if asked is None:
        claimed = world.claims.get(options.workload)
        # What istiod's K8S_SIGNER names where nothing else is named.
        for_all = next(iter(sorted(world.defaults) or sorted(world.routed)), None)
        signer = claimed.whole if claimed is not None and claimed.whole else for_all
        if options.signer:
            signer = parse_signer(options.signer, settings.cert_signer_domain)
        if signer is None:
            raise NotFoundOut(
                f"namespace {options.workload} has no signer of its own, and the mesh no default: --signer"
            )
        domain = options.trust_domain or next(iter(sorted(world.config.trust_domains)), "cluster.local")
        named = signer_name_of(signer)
        asked = workload_request(domain, options.workload, options.service_account, named, options.key)
    istiod = next(iter(sorted(world.requesters)), "")
    if options.requester or not asked.content.username:
        return as_requester(asked, options.requester or istiod)
    return asked


def _malformed(mesh: Mesh, options: argparse.Namespace, now: datetime) -> Explanation | None:
    """Explain a workload of a namespace that claims what names no issuer: it asks for that, and not for the mesh's default."""
    return None if options.signer else misnamed(mesh, options.workload, options.service_account, now)


async def _explain(asking: Asking, asked: Asked, settings: Settings) -> Explanation:
    if parse_signer_name(asked.signer_name) is None:
        raise NotFoundOut(
            f"{asked.title} asks {clean(asked.signer_name)}, which is not one of our signers: we leave it alone"
        )
    return await asking.request(asked, parse_signer(asked.signer_name, settings.cert_signer_domain))


def _text(found: Explanation, *, terminal: bool) -> str:
    word, colour = _WORDS[found.verdict]
    content = found.asked.content
    head = [
        ("request", found.asked.title),
        ("asked by", content.username),
        ("for", found.identity or "nobody: the CSR cannot be read, or has no name"),
        ("of", str(found.signer)),
    ]
    if found.signed_by is not None:
        head.append(("by identity", str(found.signed_by)))
    if found.asked.became:
        head.append(("so far", found.asked.became))
    elif not found.asked.approved:
        head.append(("so far", "nobody approved it; istiod approves its requests, others need an approver"))
    lines = [_pairs(head), "", coloured(word, colour, terminal=terminal)]
    if found.verdict == "issue":
        until = f", until {found.ends:%Y-%m-%dT%H:%M:%SZ}" if found.ends is not None else ""
        lines[-1] += f"{until}: {clean(found.source)}"
    lines += [
        f"  {reason.code}: {clean(reason.message)}" + (f" ({clean(reason.others)})" if reason.others else "")
        for reason in found.reasons
    ]
    lines += [f"  BUT {clean(obstacle)}" for obstacle in found.obstacles]
    lines += [f"  {clean(note)}" for note in found.notes]
    lines += [f"  -> {clean(sentence)}" for sentence in found.advice]
    return "\n".join([*lines, "", "What this rests on:", _pairs(found.known, indent="  ")])


def _pairs(pairs: "list[tuple[str, str]] | tuple[tuple[str, str], ...]", indent: str = "") -> str:
    if not pairs:
        return ""
    first, *rest = [(f"{label}:", text) for label, text in pairs]
    return "\n".join(indent + line for line in table(first, rest).splitlines())
