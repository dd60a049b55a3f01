"""The rules, from the compiled index: no YAML is read at start-up."""

from __future__ import annotations

import json
from dataclasses import field
from functools import cache
from typing import Any

from vllmlint.record import record
from vllmlint.resources import resource
from vllmlint.severity import Severity

#: Where a rule's page is.
DOCS_URL = "https://vllmlint.dev/rules/"


@record
class Rule:
    """What the engine needs of a rule.

    `subject` is the type its function takes first, `check` the function as `module.name` below
    `vllmlint.checks` (empty for rules that the engine itself reports), `options` their defaults.
    A finding is left out when a rule in `follows` has one about the same container or object: it is
    only a consequence. `recommended` rules run unless the contract says otherwise.
    """

    id: str
    name: str
    section: str
    severity: Severity
    since: str
    subject: str
    summary: str
    check: str
    options: dict[str, Any] = field(default_factory=dict)
    follows: tuple[str, ...] = ()
    recommended: bool = True

    @property
    def url(self) -> str:
        """The rule's page."""
        return DOCS_URL + self.name


@record
class RuleDocs:
    """The prose and the examples of a rule, for `explain`, SARIF help and tests."""

    why: str
    fix: str
    evidence: tuple[str, ...]
    examples: tuple[dict[str, Any], ...]


@cache
def all_rules() -> tuple[Rule, ...]:
    """Every rule, ordered by id."""
    rows = json.loads(resource("rules", "index.json").read_text("utf-8"))
    return tuple(Rule(**{**row, "follows": tuple(row.get("follows", ()))}) for row in rows)


@cache
def _by_key() -> dict[str, Rule]:
    return {key: rule for rule in all_rules() for key in (rule.id, rule.name)}


def find_rule(key: str) -> Rule | None:
    """The rule with this id or name, in any case of letters; None when there is none."""
    return _by_key().get(key) or _by_key().get(key.upper()) or _by_key().get(key.lower())


def sections() -> tuple[str, ...]:
    """The section names, in order of the ids."""
    return tuple(dict.fromkeys(rule.section for rule in all_rules()))


@cache
def _docs() -> dict[str, dict[str, Any]]:
    loaded: dict[str, dict[str, Any]] = json.loads(resource("rules", "docs.json").read_text("utf-8"))
    return loaded


def rule_docs(rule: Rule) -> RuleDocs:
    """The prose of a rule, opened on first use."""
    row = _docs()[rule.name]
    return RuleDocs(row["why"], row["fix"], tuple(row["evidence"]), tuple(row["examples"]))
