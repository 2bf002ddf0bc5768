"""Certificate: a key and certificate kept valid in a Secret."""

from manifests.generate.references import conditions, issuer_reference, secret_key, usages
from manifests.generate.schema import (
    DNS_SUBDOMAIN,
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
    strings,
)
from signer.api.duration import NO_LONGER_UNIT

_SUBJECT_LISTS = {
    "countries": "Countries (C), two letters each.",
    "localities": "Localities (L).",
    "organizationalUnits": "Organizational units (OU).",
    "organizations": "Organizations (O).",
    "postalCodes": "Postal codes.",
    "provinces": "States or provinces (ST).",
    "streetAddresses": "Street addresses.",
}

_LONGEST_DURATION = 128
# What CEL's duration() takes, which is Go's: where a text is none, its own rule says so, and no other.
_GO_DURATION = r"^[+-]?(0|(([0-9]+([.][0-9]*)?|[.][0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$"
# Of those, the ones that it can reckon with.
_READ_BEFORE = f"self.renewBefore.matches('{_GO_DURATION}') && self.renewBefore.matches('{WITHIN_DURATION}')"
_READ_DURATION = f"self.duration.matches('{_GO_DURATION}') && self.duration.matches('{WITHIN_DURATION}')"
_DURATION = f"has(self.duration) && {_READ_DURATION} ? duration(self.duration) : duration('2160h')"
_WRITTEN: tuple[Rule, ...] = (
    (
        f"self.matches('{_GO_DURATION}')",
        f"is not a duration: write hours, minutes and seconds, as 2160h or 1h30m; {NO_LONGER_UNIT}",
    ),
    (f"!self.matches('{_GO_DURATION}') || self.matches('{WITHIN_DURATION}')", TOO_LONG_DURATION),
)

_SPEC_RULES: tuple[Rule, ...] = (
    (
        "(has(self.commonName) && self.commonName != '') || (has(self.literalSubject) && self.literalSubject != '')"
        + "".join(
            f" || (has(self.{name}) && self.{name}.size() > 0)"
            for name in ("dnsNames", "emailAddresses", "ipAddresses", "otherNames", "uris")
        ),
        "at least one name is expected: commonName, dnsNames, emailAddresses, ipAddresses, otherNames or uris",
    ),
    (
        "!(has(self.literalSubject) && self.literalSubject != '') || !(has(self.commonName) && self.commonName != '')",
        "literalSubject and commonName cannot both be set",
    ),
    (
        "!(has(self.literalSubject) && self.literalSubject != '') || !has(self.subject) || !("
        + " || ".join(f"(has(self.subject.{name}) && self.subject.{name}.size() > 0)" for name in _SUBJECT_LISTS)
        + " || (has(self.subject.serialNumber) && self.subject.serialNumber != ''))",
        "literalSubject and subject cannot both be set",
    ),
    (
        f"!has(self.duration) || !({_READ_DURATION}) || duration(self.duration) >= duration('1h')",
        "duration is at least 1h",
    ),
    (
        f"!has(self.renewBefore) || !({_READ_BEFORE}) || duration(self.renewBefore) >= duration('5m')",
        "renewBefore is at least 5m",
    ),
    (
        f"!has(self.renewBefore) || !({_READ_BEFORE}) || duration(self.renewBefore) < ({_DURATION})",
        "renewBefore is less than duration (2160h when unset)",
    ),
    (
        "!(has(self.renewBefore) && has(self.renewBeforePercentage))",
        "renewBefore and renewBeforePercentage cannot both be set",
    ),
    (
        # Milliseconds, one added: what cert-manager computes in nanoseconds is never refused here for rounding.
        (
            f"!(has(self.duration) && {_READ_DURATION} && has(self.renewBeforePercentage))"
            " || (self.renewBeforePercentage > 0"
            " && self.renewBeforePercentage < 100 && (duration(self.duration).getMilliseconds() + 1)"
            " * (100 - self.renewBeforePercentage) >= 30000000)"
        ),
        "renewBeforePercentage is 1 to 99 and leaves at least 5m before the end of duration",
    ),
    (
        (
            "!has(self.signatureAlgorithm) || (has(self.privateKey) && has(self.privateKey.algorithm)"
            " ? (self.privateKey.algorithm == 'ECDSA' ? self.signatureAlgorithm.startsWith('ECDSA')"
            " : self.privateKey.algorithm == 'Ed25519' ? self.signatureAlgorithm == 'PureEd25519'"
            " : self.signatureAlgorithm.endsWith('WithRSA')) : self.signatureAlgorithm.endsWith('WithRSA'))"
        ),
        "signatureAlgorithm does not fit privateKey.algorithm (RSA when unset)",
    ),
    (
        "!has(self.nameConstraints) || (has(self.isCA) && self.isCA)",
        "nameConstraints needs isCA: true",
    ),
)


def _keystore(text: str, *, extra: dict[str, Schema]) -> Schema:
    return record(
        text,
        {
            "create": boolean("Whether to write it."),
            "password": string("Password of the keystore, in clear text.", minLength=1),
            "passwordSecretRef": secret_key("Secret with the password."),
            **extra,
        },
        required=["create"],
        rules=[
            (
                "has(self.password) != (has(self.passwordSecretRef) && self.passwordSecretRef.name != '')",
                "either password or passwordSecretRef is expected",
            ),
        ],
    )


def _name_constraints() -> Schema:
    def names(text: str) -> Schema:
        return record(
            text,
            {
                "dnsDomains": strings("DNS domains; a leading dot means subdomains only."),
                "emailAddresses": strings("Mailboxes, hosts, or domains with a leading dot."),
                "ipRanges": strings("Address ranges as CIDR."),
                "uriDomains": strings("Hosts of URIs, or domains with a leading dot."),
            },
        )

    return record(
        "Names that the CA may certify at all (RFC 5280 4.2.1.10). For a CA only.",
        {
            "critical": boolean("Clients that do not know the extension must refuse."),
            "excluded": names("Never these, even if permitted."),
            "permitted": names("Only these."),
        },
        rules=[("has(self.permitted) || has(self.excluded)", "either permitted or excluded is expected")],
    )


def _private_key() -> Schema:
    return record(
        "The certificate's key.",
        {
            "algorithm": string("RSA when unset.", enum=["RSA", "ECDSA", "Ed25519"]),
            "encoding": string("PKCS1 (or SEC 1 for ECDSA) when unset, or PKCS8.", enum=["PKCS1", "PKCS8"]),
            "rotationPolicy": string(
                "Whether each issuance takes a new key. Always when unset; for a CA (isCA) Never when unset, so that"
                " what it signed before still verifies.",
                enum=["Never", "Always"],
            ),
            "size": integer("Bits: RSA 2048 (when unset) to 8192, ECDSA 256 (when unset), 384 or 521."),
        },
        rules=[
            (
                (
                    "!has(self.size) || self.size <= 0 || (has(self.algorithm) && self.algorithm != 'RSA')"
                    " || (self.size >= 2048 && self.size <= 8192)"
                ),
                "size of an RSA key is 2048 to 8192",
            ),
            (
                (
                    "!has(self.size) || self.size <= 0 || !has(self.algorithm) || self.algorithm != 'ECDSA'"
                    " || self.size in [256, 384, 521]"
                ),
                "size of an ECDSA key is 256, 384 or 521",
            ),
        ],
    )


def _secret_template() -> Schema:
    return record(
        "Labels and annotations of the Secret; taken away again when they are removed here.",
        {
            "annotations": string_map(
                "Annotations to add.",
                # The API server allows 256 KiB of annotations, each key at least one character.
                maxProperties=262144,
                rules=[
                    (
                        "self.all(key, !key.startsWith('cert-manager.io/') || key == 'cert-manager.io/allow-direct-injection')",
                        "annotations under cert-manager.io/ are the controller's own",
                    ),
                ],
            ),
            "labels": string_map("Labels to add."),
        },
    )


def _other_names() -> Schema:
    return list_of(
        "Names of other kinds (otherName), as UTF8String.",
        record(
            "One otherName.",
            {
                "oid": string("Its object identifier, in dots.", pattern=r"^[+-]?[0-9]+(\.[+-]?[0-9]+)*$"),
                "utf8Value": string("Its value.", minLength=1),
            },
            rules=[("has(self.oid) && has(self.utf8Value)", "oid and utf8Value are expected")],
        ),
    )


def certificate_spec() -> Schema:
    """Spec of a Certificate."""
    fields: dict[str, Schema] = {
        "additionalOutputFormats": list_of(
            "More forms of key and certificate in the Secret.",
            record(
                "One form.",
                {
                    "type": string(
                        "DER: the key as key.der. CombinedPEM: key and certificates as tls-combined.pem.",
                        enum=["DER", "CombinedPEM"],
                    ),
                },
                required=["type"],
            ),
            maxItems=2,
            rules=[("self.size() < 2 || self[0].type != self[1].type", "each type once")],
        ),
        "commonName": string("Common name of the subject, at most 64 characters.", maxLength=64),
        "dnsNames": strings("DNS names."),
        "duration": string(
            "Lifetime to ask for, as 24h or 90m; 2160h (90 days) when unset, at least 1h.",
            maxLength=_LONGEST_DURATION,
            rules=_WRITTEN,
        ),
        "emailAddresses": strings("Mail addresses.", pattern=r"^.+@.+$"),
        "encodeUsagesInRequest": boolean("Whether the request carries the usages; true when unset."),
        "ipAddresses": strings("IP addresses.", pattern=r"^[0-9A-Fa-f:.]{2,45}$"),
        "isCA": boolean("Make a CA: it may sign certificates itself. Adds the usage cert sign."),
        "issuerRef": issuer_reference("Who signs."),
        "keystores": record(
            "Java and PKCS #12 keystores in the Secret, with the same key; made anew when a password changes.",
            {
                "jks": _keystore(
                    "keystore.jks and truststore.jks.",
                    extra={"alias": string("Name of the key in the keystore; certificate when unset.")},
                ),
                "pkcs12": _keystore(
                    "keystore.p12 and truststore.p12.",
                    extra={
                        "profile": string(
                            "Algorithms of the keystore: Triple DES and SHA-1 when unset, and for both Legacy profiles;"
                            " AES-256 and SHA-256 for Modern2023.",
                            enum=["LegacyRC2", "LegacyDES", "Modern2023"],
                        ),
                    },
                ),
            },
        ),
        "literalSubject": string(
            "Whole subject as text (RFC 4514), as CN=foo,OU=bar,O=baz; instead of commonName and subject."
        ),
        "nameConstraints": _name_constraints(),
        "otherNames": _other_names(),
        "privateKey": _private_key(),
        "renewBefore": string(
            "How long before its end the certificate is renewed; a third of its lifetime when unset.",
            maxLength=_LONGEST_DURATION,
            rules=_WRITTEN,
        ),
        "renewBeforePercentage": integer(
            "The same as a share: renewed when this percentage of the lifetime is left. 1 to 99.", format="int32"
        ),
        "revisionHistoryLimit": integer(
            "How many CertificateRequests are kept; 1 when unset.", format="int32", minimum=1
        ),
        "secretName": string(
            "Secret that receives tls.crt, tls.key and ca.crt.",
            minLength=1,
            maxLength=253,
            rules=[form(DNS_SUBDOMAIN, f"a Secret is expected: {SUBDOMAIN_MESSAGE}")],
        ),
        "secretTemplate": _secret_template(),
        "signatureAlgorithm": string(
            "How the request is signed, and a self-signed certificate with it.",
            enum=[
                "SHA256WithRSA",
                "SHA384WithRSA",
                "SHA512WithRSA",
                "ECDSAWithSHA256",
                "ECDSAWithSHA384",
                "ECDSAWithSHA512",
                "PureEd25519",
            ],
        ),
        "subject": record(
            "Subject, except for the common name.",
            {
                **{name: strings(text) for name, text in _SUBJECT_LISTS.items()},
                "serialNumber": string("Serial number of the subject (not of the certificate)."),
            },
        ),
        "uris": strings("URIs, as a SPIFFE ID."),
        "usages": usages("What the key may be used for; digital signature and key encipherment when unset."),
    }
    return record("What is wanted.", fields, required=["issuerRef", "secretName"], rules=_SPEC_RULES)


def certificate_status() -> Schema:
    """Status of a Certificate."""
    return record(
        "What there is; written by the controller.",
        {
            "conditions": conditions(
                "Ready: the Secret holds what spec wants. Issuing: a new certificate is under way.", "Ready, Issuing"
            ),
            "failedIssuanceAttempts": integer(
                "Failures in a row; the next attempt waits 1h, doubled with each one, 32h at most."
            ),
            "lastFailureTime": string("When the last attempt failed; absent after a success.", format="date-time"),
            "nextPrivateKeySecretName": string("Secret with the key of the certificate under way."),
            "notAfter": string("End of the certificate in the Secret.", format="date-time"),
            "notBefore": string("Start of the certificate in the Secret.", format="date-time"),
            "renewalTime": string("When it will be renewed.", format="date-time"),
            "revision": integer("Number of the certificate in the Secret, counted up with each issuance."),
        },
    )
