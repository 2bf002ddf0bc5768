"""SignerPolicy: what admins say about who may have which signer.

CEL also where a pattern would do: of a pattern the API server prints the pattern, of a rule a sentence. Each list and each
string has an end, so that its estimate of a rule's cost stays small.
"""

from collections.abc import Mapping

from manifests.generate.references import KEY_USAGES, conditions
from manifests.generate.schema import (
    LABEL_MESSAGE,
    SUBDOMAIN_MESSAGE,
    TOO_LONG_DURATION,
    WITHIN_DURATION,
    Rule,
    Schema,
    boolean,
    form,
    integer,
    list_of,
    record,
    string,
    string_map,
    string_set,
)
from signer.api.duration import NO_LONGER_UNIT

_NOT_OF_A_ROUTE = (
    "requesters",
    "trustDomains",
    "serviceAccounts",
    "dnsNames",
    "maxLifetime",
    "keys",
    "usages",
    "allowCA",
    "appendRoot",
    "rate",
    "certificateRequests",
)
LABEL_PREFIX = "mesh-signer.dev/"
LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
SIGNER_NAME = rf"^(clusterissuers\.cert-manager\.io/|issuers\.cert-manager\.io/{LABEL}\.){_SUBDOMAIN}$"
"""A full signer name that we serve; the longest is that of an Issuer: domain, label, dot, subdomain."""
MAX_SIGNER_NAME = len("issuers.cert-manager.io/") + 63 + 1 + 253
_QUALIFIED = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_FULL_NAME = "a full name is expected, as clusterissuers.cert-manager.io/foo, or issuers.cert-manager.io/NAMESPACE.NAME for an Issuer"
_WRITE_HOURS = f"a duration is expected, as 24h or 90m: {NO_LONGER_UNIT}"
_WORD = form(r"^\S+$", "a user name without white space is expected")
NAMESPACE = form(f"^{LABEL}$", f"a namespace is expected: {LABEL_MESSAGE}")
ACCOUNT = form(f"^{_SUBDOMAIN}$", f"a service account is expected: {SUBDOMAIN_MESSAGE}")
TRUST_DOMAIN = form(r"^[a-z0-9_-]+(\.[a-z0-9_-]+)*$", "a trust domain is expected, as cluster.local, without spiffe://")
_DURATION = r"^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$"


def limited_duration(text: str, *, limit: Rule, **limits: object) -> Schema:
    """A duration within a limit, which is only looked at where there is a duration."""
    bound, message = limit
    written = f"!self.matches(r'{_DURATION}')"
    within = f"self.matches('{WITHIN_DURATION}')"
    rules = [
        form(_DURATION, _WRITE_HOURS),
        (f"{written} || {within}", TOO_LONG_DURATION),
        (f"{written} || !{within} || ({bound})", message),
    ]
    return string(text, maxLength=32, rules=rules, **limits)


def namespaces(names: str, more: Mapping[str, Schema] | None = None) -> Schema:
    """Say which namespaces a policy covers; `names` describes those by name, `more` are further fields."""
    return record(
        "Which namespaces it covers: those named, and those that have all of these labels. Left out: none, that is, the"
        " signers are given to nobody but by other policies.",
        {
            "matchLabels": string_map(
                "Labels that a namespace must have, all of them, under mesh-signer.dev/ only: other labels may be its"
                " tenant's own to set.",
                maxProperties=16,
                rules=[
                    (
                        f"self.all(key, key.matches('^{LABEL_PREFIX.replace('.', '[.]')}{_QUALIFIED}$'))",
                        f"keys are labels under {LABEL_PREFIX} only; other labels may be the tenant's own to set",
                    ),
                ],
            )
            | {
                "additionalProperties": string(
                    maxLength=63,
                    rules=[
                        form(
                            f"^({_QUALIFIED})?$",
                            "a label's value is expected: letters, digits, '-', '_' and '.', at most 63",
                        )
                    ],
                )
            },
            "names": string_set(names, 1024, maxLength=63, each=[NAMESPACE]),
        }
        | dict(more or {}),
        rules=[
            (
                "(has(self.names) && self.names.size() > 0) || (has(self.matchLabels) && self.matchLabels.size() > 0)",
                "names or matchLabels is expected; leave namespaces out to mean none",
            )
        ],
    )


def _signer_namespaces() -> Schema:
    return namespaces(
        "Their names. Each is for the namespace that had it when the policy was first seen (status.namespaceUIDs), not"
        " for one that is made again under it.",
        {
            "remade": string(
                "What becomes of a namespace of names that was deleted and made again, maybe by somebody else. Refuse,"
                " also when unset: it waits for an admin (mesh-signer tenants readmit). Allow: it has what the earlier"
                " one had.",
                enum=["Refuse", "Allow"],
            ),
        },
    )


def _keys() -> Schema:
    size = {"format": "int32", "minimum": 1, "maximum": 16384}
    return list_of(
        "Kinds of keys that are accepted. Left out: RSA from 2048 and ECDSA from 256 bits.",
        record(
            "One kind.",
            {
                "algorithm": string("RSA, ECDSA or Ed25519.", enum=["RSA", "ECDSA", "Ed25519"]),
                "maxSize": integer("Largest size in bits.", **size),
                "minSize": integer("Smallest size in bits.", **size),
            },
            required=["algorithm"],
            rules=[
                (
                    "!has(self.minSize) || !has(self.maxSize) || self.minSize <= self.maxSize",
                    "minSize is not more than maxSize",
                ),
                (
                    "self.algorithm != 'Ed25519' || !(has(self.minSize) || has(self.maxSize))",
                    "an Ed25519 key has no sizes",
                ),
            ],
        ),
        maxItems=16,
    )


def _certificate_requests() -> Schema:
    return record(
        "That CertificateRequests are answered in the namespaces covered, within all limits of the policy, and what"
        " holds for them besides; {} opens them. Left out: none is answered.",
        {
            "organizations": string_set(
                "Organizations (O) that may stand in the subject. Left out: none. Beside them and a common name of"
                " dnsNames nothing may.",
                64,
                minLength=1,
                maxLength=64,
            ),
            "requesters": string_set(
                "User names that may make them, as the API server writes them down (component requester). Left out:"
                " those of the policy's requesters, and without those whoever may make one in a namespace covered.",
                64,
                minLength=1,
                maxLength=512,
                each=[_WORD],
            ),
        },
    )


def policy_spec() -> Schema:
    """Spec of a SignerPolicy."""
    return record(
        "Who may have certificates of these signers, and within which limits. What is left out sets no limit of its own"
        " unless it says otherwise.",
        {
            "allowCA": boolean("Whether a CertificateRequest may ask for a CA certificate; false when unset."),
            "appendRoot": boolean(
                "Whether the CA's own certificate is added to the chain. For Istio it is not: istiod adds the root of"
                " meshConfig.caCertificates."
            ),
            "certificateRequests": _certificate_requests(),
            "dnsNames": string_set(
                'DNS names that a Certificate or CertificateRequest may ask for; an entry may begin with "*." for one'
                " label. Left out: none. A workload of the mesh has none, whatever stands here.",
                256,
                maxLength=255,
                each=[
                    form(rf"^(\*\.)?{_SUBDOMAIN}$", 'a DNS name in lower case is expected, which may begin with "*."')
                ],
            ),
            "keys": _keys(),
            "maxLifetime": limited_duration(
                "Longest lifetime, as 24h or 90m, at least 1m; what asks for more gets this much. Left out:"
                " --max-workload-lifetime, 24h.",
                limit=("duration(self) >= duration('1m')", "maxLifetime is at least 1m"),
            ),
            "namespaces": _signer_namespaces(),
            "rate": record(
                "How many certificates one namespace may have of one signer in a period.",
                {
                    "certificates": integer("How many.", format="int32", minimum=1, maximum=1000000),
                    "per": limited_duration(
                        "The period, 1s to 24h; 1m when unset.",
                        default="1m",
                        limit=(
                            "duration(self) >= duration('1s') && duration(self) <= duration('24h')",
                            "per is 1s to 24h",
                        ),
                    ),
                },
                required=["certificates"],
            ),
            "requesters": string_set(
                "User names that may ask, as system:serviceaccount:istio-system:istiod. Left out: istiod; for"
                " CertificateRequests see certificateRequests.requesters.",
                64,
                minLength=1,
                maxLength=512,
                each=[_WORD],
            ),
            "route": string(
                "Whose CA signs what is asked of these signers. Identity: that of the namespace in the SPIFFE ID of the"
                " request (the signer that it claims, or that another policy gives it), and the answer ends with the root"
                " of that CA. Such a policy has signers and namespaces only; without namespaces it is about all of them, as"
                " it gives nobody anything, and there need be no issuer of these names. Left out: the signers' own CAs.",
                enum=["Identity"],
            ),
            "serviceAccounts": string_set(
                "Names of the service accounts, in the namespaces covered, whose workloads may have a certificate."
                " Left out: all.",
                256,
                maxLength=253,
                each=[ACCOUNT],
            ),
            "signers": string_set(
                "The signers that this is about, as clusterissuers.cert-manager.io/foo. From now on policies alone decide"
                " about them: ProxyConfigs and SignerBindings count no more.",
                256,
                maxLength=MAX_SIGNER_NAME,
                each=[form(SIGNER_NAME, _FULL_NAME)],
            )
            | {"minItems": 1},
            "trustDomains": string_set(
                "Trust domains that may stand in SPIFFE IDs. Left out: those of the mesh config.",
                64,
                maxLength=255,
                each=[TRUST_DOMAIN],
            ),
            "usages": list_of(
                "Usages that a certificate may have. Left out: digital signature, key encipherment, server auth and"
                " client auth.",
                {"type": "string", "enum": list(KEY_USAGES)},
                maxItems=len(KEY_USAGES),
            )
            | {"x-kubernetes-list-type": "set"},
        },
        required=["signers"],
        rules=[
            (
                f"!has(self.route) || !({' || '.join(f'has(self.{name})' for name in _NOT_OF_A_ROUTE)})",
                (
                    "a policy with route has signers and namespaces only: limits are for the policy of the signer that signs"
                ),
            ),
            (
                "!has(self.route) || self.signers.all(signer, signer.startsWith('clusterissuers.cert-manager.io/'))",
                "what is routed by identity has a ClusterIssuer's name, as clusterissuers.cert-manager.io/mesh",
            ),
            (
                "!(has(self.rate) && has(self.certificateRequests))",
                (
                    "CertificateRequests are not counted: a policy has a rate or certificateRequests; write a second policy"
                    " for one of them"
                ),
            ),
        ],
    )


def policy_status() -> Schema:
    """Status of a SignerPolicy."""
    return record(
        "What came of it; written by mesh-signer.",
        {
            "conditions": conditions(
                "Ready: it can be read, its signers exist, and all of it holds. Conflict: another policy says otherwise about the same"
                " signer and namespace.",
                "Ready, Conflict",
            )
            | {"maxItems": 8},
            "issued": integer(
                "Certificates issued by it since it was made. What a signer counted in the last half minute before it"
                " ended may be missing.",
                format="int64",
            ),
            "namespaceCount": integer("How many namespaces it covers.", format="int32"),
            "namespaceUIDs": string_map(
                "Which namespace each of spec.namespaces.names was first given to, by uid. Grants rest on it: a namespace"
                " of another uid has nothing by its name.",
                maxProperties=1024,
            )
            | {"additionalProperties": {"type": "string", "maxLength": 128}},
            "namespaces": list_of("The first of them by name.", {"type": "string", "maxLength": 63}, maxItems=16),
            "refused": integer(
                "Requests for its signers that were refused since it was made, as far as issued counts them.",
                format="int64",
            ),
        },
    )
