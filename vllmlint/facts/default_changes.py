"""Defaults whose change between releases matters to who runs a server."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

from vllmlint.record import record


@record
class FlagDefault:
    """A flag whose default in the parser is looked at; see `default_changes.json` for the fields."""

    name: str
    unset: str = "not set"
    keep: str = ""
    note: str = ""


@record
class DerivedDefault:
    """A default that vLLM decides later.

    `steps` are (first release or None, value) in order; a value is a text, or one text for each tier
    of GPU. `unless` are the settings (keys) and variables that decide it themselves, `when` a setting
    that must be above 1, `kinds` the accelerators it holds for (empty: any).
    """

    name: str
    unless: tuple[str, ...]
    steps: tuple[tuple[str | None, str | dict[str, str]], ...]
    when: str | None = None
    kinds: tuple[str, ...] = ()
    keep: str = ""
    note: str = ""
    source: str = ""


@cache
def _file() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(Path(__file__).with_name("default_changes.json").read_text("utf-8"))
    return loaded


@cache
def flag_defaults() -> dict[str, FlagDefault]:
    """The flags to look at, by long name."""
    return {name: FlagDefault(name, **row) for name, row in _file()["flags"].items()}


@cache
def derived_defaults() -> tuple[DerivedDefault, ...]:
    """The defaults that vLLM decides later."""
    return tuple(_derived(row) for row in _file()["derived"])


def _derived(row: dict[str, Any]) -> DerivedDefault:
    steps: list[tuple[str | None, str | dict[str, str]]] = [
        (step["since"], step["value"]) for step in row.get("steps", ())
    ]
    steps += [
        (tier["since"], {name: value for name, value in tier.items() if name != "since"})
        for tier in row.get("tiers", ())
    ]
    return DerivedDefault(
        row["name"],
        tuple(row["unless"]),
        tuple(steps),
        row.get("when"),
        tuple(row.get("kinds", ())),
        row.get("keep", ""),
        row.get("note", ""),
        row["source"],
    )


@cache
def tier_name(tier: str) -> str:
    """A class of GPU in words."""
    name: str = _file()["tier_names"][tier]
    return name


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple(
        (re.compile(rf"(?<![a-z0-9])(?:{row['match']})(?![a-z0-9])"), row["tier"]) for row in _file()["gpus"]
    )


@cache
def gpu_tier(text: str) -> str | None:
    """The class of the GPU that a node label or a pool's name speaks of; None when it names none."""
    lowered = text.lower()
    return next((tier for pattern, tier in _patterns() if pattern.search(lowered)), None)
