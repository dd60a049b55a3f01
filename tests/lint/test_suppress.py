"""Ignores in comments, annotations and the contract, and what is said of ignores that do not work."""

from __future__ import annotations

from pathlib import Path

import pytest
from lint_samples import MANIFEST, THREE, lint, names, shown

from vllmlint.lint.result import RunResult

IGNORE = "# vllmlint: ignore"


def with_line(line: str, comment: str) -> str:
    """The manifest with a comment behind the line that holds a text."""
    assert MANIFEST.count(line) == 1
    return MANIFEST.replace(line, f"{line}  {comment}")


def above(line: str, *comments: str) -> str:
    """The manifest with lines above the one that holds a text, indented as it is."""
    (found,) = [each for each in MANIFEST.splitlines() if line in each]
    indent = found[: len(found) - len(found.lstrip())]
    return MANIFEST.replace(found, "".join(f"{indent}{comment}\n" for comment in comments) + found)


def silenced(result: RunResult) -> dict[str, str]:
    """What silenced each finding."""
    return {one.name: one.suppressed_by for one in result.suppressed}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            with_line("image: vllm/vllm-openai:latest", f"{IGNORE}[image-tag-floating]"), id="on the line"
        ),
        pytest.param(with_line("image: vllm/vllm-openai:latest", f"{IGNORE}[VL101]"), id="by id"),
        pytest.param(
            with_line("image: vllm/vllm-openai:latest", f"{IGNORE}[vl101]"), id="by id in lower case"
        ),
        pytest.param(with_line("image: vllm/vllm-openai:latest", f"{IGNORE}[*]"), id="everything"),
        pytest.param(with_line("image: vllm/vllm-openai:latest", f"{IGNORE}[all] why"), id="all"),
        pytest.param(
            with_line("image: vllm/vllm-openai:latest", "#vllmlint:ignore[ image-tag-floating ]"), id="tight"
        ),
        pytest.param(above("image:", f"{IGNORE}[image-tag-floating]"), id="above"),
        pytest.param(
            above("image:", f"{IGNORE}[image-tag-floating]", "# more words", ""), id="above, with a gap"
        ),
        pytest.param(f"{IGNORE}-file[image-tag-floating]\n{MANIFEST}", id="for the file, first line"),
        pytest.param(f"{MANIFEST}{IGNORE}-file[image-tag-floating]\n", id="for the file, last line"),
        pytest.param(
            f"{IGNORE}-file[image-tag-floating]\n---\n{MANIFEST}", id="for the file, before the marker"
        ),
        pytest.param(
            with_line("kind: Deployment", f"{IGNORE}-file[image-tag-floating]"), id="for the file, anywhere"
        ),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_comments(tmp_path: Path, text: str, end: str) -> None:
    result = lint(tmp_path, text.replace("\n", end))
    assert names(result.findings) == ["unknown-or-removed-flag", "privileged"]
    assert names(result.suppressed) == ["image-tag-floating"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(with_line("- name: vllm", f"{IGNORE}[image-tag-floating]"), id="on another line"),
        pytest.param(above("- name: vllm", f"{IGNORE}[image-tag-floating]"), id="above another line"),
        pytest.param(with_line("image: vllm/vllm-openai:latest", f"{IGNORE}[privileged]"), id="another rule"),
        pytest.param(above("command:", f"{IGNORE}[image-tag-floating]"), id="below"),
    ],
)
def test_a_comment_that_hides_nothing_is_reported(tmp_path: Path, text: str) -> None:
    result = lint(tmp_path, text)
    assert set(names(result.findings)) == {*THREE, "ignore-unused"}
    assert result.suppressed == []
    (unused,) = [one for one in result.findings if one.name == "ignore-unused"]
    assert unused.spot.place.text in {"image-tag-floating", "privileged"}
    assert unused.severity == "warning"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(
            MANIFEST.replace("- |", f"- | {IGNORE}[unknown-or-removed-flag] on the header"), id="header"
        ),
        pytest.param(above("- |", f"{IGNORE}[unknown-or-removed-flag]"), id="above the scalar"),
    ],
)
def test_inside_a_block_scalar_the_comment_stands_at_its_header(tmp_path: Path, text: str) -> None:
    result = lint(tmp_path, text)
    assert names(result.findings) == ["image-tag-floating", "privileged"]
    assert names(result.suppressed) == ["unknown-or-removed-flag"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("--tensor-paralel-size 2\n", f"--tensor-paralel-size 2 {IGNORE}[unknown-or-removed-flag]\n"),
        ("labels: {app: llama}", f"labels: {{app: '{IGNORE}[*]'}}"),
        ("labels: {app: llama}", f'labels: {{app: " {IGNORE}[*]"}}'),
        ("labels: {app: llama}", f"labels: {{' {IGNORE}[*]': x}}"),
        ("  name: llama", "  name: x#vllmlint:ignore[*]"),
    ],
)
def test_what_stands_in_a_string_is_no_comment(tmp_path: Path, old: str, new: str) -> None:
    result = lint(tmp_path, MANIFEST.replace(old, new))
    assert sorted(names(result.findings)) == sorted(THREE)
    assert result.suppressed == []


def test_several_rules_in_one_comment(tmp_path: Path) -> None:
    text = with_line(
        "image: vllm/vllm-openai:latest", f"{IGNORE}[ image-tag-floating , privileged,no-such] why"
    )
    result = lint(tmp_path, text)
    assert shown([one for one in result.findings if one.name.startswith("ignore")]) == [
        ("ignore-unused", "privileged"),
        ("ignore-unknown-rule", "no-such"),
    ]
    assert names(result.suppressed) == ["image-tag-floating"]


def test_what_silenced_a_finding_is_said(tmp_path: Path) -> None:
    text = with_line("image: vllm/vllm-openai:latest", f"{IGNORE}[image-tag-floating] a test image")
    text = text.replace(
        "  name: llama", "  name: llama\n  annotations: {ignore.vllmlint.dev/privileged: on purpose}", 1
    )
    assert silenced(lint(tmp_path, text)) == {
        "image-tag-floating": "comment on line 13: a test image",
        "privileged": "annotation on line 5: on purpose",
    }


@pytest.mark.parametrize(
    ("place", "key", "rest"),
    [
        ("object", "privileged: why", ["image-tag-floating", "unknown-or-removed-flag"]),
        ("pod", "privileged: why", ["image-tag-floating", "unknown-or-removed-flag"]),
        ("pod", "vl803: why", ["image-tag-floating", "unknown-or-removed-flag"]),
        ("object", 'privileged: ""', ["image-tag-floating", "unknown-or-removed-flag"]),
        ("object", "all: why", []),
    ],
)
def test_annotations(tmp_path: Path, place: str, key: str, rest: list[str]) -> None:
    annotation = f"annotations: {{ignore.vllmlint.dev/{key}}}"
    if place == "object":
        text = MANIFEST.replace("  name: llama\n", f"  name: llama\n  {annotation}\n", 1)
    else:
        text = MANIFEST.replace("      labels:", f"      {annotation}\n      labels:")
    assert names(lint(tmp_path, text).findings) == rest


def test_an_annotation_holds_for_its_own_object_only(tmp_path: Path) -> None:
    noted = MANIFEST.replace(
        "  name: llama\n", "  name: other\n  annotations: {ignore.vllmlint.dev/privileged: why}\n", 1
    )
    result = lint(tmp_path, f"{MANIFEST}---\n{noted}", select=["privileged"])
    assert [(one.name, one.document) for one in result.findings] == [("privileged", 0)]
    assert [(one.name, one.document) for one in result.suppressed] == [("privileged", 1)]


def test_an_annotation_holds_for_an_object_that_ends_with_an_alias(tmp_path: Path) -> None:
    text = MANIFEST.replace(
        "  name: llama\n", "  name: llama\n  annotations: &notes {ignore.vllmlint.dev/all: why}\n", 1
    )
    assert lint(tmp_path, text + "extra: *notes\n").findings == []


@pytest.mark.parametrize(
    ("reason", "rule", "words"),
    [
        ("until=2026-11-23", None, ""),
        ("why until=2026-11-23", None, ""),
        ("until = 2027-01-01, then it is gone", None, ""),
        ("(until=2027-01-01; see the ticket)", None, ""),
        ("until=2026-11-22", "ignore-expired", "ended on 2026-11-22"),
        ("why until=2020-01-01", "ignore-expired", "ended on 2020-01-01"),
        ("until=tomorrow", "ignore-expired", "until=tomorrow is no date"),
        ("until=2026-13-01", "ignore-expired", "until=2026-13-01 is no date"),
    ],
)
@pytest.mark.parametrize("kind", ["comment", "annotation"])
def test_dates(tmp_path: Path, kind: str, reason: str, rule: str | None, words: str) -> None:
    if kind == "comment":
        text = with_line("image: vllm/vllm-openai:latest", f"{IGNORE}[image-tag-floating] {reason}")
    else:
        text = MANIFEST.replace(
            "  name: llama\n",
            f"  name: llama\n  annotations:\n    ignore.vllmlint.dev/image-tag-floating: '{reason}'\n",
            1,
        )
    result = lint(tmp_path, text, select=["image-tag-floating"])
    if rule is None:
        assert (result.findings, names(result.suppressed)) == ([], ["image-tag-floating"])
        return
    assert sorted(names(result.findings)) == ["ignore-expired", "image-tag-floating"]
    (expired,) = [one for one in result.findings if one.name == rule]
    assert words in expired.finding.message
    assert expired.spot.place.text == "image-tag-floating"


@pytest.mark.parametrize(
    ("comment", "text", "advice"),
    [
        ("[image-tag-floting]", "image-tag-floting", "image-tag-floating"),
        ("[pinning]", "pinning", "Write"),
        ("[]", "[]", "in brackets"),
        ("", "ignore", "in brackets"),
        (" everything", "ignore", "in brackets"),
        ("-next-line[privileged]", "ignore", "in brackets"),
    ],
)
def test_a_rule_that_nobody_knows(tmp_path: Path, comment: str, text: str, advice: str) -> None:
    result = lint(tmp_path, with_line("image: vllm/vllm-openai:latest", IGNORE + comment))
    assert sorted(names(result.findings)) == sorted([*THREE, "ignore-unknown-rule"])
    (unknown,) = [one for one in result.findings if one.name == "ignore-unknown-rule"]
    assert unknown.spot.place.text == text
    assert unknown.spot.start.line == 12
    assert advice in unknown.finding.help


@pytest.mark.parametrize("reason", ["", " :", "\t", " until=2027-01-01"])
def test_the_contract_may_want_a_reason(tmp_path: Path, reason: str) -> None:
    contract = "rules: {requireReason: true}\n"
    line = "image: vllm/vllm-openai:latest"
    result = lint(tmp_path, with_line(line, f"{IGNORE}[image-tag-floating]{reason}"), contract)
    assert "ignore-without-reason" in names(result.findings)
    assert "image-tag-floating" in names(result.findings)
    good = lint(tmp_path, with_line(line, f"{IGNORE}[image-tag-floating]: because{reason}"), contract)
    assert names(good.suppressed) == ["image-tag-floating"]


def test_a_mandatory_rule_cannot_be_ignored(tmp_path: Path) -> None:
    contract = "rules: {mandatory: [image-tag-floating]}\n"
    text = with_line("image: vllm/vllm-openai:latest", f"{IGNORE}[image-tag-floating, privileged] why")
    result = lint(tmp_path, text, contract)
    assert result.suppressed == []
    refused = {one.name: one for one in result.findings if one.name.startswith("ignore")}
    assert set(refused) == {"ignore-not-allowed", "ignore-unused"}
    assert refused["ignore-not-allowed"].spot.place.text == "image-tag-floating"
    assert refused["ignore-not-allowed"].severity == "error"


def test_a_mandatory_rule_cannot_be_ignored_by_all_either(tmp_path: Path) -> None:
    contract = "rules: {mandatory: [image-tag-floating]}\n"
    result = lint(tmp_path, f"{IGNORE}-file[all] why\n{MANIFEST}", contract)
    assert names(result.findings) == ["image-tag-floating"]
    assert sorted(names(result.suppressed)) == ["privileged", "unknown-or-removed-flag"]


def test_no_ignores_shows_everything(tmp_path: Path) -> None:
    text = f"{IGNORE}-file[all] why\n{MANIFEST}".replace(
        "  name: llama\n", "  name: llama\n  annotations: {ignore.vllmlint.dev/privileged: why}\n", 1
    )
    contract = 'rules: {perPath: [{paths: ["*.yaml"], ignore: [image-tag-floating]}]}\n'
    result = lint(tmp_path, text, contract, no_ignores=True)
    assert sorted(names(result.findings)) == sorted(THREE)
    assert result.suppressed == []


@pytest.mark.parametrize(
    ("entry", "silenced_by"),
    [
        (
            'perPath: [{paths: ["*.yaml"], ignore: [privileged], reason: a lab}]',
            "contract rules.perPath: a lab",
        ),
        ("perObject: [{kind: Deployment, name: 'll*', ignore: [security]}]", "contract rules.perObject"),
        ("perObject: [{container: vllm, ignore: [VL803], reason: b}]", "contract rules.perObject: b"),
        (
            "perObject: [{name: llama, severity: {privileged: 'off'}}]",
            "contract rules.perObject: severity off",
        ),
        ("perObject: [{name: other, ignore: [privileged]}]", None),
        ("perObject: [{namespace: x, ignore: [privileged]}]", None),
        ("perObject: [{labels: {app: llama}, ignore: [privileged]}]", None),
        ("perObject: [{container: other, ignore: [privileged]}]", None),
        ("perObject: [{name: llama, ignore: [privileged], until: 2026-11-22}]", None),
        ("perObject: [{name: llama, ignore: [privileged], until: 2026-11-23}]", "contract rules.perObject"),
        ('perPath: [{paths: ["*.yaml"], ignore: [privileged], until: 2026-11-22}]', None),
        ('perPath: [{paths: ["prod/*"], ignore: [privileged]}]', None),
    ],
)
def test_the_contract_ignores(tmp_path: Path, entry: str, silenced_by: str | None) -> None:
    result = lint(tmp_path, MANIFEST, f"rules: {{{entry}}}\n", select=["privileged"])
    assert silenced(result) == ({} if silenced_by is None else {"privileged": silenced_by})
    assert names(result.findings) == ([] if silenced_by is not None else ["privileged"])


def test_the_contract_changes_the_severity_of_an_object(tmp_path: Path) -> None:
    contract = (
        "rules: {perObject: [{name: llama, severity: {security: info}}, {name: x, severity: {all: info}}]}\n"
    )
    contract = contract.replace(", {name: x, severity: {all: info}}", "")
    result = lint(tmp_path, MANIFEST, contract)
    assert {one.name: one.severity for one in result.findings}["privileged"] == "info"


def test_the_severity_of_what_is_said_about_ignores(tmp_path: Path) -> None:
    text = with_line("- name: vllm", f"{IGNORE}[privileged]")
    for setting, expected in (("error", ["error"]), ("info", ["info"]), ("'off'", [])):
        result = lint(tmp_path, text, f"rules: {{severity: {{ignore-unused: {setting}}}}}\n")
        assert [one.severity for one in result.findings if one.name == "ignore-unused"] == expected


def test_an_ignore_of_a_rule_that_does_not_run_here_is_not_unused(tmp_path: Path) -> None:
    text = with_line("- name: vllm", f"{IGNORE}[privileged, *]")
    assert "ignore-unused" not in names(lint(tmp_path, text, select=["image-tag-floating"]).findings)
    contract = 'rules: {perPath: [{paths: ["*.yaml"], severity: {privileged: "off"}}]}\n'
    unused = [
        one.spot.place.text
        for one in lint(tmp_path, text, contract, select=None).findings
        if one.name == "ignore-unused"
    ]
    assert unused == []


@pytest.mark.parametrize(
    "text",
    [
        f"---\na: {{{{ .Values.x }}}}\nb: 1  {IGNORE}[privileged]\n---\n{MANIFEST}",
        f"---\na: [  {IGNORE}[privileged]\n---\n{MANIFEST}",
        f"{IGNORE}-file[bind-localhost]\n---\na: {{{{ .Values.x }}}}\n---\n{MANIFEST}",
    ],
)
def test_an_ignore_in_a_document_that_is_not_linted_is_not_unused(tmp_path: Path, text: str) -> None:
    assert "ignore-unused" not in names(lint(tmp_path, text, select=None).findings)


def test_an_ignore_beside_a_document_that_is_not_linted_may_be_unused(tmp_path: Path) -> None:
    text = "---\na: {{ .Values.x }}\n---\n" + with_line("- name: vllm", f"{IGNORE}[privileged]")
    assert "ignore-unused" in names(lint(tmp_path, text).findings)
