"""Which extended resources are accelerators."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

from vllmlint.record import record


@record
class Accelerator:
    """A kind of device: `kind` is the vLLM build for it (`cuda`, `rocm`, `tpu`, …); `whole` says
    whether one unit is a whole device."""

    kind: str
    whole: bool


@cache
def _table() -> tuple[tuple[re.Pattern[str], Accelerator], ...]:
    rows = json.loads(Path(__file__).with_name("accelerators.json").read_text("utf-8"))["resources"]
    return tuple((re.compile(row["pattern"] + r"\Z"), Accelerator(row["kind"], row["whole"])) for row in rows)


@cache
def accelerator_of(resource: str) -> Accelerator | None:
    """The accelerator that a resource name stands for; None for cpu, memory and the like."""
    if "/" not in resource:
        return None
    return next((accelerator for pattern, accelerator in _table() if pattern.match(resource)), None)
