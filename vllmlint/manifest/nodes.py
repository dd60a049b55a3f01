"""YAML nodes that know the characters they came from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from vllmlint.manifest.scalar_map import source_offsets
from vllmlint.manifest.scalars import Plain, resolve_plain
from vllmlint.manifest.text import Place, SourceText

#: A step in an object: a mapping key or a sequence index.
Step: TypeAlias = str | int
#: Length of the escapes of double quoted scalars that are longer than two characters.
_ESCAPE_LENGTHS = {"x": 4, "u": 6, "U": 10}


class Node:
    """Anything that stands in a document: `start` up to `end` are code point offsets in `source`."""

    __slots__ = ("end", "source", "start")

    def __init__(self, source: SourceText, start: int, end: int) -> None:
        self.source = source
        self.start = start
        self.end = end

    @property
    def place(self) -> Place:
        """Where the node stands."""
        return Place(self.source, self.start, self.end)

    def at(self, *route: Step) -> Node | None:
        """The node under `route`, or None when a step is missing."""
        node: Node | None = self
        for step in route:
            if isinstance(node, Mapping) and isinstance(step, str):
                node = node.entries.get(step)
            elif (
                isinstance(node, Sequence)
                and isinstance(step, int)
                and -len(node.items) <= step < len(node.items)
            ):
                node = node.items[step]
            else:
                return None
        return node

    def mapping(self, *route: Step) -> Mapping | None:
        """The mapping under `route`; None when there is none or it is something else."""
        node = self.at(*route)
        return node if isinstance(node, Mapping) else None

    def sequence(self, *route: Step) -> Sequence | None:
        """The sequence under `route`; None when there is none or it is something else."""
        node = self.at(*route)
        return node if isinstance(node, Sequence) else None

    def scalar(self, *route: Step) -> Scalar | None:
        """The scalar under `route`, unless it is null; None when there is none."""
        node = self.at(*route)
        return node if isinstance(node, Scalar) and not node.is_null else None

    def string(self, *route: Step) -> str | None:
        """The text of the scalar under `route` (a number or boolean as it is written)."""
        node = self.scalar(*route)
        return None if node is None else node.text

    def integer(self, *route: Step) -> int | None:
        """The whole number under `route`; None when there is none or it is something else."""
        node = self.scalar(*route)
        value = None if node is None else node.value
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def flag(self, *route: Step) -> bool | None:
        """The boolean under `route`; None when there is none or it is something else."""
        node = self.scalar(*route)
        value = None if node is None else node.value
        return value if isinstance(value, bool) else None

    def mappings(self, *route: Step) -> Iterator[Mapping]:
        """The mappings in the sequence under `route`, in order."""
        sequence = self.sequence(*route)
        if sequence is not None:
            for item in sequence.items:
                if isinstance(item, Mapping):
                    yield item


class Scalar(Node):
    """A scalar: `text` as YAML decodes it, `style` one of `""` (plain), `'`, `"`, `|`, `>`."""

    __slots__ = ("style", "tag", "text")

    def __init__(
        self, source: SourceText, start: int, end: int, text: str, style: str, tag: str | None
    ) -> None:
        self.source = source
        self.start = start
        self.end = end
        self.text = text
        self.style = style
        self.tag = tag

    @property
    def value(self) -> Plain:
        """The value as kubectl reads it: a quoted or block scalar is a string, a plain one is resolved."""
        if self.tag is not None:
            return (
                resolve_plain(self.text)
                if self.tag.rpartition(":")[2] in {"int", "float", "bool", "null"}
                else self.text
            )
        return self.text if self.style else resolve_plain(self.text)

    @property
    def is_null(self) -> bool:
        """Whether the scalar is null (`null`, `~` or nothing at all)."""
        return not self.style and self.tag is None and self.text in {"", "~", "null", "Null", "NULL"}

    def part(self, start: int, end: int) -> Place:
        """The place of `text[start:end]` in the file, also inside quotes and block scalars."""
        offsets = source_offsets(self.source.text, self.start, self.end, self.style, self.text)
        if start >= end:
            return Place(self.source, offsets[start], offsets[start])
        # in the middle the next character may stand behind a fold or an indent
        last = offsets[end - 1]
        stop = offsets[end] if end == len(self.text) else last + self._width(last)
        return Place(self.source, offsets[start], stop)

    def _width(self, offset: int) -> int:
        """How many characters of the source stand for the one of the value that begins at `offset`."""
        text = self.source.text
        if self.style == "'" and text.startswith("''", offset):
            return 2
        if self.style == '"' and text.startswith("\\", offset):
            return _ESCAPE_LENGTHS.get(text[offset + 1 : offset + 2], 2)
        return 1

    @property
    def content(self) -> Place:
        """The place of the text itself, without quotes or a block header."""
        if not self.text or (not self.style and self.source.text[self.start] not in "&!"):
            return self.place
        return self.part(0, len(self.text.rstrip("\n")) or len(self.text))


class Mapping(Node):
    """A mapping: `entries` by key text, merge keys already applied; `keys` the key scalars."""

    # few keys are ever asked for, and a second dictionary for each mapping of a large run takes much memory
    __slots__ = ("_keys", "entries")

    def __init__(
        self, source: SourceText, start: int, end: int, entries: dict[str, Node], keys: dict[str, Scalar]
    ) -> None:
        self.source = source
        self.start = start
        self.end = end
        self.entries = entries
        self._keys = tuple(keys.values())

    @property
    def keys(self) -> dict[str, Scalar]:
        """The key scalars by their text, in the order of `entries`."""
        return {key.text: key for key in self._keys}

    def key(self, name: str) -> Scalar | None:
        """The scalar of key `name`, for a finding about the key itself."""
        return next((key for key in self._keys if key.text == name), None)


class Sequence(Node):
    """A sequence of nodes."""

    __slots__ = ("items",)

    def __init__(self, source: SourceText, start: int, end: int, items: list[Node]) -> None:
        self.source = source
        self.start = start
        self.end = end
        self.items = items
