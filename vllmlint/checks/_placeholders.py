"""Texts that somebody still has to fill in."""

from __future__ import annotations

import re

from vllmlint.regex import regex

#: `$NAME`, `${NAME}`, `${NAME:-default}`: a shell's or envsubst's, never Kubernetes'. A `$` after a letter is
#: part of a word (a password), `$$` an escape.
VARIABLE = regex(
    r"(?<![A-Za-z0-9$\\])\$(?:\{(?P<braced>[A-Za-z_]\w*)(?::?[-=?+][^{}]*)?\}|(?P<bare>[A-Z_][A-Z0-9_]+)(?![a-z]))"
)


#: What an angle bracket must speak of to be a placeholder and not a token of a chat template.
_ANGLE_WORDS = (
    "your|my|insert|replace|enter|fill|change|token|key|secret|password|namespace|registry|tag|version|path|url|repo"
    "|project|region|bucket|account|cluster|commit|sha|digest|revision|domain|endpoint|name|model"
)


_ANGLE = rf"<(?=[^<>]*(?:{_ANGLE_WORDS}))(?!/)[A-Za-z][A-Za-z0-9 _.:/-]*>"


LOUD = (
    r"REPLACE[-_](?:WITH|ME|THIS|BY)[A-Z0-9_-]*|REPLACEME|REPLACE_[A-Z0-9_]+|YOUR[-_][A-Z0-9][A-Z0-9_-]*|INSERT_[A-Z0-9_]+"
    r"|PUT_[A-Z0-9_]+_HERE|__[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*__|CHANGE[-_]?ME[A-Z0-9_-]*"
)


QUIET = r"change[-_]?me|your[-_](?!self)[a-z0-9][a-z0-9_-]*|PLACEHOLDER|(?:hf|sk)[_-][xX*]{3,}"


HUMAN = regex(rf"(?<![A-Za-z0-9])(?:{_ANGLE}|{LOUD}|{QUIET})(?![A-Za-z0-9])")


IMAGE_HUMAN = regex(
    rf"{HUMAN.pattern}|\bplaceholder\b|(?<=:)(?:my-?tag|your-?tag|<[^<>]*>|v?[xX]\.[yY]\.[zZ])\Z|<[^<>]+>"
)


#: A part of an image's path in capitals, which no registry takes.
CAPITALS = regex(r"(?:(?<=/)|^)[A-Z][A-Z0-9_]{2,}(?=[/:@]|\Z)")


#: An image that says itself that kustomize sets it.
BY_DESIGN = regex(r"(?:replaced|set|overridden)[-_]by[-_]", re.IGNORECASE)


def is_placeholder_image(reference: str) -> bool:
    """Whether an image reference waits for kustomize, sed or a person to fill it in."""
    marks = (IMAGE_HUMAN, CAPITALS, BY_DESIGN, VARIABLE)
    return any(mark.search(reference) is not None for mark in marks)
