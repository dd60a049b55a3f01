"""Kubernetes objects from YAML, as plain data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from yaml._yaml import CParser
from yaml.error import MarkedYAMLError, YAMLError
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceStartEvent,
)

from vllmlint.hardware.nodes_file import NodesFileError
from vllmlint.manifest.limits import MAX_DEPTH
from vllmlint.manifest.scalars import resolve_plain


def yaml_objects(name: str, text: str) -> Iterator[tuple[int, Any]]:
    """The objects of a text, each with its line: the items of lists, and what stands alone.

    Raises NodesFileError where the text is no YAML.
    """
    try:
        yield from _objects(name, CParser(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = "" if mark is None else f":{mark.line + 1}:{mark.column + 1}"
        raise NodesFileError(f"{name}{place}: no YAML: {error.problem or error.context}") from None
    except YAMLError as error:
        raise NodesFileError(f"{name}: no YAML: {str(error).splitlines()[0]}") from None


def _objects(name: str, parser: CParser) -> Iterator[tuple[int, Any]]:
    builder = _Builder(name)
    while (event := parser.get_event()) is not None:
        builder.add(event)
        if isinstance(event, DocumentEndEvent):
            root = builder.finish()
            listed = root.get("items") if isinstance(root, dict) else None
            if isinstance(listed, list):
                yield from ((builder.lines.get(id(item), 1), item) for item in listed)
            elif root is not None:
                yield builder.lines.get(id(root), 1), root
            builder = _Builder(name)


class _Builder:
    """One document from its events, without recursion: `lines` are those of mappings, by identity."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._open: list[Any] = []
        self._keys: list[Any] = []
        self._anchors: dict[str, Any] = {}
        self._root: Any = None
        self.lines: dict[int, int] = {}

    def finish(self) -> Any:
        """The document's root."""
        return self._root

    def add(self, event: Any) -> None:
        """Take one event."""
        if isinstance(event, ScalarEvent):
            plain = event.implicit[0]
            self._put(resolve_plain(event.value) if plain else event.value, event)
        elif isinstance(event, AliasEvent):
            if event.anchor not in self._anchors:
                raise self._error(event, f"no anchor `{event.anchor}`")
            self._put(self._anchors[event.anchor], event)
        elif isinstance(event, (MappingStartEvent, SequenceStartEvent)):
            value: Any = {} if isinstance(event, MappingStartEvent) else []
            self._put(value, event)
            if len(self._open) >= MAX_DEPTH:
                raise self._error(event, f"nests deeper than {MAX_DEPTH} levels")
            self._open.append(value)
            self._keys.append(None)
            self.lines[id(value)] = _line(event)
        elif type(event).__name__ in {"MappingEndEvent", "SequenceEndEvent"}:
            self._open.pop()
            self._keys.pop()

    def _put(self, value: Any, event: Any) -> None:
        anchor = getattr(event, "anchor", None)
        if anchor is not None and not isinstance(event, AliasEvent):
            self._anchors[anchor] = value
        if not self._open:
            self._root = value
        elif isinstance(self._open[-1], list):
            self._open[-1].append(value)
        elif self._keys[-1] is None:
            if not isinstance(event, ScalarEvent):
                raise self._error(event, "a key that is no text")
            self._keys[-1] = (event.value,)
        else:
            self._open[-1][self._keys[-1][0]] = value
            self._keys[-1] = None

    def _error(self, event: Any, message: str) -> NodesFileError:
        column = event.start_mark.column + 1 if event.start_mark is not None else 1
        return NodesFileError(f"{self._name}:{_line(event)}:{column}: {message}")


def _line(event: Any) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 1
