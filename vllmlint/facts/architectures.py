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


def architecture_row(name: str, index: int, exact: bool) -> ArchitectureRow:
    """The row of an architecture at `registry_releases()[index]`, which stands for the release in question
    (`exact`: it is that very release, else the nearest older one)."""
    changes = _data()["architectures"].get(name, ())
    letters, following = "-", None
    for start, text in changes:
        if start <= index:
            letters = text
        elif start == index + 1:
            following = text
    if letters == "-":
        later = not exact and following not in (None, "-")
        return ArchitectureRow("unknown" if later else "no", "" if following in (None, "-") else following)
    gone = not exact and following == "-"
    return ArchitectureRow("unknown" if gone else "yes", letters)


def first_served(name: str) -> int | None:
    """The place in `registry_releases()` of the first release that serves an architecture; None: none."""
    changes = _data()["architectures"].get(name)
    first: int | None = changes[0][0] if changes else None
    return first


def removed_in(name: str) -> str | None:
    """The last release that served an architecture, where vLLM says that it removed it; None: it does not."""
    last: str | None = _data()["removed"].get(name)
    return last
