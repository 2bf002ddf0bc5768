"""What a mesh request may say: Istio's own form to the byte, and the limits of a policy. Pure.

Every reason is collected, so that a person mends all of them at once.
"""

from datetime import timedelta

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from issuers.istio_request import dns_names as dns_san
from issuers.istio_request import unexpected_contents, uri_name
from issuers.request import SigningRequest
from issuers.spiffe import SpiffeId, parse_spiffe_id
from issuers.x509.keys import MAX_RSA_BITS, MIN_RSA_BITS
from issuers.x509.usages import CERT_SIGN, DEFAULT_USAGES, EXTENDED_USAGES
from signer.api.names import is_subdomain
from signer.api.text import shown, some
from signer.tenancy.verdict import Reason
from signer.tenancy.world import KeyRule, Policy, World

WORKLOAD_USAGES = ("digital signature", "key encipherment", "server auth", "client auth")
ISTIOD_USAGES = ("digital signature", "key encipherment", "server auth")
# What Envoy can use; istiod lets Ed25519 pass, and workloads would get a certificate that they cannot serve.
_WORKLOAD_KEYS = (KeyRule("RSA", 2048), KeyRule("ECDSA", 256))
COMMON_NAME = "2.5.4.3"
_ORGANIZATION = "2.5.4.10"
_CA_USAGES = (CERT_SIGN, "crl sign")
_ANY_USE = "any"
# A request has a thousand names, and a refusal tells a few of them.
_MOST_TOLD = 5
_ISTIOD_HOSTS = ("istiod", "istiod-remote", "istio-pilot")


class Identity(msgspec.Struct, frozen=True):
    """Whom a mesh request speaks for: a workload by its SPIFFE ID, or istiod itself by DNS names (`spiffe_id` None).

    As text, DNS names are told as such, and quoted: one that is written like a SPIFFE ID is nobody's identity.
    """

    spiffe_id: SpiffeId | None
    dns_names: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.spiffe_id is not None:
            return str(self.spiffe_id)
        return f"a request for the DNS names {some(map(shown, self.dns_names))}"


def identify(request: SigningRequest) -> Identity | Reason:
    """Read the one identity of a mesh request, which must be Istio's form byte for byte."""
    if request.uris or not request.dns_names:
        return _workload(request)
    wrong = unexpected_contents(request, dns_san(request.dns_names))
    if wrong:
        return Reason("UnexpectedContents", f"the request is not what istiod asks for itself: {wrong}")
    return Identity(None, request.dns_names)


def _workload(request: SigningRequest) -> Identity | Reason:
    if len(request.uris) != 1:
        found = f"{len(request.uris)} URIs" if request.uris else "no URI"
        return Reason("UnexpectedContents", f"the request has {found}; a workload's has one, its SPIFFE ID")
    spiffe_id = parse_spiffe_id(request.uris[0])
    if spiffe_id is None:
        return Reason("UnexpectedContents", f"the URI {shown(request.uris[0])} is not a workload's SPIFFE ID")
    if wrong := unexpected_contents(request, uri_name(request.uris[0])):
        return Reason(
            "UnexpectedContents", f"the request of {spiffe_id} is not what Istio asks for a workload: {wrong}"
        )
    return Identity(spiffe_id)


def _named(name: str) -> str:
    """A DNS name as it is, and what only stands in the place of one quoted and cut."""
    return name if is_subdomain(name.removeprefix("*.")) else shown(name)


def istiod_names(world: World) -> frozenset[str]:
    """Name all that istiod may ask a DNS certificate for: its Services, of all known revisions, and a list."""
    namespace = world.settings.istio_namespace
    hosts = {*_ISTIOD_HOSTS, *(f"istiod-{revision}" for revision in world.config.revisions)}
    return frozenset(f"{host}.{namespace}.svc" for host in hosts) | world.settings.istiod_dns_names


def check_istiod(request: SigningRequest, usages: tuple[str, ...], policy: Policy | None, world: World) -> list[Reason]:
    """Check istiod's request for its own DNS certificate: names, no client auth."""
    reasons = []
    listed = policy.dns_names if policy is not None else ()
    known = istiod_names(world)
    if foreign := sorted(
        name for name in set(request.dns_names) if name not in known and not names_cover(listed, name)
    ):
        reasons.append(
            Reason(
                "DNSNameNotAllowed",
                f"istiod may not ask for {some(map(_named, foreign), _MOST_TOLD)} (--istiod-dns-names adds names)",
            )
        )
    if sorted(usages) != sorted(ISTIOD_USAGES):
        reasons.append(Reason("UsagesNotAllowed", f"istiod's own certificate is for {', '.join(ISTIOD_USAGES)} only"))
    return reasons + check_cut(ISTIOD_USAGES, policy)


def check_workload(
    identity: SpiffeId,
    request: SigningRequest,
    usages: tuple[str, ...],
    policy: Policy | None,
    world: World,
    requester: str = "",
) -> list[Reason]:
    """Check a workload's request against the mesh and, where there is one, a policy.

    The trust domain is that of the revision whose istiod asks, unless the policy says others.
    """
    reasons = []
    own = world.domains.get(requester, world.config.trust_domains)
    domains = policy.trust_domains if policy is not None and policy.trust_domains else own
    if identity.trust_domain not in domains:
        reasons.append(_other_domain(identity.trust_domain, domains, policy, world, requester))
    if sorted(usages) != sorted(WORKLOAD_USAGES):
        reasons.append(Reason("UsagesNotAllowed", f"a workload's usages are {', '.join(WORKLOAD_USAGES)}"))
    reasons.extend(check_cut(WORKLOAD_USAGES, policy))
    if policy is not None and policy.service_accounts and identity.service_account not in policy.service_accounts:
        message = f"SignerPolicy {policy.name} does not name service account {identity.service_account}"
        reasons.append(Reason("ServiceAccountNotAllowed", message))
    reasons.extend(check_key(request, policy))
    return reasons


def _other_domain(asked: str, domains: frozenset[str], policy: Policy | None, world: World, requester: str) -> Reason:
    known = " or ".join(sorted(domains))
    if policy is not None and policy.trust_domains:
        message = (
            f"trust domain {asked} is not {known}: spec.trustDomains of SignerPolicy {policy.name} lists what may be"
        )
        return Reason("TrustDomainMismatch", message)
    revision = requester.rpartition(":istiod-")[2] if ":istiod-" in requester else ""
    name = f"istio-{revision}" if revision in world.config.revisions and revision else "istio"
    where = f"mesh.trustDomain of ConfigMap {world.settings.istio_namespace}/{name}"
    if not known:
        return Reason("TrustDomainMismatch", f"trust domain {asked} is not known: {where} cannot be read")
    message = (
        f"trust domain {asked} is not {known} ({where}). Where that was changed, restart istiod and then the Pods, or have an "
        "admin list both in spec.trustDomains of a SignerPolicy meanwhile; trustDomainAliases gives no certificates"
    )
    return Reason("TrustDomainMismatch", message)


def check_key(request: SigningRequest, policy: Policy | None) -> list[Reason]:
    """Check kind and size of the key."""
    key = request.public_key
    if isinstance(key, rsa.RSAPublicKey):
        algorithm, size = "RSA", key.key_size
    elif isinstance(key, ec.EllipticCurvePublicKey):
        algorithm, size = "ECDSA", key.curve.key_size
    else:
        algorithm, size = "Ed25519", 256
    rules = policy.keys if policy is not None and policy.keys else _WORKLOAD_KEYS
    if any(rule.algorithm == algorithm and rule.min_size <= size <= rule.max_size for rule in rules):
        return []
    names = ", ".join(map(_told, rules))
    # Who is told this is covered by the policy: its name is no news to others.
    by = f" (SignerPolicy {policy.name}, spec.keys)" if policy is not None and policy.keys else ""
    return [Reason("KeyNotAllowed", f"an {algorithm} key of {size} bits; accepted are {names}{by}")]


def _told(rule: KeyRule) -> str:
    """Name a kind of key with the sizes that are taken: smaller ones are refused when the request is read."""
    if rule.algorithm == "Ed25519":
        return rule.algorithm
    least, most = (MIN_RSA_BITS, MAX_RSA_BITS) if rule.algorithm == "RSA" else (256, 521)
    text = f"{rule.algorithm} from {max(rule.min_size, least)} bits"
    return f"{text} to {rule.max_size}" if rule.max_size < most else text


def check_names(request: SigningRequest, namespace: str, policy: Policy, world: World) -> list[Reason]:
    """Check the names of a request that no istiod made: SPIFFE IDs of the namespace, and the policy's DNS names."""
    reasons = []
    domains = policy.trust_domains or world.config.trust_domains
    strange: list[str] = []
    accounts: dict[str, None] = {}
    for uri in request.uris:
        identity = parse_spiffe_id(uri)
        if identity is None or identity.namespace != namespace or identity.trust_domain not in domains:
            strange.append(uri)
        elif policy.service_accounts and identity.service_account not in policy.service_accounts:
            accounts[identity.service_account] = None
    for uri in strange[:_MOST_TOLD]:
        more = f" ({len(strange)} such URIs)" if len(strange) > _MOST_TOLD else ""
        message = f"the URI {shown(uri)} is not a SPIFFE ID of namespace {namespace} in this mesh{more}"
        reasons.append(Reason("IdentityNotAllowed", message))
    for account in list(accounts)[:_MOST_TOLD]:
        message = f"SignerPolicy {policy.name} does not name service account {account}"
        reasons.append(Reason("ServiceAccountNotAllowed", message))
    reasons += _check_subject(request, policy)
    # A common name is a name too, for whoever still reads it.
    texts = [text for name in request.subject_names for kind, text in name if kind == COMMON_NAME]
    if unlisted := [name for name in (*request.dns_names, *texts) if not names_cover(policy.dns_names, name)]:
        listed = some(map(_named, unlisted), _MOST_TOLD)
        reasons.append(Reason("DNSNameNotAllowed", f"SignerPolicy {policy.name} does not allow {listed}"))
    if request.ip_addresses or request.email_addresses or request.other_names:
        message = "a certificate of a mesh CA names URIs and DNS names only, no addresses or other names"
        reasons.append(Reason("IdentityNotAllowed", message))
    return reasons


def _check_subject(request: SigningRequest, policy: Policy) -> list[Reason]:
    """Check what the subject has beside a common name: the API server, for one, takes an organization for a group."""
    own = policy.certificate_requests
    organizations = own.organizations if own is not None else frozenset[str]()
    beside = [(kind, text) for name in request.subject_names for kind, text in name if kind != COMMON_NAME]
    if foreign := [text for kind, text in beside if kind != _ORGANIZATION or text not in organizations]:
        message = (
            f"SignerPolicy {policy.name} does not allow {', '.join(map(shown, foreign[:5]))} in the subject; "
            "spec.certificateRequests.organizations lists what may stand there beside a common name"
        )
        return [Reason("SubjectNotAllowed", message)]
    return []


def check_usages(request: SigningRequest, usages: tuple[str, ...], policy: Policy, *, is_ca: bool) -> list[Reason]:
    """Check what a request that no istiod made may be used for: within the policy's usages, left out, a workload's.

    A CA, where the policy allows one, may sign. Anybody else's certificate names its extended usages: one without is
    good for all of them.
    """
    asked = {*map(_plain, usages or DEFAULT_USAGES), *request.unknown_extended_key_usages}
    allowed = set(map(_plain, policy.usages or WORKLOAD_USAGES))
    signs = set(_CA_USAGES) if is_ca and policy.allow_ca else set()
    if extra := sorted(asked - allowed - signs):
        message = f"SignerPolicy {policy.name} does not allow the usages {', '.join(extra)}"
        return [Reason("UsagesNotAllowed", message)]
    if not is_ca and asked.isdisjoint(EXTENDED_USAGES) and _ANY_USE not in allowed:
        message = "a certificate that names no extended usage is good for every use: ask for server auth, client auth"
        return [Reason("UsagesNotAllowed", f"{message} or both")]
    return []


def cut_usages(usages: tuple[str, ...], policy: Policy | None) -> tuple[str, ...]:
    """Leave of the usages of a workload or of istiod those that a policy allows."""
    if policy is None or not policy.usages:
        return usages
    allowed = set(map(_plain, policy.usages))
    return tuple(usage for usage in usages if usage in allowed)


def check_cut(usages: tuple[str, ...], policy: Policy | None) -> list[Reason]:
    """Check that a policy leaves an extended usage of these: a certificate without any would be good for every use."""
    left = cut_usages(usages, policy)
    if policy is None or not EXTENDED_USAGES.keys().isdisjoint(left):
        return []
    message = f"spec.usages of SignerPolicy {policy.name} leaves neither server auth nor client auth of what is asked"
    return [Reason("UsagesNotAllowed", message)]


def _plain(usage: str) -> str:
    """Return the one name of a usage that Kubernetes gives two."""
    return "digital signature" if usage == "signing" else usage


def names_cover(allowed: tuple[str, ...], name: str) -> bool:
    """Tell whether a DNS name is in a list, whose entries may begin with "*." for exactly one label."""
    _, _, parent = name.partition(".")
    return name in allowed or bool(parent and f"*.{parent}" in allowed and not name.startswith("*."))


def cut(asked: timedelta | None, most: timedelta) -> timedelta:
    """Cut a lifetime to the most that is allowed; nothing asked for gets the most."""
    return most if asked is None or asked > most else asked
