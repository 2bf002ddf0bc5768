"""The wall."""

from tests.mutants.mutant import Mutant

DECIDE = "signer/tenancy/decide.py"
VERDICT = "signer/tenancy/verdict.py"
GRANTS = "signer/tenancy/grants.py"
RULES = "signer/tenancy/rules.py"
FORM = "issuers/istio_request.py"
KEYS = "signer/tenancy/ca_keys.py"
WALL = ("tests/unit/tenancy",)
LAGGING = ("tests/unit/mesh/test_lagging_watches.py",)
WHO = ("tests/unit/tenancy/test_grants.py",)
CONTENTS = ("tests/unit/csr/test_mesh_requests.py", "tests/unit/csr/test_mesh_attacks.py")

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
    Mutant(
        "a claim is a grant",
        GRANTS,
        "    if binding is None:\n        return _unowned(world, namespace, exists, signer, now)\n",
        '    if binding is None:\n        return Granted("claimed")\n',
        WHO,
    ),
    Mutant(
        "a tenant's claim makes an issuer a signer of the mesh",
        GRANTS,
        "    if signer not in world.signers:\n",
        "    if signer not in world.signers and signer not in claims.signers:\n",
        WHO,
    ),
    Mutant(
        "a namespace that was made again inherits",
        GRANTS,
        "    return not binding.problem and binding.namespace == namespace and binding.namespace_uid == exists.uid\n",
        "    return not binding.problem and binding.namespace == namespace\n",
        WHO,
    ),
    Mutant(
        "a broken binding counts",
        GRANTS,
        "    return not binding.problem and binding.namespace == namespace and binding.namespace_uid == exists.uid\n",
        "    return binding.namespace == namespace and binding.namespace_uid == exists.uid\n",
        WHO,
    ),
    Mutant(
        "the first to ask gets a contested signer",
        GRANTS,
        "    if others:\n",
        "    if len(others) > 5:\n",
        WHO,
    ),
    Mutant(
        "the namespace of a signer's name may be passed over",
        GRANTS,
        "    if signer.name in world.namespaces:\n",
        "    if signer.name in world.claims:\n",
        WHO,
    ),
    Mutant(
        "the mesh default is for everyone",
        GRANTS,
        "    if claims.whole is None:\n        return Granted(",
        "    if claims is not None:\n        return Granted(",
        WHO,
    ),
    Mutant(
        "grace never ends while the owner renews",
        GRANTS,
        ", ended + LONGEST_GRACE)\n",
        ", ended + LONGEST_GRACE * 99)\n",
        WHO,
    ),
    Mutant(
        "nothing read is nothing to wait for",
        DECIDE,
        "    if world.unsynced:\n",
        '    if world.unsynced == "nothing":\n',
        CONTENTS,
    ),
    Mutant(
        "a stale source still grants",
        DECIDE,
        "    if world.stale:\n",
        "    if len(world.stale) > 9:\n",
        CONTENTS,
    ),
    Mutant(
        "istiod may ask any signer",
        DECIDE,
        "    mine = requester in world.requesters or signer in world.signers or ca_key_id in world.keys\n",
        "    mine = signer in world.signers or ca_key_id in world.keys\n",
        CONTENTS,
    ),
    Mutant(
        "anybody may ask a mesh signer",
        DECIDE,
        "    mine = requester in world.requesters or signer in world.signers or ca_key_id in world.keys\n",
        "    mine = requester in world.requesters\n",
        CONTENTS,
    ),
    Mutant(
        "the wall looks at names, not at keys",
        DECIDE,
        "    for other in world.keys.get(claim.ca_key_id, frozenset()):\n",
        "    for other in ():\n",
        CONTENTS,
    ),
    Mutant(
        "a thief is refused without a last look",
        DECIDE,
        "    if not reasons and not fresh:\n",
        "    if reasons and not fresh:\n",
        CONTENTS,
    ),
    Mutant(
        "a certificate outlives its CA",
        DECIDE,
        "    return max(min(lifetime, claim.ca_not_after - now), _NO_LIFETIME)\n",
        "    return lifetime\n",
        CONTENTS,
    ),
    Mutant(
        "audit mode never ends",
        "signer/tenancy/world.py",
        "            return self.audit_until is None or now >= self.audit_until\n",
        "            return False\n",
        CONTENTS,
    ),
    Mutant(
        "a request may hold more than Istio's",
        FORM,
        "    if not request.der.startswith(info, start):\n",
        "    if request.der == info:\n",
        CONTENTS,
    ),
    Mutant(
        "any DNS name is istiod's",
        RULES,
        "name not in known and not names_cover(listed, name)",
        "name in known and not names_cover(listed, name)",
        CONTENTS,
    ),
    Mutant(
        "any trust domain will do",
        RULES,
        "    if identity.trust_domain not in domains:\n",
        "    if not identity.trust_domain:\n",
        CONTENTS,
    ),
    Mutant(
        "a wildcard covers more than one label",
        RULES,
        """    _, _, parent = name.partition(".")\n""",
        """    parent = ".".join(name.split(".")[-2:])\n""",
        ("tests/unit/tenancy/test_certificate_requests.py",),
    ),
    Mutant(
        "a CA key that was changed signs at once",
        DECIDE,
        "    if not roots or not claim.root_key_id or claim.root_key_id in roots",
        "    if roots or not claim.root_key_id or claim.root_key_id in roots",
        CONTENTS,
    ),
    Mutant(
        "a CA beside a tenant's, under one root, makes workloads",
        DECIDE,
        "    speaks = found.mesh or _speaks_for_the_mesh(claim, world)\n",
        "    speaks = found.mesh\n",
        ("tests/unit/tenancy/test_certificate_requests.py",),
    ),
    Mutant(
        "a signer is anybody's the moment its policy goes",
        GRANTS,
        "    if (until := world.settling.get(signer)) is not None and now < until:\n",
        "    if (until := world.settling.get(signer)) is not None and now > until:\n",
        WHO,
    ),
    Mutant(
        "a CA whose Secret shows no root is below nothing",
        KEYS,
        "        if chain.open and self._known.signed(",
        "        if not chain.open and self._known.signed(",
        ("tests/unit/tenancy/test_which_cas.py",),
    ),
    Mutant(
        "what stands above a mesh CA does not count",
        KEYS,
        "                    above.update(chain.key_ids[1:])\n                    known.add_all(chain.certificates)\n",
        "                    known.add_all(chain.certificates[:1])\n",
        ("tests/unit/tenancy/test_which_cas.py",),
    ),
    Mutant(
        "an owner is stored on watches alone",
        "signer/mesh/bindings.py",
        "            if wrong := against_owner(view, Bind(signer, namespace, uid), self._clock()):\n",
        "            if wrong := against_owner(view, Bind(signer, namespace, uid), self._clock()) * 0:\n",
        LAGGING,
    ),
    Mutant(
        "a namespace is confirmed for ever",
        DECIDE,
        "    if until is not None and timedelta(0) < until - now <= CONFIRMED_FOR:\n",
        "    if until is not None:\n",
        LAGGING,
    ),
    Mutant(
        "a restart forgets a CA's former keys",
        KEYS,
        "                seen.update({one.key_id: None for one in record.own})\n",
        "                seen.update({})\n",
        ("tests/unit/tenancy/test_restarts.py",),
    ),
    Mutant(
        "a restart forgets that a policy was there",
        "signer/tenancy/index.py",
        "        if not self.world.unsynced:\n            self._remember_policies(now)\n",
        "",
        ("tests/unit/tenancy/test_restarts.py",),
    ),
    Mutant(
        "one revision speaks for another",
        RULES,
        "    own = world.domains.get(requester, world.config.trust_domains)\n",
        "    own = world.config.trust_domains\n",
        ("tests/unit/tenancy/test_revisions.py",),
    ),
)
