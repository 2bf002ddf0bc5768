"""The wall."""

from tests.mutants.mutant import Mutant

DECIDE = "signer/tenancy/decide.py"
VERDICT = "signer/tenancy/verdict.py"
WALL = ("tests/unit/tenancy",)

MUTANTS = (
    Mutant(
        "--allow-ca-requests=false allows CA requests",
        DECIDE,
        "    if claim.is_ca and not limits.allow_ca_requests:\n",
        "    if claim.is_ca and limits.allow_ca_requests is None:\n",
        WALL,
    ),
    Mutant(
        "--allow-ca-requests=false refuses everything",
        DECIDE,
        "    if claim.is_ca and not limits.allow_ca_requests:\n",
        "    if not limits.allow_ca_requests:\n",
        WALL,
    ),
    Mutant(
        "only the last reason of a refusal is told",
        VERDICT,
        '        return "; ".join(reason.message for reason in self.reasons)\n',
        "        return self.reasons[-1].message\n",
        WALL,
    ),
)
