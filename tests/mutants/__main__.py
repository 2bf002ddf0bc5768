"""`python -m tests.mutants [WORD...]`: plant all faults, or those whose sentence or file has one of the words."""

import sys
import tempfile
import time
from pathlib import Path

from tests.mutants.catalogue import MUTANTS
from tests.mutants.runner import Result, copy_to, is_ours, judge_all, run_tests


def main(words: list[str]) -> int:
    """Run and print the table; 0 when every fault was caught."""
    chosen = [m for m in MUTANTS if not words or any(word in m.fault or word in m.file for word in words)]
    if not chosen:
        print(f"mutants: no fault has {' or '.join(words)} in its name or file", file=sys.stderr)
        return 2
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mesh-signer-mutants-") as folder:
        copies = [Path(folder).resolve() / f"copy-{number}" for number in (1, 2)]
        for copy in copies:
            copy_to(copy)
            if not is_ours(copy):
                print(f"mutants: the tests in {copy} do not import the code beside them", file=sys.stderr)
                return 1
        tests = sorted({path for mutant in chosen for path in mutant.tests})
        print(f"mutants: {len(chosen)} faults; first the code as it is must pass {len(tests)} test paths", flush=True)
        status, output = run_tests(copies[0], tests, longest=300)
        if status != 0:
            print(f"{output}\nmutants: the code without any fault fails its tests", file=sys.stderr)
            return 1

        def show(number: int, result: Result) -> None:
            print(
                f"{number:3}/{len(chosen)} {result.verdict:8} {result.seconds:5.1f} s  {result.mutant.fault}",
                flush=True,
            )
            if result.verdict != "caught":
                print(f"        {result.mutant.file}: {result.note}", flush=True)

        results = judge_all(copies, chosen, show)
    caught = [result for result in results if result.verdict == "caught"]
    print()
    print(f"{'fault':76} {'caught by'}")
    for result in results:
        print(f"{result.mutant.fault:76} {result.note if result.verdict == 'caught' else result.verdict.upper()}")
    print(f"{time.monotonic() - begun:.0f} s")
    print(f"mutants: {len(caught)} of {len(results)} caught")
    return 0 if len(caught) == len(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
