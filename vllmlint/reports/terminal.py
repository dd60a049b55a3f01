"""Text for a terminal: display widths, harmless characters, wrapping and colour."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

#: Columns that a tab takes; fixed, so that a cut line does not shift what follows.
TAB = 4

#: Categories that would move the cursor, reorder text or hide in it: shown as escapes.
#: Cs (lone surrogates) is among them because it cannot be written as UTF-8 at all.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

_CODES = {
    "error": "1;31",
    "warning": "1;33",
    "info": "1;36",
    "help": "36",
    "line": "1;34",
    "related": "34",
    "good": "1;32",
    "dim": "2",
    "bold": "1",
}


@lru_cache(maxsize=4096)
def cell(char: str) -> tuple[str, int]:
    """How one character is shown, and how many terminal columns that takes."""
    if " " <= char <= "~":
        return char, 1
    if char == "\t":
        return " " * TAB, TAB
    category = unicodedata.category(char)
    if category in _UNSAFE:
        escape = char.encode("unicode_escape").decode("ascii")
        return escape, len(escape)
    if category in {"Mn", "Me"}:
        return char, 0
    return char, 2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1


def clean(text: str) -> str:
    """The text with nothing in it that a terminal would act on."""
    return text if text.isprintable() else "".join(cell(char)[0] for char in text)


def columns(text: str) -> int:
    """The terminal columns that cleaned text takes."""
    return len(text) if text.isascii() else sum(cell(char)[1] for char in text)


def wrap(text: str, width: int, *, first: int | None = None) -> list[str]:
    """Cleaned lines of at most `width` columns; the first of at most `first`.

    Line breaks in the text stay, with the indentation that follows them. A word that fits on no
    line is split. An empty first line means that not even the first word fitted there.
    """
    lines: list[str] = []
    room = width if first is None else first
    for paragraph in text.split("\n"):
        stripped = paragraph.lstrip(" ")
        indent = " " * min(len(paragraph) - len(stripped), width // 2)
        filled = _fill(stripped, room - len(indent), width - len(indent))
        lines += [indent + line if line else "" for line in filled]
        room = width
    return lines


def _fill(text: str, first: int, width: int) -> list[str]:
    lines: list[str] = []
    line, used, room = "", 0, first
    for word in map(clean, text.split()):
        size = columns(word)
        if used and used + 1 + size <= room:
            line, used = f"{line} {word}", used + 1 + size
            continue
        if used or size > room:
            if used or not lines:
                lines.append(line)
            line, used, room = "", 0, width
        while size > room:
            head, word = _split(word, room)
            lines.append(head)
            size = columns(word)
        line, used = word, size
    # an empty first line was only kept for a narrower start
    if lines and not lines[0] and first >= width:
        del lines[0]
    return [*lines, line] if line or not lines else lines


def _split(word: str, room: int) -> tuple[str, str]:
    used = 0
    for index, char in enumerate(word):
        size = cell(char)[1]
        if used + size > room and index:
            return word[:index], word[index:]
        used += size
    return word, ""


class Palette:
    """Paints text with ANSI codes, or leaves it alone."""

    __slots__ = ("color",)

    def __init__(self, color: bool) -> None:
        self.color = color

    def paint(self, text: str, style: str) -> str:
        """The text in a style (a severity, `help`, `line`, `related`, `dim` or `bold`; empty: none)."""
        if not (self.color and style and text):
            return text
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m"
