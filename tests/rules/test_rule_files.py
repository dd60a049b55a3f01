"""Every rule file: valid, found by the engine, with examples that hold."""

from __future__ import annotations

import importlib
import inspect
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from vllmlint.kube.objects import KubeObject
from vllmlint.kube.pods import Workload
from vllmlint.manifest.reader import SourceFile
from vllmlint.rulebook import all_rules, find_rule, rule_docs
from vllmlint.serving.server import Server
from vllmlint.world import World

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "scripts"), str(Path(__file__).resolve().parent)]

from compile_rules import (  # noqa: E402
    compile_docs,
    compile_index,
    list_of_rules,
    load_rules,
    readme_with_rules,
    rule_files,
)
from example_runs import found_in, run_example, unmatched  # noqa: E402

RULES = load_rules()
SUBJECTS = {"source_file": SourceFile, "object": KubeObject, "workload": Workload, "server": Server}
#: The hundreds of an id follow the section.
HUNDREDS = {
    "engine": 0,
    "pinning": 1,
    "model": 1,
    "gpu": 2,
    "scheduling": 2,
    "parallelism": 2,
    "multi-node": 2,
    "memory": 3,
    "args": 4,
    "probes": 5,
    "lifecycle": 5,
    "rollout": 5,
    "storage": 6,
    "autoscaling": 6,
    "network": 7,
    "api": 7,
    "traffic": 7,
    "security": 8,
    "telemetry": 9,
    "live": 9,
}
#: Cannot fail by an example: it reports a fault of the engine itself (tests/lint holds it).
WITHOUT_FAILING_EXAMPLE = {"rule-failed"}


def test_index_docs_and_readme_have_not_drifted() -> None:
    assert (ROOT / "rules" / "index.json").read_text("utf-8") == compile_index(RULES)
    assert (ROOT / "rules" / "docs.json").read_text("utf-8") == compile_docs(RULES)
    readme = (ROOT / "README.md").read_text("utf-8")
    assert readme == readme_with_rules(readme, RULES), "run scripts/compile_rules.py"
    assert (ROOT / "docs" / "rules.md").read_text("utf-8") == list_of_rules(RULES), (
        "run scripts/compile_rules.py"
    )


@pytest.mark.parametrize("path", rule_files(), ids=lambda path: path.stem)
def test_file_stands_where_its_rule_says(path: Path) -> None:
    row = next(row for row in RULES if row["name"] == path.stem)
    assert path.parent.name == row["section"]


def test_ids_and_names_are_unique_and_not_retired() -> None:
    ids = [row["id"] for row in RULES]
    assert len(set(ids)) == len(ids)
    assert len({row["name"] for row in RULES}) == len(RULES)
    retired = json.loads((ROOT / "rules" / "retired.json").read_text("utf-8"))
    assert not set(ids) & set(retired)


@pytest.mark.parametrize("row", RULES, ids=lambda row: row["name"])
def test_rule_is_valid(row: dict[str, Any]) -> None:
    schema = json.loads((ROOT / "schemas" / "rule.schema.json").read_text("utf-8"))
    errors = Draft202012Validator(schema).iter_errors(row)
    assert not [f"{list(error.path)}: {error.message}" for error in errors]
    assert int(row["id"][2]) == HUNDREDS[row["section"]]
    for name in row.get("follows", ()):
        assert find_rule(name) is not None, f"follows {name}, which is no rule"
    for example in row["examples"]:
        for expected in example["expect"]:
            assert find_rule(expected["rule"]) is not None
    expected_rules = [{one["rule"] for one in example["expect"]} for example in row["examples"]]
    assert set() in expected_rules, "needs an example that nothing is wrong with"
    failing = any(row["name"] in names for names in expected_rules)
    assert failing or row["name"] in WITHOUT_FAILING_EXAMPLE, "needs an example that it finds"


@pytest.mark.parametrize("row", [row for row in RULES if row["check"]], ids=lambda row: row["name"])
def test_function_is_there_and_takes_its_subject(row: dict[str, Any]) -> None:
    module, _, name = row["check"].partition(".")
    function = getattr(importlib.import_module(f"vllmlint.checks.{module}"), name)
    parameters = list(inspect.signature(function, eval_str=True).parameters.values())
    assert parameters[0].annotation is SUBJECTS[row["subject"]]
    assert parameters[1].annotation is World
    assert function.__doc__


def test_every_check_belongs_to_one_rule() -> None:
    named = [row["check"] for row in RULES if row["check"]]
    assert len(set(named)) == len(named)
    for path in sorted((ROOT / "vllmlint" / "checks").glob("*.py")):
        module = importlib.import_module(f"vllmlint.checks.{path.stem}")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            private = name.startswith("_") or path.stem.startswith("_")
            if function.__module__ == module.__name__ and not private:
                assert f"{path.stem}.{name}" in named, f"{path.stem}.{name} is no rule's function"


CASES = [(row, example) for row in RULES for example in row["examples"]]
CASE_NAMES = [f"{row['name']}: {example['title']}" for row, example in CASES]


@pytest.mark.parametrize("example", [one for _, one in CASES], ids=CASE_NAMES)
def test_example_gives_exactly_its_findings(example: dict[str, Any], tmp_path: Path) -> None:
    result = run_example(example, tmp_path)
    assert not result.internal_errors
    missing, extra = unmatched(example["expect"], found_in(result))
    assert not missing, f"not found: {missing}"
    assert not extra, f"not expected: {extra}"
    for found in result.findings:
        assert found.finding.message, "a finding says what is wrong"
        assert found.finding.help or found.severity == "info", f"{found.name} says what to write instead"


def test_prose_of_every_rule_is_at_hand() -> None:
    for rule in all_rules():
        docs = rule_docs(rule)
        assert docs.why
        assert docs.fix
        assert docs.evidence
