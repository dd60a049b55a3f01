"""What the paths of vLLM's API server answer, by release."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from vllmlint.record import record


@record
class Endpoint:
    """A GET route: `since` is the first release that has it, None for the oldest read."""

    path: str
    since: str | None
    dev_mode: bool = False
    source: str = ""


@record
class GuardedPrefix:
    """Paths that want the API key, when one is set, from release `since` on."""

    prefix: str
    since: str | None
    source: str = ""


@record
class DeadEngineAnswer:
    """What a health path answers, from release `since` on, while the engine is dead."""

    since: str | None
    answer: str
    note: str
    source: str = ""


@cache
def _file() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(Path(__file__).with_name("probe_endpoints.json").read_text("utf-8"))
    return loaded


@cache
def endpoint(path: str) -> Endpoint | None:
    """The route at a path; None for a path that nothing is known of."""
    return next((Endpoint(**row) for row in _file()["endpoints"] if row["path"] == path), None)


@cache
def guarded_prefixes() -> tuple[GuardedPrefix, ...]:
    """The guarded prefixes, the oldest first."""
    return tuple(GuardedPrefix(**row) for row in _file()["guarded"])


@cache
def dead_engine_answers(path: str) -> tuple[DeadEngineAnswer, ...]:
    """What a health path answers for a dead engine, the oldest release first; empty for other paths."""
    rows = _file()["dead_engine"]
    return tuple(DeadEngineAnswer(**row) for row in rows["rows"]) if path in rows["paths"] else ()
