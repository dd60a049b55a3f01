"""Kubernetes objects from YAML, as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from yaml._yaml import CParser
from yaml.error import MarkedYAMLError, YAMLError
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentEndEvent,
    MappingStartEvent,
    ScalarEvent,
)

from vllmlint.hardware.nodes_file import NodesFileError
from vllmlint.manifest.limits import MAX_DEPTH
from vllmlint.manifest.scalars import resolve_plain


def yaml_objects(name: str, head: str, pieces: Iterable[str]) -> Iterator[tuple[int, Any]]:
    """The objects of a text, `head` first, each with its line: the items of lists, and what stands alone.

    Raises NodesFileError where the text is no YAML.
    """
    try:
        yield from _objects(name, CParser(_Stream(head, pieces)))
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = "" if mark is None else f":{mark.line + 1}:{mark.column + 1}"
        raise NodesFileError(f"{name}{place}: no YAML: {error.problem or error.context}") from None
    except YAMLError as error:
        raise NodesFileError(f"{name}: no YAML: {str(error).splitlines()[0]}") from None


class _Stream:
    """Text in pieces, as libyaml's reader asks for it."""

    def __init__(self, head: str, pieces: Iterable[str]) -> None:
        self._pieces = chain([head], pieces)

    def read(self, _size: int = 0, /) -> str:
        """The next piece; empty at the end."""
        return next((piece for piece in self._pieces if piece), "")


def _objects(name: str, parser: CParser) -> Iterator[tuple[int, Any]]:
    builder = _Builder(name)
    while (event := parser.get_event()) is not None:
        builder.add(event)
        if builder.item is not None:
            yield builder.item
            builder.item = None
        if isinstance(event, DocumentEndEvent):
            root = builder.root
            if root is not None and not builder.listed:
                yield builder.line, root
            builder = _Builder(name)


class _Builder:
    """One document from its events, without recursion.

    An item of a list of objects is handed out in `item` as soon as it is whole, and is not kept.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._open: list[tuple[Any, int]] = []
        self._keys: list[tuple[str] | None] = []
        self._anchors: dict[str, Any] = {}
        self.root: Any = None
        self.line = 1
        self.item: tuple[int, Any] | None = None
        self.listed = False

    def add(self, event: Any) -> None:
        """Take one event."""
        if isinstance(event, ScalarEvent):
            plain = event.implicit[0]
            self._put(resolve_plain(event.value) if plain else event.value, event)
        elif isinstance(event, AliasEvent):
            if event.anchor not in self._anchors:
                raise self._error(event, f"no anchor `{event.anchor}`")
            self._put(self._anchors[event.anchor], event)
        elif isinstance(event, CollectionStartEvent):
            value: Any = {} if isinstance(event, MappingStartEvent) else []
            if len(self._open) >= MAX_DEPTH:
                raise self._error(event, f"nests deeper than {MAX_DEPTH} levels")
            self._put(value, event)
            self._open.append((value, _line(event)))
            self._keys.append(None)
        elif isinstance(event, CollectionEndEvent):
            value, line = self._open.pop()
            self._keys.pop()
            if self._keys and isinstance(self._open[-1][0], dict):
                self._keys[-1] = None
            if self._is_list_of_objects():
                self._hand_out(line, value)

    def _is_list_of_objects(self) -> bool:
        """Whether the innermost open collection is the list `items` of the document's root."""
        if len(self._open) != 2 or not isinstance(self._open[1][0], list):
            return False
        return isinstance(self.root, dict) and self._keys[0] == ("items",)

    def _hand_out(self, line: int, value: Any) -> None:
        self._open[1][0].pop()
        self.item = (line, value)
        self.listed = True

    def _put(self, value: Any, event: Any) -> None:
        anchor = getattr(event, "anchor", None)
        if anchor is not None and not isinstance(event, AliasEvent):
            self._anchors[anchor] = value
        if not self._open:
            self.root, self.line = value, _line(event)
            return
        holder, key = self._open[-1][0], self._keys[-1]
        if isinstance(holder, list):
            holder.append(value)
            if not isinstance(event, CollectionStartEvent) and self._is_list_of_objects():
                self._hand_out(_line(event), value)
        elif key is None:
            if not isinstance(event, ScalarEvent):
                raise self._error(event, "a key that is no text")
            self._keys[-1] = (event.value,)
        else:
            holder[key[0]] = value
            if not isinstance(event, CollectionStartEvent):
                self._keys[-1] = None

    def _error(self, event: Any, message: str) -> NodesFileError:
        column = event.start_mark.column + 1 if event.start_mark is not None else 1
        return NodesFileError(f"{self._name}:{_line(event)}:{column}: {message}")


def _line(event: Any) -> int:
    return event.start_mark.line + 1 if event.start_mark is not None else 1
