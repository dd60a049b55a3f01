"""What to write instead of flags and variables that vLLM removed."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Literal


@cache
def _file() -> dict[str, dict[str, dict[str, Any]]]:
    loaded: dict[str, dict[str, dict[str, Any]]] = json.loads(
        Path(__file__).with_name("replacements.json").read_text("utf-8")
    )
    return loaded


def replacement_names(kind: Literal["flags", "env"]) -> tuple[str, ...]:
    """The flags (with dashes) or variables that have a row."""
    return tuple(_file()[kind])


def replacement_texts(kind: Literal["flags", "env"], name: str, value: str | None) -> tuple[str, ...]:
    """What may be written instead of a flag or variable that has `value`, the best first.

    A value that is not known leaves out the texts that need it. The caller has to see which of them
    the release takes.
    """
    row = _file()[kind].get(name)
    if row is None:
        return ()
    texts: list[str] = [*row.get("values", {}).get(value, ()), *row["write"]]
    if value is None:
        return tuple(text for text in texts if "{value}" not in text)
    return tuple(text.replace("{{", "{").replace("}}", "}").replace("{value}", value) for text in texts)


def renamed_keys(flag: str) -> dict[str, str]:
    """Keys in the JSON value of a flag that have another name now."""
    keys: dict[str, str] = _file()["keys"].get(flag, {}).get("renamed", {})
    return keys
