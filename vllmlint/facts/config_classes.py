"""What the transformers configuration classes fill in where a config.json is silent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from vllmlint.record import record


@record
class ConfigClass:
    """A configuration class: `defaults` of fields that the config leaves out, `aliases` (its own key to the
    common name), `parts` (key to the class of that part and the values the outer class sets in it)."""

    name: str
    defaults: Mapping[str, Any]
    aliases: Mapping[str, str]
    parts: Mapping[str, tuple[str, Mapping[str, Any]]]


@cache
def _file() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(Path(__file__).with_name("config_classes.json").read_text("utf-8"))
    return loaded


def classes_source() -> str:
    """Where the table is from, with the version."""
    source: str = _file()["source"]
    return source


def class_of_type(model_type: str) -> ConfigClass | None:
    """The class of a `model_type`; None where transformers has none."""
    name = _file()["types"].get(model_type)
    return None if name is None else class_named(name)


@cache
def class_named(name: str) -> ConfigClass | None:
    """A class by its name; None where the table has none."""
    row = _file()["classes"].get(name)
    if row is None:
        return None
    parts = {key: (part, values) for key, (part, values) in row.get("parts", {}).items()}
    return ConfigClass(name, row["defaults"], row.get("aliases", {}), parts)
