"""Compile `rules/**/*.yaml` into `rules/index.json` (what the engine loads), `rules/docs.json` (prose and
examples), `docs/rules.md` and the table of sections in the README. Run after every change of a rule file; a
test fails on drift.
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
#: What the rules of a section ask of a manifest.
QUESTIONS = {
    "engine": "Could everything be read, and are the ignores in order?",
    "pinning": "Will the next restart run the same image, model, tokenizer and code?",
    "model": "Can the model be loaded at all?",
    "gpu": "Does the container get the GPUs it needs, and do image, driver and number format suit them?",
    "scheduling": "On which nodes can the pod land, and what stands in the way on the others?",
    "parallelism": "Do the parallel sizes suit the model, the GPUs and the node?",
    "multi-node": "Do the pods of a group find each other, and are they as many as the ranks?",
    "memory": "Do weights and KV cache fit the GPU, and is there host memory, CPU and /dev/shm enough?",
    "args": "What does this vLLM release make of the command line and the environment?",
    "probes": "Do the probes tell that the model is loaded, and leave time to load it?",
    "lifecycle": "Does the server learn of its end, and has it time to drain?",
    "rollout": "Can a rollout end with the GPUs and volumes there are?",
    "storage": "Where do models and caches lie, and are they still there for the next pod?",
    "autoscaling": "Can the autoscaler do what it is told, and does it know cold starts?",
    "network": "Do requests reach the port that vLLM listens on?",
    "api": "Is the API open to those it should be?",
    "traffic": "Are interactive and batch requests apart?",
    "security": "Do tokens, keys and rights stay where they belong?",
    "telemetry": "Is what decides readiness measured?",
    "live": "Does the cluster run what the manifests say?",
}


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
    """The README with its table of sections brought up to date."""
    table = ["| section | rules | what it asks |", "|---|---|---|"]
    for section, found in by_section(rows).items():
        table.append(f"| [{section}](docs/rules.md#{section}) | {len(found)} | {QUESTIONS[section]} |")
    start, end = "<!-- rules:start -->", "<!-- rules:end -->"
    head, _, rest = text.partition(start)
    tail = rest.partition(end)[2]
    return f"{head}{start}\n" + "\n".join(table) + f"\n{end}{tail}"


def list_of_rules(rows: list[dict[str, Any]]) -> str:
    """The page of all rules, by section."""
    lines = [
        "# The rules",
        "",
        "Written by `scripts/compile_rules.py`. `vllmlint explain RULE` prints a rule whole.",
    ]
    for section, found in by_section(rows).items():
        lines += ["", f"## {section}", "", QUESTIONS[section], ""]
        lines += ["| rule | id | severity | what it finds |", "|---|---|---|---|"]
        lines += [
            "| [`{name}`](../rules/{section}/{name}.yaml) | {id} | {severity} | {summary} |".format(**row)
            for row in found
        ]
    return "\n".join(lines) + "\n"


def by_section(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The rules of each section, in order of the ids."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["section"], []).append(row)
    return found


def main() -> int:
    """Write the index, the docs and the tables of the rules."""
    rows = load_rules()
    (ROOT / "rules" / "index.json").write_text(compile_index(rows), "utf-8")
    (ROOT / "rules" / "docs.json").write_text(compile_docs(rows), "utf-8")
    (ROOT / "docs" / "rules.md").write_text(list_of_rules(rows), "utf-8")
    readme = ROOT / "README.md"
    readme.write_text(readme_with_rules(readme.read_text("utf-8"), rows), "utf-8")
    print(f"{len(rows)} rules compiled")
    return 0


if __name__ == "__main__":
    sys.exit(main())
