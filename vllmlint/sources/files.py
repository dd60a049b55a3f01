"""Manifests on disk and on standard input."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from vllmlint.manifest.limits import MAX_FILE_BYTES
from vllmlint.record import record

#: What is read when a directory is given.
MANIFEST_SUFFIXES = (".yaml", ".yml", ".json")
#: Directories that hold other people's or generated files.
SKIPPED_DIRECTORIES = frozenset(
    {".git", ".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__", ".tox", ".terraform"}
)
#: Files that configure this tool or hold its output are no manifests.
OWN_FILES = frozenset(
    {"vllmlint.yaml", ".vllmlint.yaml", ".pre-commit-config.yaml", ".pre-commit-hooks.yaml"}
)


class SourceError(Exception):
    """A path that does not exist or cannot be read; the text says which and why."""


@record
class Input:
    """A file to read: `path` as the user names it; `data` is given for standard input.

    A file found in a directory is `discovered`: a `.json` among them that is no manifest is no news.
    """

    path: str
    data: bytes | None = None
    discovered: bool = False

    def read(self) -> bytes:
        """The bytes of the file.

        Raises `SourceError` when it cannot be read.
        """
        if self.data is not None:
            return self.data
        try:
            with Path(self.path).open("rb") as file:
                # a byte more than is read as a manifest: enough to say that it is too large
                return file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise SourceError(f"cannot read {self.path}: {error.strerror or error}") from error


def stdin_bytes() -> bytes:
    """What stands on standard input. Raises `SourceError` when it cannot be read."""
    if sys.stdin is None:
        raise SourceError("cannot read standard input: it is closed")
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        raise SourceError(f"cannot read standard input: {error.strerror or error}") from error


def find_inputs(paths: Sequence[str]) -> list[Input]:
    """The files that the given paths name, each once, in order of path.

    Raises `SourceError` for a path that does not exist and a directory that cannot be read.
    """
    found: dict[str, Input] = {}
    for path in paths:
        name = _display(path)
        if os.path.isdir(path):
            for file in _walk(path):
                found.setdefault(file, Input(file, discovered=True))
        elif os.path.exists(path):
            found[name] = Input(name)
        else:
            raise SourceError(f"no such file or directory: {path}")
    return sorted(found.values(), key=lambda one: one.path)


def sibling_inputs(inputs: Sequence[Input]) -> list[Input]:
    """Manifests beside the given ones and in the directories above them, down from the repository's
    root (or the current directory): what joins may need, but is not linted itself."""
    given = {os.path.abspath(one.path) for one in inputs}
    directories: set[str] = set()
    for one in inputs:
        directory = os.path.dirname(os.path.abspath(one.path))
        while directory not in directories:
            directories.add(directory)
            parent = os.path.dirname(directory)
            if (
                parent == directory
                or os.path.exists(os.path.join(directory, ".git"))
                or directory == os.getcwd()
            ):
                break
            directory = parent
    here = os.getcwd()
    found = []
    for directory in sorted(directories):
        for entry in sorted(os.scandir(directory), key=lambda e: e.name):
            if entry.is_file() and _is_manifest(entry.name) and entry.path not in given:
                path = (
                    os.path.relpath(entry.path, here) if entry.path.startswith(here + os.sep) else entry.path
                )
                found.append(Input(_display(path), discovered=True))
    return found


def looks_like_manifest(one: Input, data: bytes) -> bool:
    """Whether a discovered file is worth reading: repositories are full of other JSON."""
    if not one.discovered or not one.path.endswith(".json"):
        return True
    return b'"apiVersion"' in data and b'"kind"' in data


def _walk(root: str) -> Iterator[str]:
    for directory, names, files in os.walk(root, onerror=_refuse):
        names[:] = sorted(name for name in names if name not in SKIPPED_DIRECTORIES)
        for file in sorted(files):
            path = os.path.join(directory, file)
            if _is_manifest(file) and _is_regular(path):
                yield _display(path)


def _refuse(error: OSError) -> None:
    raise SourceError(f"cannot read {error.filename}: {error.strerror or error}") from error


def _is_regular(path: str) -> bool:
    """Whether a file found in a directory is one to read: no pipe (reading it waits for a writer), no
    device, no link that leads nowhere. What cannot be told is: reading it says why."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _is_manifest(name: str) -> bool:
    return name.endswith(MANIFEST_SUFFIXES) and name not in OWN_FILES


def _display(path: str) -> str:
    """The path as it is shown: `/` between the parts, no leading `./`."""
    return os.path.normpath(path).replace(os.sep, "/")
