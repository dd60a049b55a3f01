"""Patterns of files, as `.gitignore` reads them."""

from __future__ import annotations

import re
from functools import cache


def matches_glob(path: str, pattern: str) -> bool:
    """Whether a `/`-separated relative path, or a directory above it, has the pattern.

    As in `.gitignore`: `*` and `?` stop at `/`, `**` between slashes is any number of directories,
    `[ab]` and `[!ab]` are one character. A pattern without `/` inside matches at any depth, a
    pattern that names a directory matches everything below it.
    """
    return _glob(pattern).match(path.removeprefix("./")) is not None


@cache
def _glob(pattern: str) -> re.Pattern[str]:
    only_directories = pattern.endswith("/")
    body = pattern.removeprefix("./").strip("/")
    if body in {"", "."}:
        return re.compile(".*", re.DOTALL)
    anchored = "/" in body or pattern.startswith(("/", "./"))
    parts = body.split("/")
    out = "" if anchored else "(?:.*/)?"
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "**":
            out += ".*" if last else "(?:[^/]+/)*"
        else:
            out += _glob_part(part) + ("" if last else "/")
    return re.compile(out + ("/.*" if only_directories else "(?:/.*)?") + r"\Z", re.DOTALL)


def _glob_part(part: str) -> str:
    out, at = "", 0
    while at < len(part):
        char = part[at]
        end = part.find("]", at + 2 + part.startswith("!", at + 1)) if char == "[" else -1
        if end > 0:
            negated = part[at + 1] == "!"
            members = re.escape(part[at + 1 + negated : end]).replace(r"\-", "-")
            out += _character(f"(?!/)[{'^' * negated}{members}]", part[at : end + 1])
            at = end
        else:
            out += {"*": "[^/]*", "?": "[^/]"}.get(char, re.escape(char))
        at += 1
    return out


def _character(expression: str, written: str) -> str:
    try:
        re.compile(expression)
    except re.error:  # a range that runs backwards, as in `[z-a]`
        return re.escape(written)
    return expression
