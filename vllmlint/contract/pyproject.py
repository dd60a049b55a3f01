"""The contract in a `pyproject.toml`, as the nodes that a YAML contract has.

tomllib keeps no places, so they are searched for in the text: a key below the key that holds it, a
value behind its key. What cannot be found that way stands where the key that holds it stands.
"""

from __future__ import annotations

import re
import tomllib
from decimal import Decimal
from typing import Any

from vllmlint.manifest.nodes import Mapping, Node, Scalar, Sequence
from vllmlint.manifest.problem import Problem
from vllmlint.manifest.text import BOM_BYTES, Place, SourceText
from vllmlint.regex import regex

_HEADER = regex(r"^[ \t]*\[{1,2}[ \t]*tool[ \t]*\.[ \t]*vllmlint\b[^\n\r]*", re.MULTILINE)
_ERROR_PLACE = regex(r"\(at line (\d+), column (\d+)\)")


def read_pyproject(path: str, data: bytes) -> tuple[Mapping | None, list[Problem]]:
    """The `[tool.vllmlint]` table of a file; None where it has none or does not parse."""
    bom_length = len(BOM_BYTES) if data.startswith(BOM_BYTES) else 0
    source = SourceText(path, data[bom_length:].decode("utf-8", "replace"), bom_length)
    try:
        document = tomllib.loads(source.text, parse_float=Decimal)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        return None, [
            Problem(
                "document-unparsable", _error_place(source, error), f"the file is not valid TOML: {error}"
            )
        ]
    table = document.get("tool", {})
    table = table.get("vllmlint") if isinstance(table, dict) else None
    header = _HEADER.search(source.text)
    place = Place(source, header.start(), header.end()) if header else Place(source, 0, 0)
    if not isinstance(table, dict):
        return None, [Problem("contract-invalid", place, "the file has no table `[tool.vllmlint]`")]
    root = _Builder(source).mapping(table, place)
    root.start, root.end = place.start, place.end
    return root, []


def _error_place(source: SourceText, error: Exception) -> Place:
    found = _ERROR_PLACE.search(str(error))
    if found is None:
        return Place(source, len(source.text), len(source.text))
    starts = source.line_starts
    line = min(int(found[1]), len(starts))
    start = min(starts[line - 1] + int(found[2]) - 1, len(source.text))
    return Place(source, start, min(start + 1, len(source.text)))


class _Builder:
    """Turns tomllib's values into nodes; `after` is where the search for a value begins."""

    def __init__(self, source: SourceText) -> None:
        self.source = source

    def mapping(self, values: dict[str, Any], holder: Place) -> Mapping:
        """A table; `holder` is the key or the header it stands under."""
        entries: dict[str, Node] = {}
        keys: dict[str, Scalar] = {}
        end = holder.end
        for name, value in values.items():
            key = self._key(name, holder)
            keys[name] = _text(self.source, key, name)
            entries[name] = self._value(value, key)
            end = max(end, entries[name].end)
        return Mapping(self.source, holder.start, end, entries, keys)

    def _key(self, name: str, holder: Place) -> Place:
        # the header of the whole table is searched too: `[tool.vllmlint.rules]` holds the key `rules`
        written = re.escape(name)
        key = re.compile(rf"""(?:(?<=[\s{{,.\[])|^)(["']?)({written})\1(?=[ \t]*[=.\]])""", re.MULTILINE)
        found = key.search(self.source.text, holder.start)
        return Place(self.source, found.start(2), found.end(2)) if found else holder

    def _value(self, value: Any, holder: Place) -> Node:
        if isinstance(value, dict):
            return self.mapping(value, holder)
        if isinstance(value, list):
            items: list[Node] = []
            after = holder
            for item in value:
                node = self._value(item, after)
                items.append(node)
                after = Place(self.source, node.end, node.end)
            return Sequence(self.source, holder.start, after.end, items)
        if isinstance(value, bool):
            return self._plain(str(value).lower(), holder)
        if isinstance(value, int | Decimal):
            return self._plain(str(value), holder)
        text = value if isinstance(value, str) else value.isoformat()
        return _text(self.source, self._find(text, holder), text)

    def _plain(self, text: str, holder: Place) -> Scalar:
        place = self._find(text, holder)
        return Scalar(self.source, place.start, place.end, text, "", None)

    def _find(self, text: str, holder: Place) -> Place:
        at = self.source.text.find(text, holder.end) if text else -1
        return Place(self.source, at, at + len(text)) if at >= 0 else holder


def _text(source: SourceText, place: Place, text: str) -> Scalar:
    """A string whose place is its characters, without the quotes."""
    return Scalar(source, place.start, place.end, text, "", "str")
