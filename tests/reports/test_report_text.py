"""The text report: whole pictures as snapshots, then single properties."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from report_samples import DEPLOYMENT, check_snapshot, floating, full_run, place, reported, silenced

from vllmlint.lint.result import LostInput, RunResult, SkippedDocument
from vllmlint.manifest.text import Place, SourceText
from vllmlint.reports import FORMATS, RenderOptions, render
from vllmlint.reports.terminal import columns

ANSI = re.compile(r"\x1b\[[0-9;]*m")


def text(result: RunResult, **options: object) -> str:
    """The text report with these options."""
    return render(result, "text", options=RenderOptions(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("text", {}),
        ("text-narrow", {"width": 40}),
        ("text-verbose", {"verbose": True, "show_suppressed": True}),
        ("text-color", {"color": True}),
        ("text-statistics", {"statistics": True}),
    ],
)
def test_whole_report(name: str, options: dict[str, object]) -> None:
    check_snapshot(f"{name}.txt", text(full_run(), **options))


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    for line in text(full_run(), width=width, verbose=True).splitlines():
        # places and pages stay whole, to be clicked
        if "-->" not in line and ":::" not in line:
            assert columns(line) <= width


def test_a_terminal_narrower_than_forty_gets_forty() -> None:
    assert text(full_run(), width=10) == text(full_run(), width=40)


def test_colour_adds_nothing_but_codes() -> None:
    assert ANSI.sub("", text(full_run(), color=True)) == text(full_run())


def test_no_colour_without_asking() -> None:
    assert "\x1b" not in text(full_run())


def test_control_characters_reach_no_terminal() -> None:
    source = SourceText("a\x1b[2J.yaml", "key: \x1b[31mred\u202e\x07\x9b1m\ud800 end\n")
    item = reported(place(source, "red"), "bad\x1b[0m\rvalue", label="\x1b[1m", advice="\u2066x\x00")
    report = text(RunResult(findings=[item], files=1, servers=1))
    assert report.isprintable() or set(filter(lambda char: not char.isprintable(), report)) == {"\n"}
    assert "\\x1b[31mred\\u202e\\x07\\x9b1m\\ud800 end" in report
    report.encode("utf-8")


def test_suppressed_findings_are_shown_on_request() -> None:
    run = RunResult(suppressed=[silenced()], files=1, servers=1)
    assert text(run) == "1 file, 1 server: no problems found; 1 suppressed\n"
    shown = text(run, show_suppressed=True)
    assert "suppressed warning[context-too-long]: a long context" in shown
    assert "= note: suppressed by comment on line 12: known" in shown


def test_nothing_to_say() -> None:
    assert text(RunResult(files=2, servers=3)) == "2 files, 3 servers: no problems found\n"
    assert text(RunResult(files=1)) == "1 file, no vLLM server: no problems found\n"


def test_summary_names_the_frequent_reasons_and_counts_the_rest() -> None:
    reasons = ["a", "b", "c", "d", "e", "a"]
    skipped = [SkippedDocument("x.yaml", number, 1, reason) for number, reason in enumerate(reasons)]
    expected = "6 documents skipped (2 a, 1 b, 1 c, 2 for other reasons)"
    assert expected in text(RunResult(files=1, skipped=skipped))


def test_many_lost_inputs_are_counted() -> None:
    lost = [LostInput("x.yaml", 1, "", None, f"value {number}", "no check") for number in range(8)]
    report = text(RunResult(files=1, lost_inputs=lost))
    assert report.count("no check") == 5
    assert "and 3 more kinds (--verbose lists all)" in report
    assert text(RunResult(files=1, lost_inputs=lost), verbose=True).count("no check") == 8


def test_tracebacks_only_when_verbose() -> None:
    run = RunResult(files=1, internal_errors=["Traceback:\n  boom \x1b[0m"])
    assert "1 internal error" in text(run)
    assert "boom" not in text(run)
    assert "internal error:\n  Traceback:\n    boom \\x1b[0m\n" in text(run, verbose=True)


def test_statistics_count_rules_and_show_the_worst_severity() -> None:
    items = [silenced(), floating(), floating(), reported(place(DEPLOYMENT, "llama"), severity="info")]
    lines = text(RunResult(findings=items, files=1, servers=1), statistics=True).splitlines()
    assert lines[:2] == [
        "3  error    VL101  image-tag-floating",
        "1  warning  VL301  context-too-long",
    ]
    assert "-->" not in "".join(lines)


def test_place_at_the_end_of_an_empty_file() -> None:
    source = SourceText("empty.yaml", "")
    report = text(RunResult(findings=[reported(Place(source, 0, 0), label="nothing here")], files=1))
    assert "  1 |\n    | ^ nothing here\n" in report


def test_unknown_format() -> None:
    with pytest.raises(ValueError, match="expected one of text, json"):
        render(RunResult(), "yaml", options=RenderOptions())


@pytest.mark.parametrize("fmt", FORMATS)
def test_every_format_ends_with_one_newline(fmt: str) -> None:
    report = render(RunResult(files=1), fmt, options=RenderOptions())
    assert report.endswith("\n")
    assert not report.endswith("\n\n")


def test_only_the_wanted_module_is_imported() -> None:
    code = (
        "import sys; from vllmlint.lint.result import RunResult; from vllmlint.reports import *;"
        "render(RunResult(), 'json', options=RenderOptions());"
        "print([m for m in sys.modules if m in ('rich', 'vllmlint.reports.text', 'vllmlint.reports.sarif')])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"
