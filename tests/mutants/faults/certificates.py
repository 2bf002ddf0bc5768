"""The slow controllers' pure parts: when a CA or server certificate is made anew, and over what."""

from tests.mutants.mutant import Mutant

RENEWAL = "signer/certificates/renewal.py"
MATCHING = "signer/certificates/spec/matching.py"
POLICIES = "signer/certificates/policies.py"
OWNERSHIP = "signer/certificates/secrets/ownership.py"
SIGNING = "signer/certificates/requests/signing.py"
SIGNER_RBAC = "manifests/base/rbac-signer.yaml"

SPECS = ("tests/unit/certificates",)
UNDONE = "signer/observe/undone.py"
ISSUED_FOR = "signer/certificates/secrets/issued_for.py"
TRUST = "signer/certificates/secrets/trust.py"
CONTESTS = ("tests/unit/observe/test_undone.py",)
MARKS = ("tests/unit/certificates/secrets/test_issued_for.py",)
VAIN = ("tests/unit/certificates/test_in_vain.py",)

MUTANTS = (
    Mutant(
        "a renewBefore longer than the life is kept: renewal without end",
        "signer/api/renew_before.py",
        "    if renew_before is not None and timedelta(0) < renew_before < lifetime:\n",
        "    if renew_before is not None and timedelta(0) < renew_before:\n",
        SPECS,
    ),
    Mutant(
        "a failed issuance is tried again at once",
        RENEWAL,
        "    return max(failed_at + backoff(certificate, attempts, now) - now, timedelta(0))\n",
        "    return max(failed_at - now, timedelta(0))\n",
        SPECS,
    ),
    Mutant(
        "an owner may be in another namespace",
        "signer/api/meta.py",
        '            and owner.namespace in ("", self.namespace)\n',
        "",
        ("tests/unit/api/test_meta.py",),
    ),
    Mutant(
        "a certificate is renewed only after its end",
        POLICIES,
        "    if facts.now < due:\n",
        "    if facts.now < view.leaf.not_valid_after_utc:\n",
        SPECS,
    ),
    Mutant(
        "a Secret with another's key is left as it is",
        POLICIES,
        "    if view.leaf_spki != view.key.spki:\n",
        "    if view.leaf_spki is None:\n",
        SPECS,
    ),
    Mutant(
        "a change of isCA makes no new certificate",
        MATCHING,
        "    if asked.is_ca != spec.is_ca:\n",
        "    if asked.is_ca is None:\n",
        SPECS,
    ),
    Mutant(
        "the order of names makes a new certificate",
        MATCHING,
        "    if sorted(uris) != sorted(spec.uris):\n",
        "    if list(uris) != list(spec.uris):\n",
        ("tests/unit/certificates/spec/test_matching.py",),
    ),
    Mutant(
        "a new password leaves the old keystore",
        "signer/certificates/secrets/keystores.py",
        '        (passwords.pkcs12 or "").encode(),\n',
        "",
        SPECS,
    ),
    Mutant(
        "a neighbour's second Certificate takes the Secret from its owner",
        OWNERSHIP,
        "        return str(noted)\n",
        "        pass\n",
        SPECS,
    ),
    Mutant(
        "a token's Secret is filled as an empty one",
        OWNERSHIP,
        "    if secret.type != OPAQUE_TYPE:\n",
        "    if secret.type == TLS_TYPE:\n",
        SPECS,
    ),
    Mutant(
        "the parts of a literal subject are written as they stand, not the last first",
        "issuers/x509/literal_subject.py",
        "    return tuple(reversed(names))\n",
        "    return tuple(names)\n",
        ("tests/unit/issuers/test_compose.py",),
    ),
    Mutant(
        "a CA's key changes at its renewal",
        OWNERSHIP,
        '    return policy == "Never" or (policy == "" and certificate.spec.is_ca)\n',
        '    return policy == "Never"\n',
        SPECS,
    ),
    Mutant(
        "somebody else's Secret is overwritten",
        OWNERSHIP,
        "    if secret.data.get(TLS_CERT) or (secret.data.get(TLS_KEY) and not keeps_key(certificate)):\n",
        "    if secret.data.get(TLS_CERT) and not secret.data.get(TLS_KEY):\n",
        SPECS,
    ),
    Mutant(
        "a CertificateRequest passes the wall unseen",
        SIGNING,
        "    return verdict\n",
        "    return verdict if not isinstance(verdict, Refuse) else Grant(lifetime)\n",
        SPECS,
    ),
    Mutant(
        "the signer's ServiceAccount may approve requests",
        SIGNER_RBAC,
        "    verbs: [sign]\n  # The same for the admission policy",
        "    verbs: [sign, approve]\n  # The same for the admission policy",
        ("tests/unit/manifests/test_base.py",),
    ),
    Mutant(
        "two parties that undo each other write for ever",
        UNDONE,
        "return pacing.left(before.again, now) if before is not None and before.wish == wish else timedelta(0)",
        "return timedelta(0)",
        CONTESTS,
    ),
    Mutant(
        "what is new waits as long as what is undone",
        UNDONE,
        "now) if before is not None and before.wish == wish else",
        "now) if before is not None else",
        CONTESTS,
    ),
    Mutant(
        "what a certificate was issued for counts for any other that is put there",
        ISSUED_FOR,
        "    if leaf is None or certificate != _short(leaf.public_bytes(Encoding.DER)):\n",
        "    if leaf is None:\n",
        MARKS,
    ),
    Mutant(
        "other usages are no other wish",
        ISSUED_FOR,
        '        "usages": sorted(set(spec.usages)),\n',
        "",
        MARKS,
    ),
    Mutant(
        "the last days of a CA are renewals without end",
        TRUST,
        "    if authority.not_after > ends or",
        "    if authority.not_after >= ends or",
        VAIN,
    ),
    Mutant(
        "a leaf of another CA is held back for the present one's end",
        TRUST,
        "ends or not signed(view.leaf.public_bytes(Encoding.DER), authority):",
        "ends:",
        VAIN,
    ),
    Mutant(
        "renewals that are due at once follow one another",
        "signer/certificates/pacing.py",
        "    return at_once or reason not in",
        "    return reason not in",
        VAIN,
    ),
    Mutant(
        "a certificate of the future counts as good",
        POLICIES,
        "    if view.leaf is None or facts.now + SKEW >=",
        "    if view.leaf is not None or facts.now + SKEW >=",
        ("tests/unit/certificates/test_policies.py",),
    ),
)
