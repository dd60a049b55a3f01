"""Reports: one run as text for people or as a format for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vllmlint.reports.options import RenderOptions

if TYPE_CHECKING:
    from vllmlint.lint.result import RunResult

__all__ = ["FORMATS", "RenderOptions", "render"]

#: The formats of `--format`.
FORMATS = ("text", "json", "sarif", "github")


def render(result: RunResult, fmt: str, *, options: RenderOptions) -> str:
    """The report of a run in one of `FORMATS`, ending with a newline.

    Only the module of that format is imported: a text run never pays for the others.
    """
    if fmt == "text":
        from vllmlint.reports.text import render_text

        return render_text(result, options)
    if fmt == "json":
        from vllmlint.reports.json_report import render_json

        return render_json(result, options)
    if fmt == "sarif":
        from vllmlint.reports.sarif import render_sarif

        return render_sarif(result, options)
    if fmt == "github":
        from vllmlint.reports.github import render_github

        return render_github(result, options)
    raise ValueError(f"unknown report format {fmt!r}: expected one of {', '.join(FORMATS)}")
