"""Is an ACME issuer's spec one that can be used? All that is wrong is told at once, each with its field. Pure.

An Issuer is written by a tenant: it chooses a server, so what could reach into the cluster is not left to it.
Sources: RFC 8555; cert-manager v1.20, internal/apis/certmanager/validation/issuer.go.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from issuers.acme.errors import ForbiddenTarget
from issuers.acme.targets import ANYWHERE, AddressRule, Origin, origin
from issuers.x509 import loading
from issuers.x509.pem import usual_labels
from signer.api.acmeissuer import AcmeSpec, ExternalAccountBinding, read_acme, unsupported
from signer.api.issuer import Issuer
from signer.api.names import is_subdomain
from signer.api.secret import TLS_KEY
from signer.api.text import capped, shown
from signer.edge.issuers.choice import read_alternatives
from signer.edge.issuers.dns01_spec import read_dns01
from signer.edge.issuers.http01_spec import read_self_check
from signer.edge.reserved import read_by_istio
from signer.tenancy.verdict import Reason, Refuse

MAX_BUNDLE = 256 * 1024
MAX_SOLVERS = 256
_EMAIL = re.compile(r"[^\s@,?&<>\"]{1,64}@[^\s@,?&<>\"]{1,190}", re.ASCII)
_SECRET_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}", re.ASCII)


@dataclass(frozen=True, slots=True)
class External:
    """The binding to an account of the operator's: its name, and where its MAC key lies (in `secret_namespace`)."""

    key_id: str
    secret_name: str
    secret_key: str


@dataclass(frozen=True, slots=True)
class AcmeIssuer:
    """A spec that can be used. Secrets lie in `secret_namespace`: the issuer's own, or the cluster resource namespace.

    `anywhere`: only administrators write it, so that its server may stand in the cluster.
    """

    origin: Origin
    server: str
    secret_namespace: str
    account_secret: str
    account_key: str
    emails: tuple[str, ...] = ()
    ca_bundle: bytes = b""
    verify: bool = True
    anywhere: bool = False
    external: External | None = None
    preferred_chain: str = ""
    profile: str = ""
    make_key: bool = True
    durations: bool = False
    solvers: tuple[dict[str, Any], ...] = field(default=())


def judge_acme(issuer: Issuer, cluster_resource_namespace: str) -> AcmeIssuer | Refuse:
    """Return what the controllers need of it, or every reason why it cannot be used."""
    spec, problem = read_acme(issuer)
    cluster_wide = not issuer.metadata.namespace
    messages = [problem] if problem else list(_problems(spec, cluster_wide=cluster_wide))
    if not problem:
        messages += [f"{name}: not supported by this version of mesh-signer" for name in unsupported(issuer)]
        messages += read_alternatives(issuer).problems
    if messages:
        return Refuse(tuple(Reason("InvalidConfiguration", one) for one in capped(messages)))
    binding = spec.external_account_binding
    return AcmeIssuer(
        origin=origin(spec.server),
        server=spec.server,
        secret_namespace=issuer.metadata.namespace or cluster_resource_namespace,
        account_secret=spec.private_key_secret_ref.name,
        account_key=spec.private_key_secret_ref.key or TLS_KEY,
        emails=(spec.email,) if spec.email else (),
        ca_bundle=usual_labels(spec.ca_bundle),
        verify=not spec.skip_tls_verify,
        anywhere=cluster_wide,
        external=External(binding.key_id, binding.key_secret_ref.name, binding.key_secret_ref.key) if binding else None,
        preferred_chain=spec.preferred_chain,
        profile=spec.profile,
        make_key=not spec.disable_account_key_generation,
        durations=spec.enable_duration_feature,
        solvers=tuple(spec.solvers),
    )


def _problems(spec: AcmeSpec, *, cluster_wide: bool) -> Iterator[str]:
    if not spec.server:
        yield "spec.acme.server: must be set"
    else:
        try:
            origin(spec.server)
        except ForbiddenTarget as error:
            yield f"spec.acme.server: {error}"
    if spec.email and not _EMAIL.fullmatch(spec.email):
        yield f"spec.acme.email: {shown(spec.email)} is not a valid e-mail address"
    yield from _secret_ref(
        "spec.acme.privateKeySecretRef", spec.private_key_secret_ref.name, spec.private_key_secret_ref.key
    )
    if read_by_istio(spec.private_key_secret_ref.name) and not spec.disable_account_key_generation:
        yield f"spec.acme.privateKeySecretRef.name: {shown(spec.private_key_secret_ref.name)} is a name that Istio reads"
    if spec.skip_tls_verify and not cluster_wide:
        yield "spec.acme.skipTLSVerify: only a ClusterIssuer may leave the server unchecked; use caBundle"
    if spec.skip_tls_verify and spec.ca_bundle:
        yield "spec.acme: caBundle and skipTLSVerify cannot both be set"
    if spec.ca_bundle and (why := _bundle_problem(spec.ca_bundle)):
        yield f"spec.acme.caBundle: {why}"
    if spec.external_account_binding is not None:
        yield from _binding_problems(spec.external_account_binding)
    for name, text in (("preferredChain", spec.preferred_chain), ("profile", spec.profile)):
        if len(text) > 64 or not text.isprintable():
            yield f"spec.acme.{name}: {shown(text)} is not a name of at most 64 characters"
    if len(spec.solvers) > MAX_SOLVERS:
        yield f"spec.acme.solvers: {len(spec.solvers)} are too many; {MAX_SOLVERS} at most"
    else:
        for index, solver in enumerate(spec.solvers):
            yield from _solver_problems(f"spec.acme.solvers[{index}]", solver, cluster_wide=cluster_wide)


def _secret_ref(place: str, name: str, key: str) -> Iterator[str]:
    if not is_subdomain(name):
        yield f"{place}.name: {shown(name)} is not a valid Secret name" if name else f"{place}.name: must be set"
    if key and not _SECRET_KEY.fullmatch(key):
        yield f"{place}.key: {shown(key)} is not a valid Secret key"


def _binding_problems(binding: ExternalAccountBinding) -> Iterator[str]:
    place = "spec.acme.externalAccountBinding"
    if not binding.key_id or len(binding.key_id) > 512 or not binding.key_id.isprintable():
        yield f"{place}.keyID: must be set, printable, and of at most 512 characters"
    yield from _secret_ref(f"{place}.keySecretRef", binding.key_secret_ref.name, binding.key_secret_ref.key)
    if not binding.key_secret_ref.key:
        yield f"{place}.keySecretRef.key: must be set"
    if binding.key_algorithm not in ("", "HS256"):
        yield f"{place}.keyAlgorithm: {shown(binding.key_algorithm)} is no longer used; leave it out"


def _bundle_problem(bundle: bytes) -> str:
    try:
        loading.certificates(bundle, largest=MAX_BUNDLE)
    except loading.Unreadable as error:
        return str(error)
    return ""


def _solver_problems(place: str, solver: Any, *, cluster_wide: bool) -> Iterator[str]:
    if not isinstance(solver, dict):
        yield f"{place}: an object is expected"
        return
    kinds = [kind for kind in ("http01", "dns01") if solver.get(kind) is not None]
    if len(kinds) != 1:
        yield f"{place}: one of http01 and dns01 is expected"
        return
    settings = solver[kinds[0]]
    if not isinstance(settings, dict):
        yield f"{place}.{kinds[0]}: an object is expected"
    elif kinds[0] == "http01":
        if len([kind for kind in ("ingress", "gatewayHTTPRoute") if settings.get(kind) is not None]) != 1:
            yield f"{place}.http01: one of ingress and gatewayHTTPRoute is expected"
        rule = ANYWHERE if cluster_wide else AddressRule()
        looked = read_self_check(settings, f"{place}.http01", rule=rule)
        yield from looked if isinstance(looked, tuple) else ()
    else:
        found = read_dns01(settings, f"{place}.dns01", cluster_wide=cluster_wide)
        yield from found if isinstance(found, tuple) else ()
