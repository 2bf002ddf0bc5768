"""Planted faults of HTTP-01: a redirect that is taken, who carries a challenge, what the shared solver answers, where is looked."""

from tests.mutants.mutant import Mutant

_REDIRECTS = "signer/edge/http01/redirect.py"
_ANSWERS = "signer/edge/http01/solver_answers.py"
_CHOOSING = "signer/edge/http01/carrier.py"
_CHECK = "signer/edge/http01/check.py"
_OF_CHECK = ("tests/unit/edge/http01/test_check.py",)
_OF_ATTACKS = ("tests/unit/edge/test_attacks.py",)
_OF_REDIRECTS = ("tests/unit/edge/http01/test_redirect.py",)
_OF_ANSWERS = ("tests/unit/edge/http01/test_solver_answers.py",)
_OF_SERVER = ("tests/unit/edge/http01/test_solver.py",)
_OF_CHOOSING = ("tests/unit/edge/http01/test_carrier.py",)

MUTANTS = (
    Mutant(
        "whatever the annotation says is written into the user's Gateway",
        _REDIRECTS,
        "if record.taken and _opened(record.original, record.taken) == servers:",
        "if record.taken:",
        _OF_REDIRECTS,
    ),
    Mutant(
        "a redirect is taken without its owner's consent",
        _REDIRECTS,
        'if annotations.get(ALLOW_REDIRECT_CHANGE) != "true":',
        "if False:",
        _OF_REDIRECTS,
    ),
    Mutant(
        "the other hosts of a server are lost with the redirect of the challenge's",
        _REDIRECTS,
        "        if found is None:\n            rest.append(one)",
        "        if found is None:\n            pass",
        _OF_REDIRECTS,
    ),
    Mutant(
        "a note of any number of servers and Challenges is believed",
        _REDIRECTS,
        "if len(original) > MOST_SERVERS or len(taken) > MOST_TAKEN:",
        "if False:",
        _OF_REDIRECTS,
    ),
    Mutant(
        "a note of any depth is read",
        "signer/api/notes.py",
        ' or deeper(text.encode(errors="replace"), bounds.depth):',
        ":",
        ("tests/unit/api/test_notes.py",),
    ),
    Mutant(
        "what was taken for other challenges is given back with one",
        _REDIRECTS,
        "others = {key: host for key, host in record.taken.items() if key not in gone}",
        "others: dict[str, str] = {}",
        _OF_REDIRECTS,
    ),
    Mutant(
        "an edited server does not redirect again",
        _REDIRECTS,
        '"httpsRedirect": True}',
        '"httpsRedirect": False}',
        _OF_REDIRECTS,
    ),
    Mutant(
        "a tenant's challenge may be put on anybody's Gateway",
        _CHOOSING,
        "(everywhere or one.metadata.namespace == namespace)",
        "(everywhere or True)",
        _OF_CHOOSING,
    ),
    Mutant(
        "the user's Gateway is changed though something else would do",
        _CHOOSING,
        'elif mode.letter == "C":',
        'elif mode.letter == "none":',
        _OF_CHOOSING,
    ),
    Mutant(
        "the solver answers for Challenges that are not presented",
        _ANSWERS,
        "not spec.wildcard and challenge.status.presented",
        "not spec.wildcard",
        _OF_ANSWERS,
    ),
    Mutant(
        "a request with two Hosts is answered",
        _ANSWERS,
        "or len(hosts) != 1:",
        "or not hosts:",
        _OF_SERVER,
    ),
    Mutant(
        "the CA is told though an address of somebody else's gives no answer",
        _CHECK,
        "            if look.own:\n                continue",
        "            if True:\n                continue",
        _OF_CHECK,
    ),
    Mutant(
        "the CA is told though the name leads to another page",
        _CHECK,
        "        if not _right(seen):\n            what",
        "        if False:\n            what",
        _OF_CHECK,
    ),
    Mutant(
        "what a host's name leads to inside is asked",
        "signer/edge/http01/public.py",
        "if (refused := rule.refusal(address)) is not None:",
        "if (refused := None) is not None:",
        _OF_ATTACKS,
    ),
    Mutant(
        "a redirect leads the self check inside",
        "signer/edge/http01/public.py",
        "for one in found or () if self._rule.refusal(one) is None)",
        "for one in found or ())",
        _OF_ATTACKS,
    ),
    Mutant(
        "a Gateway's own number is taken for the world's",
        "signer/edge/proxies/ports.py",
        "if self._leads(public) & self.listens(number)",
        "if public == number",
        ("tests/unit/edge/proxies/test_ports.py",),
    ),
    Mutant(
        "a route has its host in other letters than the Gateway",
        "signer/edge/http01/mode.py",
        "return host.name.removesuffix(below.lower()) + below",
        "return host.name",
        ("tests/unit/edge/http01/test_mode.py",),
    ),
)
