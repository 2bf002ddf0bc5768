"""The CA by which this process knows the API server: what `inject-apiserver-ca` asks for.

One task reads the file again now and then, in a thread: clusters renew their CA, and the kubelet then changes the file.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from signer.injector.asked import Defect
from signer.injector.bundle import MAX_BYTES, defect_of
from signer.kube.access.config import ConfigError, load_config

log = logging.getLogger(__name__)

_EVERY_SECONDS = 60.0


def read_own_ca(kubeconfig: str | None) -> bytes | Defect:
    """Read the CA of this process's own connection, as it is in its file. Blocks."""
    try:
        file = load_config(kubeconfig).ca_file
        if file is None:
            return Defect(
                "NoAPIServerCA", "the connection to the API server has no CA of its own: its kubeconfig names none"
            )
        with Path(file).open("rb") as opened:
            text = opened.read(MAX_BYTES + 1)
    except (ConfigError, OSError) as error:
        return Defect("NoAPIServerCA", f"the CA of the API server cannot be read: {error}")
    if defect := defect_of(text):
        return Defect("NoAPIServerCA", f"the CA of the API server, {file}, {defect}")
    return text


class OwnCA:
    """Keeps `found`, None before the first look; `changed` is called when it is another."""

    def __init__(self, kubeconfig: str | None, changed: Callable[[], None]) -> None:
        self._kubeconfig = kubeconfig
        self._changed = changed
        self.found: bytes | Defect | None = None

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            found = await asyncio.to_thread(read_own_ca, self._kubeconfig)
            if found != self.found:
                self.found = found
                self._changed()
            await asyncio.sleep(_EVERY_SECONDS)
