"""The mesh config of each istiod: whether it is there, can be edited, and gives workloads the roots of their CAs. Pure.

An istiod reads its own ConfigMap alone, so each counts by itself: a root that stands in another's is none for its workloads.
What `mesh-config` would refuse is never what to do: each such remedy is tried first, by its own functions, on the text of now.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from issuers.authority import Authority
from signer.api.issuer import IssuerRef
from signer.api.signername import signer_name_of
from signer.api.text import some
from signer.commands.checks.facts import WITH_FORCE, Facts, Finding, Severity
from signer.commands.checks.istiod import config_map_of, istiods, revision_option
from signer.commands.live import Mesh
from signer.commands.tenancies.signers import others_ca, roots_of, whose_ca
from signer.mesh.roots import with_roots_in_mesh
from signer.tenancy.index import istiod_account
from signer.tenancy.mesh_cas import CA, other_root
from signer.tenancy.meshconfig.edit import edit_mesh_config, has_certificate, in_step, renamed, same_anchor
from signer.tenancy.meshconfig.read import DEFAULT_CONFIG_MAP, config_map_of_revision
from signer.tenancy.meshconfig.text import MeshConfigText, UneditableText
from signer.tenancy.world import CertificateAuthorityEntry

_KEY = "meshConfig.caCertificates"
Entries = tuple[CertificateAuthorityEntry, ...]


def check_mesh_config(facts: Facts) -> Iterator[Finding]:
    """Whether each istiod has a mesh config, and whether `mesh-config --write` could edit it."""
    mesh, namespace = facts.mesh, facts.settings.istio_namespace
    if mesh.gaps or namespace not in mesh.world.namespaces:
        return  # told by check_gaps and check_namespaces
    for name, whose in sorted(_absent(facts).items()):
        yield Finding(
            "error",
            "mesh-config",
            f"ConfigMap {namespace}/{name} does not exist, or has no key mesh: {whose}",
            f"namespace {namespace}",
            f"install Istio's again, which makes ConfigMap {name} (helm upgrade, istioctl install); then mesh-signer mesh-config "
            f"--write{revision_option(name)}",
            code="MeshConfigMissing",
        )
    for name, text in sorted(mesh.texts.items()):
        where = f"ConfigMap {namespace}/{name}"
        try:
            MeshConfigText(text)
        except UneditableText as error:
            if any(one.startswith(f"{where}: mesh: ") for one in mesh.world.config.problems):
                continue  # it cannot be read either, which is told
            twice = "twice" in str(error)
            yield Finding(
                "warning" if twice else "note",
                "mesh-config",
                f"{error}: "
                + ("which of the two istiod takes is not ours to guess, and mesh-signer" if twice else "mesh-signer")
                + " writes no root there",
                where,
                f"correct key mesh of {where}"
                if twice
                else f"write roots into {where} by hand, or without *name there",
                code="MeshConfigNotEditable",
            )


def _absent(facts: Facts) -> Mapping[str, str]:
    """Name the ConfigMaps that an istiod would read and that are not there, with what lacks them."""
    texts, shared = facts.mesh.texts, facts.settings.shared_mesh_config
    if shared in texts:
        return {}
    found = {
        config_map_of(one): f"istiod of Deployment {one['metadata']['name']} has no roots for its workloads"
        for one in istiods(facts)
    }
    if not found and not texts and with_roots_in_mesh(facts.mesh.world):
        found = {DEFAULT_CONFIG_MAP: "istiod has no roots for its workloads"}
    return {name: whose for name, whose in found.items() if name not in texts}


def check_roots(facts: Facts) -> Iterator[Finding]:
    """Whether the roots in the mesh config of each istiod are those of the CAs."""
    mesh = facts.mesh
    if mesh.gaps:
        # A config that was not read has no entries, which is not the same as none.
        yield Finding("unknown", "roots", f"roots were not checked: {some(mesh.gaps)}", code="RootsNotChecked")
        return
    for name, entries in sorted(_listed(mesh).items()):
        for entry in entries:
            if len(entry.signers) > 1:
                command, refused = _by_command(mesh, entry.signers, name)
                yield Finding(
                    "warning",
                    "roots",
                    f"{some(map(str, sorted(entry.signers)))} share one entry: istiod never forgets such a list, so a root "
                    "that changes for one of them may stay the old one until istiod restarts",
                    _where(mesh, name),
                    refused or f"one entry for each: `{command}`",
                    code="RootsShared",
                )
    for ref in with_roots_in_mesh(mesh.world):
        if mesh.authority(ref) is not None:
            yield from roots_for(mesh, ref, facts.now)


def roots_for(mesh: Mesh, ref: IssuerRef, now: datetime, requester: str = "") -> Iterator[Finding]:
    """Hold the entries of a signer against its CA, in each ConfigMap; in that of one istiod, where the requester is one."""
    world, authority = mesh.world, mesh.authority(ref)
    own = {
        config_map_of_revision(one) for one in world.config.domains if istiod_account(world.settings, one) == requester
    }
    by_name = {
        name: [entry for entry in entries if ref in entry.signers] for name, entries in sorted(_listed(mesh).items())
    }
    for name, entries in by_name.items():
        if own & by_name.keys() and name not in own:
            continue
        yield from _entries(mesh, ref, name, entries)
    if (
        authority is not None
        and authority.root_pem is None
        and (changed := other_root(CA(ref, authority.key_id, authority.chain), world, now)) is not None
    ):
        reason = changed.reason
        text = f"{reason.message} ({reason.others})" if reason.others else reason.message
        yield _root(mesh, "RootOfAnother", ref, DEFAULT_CONFIG_MAP, text)


def _listed(mesh: Mesh) -> Mapping[str, Entries]:
    """The entries by ConfigMap; where there is none but a shared one, those that are shared."""
    config = mesh.world.config
    if config.listed:
        return config.listed
    return {DEFAULT_CONFIG_MAP: config.authorities} if mesh.texts else {}


def _entries(mesh: Mesh, ref: IssuerRef, name: str, entries: list[CertificateAuthorityEntry]) -> Iterator[Finding]:
    """Hold the entries of a signer in one ConfigMap against the root of its CA."""
    if not entries:
        text = f"{ref} has no root there: its workloads get no certificate"
        yield _root(mesh, "RootMissing", ref, name, text)
    authority = mesh.authority(ref)
    for entry in entries:
        if not entry.pem.strip():
            text = f"the entry of {ref} has no root: its workloads get no certificate"
            yield _root(mesh, "RootMissing", ref, name, text)
        elif not has_certificate(entry.pem):
            text = (
                f"the entry of {ref} has no certificate, but text that cannot be read as one (a placeholder, or base64 of a "
                "Secret): its workloads get no certificate"
            )
            yield _root(mesh, "RootMissing", ref, name, text)
        elif authority is not None and authority.root_pem is not None:
            yield from _other(mesh, ref, name, entry.pem, authority, authority.root_pem.decode())


def _other(mesh: Mesh, ref: IssuerRef, name: str, pem: str, authority: Authority, root: str) -> Iterator[Finding]:
    """Tell how the root of an entry differs from the CA's."""
    if in_step(pem, root):
        return
    if same_anchor(pem, root):
        text = f"the root of {ref} was renewed, and the one there is older: it must be replaced before it ends"
        yield _root(mesh, "RootOlder", ref, name, text)
    elif same_anchor(pem, authority.certificate_pem.decode()):
        # The CA itself is the new root already; its chain still leads to the old one, for old workloads.
        yield Finding(
            "note",
            "roots",
            f"{ref} changes its root: its CA is the root there, and is cross-signed",
            code="RootChanges",
        )
    elif (names := renamed(pem, root)) is not None:
        yield _renamed(mesh, ref, name, *names)
    else:
        text = f"the root of {ref} there is another CA's: istiod refuses each certificate that {ref} signs"
        yield _root(mesh, "RootOfAnother", ref, name, text)


def _root(mesh: Mesh, code: str, ref: IssuerRef, name: str, text: str) -> Finding:
    severity: Severity = "warning" if code == "RootOlder" else "error"
    force = code == "RootOfAnother"
    command, refused = _by_command(mesh, [ref], name, force=force)
    return Finding(
        severity, "roots", text, _where(mesh, name), refused or command + (WITH_FORCE if force else ""), code=code
    )


def _renamed(mesh: Mesh, ref: IssuerRef, name: str, there: str, here: str) -> Finding:
    command, refused = _by_command(mesh, [ref], name, force=True)
    return Finding(
        "error",
        "roots",
        f"the CA of {ref} has another subject than the root there, {here!r} and not {there!r}, and the same key: its "
        "workloads get no certificate (RootMismatch), and none under the new subject would be accepted by those that run",
        _where(mesh, name),
        f"give the CA its former subject {there!r} again (spec.commonName or spec.subject of its Certificate, or its Secret); "
        f"if it shall change, with an outage until every workload has renewed: {refused or command + WITH_FORCE}",
        code="RootRenamed",
    )


def _by_command(mesh: Mesh, refs: Iterable[IssuerRef], name: str, *, force: bool = False) -> tuple[str, str]:
    """Return the command that writes these roots into a ConfigMap, and what to do instead where it would refuse; else ""."""
    signers = sorted(refs)
    named = " ".join(map(signer_name_of, signers))
    command = f"mesh-signer mesh-config {named} --write{revision_option(name)}" + (" --force" if force else "")
    if not force and len(signers) > 1:
        command = f"mesh-signer mesh-config --write{revision_option(name)}"
    for ref in signers:
        if (other := whose_ca(mesh.world, mesh.issuers, ref)) is not None:
            return command, others_ca(ref, other)
    found = roots_of(signers, mesh.issuers)
    if found.complaints:
        return command, f"{found.complaints[0]}; then {command}{WITH_FORCE if force else ''}"
    if name not in mesh.texts:
        return (
            command,
            f"write the root that mesh-signer mesh-config {named} prints by hand: there is no ConfigMap {name}",
        )
    if refused := edit_mesh_config(mesh.texts[name], found.pems, force=force).refused:
        return command, f"by hand, with what mesh-signer mesh-config {named} prints: it cannot write it, {refused[0]}"
    return command, ""


def _where(mesh: Mesh, name: str) -> str:
    return _KEY if name == DEFAULT_CONFIG_MAP else f"{_KEY} of ConfigMap {mesh.world.settings.istio_namespace}/{name}"
