"""What the tests of the contract share: rules that exist, and a way to parse text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from vllmlint.contract import semantics
from vllmlint.contract.load import LoadedContract, parse_contract
from vllmlint.manifest.problem import Problem

DOCS = Path(__file__).resolve().parents[2] / "docs" / "contract.md"

_RULES = (
    SimpleNamespace(
        id="VL101", name="image-tag-floating", section="pinning", options={"moving": [], "limit": 3}
    ),
    SimpleNamespace(id="VL301", name="weights-do-not-fit", section="memory", options={}),
)


def use_known_rules(monkeypatch: Any) -> None:
    """Let contracts be held against two rules, whatever rules there are."""
    by_key = {key: rule for rule in _RULES for key in (rule.id, rule.name)}
    monkeypatch.setattr(semantics, "all_rules", lambda: _RULES)
    monkeypatch.setattr(semantics, "sections", lambda: ("pinning", "memory"))
    monkeypatch.setattr(semantics, "find_rule", by_key.get)


def parse(text: str, path: str = "vllmlint.yaml", others: Mapping[str, str] | None = None) -> LoadedContract:
    """Parse a contract; `others` are the files it can extend."""
    files = {name: content.encode() for name, content in (others or {}).items()}
    return parse_contract(path, text.encode(), files.get)


def only_problem(text: str, path: str = "vllmlint.yaml", others: Mapping[str, str] | None = None) -> Problem:
    """The one problem of a contract."""
    loaded = parse(text, path, others)
    assert loaded.contract is None
    assert len(loaded.problems) == 1, [problem.message for problem in loaded.problems]
    return loaded.problems[0]


def at(problem: Problem) -> tuple[str, int, int, str]:
    """Where a problem stands: file, line, column and the characters themselves."""
    position = problem.place.source.position(problem.place.start)
    return problem.place.source.path, position.line, position.column, problem.place.text
