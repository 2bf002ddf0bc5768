"""Reading a CSR and making a certificate: what is missed here is signed."""

from tests.mutants.mutant import Mutant

REQUEST = "issuers/request.py"
EXTENSIONS = "issuers/x509/extensions.py"
NAMES = "issuers/x509/general_names.py"
KEYS = "issuers/x509/keys.py"
DER = "issuers/x509/der.py"
PEM = "issuers/x509/pem.py"
AUTHORITY = "issuers/authority.py"
CERTIFICATE = "issuers/certificate.py"
TEMPLATE = "issuers/template.py"
ASSEMBLY = "issuers/assembly.py"
SPIFFE = "issuers/spiffe.py"
VERIFY = "issuers/verify.py"
LINE = "issuers/line.py"
SUBTREES = "issuers/x509/subtrees.py"
PURPOSES = "issuers/x509/purposes.py"

VECTORS = (
    "tests/unit/issuers/test_vectors.py",
    "tests/unit/issuers/test_clients.py",
    "tests/unit/issuers/test_fuzz.py",
)
CAS = ("tests/unit/issuers/test_authority.py", "tests/unit/issuers/test_authority_faults.py")
SIGNED = (
    "tests/unit/issuers/test_decided_template.py",
    "tests/unit/issuers/test_certificate.py",
    "tests/unit/issuers/test_certificate_checked.py",
    "tests/unit/issuers/test_forms.py",
)

WORTH = ("tests/unit/issuers/test_verify.py", "tests/unit/csr/test_verifiable.py")
ROOTS = ("tests/unit/issuers/test_roots.py",)
PATHS = "issuers/paths.py"
CROSSED = ("tests/unit/issuers/test_cross_signed.py",)
BUNDLES = ("tests/unit/issuers/test_authority_bundles.py",)

SHAPE = "issuers/shape.py"
SEAL = "issuers/seal.py"
SHAPED = ("tests/unit/issuers/test_shape.py",)
SEALED = ("tests/unit/issuers/test_seal.py",)

MUTANTS = (
    Mutant(
        "the wall does not see a second way up from a CA",
        PATHS,
        "            issues = self._issues[name] if spare else self._choices(name)\n",
        "            issues = self._issues[name] if spare else self._choices(name)[:1]\n",
        CROSSED,
    ),
    Mutant(
        "of several ways up the first one counts, whatever is wrong with it",
        PATHS,
        "        worth = (anchored, anchored and found is None, search.is_root(tried[-1]))\n",
        "        worth = (anchored, anchored, search.is_root(tried[-1]))\n",
        CROSSED,
    ),
    Mutant(
        "what is like Istio's form is taken for it",
        SHAPE,
        "    if der.sequence(info, algorithm.identifier, der.bit_string(signature)) != data:\n",
        "    if not data:\n",
        SHAPED,
    ),
    Mutant(
        "attributes that are like Istio's are taken for them",
        SHAPE,
        " if write_attributes(san) == attributes else None\n",
        "\n",
        SHAPED,
    ),
    Mutant(
        "a CSR of Istio's form needs no signature",
        SHAPE,
        "    if not algorithm.verify(key, signature, info):\n",
        "    if not signature:\n",
        SHAPED,
    ),
    Mutant(
        "PEM of any spelling passes on the short way",
        SHAPE,
        """ if pem.encode("CERTIFICATE REQUEST", data) == text else None\n""",
        "\n",
        SHAPED,
    ),
    Mutant(
        "an even modulus, or one of 2047 bits, passes on the short way",
        SHAPE,
        "    return form is _EC or bool(spki[len(form.head)] & 0x80 and spki[-1 - len(form.tail)] & 1)\n",
        "    return True\n",
        SHAPED,
    ),
    Mutant(
        "a seal is not tried on another certificate",
        SEAL,
        " and made.fill(*second) == make(*second) else None\n",
        " else None\n",
        SEALED,
    ),
    Mutant(
        "a short serial number is filled up with zeros",
        SEAL,
        " or not 152 <= serial.bit_length() < 160:\n",
        " or not serial.bit_length() < 160:\n",
        SEALED,
    ),
    Mutant("a path length is only looked at in the CA that signs", LINE, "< spare[0]:", "> spare[0]:", WORTH),
    Mutant("a CA may have CAs below it whatever its path length", VERIFY, "int(not self_issued)", "0", WORTH),
    Mutant(
        "a CA without the usage cert sign is given out", VERIFY, "kind.is_ca and bits and not", "bits and not", WORTH
    ),
    Mutant(
        "names below a constrained CA are not looked at", VERIFY, "    if not line.subtrees:\n", "    if line:\n", WORTH
    ),
    Mutant(
        "an excluded name passes",
        SUBTREES,
        "excluded.go(kind, host, excluding=True)",
        "excluded.go(kind, '', excluding=True)",
        WORTH,
    ),
    Mutant(
        "a domain holds what only ends like it",
        SUBTREES,
        "not self.exact.isdisjoint(bare))",
        "tail.endswith(tuple(self.exact)))",
        WORTH,
    ),
    Mutant(
        "usage any of a CA counts for Envoy",
        PURPOSES,
        "    return oid == SERVER and",
        "    return ANY in purposes or",
        WORTH,
    ),
    Mutant(
        "a critical extension that nobody knows is passed over",
        LINE,
        "if critical and identifier",
        "if not critical and identifier",
        WORTH,
    ),
    Mutant(
        "any root of a bundle is handed to leaves",
        AUTHORITY,
        "        root_pem=_pem(root) if root is not None else None,",
        "        root_pem=_pem(above[0] if above else root) if root is not None else None,",
        BUNDLES,
    ),
    Mutant(
        "a root that ended counts before one that is valid",
        PATHS,
        "        return self._valid(root), root.fields.der in self._anchors, root.fields.not_after\n",
        "        return True, root.fields.der in self._anchors, root.fields.not_after\n",
        ROOTS,
    ),
    Mutant(
        "of two issues of a root the one that ends first is handed to leaves",
        PATHS,
        "sorted(roots, key=self._worth, reverse=True)[:1]",
        "sorted(roots, key=lambda root: (*self._worth(root)[:2], -root.fields.not_after.timestamp()), reverse=True)[:1]",
        ROOTS,
    ),
    Mutant(
        "an intermediate that was signed with SHA-1 is taken",
        AUTHORITY,
        "        if not _signed_itself(member, signatures):",
        "        if member.self_issued and not _signed_itself(member, signatures):",
        ROOTS,
    ),
    Mutant(
        "a CSR's signature is not checked",
        REQUEST,
        "    if not algorithm.verify(public_key, signature, to_be_signed):",
        "    if not signature:",
        VECTORS,
    ),
    Mutant(
        "of two extensionRequests the last counts",
        REQUEST,
        "            if wanted is not None:\n",
        "            if wanted is False:\n",
        VECTORS,
    ),
    Mutant(
        "Microsoft's attribute for extensions is passed over",
        REQUEST,
        "        elif kind == _MICROSOFT_EXTENSIONS:\n",
        "        elif kind == _EXTENSION_REQUEST * 2:\n",
        VECTORS,
    ),
    Mutant(
        "a CSR of any version is read",
        REQUEST,
        "    if data[info : info + 3] != _VERSION_0:\n",
        "    if data[info : info + 2] != _VERSION_0[:2]:\n",
        VECTORS,
    ),
    Mutant(
        "an extension may stand there twice",
        EXTENSIONS,
        "        if identifier in found:\n",
        "        if identifier in found and False:\n",
        VECTORS,
    ),
    Mutant(
        "a DNS name may hold NUL and spaces",
        NAMES,
        "    if not _VISIBLE.fullmatch(content):\n",
        "    if not content:\n",
        VECTORS,
    ),
    Mutant(
        "there may be any number of names",
        NAMES,
        "        if count > MAX_NAMES:\n",
        "        if count > MAX_NAMES * 1000:\n",
        VECTORS,
    ),
    Mutant(
        "a public exponent of 3 is taken",
        KEYS,
        "_MIN_EXPONENT = 65537\n",
        "_MIN_EXPONENT = 3\n",
        (*VECTORS, "tests/unit/issuers/test_keys.py"),
    ),
    Mutant(
        "an RSA key of 1024 bits is taken",
        KEYS,
        "MIN_RSA_BITS = 2048\n",
        "MIN_RSA_BITS = 1024\n",
        (*VECTORS, "tests/unit/issuers/test_keys.py"),
    ),
    Mutant(
        "a length may be written longer than needed",
        DER,
        "        if length <= 0x7F or not buf[start]:\n",
        "        if not length and False:\n",
        VECTORS,
    ),
    Mutant(
        "data after an element is passed over",
        DER,
        '    if stop != end:\n        raise DerError("trailing data")\n',
        '    if stop > end:\n        raise DerError("trailing data")\n',
        VECTORS,
    ),
    Mutant(
        "a second PEM block is passed over",
        PEM,
        "    if rest and not rest.isspace():\n",
        "    if rest and False:\n",
        VECTORS,
    ),
    Mutant(
        "a CA may sign with the key of another certificate",
        AUTHORITY,
        "    if keys.public_bytes(key.public_key()) != own.fields.spki:\n",
        "    if not own.fields.spki:\n",
        CAS,
    ),
    Mutant(
        "a certificate without the CA flag is a CA",
        AUTHORITY,
        "    if not member.is_ca:\n",
        "    if not member.fields.subject:\n",
        CAS,
    ),
    Mutant(
        "a CA without the key usage cert sign signs",
        AUTHORITY,
        "    if member.key_usage is not None and not member.key_usage & _CERT_SIGN:\n",
        "    if member.key_usage is not None and not member.key_usage:\n",
        CAS,
    ),
    Mutant(
        "a path length is not kept",
        AUTHORITY,
        "    if member.path_length is not None and member.path_length < depth:\n",
        "    if member.path_length is not None and member.path_length + 1 < depth:\n",
        CAS,
    ),
    Mutant(
        "an expired CA is loaded",
        AUTHORITY,
        "    if now >= fields.not_after:\n",
        "    if now >= fields.not_after + 9 * _LONGEST_WARNING:\n",
        CAS,
    ),
    Mutant(
        "the self-signed root is sent with the chain",
        AUTHORITY,
        "for member in found.path if member is not root)",
        "for member in found.path)",
        CAS,
    ),
    Mutant(
        "what was signed is not compared with what was decided",
        CERTIFICATE,
        "    if wrong:\n        raise SigningFailed",
        "    if wrong is None:\n        raise SigningFailed",
        SIGNED,
    ),
    Mutant(
        "an extension that nobody decided may be in a certificate",
        CERTIFICATE,
        "        if identifier not in expected or expected[identifier] != (critical, _reading(identifier, value)):\n",
        "        if identifier in expected and expected[identifier] != (critical, _reading(identifier, value)):\n",
        SIGNED,
    ),
    Mutant(
        "the certificate's end is not checked after signing",
        CERTIFICATE,
        '            ("notAfter", fields.not_after == template.not_after),\n',
        "",
        SIGNED,
    ),
    Mutant(
        "names are not critical in a certificate without a subject",
        TEMPLATE,
        "        return self.subject_der == EMPTY_NAME\n",
        "        return self.subject_der != EMPTY_NAME\n",
        SIGNED,
    ),
    Mutant(
        "the CSR's own CA flag is not compared with what is asked for",
        TEMPLATE,
        "    if request.is_ca is not None and request.is_ca != is_ca:\n",
        "    if request.is_ca is not None and request.is_ca < is_ca:\n",
        (*SIGNED, "tests/unit/csr/test_evaluate.py", "tests/unit/csr/test_evaluate_issued.py"),
    ),
    Mutant(
        "the CSR's name constraints are not copied",
        TEMPLATE,
        "        name_constraints_der=request.name_constraints_der,\n",
        "",
        (*SIGNED, *VECTORS),
    ),
    Mutant(
        "a leaf may be used as a CA",
        ASSEMBLY,
        "        _basic_constraints(template.is_ca, template.path_length),\n",
        "        _basic_constraints(True, template.path_length),\n",
        SIGNED,
    ),
    Mutant(
        "dates from 2050 on are written with two digits",
        ASSEMBLY,
        "    if 1950 <= moment.year < 2050:\n",
        "    if 1950 <= moment.year < 2060:\n",
        (*SIGNED, "tests/unit/issuers/test_forms.py"),
    ),
    Mutant(
        "a SPIFFE ID in upper case is the same workload",
        SPIFFE,
        "    re.ASCII,\n)",
        "    re.ASCII | re.IGNORECASE,\n)",
        ("tests/unit/issuers/test_spiffe.py",),
    ),
)
