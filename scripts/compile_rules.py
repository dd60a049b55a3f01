"""Compile `rules/**/*.yaml` into `rules/index.json` (what the engine loads) and `rules/docs.json`
(prose and examples). Run after every change of a rule file; a test fails on drift.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
HOT_FIELDS = ("id", "name", "section", "severity", "since", "subject", "summary", "check")
OPTIONAL_HOT_FIELDS = ("options", "follows", "recommended")


def rule_files(root: Path = ROOT) -> list[Path]:
    """The rule files; `rules/base/` holds the manifest that examples change."""
    return sorted(path for path in root.glob("rules/*/*.yaml") if path.parent.name != "base")


def load_rules(root: Path = ROOT) -> list[dict[str, Any]]:
    """Every rule file, ordered by id."""
    rows = [yaml.safe_load(path.read_text("utf-8")) for path in rule_files(root)]
    return sorted(rows, key=lambda row: str(row["id"]))


def compile_index(rows: list[dict[str, Any]]) -> str:
    """The index: one rule a line, so that a change shows as one line."""
    lines = []
    for row in rows:
        hot = {name: row[name] for name in HOT_FIELDS}
        hot |= {name: row[name] for name in OPTIONAL_HOT_FIELDS if row.get(name) not in (None, {}, [], True)}
        lines.append(json.dumps(hot, ensure_ascii=False))
    return "[\n" + ",\n".join(lines) + "\n]\n"


def compile_docs(rows: list[dict[str, Any]]) -> str:
    """The prose and the examples, by rule name, one rule a line."""
    lines = []
    for row in rows:
        docs = {name: row.get(name, []) for name in ("why", "fix", "evidence", "examples")}
        lines.append(f"{json.dumps(row['name'])}: {json.dumps(docs, ensure_ascii=False)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> int:
    """Write both files."""
    rows = load_rules()
    (ROOT / "rules" / "index.json").write_text(compile_index(rows), "utf-8")
    (ROOT / "rules" / "docs.json").write_text(compile_docs(rows), "utf-8")
    print(f"{len(rows)} rules compiled")
    return 0


if __name__ == "__main__":
    sys.exit(main())
