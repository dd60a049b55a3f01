"""The text of one file and where things stand in it."""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

#: The three bytes of a UTF-8 byte order mark; they count in byte offsets but not in the text.
BOM_BYTES = b"\xef\xbb\xbf"


class Position(NamedTuple):
    """A place as people and editors count it.

    `line` and `column` count from 1, `column` in Unicode code points; `offset` is the number of
    bytes before it in the file as it lies on disk (a byte order mark counts, CRLF counts two).
    """

    line: int
    column: int
    offset: int


class SourceText:
    """The decoded text of one file, without its byte order mark.

    Offsets inside the package are code points into `text`; `position` turns one into what
    reports show. `path` is the file as the user named it, with `/` between its parts.
    """

    __slots__ = ("_line_starts", "bom_length", "path", "text")

    def __init__(self, path: str, text: str, bom_length: int = 0) -> None:
        self.path = path
        self.text = text
        self.bom_length = bom_length
        self._line_starts: list[int] | None = None

    @property
    def line_starts(self) -> list[int]:
        """Offsets of the first character of each line (line 1 first)."""
        if self._line_starts is None:
            starts = [0]
            find = self.text.find
            at = find("\n")
            while at >= 0:
                starts.append(at + 1)
                at = find("\n", at + 1)
            self._line_starts = starts
        return self._line_starts

    def line_of(self, offset: int) -> int:
        """The line, from 1, that holds `offset`."""
        return bisect_right(self.line_starts, offset)

    def line_text(self, line: int) -> str:
        """Line number `line` (from 1) without its line break."""
        starts = self.line_starts
        end = starts[line] if line < len(starts) else len(self.text)
        return self.text[starts[line - 1] : end].rstrip("\r\n")

    def position(self, offset: int) -> Position:
        """The position of a code point offset."""
        line = self.line_of(offset)
        start = self.line_starts[line - 1]
        text = self.text
        before = offset if text.isascii() else len(text[:offset].encode("utf-8", "surrogatepass"))
        return Position(line, offset - start + 1, before + self.bom_length)


class Place(NamedTuple):
    """A stretch of one file: code point offsets `start` up to, not including, `end`."""

    source: SourceText
    start: int
    end: int

    @property
    def text(self) -> str:
        """The characters at this place."""
        return self.source.text[self.start : self.end]

    @property
    def line(self) -> int:
        """The line, from 1, on which the place starts."""
        return self.source.line_of(self.start)
