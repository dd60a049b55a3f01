"""The hardware tables: `gpus.json`, `node_labels.json`, `instance_types.json`, `node_taints.json`."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any


@cache
def hardware_table(name: str) -> dict[str, Any]:
    """A table as it lies in the file, which explains its fields; read once."""
    table: dict[str, Any] = json.loads(Path(__file__).with_name(f"{name}.json").read_text("utf-8"))
    return table
