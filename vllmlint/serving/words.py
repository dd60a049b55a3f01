"""Words of a command line that know the characters they came from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from vllmlint.kube.env import EnvVar, expand
from vllmlint.manifest.nodes import Scalar
from vllmlint.manifest.text import Place
from vllmlint.record import record
from vllmlint.regex import regex

if TYPE_CHECKING:
    from vllmlint.serving.shell import ShellWord

#: What stands at the `$` of an expansion, so that the whole reference is underlined.
_EXPANSION = regex(r"\$(?:\([^()]*\)|\{[^{}]*\}|[A-Za-z_]\w*|.)?", re.DOTALL)


@record
class Word:
    """One word: `text` as the process sees it, None when the manifest does not tell.

    `offsets[i]` is the offset in `scalar.text` of the character that `text[i]` comes from; `start`
    and `end` bound the whole word in `scalar.text`.
    """

    text: str | None
    scalar: Scalar
    offsets: Sequence[int]
    start: int
    end: int

    @property
    def place(self) -> Place:
        """The characters of the word in the file."""
        return self.scalar.part(self.start, self.end)

    def part(self, start: int, end: int) -> Place:
        """The characters of `text[start:end]` in the file; an expanded variable counts whole."""
        if self.text is None or end <= start or end > len(self.offsets):
            return self.place
        stop = _after(self.scalar.text, self.offsets[end - 1], self.text[end - 1])
        return self.scalar.part(self.offsets[start], stop)


def _after(source: str, offset: int, character: str) -> int:
    """The offset behind what gave `character`: a variable's reference counts whole."""
    if character != "$" and source.startswith("$", offset):
        match = _EXPANSION.match(source, offset)
        return match.end() if match is not None else offset + 1
    return offset + 1


def word_of(scalar: Scalar, env: Mapping[str, EnvVar]) -> Word:
    """The word that a list element of `command` or `args` becomes."""
    expansion = expand(scalar.text, env)
    return Word(expansion.text, scalar, expansion.offsets, 0, len(scalar.text))


def shell_word(word: ShellWord, script: Word) -> Word:
    """A word of a shell script that itself is a word of the command line."""
    outer = script.offsets
    source, text = script.scalar.text, script.text or ""

    def translate(offset: int) -> int:
        return outer[offset] if offset < len(outer) else len(source)

    start, last = translate(word.start), word.end - 1
    end = _after(source, translate(last), text[last : last + 1]) if word.end > word.start else start
    return Word(word.text, script.scalar, [translate(offset) for offset in word.offsets], start, end)


def unknown_word(scalar: Scalar) -> Word:
    """A word that stands for arguments the manifest does not show; `scalar` is what hides them."""
    return Word(None, scalar, (), 0, len(scalar.text))
