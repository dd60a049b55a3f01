"""Architectures by vLLM release: which the registry names and what their classes support."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Literal

from vllmlint.record import record

#: `yes` and `no` are what the registry says; `unknown`: the release was not read and its neighbours differ.
Served = Literal["yes", "no", "unknown"]


@record
class ArchitectureRow:
    """What a release's registry says of an architecture; `letters` as `architectures.json` explains them."""

    served: Served
    letters: str


@cache
def _data() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(Path(__file__).with_name("architectures.json").read_text("utf-8"))
    return loaded


@cache
def registry_releases() -> tuple[str, ...]:
    """The releases whose registry was read, oldest first."""
    return tuple(_data()["releases"])


def architecture_row(name: str, older: int, newer: int) -> ArchitectureRow:
    """The row of an architecture between the releases at two places of `registry_releases()` (the same place
    twice: that very release). Where the two differ in serving it, nobody can tell."""
    before, after = _letters(name, older), _letters(name, newer)
    if "-" not in (before, after):
        return ArchitectureRow("yes", before)
    if before == after:
        return ArchitectureRow("no", "")
    return ArchitectureRow("unknown", after if before == "-" else before)


def _letters(name: str, index: int) -> str:
    letters = "-"
    for start, text in _data()["architectures"].get(name, ()):
        if start <= index:
            letters = text
    return letters


def first_served(name: str) -> int | None:
    """The place in `registry_releases()` of the first release that serves an architecture; None: none."""
    changes = _data()["architectures"].get(name)
    first: int | None = changes[0][0] if changes else None
    return first


def removed_in(name: str) -> str | None:
    """The last release that served an architecture, where vLLM says that it removed it; None: it does not."""
    last: str | None = _data()["removed"].get(name)
    return last
