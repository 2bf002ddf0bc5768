"""Planted faults of HTTP-01: a redirect that is taken, who carries a challenge, and what the shared solver answers."""

from tests.mutants.mutant import Mutant

_REDIRECTS = "signer/edge/http01/redirect.py"
_ANSWERS = "signer/edge/http01/solver_answers.py"
_CHOOSING = "signer/edge/http01/carrier.py"
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
        "all hosts of a server lose their redirect, not the challenge's alone",
        _REDIRECTS,
        "        others = [one for one in hosts if one not in ours]\n        if others:",
        "        others = [one for one in hosts if one not in ours]\n        if False:",
        _OF_REDIRECTS,
    ),
    Mutant(
        "what was taken for other challenges is given back with one",
        _REDIRECTS,
        "others = {key: host for key, host in record.taken.items() if key != uid}",
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
)
