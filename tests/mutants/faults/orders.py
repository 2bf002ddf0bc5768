"""Orders and Challenges: what tenants, hanging CAs and accidents may do to them."""

from tests.mutants.mutant import Mutant

_LIFECYCLE = "signer/edge/orders/step.py"
_VALUES = "signer/edge/orders/values.py"
_TURNS = "signer/edge/challenges/turns.py"
_SHARES = "signer/edge/issuers/shares.py"
_UNIT = "tests/unit/edge"

MUTANTS = (
    Mutant(
        "what a CA refused or did not answer spends its limits",
        "issuers/acme/limits.py",
        "        if cost and key in state:\n",
        "        if not cost and key in state:\n",
        ("tests/unit/issuers_acme/test_limits.py",),
    ),
    Mutant(
        "an order of the account that the issuer had before is waited for without end",
        _LIFECYCLE,
        "            return Fail(_ANOTHER_ACCOUNT)\n",
        "            waiting.append(challenge)\n",
        (f"{_UNIT}/orders/test_step.py",),
    ),
    Mutant(
        "a Challenge for an issuer's old solver is waited for without end",
        _LIFECYCLE,
        "            outdated.append(challenge)\n",
        "            waiting.append(challenge)\n",
        (f"{_UNIT}/orders/test_step.py",),
    ),
    Mutant(
        "a failed proof is seen only when no other waits",
        _LIFECYCLE,
        "        if challenge is not None and challenge.status.state in FAILED_STATES:\n",
        "        if challenge is not None and challenge.status.state in FAILED_STATES and not waiting:\n",
        (f"{_UNIT}/orders/test_step.py",),
    ),
    Mutant(
        "an order that the CA works on without end is waited for without end",
        _VALUES,
        "    if last is None or last > now or (placed.status is",
        "    if last is None or last > now or placed.status is OrderStatus.PROCESSING or (placed.status is",
        (f"{_UNIT}/orders/test_values.py",),
    ),
    Mutant(
        "a CA that names no end has all the time in the world",
        _VALUES,
        "    return min(told or begun + UNTOLD_LIFE, begun + LONGEST_LIFE)\n",
        "    return min(told, begun + LONGEST_LIFE) if told is not None else None\n",
        (f"{_UNIT}/orders/test_values.py",),
    ),
    Mutant(
        "a CA may put an order off for days",
        _VALUES,
        "_SHORTEST_POLL), LONGEST_POLL)\n",
        "_SHORTEST_POLL), 99 * LONGEST_POLL)\n",
        (f"{_UNIT}/orders/test_values.py",),
    ),
    Mutant(
        "a Challenge that says it is worked on takes a place, whoever wrote it",
        _TURNS,
        "if _leaves(one) or self._asked_for(one)]\n",
        "if one.status.processing or self._asked_for(one)]\n",
        (f"{_UNIT}/challenges/test_turns.py",),
    ),
    Mutant(
        "a Challenge gets a turn by its name alone",
        _TURNS,
        " and one.identifier == challenge.spec.dns_name\n",
        "\n",
        (f"{_UNIT}/challenges/test_turns.py",),
    ),
    Mutant(
        "each Issuer of a namespace has workers of its own",
        _SHARES,
        '            return self._turn(("issuers", ref.namespace), self._tenant)\n',
        "            return self._turn((ref.name, ref.namespace), self._tenant)\n",
        (f"{_UNIT}/issuers/test_shares.py",),
    ),
    Mutant(
        "work that fails keeps its turn",
        _SHARES,
        "            self._busy[share] -= 1\n",
        "            pass\n",
        (f"{_UNIT}/issuers/test_shares.py",),
    ),
    Mutant(
        "a CA's answer is lost with the first write that fails",
        "signer/edge/orders/writer.py",
        "        except (NotFound, Conflict, Invalid):\n",
        "        except (ApiError, Unreachable):\n",
        (f"{_UNIT}/orders/test_insisting.py",),
    ),
    Mutant(
        "half an answer counts",
        "signer/edge/proxies/http.py",
        "        body = await reader.readexactly(min(int(length), most))\n",
        "        body = await reader.read(min(int(length), most))\n",
        (f"{_UNIT}/proxies/test_http.py",),
    ),
    Mutant(
        "a look lasts as long as its Pod likes",
        "signer/edge/proxies/http.py",
        "        async with asyncio.timeout(seconds):\n",
        "        async with asyncio.timeout(seconds * 30):\n",
        (f"{_UNIT}/proxies/test_http.py",),
    ),
    Mutant(
        "interim answers are read without end",
        "signer/edge/proxies/http.py",
        "    for _ in range(_MOST_HEADS):\n",
        "    while True:\n",
        (f"{_UNIT}/proxies/test_http.py",),
    ),
    Mutant(
        "names are asked for in the threads of everything else",
        "signer/edge/proxies/resolve.py",
        "run_in_executor(_threads, ",
        "run_in_executor(None, ",
        (f"{_UNIT}/proxies/test_http.py",),
    ),
    Mutant(
        "an answer that somebody took away stays away",
        "signer/edge/challenges/checks.py",
        "        if found.cause in _MAY_BE_GONE and failures % _PRESENT_AGAIN == 0:\n",
        "        if found.cause in _MAY_BE_GONE and failures < 0:\n",
        (f"{_UNIT}/challenges/test_checks.py",),
    ),
    Mutant(
        "one namespace's looks may take all turns",
        "signer/edge/challenges/checks.py",
        "            if not mine:\n",
        "            if mine is None:\n",
        (f"{_UNIT}/challenges/test_checks.py",),
    ),
)
