"""The edge's ACME: what a CA may make us do, and when we do it."""

from tests.mutants.mutant import Mutant

TARGETS = "issuers/acme/targets.py"
ANSWERS = "issuers/acme/answers.py"
ERRORS = "issuers/acme/errors.py"
CHAIN = "issuers/acme/chain.py"
RENEWAL = "issuers/acme/renewal.py"
BACKOFF = "issuers/acme/backoff.py"
LIMITS = "issuers/acme/limits.py"
ACCOUNT = "issuers/acme/account.py"
HISTORY = "signer/edge/orders/history.py"
GATE = "signer/edge/orders/gate.py"
CHOICE = "signer/edge/issuers/choice.py"
MAKING = "signer/edge/orders/make.py"
TESTS = "tests/unit/issuers_acme"
EDGE = "tests/unit/edge"

MUTANTS = (
    Mutant(
        "an account is used with another directory of its host",
        "signer/edge/issuers/controller.py",
        "    return not before.last_server or (before.last_server, before.last_external_account) == (\n",
        "    return bool(before.last_server) or (before.last_server, before.last_external_account) == (\n",
        (f"{EDGE}/issuers/test_account.py",),
    ),
    Mutant(
        "more is proven than was ordered",
        ANSWERS,
        "    if over in wish.identifiers and (value != base or",
        "    if _told(found.wildcard) is True or over in wish.identifiers and (value != base or",
        (f"{TESTS}/test_answers.py",),
    ),
    Mutant(
        "an alternative chain that is not to be had stops the issuance",
        CHAIN,
        "            missed.append(str(error))\n",
        "            raise error\n",
        (f"{TESTS}/test_chain.py",),
    ),
    Mutant(
        "a nonce that is none spoils the answer that it came with",
        "issuers/acme/client/network.py",
        "        if not _NONCE.fullmatch(nonce):\n            return\n",
        "        if not _NONCE.fullmatch(nonce):\n            raise MalformedAnswer(nonce)\n",
        (f"{TESTS}/test_network.py",),
    ),
    Mutant(
        "a CA's URLs may lead anywhere",
        TARGETS,
        "    if found not in allowed:\n",
        "    if found.port != allowed.directory.port:\n",
        (f"{TESTS}/test_targets.py",),
    ),
    Mutant(
        "shared and documentation addresses are dialled",
        TARGETS,
        '    return None if address.is_global and not _within(address, _SPECIAL) else "private"\n',
        '    return "private" if address.is_private and not address.is_reserved else None\n',
        (f"{TESTS}/test_targets.py",),
    ),
    Mutant(
        "an IPv4 address inside of an IPv6 one is not looked at",
        TARGETS,
        "        forms = [found, *_inner(found)]\n",
        "        forms = [found]\n",
        (f"{TESTS}/test_targets.py",),
    ),
    Mutant(
        "the cluster's networks do not count",
        TARGETS,
        "            if _within(one, self.cluster):\n",
        "            if _within(one, ()):\n",
        (f"{TESTS}/test_targets.py",),
    ),
    Mutant(
        "an order may be for more names",
        ANSWERS,
        "for one in found.identifiers} != set(wish.identifiers):\n",
        "for one in found.identifiers} < set(wish.identifiers):\n",
        (f"{TESTS}/test_answers.py",),
    ),
    Mutant(
        "any text is a token",
        ANSWERS,
        "kind != DNS_PERSIST01 and TOKEN.fullmatch(token) else",
        "kind != DNS_PERSIST01 and TOKEN.match(token) else",
        (f"{TESTS}/test_answers.py",),
    ),
    Mutant(
        "text of any page is shown",
        ANSWERS,
        '        printable(detail) if with_text and isinstance(detail, str) else "",\n',
        '        printable(detail) if isinstance(detail, str) else "",\n',
        (f"{TESTS}/test_answers.py",),
    ),
    Mutant(
        "an order is taken as a renewal, whatever the CA says",
        ANSWERS,
        "        replaces=wish.replaces if _told(found.replaces) == wish.replaces else None,\n",
        "        replaces=wish.replaces,\n",
        (f"{TESTS}/test_answers.py",),
    ),
    Mutant(
        "a time without a zone is UTC",
        ANSWERS,
        "    try:\n        found = msgspec.convert(text, dt.datetime)\n",
        "    try:\n        found = msgspec.convert(text, dt.datetime)\n        found = found.replace(tzinfo=found.tzinfo or dt.UTC)\n",
        (f"{TESTS}/test_answers.py",),
    ),
    Mutant(
        "a limit counts as a failure",
        BACKOFF,
        "    if isinstance(failure, RateLimited):\n        return replace(before, ",
        "    if isinstance(failure, RateLimited):\n        return replace(before, failures=before.failures + 1, ",
        (f"{TESTS}/test_backoff.py",),
    ),
    Mutant(
        "a CA may stop an issuer for years",
        ERRORS,
        "    return min(max(retry_after, now + _SHORTEST), now + _LONGEST)\n",
        "    return max(retry_after, now + _SHORTEST)\n",
        (f"{TESTS}/test_errors.py",),
    ),
    Mutant(
        "a fatal problem among several is overlooked",
        ERRORS,
        "    if codes & FATAL:\n",
        "    if problem.code in FATAL:\n",
        (f"{TESTS}/test_errors.py",),
    ),
    Mutant(
        "a certificate for another key is taken",
        CHAIN,
        "    if leaf.public_key() != key.public_key():\n",
        "    if not leaf.public_key():\n",
        (f"{TESTS}/test_chain.py",),
    ),
    Mutant(
        "a chain need not be signed",
        CHAIN,
        "            lower.verify_directly_issued_by(upper)\n",
        "            assert lower.issuer == upper.subject\n",
        (f"{TESTS}/test_chain.py",),
    ),
    Mutant(
        "a certificate for more names is taken",
        CHAIN,
        "    if _names(leaf) != set(wish.identifiers):\n",
        "    if not _names(leaf) >= set(wish.identifiers):\n",
        (f"{TESTS}/test_chain.py",),
    ),
    Mutant(
        "a serial number has no sign byte",
        RENEWAL,
        '    encoded = serial.to_bytes(serial.bit_length() // 8 + 1, "big", signed=True)\n',
        '    encoded = serial.to_bytes((serial.bit_length() + 7) // 8, "big")\n',
        (f"{TESTS}/test_renewal.py",),
    ),
    Mutant(
        "the instant is drawn anew each time",
        RENEWAL,
        "    if kept is not None and window.start <= kept.instant <= window.end:\n",
        "    if kept is not None and window.start == kept.instant:\n",
        (f"{TESTS}/test_renewal.py",),
    ),
    Mutant(
        "advice is followed into the certificate's end",
        RENEWAL,
        "    if emergency(of, now):\n",
        "    if emergency(of, now) and advice is None:\n",
        (f"{TESTS}/test_renewal.py",),
    ),
    Mutant(
        "a CA that always says now is asked all the time",
        RENEWAL,
        "    return Plan(min(max(advice.instant, rested(of, in_a_row)), last), Why.ADVICE, alarm)\n",
        "    return Plan(min(advice.instant, last), Why.ADVICE, alarm)\n",
        (f"{TESTS}/test_renewal.py",),
    ),
    Mutant(
        "a CA whose windows are past gets an order after the other",
        "signer/edge/orders/renewals.py",
        "            self._rows[key] = _Row(name, before + 1)\n",
        "            self._rows[key] = _Row(name, 1)\n",
        (f"{EDGE}/orders/test_renewals.py",),
    ),
    Mutant(
        "a directory on the Internet may name the cloud's metadata",
        "issuers/acme/client/transport.py",
        "        beyond = sorted(kinds(address) - self._kinds)\n",
        "        beyond = sorted(kinds(address) - kinds(address))\n",
        (f"{TESTS}/test_network.py",),
    ),
    Mutant(
        "nothing is kept for renewals",
        LIMITS,
        "    reserve = 0.0 if asking.renewal else KEPT_FOR_RENEWALS\n",
        "    reserve = 0.0\n",
        (f"{TESTS}/test_limits.py",),
    ),
    Mutant(
        "a clock that goes back and forth fills buckets",
        LIMITS,
        "    return max(now, state[key].at) if key in state else now\n",
        "    return now\n",
        (f"{TESTS}/test_limits.py",),
    ),
    Mutant(
        "a short MAC key is sent with a long hash",
        ACCOUNT,
        "    if len(plain) < (needed := MAC_ALGORITHMS[algorithm]):\n",
        "    if len(plain) < (needed := min(MAC_ALGORITHMS.values())):\n",
        (f"{TESTS}/test_account.py",),
    ),
    Mutant(
        "the MAC key is printed",
        ACCOUNT,
        "    mac_key: str = field(repr=False)\n",
        "    mac_key: str\n",
        (f"{TESTS}/test_account.py",),
    ),
    Mutant(
        "a 429 is cut short for those that hurry",
        HISTORY,
        "        if urgent and self.attempts.reason != RATE_LIMITED and self.failed_at is not None:\n",
        "        if urgent and self.failed_at is not None:\n",
        (f"{EDGE}/orders/test_history.py", f"{EDGE}/orders/test_gate.py"),
    ),
    Mutant(
        "whoever names a CertID renews",
        HISTORY,
        "        (replaces and one.certificate_id == replaces) or",
        "        bool(replaces) or",
        (f"{EDGE}/orders/test_history.py",),
    ),
    Mutant(
        "success at one CA leaves the failures at another",
        GATE,
        "            if one.account != account.url:\n",
        "            if one.account == account.url:\n",
        (f"{EDGE}/orders/test_gate.py",),
    ),
    Mutant(
        "limits hold a certificate back until its end",
        GATE,
        "        if not hurry:\n",
        "        if True:\n",
        (f"{EDGE}/orders/test_gate.py",),
    ),
    Mutant(
        "one more than the rate",
        HISTORY,
        "        if len(made) >= rate.certificates:\n",
        "        if len(made) > rate.certificates:\n",
        (f"{EDGE}/orders/test_rates.py",),
    ),
    Mutant(
        "one failure leads to the next CA",
        CHOICE,
        "        return one.attempts.failures < ENOUGH\n",
        "        return one.attempts.failures < 1\n",
        (f"{EDGE}/issuers/test_choice.py",),
    ),
    Mutant(
        "an Order may go to any issuer",
        MAKING,
        "    if ref is None or ref not in allowed:\n",
        "    if ref is None:\n",
        (f"{EDGE}/orders/test_make.py",),
    ),
)
