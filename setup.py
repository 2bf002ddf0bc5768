"""The one thing that pyproject.toml cannot say: the README as PyPI shows it, where links beside it lead nowhere.

Relative links become links to the same file in the repository at the release's tag, pictures to the file itself. The
repository is [project.urls] Source in pyproject.toml.
"""

import re
import tomllib
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).resolve().parent


def absolute(text: str, source: str, tag: str) -> str:
    """Return Markdown with each relative link made absolute."""
    raw = source.replace("https://github.com/", "https://raw.githubusercontent.com/")

    def link(found: re.Match[str]) -> str:
        if re.match(r"[a-z][a-z0-9+.-]*:|#", found["to"]):
            return found[0]
        where = f"{raw}/{tag}" if found["picture"] else f"{source}/blob/{tag}"
        return f"{found['picture']}{found['text']}({where}/{found['to']})"

    return re.sub(r"(?P<picture>!?)(?P<text>\[[^\[\]]*\]|(?<=\))\])\((?P<to>[^)\s]+)\)", link, text)


def readme() -> str:
    """Return README.md as PyPI shall show it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    version = re.search(r'__version__ = "(.+)"', (ROOT / "signer" / "__init__.py").read_text("utf-8"))
    tag = f"v{version[1]}" if version else "main"
    return absolute((ROOT / "README.md").read_text("utf-8"), project["urls"]["Source"], tag)


if __name__ == "__main__":
    setup(long_description=readme(), long_description_content_type="text/markdown")
