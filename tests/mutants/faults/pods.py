"""Requests of Pods, and the bundles of roots."""

from tests.mutants.mutant import Mutant

EVALUATE = "signer/pods/evaluate.py"
BUNDLES = "signer/pods/bundles/step.py"
OBJECT = "signer/api/podcertificaterequest.py"
BUNDLE = "signer/api/clustertrustbundle.py"
KEEPING = "signer/pods/bundles/controller.py"
KEY = "issuers/proven_key.py"
COMPOSE = "signer/csr/answers/compose.py"
DECIDE = "signer/tenancy/decide.py"
DECIDED = ("tests/unit/pods/test_evaluate.py",)
ROOTS = ("tests/unit/pods/bundles/test_step.py",)
ROUND = ("tests/unit/pods/bundles/test_round.py",)
ASKED = ("tests/unit/csr/test_questions.py",)
PROVEN = ("tests/unit/issuers/test_proven_key.py",)
READ = ("tests/unit/api/test_podcertificaterequest.py",)

MUTANTS = (
    Mutant(
        "names that no signer has take the room of those that Pods ask",
        "signer/pods/asked.py",
        "        if not _may_mean(namespace, ref) or not self._known(ref):\n",
        "        if not _may_mean(namespace, ref):\n",
        ("tests/unit/pods/test_asked.py",),
    ),
    Mutant(
        "the Issuers of one namespace have bundles without end",
        "signer/pods/bundles/shares.py",
        "        if ref not in sizes and len(sizes) >= MOST_OF_A_NAMESPACE:\n",
        "        if False:\n",
        ("tests/unit/pods/bundles/test_shares.py",),
    ),
    Mutant(
        "the bundle of an issuer that is there ends",
        KEEPING,
        " if self._registry.get(ref) is None)\n",
        ")\n",
        ROUND,
    ),
    Mutant(
        "a Pod's uid is not looked at",
        EVALUATE,
        '            ("uid", request.pod_uid, pod.metadata.uid),\n',
        "",
        DECIDED,
    ),
    Mutant(
        "a Pod's node is not looked at",
        EVALUATE,
        '            ("spec.nodeName", request.node_name, pod.spec.node_name),\n',
        "",
        DECIDED,
    ),
    Mutant(
        "a Pod gets another ServiceAccount's identity",
        EVALUATE,
        '            ("spec.serviceAccountName", request.service_account, pod.spec.service_account_name),\n',
        "",
        DECIDED,
    ),
    Mutant(
        "a Pod that has ended gets a certificate",
        EVALUATE,
        '    if pod.status.phase in ("Succeeded", "Failed"):\n',
        '    if pod.status.phase in ("Failed",):\n',
        DECIDED,
    ),
    Mutant(
        "an account or a node that is not there passes",
        EVALUATE,
        "        if asked != there or not there:\n            now =",
        "        if asked != there:\n            now =",
        DECIDED,
    ),
    Mutant(
        "what was seen of a Pod counts for ever",
        EVALUATE,
        "    if seen is None or not timedelta(0) <= around.now - seen.at <= LOOK_COUNTS_FOR:\n",
        "    if seen is None:\n",
        DECIDED,
    ),
    Mutant(
        "what may be mended is denied for good",
        EVALUATE,
        "    return _may_change(refusal)\n",
        "    return refusal\n",
        DECIDED,
    ),
    Mutant(
        "a key that is not taken waits for ever",
        EVALUATE,
        "        if reason.code == _KEY_NOT_ALLOWED:\n",
        "        if reason.code is None:\n",
        DECIDED,
    ),
    Mutant(
        "a Pod's certificate lasts longer than it asked",
        EVALUATE,
        "    ends = min(around.now + grant.lifetime, begins + timedelta(seconds=request.max_seconds))\n",
        "    ends = around.now + grant.lifetime\n",
        DECIDED,
    ),
    Mutant(
        "the API server is sent a certificate of less than an hour",
        EVALUATE,
        "    if lasts < SHORTEST:\n",
        "    if lasts < SHORTEST / 2:\n",
        DECIDED,
    ),
    Mutant(
        "of several trust domains one is guessed",
        EVALUATE,
        "    if len(domains) != 1:\n",
        "    domains = frozenset(sorted(domains)[:1])\n    if len(domains) != 1:\n",
        DECIDED,
    ),
    Mutant(
        "a signer outside the mesh signs for every Pod",
        DECIDE,
        "    mesh = workload or _is_mesh(",
        "    mesh = _is_mesh(",
        DECIDED,
    ),
    Mutant(
        "a policy's requesters are not asked for Pods",
        DECIDE,
        "    if usual and not any(policy.requesters for policy in policies):\n",
        '    if claim.resource == "PodCertificateRequest" or (\n'
        "        usual and not any(policy.requesters for policy in policies)\n"
        "    ):\n",
        DECIDED,
    ),
    Mutant(
        "a kubelet's CSR may ask for names",
        KEY,
        "    if not data.startswith(write_info(EMPTY_NAME, request.spki, _NO_ATTRIBUTES), start):\n",
        "    if not data.startswith(der.sequence()[:0], start):\n",
        DECIDED,
    ),
    Mutant(
        "a Pod's certificate is asked anew in its last minutes",
        COMPOSE,
        "// timedelta(seconds=1) * 2 // 3)\n",
        "// timedelta(seconds=1) * 9 // 10)\n",
        DECIDED,
    ),
    Mutant(
        "a denied request is looked at again",
        OBJECT,
        '_FINAL = frozenset({"Issued", "Denied", "Failed"})\n',
        '_FINAL = frozenset({"Issued", "Failed"})\n',
        READ,
    ),
    Mutant(
        "the answer of another version than was read is written",
        OBJECT,
        "        return POD_CERTIFICATE_REQUESTS.at(self.version)\n",
        "        return POD_CERTIFICATE_REQUESTS\n",
        READ,
    ),
    Mutant(
        "a former root goes at once",
        BUNDLES,
        "        if end > now:\n            kept.append(root)\n",
        "        if end < now:\n            kept.append(root)\n",
        ROOTS,
    ),
    Mutant(
        "a former root stays for ever",
        BUNDLES,
        "        end = until.get(root.digest) or now + stays + _SPARE\n",
        "        end = now + stays + _SPARE\n",
        ROOTS,
    ),
    Mutant(
        "one tenant's root is in another's bundle",
        BUNDLES,
        "        if len(entry.signers) == 1:\n            (ref,) = entry.signers\n",
        "        for ref in entry.signers:\n",
        ROOTS,
    ),
    Mutant(
        "a leaf is published as a root",
        BUNDLES,
        "            if parts.is_ca(one) and root.ends > now:\n",
        "            if root.ends > now:\n",
        ROOTS,
    ),
    Mutant(
        "a root goes before the longest certificate of a policy has ended",
        BUNDLES,
        "    return max(world.settings.max_workload_lifetime, *limits) if limits else world.settings.max_workload_lifetime\n",
        "    return world.settings.max_workload_lifetime\n",
        ROOTS,
    ),
    Mutant(
        "what one signer's roots trip up stops all bundles",
        KEEPING,
        "            except Exception as error:  # noqa: BLE001 - one signer's",
        "            except (ApiError, Unreachable) as error:  # one signer's",
        ROUND,
    ),
    Mutant(
        "the key beside a certificate that nobody can read signs for whoever names its Secret",
        "signer/api/tls_secret.py",
        "    return parts.is_ca(certificate) is not False\n",
        "    return parts.is_ca(certificate) is True\n",
        ASKED,
    ),
    Mutant(
        "a chain ends at a root of another name",
        "signer/certificates/secrets/trust.py",
        "    whole = [root for root in roots if _names(root)[0] == _names(root)[1]]\n",
        "    whole = roots\n",
        ("tests/unit/certificates/secrets/test_trust.py",),
    ),
    Mutant(
        "somebody else's bundle is written over",
        BUNDLE,
        "        return named and TRUST_BUNDLE.items() <= self.metadata.labels.items()\n",
        "        return named\n",
        ROOTS,
    ),
)
