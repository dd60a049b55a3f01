"""Pictures of source lines with the guilty characters underlined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from vllmlint.lint.result import Spot
from vllmlint.manifest.text import SourceText
from vllmlint.record import record
from vllmlint.reports.canvas import Span, label_rows
from vllmlint.reports.terminal import Palette, cell, clean

#: What stands for characters that were cut out.
ELLIPSIS = "…"
#: Spaces before the line numbers.
INDENT = 2
#: The narrowest room for source text: two escaped characters and three ellipses still fit.
MIN_ROOM = 28
#: Characters that should stay visible around each of several underlines on a cut line.
_CONTEXT = 4


@record
class Mark:
    """A place to underline: with `^` in its severity's colour when `style` is one, else with `-`."""

    spot: Spot
    label: str
    style: str = "related"


@record
class _Stretch:
    """The part of a mark that lies on one line: code points `start` up to `end` of that line."""

    line: int
    start: int
    end: int
    label: str
    style: str


class Excerpt(NamedTuple):
    """The rows of a picture; its vertical bar stands at column `bar`, for notes to line up with."""

    rows: list[str]
    bar: int


def excerpt(marks: Sequence[Mark], *, width: int, palette: Palette) -> Excerpt:
    """The picture of the marks, the first of which is the finding's own; one block a file."""
    blocks: dict[int, list[Mark]] = {}
    for mark in marks:
        blocks.setdefault(id(mark.spot.place.source), []).append(mark)
    stretches = {key: [part for mark in block for part in _parts(mark)] for key, block in blocks.items()}
    digits = len(str(max(part.line for parts in stretches.values() for part in parts)))
    picture = _Picture(digits, width, palette)
    for number, (key, block) in enumerate(blocks.items()):
        picture.location("-->" if number == 0 else ":::", block[0].spot)
        picture.block(block[0].spot.place.source, stretches[key])
    return Excerpt(picture.rows, INDENT + digits + 1)


def _parts(mark: Mark) -> Iterator[_Stretch]:
    """The underlines of a mark: one, or for several lines those of the first and the last line."""
    source, start, end = mark.spot.place
    text = source.text[start:end]
    if "\n" in text:
        # a block ends with its line break (and what blank lines follow), which is nothing to underline
        end = start + len(text.rstrip())
        start = min(end, start + len(text) - len(text.lstrip()))
    first = source.line_of(start)
    last = source.line_of(max(start, end - 1))
    starts = source.line_starts
    if first == last:
        yield _Stretch(first, start - starts[first - 1], end - starts[first - 1], mark.label, mark.style)
        return
    begin = start - starts[first - 1]
    yield _Stretch(first, begin, max(begin, len(source.line_text(first).rstrip())), "", mark.style)
    line = source.line_text(last)
    stop = end - starts[last - 1]
    yield _Stretch(last, min(len(line) - len(line.lstrip()), stop), stop, mark.label, mark.style)


class _Picture:
    """Collects the rows of a picture."""

    def __init__(self, digits: int, width: int, palette: Palette) -> None:
        self.rows: list[str] = []
        self.digits = digits
        self.palette = palette
        self.room = max(MIN_ROOM, width - INDENT - digits - 3)
        self.bar = palette.paint(" " * (INDENT + digits) + " |", "line")

    def location(self, arrow: str, spot: Spot) -> None:
        """The line that names file, line and column; never cut, so that it stays clickable."""
        head = self.palette.paint(" " * (INDENT + self.digits) + arrow, "line")
        self.rows.append(f"{head} {clean(spot.file)}:{spot.start.line}:{spot.start.column}")
        self.rows.append(self.bar)

    def block(self, source: SourceText, parts: list[_Stretch]) -> None:
        """The lines of one file, with `...` where some are left out."""
        by_line: dict[int, list[_Stretch]] = {}
        for part in parts:
            by_line.setdefault(part.line, []).append(part)
        previous = 0
        for line in sorted(by_line):
            if previous and line == previous + 2:
                # one line takes no more room than the dots would
                self.source_line(source, previous + 1, [])
            elif previous and line > previous + 2:
                self.rows.append(self.palette.paint(" " * INDENT + "...", "line"))
            self.source_line(source, line, by_line[line])
            previous = line

    def source_line(self, source: SourceText, line: int, parts: list[_Stretch]) -> None:
        """One line and its underlines; shown again when they do not all fit in one row."""
        text = source.line_text(line)
        pending = sorted(parts, key=lambda part: (part.start, part.end))
        while True:
            count = len(pending)
            cut = _cut(text, pending, self.room)
            while count > 1 and cut.context < _CONTEXT:
                count -= 1
                cut = _cut(text, pending[:count], self.room)
            if cut.context < 0:
                cut = _cut(text, pending[:count], self.room, whole=False)
            number = self.palette.paint(f"{'':{INDENT}}{line:>{self.digits}} |", "line")
            shown = cut.text.rstrip()
            self.rows.append(f"{number} {shown}".rstrip() if parts else self._context(number, shown))
            if parts:
                spans = [cut.span(part) for part in pending[:count]]
                self.rows += [f"{self.bar} {row}" for row in label_rows(spans, self.room, self.palette)]
            pending = pending[count:]
            if not pending:
                return

    def _context(self, number: str, shown: str) -> str:
        return f"{number} {self.palette.paint(shown, 'dim')}".rstrip()


@record
class _Cut:
    """A line as it is shown: `at` has the first and last column of each character that matters.

    `context` is how many characters around those are visible; negative when not even they fit.
    """

    text: str
    at: dict[int, tuple[int, int]]
    context: int

    def span(self, part: _Stretch) -> Span:
        """The columns of an underline, at least one."""
        start = self.at[part.start][0]
        end = self.at[part.end - 1][1] if part.end > part.start else start
        return Span(start, max(end, start + 1), part.label, part.style)


def _cut(text: str, parts: Sequence[_Stretch], room: int, *, whole: bool = True) -> _Cut:
    """The line, with what is far from the underlined parts cut out until it fits in `room`.

    Without `whole`, the parts themselves may lose their middles.
    """
    cores = sorted((part.start, max(part.end, part.start + 1)) for part in parts) or [(0, 1)]
    # something to underline may lie behind the last character, such as a missing value
    text = text.ljust(max(end for _, end in cores))
    anchors = {at for start, end in cores for at in (start, end - 1)}
    if len(text) <= room and text.isascii() and text.isprintable():
        return _Cut(text, {at: (at, at + 1) for at in anchors}, room)
    # escapes take many columns, combining marks none: measuring a huge line would be for nothing
    if len(text) <= 4 * room and _size(text, [(0, len(text))]) <= room:
        return _show(text, [(0, len(text))], anchors, room)
    if not whole:
        cores = [(at, at + 1) for at in sorted(anchors)]
    elif any(end - start > 4 * room for start, end in cores):
        return _Cut("", {}, -1)
    low, high = -1, room
    while low < high:
        middle = (low + high + 1) // 2
        if _size(text, _kept(text, cores, middle)) <= room:
            low = middle
        else:
            high = middle - 1
    return _show(text, _kept(text, cores, max(low, 0)), anchors, low)


def _kept(text: str, cores: Sequence[tuple[int, int]], context: int) -> list[tuple[int, int]]:
    """The ranges within `context` of a core."""
    ranges: list[tuple[int, int]] = []
    for first, last in cores:
        start, end = max(0, first - context), min(len(text), last + context)
        behind = ranges[-1][1] if ranges else -1
        # an ellipsis in place of one ordinary character would save nothing
        if ranges and (start <= behind or (start == behind + 1 and cell(text[behind])[1] == 1)):
            ranges[-1] = (ranges[-1][0], max(end, behind))
        else:
            ranges.append((start, end))
    return ranges


def _size(text: str, ranges: Sequence[tuple[int, int]]) -> int:
    """The columns that the ranges take, with the ellipses between and around them."""
    size = sum(cell(char)[1] for start, end in ranges for char in text[start:end])
    return size + len(ranges) - 1 + (ranges[0][0] > 0) + (ranges[-1][1] < len(text))


def _show(text: str, ranges: Sequence[tuple[int, int]], anchors: set[int], context: int) -> _Cut:
    pieces: list[str] = []
    at: dict[int, tuple[int, int]] = {}
    column = 0
    behind = 0
    for start, end in ranges:
        if start > behind:
            pieces.append(ELLIPSIS)
            column += 1
        for index in range(start, end):
            shown, size = cell(text[index])
            pieces.append(shown)
            if index in anchors:
                at[index] = (column, column + size)
            column += size
        behind = end
    if behind < len(text):
        pieces.append(ELLIPSIS)
    return _Cut("".join(pieces), at, context)
