"""Plants each fault in a copy of the repository and runs the unit tests that must notice it.

Each worker thread has a copy of its own, so that two run at a time; a fault is taken out again before the next one.
"""

import compileall
import os
import py_compile
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.mutants.mutant import Mutant, Stale

ROOT = Path(__file__).parents[2]
# What the tests need, and what some of them read.
COPIED = ("issuers", "signer", "tests", "manifests", "docs", "pyproject.toml", "Makefile")
# A fault may make a loop endless: then the test that hangs is the one that notices.
LONGEST = 60.0
# How pytest's short summary names the test; a captured log line may begin with ERROR too.
_FAILED = ("FAILED tests/", "ERROR tests/", "FAILED no end")

Verdict = Literal["caught", "survived", "stale", "broken"]


@dataclass(frozen=True)
class Result:
    """What became of one fault. `note` is the test that failed, or why there is no answer."""

    mutant: Mutant
    verdict: Verdict
    note: str
    seconds: float


def copy_to(target: Path) -> None:
    """Copy what the unit tests need, and compile it by content, so that a changed file is never taken for its old self."""
    target.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__", "gotools"))
        elif source.exists():
            shutil.copy2(source, target / name)
    for package in ("issuers", "signer"):
        compileall.compile_dir(target / package, quiet=1, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)


def run_tests(copy: Path, tests: Sequence[str], *, longest: float = LONGEST) -> tuple[int, str]:
    """Run unit tests on a copy; (exit status, output). A run that takes too long counts as failed."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(copy),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_ADDOPTS": "",
    }
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--tb=line", "-p", "no:cacheprovider"]
    command += ["--hypothesis-seed=0", *tests]
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=longest, check=False
        )
    except subprocess.TimeoutExpired:
        return 1, f"FAILED no end within {longest:.0f} s"
    return done.returncode, done.stdout + done.stderr


def is_ours(copy: Path) -> bool:
    """Tell whether the tests in a copy really import the copy's code, and not what is installed."""
    code = "import issuers, signer; print(issuers.__file__, signer.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=copy, env=environment, capture_output=True, text=True, check=True
    )
    return all(Path(path).is_relative_to(copy.resolve()) for path in done.stdout.split())


def judge(copy: Path, mutant: Mutant) -> Result:
    """Plant one fault in a copy, run its tests, and take it out again."""
    begun = time.monotonic()

    def result(verdict: Verdict, note: str) -> Result:
        return Result(mutant, verdict, note, time.monotonic() - begun)

    path = copy / mutant.file
    try:
        source = path.read_text(encoding="utf-8")
        planted = mutant.plant(source)
        if path.suffix == ".py":
            compile(planted, mutant.file, "exec")
    except (OSError, Stale, SyntaxError) as error:
        return result("stale", str(error))
    path.write_text(planted, encoding="utf-8")
    try:
        status, output = run_tests(copy, mutant.tests)
    finally:
        path.write_text(source, encoding="utf-8")
    if status == 0:
        return result("survived", f"all of {' '.join(mutant.tests)} pass")
    # 1: a test failed; 2: a test module could not be imported. All else is pytest's own trouble, which proves nothing.
    failed = next((line for line in output.splitlines() if line.startswith(_FAILED)), "")
    if status not in {1, 2} or not failed:
        return result("broken", f"pytest ended with {status}: {output.strip()[-300:]}")
    return result("caught", failed.partition(" - ")[0].partition(" ")[2])


def judge_all(
    copies: Sequence[Path], mutants: Sequence[Mutant], on_result: Callable[[int, Result], None]
) -> list[Result]:
    """Judge all faults, one worker for each copy; `on_result` is called as each is done, with its number."""
    waiting: queue.SimpleQueue[tuple[int, Mutant]] = queue.SimpleQueue()
    for numbered in enumerate(mutants, start=1):
        waiting.put(numbered)
    results: dict[int, Result] = {}
    lock = threading.Lock()

    def work(copy: Path) -> None:
        while True:
            try:
                number, mutant = waiting.get_nowait()
            except queue.Empty:
                return
            result = judge(copy, mutant)
            with lock:
                results[number] = result
                on_result(number, result)

    workers = [threading.Thread(target=work, args=(copy,)) for copy in copies]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return [results[number] for number in sorted(results)]
