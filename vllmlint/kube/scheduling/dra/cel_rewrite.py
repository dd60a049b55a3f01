"""What Kubernetes' CEL has beyond the plain language, in the words of the plain language."""

from __future__ import annotations

import re

from vllmlint.kube.scheduling.dra.objects import DraError
from vllmlint.regex import regex

#: `device.attributes["domain"]`, with an optional index too: a domain that is missing is an empty map anyway.
_DOMAIN = regex(r"""(device\.(?:attributes|capacity))\[\??\s*("[^"\\]*"|'[^'\\]*')\s*\]""")
#: `.?name` behind it, with `.orValue(` or `.hasValue()`.
_OPTIONAL = regex(rf"({_DOMAIN.pattern})\.\?([A-Za-z_][A-Za-z0-9_]*)\.(orValue\(|hasValue\(\))")
_SETS = {
    "sets.contains": "({1}).all(each__, each__ in ({0}))",
    "sets.intersects": "({0}).exists(each__, each__ in ({1}))",
    "sets.equivalent": "(({0}).all(each__, each__ in ({1})) && ({1}).all(each__, each__ in ({0})))",
}
#: The argument of `has` selects a field by its name.
_SELECTION = regex(r"\.\s*[A-Za-z_][A-Za-z0-9_]*\s*\Z")


def plain(expression: str) -> str:
    """An expression without `cel.bind`, optional fields of a device and the functions of sets.

    Raises DraError for what the scheduler's compiler refuses and the evaluator would let pass: `has` of
    anything but a field.
    """
    for argument in _calls(expression, "has"):
        if len(argument) != 1 or not _SELECTION.search(argument[0]):
            raise DraError("CEL compile error: invalid argument to has() macro")
    for name, form in _SETS.items():
        expression = _replaced(expression, name, 2, form)
    return _without_binds(_without_optionals(expression))


def _calls(text: str, name: str) -> list[list[str]]:
    starts = re.finditer(rf"(?<![A-Za-z0-9_.]){re.escape(name)}\s*\(", text)
    return [arguments(text, match.end())[0] for match in starts if not _quoted(text, match.start())]


def _replaced(text: str, name: str, count: int, form: str) -> str:
    """Every call of a function of `count` arguments, written as `form`."""
    match = re.search(rf"(?<![A-Za-z0-9_.]){re.escape(name)}\s*\(", text)
    if match is None or _quoted(text, match.start()):
        return text
    parts, end = arguments(text, match.end())
    if len(parts) != count:
        return text
    inner = [_replaced(part.strip(), name, count, form) for part in parts]
    return text[: match.start()] + form.format(*inner) + _replaced(text[end:], name, count, form)


def _without_binds(text: str) -> str:
    """`cel.bind(name, value, body)` as `[value].map(name, body)[0]`."""
    return _replaced(text, "cel.bind", 3, "[{1}].map({0}, {2})[0]")


def _without_optionals(text: str) -> str:
    """`device.attributes["d"].?name.orValue(other)` as `(has(…["d"].name) ? …["d"].name : (other))`."""
    match = _OPTIONAL.search(text)
    if match is None:
        return _DOMAIN.sub(r"\1[\2]", text)
    domain = _DOMAIN.sub(r"\1[\2]", match[1])
    field, rest = f"{domain}.{match[4]}", text[match.end() :]
    there = f"has({field})"
    if match[5] == "orValue(":
        parts, end = arguments(text, match.end())
        if len(parts) != 1:
            return text
        there, rest = f"({there} ? {field} : ({_without_optionals(parts[0])}))", text[end:]
    return _DOMAIN.sub(r"\1[\2]", text[: match.start()]) + there + _without_optionals(rest)


def _quoted(text: str, at: int) -> bool:
    """Whether a position lies inside a text."""
    quote, index = "", 0
    while index < at:
        char = text[index]
        if quote:
            if char == "\\":
                index += 1
            elif char == quote:
                quote = ""
        elif char in "\"'":
            quote = char
        index += 1
    return bool(quote)


def arguments(text: str, begin: int) -> tuple[list[str], int]:
    """The arguments of a call from behind its parenthesis, and where what follows the call begins."""
    parts: list[str] = []
    depth, last, quote = 0, begin, ""
    at = begin
    while at < len(text):
        char = text[at]
        if quote:
            if char == "\\":
                at += 1
            elif char == quote:
                quote = ""
        elif char in "\"'":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            if not depth:
                return [*parts, text[last:at]], at + 1
            depth -= 1
        elif char == "," and not depth:
            parts.append(text[last:at])
            last = at + 1
        at += 1
    return [], len(text)
