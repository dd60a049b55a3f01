"""Runs the examples of rule files; shared by the tests and `scripts/try_rule.py`."""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vllmlint.lint.result import Reported, RunResult
from vllmlint.lint.run import RunOptions, run_check
from vllmlint.resources import resource
from vllmlint.sources.files import find_inputs

#: Examples are judged on this day.
TODAY = datetime.date(2026, 11, 23)


@dataclass(frozen=True)
class Found:
    """A finding reduced to what an example states of it."""

    rule: str
    file: str
    text: str
    nth: int
    line: int


def example_files(example: dict[str, Any]) -> dict[str, str]:
    """The files of an example: written out, or the base manifest with some texts replaced."""
    files = dict(example.get("files", {}))
    if "base" in example:
        text = resource("rules", "base", f"{example['base']}.yaml").read_text("utf-8")
        for change in example.get("change", ()):
            count = text.count(change["old"])
            title, old = example["title"], change["old"]
            assert count == 1, f"{title}: `old` stands {count} times in the base: {old!r}"
            text = text.replace(change["old"], change["new"])
        files[f"{example['base']}.yaml"] = text
        files.setdefault("vllmlint.yaml", resource("rules", "base", "contract.yaml").read_text("utf-8"))
    if "contract" in example:
        files["vllmlint.yaml"] = example["contract"]
    return files


def run_example(example: dict[str, Any], directory: Path) -> RunResult:
    """Write the files of an example into `directory` and lint them with every rule."""
    (directory / ".git").mkdir(exist_ok=True)  # the search for a contract ends here
    for name, text in example_files(example).items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    before = Path.cwd()
    os.chdir(directory)
    try:
        return run_check(RunOptions(find_inputs(["."]), today=TODAY))
    finally:
        os.chdir(before)


def found_in(result: RunResult) -> list[Found]:
    """What a run found, in the terms of `expect`."""
    return [_found(one) for one in result.findings]


def _found(one: Reported) -> Found:
    place = one.spot.place
    text = place.text
    nth = place.source.text[: place.start].count(text) + 1 if text else 1
    return Found(one.name, one.spot.file, text, nth, one.spot.start.line)


def unmatched(expect: list[dict[str, Any]], found: list[Found]) -> tuple[list[dict[str, Any]], list[Found]]:
    """Expectations that nothing meets, and findings that nothing expects."""
    left = list(found)
    missing = []
    for row in expect:
        hit = next((one for one in left if _meets(row, one)), None)
        if hit is None:
            missing.append(row)
        else:
            left.remove(hit)
    return missing, left


def _meets(row: dict[str, Any], one: Found) -> bool:
    if row["rule"] != one.rule or row.get("file", one.file) != one.file:
        return False
    if "text" in row and row["text"] != one.text:
        return False
    nth = row.get("nth", one.nth if "line" in row else 1)
    return bool(nth == one.nth and row.get("line", one.line) == one.line)
