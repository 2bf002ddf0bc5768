"""What the objects say: a byte misread here is a wrong decision later."""

from tests.mutants.mutant import Mutant

CSR = "signer/api/certificatesigningrequest.py"
SIGNER_NAME = "signer/api/signername.py"
DURATION = "signer/api/duration.py"

REQUESTS = ("tests/unit/api/test_certificatesigningrequest.py",)
NAMES = ("tests/unit/api/test_signername.py",)
DURATIONS = ("tests/unit/api/test_duration.py",)

MUTANTS = (
    Mutant(
        "a request that is denied after its approval counts as approved",
        CSR,
        '        return "Approved" in self.conditions and "Denied" not in self.conditions\n',
        '        return "Approved" in self.conditions\n',
        REQUESTS,
    ),
    Mutant(
        "a request that has failed counts as unanswered",
        CSR,
        '_FINAL = frozenset({"Denied", "Failed"})\n',
        '_FINAL = frozenset({"Denied"})\n',
        REQUESTS,
    ),
    Mutant(
        "an empty certificate counts as an answer",
        CSR,
        "            has_certificate = has_certificate or a != b\n",
        "            has_certificate = True\n",
        REQUESTS,
    ),
    Mutant(
        "a negative expirationSeconds reads as billions of years",
        CSR,
        "            expiration = a - (1 << 64) if a >= 1 << 63 else a\n",
        "            expiration = a\n",
        REQUESTS,
    ),
    Mutant(
        "only the last group of a requester is known",
        CSR,
        "            groups.append(protobuf.text(rest, a, b))\n",
        "            groups = [protobuf.text(rest, a, b)]\n",
        REQUESTS,
    ),
    Mutant(
        "the answer drops fields of the object that we do not know",
        CSR,
        '    return b"".join((_ENVELOPE, protobuf.varint(len(csr.raw) + len(appended)), csr.raw, appended))\n',
        '    kept = b"".join(csr.raw[a - 2 : b] for _, a, b in protobuf.scan(csr.raw) if b - a < 128)\n'
        '    return b"".join((_ENVELOPE, protobuf.varint(len(kept) + len(appended)), kept, appended))\n',
        REQUESTS,
    ),
    Mutant(
        "the condition Failed has the status False",
        CSR,
        '            protobuf.write_bytes_field(6, b"True"),\n',
        '            protobuf.write_bytes_field(6, b"False"),\n',
        REQUESTS,
    ),
    Mutant(
        "a signer of a domain that ends like ours is ours",
        SIGNER_NAME,
        "    if domain == CLUSTER_ISSUER_DOMAIN:\n",
        "    if domain.endswith(CLUSTER_ISSUER_DOMAIN):\n",
        NAMES,
    ),
    Mutant(
        "an Issuer's namespace ends at the last dot",
        SIGNER_NAME,
        '        namespace, dot, name = path.partition(".")\n',
        '        namespace, dot, name = path.rpartition(".")\n',
        NAMES,
    ),
    Mutant(
        "a signer name with two slashes is ours",
        SIGNER_NAME,
        '    if not separator or "/" in path:\n',
        "    if not separator:\n",
        NAMES,
    ),
    Mutant(
        "a minus sign of a duration is not seen",
        DURATION,
        "    return -total if negative else total\n",
        "    return total\n",
        DURATIONS,
    ),
    Mutant(
        "a duration beyond 64 bits is read",
        DURATION,
        "        if total > _LIMIT - (not negative):\n",
        "        if total > _LIMIT * 10:\n",
        DURATIONS,
    ),
)
