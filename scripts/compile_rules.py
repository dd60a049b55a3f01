"""Compile `rules/**/*.yaml` into `rules/index.json` (what the engine loads), `rules/docs.json` (prose and
examples) and the table in the README. Run after every change of a rule file; a test fails on drift.
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


def readme_with_rules(text: str, rows: list[dict[str, Any]]) -> str:
    """The README with its table of rules brought up to date."""
    table = ["| rule | severity | what it finds |", "|---|---|---|"]
    table += [
        "| [`{name}`](rules/{section}/{name}.yaml) | {severity} | {summary} |".format(**row) for row in rows
    ]
    start, end = "<!-- rules:start -->", "<!-- rules:end -->"
    head, _, rest = text.partition(start)
    tail = rest.partition(end)[2]
    return f"{head}{start}\n" + "\n".join(table) + f"\n{end}{tail}"


def main() -> int:
    """Write the index, the docs and the README's table."""
    rows = load_rules()
    (ROOT / "rules" / "index.json").write_text(compile_index(rows), "utf-8")
    (ROOT / "rules" / "docs.json").write_text(compile_docs(rows), "utf-8")
    readme = ROOT / "README.md"
    readme.write_text(readme_with_rules(readme.read_text("utf-8"), rows), "utf-8")
    print(f"{len(rows)} rules compiled")
    return 0


if __name__ == "__main__":
    sys.exit(main())
