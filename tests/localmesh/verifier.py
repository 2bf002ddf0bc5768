"""Whether a party that trusts one root accepts a certificate, asked of a program that is not ours. Synchronous."""

import shutil
import ssl
import subprocess
from pathlib import Path

from tests.localmesh.handshake import handshake


class Verifier:
    """Checks chains with the openssl program; without one, by a TLS handshake through Python's own OpenSSL."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.openssl = shutil.which("openssl")

    @property
    def name(self) -> str:
        """What it verifies with."""
        return "openssl verify" if self.openssl else f"a TLS handshake ({ssl.OPENSSL_VERSION})"

    def trusts(self, root: bytes, chain: bytes, key: bytes) -> bool:
        """Whether a party that trusts only `root` accepts the certificate at the head of `chain` (all PEM)."""
        if self.openssl is None:
            return handshake(chain, key, root)
        leaf, trusted = self._folder / "leaf.pem", self._folder / "root.pem"
        leaf.write_bytes(chain)
        trusted.write_bytes(root)
        command = [
            self.openssl,
            "verify",
            "-x509_strict",
            "-purpose",
            "sslserver",
            "-no-CApath",
            "-CAfile",
            str(trusted),
        ]
        done = subprocess.run([*command, "-untrusted", str(leaf), str(leaf)], capture_output=True, check=False)
        return done.returncode == 0
