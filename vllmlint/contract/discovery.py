"""Finding the contract that rules a file."""

from __future__ import annotations

import os
import re
from pathlib import Path

#: The names a contract file has, the stronger first.
CONTRACT_NAMES = ("vllmlint.yaml", ".vllmlint.yaml")
PYPROJECT = "pyproject.toml"

_HEADER = re.compile(rb"^[ \t]*\[{1,2}[ \t]*tool[ \t]*\.[ \t]*vllmlint[ \t]*(?:[.\]]|$)", re.MULTILINE)


def find_contract(start_dir: Path, cache: dict[Path, Path | None]) -> Path | None:
    """The contract nearest above a file that lies in `start_dir`; None when there is none.

    In each directory `vllmlint.yaml` comes before `.vllmlint.yaml` before a `pyproject.toml` with a
    table `[tool.vllmlint]`. The search ends with the directory that holds `.git`, or at the file
    system's root. `cache` keeps the answer for every directory on the way: give one to a whole run.
    """
    found: Path | None = None
    passed: list[Path] = []
    # abspath, not resolve: a file reached through a link is ruled by the directories in its own path
    first = Path(os.path.abspath(start_dir))
    for directory in (first, *first.parents):
        if directory in cache:
            found = cache[directory]
            break
        passed.append(directory)
        found = _contract_in(directory)
        if found is not None or os.path.lexists(directory / ".git"):
            break
    cache.update(dict.fromkeys(passed, found))
    return found


def _contract_in(directory: Path) -> Path | None:
    for name in CONTRACT_NAMES:
        path = directory / name
        if os.path.isfile(path):
            return path
    path = directory / PYPROJECT
    return path if os.path.isfile(path) and _has_table(path) else None


def _has_table(path: Path) -> bool:
    """Whether a `pyproject.toml` holds a contract; most do not, and are never parsed."""
    try:
        data = path.read_bytes()
    except OSError:
        return False
    if b"vllmlint" not in data:
        return False
    import tomllib

    try:
        tool = tomllib.loads(data.decode("utf-8", "replace")).get("tool")
    except (tomllib.TOMLDecodeError, RecursionError):
        # broken, yet meant as a contract: whoever reads it reports what is wrong
        return _HEADER.search(data) is not None
    return isinstance(tool, dict) and isinstance(tool.get("vllmlint"), dict)
