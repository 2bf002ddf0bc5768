"""The hot path's bookkeeping: whose turn it is, what waits, and what is tried again."""

from tests.mutants.mutant import Mutant

CONTROLLER = "signer/csr/controller.py"
DELIVERY = "signer/csr/answers/delivery.py"
BACKLOG = "signer/csr/queue/backlog.py"
WINDOW = "signer/csr/answers/window.py"
SHARING = "signer/csr/queue/replica.py"
AUDIT = "signer/observe/audit.py"
RECORD = "signer/kube/leases/record.py"
OWN = "signer/kube/leases/own.py"
CREDENTIALS = "signer/kube/access/credentials.py"

ANSWERING = ("tests/unit/csr/controller/test_answering.py",)
TROUBLE = ("tests/unit/csr/controller/test_trouble.py", "tests/unit/csr/controller/test_questions.py")
WAITING = ("tests/unit/csr/controller/test_waiting.py",)
STOPPING = ("tests/unit/csr/controller/test_stopping.py",)
SHARED = ("tests/unit/csr/queue/test_replica.py", "tests/unit/csr/controller/test_replicas.py")
OTHERS = "signer/csr/queue/others.py"
LEFT = ("tests/unit/csr/queue/test_others.py",)
LEASES = ("tests/unit/kube/leases",)
TURNS = ("tests/unit/csr/queue/test_backlog.py",)

MUTANTS = (
    Mutant(
        "a request is decided before it is approved",
        CONTROLLER,
        "        if isinstance(csr, CertificateSigningRequest) and not csr.approved:\n",
        "        if isinstance(csr, CertificateSigningRequest) and not csr.approved and False:\n",
        ANSWERING,
    ),
    Mutant(
        "after an unknown outcome a second certificate is made",
        DELIVERY,
        "            pending.unsent = answer\n            self._record.complain",
        "            pending.unsent = None\n            self._record.complain",
        TROUBLE,
    ),
    Mutant(
        "an answer for an older version of the object is sent again",
        CONTROLLER,
        "            if unsent.csr.resource_version == csr.resource_version:\n",
        "            if unsent:\n",
        TROUBLE,
    ),
    Mutant(
        "a write of unknown outcome is not tried again",
        DELIVERY,
        "            self.try_again(pending, result.retry_after)\n            return\n",
        "            self._backlog.remove(pending.csr.uid)\n            return\n",
        TROUBLE,
    ),
    Mutant(
        "a conflict ends a request that has no answer",
        DELIVERY,
        '        if result.outcome == "conflict" and result.latest is not None and not result.latest.answered:\n',
        '        if result.outcome == "conflict" and result.latest is None:\n',
        TROUBLE,
    ),
    Mutant(
        "a request whose work fails oddly is never touched again",
        DELIVERY,
        "pending.csr.name, kind, place)\n        self.try_again(pending)\n",
        "pending.csr.name, kind, place)\n",
        TROUBLE,
    ),
    Mutant(
        "the audit log ends on unknown although it could be known",
        DELIVERY,
        "                self._record.outcome(pending, answer, result.outcome, result.message)\n                self._record.count(",
        "                self._record.count(",
        TROUBLE,
    ),
    Mutant(
        "one request that trips the code stops all others",
        CONTROLLER,
        "                except Exception as error:  # noqa: BLE001 - one request must never stop the others\n",
        "                except KeyError as error:\n",
        TROUBLE,
    ),
    Mutant(
        "what the watch did not tell is never found",
        CONTROLLER,
        "                    if csr.approved and not csr.answered and not known:\n",
        "                    if csr.answered:\n",
        TROUBLE,
    ),
    Mutant(
        "requests are decided before the issuers are known",
        CONTROLLER,
        "        await self._registry.synced.wait()\n",
        "        await asyncio.sleep(0)\n",
        ANSWERING,
    ),
    Mutant(
        "a waiting request tells the same Event over and over",
        "signer/csr/record.py",
        "        pending.told.add(reason)\n",
        "        pending.told.discard(reason)\n",
        WAITING,
    ),
    Mutant(
        "the intent is not audited",
        "signer/csr/answers/signing.py",
        "        self._record.intent(pending, answer)\n        self._delivery.start(pending, self._delivery.write(pending, answer))\n\n    async",
        "        self._delivery.start(pending, self._delivery.write(pending, answer))\n\n    async",
        ANSWERING,
    ),
    Mutant(
        "what was asked for an older version of a request is used for the newer one",
        "signer/csr/queue/waiting.py",
        "        pending.answers = answers if pending.csr is csr else NOTHING_ASKED\n",
        "        pending.answers = answers\n",
        TROUBLE,
    ),
    Mutant(
        "a 429 leaves the window as it is",
        DELIVERY,
        "            self.window.throttled(self._clock())\n",
        "            self.window.succeeded()\n",
        TROUBLE,
    ),
    Mutant(
        "new requests are taken in while we stop",
        CONTROLLER,
        "        if ref is None or self._draining:\n",
        "        if ref is None:\n",
        STOPPING,
    ),
    Mutant(
        "stopping does not wait for the writes that are under way",
        CONTROLLER,
        "        while self._busy and",
        "        while self._backlog.ready and",
        STOPPING,
    ),
    Mutant(
        "every replica answers every request",
        SHARING,
        "        return max(patience - min(waited, now - signs), 0.0)\n",
        "        return 0.0\n",
        SHARED,
    ),
    Mutant(
        "a dead owner's requests are nobody's",
        SHARING,
        "        return max(patience - min(waited, now - signs), 0.0)\n",
        "        return patience\n",
        SHARED,
    ),
    Mutant(
        "what another took over makes its dead owner look alive",
        SHARING,
        " and (waited < PATIENCE or len(before) == 1):\n",
        ":\n",
        SHARED,
    ),
    Mutant(
        "all replicas take a dead owner's requests over at once",
        SHARING,
        "        patience = PATIENCE * min(len(before), _MOST)\n",
        "        patience = PATIENCE\n",
        SHARED,
    ),
    Mutant(
        "who comes and goes among the replicas is not noticed for what was left to them",
        OTHERS,
        "            self._regroup()\n",
        "            pass\n",
        LEFT,
    ),
    Mutant(
        "of what is left to others only the first look takes anything over",
        OTHERS,
        "        if self._left:\n",
        "        if self._left and not ours:\n",
        LEFT,
    ),
    Mutant(
        "another signer's certificate on our request is taken for our own",
        CONTROLLER,
        " and pending.answer.pem in raw\n",
        "\n",
        SHARED,
    ),
    Mutant(
        "a label that somebody took from a replica's Lease stays away",
        RECORD,
        """        metadata["labels"] = {**(metadata.get("labels") or {}), **labels}\n""",
        """        metadata.setdefault("labels", dict(labels))\n""",
        LEASES,
    ),
    Mutant(
        "whoever writes his name into a replica's Lease keeps it out",
        OWN,
        "        if self._terms.personal or self._ours(seen) or seen.expired(now):\n",
        "        if self._ours(seen) or seen.expired(now):\n",
        LEASES,
    ),
    Mutant(
        "two replicas of one name do not notice",
        OWN,
        "            self.twin = self._had and",
        "            self.twin = False and",
        LEASES,
    ),
    Mutant(
        "credentials that are refused are sent again at once",
        CREDENTIALS,
        "            if now < self._next:\n",
        "            if now < 0:\n",
        ("tests/unit/kube/test_client_credentials.py",),
    ),
    Mutant(
        "the window never grows back",
        WINDOW,
        "            self.size += 1\n",
        "            self.size += 0\n",
        ("tests/unit/csr/answers/test_window.py",),
    ),
    Mutant(
        "each 429 of one burst halves the window",
        WINDOW,
        "        if now >= self._deaf_until:\n",
        "        if True:\n",
        ("tests/unit/csr/answers/test_window.py",),
    ),
    Mutant(
        "what waits for an issuer is not told of its change",
        BACKLOG,
        "            self._by_issuer[issuer][pending.csr.uid] = pending\n",
        "            self._by_issuer[issuer].setdefault(pending.csr.uid, pending).timer = None\n"
        "            self._by_issuer.clear()\n",
        TURNS,
    ),
    Mutant(
        "a deleted request comes back by its timer",
        BACKLOG,
        "        if pending.stage is Stage.READY or self._by_uid.get(pending.csr.uid) is not pending:\n",
        "        if pending.stage is Stage.READY:\n",
        TURNS,
    ),
    Mutant(
        "the gauge of waiting requests only grows",
        BACKLOG,
        "            self._on_wait(pending.waits_for, -1)\n",
        "            self._on_wait(pending.waits_for, 0)\n",
        TURNS,
    ),
    Mutant(
        "a Secret's old key is used after the Secret changed",
        BACKLOG,
        "            pending.answers = Answers(may_reference=pending.answers.may_reference)\n",
        "            pending.told.clear()\n",
        TURNS,
    ),
    Mutant(
        "audit lines of a full disk are lost",
        AUDIT,
        "        self._lines = tail.splitlines()\n",
        "        self._lines = []\n",
        ("tests/unit/observe/test_audit.py",),
    ),
)
