"""The CA injector: what it writes where, and whose word it takes."""

from tests.mutants.mutant import Mutant

DECIDE = "signer/injector/decide.py"
ASKED = "signer/injector/asked.py"
BUNDLE = "signer/injector/bundle.py"
JUDGE = "signer/injector/sources/judge.py"
CONTROLLER = "signer/injector/controller.py"
RIVAL = "signer/injector/rival.py"
TESTS = "tests/unit/injector"

MUTANTS = (
    Mutant(
        "a CA is injected over an object that changed meanwhile",
        DECIDE,
        '    patch: JsonPatch = [{"op": "replace", "path": "/metadata/resourceVersion", "value": version}]\n',
        '    patch: JsonPatch = [{"op": "test", "path": "/metadata/resourceVersion", "value": version}]\n',
        (f"{TESTS}/test_decide.py",),
    ),
    Mutant(
        "a CA that is there already is written again",
        DECIDE,
        'if config.get("caBundle") != text]\n',
        "if text]\n",
        (f"{TESTS}/test_decide.py",),
    ),
    Mutant(
        "a definition without a conversion webhook is written",
        DECIDE,
        '    if conversion.get("strategy") != "Webhook" or not isinstance(config, dict):\n',
        "    if not isinstance(config, dict):\n",
        (f"{TESTS}/test_decide.py",),
    ),
    Mutant(
        "CAs come from namespaces that are not allowed",
        ASKED,
        "    if namespaces and namespace not in namespaces:\n",
        "    if not namespaces and namespace in namespaces:\n",
        (f"{TESTS}/test_asked.py",),
    ),
    Mutant(
        "a private key is published in a caBundle",
        BUNDLE,
        '    if b"PRIVATE KEY" in text:\n',
        '    if b"PRIVATE KEYS" in text:\n',
        (f"{TESTS}/test_sources.py",),
    ),
    Mutant(
        "what cannot be read is injected",
        BUNDLE,
        "            read_certificate(data)\n",
        "            bytes(data)\n",
        (f"{TESTS}/test_sources.py",),
    ),
    Mutant(
        "any Secret gives its CA",
        JUDGE,
        '    if secret.metadata.annotations.get(ALLOW_DIRECT_INJECTION) != "true":\n',
        "    if ALLOW_DIRECT_INJECTION not in secret.metadata.annotations:\n",
        (f"{TESTS}/test_sources.py",),
    ),
    Mutant(
        "a Certificate gives the CA of a Secret that is not its own",
        JUDGE,
        "    if secret.metadata.annotations.get(CERTIFICATE_NAME) != spec.name:\n",
        "    if CERTIFICATE_NAME not in secret.metadata.annotations:\n",
        (f"{TESTS}/test_sources.py",),
    ),
    Mutant(
        "a Certificate that is not Ready gives its CA",
        JUDGE,
        '    if ready is None or ready.status != "True":\n',
        "    if ready is None:\n",
        (f"{TESTS}/test_sources.py",),
    ),
    Mutant(
        "keys are kept of Secrets that are asked for their CA",
        JUDGE,
        "    data = {CA_CERT: secret.data[CA_CERT][: MAX_BYTES + 1]} if CA_CERT in secret.data else {}\n",
        "    data = secret.data\n",
        (f"{TESTS}/test_sources.py",),
    ),
    Mutant(
        "the answer in a CASource is believed unseen",
        CONTROLLER,
        "        if defect := defect_of(status.ca_bundle):\n",
        '        if defect := status.ca_bundle and "":\n',
        (f"{TESTS}/test_controller.py",),
    ),
    Mutant(
        "two parties that undo each other are not slowed down",
        CONTROLLER,
        "        self._pacing.note(key, self._clock())\n",
        "        self._pacing.forget(key)\n",
        (f"{TESTS}/test_controller.py",),
    ),
    Mutant(
        "questions are taken away before all is read",
        CONTROLLER,
        "        if stored is None or not self._watched.complete:\n",
        "        if stored is None:\n",
        (f"{TESTS}/test_controller.py",),
    ),
    Mutant(
        "CAs are injected beside cert-manager's cainjector",
        RIVAL,
        "            if not seen.expired(monotonic()):\n",
        "            if seen.expired(monotonic()):\n",
        (f"{TESTS}/test_controller.py",),
    ),
)
