"""One target under atheris, as a process of its own: libFuzzer ends the process when it is done.

    python -m tests.fuzz.engine TARGET SECONDS GROWN FINDINGS

GROWN is a folder for inputs that reach something new, FINDINGS one for inputs that break a promise. Exit status 0 when
the time is over, others as libFuzzer has them (77: a finding).
"""

import random
import sys
from pathlib import Path

import atheris

from tests.fuzz.targets import CORPUS, guarded, load

_TIMEOUT = 30
_MEMORY_MB = 1024
_LONGEST = 16 * 1024


def main(name: str, seconds: str, grown: str, findings: str) -> None:
    """Fuzz one target."""
    with atheris.instrument_imports(include=["issuers", "signer"]):
        module = load(name)
    from tests.fuzz import peer  # noqa: PLC0415 - it imports what atheris must see first

    peer.start(build=True)

    def change(data: bytes, most: int) -> bytes:
        return bytes(atheris.Mutate(data, max(len(data) + 64, most)))

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if chance.random() < 0.4:
            return bytes(atheris.Mutate(data, most))
        return bytes(module.mutate(data, chance, lambda one: change(one, len(one) + 64))[:most])

    arguments = [
        sys.argv[0],
        grown,
        str(CORPUS / name),
        f"-max_total_time={seconds}",
        f"-artifact_prefix={findings}/",
        f"-timeout={_TIMEOUT}",
        f"-rss_limit_mb={_MEMORY_MB}",
        f"-max_len={_LONGEST}",
        "-print_final_stats=1",
    ]
    if words := getattr(module, "WORDS", ()):
        file = Path(grown).with_suffix(".dict")
        file.write_text("".join('"' + "".join(f"\\x{byte:02x}" for byte in word) + '"\n' for word in words))
        arguments.append(f"-dict={file}")
    options = {"custom_mutator": mutate} if hasattr(module, "mutate") else {}
    atheris.Setup(arguments, guarded(module.run), **options)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
