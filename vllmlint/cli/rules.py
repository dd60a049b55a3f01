"""`vllmlint rules`, `explain` and `schema`."""

from __future__ import annotations

import difflib
import json
import sys
from typing import Any

from vllmlint.resources import resource
from vllmlint.rulebook import Rule, RuleDocs, all_rules, find_rule, rule_docs

EXIT_USAGE = 2
#: Schemas that are shipped, by the name `vllmlint schema` knows them under.
SCHEMAS = ("contract", "report", "fit", "rule")


def list_rules(fmt: str) -> int:
    """Print every rule as a table or as JSON; returns the exit code."""
    if fmt == "json":
        rows = [
            {
                "id": rule.id,
                "name": rule.name,
                "section": rule.section,
                "severity": rule.severity,
                "since": rule.since,
                "subject": rule.subject,
                "summary": rule.summary,
                "recommended": rule.recommended,
                "options": rule.options,
                "url": rule.url,
            }
            for rule in all_rules()
        ]
        json.dump({"schema_version": "1", "rules": rows}, sys.stdout, indent=2)
        print()
        return 0
    if fmt != "table":
        print(f"vllmlint: --format {fmt!r}: choose one of table, json", file=sys.stderr)
        return EXIT_USAGE
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for column in ("id", "rule", "section", "severity"):
        table.add_column(column, no_wrap=True)
    table.add_column("what it finds")
    for rule in all_rules():
        table.add_row(rule.id, rule.name, rule.section, rule.severity, rule.summary)
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    return 0


def explain(key: str) -> int:
    """Print one rule's page; returns the exit code."""
    rule = find_rule(key)
    if rule is None:
        names = [known.name for known in all_rules()]
        near = difflib.get_close_matches(key, names, n=1)
        hint = f": did you mean {near[0]}?" if near else "; `vllmlint rules` lists them"
        print(f"vllmlint: no rule {key!r}{hint}", file=sys.stderr)
        return EXIT_USAGE
    print(rule_page(rule, rule_docs(rule)))
    return 0


def rule_page(rule: Rule, docs: RuleDocs) -> str:
    """A rule's page as plain text."""
    parts = [
        f"{rule.name} ({rule.id}), {rule.severity}, section {rule.section}, since {rule.since}",
        rule.summary,
        f"Why\n{_indent(docs.why)}",
        f"What to write\n{_indent(docs.fix)}",
    ]
    if rule.options:
        options = "\n".join(f"{name}: {json.dumps(value)}" for name, value in rule.options.items())
        parts.append(f"Options (rules.options.{rule.name} in vllmlint.yaml)\n{_indent(options)}")
    parts += [_example(example) for example in docs.examples]
    if docs.evidence:
        parts.append("Evidence\n" + _indent("\n".join(docs.evidence)))
    parts.append(f"Ignore it where it is wrong: # vllmlint: ignore[{rule.name}] reason\n{rule.url}")
    return "\n\n".join(parts)


def _example(example: dict[str, Any]) -> str:
    verdict = "found" if example["expect"] else "fine"
    lines = [f"Example ({verdict}): {example['title']}"]
    if "change" in example:
        for change in example["change"]:
            lines += [f"    - {line}" for line in change["old"].strip("\n").splitlines()]
            lines += [f"    + {line}" for line in change["new"].strip("\n").splitlines()]
    elif "base" in example:
        lines.append("    (the example manifest as it is)")
    for name, text in example.get("files", {}).items():
        lines += [f"    # {name}", _indent(text)]
    lines += [
        f"    => {row['rule']}" + (f" on {row['text']!r}" if "text" in row else "")
        for row in example["expect"]
    ]
    return "\n".join(lines)


def _indent(text: str) -> str:
    return "\n".join("    " + line if line else "" for line in text.strip("\n").splitlines())


def print_schema(name: str) -> int:
    """Print a shipped JSON Schema; returns the exit code."""
    if name not in SCHEMAS:
        print(f"vllmlint: no schema {name!r}: choose one of {', '.join(SCHEMAS)}", file=sys.stderr)
        return EXIT_USAGE
    print(resource("schemas", f"{name}.schema.json").read_text("utf-8"), end="")
    return 0
