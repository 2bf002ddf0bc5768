"""The decision about a request, and the answer that is made of it."""

from tests.mutants.mutant import Mutant

EVALUATE = "signer/csr/evaluate.py"
ANSWER = "signer/csr/answers/compose.py"
QUESTIONS = "signer/csr/questions.py"
WRITER = "signer/csr/answers/writer.py"

DECIDED = ("tests/unit/csr/test_evaluate.py", "tests/unit/csr/test_evaluate_issued.py")
ANSWERED = ("tests/unit/csr/answers/test_compose.py",)
ASKED = ("tests/unit/csr/test_questions.py",)
WRITTEN = ("tests/unit/csr/answers/test_writer.py",)

MUTANTS = (
    Mutant(
        "nobody is asked whether a requester may reference an Issuer",
        EVALUATE,
        '    if ref.kind == "Issuer" and case.route is None:',
        '    if ref.kind == "Issuer" and False:',
        DECIDED,
    ),
    Mutant(
        "who may not reference an Issuer gets its certificate",
        EVALUATE,
        "        if not case.answers.may_reference:\n",
        "        if case.answers.may_reference is None:\n",
        DECIDED,
    ),
    Mutant(
        "an issuer that is not ready signs",
        EVALUATE,
        "    if not state.ready:\n",
        "    if not state.ready and state.authority is None and False:\n",
        DECIDED,
    ),
    Mutant(
        "expirationSeconds beats the duration annotation",
        EVALUATE,
        "    if text is not None:\n",
        "    if text is not None and content.expiration_seconds is None:\n",
        DECIDED,
    ),
    Mutant(
        "a lifetime of less than ten minutes is issued",
        EVALUATE,
        "    if duration < MINIMUM_DURATION:\n",
        "    if duration < timedelta(0):\n",
        DECIDED,
    ),
    Mutant(
        "a lifetime of exactly ten minutes is refused",
        EVALUATE,
        "    if duration < MINIMUM_DURATION:\n",
        "    if duration <= MINIMUM_DURATION:\n",
        DECIDED,
    ),
    Mutant(
        "request-is-ca with any text asks for a CA",
        EVALUATE,
        '            is_ca=content.annotations.get(IS_CA_ANNOTATION) == "true",\n',
        "            is_ca=IS_CA_ANNOTATION in content.annotations,\n",
        DECIDED,
    ),
    Mutant(
        "the wall's refusal is passed over",
        EVALUATE,
        "    return judge(claim, case.standing, around.world, around.limits, fresh=case.answers.fresh, now=around.now)\n",
        "    found = judge(claim, case.standing, around.world, around.limits, fresh=case.answers.fresh, now=around.now)\n"
        "    return Grant(timedelta(days=1)) if isinstance(found, Refuse) else found\n",
        DECIDED,
    ),
    Mutant(
        "a mesh request's annotations count",
        EVALUATE,
        "    asked = requested_duration(content, mesh=mesh)\n",
        "    asked = requested_duration(content, mesh=False)\n",
        ("tests/unit/csr/test_mesh_requests.py", "tests/unit/csr/test_mesh_attacks.py"),
    ),
    Mutant(
        "a selfSigned issuer is asked for a key before the wall is",
        EVALUATE,
        '    if state.kind == "selfSigned" and not (mesh and (case.route or around.world.settings.enforces(around.now))):\n',
        '    if state.kind == "selfSigned":\n',
        ("tests/unit/csr/test_mesh_requests.py", "tests/unit/csr/test_mesh_attacks.py"),
    ),
    Mutant(
        "in audit mode a selfSigned issuer that identity chose is asked for a key",
        EVALUATE,
        "not (mesh and (case.route or around.world.settings.enforces(around.now)))",
        "not (mesh and around.world.settings.enforces(around.now))",
        ("tests/unit/csr/test_by_identity.py",),
    ),
    Mutant(
        "the issuer's OCSP servers are not named",
        EVALUATE,
        "            ocsp_servers=ca.ocsp_servers,\n",
        "",
        DECIDED,
    ),
    Mutant(
        "a self-signed certificate is made with somebody else's key",
        EVALUATE,
        "    if key.public_key() != request.public_key:\n",
        "    if key is None:\n",
        DECIDED,
    ),
    Mutant(
        "an Issuer's key Secret is looked for in the cluster resource namespace",
        EVALUATE,
        "    namespace = state.ref.namespace or around.cluster_resource_namespace\n",
        "    namespace = around.cluster_resource_namespace\n",
        DECIDED,
    ),
    Mutant(
        "the requester is missing in the audit log",
        EVALUATE,
        "requester=case.content.username",
        'requester=""',
        DECIDED,
    ),
    Mutant(
        "workloads get what Envoy would not accept",
        EVALUATE,
        "by_some(every) if grant.mesh else by_nobody(every)",
        "by_nobody(every)",
        ("tests/unit/csr/test_verifiable.py",),
    ),
    Mutant(
        "a certificate begins before its CA",
        "issuers/verify.py",
        "    template = within(template, not_before=authority.not_before, not_after=authority.not_after)\n",
        "    template = within(template, not_before=template.not_before, not_after=authority.not_after)\n",
        ("tests/unit/csr/test_verifiable.py",),
    ),
    Mutant(
        "one of several URIs passes for the identity",
        "signer/observe/names.py",
        '    return request.uris[0] if len(request.uris) == 1 else ""\n',
        '    return request.uris[0] if request.uris else ""\n',
        ("tests/unit/observe/test_names.py",),
    ),
    Mutant(
        "only the first reason of a refusal reaches the audit log",
        ANSWER,
        "for reason in verdict.reasons]\n",
        "for reason in verdict.reasons[:1]]\n",
        ANSWERED,
    ),
    Mutant(
        "control characters of a requester reach a terminal",
        "signer/observe/printable.py",
        'char if char.isprintable() else "�"',
        "char",
        ANSWERED,
    ),
    Mutant(
        "a message may be of any length",
        ANSWER,
        "    message = printable(verdict.message)\n",
        "    message = verdict.message\n",
        ANSWERED,
    ),
    Mutant(
        "a CA's key signs for whoever names its Secret",
        QUESTIONS,
        "        if self._registry.is_ca_secret(namespace, name):\n",
        "        if not name:\n",
        ASKED,
    ),
    Mutant(
        "the key beside a CA certificate signs for whoever names its Secret",
        QUESTIONS,
        "    if isinstance(certificate, str) and _is_ca(certificate):\n",
        "    if certificate is None:\n",
        ASKED,
    ),
    Mutant(
        "a right is remembered for all requesters",
        QUESTIONS,
        "        key = (who, issuer)\n",
        "        key = (who[:0], issuer)\n",
        ASKED,
    ),
    Mutant(
        "the right to all Issuers of a namespace is not asked for",
        QUESTIONS,
        '        for name in (issuer.name, "*"):\n',
        "        for name in (issuer.name,):\n",
        ASKED,
    ),
    Mutant(
        "a review without a plain yes is a yes",
        "signer/api/accessreview.py",
        '    return isinstance(status, dict) and status.get("allowed") is True\n',
        '    return isinstance(status, dict) and status.get("allowed") is not False\n',
        ("tests/unit/api/test_accessreview.py", *ASKED),
    ),
    Mutant(
        "an answer of unknown outcome is given up",
        WRITER,
        "            if error.status in {401, 403, 408} or error.status >= 500:\n",
        "            if error.status in {401, 403, 408}:\n",
        WRITTEN,
    ),
    Mutant(
        "our own earlier write is taken for another's",
        WRITER,
        "            ours = unsure and latest.answered and",
        "            ours = not unsure and latest.answered and",
        WRITTEN,
    ),
    Mutant(
        "another's certificate is taken for ours",
        WRITER,
        "        return _certificate(latest) == answer.pem\n",
        "        return bool(_certificate(latest))\n",
        WRITTEN,
    ),
    Mutant(
        "another's refusal is taken for ours",
        WRITER,
        "    return read_refusal(latest.raw, layout) == read_refusal(answer.body[start:end], layout)\n",
        "    return read_refusal(latest.raw, layout) is not None\n",
        WRITTEN,
    ),
    Mutant(
        "a new request of the same name gets the old one's answer",
        WRITER,
        "        if latest.uid != csr.uid:\n",
        "        if latest.name != csr.name:\n",
        WRITTEN,
    ),
    Mutant(
        "a 429 does not throttle",
        WRITER,
        "retry_after=error.retry_after, throttled=True, error=error)\n",
        "retry_after=error.retry_after, error=error)\n",
        WRITTEN,
    ),
)
