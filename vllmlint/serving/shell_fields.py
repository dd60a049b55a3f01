"""Words of a shell script while they are read, and as they are handed out."""

from __future__ import annotations

from dataclasses import field

from vllmlint.record import mutable, record

BLANKS = " \t\n"
"""Characters that part words."""


@record
class ShellWord:
    """One word of a command, with where each of its characters comes from.

    A word of unknown text may stand for several words or none when it has an unquoted expansion.
    """

    text: str | None
    """After quote removal and expansion; None when it cannot be known statically."""
    start: int
    end: int
    """Range in the script, quotes included; words split from one expansion share it."""
    offsets: tuple[int, ...]
    """One script offset per character of the text; the `$` for characters of a variable's value."""
    sources: tuple[tuple[int, int], ...] = ()
    """One script range per character: all that was written for it (`\\"`, `$MODEL`)."""

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Range of the script that made `text[start:end]`; the whole word when that is not known."""
        made = self.sources[max(start, 0) : max(end, 0)]
        if made:
            return min(source[0] for source in made), max(source[1] for source in made)
        if self.text and start >= len(self.text):
            return self.sources[-1][1], self.sources[-1][1]
        if self.text and start == end:
            return self.sources[max(start, 0)][0], self.sources[max(start, 0)][0]
        return self.start, self.end


@mutable
class Field:
    """A word in the making."""

    chars: list[str] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    sources: list[tuple[int, int]] = field(default_factory=list)
    known: bool = True
    present: bool = False
    """Stays even when empty: quotes were written."""
    brace: int = 0
    """Progress of an unquoted `{` `,` `}`, which bash expands to several words and sh does not."""

    @property
    def text(self) -> str | None:
        """The text so far, None when part of it is not known."""
        return "".join(self.chars) if self.known else None


class Fields:
    """The words that one range of the script expands to."""

    def __init__(self, split: bool) -> None:
        self.split = split
        self.done: list[Field] = []
        self.current: Field | None = None

    def field(self) -> Field:
        """The word being made, started if there is none."""
        if self.current is None:
            self.current = Field()
        return self.current

    def add(self, char: str, offset: int, source: tuple[int, int]) -> None:
        """Add one character."""
        current = self.field()
        current.chars.append(char)
        current.offsets.append(offset)
        current.sources.append(source)

    def unknown(self) -> None:
        """Make the current word unknown."""
        self.field().known = False

    def cut(self) -> None:
        """End the current word."""
        if self.current is not None:
            self.done.append(self.current)
            self.current = None

    def result(self) -> list[Field]:
        """All words, without those that expanded to nothing."""
        self.cut()
        return [made for made in self.done if made.chars or made.present or not made.known]
