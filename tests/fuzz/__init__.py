"""Coverage-guided fuzzing of everything that strangers send: `make fuzz SECONDS=60`, or `TARGET=csr` for one of them.

A target is a module with a plain function `run(bytes) -> None`, which raises when a promise is broken: an exception that is
not declared, a warning, a reading that Go does not share. tests/fuzz/corpus/<target>/ has its inputs, which
tests/unit/fuzz replays without atheris; __main__.py runs the targets, engine.py is one of them under atheris.
"""
