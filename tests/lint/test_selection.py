"""Which rules run where, and how loud."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from lint_samples import MANIFEST, THREE, TODAY, lint, names

from vllmlint.lint.selection import SelectionError, check_selectors, matches_rule
from vllmlint.rulebook import all_rules, find_rule, sections


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("image-tag-floating", True),
        ("Image-Tag-Floating", True),
        ("VL101", True),
        ("vl101", True),
        ("pinning", True),
        ("all", True),
        ("ALL", True),
        ("*", True),
        ("recommended", True),
        ("Recommended", True),
        ("gpu", False),
        ("VL10", False),
        ("image-tag", False),
        ("", False),
    ],
)
def test_selectors(selector: str, matches: bool) -> None:
    rule = find_rule("VL101")
    assert rule is not None
    assert matches_rule(selector, rule) is matches


@pytest.mark.parametrize(
    "selector", ["all", "ALL", "recommended", "pinning", "PINNING", "vl101", "image-tag-floating"]
)
def test_selectors_of_the_command_line(selector: str) -> None:
    check_selectors([selector])


@pytest.mark.parametrize(
    ("selector", "hint"),
    [
        ("image-tag-floting", "did you mean 'image-tag-floating'?"),
        ("pining", "did you mean 'pinning'?"),
        ("zzzzzz", "`vllmlint rules` lists them"),
        ("VL999", "`vllmlint rules` lists them"),
    ],
)
def test_a_selector_that_means_nothing(selector: str, hint: str) -> None:
    with pytest.raises(SelectionError, match="no rule or section") as caught:
        check_selectors(["pinning", selector])
    assert hint in str(caught.value)


def test_ids_and_names_are_unique_and_sections_ordered() -> None:
    rules = all_rules()
    assert len({rule.id for rule in rules}) == len({rule.name for rule in rules}) == len(rules)
    assert [rule.id for rule in rules] == sorted(rule.id for rule in rules)
    assert sections()[0] == "engine"
    assert find_rule("no-such-rule") is None


@pytest.mark.parametrize(
    ("select", "ignore", "expected"),
    [
        (THREE, (), ["image-tag-floating", "unknown-or-removed-flag", "privileged"]),
        (["security"], (), ["privileged"]),
        (["VL803", "VL101"], (), ["image-tag-floating", "privileged"]),
        (THREE, ["pinning"], ["unknown-or-removed-flag", "privileged"]),
        (THREE, ["all"], []),
        (THREE, ["privileged", "vl101"], ["unknown-or-removed-flag"]),
    ],
)
def test_the_command_line(tmp_path: Path, select: list[str], ignore: list[str], expected: list[str]) -> None:
    assert names(lint(tmp_path, select=select, ignore=ignore).findings) == expected


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("{select: [image-tag-floating]}", {"image-tag-floating": "error"}),
        ("{select: [image-tag-floating, security]}", {"image-tag-floating": "error", "privileged": "error"}),
        ("{select: [image-tag-floating, privileged], ignore: [VL101]}", {"privileged": "error"}),
        ("{select: [privileged], severity: {privileged: info}}", {"privileged": "info"}),
        ("{select: [privileged], severity: {VL803: info}}", {"privileged": "info"}),
        ("{select: [privileged], severity: {security: warning}}", {"privileged": "warning"}),
        ("{select: [privileged], severity: {security: 'off', privileged: info}}", {"privileged": "info"}),
        ("{select: [privileged], severity: {privileged: 'off'}}", {}),
        ("{select: [privileged], severity: {security: 'off'}}", {}),
        (
            "{select: [image-tag-floating], mandatory: [privileged]}",
            {"image-tag-floating": "error", "privileged": "error"},
        ),
        ("{select: [privileged], ignore: [privileged], mandatory: [security]}", {"privileged": "error"}),
        ("{select: [privileged], severity: {privileged: info}, mandatory: [VL803]}", {"privileged": "info"}),
    ],
)
def test_the_contract(tmp_path: Path, rules: str, expected: dict[str, str]) -> None:
    result = lint(tmp_path, contract=f"rules: {rules}\n", select=None)
    assert {one.name: one.severity for one in result.findings} == expected


def test_the_command_line_selects_instead_of_the_contract_but_ignores_as_well(tmp_path: Path) -> None:
    contract = "rules: {select: [privileged], ignore: [unknown-or-removed-flag]}\n"
    assert names(lint(tmp_path, contract=contract, select=THREE).findings) == [
        "image-tag-floating",
        "privileged",
    ]


PER_PATH = """\
rules:
  select: [image-tag-floating]
  perPath:
    - {paths: ["prod/**"], select: [image-tag-floating, privileged], severity: {image-tag-floating: warning}}
    - {paths: ["prod/old/**"], severity: {pinning: "off", image-tag-floating: info}}
"""


def test_other_rules_on_some_paths(tmp_path: Path) -> None:
    files = {"m.yaml": MANIFEST, "prod/m.yaml": MANIFEST, "prod/old/m.yaml": MANIFEST}
    result = lint(tmp_path, files, PER_PATH, select=None)
    assert [(one.spot.file, one.name, one.severity) for one in result.findings] == [
        ("m.yaml", "image-tag-floating", "error"),
        ("prod/m.yaml", "image-tag-floating", "warning"),
        ("prod/m.yaml", "privileged", "error"),
        ("prod/old/m.yaml", "image-tag-floating", "info"),
        ("prod/old/m.yaml", "privileged", "error"),
    ]


@pytest.mark.parametrize(
    ("entry", "holds"),
    [
        ("", True),
        (", until: 2026-11-23", True),
        (", until: 2026-11-22", False),
        (", until: 2026-11-22, reason: because", False),
    ],
)
def test_an_entry_for_paths_ends_with_its_date(tmp_path: Path, entry: str, holds: bool) -> None:
    per_path = f'[{{paths: ["*.yaml"], severity: {{privileged: "off"}}{entry}}}]'
    result = lint(tmp_path, contract=f"rules: {{perPath: {per_path}}}\n", select=["privileged"], today=TODAY)
    assert names(result.findings) == ([] if holds else ["privileged"])


def test_what_the_engine_says_is_not_left_out_by_naming_other_rules(tmp_path: Path) -> None:
    broken = MANIFEST + "---\na: [\n"
    assert names(lint(tmp_path, broken, select=["privileged"]).findings) == [
        "privileged",
        "document-unparsable",
    ]
    ignored = lint(tmp_path, broken, select=["privileged"], ignore=["document-unparsable"])
    assert names(ignored.findings) == ["privileged"]


def test_options_of_a_rule(tmp_path: Path) -> None:
    optional = [rule for rule in all_rules() if rule.options]
    assert optional
    contract = "rules: {options: {no-such-rule: {a: 1}}}\n"
    with pytest.raises(Exception, match="contract is not valid"):
        lint(tmp_path, contract=contract)


def test_today_is_the_day_of_the_run(tmp_path: Path) -> None:
    contract = 'rules: {perPath: [{paths: ["*.yaml"], ignore: [privileged], until: 2000-01-01}]}\n'
    before = lint(tmp_path, contract=contract, select=["privileged"], today=datetime.date(1999, 12, 31))
    assert (names(before.findings), names(before.suppressed)) == ([], ["privileged"])
    assert names(lint(tmp_path, contract=contract, select=["privileged"]).findings) == ["privileged"]
