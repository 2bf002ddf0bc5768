"""Whether Go and OpenSSL accept certificates: many at once, in one process of a small Go program, and in this one.

    ask = Question(chain, roots, purposes=("server",), at=NOW)
    refused_by_go([ask, ...])        # a text for each; "" is yes
    refused_by_openssl(ask)          # the same

OpenSSL is the one that `cryptography` brings along (pyOpenSSL is in the lock files through `acme`), so no program is
needed. Synchronous, nothing shared.
"""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import OpenSSL._util
from cryptography import x509
from OpenSSL import crypto

from tests.localmesh.build import GOTOOLS, Program, build

PROGRAM = Program("verify", (GOTOOLS / "verify").resolve(), ".")

_PURPOSES = {"client": 1, "server": 2, "email": 4, "any": 7, "code": 10}  # openssl/x509v3.h


@dataclass(frozen=True)
class Question:
    """A certificate with what follows it, what is trusted (PEM), and for which of the purposes; none means any."""

    chain: bytes
    roots: bytes
    at: datetime
    purposes: tuple[str, ...] = ()


def refused_by_go(questions: Sequence[Question]) -> list[str]:
    """Why Go's verifier refuses each; "" where it does not. One purpose that it accepts is enough."""
    asked = [
        {
            "chain": one.chain.decode(),
            "roots": one.roots.decode(),
            "at": int(one.at.timestamp()),
            "purposes": one.purposes,
        }
        for one in questions
    ]
    done = subprocess.run([build(PROGRAM)], input=json.dumps(asked), capture_output=True, text=True, check=True)
    answers: list[str] = json.loads(done.stdout)
    return answers


def refused_by_openssl(question: Question, *, strict: bool = False) -> str:
    """Why `openssl verify` refuses it; "" where it does not. One purpose that it accepts is enough."""
    errors = [_openssl(question, purpose, strict) for purpose in question.purposes or ("any",)]
    return "" if "" in errors else errors[0]


def _openssl(question: Question, purpose: str, strict: bool) -> str:
    leaf, *above = map(crypto.X509.from_cryptography, x509.load_pem_x509_certificates(question.chain))
    store = crypto.X509Store()
    for root in x509.load_pem_x509_certificates(question.roots):
        store.add_cert(crypto.X509.from_cryptography(root))
    store.set_time(question.at)
    if strict:
        store.set_flags(crypto.X509StoreFlags.X509_STRICT)
    if OpenSSL._util.lib.X509_STORE_set_purpose(store._store, _PURPOSES[purpose]) != 1:
        raise RuntimeError(purpose)
    try:
        crypto.X509StoreContext(store, leaf, above).verify_certificate()
    except crypto.X509StoreContextError as error:
        return str(error)
    return ""
