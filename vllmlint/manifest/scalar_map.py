"""Where each character of a scalar's value stands in the file.

libyaml gives a scalar's value and where its node begins and ends, but not which source character a value
character came from. Here the scalar is read a second time, the way libyaml's scanner reads it, with the
offsets kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from vllmlint.regex import regex

#: libyaml counts the Unicode line separators of YAML 1.1 as line breaks.
_BREAKS = "\n\r\x85\u2028\u2029"
#: The breaks that stay what they are; libyaml turns every other one into a line feed.
_KEPT_BREAKS = "\u2028\u2029"

_BREAK = regex(rf"\r\n|[{_BREAKS}]")
_GAP = regex(rf"[ \t{_BREAKS}]+")
_LINE = regex(rf"[^{_BREAKS}]*")
_SPACES = regex(r" *")
_PROPERTIES = regex(rf"(?:[ \t{_BREAKS}]+|#[^{_BREAKS}]*|&[0-9A-Za-z_-]*|![^ \t{_BREAKS}]*)+")
_HEADER = regex(rf"[|>]([-+0-9]*)[^{_BREAKS}]*(?:\r\n|[{_BREAKS}])?")

_PLAIN_TEXT = regex(rf"[^ \t{_BREAKS}]+")
_SINGLE_TEXT = regex(rf"[^' \t{_BREAKS}]+")
_DOUBLE_TEXT = regex(rf'[^"\\ \t{_BREAKS}]+')
_CODE_POINT = regex(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8}))")
_CONTINUATION = regex(rf"\\(?:\r\n|[{_BREAKS}])[ \t{_BREAKS}]*")
_LAST_CODE_POINT = 0x10FFFF

_ESCAPES = {
    "0": "\0",
    "a": "\a",
    "b": "\b",
    "t": "\t",
    "\t": "\t",
    "n": "\n",
    "v": "\v",
    "f": "\f",
    "r": "\r",
    "e": "\x1b",
    " ": " ",
    '"': '"',
    "/": "/",
    "\\": "\\",
    "N": "\x85",
    "_": "\xa0",
    "L": "\u2028",
    "P": "\u2029",
}


def source_offsets(text: str, start: int, end: int, style: str, value: str) -> Sequence[int]:
    """The offset in `text` of the source character that each character of `value` comes from.

    `start` and `end` are the code point offsets of the scalar's node, tag and anchor included, `style` is
    one of `""`, `'`, `"`, `|`, `>`, and `value` is what libyaml decoded. A folded line break and an escape
    map to their first character. One entry more than `value` has characters: the offset after the last
    source character of the content. A scalar that cannot be followed gets offsets inside the node.
    """
    offsets = traced_offsets(text, start, end, style, value)
    return _guessed(text, start, end, value) if offsets is None else offsets


def traced_offsets(text: str, start: int, end: int, style: str, value: str) -> Sequence[int] | None:
    """What `source_offsets` returns, or None where reading the source again does not give `value`."""
    stop = min(end, len(text))
    first = min(max(start, 0), max(stop, 0))
    if first < stop and text[first] in "&!":
        # a node begins at its tag or anchor, and comments and line breaks may come before the content
        properties = _PROPERTIES.match(text, first, stop)
        first = stop if properties is None else properties.end()
    if style not in ("|", ">"):
        if style:
            if stop - first < 2 or text[first] != style or text[stop - 1] != style:
                return None
            first, stop = first + 1, stop - 1
        if stop - first == len(value) and text.startswith(value, first):
            # no character of a value takes less than one of the source, so here each takes just one
            return range(first, stop + 1)
    return _reread(text, first, stop, style, value)


@lru_cache(maxsize=16)
def _reread(text: str, start: int, stop: int, style: str, value: str) -> Sequence[int] | None:
    """The offsets of the content in `text[start:stop]`, kept as one long script is asked for part by part."""
    trace = (
        _block(text, start, stop, style, value) if style in ("|", ">") else _flow(text, start, stop, style)
    )
    return None if trace is None else trace.checked(value)


def _guessed(text: str, start: int, end: int, value: str) -> Sequence[int]:
    """Offsets that rise from `start` and stay inside the node."""
    stop = max(0, min(end, len(text)))
    first = max(0, min(start, stop))
    last = max(first, stop - 1)
    return [*(min(first + index, last) for index in range(len(value))), stop]


class _Trace:
    """A value as read so far, with an offset for each of its characters."""

    __slots__ = ("after", "offsets", "pieces", "text")

    def __init__(self, text: str, start: int) -> None:
        self.text = text
        self.pieces: list[str] = []
        self.offsets: list[int] = []
        self.after = start

    def copy(self, start: int, end: int) -> None:
        """Take `text[start:end]` as it is."""
        self.pieces.append(self.text[start:end])
        self.offsets.extend(range(start, end))
        self.after = end

    def put(self, character: str, start: int, end: int) -> None:
        """Take one character that `text[start:end]` stands for."""
        self.pieces.append(character)
        self.offsets.append(start)
        self.after = end

    def put_break(self, found: re.Match[str]) -> None:
        """Take a line break."""
        character = found[0]
        self.put(character if character in _KEPT_BREAKS else "\n", found.start(), found.end())

    def put_breaks(self, breaks: Sequence[re.Match[str]]) -> None:
        """Take some line breaks."""
        for found in breaks:
            self.put_break(found)

    def put_folded(self, first: re.Match[str], others: Sequence[re.Match[str]]) -> None:
        """Take the break that ends a line and the empty lines after it, folded: one break is a space."""
        if first[0] in _KEPT_BREAKS:
            self.put_break(first)
        elif not others:
            self.put(" ", first.start(), first.end())
        self.put_breaks(others)

    def checked(self, value: str) -> Sequence[int] | None:
        """The offsets and the one after them, unless what was read is not `value`."""
        if "".join(self.pieces) != value:
            return None
        return (*self.offsets, self.after)


def _flow(text: str, start: int, stop: int, style: str) -> _Trace | None:
    """Read a plain or quoted scalar from `text[start:stop]`, its quotes left out."""
    trace = _Trace(text, start)
    run = {"": _PLAIN_TEXT, "'": _SINGLE_TEXT, '"': _DOUBLE_TEXT}.get(style)
    if run is None:
        return None
    at = start
    while at < stop:
        found = run.match(text, at, stop)
        if found is not None:
            at = found.end()
            trace.copy(found.start(), at)
            continue
        gap = _GAP.match(text, at, stop)
        if gap is not None:
            at = gap.end()
            _read_gap(trace, gap)
        elif style == "'" and text.startswith("''", at, stop):
            trace.put("'", at, at + 2)
            at += 2
        elif style == '"' and text[at] == "\\" and (after := _read_escape(trace, at, stop)) is not None:
            at = after
        else:
            return None
    return trace


def _read_gap(trace: _Trace, gap: re.Match[str]) -> None:
    """Read blanks inside a line, or a fold with the blanks around it dropped."""
    breaks = list(_BREAK.finditer(trace.text, gap.start(), gap.end()))
    if breaks:
        trace.put_folded(breaks[0], breaks[1:])
    else:
        trace.copy(gap.start(), gap.end())


def _read_escape(trace: _Trace, at: int, stop: int) -> int | None:
    """Read the escape at `at`; the offset after it, or None when YAML has no such escape."""
    text = trace.text
    joined = _CONTINUATION.match(text, at, stop)
    if joined is not None:
        # the escaped break goes, the empty lines after it stay
        trace.put_breaks(list(_BREAK.finditer(text, at, joined.end()))[1:])
        return joined.end()
    number = _CODE_POINT.match(text, at, stop)
    if number is not None:
        code_point = int(number[number.lastindex or 1], 16)
        if code_point > _LAST_CODE_POINT:
            return None
        trace.put(chr(code_point), at, number.end())
        return number.end()
    character = _ESCAPES.get(text[at + 1 : min(at + 2, stop)])
    if character is None:
        return None
    trace.put(character, at, at + 2)
    return at + 2


def _block(text: str, start: int, stop: int, style: str, value: str) -> _Trace | None:
    """Read a literal or folded block scalar whose header is at `start`."""
    header = _HEADER.match(text, start, stop)
    if header is None:
        return None
    at = header.end()
    indent = _indentation(text, at, stop, value)
    trace = _Trace(text, at)
    ending: re.Match[str] | None = None
    empty: list[re.Match[str]] = []
    after_blank = False
    while at < stop:
        spaces = _SPACES.match(text, at, stop if indent is None else min(stop, at + indent))
        begin = at if spaces is None else spaces.end()
        line_break = _BREAK.match(text, begin, stop)
        if line_break is not None:
            empty.append(line_break)
            at = line_break.end()
            continue
        if begin == stop or indent is None or begin - at < indent:
            return None
        blank = text[begin] in " \t"
        if ending is not None and style == ">" and not after_blank and not blank:
            trace.put_folded(ending, empty)
        else:
            trace.put_breaks(empty if ending is None else [ending, *empty])
        line = _LINE.match(text, begin, stop)
        at = begin if line is None else line.end()
        trace.copy(begin, at)
        ending, empty, after_blank = _BREAK.match(text, at, stop), [], blank
        at = at if ending is None else ending.end()
    if ending is not None and "-" not in header[1]:
        trace.put_break(ending)
    if "+" in header[1]:
        trace.put_breaks(empty)
    return trace


def _indentation(text: str, at: int, stop: int, value: str) -> int | None:
    """How many spaces the lines of a block scalar lose; None when it has no line that is not empty.

    A header can give the number only relative to the parent, which is not known here; the spaces that the
    first line of `value` still has tell it too.
    """
    content = value.lstrip(f"\n{_KEPT_BREAKS}")
    if not content:
        return None
    for _ in range(len(value) - len(content)):
        line_break = _BREAK.search(text, at, stop)
        if line_break is None:
            return None
        at = line_break.end()
    source = _SPACES.match(text, at, stop)
    kept = _SPACES.match(content)
    if source is None or kept is None:
        return None
    return source.end() - at - kept.end()
