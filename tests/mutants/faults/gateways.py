"""Gateways: whose a Secret is, what it holds, and what is said of what is served."""

from tests.mutants.mutant import Mutant

_OF_REMADE = ("tests/unit/edge/hosts/test_remade.py",)
_ROUTED = "signer/edge/gateways/routed.py"
_OF_ROUTED = ("tests/unit/edge/gateways/test_routed.py",)
_OF_PROVEN = ("tests/unit/edge/hosts/test_proven.py",)
_RECORDS = "signer/edge/hosts/secret_records.py"
_PLACEHOLDER = "signer/edge/gateways/placeholder.py"
_SERVING = "signer/edge/gateways/served/step.py"
_UNIT = "tests/unit/edge"

MUTANTS = (
    Mutant(
        "a Secret is ours by its key though the record names another UID",
        _RECORDS,
        "    if record.uid:\n",
        "    if record.uid == secret.metadata.uid:\n",
        (f"{_UNIT}/hosts/test_secret_records.py",),
    ),
    Mutant(
        "a Secret without the private key is known by the certificate alone",
        "signer/api/tls_secret.py",
        "        return public_key_hash(leaf) if key.public_key() == leaf.public_key() else None\n",
        "        return public_key_hash(leaf) if key else None\n",
        (f"{_UNIT}/hosts/test_secret_records.py",),
    ),
    Mutant(
        "an empty record means every Secret without a key pair",
        _RECORDS,
        "    return bool(record.public_key) and key_pair(secret) == record.public_key\n",
        '    return (key_pair(secret) or "") == record.public_key\n',
        (f"{_UNIT}/hosts/test_secret_records.py",),
    ),
    Mutant(
        "a Certificate writes a Secret with another UID than it means",
        "signer/certificates/secrets/ownership.py",
        "    if not _meant(certificate, secret):\n",
        "    if False:\n",
        ("tests/unit/certificates/secrets/test_ownership.py",),
    ),
    Mutant(
        "a deleted Secret gets a certificate back that has ended",
        _PLACEHOLDER,
        "    valid = leaf.not_valid_before_utc <= now < leaf.not_valid_after_utc\n",
        "    valid = leaf.not_valid_before_utc <= now\n",
        (f"{_UNIT}/gateways/test_placeholder.py",),
    ),
    Mutant(
        "the Secret of a user's CA gets a placeholder",
        _PLACEHOLDER,
        "certificate.problem or spec.is_ca or",
        "certificate.problem or",
        (f"{_UNIT}/gateways/test_placeholder.py",),
    ),
    Mutant(
        "a Certificate that somebody wrote for the Secret under another name is not seen",
        "signer/edge/gateways/certificates.py",
        "    if by_hand:\n",
        "    if by_hand and there is not None:\n",
        (f"{_UNIT}/gateways/test_certificates.py",),
    ),
    Mutant(
        "a tenant reads the name of an administrator's Certificate",
        "signer/edge/gateways/certificates.py",
        "    if source != target and (by_hand or there is not None):\n",
        "    if source != target and there is not None:\n",
        (f"{_UNIT}/gateways/test_certificates.py",),
    ),
    Mutant(
        "one Pod that shows the certificate is enough",
        _SERVING,
        "    if seen and not missed and not other:\n",
        "    if len(seen) > len(missed) + len(other):\n",
        (f"{_UNIT}/gateways/served/test_step.py",),
    ),
    Mutant(
        "no Pod at all counts as served",
        _SERVING,
        "    if seen and not missed and not other:\n",
        "    if not missed and not other:\n",
        (f"{_UNIT}/gateways/served/test_step.py",),
    ),
    Mutant(
        "what was said of an earlier certificate counts for the new one",
        _SERVING,
        'condition.status == "True" and condition.message.startswith(f"serial {wanted} is ")\n',
        'condition.status == "True"\n',
        (f"{_UNIT}/gateways/served/test_step.py",),
    ),
    Mutant(
        "routes of other Gateways add hosts to this one's certificate",
        "signer/edge/gateways/budget.py",
        "in self._on.get((gateway.namespace, gateway.name), ()):",
        "in (one for on in self._on.values() for one in on):",
        (f"{_UNIT}/gateways/test_gather.py",),
    ),
    Mutant(
        "a look at a namespace reads hosts without end",
        "signer/edge/gateways/budget.py",
        "        self.steps -= steps\n",
        "",
        (f"{_UNIT}/test_loads.py",),
    ),
    Mutant(
        "a Secret of whose hosts a part was read gets a certificate without the others",
        "signer/edge/gateways/gather.py",
        "merge(wish for wish in wishes if wish.secret_name not in unread)",
        "merge(wishes)",
        (f"{_UNIT}/test_loads.py",),
    ),
    Mutant(
        "a tenant's Certificates have another namespace looked at",
        "signer/edge/gateways/certificates.py",
        " or own if own in gateway_namespaces else own",
        " or own",
        (f"{_UNIT}/gateways/test_certificates.py",),
    ),
    Mutant(
        "a later namespace of that name gets the key that a Secret held",
        "signer/edge/gateways/secrets.py",
        "if key in self._lost and self._lost[key][2] != asker.uid:",
        "if False:",
        (f"{_UNIT}/gateways/test_lost.py",),
    ),
    Mutant(
        "the overview takes an earlier namespace's Certificate for this one's",
        "signer/edge/overview.py",
        "            if origin in objects.namespaces and objects.namespaces[origin].metadata.uid == uid:\n",
        "            if origin in objects.namespaces:\n",
        (f"{_UNIT}/test_overview.py",),
    ),
    Mutant(
        "a host is left out of a certificate long before that ends",
        "signer/edge/hosts/proven.py",
        "left_out = near_end and 0 < len(dead) < len(hosts)",
        "left_out = 0 < len(dead) < len(hosts)",
        _OF_PROVEN,
    ),
    Mutant(
        "a host that was proven since is left out",
        "signer/edge/hosts/proven.py",
        "if since is None or (in_use is not None and in_use.start > since and host.is_in(in_use.names)):",
        "if since is None:",
        _OF_PROVEN,
    ),
    Mutant(
        "a namespace before a Secret's name is passed over",
        "signer/edge/gateways/placement.py",
        'if named in ("", pod.namespace)]',
        "]",
        ("tests/unit/edge/gateways/test_placement.py",),
    ),
    Mutant(
        "labels give a namespace what an earlier one of its name had",
        "signer/edge/hosts/decide.py",
        "    return any(policy.means(asker.namespace, asker.uid) for policy in deciding(policies, claim.host))\n",
        "    return granted_by_policy(claim.host, asker, policies)\n",
        _OF_REMADE,
    ),
    Mutant(
        "a policy that was written for an earlier namespace is put down for the one of now",
        "signer/edge/hosts/remade.py",
        "    if written is not None and made is not None and made < written:\n",
        "    if written is not None and made is not None:\n",
        _OF_REMADE,
    ),
    Mutant(
        "a host that is given back is not counted",
        "signer/edge/hosts/decide.py",
        "    if own is not None and not back:\n",
        "    if own is not None and (back or not _judge_own(own, asker, reasons)):\n",
        _OF_REMADE,
    ),
    Mutant(
        "what a CA had proven for an earlier namespace counts for the one of now",
        "signer/edge/hosts/decide.py",
        "        made=from_rfc3339(obj.spec.since) or from_rfc3339(obj.metadata.creation_timestamp),\n",
        "        made=from_rfc3339(obj.metadata.creation_timestamp),\n",
        _OF_REMADE,
    ),
    Mutant(
        "a policy that decides about another host lets a route's host in",
        _ROUTED,
        "own or any(one in letting[where] for one in deciding(world.policies, host)):\n",
        "own or letting[where]:\n",
        _OF_ROUTED,
    ),
    Mutant(
        "a policy of another Gateway's namespace lets a route's host in",
        _ROUTED,
        "if one.takes_routes and one.covers(gateway.namespace, gateway.uid, gateway.labels)",
        "if one.takes_routes",
        _OF_ROUTED,
    ),
    Mutant(
        "who writes many routes takes hosts out of a full certificate",
        _ROUTED,
        "        return not mine, made, one.host, one.namespace, one.listener\n",
        "        return False, made * mine * 0, one.host, one.namespace, one.listener\n",
        _OF_ROUTED,
    ),
)
