"""vLLM metrics that came, went or changed their name."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from vllmlint.record import record

#: What the Prometheus client library and its histograms append to a declared name.
SUFFIXES = ("_total", "_bucket", "_sum", "_count", "_created")


@record
class Metric:
    """A row of `metrics.json`, which explains the fields; releases are versions as text."""

    name: str
    since: str | None = None
    hidden_since: str | None = None
    removed_in: str | None = None
    v0_until: str | None = None
    deprecated_in: str | None = None
    replacement: str | None = None
    write: str | None = None
    source: str = ""


@cache
def metrics() -> dict[str, Metric]:
    """Every metric that some releases lack, by its declared name."""
    rows = json.loads(Path(__file__).with_name("metrics.json").read_text("utf-8"))["metrics"]
    return {row["name"]: Metric(**row) for row in rows}


def find_metric(name: str) -> tuple[Metric, str] | None:
    """The metric behind a series name without `vllm:`, and the suffix that the series has.

    None for a name that no release is known to lack.
    """
    table = metrics()
    if name in table:
        return table[name], ""
    for suffix in SUFFIXES:
        declared = name.removesuffix(suffix)
        if declared != name and declared in table:
            return table[declared], suffix
    return None
