"""Plain scalars resolved to values the way kubectl resolves them."""

from __future__ import annotations

import math
from typing import TypeAlias

from vllmlint.regex import regex

#: What an untagged plain scalar can stand for.
Plain: TypeAlias = str | int | float | bool | None

_WORDS: dict[str, Plain] = {
    **dict.fromkeys(["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"], True),
    **dict.fromkeys(["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"], False),
    **dict.fromkeys(["", "~", "null", "Null", "NULL"], None),
    **dict.fromkeys([".nan", ".NaN", ".NAN"], math.nan),
    **dict.fromkeys([".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"], math.inf),
    **dict.fromkeys(["-.inf", "-.Inf", "-.INF"], -math.inf),
}

#: Only these characters can begin a number.
_STARTS_NUMBER = frozenset("+-.0123456789")

#: Up to this many digits a number is sure to fit 64 bits.
_SHORT = 18

_BINARY = regex(r"([-+]?)0[bB]([01]+)")
#: goyaml cuts a `0b` prefix off by itself when Go refuses the number, so a sign may follow the prefix.
_SIGNED_BINARY = regex(r"0b([-+])([01]+)")
_OCTAL = regex(r"([-+]?)0[oO]?([0-7]+)")
_DECIMAL = regex(r"[-+]?(?:0|[1-9][0-9]*)")
_HEXADECIMAL = regex(r"([-+]?)0[xX]([0-9a-fA-F]+)")
_PREFIXED = ((_OCTAL, 8), (_HEXADECIMAL, 16), (_BINARY, 2), (_SIGNED_BINARY, 2))

_FLOAT = regex(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
#: What Go's ParseFloat takes after a leading dot: underscores only between digits.
_DOTTED_FLOAT = regex(r"\.[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+(?:_[0-9]+)*)?")


def resolve_plain(text: str) -> Plain:
    """The value of an untagged plain scalar, as kubectl (goyaml.v2) reads it.

    Words of YAML 1.1 (`yes`, `off`) are booleans, `010` is octal, there is no base 60, and a timestamp
    stays a string. Unlike Go, a decimal number beyond 64 bits keeps all its digits.
    """
    value = _WORDS.get(text, text)
    if value is not text or text[0] not in _STARTS_NUMBER:
        return value
    if text[0] == ".":
        return _float(text, text) if _DOTTED_FLOAT.fullmatch(text) else text
    return _number(text)


def _number(text: str) -> Plain:
    """The number `text` (which begins with a digit or a sign) spells, or `text` itself."""
    plain = text.replace("_", "") if "_" in text else text
    if _DECIMAL.fullmatch(plain):
        # a length that Go's float64 cannot hold is a string there, and Python refuses to convert
        return int(plain) if len(plain) <= _SHORT or math.isfinite(float(plain)) else text
    for pattern, base in _PREFIXED:
        found = pattern.fullmatch(plain)
        if found is not None:
            value = int(found[2], base)
            value = -value if found[1] == "-" else value
            if _fits(value, signed=bool(found[1])):
                return value
    return _float(plain, text) if _FLOAT.fullmatch(plain) else text


def _fits(value: int, *, signed: bool) -> bool:
    """Whether Go's ParseInt or, for a number without a sign, ParseUint takes `value`."""
    return -(1 << 63) <= value < (1 << 63 if signed else 1 << 64)


def _float(plain: str, text: str) -> Plain:
    """The float `plain`, or `text` when it is out of range, which Go counts as an error."""
    value = float(plain)
    return value if math.isfinite(value) else text
