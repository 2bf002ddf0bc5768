"""What is told once: that it is told at all, and only while it is so."""

from tests.mutants.mutant import Mutant

NOTICES = "signer/observe/notices.py"
TESTS = ("tests/unit/observe/test_notices.py",)
ANSWERED = "signer/observe/answered.py"
OF_ANSWERED = ("tests/unit/observe/test_answered.py",)
WHO = ("tests/unit/observe/test_who_tells.py",)

MUTANTS = (
    Mutant(
        "a write is sent while its audit intent is in memory only",
        ANSWERED,
        "    await asyncio.sleep(0)\n",
        "",
        OF_ANSWERED,
    ),
    Mutant(
        "what cannot be written down is issued, where that is to stop",
        ANSWERED,
        '        if audit.blocked and line.verdict == "issue":\n',
        '        if audit.blocked and line.verdict == "refuse":\n',
        OF_ANSWERED,
    ),
    Mutant(
        "what found no room counts as told",
        NOTICES,
        "        if self._of_share[of] == 0 and self._offer(about, notice, share):\n",
        "        if self._of_share[of] == 0 and (self._offer(about, notice, share) or True):\n",
        WHO,
    ),
    Mutant(
        "what is mended is told all the same, once there is room",
        NOTICES,
        "        if waits is not None and waits.stands:\n",
        "        if waits is not None and not waits.stands:\n",
        TESTS,
    ),
    Mutant(
        "what found no room even to wait is never said again",
        NOTICES,
        "                self._said[name].notices -= {one}  # no room even to wait: it is new the next time, too\n",
        "                pass\n",
        TESTS,
    ),
    Mutant(
        "one tenant takes all the room to wait",
        NOTICES,
        "most = _WAITING_OF_ONE if share is not None",
        "most = _WAITING if share is not None",
        TESTS,
    ),
    Mutant(
        "one namespace's Events hold up everybody's",
        "signer/observe/events.py",
        "        flow = share if share is not None else ref.namespace\n",
        '        flow = ""\n',
        ("tests/unit/observe/test_events.py",),
    ),
)
