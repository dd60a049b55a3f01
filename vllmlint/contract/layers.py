"""A contract file and the files it extends, as one tree of nodes that still know their places."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator

from vllmlint.manifest.nodes import Mapping, Node, Scalar, Sequence
from vllmlint.manifest.problem import Problem
from vllmlint.manifest.reader import SourceFile, read_manifest
from vllmlint.manifest.text import Place, SourceText

#: The kind of every problem that is not one of YAML itself.
INVALID = "contract-invalid"
_EXTENDS = "extends"


class Layers:
    """Reads a contract and what it extends; `problems` and `files` fill up on the way."""

    def __init__(self, read: Callable[[str], bytes | None]) -> None:
        self.read = read
        self.problems: list[Problem] = []
        self.files: list[str] = []
        self._known: dict[str, Mapping | None] = {}
        self._open: list[str] = []

    def load(self, path: str, data: bytes) -> Mapping | None:
        """The merged tree of a file; None when the file itself cannot be used."""
        name = posixpath.normpath(path)
        if name in self._known:
            return self._known[name]
        self.files.append(path)
        root = self._root(path, data)
        if root is not None:
            self._open.append(name)
            merged: Mapping | None = None
            for base in self._bases(path, root):
                merged = base if merged is None else merge(merged, base)
            root = root if merged is None else merge(merged, root)
            self._open.pop()
        self._known[name] = root
        return root

    def _root(self, path: str, data: bytes) -> Mapping | None:
        if posixpath.basename(path) == "pyproject.toml":
            from vllmlint.contract.pyproject import read_pyproject  # loads tomllib

            root, problems = read_pyproject(path, data)
        else:
            root, problems = _yaml_root(read_manifest(path, data))
        self.problems += problems
        return root

    def _bases(self, path: str, root: Mapping) -> Iterator[Mapping]:
        node = root.at(_EXTENDS)
        for item in node.items if isinstance(node, Sequence) else [node]:
            if not isinstance(item, Scalar) or not item.text or item.is_null:
                continue  # a wrong type is reported with the types of all other keys
            target = posixpath.normpath(posixpath.join(posixpath.dirname(path), item.text))
            base = self._base(path, item, target)
            if base is not None:
                yield Mapping(
                    base.source,
                    base.start,
                    base.end,
                    {key: value for key, value in base.entries.items() if key != _EXTENDS},
                    {key: value for key, value in base.keys.items() if key != _EXTENDS},
                )

    def _base(self, path: str, item: Scalar, target: str) -> Mapping | None:
        if target in self._open:
            chain = " → ".join([*self._open[self._open.index(target) :], target])
            self._report(item, f"`{item.text}` extends itself: {chain}", "Remove one of these `extends`.")
            return None
        if "://" in item.text:
            self._report(
                item, f"`extends` takes files, not the address `{item.text}`", "Keep a copy of it here."
            )
            return None
        data = None if target in self._known else self.read(target)
        if data is None and target not in self._known:
            relative = f", looked for at `{target}`" if target != item.text else ""
            message = f"the file `{item.text}` that this contract extends cannot be read{relative}"
            self._report(item, message, f"The path is relative to `{posixpath.basename(path)}`.")
            return None
        return self.load(target, data or b"")

    def _report(self, item: Scalar, message: str, help_text: str) -> None:
        self.problems.append(Problem(INVALID, item.content, message, help_text))


def merge(base: Mapping, nearer: Mapping) -> Mapping:
    """Both mappings in one: where both have a key, two mappings merge, else the nearer one's value holds.

    The nearer file's keys come first, for sections in which the first match counts.
    """
    entries: dict[str, Node] = dict(nearer.entries)
    keys = dict(nearer.keys)
    for name, value in base.entries.items():
        mine = entries.get(name)
        if mine is None:
            entries[name] = value
            keys[name] = base.keys[name]
        elif isinstance(mine, Mapping) and isinstance(value, Mapping):
            entries[name] = merge(value, mine)
    return Mapping(nearer.source, nearer.start, nearer.end, entries, keys)


def _yaml_root(file: SourceFile) -> tuple[Mapping | None, list[Problem]]:
    problems = list(file.problems)
    problems += [
        Problem(INVALID, skipped.place, f"a contract cannot be a template ({skipped.reason})")
        for skipped in file.skipped
    ]
    if problems:
        return None, problems
    if not file.documents:
        return Mapping(file.source, 0, 0, {}, {}), []
    if len(file.documents) > 1:
        place = file.documents[1].root.place
        line_end = Place(file.source, place.start, _line_end(file.source, place))
        return None, [Problem(INVALID, line_end, "a contract is one document, and here a second one starts")]
    root = file.documents[0].root
    if not isinstance(root, Mapping):
        place = (
            root.content
            if isinstance(root, Scalar)
            else Place(file.source, root.start, _line_end(file.source, root.place))
        )
        return None, [
            Problem(INVALID, place, "a contract is a mapping of sections such as `images:` and `rules:`")
        ]
    return root, []


def _line_end(source: SourceText, place: Place) -> int:
    end = source.text.find("\n", place.start, place.end)
    return place.end if end < 0 else end
