"""GitHub workflow commands."""

from __future__ import annotations

from report_samples import check_snapshot, full_run, place, reported

from vllmlint.lint.result import RunResult
from vllmlint.manifest.text import SourceText
from vllmlint.reports import RenderOptions, render


def github(result: RunResult) -> str:
    """The report."""
    return render(result, "github", options=RenderOptions())


def test_whole_report() -> None:
    check_snapshot("github.txt", github(full_run()))


def test_escaping() -> None:
    source = SourceText("a,b:c%\n.yaml", "key: value\n")
    item = reported(place(source, "value"), "100% wrong: a,b\r\nnext\x1b[0m ::error::", advice="do this")
    assert github(RunResult(findings=[item], files=1, servers=1)) == (
        "::error file=a%2Cb%3Ac%25%0A.yaml,line=1,endLine=1,col=6,endColumn=11,"
        "title=image-tag-floating (VL101)"
        "::100%25 wrong: a,b%0D%0Anext\\x1b[0m ::error::%0Ado this\n"
        "1 file, 1 server: 1 error\n"
    )


def test_several_lines_have_no_columns() -> None:
    source = SourceText("a.yaml", "a:\n  b: 1\n")
    item = reported(place(source, "a:\n  b"), severity="info")
    first = github(RunResult(findings=[item])).split("\n")[0]
    assert first.startswith("::notice file=a.yaml,line=1,endLine=2,title=")
