"""Names of methods that vLLM removed, renamed or takes only beside another flag."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from vllmlint.record import record


@record
class GatedMethod:
    """A value of `flag` that a release, from `since` on, refuses unless the flag `needs` is given."""

    flag: str
    values: tuple[str, ...]
    since: str
    needs: str


@cache
def _file() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(Path(__file__).with_name("methods.json").read_text("utf-8"))
    return loaded


def method_advice(flag: str, value: str) -> tuple[str | None, str | None]:
    """The value to write instead of one that is gone, and what else to do; None where nothing is known."""
    row: dict[str, str] = _file()["instead"].get(flag, {}).get(value, {})
    return row.get("value"), row.get("do")


@cache
def gated_methods() -> tuple[GatedMethod, ...]:
    """The methods that need a flag beside them."""
    return tuple(
        GatedMethod(row["flag"], tuple(row["values"]), row["since"], row["needs"]) for row in _file()["gated"]
    )
