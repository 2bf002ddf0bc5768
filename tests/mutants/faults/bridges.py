"""Bridges between tenants: what opens one, what ends it, and whose objects are touched."""

from tests.mutants.mutant import Mutant

DECIDE = "signer/bridges/decide.py"
STEP = "signer/bridges/step.py"
BODIES = "signer/bridges/bodies.py"
STATUS = "signer/bridges/status.py"
DEFECTS = "signer/bridges/defects.py"
CONTROLLER = "signer/bridges/controller.py"
WRITER = "signer/bridges/writer.py"
WALL = "signer/tenancy/bridge.py"
JUDGE = "signer/tenancy/decide.py"
TESTS = "tests/unit/bridges"
OF_WALL = ("tests/unit/tenancy/test_bridge.py",)
OF_DECIDE = (f"{TESTS}/test_decide.py",)
OF_STEP = (f"{TESTS}/test_step.py",)
OF_SEEN = (f"{TESTS}/test_seen.py",)
OF_ENDS = (f"{TESTS}/test_ends.py",)
OF_DEFECTS = (f"{TESTS}/test_defects.py",)

MUTANTS = (
    Mutant(
        "a policy that has ended still allows bridges",
        DECIDE,
        "    if policy.ends is not None and now >= policy.ends:\n",
        "    if policy.ends is not None and now > policy.ends:\n",
        OF_DECIDE,
    ),
    Mutant(
        "a TenantBridge that has ended still asks for one",
        DECIDE,
        "    if wish.ends is not None and now >= wish.ends:\n",
        "    if wish.ends is not None and now > wish.ends:\n",
        OF_DECIDE,
    ),
    Mutant(
        "a client's namespace that was made again has the bridge of the earlier one",
        DECIDE,
        "    if built_for and built_for != client.uid:\n",
        "    if not built_for and built_for != client.uid:\n",
        OF_DECIDE,
    ),
    Mutant(
        "any service account of a client's namespace may be let in",
        DECIDE,
        "    if (wish.client_namespace, wish.client_account) not in policy.clients:\n",
        "    if wish.client_namespace not in {one for one, _ in policy.clients}:\n",
        OF_DECIDE,
    ),
    Mutant(
        "a policy that cannot be read allows what could be read of it",
        DECIDE,
        "    if policy.problem or not policy.serves(wish.namespace, server):\n",
        "    if not policy.serves(wish.namespace, server):\n",
        OF_DECIDE,
    ),
    Mutant(
        "all services are bridged unasked",
        DECIDE,
        "    if wish.wildcards and not policy.wildcards:\n",
        "    if wish.wildcards and policy.problem:\n",
        OF_DECIDE,
    ),
    Mutant(
        "the longer of both lifetimes holds",
        DECIDE,
        "        lifetime=min(wish.lifetime, policy.max_lifetime),\n",
        "        lifetime=max(wish.lifetime, policy.max_lifetime),\n",
        OF_DECIDE,
    ),
    Mutant(
        "a bridge's Secret goes before the rules that use it",
        STEP,
        "        steps.append(DropSecret(secret_name(wish), sight.secret.uid))\n",
        "        steps.insert(0, DropSecret(secret_name(wish), sight.secret.uid))\n",
        OF_STEP,
    ),
    Mutant(
        "somebody else's rule goes with a bridge",
        STEP,
        "    steps: list[Step] = [DropRule(name, one.uid) for name, one in sorted(sight.rules.items()) if one.ours]\n",
        "    steps: list[Step] = [DropRule(name, one.uid) for name, one in sorted(sight.rules.items())]\n",
        OF_STEP,
    ),
    Mutant(
        "a finalizer on what a bridge made holds its end",
        WRITER,
        '"finalizers": None}',
        '"finalizers": there["metadata"].get("finalizers")}',
        OF_ENDS,
    ),
    Mutant(
        "who may write a bridge's status hides its rule from its end",
        WRITER,
        '                seen[name] = _found(rule, "", wish.uid)\n',
        '                seen[name] = _found(rule, status.rules.get(name, ""), wish.uid)\n',
        OF_ENDS,
    ),
    Mutant(
        "an immutable Secret keeps a bridge from its next certificate",
        STEP,
        "(secret.leaving or (secret.immutable and bool(why)))",
        "secret.leaving",
        OF_ENDS,
    ),
    Mutant(
        "a Secret that nobody can read keeps a bridge from its end",
        CONTROLLER,
        "await self._writer.secret(place, stored, contents=False)",
        "await self._writer.secret(place, stored, contents=True)",
        OF_ENDS,
    ),
    Mutant(
        "what is left of a bridge that is gone stays",
        CONTROLLER,
        "            if stray.bridge == there:\n",
        "            if stray.bridge != there:\n",
        OF_ENDS,
    ),
    Mutant(
        "a root that somebody put into ca.crt stays there",
        STEP,
        "if fingerprint(one) == planned.former_root))\n",
        "if one != server.root))\n",
        OF_STEP,
    ),
    Mutant(
        "near a bridge's end one certificate follows the other",
        STEP,
        "    if held.not_after + timedelta(seconds=1) >= ends:\n",
        "    if held.not_after > ends:\n",
        OF_STEP,
    ),
    Mutant(
        "a certificate outlives its bridge",
        STEP,
        '        (bridge.ends is not None and held.not_after > bridge.ends, "the bridge ends before the certificate"),\n',
        "",
        ("tests/unit/bridges/test_step.py",),
    ),
    Mutant(
        "a rule without workloadSelector is everybody's",
        BODIES,
        '        "workloadSelector": {"matchLabels": dict(sorted(wish.client_labels.items()))},\n',
        '        "workloadSelector": {"matchLabels": {}},\n',
        OF_STEP,
    ),
    Mutant(
        "a rule for the root namespace is exported to all",
        BODIES,
        '        "exportTo": ["."],\n',
        '        "exportTo": ["*"],\n',
        OF_STEP,
    ),
    Mutant(
        "what is taken away forgets for which client it was",
        STATUS,
        "        client_namespace_uid=status.client_namespace_uid,\n    )\n",
        "    )\n",
        OF_STEP,
    ),
    Mutant(
        "a rule that somebody deleted stays recorded, so that the next one is nobody's",
        STATUS,
        '            found[name] = "" if there is None else status.rules.get(name, "")\n',
        '            found[name] = status.rules.get(name, "")\n',
        OF_STEP,
    ),
    Mutant(
        "what is made is not recorded before",
        STEP,
        "    announced = [Announce(planned)] if made and planned != stored else []\n",
        "    announced = [Announce(planned)] if gone and planned != stored else []\n",
        OF_STEP,
    ),
    Mutant(
        "when the root changes the former one is not kept",
        STATUS,
        "    if status.root != root and status.root in there:\n",
        "    if status.root != root and not there:\n",
        OF_STEP,
    ),
    Mutant(
        "for which client's namespace a bridge is, is recorded as a watch shows it",
        CONTROLLER,
        "            if new and (changed := await self._issuing.changed(case)) is not None:\n",
        "            if not new and (changed := await self._issuing.changed(case)) is not None:\n",
        OF_SEEN,
    ),
    Mutant(
        "a rule in front of a bridge is told minutes later",
        CONTROLLER,
        "            in_front(case.wish, self._watched.rules_in(case.wish.client_namespace), self._root_namespace),\n",
        "",
        OF_SEEN,
    ),
    Mutant(
        "a bridge's certificate is for whomever the request names",
        WALL,
        "    elif identity.spiffe_id != bridge.client:\n",
        "    elif identity.spiffe_id is None:\n",
        OF_WALL,
    ),
    Mutant(
        "a bridge's certificate is good for servers too",
        WALL,
        "    if claim.is_ca or claim.usages != BRIDGE_USAGES:\n",
        "    if claim.is_ca or not set(claim.usages) >= set(BRIDGE_USAGES):\n",
        OF_WALL,
    ),
    Mutant(
        "namespaces that were made again keep a bridge's certificates",
        WALL,
        "        if there is None or there.uid != uid:\n",
        "        if there is None:\n",
        OF_WALL,
    ),
    Mutant(
        "a bridge's certificate outlives the bridge",
        WALL,
        "    return lifetime if ends is None else min(lifetime, max(ends - now, timedelta(seconds=1)))\n",
        "    return lifetime\n",
        OF_WALL,
    ),
    Mutant(
        "a bridge may take the CA of any tenant",
        JUDGE,
        '    elif isinstance(found, NotGranted):\n        reasons.append(found.reason)\n    else:\n        message = f"namespace {bridge.server}',
        '    elif isinstance(found, NotGranted):\n        return grant_of(bridge, bridge.lifetime, now)\n    else:\n        message = f"namespace {bridge.server}',
        OF_WALL,
    ),
    Mutant(
        "a server that is not strict is not told",
        DEFECTS,
        "    if mode is not None and mode != STRICT:\n",
        "    if mode is not None and mode == STRICT:\n",
        OF_DEFECTS,
    ),
    Mutant(
        "a wildcard of the client's is taken for a rule in front",
        DEFECTS,
        '            below = own.startswith("*.") and not host.startswith("*.") and host.endswith(own[1:])\n',
        '            below = host.startswith("*.") and own.endswith(host[1:])\n',
        OF_DEFECTS,
    ),
    Mutant(
        "a rule without a selector is taken for one in front of a bridge, which Istio prefers to it",
        DEFECTS,
        "            if below or (host == own and selects and _turn(rule) < ours.get(own, _LAST)):\n",
        "            if below or (host == own and _turn(rule) < ours.get(own, _LAST)):\n",
        OF_DEFECTS,
    ),
    Mutant(
        "labels that select nobody, or Pods of another account, pass for a client",
        DEFECTS,
        "    if facts.client_accounts is None or wish.client_account in facts.client_accounts:\n",
        "    if facts.client_accounts is None or facts.client_accounts is not None:\n",
        (f"{TESTS}/test_facts.py",),
    ),
    Mutant(
        "what is wrong with a bridge and no watch tells is looked at again minutes later",
        CONTROLLER,
        "        return _next_look(wanted, obj.status, sight, now, self._again.seconds(key, wrong))\n",
        '        return _next_look(wanted, obj.status, sight, now, self._again.seconds(key, ""))\n',
        OF_SEEN,
    ),
    Mutant(
        "a policy that has ended is told in the place of what would help",
        DECIDE,
        "    return 0 if denied.waits else 2 if denied.reason.code == ENDED else 1\n",
        "    return 0 if denied.waits else 1\n",
        OF_DECIDE,
    ),
    Mutant(
        "a TenantBridgePolicy that is over is Ready",
        "signer/bridges/policies.py",
        "    if policy.ends is not None and now >= policy.ends:\n",
        "    if policy.ends is not None and now < policy.ends:\n",
        OF_DECIDE,
    ),
    Mutant(
        "a gateway is said to be cut off by a Sidecar, which it does not go by",
        "signer/bridges/facts.py",
        "    return any(not _routes(one) for one in pods or ())\n",
        "    return any(_routes(one) for one in pods or ())\n",
        (f"{TESTS}/test_facts.py",),
    ),
)
