"""The list of all that is in a release (CycloneDX, JSON), from the lock: names, versions, hashes.

`python sbom.py FILE VERSION`, in the folder of pyproject.toml and requirements.lock. It only completes what cyclonedx-py writes:
pyproject.toml has no version, and the root names none of its parts.
"""

import json
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path


def sbom(source: Path, version: str, environment: dict[str, str] | None = None) -> str:
    """Return the text for the lock in `source`. The same input gives the same text; SOURCE_DATE_EPOCH is its time."""
    program = Path(sysconfig.get_path("scripts"), "cyclonedx-py")
    options = ("--pyproject", "pyproject.toml", "--output-reproducible", "--of", "JSON", "--output-file", "-")
    done = subprocess.run(  # noqa: S603 - our own words
        [program, "requirements", *options, "requirements.lock"],
        cwd=source,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"cyclonedx-py: {done.stderr.strip()}")
    found = json.loads(done.stdout)
    root = found["metadata"]["component"]
    root |= {"version": version, "purl": f"pkg:pypi/mesh-signer@{version}"}
    parts = sorted(one["bom-ref"] for one in found["components"])
    others = [one for one in found.get("dependencies", []) if one["ref"] != root["bom-ref"]]
    found["dependencies"] = [{"ref": root["bom-ref"], "dependsOn": parts}, *others]
    return json.dumps(found, indent=2, sort_keys=True) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the list to a file."""
    file, version = arguments
    Path(file).write_text(sbom(Path.cwd(), version), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
