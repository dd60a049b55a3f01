"""One YAML document to nodes, on libyaml's composer."""

from __future__ import annotations

from dataclasses import field
from sys import intern
from typing import Any

from yaml._yaml import CParser
from yaml.error import MarkedYAMLError
from yaml.events import CollectionEndEvent, CollectionStartEvent
from yaml.nodes import MappingNode, ScalarNode, SequenceNode

from vllmlint.manifest import limits
from vllmlint.manifest.nodes import Mapping, Node, Scalar, Sequence
from vllmlint.manifest.problem import Problem
from vllmlint.manifest.text import Place, SourceText
from vllmlint.record import mutable
from vllmlint.regex import regex

#: What `_Composer.resolve` answers: the node carries no tag of its own.
_UNTAGGED = ""
_MERGE_KEY = "<<"
#: Below this many openings a document cannot nest deep enough to harm libyaml's recursive composer.
_SUSPICIOUS_OPENINGS = limits.MAX_DEPTH
#: What libyaml 0.2.6 and newer says of 1000 levels and more.
_LIBYAML_TOO_DEEP = "exceeded maximum nesting depth"
#: One more level on the same line: `- - x`, `? - x`.
_NESTED_ON_LINE = regex(r"[-?:][ \t]+(?=[-?](?:[ \t\r\n]|\Z))")


class _Composer(CParser):
    """libyaml's composer without tag resolution: values are resolved when they are read."""

    def descend_resolver(self, _node: object, _index: object) -> None: ...

    def ascend_resolver(self) -> None: ...

    def resolve(self, _kind: object, _value: object, _implicit: object) -> str:
        return _UNTAGGED


class DocumentError(Exception):
    """A document that is refused, with its place: a limit, or an alias that holds itself."""

    def __init__(self, kind: str, place: Place, message: str, help_text: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.place = place
        self.message = message
        self.help = help_text


@mutable
class Composed:
    """The documents of one chunk (nearly always one) and what was odd about them."""

    roots: list[Node] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    has_complex_key: bool = False


def compose_document(source: SourceText, start: int, end: int) -> Composed:
    """Compose the text between two offsets of a file.

    Raises `DocumentError` for a limit or a recursive alias, and `yaml.YAMLError` for a syntax error.
    """
    chunk = source.text[start:end]
    _check_depth(source, start, chunk)
    composer = _Composer(chunk)
    builder = _Builder(source, start, has_anchors="&" in chunk)
    while composer.check_node():
        root = builder.build(composer.get_node(), 1)
        if not (isinstance(root, Scalar) and root.is_null):
            builder.result.roots.append(root)
    return builder.result


def _check_depth(source: SourceText, start: int, chunk: str) -> None:
    """Refuse what nests too deep before the recursive composer sees it."""
    openings = chunk.count("[") + chunk.count("{")
    if chunk.count("- ") + chunk.count("? ") >= _SUSPICIOUS_OPENINGS:
        openings += len(_NESTED_ON_LINE.findall(chunk))
    if openings < _SUSPICIOUS_OPENINGS and "\n" + " " * _SUSPICIOUS_OPENINGS not in chunk:
        return
    try:
        _follow_depth(source, start, CParser(chunk))
    except MarkedYAMLError as error:
        # newer libyaml reads ahead of its events and stops by itself, at 1000 levels
        if error.problem != _LIBYAML_TOO_DEEP:
            raise
        mark = error.problem_mark
        raise _too_deep(source, start + (0 if mark is None else mark.index)) from None


def _follow_depth(source: SourceText, start: int, parser: CParser) -> None:
    depth = 0
    while (event := parser.get_event()) is not None:
        if isinstance(event, CollectionStartEvent):
            depth += 1
            if depth > limits.MAX_DEPTH:
                raise _too_deep(source, start + (0 if event.start_mark is None else event.start_mark.index))
        elif isinstance(event, CollectionEndEvent):
            depth -= 1


def _too_deep(source: SourceText, at: int) -> DocumentError:
    message = f"the document nests deeper than {limits.MAX_DEPTH} levels: it is not linted"
    return DocumentError("limit-exceeded", Place(source, at, at + 1), message)


class _Builder:
    """Turns libyaml's nodes into ours; aliased nodes stay shared."""

    def __init__(self, source: SourceText, base: int, *, has_anchors: bool) -> None:
        self.source = source
        self.base = base
        self.result = Composed()
        # node and expanded size by the identity of libyaml's node; None while it is being built
        self.seen: dict[int, tuple[Node, int] | None] | None = {} if has_anchors else None
        self.expanded = 0

    def build(self, raw: Any, depth: int) -> Node:
        """Our node for one of libyaml's, children first."""
        if raw.__class__ is ScalarNode:
            self.expanded += 1
            return Scalar(
                self.source,
                self.base + raw.start_mark.index,
                self.base + raw.end_mark.index,
                raw.value,
                raw.style or "",
                raw.tag or None,
            )
        if self.seen is None:
            return self._collection(raw, depth)
        key = id(raw)
        if key in self.seen:
            return self._alias(raw, self.seen[key])
        self.seen[key] = None
        before = self.expanded
        node = self._collection(raw, depth)
        self.seen[key] = (node, self.expanded - before)
        return node

    def _alias(self, raw: Any, known: tuple[Node, int] | None) -> Node:
        at = self.base + raw.start_mark.index
        place = Place(self.source, at, at + 1)
        if known is None:
            raise DocumentError(
                "document-unparsable", place, "the anchor holds an alias to itself", "Write the value out."
            )
        self.expanded += known[1]
        if self.expanded > limits.MAX_EXPANDED_NODES:
            message = (
                f"aliases expand to more than {limits.MAX_EXPANDED_NODES:,} nodes: the document is not linted"
            )
            raise DocumentError("limit-exceeded", place, message, "Write fewer aliases of aliases.")
        return known[0]

    def _collection(self, raw: Any, depth: int) -> Node:
        self.expanded += 1
        if depth > limits.MAX_DEPTH:
            raise _too_deep(self.source, self.base + raw.start_mark.index)
        if raw.__class__ is SequenceNode:
            items = [self.build(item, depth + 1) for item in raw.value]
            return Sequence(self.source, self.base + raw.start_mark.index, self._end(raw, items), items)
        return self._mapping(raw, depth)

    def _end(self, raw: Any, children: list[Node]) -> int:
        """A block collection ends with its last child, not where libyaml meets the next token."""
        if raw.flow_style or not children:
            return int(self.base + raw.end_mark.index)
        if self.seen is None:
            return children[-1].end
        # an alias has the place of what it stands for, mostly above the collection it is used in
        start = int(self.base + raw.start_mark.index)
        return max((child.end for child in children if child.start >= start), default=start + 1)

    def _mapping(self, raw: MappingNode, depth: int) -> Mapping:
        entries: dict[str, Node] = {}
        keys: dict[str, Scalar] = {}
        merged: list[Mapping] = []
        children: list[Node] = []
        for raw_key, raw_value in raw.value:
            if raw_key.__class__ is not ScalarNode:
                self.result.has_complex_key = True
                continue
            key = self.build(raw_key, depth + 1)
            assert isinstance(key, Scalar)
            # the same few keys stand in every file of a run
            key.text = intern(key.text)
            value = self.build(raw_value, depth + 1)
            children += (key, value)
            if key.text == _MERGE_KEY and not key.style:
                merged += _merge_sources(value)
                continue
            if key.text in keys:
                self._report_duplicate(key, keys[key.text])
            entries[key.text] = value
            keys[key.text] = key
        for other in merged:
            for name, node in other.entries.items():
                if name not in entries:
                    entries[name] = node
                    keys[name] = other.keys[name]
        start = self.base + raw.start_mark.index
        return Mapping(self.source, start, self._end(raw, children), entries, keys)

    def _report_duplicate(self, key: Scalar, first: Scalar) -> None:
        self.result.problems.append(
            Problem(
                "duplicate-key",
                key.content,
                f"the key {key.text!r} stands twice in one mapping: kubectl refuses it,"
                " other tools keep one of the two",
                "Keep one of them.",
                ((first.content, "first set here"),),
            )
        )


def _merge_sources(value: Node) -> list[Mapping]:
    """The mappings that `<<: *a` or `<<: [*a, *b]` brings in, the stronger first."""
    if isinstance(value, Mapping):
        return [value]
    if isinstance(value, Sequence):
        return [item for item in value.items if isinstance(item, Mapping)]
    return []
