"""Words on their way to argparse, each with the characters it came from."""

from __future__ import annotations

from dataclasses import field
from typing import Final

from vllmlint.record import mutable
from vllmlint.serving.arg_errors import ArgumentError, Span
from vllmlint.serving.arg_results import UNKNOWN_MARK, ConfigUse, DottedPart

#: The index of words that are not on the command line.
NOT_A_WORD: Final = -1


@mutable
class Token:
    """One word as argparse will see it.

    `text` starts at character `start` of word `word` (NOT_A_WORD for the `--config` file). A rewritten
    token has the flag's characters `start` to `flag_end` and its value from `value_start`; both are -1 when
    the text can be measured itself. `parts` are the dotted words it was gathered from.
    """

    text: str
    word: int
    start: int = 0
    flag_end: int = -1
    value_start: int = -1
    parts: tuple[DottedPart, ...] = ()

    @property
    def opaque(self) -> bool:
        """Whether it may be any word, even an option."""
        return self.text[:1] == UNKNOWN_MARK

    def flag_span(self, length: int) -> Span:
        """The characters of the option that is `length` long in `text`."""
        return self.start, self.flag_end if self.flag_end >= 0 else self.start + length

    def value_span(self, offset: int) -> Span:
        """The characters of the value that starts at `offset` in `text`."""
        start = self.value_start if self.value_start >= 0 else self.start + offset
        return start, start + len(self.text) - offset


@mutable
class Prepared:
    """The tokens for argparse, and what was found on the way.

    `model` is the `--model` value that was moved to the front (0.11.1 and newer).
    """

    tokens: list[Token]
    errors: list[ArgumentError] = field(default_factory=list)
    config: ConfigUse | None = None
    model: Token | None = None
