"""The targets by name, and the call that each input goes through. Imports none of them: atheris wants to be first."""

import importlib
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

TARGETS = {
    "csr": "a CSR's contents, signed anew, and what Go reads in the same bytes",
    "pem": "PEM texts, and the blocks that Go finds in them",
    "der": "DER, and each extension that is read in CSRs and certificates",
    "spiffe": "SPIFFE IDs",
    "meshconfig": "the text of Istio's mesh config, read and edited",
    "signerpolicy": "a SignerPolicy's spec",
    "podrequest": "a PodCertificateRequest, to its verdict",
    "certificate": "a Certificate's spec, to the CSR, its reading and the certificate",
    "http": "heads of requests, and answers of a server in any pieces",
}
CORPUS = Path(__file__).parent / "corpus"
SECONDS = 5.0
"""That one input may take: far more than any needs, however busy the machine."""


def load(name: str) -> ModuleType:
    """Import a target's module."""
    return importlib.import_module(f"tests.fuzz.{name}")


def guarded(run: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Let a warning or a long wait be a failure too."""

    def call(data: bytes) -> None:
        started = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            run(data)
        took = time.process_time() - started
        assert took < SECONDS, f"one input of {len(data)} bytes took {took:.1f} s"

    return call
