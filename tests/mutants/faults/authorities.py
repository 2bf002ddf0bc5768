"""Which CA stands behind a signer, and whether it may sign."""

from tests.mutants.mutant import Mutant

STATE = "signer/authorities/state.py"
REGISTRY = "signer/authorities/registry.py"
GAUGES = "signer/observe/issuers.py"
STATES = ("tests/unit/authorities/test_state.py",)
KNOWN = ("tests/unit/authorities/test_registry.py", "tests/unit/authorities/test_registry_watches.py")

MUTANTS = (
    Mutant(
        "a CA signs after its end",
        STATE,
        "    if now >= authority.not_after:\n",
        "    if now > authority.not_after + (authority.not_after - authority.not_before) * 999:\n",
        STATES,
    ),
    Mutant(
        "a CA signs in the second in which it has ended",
        STATE,
        "    if now >= authority.not_after:\n",
        "    if now > authority.not_after:\n",
        STATES,
    ),
    Mutant(
        "an Issuer signs with a Secret of the cluster resource namespace",
        STATE,
        "    return NeedsSecret(ref.namespace or cluster_resource_namespace, issuer.spec.ca.secret_name)\n",
        "    return NeedsSecret(cluster_resource_namespace, issuer.spec.ca.secret_name)\n",
        STATES,
    ),
    Mutant(
        "an issuer with two types signs with one of them",
        STATE,
        "    if len(types) > 1:\n",
        "    if len(types) > 5:\n",
        STATES,
    ),
    Mutant(
        "a field that is not supported is passed over",
        STATE,
        "    if issuer.unsupported:\n",
        "    if issuer.unsupported and False:\n",
        STATES,
    ),
    Mutant(
        "a CA's key shows when its Secret is printed",
        STATE,
        '        return "CASecretData(…)"\n',
        "        return str((self.tls_crt, self.tls_key))\n",
        STATES,
    ),
    Mutant(
        "a CA that ends is noticed only when its Secret changes",
        REGISTRY,
        "            self._timers[ref] = asyncio.get_running_loop().call_later(delay, self._judge_again, ref)\n",
        "            self._timers.clear()\n",
        KNOWN,
    ),
    Mutant(
        "a Secret that changes while it is read is not read again",
        REGISTRY,
        "        if latest is None or latest.data != secret.data:\n",
        "        if latest is None:\n",
        KNOWN,
    ),
    Mutant(
        "a deleted Secret's CA goes on signing",
        REGISTRY,
        "            self._load(change.key)\n            self._judge_users(change.key)\n",
        '            if change.kind != "deleted":\n                self._load(change.key)\n                self._judge_users(change.key)\n',
        KNOWN,
    ),
    Mutant(
        "nobody is told that an issuer changed",
        REGISTRY,
        "            self._states[ref] = state\n            self._tell(ref)\n",
        "            self._states[ref] = state\n",
        KNOWN,
    ),
    Mutant(
        "a deleted issuer goes on signing",
        REGISTRY,
        '        if change.kind == "deleted":\n            self._forget(ref)\n',
        '        if change.kind == "deleted":\n            self._release(ref)\n',
        KNOWN,
    ),
    Mutant(
        "a CA whose time has not begun is never looked at again",
        REGISTRY,
        'found.reason in {"NotYetValid", "Expired"}:\n',
        'found.reason == "Never":\n',
        KNOWN,
    ),
    Mutant(
        "the gauge shows an issuer that is gone as ready",
        GAUGES,
        "self._metrics.issuer_ready.remove(*name, old)\n",
        "self._metrics.issuer_ready.labels(*name, old)\n",
        ("tests/unit/observe/test_issuers.py",),
    ),
)
