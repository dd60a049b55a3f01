r"""Escapes of the shell's `$'...'` strings."""

from __future__ import annotations

from vllmlint.regex import regex

_LETTERS = {
    "a": "\a",
    "b": "\b",
    "e": "\x1b",
    "E": "\x1b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
    "?": "?",
}
_CODE = regex(r"x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{1,4})|U([0-9A-Fa-f]{1,8})|([0-7]{1,3})")


def read_escape(text: str, at: int, end: int) -> tuple[str | None, int]:
    r"""One character of a `$'...'` string at `at`: its value and the offset after it.

    The value is None for what has no text of its own (`\0`, `\cX`, bytes above ASCII).
    """
    if text[at] != "\\" or at + 1 >= end:
        return text[at], at + 1
    letter = _LETTERS.get(text[at + 1])
    if letter is not None:
        return letter, at + 2
    if text[at + 1] == "c":
        return None, min(at + 3, end)
    code = _CODE.match(text, at + 1, end)
    if code is None:
        return "\\", at + 1
    number = int(code[1] or code[2] or code[3] or "0", 16) if code[4] is None else int(code[4], 8)
    # \x and octal name bytes: above ASCII they are pieces of an encoded character
    byte = code[1] is not None or code[4] is not None
    if number == 0 or (byte and number > 0x7F) or number > 0x10FFFF or 0xD800 <= number < 0xE000:
        return None, code.end()
    return chr(number), code.end()
