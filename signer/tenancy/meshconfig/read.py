"""What Istio's ConfigMaps say about the mesh: trust domains, the mesh default signers, the signers with roots. Pure.

istiod of a revision reads the shared mesh config (SHARED_MESH_CONFIG), if there is one, and then its own ConfigMap over
it: `istio`, or `istio-<revision>`, key `mesh`. Fields replace, proxyMetadata is merged. All revisions are taken together:
one signer more makes the wall longer, never lower. trustDomainAliases are no trust domains of new certificates.
What istiod would refuse as a whole is read here as far as it goes, and told: a typing error must not take the wall down.
Source: istio pkg/config/mesh/mesh.go (ApplyMeshConfig), pilot/pkg/bootstrap/mesh.go, api mesh/v1alpha1/config.proto.
"""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from signer.api.issuer import IssuerRef
from signer.api.meant import Effort, nearest
from signer.api.names import is_label, is_trust_domain
from signer.api.proxyconfig import CERT_SIGNER, meant_for_cert_signer
from signer.api.signername import CLUSTER_ISSUER_DOMAIN, ISSUER_DOMAIN
from signer.api.text import capped, shown
from signer.tenancy.claims import is_ours, read_signer_name, signer_of, value_problem
from signer.tenancy.meshconfig.yaml import UnreadableYAML, read_yaml
from signer.tenancy.world import DEFAULT_TRUST_DOMAIN, CertificateAuthorityEntry, MeshConfig, Settings

MESH_KEY = "mesh"
DEFAULT_CONFIG_MAP = "istio"
_PREFIX = f"{DEFAULT_CONFIG_MAP}-"
_MAX_PEM = 1 << 16
_FIELDS = ("trustDomain", "rootNamespace", "caCertificates", "defaultConfig")
# Of CertificateData, config.proto.
_ENTRY = ("pem", "spiffeBundleUrl", "certSigners", "trustDomains")
_NEAR = 0.88
_LONGEST_NAME = 64


class _Read(msgspec.Struct):
    """One ConfigMap as it was read; None where it says nothing.

    `bad_domain`: it says one that cannot be read; `lists`: it has caCertificates, which replace those that are shared.
    """

    trust_domain: str | None = None
    bad_domain: bool = False
    root_namespace: str | None = None
    cert_signer: str | None = None
    signers: set[IssuerRef] = msgspec.field(default_factory=set)
    bare: set[str] = msgspec.field(default_factory=set)
    authorities: list[CertificateAuthorityEntry] = msgspec.field(default_factory=list)
    lists: bool = False


def read_mesh_config(
    config_maps: Mapping[str, Mapping[str, str]], settings: Settings, *, shared: str = ""
) -> MeshConfig:
    """Read the ConfigMaps of Istio's namespace (name -> data) into what the wall needs; never raises.

    `shared` is the name of the shared mesh config, "" for none. ConfigMaps without the key `mesh` are none of ours,
    whatever their name. A revision whose trust domain cannot be read adds none; without any mesh config there is
    Istio's default.
    """
    problems: list[str] = []
    base = _Read()
    if shared and MESH_KEY in config_maps.get(shared, {}):
        base = _read(shared, config_maps[shared][MESH_KEY], settings, problems)
    names = sorted(
        name
        for name, data in config_maps.items()
        if name != shared and MESH_KEY in data and (name == DEFAULT_CONFIG_MAP or is_revision(name))
    )
    read = [_over(base, _read(name, config_maps[name][MESH_KEY], settings, problems)) for name in names] or [base]
    roots = list(dict.fromkeys(one.root_namespace or settings.istio_namespace for one in read))
    if len(roots) > 1:
        problems.append(
            f"rootNamespace: the revisions {', '.join(names)} disagree ({', '.join(roots)}); {roots[0]} counts"
        )
    # An istiod whose ConfigMap is not there has what is shared.
    domains = {"": _domain(base)} | {revision_of(name): _domain(one) for name, one in zip(names, read, strict=False)}
    defaults = (signer_of(one.cert_signer or "", settings.signer_domain) for one in read)
    return MeshConfig(
        trust_domains=frozenset().union(*map(_domain, read)),
        domains=domains,
        root_namespace=roots[0],
        revisions=frozenset(filter(None, map(revision_of, names))),
        defaults=frozenset(ref for ref in defaults if ref is not None),
        open_default=any(not one.cert_signer for one in read),
        signers=frozenset(base.signers.union(*(one.signers for one in read))),
        authorities=tuple(dict.fromkeys(entry for one in (base, *read) for entry in one.authorities)),
        problems=capped(problems),
        bare=frozenset(base.bare.union(*(one.bare for one in read))),
        listed={
            name: tuple(dict.fromkeys((one if one.lists else base).authorities))
            for name, one in zip(names, read, strict=False)
        },
    )


def is_revision(name: str) -> bool:
    """Tell whether a ConfigMap's name is that of a revision; whether it is one, its key `mesh` tells."""
    return name.startswith(_PREFIX) and is_label(name.removeprefix(_PREFIX))


def revision_of(name: str) -> str:
    """Return the revision whose ConfigMap has this name, "" for the one without a name."""
    return "" if name == DEFAULT_CONFIG_MAP else name.removeprefix(_PREFIX)


def config_map_of_revision(revision: str) -> str:
    """Return the name of a revision's ConfigMap, as `revision_of` reads it."""
    return f"{_PREFIX}{revision}" if revision else DEFAULT_CONFIG_MAP


def _domain(read: _Read) -> frozenset[str]:
    if read.bad_domain:
        return frozenset()
    return frozenset({DEFAULT_TRUST_DOMAIN if read.trust_domain is None else read.trust_domain})


def _over(base: _Read, own: _Read) -> _Read:
    """Put a revision's own fields over the shared ones."""
    own_domain = own.trust_domain is not None or own.bad_domain
    return _Read(
        trust_domain=own.trust_domain if own_domain else base.trust_domain,
        bad_domain=own.bad_domain if own_domain else base.bad_domain,
        root_namespace=own.root_namespace or base.root_namespace,
        cert_signer=own.cert_signer if own.cert_signer is not None else base.cert_signer,
        signers=own.signers,
        bare=own.bare,
        authorities=own.authorities,
        lists=own.lists,
    )


def _read(name: str, text: str, settings: Settings, problems: list[str]) -> _Read:
    read = _Read()

    def problem(where: str, what: str) -> None:
        path = f"{MESH_KEY}.{where}" if where else MESH_KEY
        problems.append(f"ConfigMap {settings.istio_namespace}/{name}: {path}: {what}")

    try:
        document = read_yaml(text)
    except UnreadableYAML as error:
        problem("", str(error))
        read.bad_domain = True
        return read
    if document is None:
        return read
    if not isinstance(document, dict):
        problem("", "is not a mapping")
        read.bad_domain = True
        return read

    for odd in _misspelt(document, _FIELDS):
        problem(shown(odd), f"there is no such field: is {_near(odd, _FIELDS)} meant?")
    domain = _field(document, "trustDomain")
    if domain is not None:
        if isinstance(domain, str) and is_trust_domain(domain):
            read.trust_domain = domain
        else:
            read.bad_domain = True
            problem("trustDomain", f"{_what(domain)} is not a trust domain")
    root = _field(document, "rootNamespace")
    if root is not None:
        if isinstance(root, str) and is_label(root):
            read.root_namespace = root
        else:
            problem("rootNamespace", f"{_what(root)} is not a valid namespace name")
    read.cert_signer = _default_signer(document, settings.signer_domain, problem)
    entries = _field(document, "caCertificates")
    read.lists = entries is not None
    if entries is not None and not isinstance(entries, list):
        problem("caCertificates", "is not a list")
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        _read_authority(f"caCertificates[{index}]", entry, read, problem, settings.signer_domain)
    return read


def _default_signer(document: dict[Any, Any], domain: str, problem: Any) -> str | None:
    where, found = "", document
    for step in ("defaultConfig", "proxyMetadata"):
        for name in _misspelt(found, (step,)) if where else ():
            problem(f"{where}.{shown(name)}", f"there is no such field: is {step} meant?")
        where = f"{where}.{step}" if where else step
        inner = _field(found, step)
        if inner is None:
            return None
        if not isinstance(inner, dict):
            problem(where, "is not a mapping")
            return None
        found = inner
    effort = Effort()
    for name in found:
        if isinstance(name, str) and meant_for_cert_signer(name, effort):
            problem(f"{where}.{shown(name)}", f"says nothing about signers: is {CERT_SIGNER} meant?")
    value = found.get(CERT_SIGNER)
    if value is None:
        return None
    if not isinstance(value, str):
        problem(f"{where}.{CERT_SIGNER}", f"{_what(value)} is not text")
        return None
    if wrong := value_problem(value, domain):
        problem(f"{where}.{CERT_SIGNER}", wrong)
    return value


def _read_authority(where: str, entry: object, read: _Read, problem: Any, domain: str) -> None:
    if not isinstance(entry, dict):
        problem(where, "is not a mapping")
        return
    _check_fields(where, entry, problem)
    listed = _field(entry, "certSigners")
    if listed is not None and not isinstance(listed, list):
        problem(f"{where}.certSigners", "is not a list")
    signers: set[IssuerRef] = set()
    effort = Effort()
    for index, name in enumerate(listed if isinstance(listed, list) else ()):
        ref = read_signer_name(name) if isinstance(name, str) else None
        if ref is not None:
            signers.add(ref)
        elif not isinstance(name, str) or is_ours(name):
            problem(f"{where}.certSigners[{index}]", f"{_what(name)} is not a valid signer name")
        elif "/" not in name:
            read.bare.add(name)
            text = f"{shown(name)} has no domain, so it names no signer: it must begin with {domain}/"
            problem(f"{where}.certSigners[{index}]", text)
        elif near := _near(name.partition("/")[0], (CLUSTER_ISSUER_DOMAIN, ISSUER_DOMAIN), effort):
            problem(
                f"{where}.certSigners[{index}]", f"{shown(name)} names no signer of ours: is the domain {near} meant?"
            )
    read.signers |= signers
    pem = entry.get("pem")
    if pem is None:
        if signers and _field(entry, "spiffeBundleUrl") is None:
            problem(where, "has no pem: istiod knows no root for the signers that it lists, and refuses what they sign")
        return
    if isinstance(pem, str) and len(pem) <= _MAX_PEM:
        read.authorities.append(CertificateAuthorityEntry(pem, frozenset(signers)))
    else:
        problem(f"{where}.pem", f"is longer than {_MAX_PEM} characters" if isinstance(pem, str) else "is not text")


def _check_fields(where: str, entry: dict[Any, Any], problem: Any) -> None:
    """Tell of fields that no entry has: what stands there counts for nobody."""
    effort = Effort()
    for name in entry:
        if not isinstance(name, str):
            problem(where, "has a field whose name is not text")
        elif _camel(name) not in _ENTRY:
            near = _near(name, _ENTRY, effort)
            hint = f": is {near} meant?" if near else ""
            problem(f"{where}.{shown(name)}", f"there is no such field, so it says nothing{hint}")


def _field(mapping: dict[Any, Any], name: str) -> Any:
    """Return a field, written trustDomain or trust_domain: Protocol Buffers' JSON takes both."""
    if name in mapping:
        return mapping[name]
    return mapping.get("".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name))


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


def _near(name: str, known: Collection[str], effort: Effort | None = None) -> str:
    """Return which of these a name may be meant for, "" for none."""
    return nearest(name[:_LONGEST_NAME], known, _NEAR, effort)


def _misspelt(mapping: dict[Any, Any], known: Collection[str]) -> list[str]:
    """Name the fields that are nearly one of these, and none."""
    effort = Effort()
    return [
        name
        for name in mapping
        if isinstance(name, str) and name not in known and _camel(name) not in known and _near(name, known, effort)
    ]


def _what(value: object) -> str:
    return shown(value) if isinstance(value, str) else "what stands there"
