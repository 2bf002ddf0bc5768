"""What a SignerPolicy says, checked as a whole. Pure.

The CRD's schema refuses most of what is wrong here at `kubectl apply`; an older schema, or one that somebody changed,
must not make a grant out of a mistake, so all of it is checked again.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Literal, cast

from issuers.x509.keys import MAX_RSA_BITS, MIN_RSA_BITS
from issuers.x509.usages import EXTENDED_USAGES, KEY_USAGES
from signer.api.duration import NO_LONGER_UNIT, InvalidDuration, parse_duration
from signer.api.names import (
    is_dns_pattern,
    is_label,
    is_label_key,
    is_label_value,
    is_subdomain,
    is_trust_domain,
    user_problem,
)
from signer.api.signerpolicy import PolicyKey, SignerNamespaces, SignerPolicy, SignerPolicySpec
from signer.api.text import capped, shown, some
from signer.tenancy.claims import read_signer_name
from signer.tenancy.verdict import Reason
from signer.tenancy.world import LABEL_PREFIX, KeyRule, Namespace, Policy, Rate, RequestRules

MIN_LIFETIME = timedelta(minutes=1)
MIN_RATE_PERIOD = timedelta(seconds=1)
MAX_RATE_PERIOD = timedelta(hours=24)
_USAGES = frozenset((*KEY_USAGES, *EXTENDED_USAGES, "signing"))
_PROXY_USAGES = ("server auth", "client auth")
_CURVES = (256, 384, 521)
_ALGORITHMS = ("RSA", "ECDSA", "Ed25519")
_REMADE = ("Refuse", "Allow")
_ROUTES = ("Identity",)
# RFC 5280, appendix A: ub-organization-name.
_LONGEST_ORGANIZATION = 64
_ANY_SIZE = KeyRule("RSA")


def read_policy(obj: SignerPolicy) -> Policy:
    """Read a SignerPolicy; never raises.

    With a `problem`, which names each wrong field, only the signers that could be read are kept: the policy grants
    nothing, and still speaks about them.
    """
    signers = frozenset(ref for ref in map(read_signer_name, obj.named_signers) if ref is not None)
    problems = [obj.problem] if obj.problem else list(_problems(obj.spec))
    if problems:
        return Policy(obj.metadata.name, signers, problem="; ".join(capped(problems)))
    spec, uids = obj.spec, obj.status.namespace_uids
    names = frozenset(spec.namespaces.names if spec.namespaces else ())
    own = spec.certificate_requests
    return Policy(
        name=obj.metadata.name,
        signers=signers,
        namespaces=names,
        namespace_labels=dict(spec.namespaces.match_labels if spec.namespaces else {}),
        requesters=frozenset(spec.requesters),
        trust_domains=frozenset(spec.trust_domains),
        service_accounts=frozenset(spec.service_accounts),
        dns_names=spec.dns_names,
        max_lifetime=parse_duration(spec.max_lifetime) if spec.max_lifetime is not None else None,
        keys=tuple(map(_key_rule, spec.keys)),
        usages=frozenset(spec.usages),
        allow_ca=spec.allow_ca,
        append_root=spec.append_root,
        route="" if spec.route is None else "Identity",
        rate=Rate(spec.rate.certificates, parse_duration(spec.rate.per)) if spec.rate is not None else None,
        certificate_requests=(
            RequestRules(frozenset(own.requesters), frozenset(own.organizations)) if own is not None else None
        ),
        remade_allowed=spec.namespaces is not None and spec.namespaces.remade == "Allow",
        namespace_uids={name: uids[name] for name in names if uids.get(name)},
    )


def remarks(policy: Policy) -> tuple[str, ...]:
    """Tell what a policy that can be read says and is seldom meant: limits that take more than they seem to, or nothing."""
    found = []
    if policy.certificate_requests is None and policy.usages:
        for usage, what in (
            ("client auth", "proxies with its certificates cannot call others by mTLS"),
            ("server auth", "proxies with its certificates cannot be called by mTLS"),
        ):
            if usage not in policy.usages:
                found.append(f"spec.usages lacks {usage}: {what}")
        if policy.usages.isdisjoint({"digital signature", "signing"}):
            found.append("spec.usages lacks digital signature: some verifiers do not accept such a certificate for TLS")
    if policy.certificate_requests is None and policy.allow_ca:
        found.append("spec.allowCA is for CertificateRequests alone, and spec.certificateRequests is not there")
    return tuple(found)


def shut_out(policy: Policy, trust_domains: frozenset[str], istiods: frozenset[str]) -> tuple[Reason, ...]:
    """Tell the limits by which no workload of this mesh gets anything from a policy, each with the code that it is answered.

    `trust_domains` are those of the mesh's revisions, `istiods` the users that ask for workloads; none is not known. What a
    policy says for CertificateRequests may be meant for others than workloads.
    """
    if policy.problem or policy.certificate_requests is not None:
        return ()
    found = []
    if policy.trust_domains and trust_domains and policy.trust_domains.isdisjoint(trust_domains):
        text = f"spec.trustDomains lists {some(sorted(policy.trust_domains))}, and the mesh has {some(sorted(trust_domains))}"
        found.append(Reason("TrustDomainMismatch", f"{text}: its workloads get nothing by this policy"))
    if policy.requesters and istiods and policy.requesters.isdisjoint(istiods):
        text = f"spec.requesters does not list {some(sorted(istiods))}, which asks for workloads"
        found.append(Reason("RequesterNotAllowed", f"{text}: they get nothing by this policy"))
    return tuple(found)


def to_record(obj: SignerPolicy, namespaces: Mapping[str, Namespace]) -> dict[str, str | None]:
    """Tell what a policy's status.namespaceUIDs lacks: the uid of each name that is there now, None for one named no more.

    What is recorded stays as it is, whoever has the name by now. Nothing is recorded for a policy that cannot be read.
    """
    named = obj.spec.namespaces.names if obj.spec.namespaces is not None else ()
    found = missing_uids(
        named, obj.status.namespace_uids, lambda name: there.uid if (there := namespaces.get(name)) else ""
    )
    return found if found and not read_policy(obj).problem else {}


def missing_uids(
    named: Iterable[str], stored: Mapping[str, str], uid_of: Callable[[str], str]
) -> dict[str, str | None]:
    """Tell what a record of the uids of the namespaces that a policy names lacks, None for one that it names no more.

    `uid_of` gives the uid that a namespace has now, "" where there is none. What is stored stays, whoever has the name by now.
    """
    names = frozenset(named)
    found: dict[str, str | None] = {name: None for name in stored if name not in names}
    return found | {name: uid for name in names if not stored.get(name) and (uid := uid_of(name))}


def is_recorded(obj: SignerPolicy) -> bool:
    """Tell whether a policy's record has all names, whatever namespaces come and go."""
    names = obj.spec.namespaces.names if obj.spec.namespaces is not None else ()
    return set(names) == obj.status.namespace_uids.keys()


def _key_rule(key: PolicyKey) -> KeyRule:
    return KeyRule(
        cast(Literal["RSA", "ECDSA", "Ed25519"], key.algorithm),
        key.min_size if key.min_size is not None else _ANY_SIZE.min_size,
        key.max_size if key.max_size is not None else _ANY_SIZE.max_size,
    )


def _problems(spec: SignerPolicySpec) -> Iterator[str]:
    if not spec.signers:
        yield "spec.signers: at least one signer is expected"
    yield from _each(
        "signers", spec.signers, _is_signer, "a signer name of ours, such as clusterissuers.cert-manager.io/foo"
    )
    if spec.route is not None:
        yield from _of_route(spec)
    own = spec.certificate_requests
    # Those who ask as istiod does are programs; where no others are named, people make CertificateRequests by them too.
    people = own is not None and not own.requesters
    yield from _users("requesters", spec.requesters, people=people)
    yield from _each("trustDomains", spec.trust_domains, is_trust_domain, "a trust domain")
    if spec.namespaces is not None:
        yield from _of_namespaces(spec.namespaces)
    yield from _each("serviceAccounts", spec.service_accounts, is_subdomain, "a service account's name")
    yield from _each("dnsNames", spec.dns_names, is_dns_pattern, 'a DNS name in lower case, or "*." and one')
    if spec.max_lifetime is not None:
        yield from _duration("maxLifetime", spec.max_lifetime, MIN_LIFETIME, timedelta.max)
    for index, rule in enumerate(spec.keys):
        yield from _key(f"spec.keys[{index}]", rule)
    yield from _each("usages", spec.usages, _USAGES.__contains__, "a usage")
    if spec.usages and _USAGES.issuperset(spec.usages):
        yield from _of_usages(spec)
    if spec.rate is not None:
        if spec.rate.certificates < 1:
            yield "spec.rate.certificates: must be 1 or more"
        yield from _duration("rate.per", spec.rate.per, MIN_RATE_PERIOD, MAX_RATE_PERIOD)
    if own is not None:
        yield from _users("certificateRequests.requesters", own.requesters, people=True)
        yield from _each("certificateRequests.organizations", own.organizations, _is_organization, "an organization")
        if spec.rate is not None:
            yield (
                "spec.rate: CertificateRequests are not counted, so a policy has a rate or certificateRequests; "
                "write a second policy for one of them"
            )


def _of_route(spec: SignerPolicySpec) -> Iterator[str]:
    """A route has no limits of its own: those of the policy that gives a namespace its signer hold for what it leads to."""
    text = spec.route or ""
    if text not in _ROUTES:
        yield f"spec.route: {shown(text)} is not {' or '.join(_ROUTES)}"
    for index, signer in enumerate(spec.signers):
        ref = read_signer_name(signer)
        if ref is not None and ref.kind != "ClusterIssuer":
            yield f"spec.signers[{index}]: {shown(signer)} is an Issuer's, and what many namespaces ask for has a ClusterIssuer's name"
    others = {
        "requesters": spec.requesters,
        "trustDomains": spec.trust_domains,
        "serviceAccounts": spec.service_accounts,
        "dnsNames": spec.dns_names,
        "maxLifetime": spec.max_lifetime is not None,
        "keys": spec.keys,
        "usages": spec.usages,
        "allowCA": spec.allow_ca,
        "appendRoot": spec.append_root,
        "rate": spec.rate is not None,
        "certificateRequests": spec.certificate_requests is not None,
    }
    for name in (name for name, there in others.items() if there):
        yield f"spec.{name}: a policy with route has signers and namespaces only; limits are for the policy of the signer that signs"


def _of_namespaces(namespaces: SignerNamespaces) -> Iterator[str]:
    if not namespaces.names and not namespaces.match_labels:
        yield "spec.namespaces: names or matchLabels is expected; leave namespaces out to mean none"
    yield from _each("namespaces.names", namespaces.names, is_label, "a namespace's name")
    if namespaces.remade not in _REMADE:
        yield f"spec.namespaces.remade: {shown(namespaces.remade)} is not {' or '.join(_REMADE)}"
    for key, value in namespaces.match_labels.items():
        if not is_label_key(key, LABEL_PREFIX):
            yield (
                f"spec.namespaces.matchLabels: {shown(key)} is not a label under {LABEL_PREFIX}; "
                "others may be the tenant's own"
            )
        if not is_label_value(value):
            yield f"spec.namespaces.matchLabels: {shown(value)} is not a valid label value"


def _each(field: str, values: Iterable[str], good: Callable[[str], bool], what: str) -> Iterator[str]:
    for index, value in enumerate(values):
        if not good(value):
            yield f"spec.{field}[{index}]: {shown(value)} is not {what}"


def _is_signer(value: str) -> bool:
    return read_signer_name(value) is not None


def _users(field: str, values: Iterable[str], *, people: bool) -> Iterator[str]:
    for index, value in enumerate(values):
        if problem := user_problem(value, people=people):
            yield f"spec.{field}[{index}]: {shown(value)} {problem}"


def _of_usages(spec: SignerPolicySpec) -> Iterator[str]:
    """Usages by which nothing would be issued: no certificate is without an extended one (rules.py)."""
    given = set(spec.usages)
    if given.isdisjoint(_PROXY_USAGES) and spec.certificate_requests is None:
        yield "spec.usages: has neither server auth nor client auth, so no workload gets anything from it"
    elif given.isdisjoint(EXTENDED_USAGES) and not spec.allow_ca:
        yield "spec.usages: has no extended usage such as server auth, and nothing is issued without one"


def _is_organization(value: str) -> bool:
    return bool(value.strip()) and value.isprintable() and len(value) <= _LONGEST_ORGANIZATION


def _duration(field: str, text: str, least: timedelta, most: timedelta) -> Iterator[str]:
    try:
        found = parse_duration(text)
    except InvalidDuration:
        yield f"spec.{field}: {shown(text)} is not a duration such as 24h or 90m: {NO_LONGER_UNIT}"
        return
    if found < least:
        yield f"spec.{field}: {shown(text)} is less than {least}"
    if found > most:
        yield f"spec.{field}: {shown(text)} is more than {most}"


def _key(field: str, key: PolicyKey) -> Iterator[str]:
    if key.algorithm not in _ALGORITHMS:
        yield f"{field}.algorithm: {shown(key.algorithm)} is not {', '.join(_ALGORITHMS[:-1])} or {_ALGORITHMS[-1]}"
    sizes = [size for size in (key.min_size, key.max_size) if size is not None]
    if key.algorithm == "Ed25519" and sizes:
        yield f"{field}: an Ed25519 key has no sizes"
    if any(size < 1 for size in sizes):
        yield f"{field}: sizes are 1 or more"
        return
    if len(sizes) == 2 and sizes[0] > sizes[1]:
        yield f"{field}: minSize {sizes[0]} is more than maxSize {sizes[1]}"
        return
    least, most = key.min_size or 0, key.max_size if key.max_size is not None else _ANY_SIZE.max_size
    if key.algorithm == "ECDSA" and not any(least <= size <= most for size in _CURVES):
        yield f"{field}: no ECDSA key has such a size: there are {', '.join(map(str, _CURVES))}"
    if key.algorithm == "RSA" and (most < MIN_RSA_BITS or least > MAX_RSA_BITS):
        yield f"{field}: no RSA key of such a size is accepted: {MIN_RSA_BITS} to {MAX_RSA_BITS} bits are"
