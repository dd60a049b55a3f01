"""Underlines and their labels below one source line."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from vllmlint.reports.terminal import Palette, cell, clean, columns, wrap

#: A label is moved to the left rather than wrapped into a column narrower than this.
_MIN_LABEL = 24


class Span:
    """Columns `start` up to `end` to underline, with what to say about them."""

    __slots__ = ("end", "label", "start", "style")

    def __init__(self, start: int, end: int, label: str, style: str) -> None:
        self.start = start
        self.end = end
        self.label = label
        self.style = style


class _Row:
    """One row of terminal cells, each with a style."""

    def __init__(self) -> None:
        self.cells: list[str] = []
        self.styles: list[str] = []

    def put(self, column: int, text: str, style: str) -> None:
        """Write cleaned text at a column, over what is there."""
        cells = list(text) if text.isascii() else _cells(text)
        end = column + len(cells)
        if (missing := end - len(self.cells)) > 0:
            self.cells += [" "] * missing
            self.styles += [""] * missing
        self.cells[column:end] = cells
        self.styles[column:end] = [style] * len(cells)

    def render(self, palette: Palette) -> str:
        """The row as text, each run of one style painted once."""
        if not palette.color:
            return "".join(self.cells)
        runs = groupby(zip(self.cells, self.styles, strict=True), key=lambda pair: pair[1])
        return "".join(palette.paint("".join(text for text, _ in run), style) for style, run in runs)


def _cells(text: str) -> list[str]:
    """One string a column: a combining mark joins what is before it, a wide character leaves one empty."""
    cells: list[str] = []
    for char in text:
        size = cell(char)[1]
        if size:
            cells += [char, *[""] * (size - 1)]
        elif cells:
            # behind a wide character the last cell is the empty one: the mark still follows the character
            cells[-1] += char
    return cells


def label_rows(spans: Sequence[Span], room: int, palette: Palette) -> list[str]:
    """The underlines of one line, then the labels that do not fit beside them, from right to left."""
    row = _Row()
    # the finding's own underline wins where two overlap
    for span in sorted(spans, key=lambda span: span.style != "related"):
        row.put(span.start, ("-" if span.style == "related" else "^") * (span.end - span.start), span.style)
    inline = _inline(spans, room)
    if inline is not None:
        row.put(inline.end + 1, clean(inline.label), inline.style)
    rows = [row]
    hanging = [span for span in spans if span.label and span is not inline]
    hanging.sort(key=lambda span: (-span.start, span.style == "related"))
    if hanging and len(spans) > 1:
        rows.append(_connectors(hanging, room))
    for number, span in enumerate(hanging):
        rows += _hang(span, hanging[number + 1 :], room)
    return [row.render(palette) for row in rows]


def _inline(spans: Sequence[Span], room: int) -> Span | None:
    """The span whose label can stand to the right of all underlines."""
    last = max(spans, key=lambda span: (span.end, span.style != "related", span.start))
    if not last.label or "\n" in last.label or last.end + 1 + columns(clean(last.label)) > room:
        return None
    return last


def _connectors(spans: Sequence[Span], before: int) -> _Row:
    row = _Row()
    for span in spans:
        if span.start < before:
            row.put(span.start, "|", span.style)
    return row


def _hang(span: Span, pending: Sequence[Span], room: int) -> list[_Row]:
    """The rows of one label, with the lines of labels still to come on its left."""
    size = columns(clean(span.label))
    column = span.start
    if column + min(size, _MIN_LABEL) > room:
        column = max(0, room - size)
    rows = []
    for text in wrap(span.label, room - column):
        row = _connectors(pending, column)
        row.put(column, text, span.style)
        rows.append(row)
    return rows
