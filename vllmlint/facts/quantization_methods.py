"""Quantization methods by vLLM release: smallest compute capability, dtypes, config files."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from vllmlint.record import record


@record
class MethodRow:
    """One method in one release. `capability` is major times ten plus minor, None where the method states
    none; `dtypes` are the model dtypes it computes in; `files` where a checkpoint states its scheme if
    config.json does not; `online` whether it quantises an unquantised checkpoint while loading;
    `needs_checkpoint` whether it cannot be set up without what a quantised checkpoint states."""

    capability: int | None
    dtypes: tuple[str, ...]
    files: tuple[str, ...]
    online: bool
    needs_checkpoint: bool


_DTYPES = {"b": "bfloat16", "h": "float16", "f": "float32"}


@cache
def _data() -> dict[str, Any]:
    path = Path(__file__).with_name("quantization_methods.json")
    loaded: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return loaded


@cache
def method_releases() -> tuple[str, ...]:
    """The releases whose methods were read, oldest first."""
    return tuple(_data()["releases"])


@cache
def scheme_history(scheme: str) -> tuple[tuple[str, int], ...]:
    """`(first release, smallest capability)` of a compressed-tensors scheme, oldest first."""
    path = Path(__file__).with_name("scheme_capabilities.json")
    rows = json.loads(path.read_text("utf-8"))["schemes"].get(scheme, ())
    return tuple((since, capability) for since, capability in rows)


def method_row(name: str, index: int) -> MethodRow | None:
    """A method at `method_releases()[index]`; None: that release does not know it."""
    found = None
    for start, row in _data()["methods"].get(name, ()):
        if start <= index:
            found = row
    if found is None:
        return None
    return MethodRow(
        capability=found["capability"],
        dtypes=tuple(_DTYPES[letter] for letter in found["dtypes"]),
        files=tuple(found["files"]),
        online=found["class"] == "OnlineQuantizationConfig",
        needs_checkpoint=found["needs"] > 0,
    )
