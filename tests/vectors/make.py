"""Writes the corpus: one PEM file in requests/ for each line below, and expected.json, which says what must come of it.

    .venv/bin/python -m tests.vectors.make

What must come out is written here by hand, never taken from what the code does. keys.pem holds throw-away RSA keys.
"""

import json
from pathlib import Path

from tests.vectors import extensions, forms, keys, names
from tests.vectors.corpus import VECTORS

FOLDER = Path(__file__).parent


def main() -> None:
    forms.add_pem_forms()
    forms.add_outer_forms()
    forms.add_attributes()
    extensions.add_extensions()
    names.add_names()
    names.add_subjects()
    keys.add_keys()
    (FOLDER / "requests").mkdir(exist_ok=True)
    expected: dict[str, dict[str, dict[str, object]]] = {}
    for name, vector in VECTORS.items():
        file = FOLDER / "requests" / f"{name}.pem"
        if not callable(vector.text):
            file.write_bytes(vector.text)
        elif not file.exists():  # its signature has chance in it, so it is made once
            file.write_bytes(vector.text())
        if vector.names is None:
            expected[name] = {"refused": {"field": vector.field, "message": vector.message}}
        else:
            expected[name] = {"accepted": vector.names}
    (FOLDER / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    for file in (FOLDER / "requests").glob("*.pem"):
        if file.stem not in VECTORS:
            file.unlink()
    print(f"{len(VECTORS)} vectors")


if __name__ == "__main__":
    main()
